from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from biokeel.contracts.catalogue import DirectoryCatalogue
from biokeel.contracts.topics import EventType
from biokeel.errors import AdapterError
from biokeel.source.adapters.detect import detect
from biokeel.source.columns import conform, frame_of
from biokeel.source.encoding import Withheld
from biokeel.source.enrol import Enroller
from biokeel.source.files import DryRun, FileResult, Source, Status, find_files, publish_files, status_of

RECORD = {
    "event": "lifestyle.exercise",
    "subject_scheme": "app/a",
    "subject_id": "7",
    "occurred_at": "2024-05-01T07:00:00+09:00",
    "activity": "walking",
}


class Keeping(DryRun):
    """A dry run that keeps what would have been sent."""

    def __init__(self, catalogue: DirectoryCatalogue) -> None:
        super().__init__(catalogue, 1 << 20)
        self.catalogue = catalogue
        self.sent: list[tuple[str, pl.DataFrame]] = []

    def publish(
        self, event: EventType, rows: pl.DataFrame | Sequence[dict[str, Any]], withheld: Withheld | None = None
    ) -> int:
        count = super().publish(event, rows, withheld)
        schema = self.catalogue.reader(event).schema
        self.sent.append(
            (str(event), conform(schema, rows) if isinstance(rows, pl.DataFrame) else frame_of(schema, rows))
        )
        return count


@pytest.fixture
def sink(catalogue: DirectoryCatalogue) -> Keeping:
    return Keeping(catalogue)


ENROLMENT = {
    "event": "person.enrolment",
    "subject_scheme": "app/a",
    "subject_id": "7",
    "occurred_at": "2024-05-01T07:00:00+09:00",
    "identifiers": [{"scheme": "hospital/b", "value": "77"}],
    "sex": "female",
}


def publish(
    path: Path, sink: Keeping, *records: Any, enrol: bool = False, consent: list[str] | None = None
) -> FileResult:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    os.utime(path, (1_720_000_000, 1_720_000_000))
    source = Source("app-a", b"k")
    return publish_files([path], source, sink, Enroller(consent) if enrol else None)[0]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"  \n", "is empty"),
        (b'{"a": 1,}', "is not JSON: line 1, column 8"),
        (b'{"a": 1}', "JSON of no known format"),
        (b"[]", "JSON of no known format"),
        (b"a;b\n1;2\n", "text of no known format"),
        (b"\x89PNG\x00\x00", "looks like a picture"),
        (b"\x01\x02\x00\x00", "binary file"),
        (b"a,\x00\x00", "binary file"),
        (b"\xff\xfe\xfd", "breaks the rules of its encoding"),
        (b"M\xfcller,1\n", "in an encoding that nothing tells"),
    ],
)
def test_a_file_that_no_adapter_is_for_gets_a_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "f"
    path.write_bytes(content)
    with pytest.raises(AdapterError, match=reason):
        detect(path)


def test_the_format_is_told_by_content_whatever_the_name(tmp_path: Path, shared_data: Path) -> None:
    for index, (name, expected) in enumerate(
        {
            "clinical/fhir-r4-examples/examples/patient-example.json": "FHIR R4",
            "lifestyle/fitbit-33-users/sleepDay_merged.csv": "Fitbit CSV",
            "lifestyle/openmhealth/step-count/3.0/shouldPass/valid-step-count.json": "Open mHealth",
            "genome/ga4gh-wgs-qc/n.100-1kg-dragen3.7.6-manifest.csv": "WGS sample manifest",
            "genome/ga4gh-wgs-qc/n.100-1kg-sample-info-igsr.csv": "IGSR sample sheet",
            "genome/ga4gh-wgs-qc/results-npm-sample-qc-v0.13.5/HG00100.metrics.json": "GA4GH WGS-QC metrics",
        }.items()
    ):
        copy = tmp_path / f"{index}.bin"
        shutil.copy(shared_data / name, copy)
        assert detect(copy).name == expected


def test_a_whole_data_folder_is_published_and_bad_files_do_not_stop_the_good(shared_data: Path, sink: Keeping) -> None:
    results = publish_files(find_files([shared_data / "lifestyle"]), Source("s", b""), sink)
    by_name = {result.path.name: result for result in results}
    assert by_name["dailyActivity_merged.csv"].sent["lifestyle.exercise"] == 940
    assert "line 30" in by_name["nutritionintake-example-malnutrition.json"].failure
    assert status_of(results) is Status.FILE_FAILED


def test_one_bad_record_costs_only_itself(tmp_path: Path, sink: Keeping) -> None:
    bad = [RECORD | {"steps": "secret"}, RECORD | {"event": "no.event"}, RECORD | {"subject_id": None}, "no object"]
    good = [RECORD | {"steps": number} for number in range(9)]
    result = publish(tmp_path / "r.jsonl", sink, good[0], *bad, *good[1:])
    assert result.sent == {"lifestyle.exercise": 9}
    assert len(result.report.problems) == 4
    assert "secret" not in str(result.report.problems)
    assert status_of([result]) is Status.PARTS_UNUSED


def test_ready_records_keep_their_offset_and_repeat_their_ids(tmp_path: Path, sink: Keeping) -> None:
    for _ in range(2):
        publish(tmp_path / "r.jsonl", sink, RECORD | {"key": "run-1"}, RECORD | {"key": "run-2"})
    (_, first), (_, second) = sink.sent
    assert first.equals(second)
    assert first["event_id"].n_unique() == 2
    assert first["occurred_offset_minutes"].to_list() == [540, 540]
    assert str(first["occurred_at"][0]) == "2024-04-30 22:00:00+00:00"


def test_enrol_puts_one_enrolment_before_the_first_event_of_each_subject(tmp_path: Path, sink: Keeping) -> None:
    later = RECORD | {"occurred_at": "2024-06-01T07:00:00+09:00"}
    publish(tmp_path / "r.jsonl", sink, later, RECORD, RECORD | {"subject_id": "8"}, enrol=True)
    assert [event for event, _ in sink.sent] == ["person.enrolment", "lifestyle.exercise"]
    enrolled = sink.sent[0][1]
    assert enrolled["subject_id"].to_list() == ["7", "8"]
    assert str(enrolled["occurred_at"][0]) == "2024-04-30 22:00:00+00:00"


def test_enrol_states_the_consent_that_the_caller_states_and_no_other(tmp_path: Path, sink: Keeping) -> None:
    without = publish(tmp_path / "r.jsonl", sink, RECORD, enrol=True)
    with_some = publish(tmp_path / "r.jsonl", sink, RECORD, enrol=True, consent=["lifestyle", "genome"])
    said = [frame.select("consent_scope", "consent_stated").row(0) for event, frame in sink.sent if "person" in event]
    assert said == [([], False), (["genome", "lifestyle"], True)]
    assert (without.without_consent, with_some.without_consent) == (1, 0)


def test_a_ready_enrolment_states_a_consent_only_where_it_has_a_scope(tmp_path: Path, sink: Keeping) -> None:
    scope = {"consent_scope": ["clinical"]}
    records = [
        ENROLMENT,
        ENROLMENT | {"consent_scope": None},
        ENROLMENT | scope,
        ENROLMENT | {"consent_scope": []},
        ENROLMENT | scope | {"consent_stated": False},
        ENROLMENT | {"consent_stated": False},
        ENROLMENT | {"consent_stated": True},
        ENROLMENT | scope | {"consent_stated": "yes"},
    ]
    result = publish(tmp_path / "r.jsonl", sink, *records)
    ((_, frame),) = sink.sent
    assert frame["consent_stated"].to_list() == [False, False, True, True, False, False]
    assert frame["consent_scope"].to_list() == [[], [], ["clinical"], [], ["clinical"], []]
    assert [problem.position for problem in result.report.problems] == ["line 7", "line 8"]
    assert result.without_consent == 4


def test_the_callers_consent_stands_in_for_enrolments_that_state_none(tmp_path: Path, sink: Keeping) -> None:
    known = RECORD | {"subject_scheme": "hospital/b", "subject_id": "77"}
    stated = ENROLMENT | {"subject_id": "8", "identifiers": [], "consent_scope": ["clinical"]}
    publish(tmp_path / "r.jsonl", sink, ENROLMENT, stated, known, enrol=True, consent=["lifestyle"])
    assert [frame.height for event, frame in sink.sent if event == "person.enrolment"] == [2], "77 is enrolled with 7"
    assert sink.sent[0][1]["consent_scope"].to_list() == [["lifestyle"], ["clinical"]]


@pytest.mark.parametrize(
    "change",
    [
        {"subject_id": 7},
        {"subject_id": {"a": 1}},
        {"subject_id": ""},
        {"subject_id": " "},
        {"subject_id": "1.2E+09"},
        {"subject_id": "1709.0"},
        {"subject_scheme": ["app/a"]},
        {"key": {"a": 1}},
        {"key": True},
    ],
)
def test_a_subject_or_key_that_is_no_text_costs_its_line_and_is_not_written_as_one(
    tmp_path: Path, sink: Keeping, change: dict[str, Any]
) -> None:
    result = publish(tmp_path / "r.jsonl", sink, RECORD, RECORD | change, enrol=True)
    assert result.sent == {"person.enrolment": 1, "lifestyle.exercise": 1}
    assert [problem.position for problem in result.report.problems] == ["line 2"]


@pytest.mark.parametrize("further", [[7], [{"scheme": "app/b", "value": 7}], [{"scheme": "app/b", "value": ""}], [{}]])
def test_a_further_identifier_that_is_no_text_costs_its_line(tmp_path: Path, sink: Keeping, further: list[Any]) -> None:
    result = publish(tmp_path / "r.jsonl", sink, ENROLMENT, ENROLMENT | {"identifiers": further})
    assert result.sent == {"person.enrolment": 1}
    assert [problem.position for problem in result.report.problems] == ["line 2"]


def test_enrol_leaves_people_alone_whom_the_file_enrols(shared_data: Path, sink: Keeping) -> None:
    bundles = find_files([shared_data / "clinical/fhir-r4-synthea-bundles"])
    results = publish_files(bundles, Source("emr", b""), sink, Enroller())
    assert sum(result.sent["person.enrolment"] for result in results) == 3


def test_hidden_files_are_left_out_and_a_missing_path_is_an_error(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").touch()
    (tmp_path / "b.json").touch()
    (tmp_path / "a.json").touch()
    assert [path.name for path in find_files([tmp_path, tmp_path / "a.json"])] == ["a.json", "b.json"]
    with pytest.raises(AdapterError, match="no file or folder"):
        find_files([tmp_path / "gone"])


def test_a_file_that_is_gone_again_is_a_failure_of_that_file(tmp_path: Path, sink: Keeping) -> None:
    result = publish_files([tmp_path / "gone.json"], Source("s", b""), sink)[0]
    assert "No such file" in result.failure
    assert status_of([result]) is Status.FILE_FAILED


def test_records_of_many_files_go_together_and_one_that_does_not_fit_is_told_of_its_own_file(
    tmp_path: Path, sink: Keeping
) -> None:
    """An activity that is a number has no place in the schema; which file it came from only its record says."""
    files = []
    for number, activity in enumerate(("walking", 7, "running")):
        files.append(tmp_path / f"{number}.jsonl")
        record = RECORD | {"activity": activity, "subject_id": str(number)}
        files[-1].write_text(json.dumps(record) + "\n" + json.dumps(RECORD | {"subject_id": "9"}) + "\n")
    told: list[Path] = []
    results = publish_files(files, Source("app-a", b"k"), sink, done=lambda result: told.append(result.path))
    assert told == files
    assert [result.sent["lifestyle.exercise"] for result in results] == [2, 1, 2]
    assert [len(result.report.problems) for result in results] == [0, 1, 0]
    assert sum(frame.height for _, frame in sink.sent) == 5
    assert len(sink.sent) < 5


def test_the_key_of_a_record_has_its_documented_name_or_the_short_one(tmp_path: Path, sink: Keeping) -> None:
    result = publish(tmp_path / "r.jsonl", sink, *(RECORD | {name: "run-1"} for name in ("record_key", "key")))
    assert not result.unused
    ((_, frame),) = sink.sent
    assert frame["event_id"].n_unique() == 1
    both = publish(tmp_path / "r.jsonl", sink, RECORD | {"record_key": "run-1", "key": "run-1"})
    assert [problem.reason for problem in both.report.problems] == ["record_key and key are one thing"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"occured_at": 1}, "hold fields that the schema has not: occured_at"),
        ({"steps": "9000"}, "field steps holds a value of another type"),
        ({"steps": True}, "field steps holds a value of another type"),
        ({"steps": 9000.5}, "field steps holds a value of another type"),
        ({"distance": True}, "field distance holds a value of another type"),
        ({"activity": 7}, "field activity holds a value of another type"),
        ({"occurred_at": 1_714_521_600}, "occurred_at lies in January 1970: seconds, where milliseconds are wanted"),
        ({"recorded_at": 1_714_521_600}, "recorded_at lies in January 1970"),
        ({"occurred_at": 1_714_521_600_000.0}, "occurred_at is neither a text nor a whole number of milliseconds"),
        ({"occurred_at": True}, "occurred_at is neither a text nor a whole number of milliseconds"),
        ({"occurred_at": "2024-05-01 07:00"}, "occurred_at is no time"),
    ],
)
def test_what_is_misspelt_or_of_another_type_is_told_with_line_and_key(
    tmp_path: Path, sink: Keeping, change: dict[str, Any], reason: str
) -> None:
    result = publish(tmp_path / "r.jsonl", sink, RECORD, RECORD | change, RECORD | {"key": "3"})
    assert result.sent == {"lifestyle.exercise": 2}
    ((place, said),) = [(problem.position, problem.reason) for problem in result.report.problems]
    assert place == "line 2"
    assert reason in said


def test_a_year_alone_is_no_birth_date_and_an_end_is_not_before_its_beginning(tmp_path: Path, sink: Keeping) -> None:
    sleep = RECORD | {"event": "lifestyle.sleep", "ended_at": "2024-05-01T06:00:00+09:00"}
    del sleep["activity"]
    records = [ENROLMENT | {"birth_date": "1985"}, ENROLMENT | {"birth_year": 1985}, sleep]
    result = publish(tmp_path / "r.jsonl", sink, *records)
    assert [(each.position, each.reason) for each in result.report.problems] == [
        ("line 1", "birth_date is no date; a year alone is a birth_year"),
        ("line 3", "ended_at lies before occurred_at"),
    ]
    assert result.sent == {"person.enrolment": 1}


@pytest.mark.parametrize(
    ("text", "precision"),
    [("2024", "year"), ("2024-03", "month"), ("2024-03-05", "day"), ("2024-03-05T10:00+09:00", "minute")],
)
def test_how_exactly_a_time_is_written_is_kept(tmp_path: Path, sink: Keeping, text: str, precision: str) -> None:
    publish(tmp_path / "r.jsonl", sink, RECORD | {"occurred_at": text}, RECORD | {"occurred_at": 1_714_521_600_000})
    ((_, frame),) = sink.sent
    assert frame["occurred_precision"].to_list() == [precision, None]
