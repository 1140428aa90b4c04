"""A dry run says of files what the workers would say of their events."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from biokeel.contracts.catalogue import DirectoryCatalogue
from biokeel.contracts.codec import Codec
from biokeel.contracts.sources import Register
from biokeel.contracts.topics import event_type
from biokeel.demo import demo_corpus
from biokeel.errors import SuiteError
from biokeel.rules.assumed import unlimited
from biokeel.rules.dry_run import Judge, dry_run
from biokeel.rules.findings import MOST_PLACES, DryRunReport, Fate, Kind
from biokeel.settings import PROJECT_ROOT
from biokeel.source.files import Source, find_files
from biokeel.validate.suites import SuiteStore
from tests.event_types import LANDED_EVENTS
from tests.registers import source

CATALOGUE = DirectoryCatalogue(PROJECT_ROOT / "schemas")
SUITES = SuiteStore(PROJECT_ROOT / "expectations", {event: CATALOGUE.reader(event).schema for event in LANDED_EVENTS})
GLUCOSE = {
    "event": "clinical.glucose",
    "subject_scheme": "hospital/a",
    "subject_id": "77310042",
    "occurred_at": "2024-05-01T07:00:00+09:00",
    "code": "2339-0",
    "value": 95.0,
    "value_unit": "mg/dL",
    "status": "final",
}
ENROLMENT = {
    "event": "person.enrolment",
    "subject_scheme": "hospital/a",
    "subject_id": "77310042",
    "occurred_at": "2024-05-01T07:00:00+09:00",
    "identifiers": [],
    "sex": "female",
}


def judge(
    source_id: str = "clinic",
    register: Register | None = None,
    suites: SuiteStore = SUITES,
    max_event_bytes: int = 1 << 20,
) -> Judge:
    known = unlimited(source_id) if register is None else register
    return Judge(CATALOGUE, suites, source_id, known, max_event_bytes=max_event_bytes, remembered_events=65_536)


def run(folder: Path, records: Sequence[Any], **options: Any) -> DryRunReport:
    path = folder / "records.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    os.utime(path, (1_714_600_000, 1_714_600_000))
    return dry_run([path], Source("clinic", b"k"), judge(**options))


def found(report: DryRunReport) -> dict[tuple[str, str, str], list[str]]:
    """The places of each finding by kind, reason and what."""
    return {
        (each.kind.value, each.reason, each.what): [place.position for place in each.places] for each in report.findings
    }


def test_one_event_for_each_outcome_is_told_apart_with_reason_and_place(tmp_path: Path) -> None:
    report = run(
        tmp_path,
        [
            GLUCOSE | {"key": "1"},
            GLUCOSE | {"key": "2", "value": 9999.0},
            GLUCOSE | {"key": "3", "status": "김철수"},
            GLUCOSE | {"key": "4", "specimen": "a finger"},
            GLUCOSE | {"key": "5", "specimen": "900101-1234567"},
            GLUCOSE | {"key": "6", "source_id": "another"},
            GLUCOSE | {"key": "7", "occurred_at": "1800-01-01T00:00:00Z"},
            GLUCOSE | {"key": "8", "subject_scheme": "clinic/a"},
            GLUCOSE | {"event_id": "77310042"},
            GLUCOSE | {"key": "10", "value": 30.0},
            GLUCOSE | {"key": "1"},
            GLUCOSE | {"key": "12", "status": "entered-in-error"},
            GLUCOSE | {"key": "13", "value": "much"},
            {"event": "clinical.glucose", "raw_hex": "0000"},
            ENROLMENT,
            ENROLMENT | {"subject_id": "8", "identifiers": [{"scheme": "clinic/a", "value": "8"}]},
        ],
    )
    assert report.fates == {
        "clinical.glucose": {
            Fate.LANDED: 3, Fate.QUARANTINED: 2, Fate.SEALED: 5, Fate.SET_ASIDE: 2
        },
        "person.enrolment": {Fate.APPLIED: 1, Fate.SEALED: 1},
    }  # fmt: skip
    places = found(report)
    assert places["quarantined", "rule.failed", "glucose.value.range_mg_dl"] == ["line 2"]
    assert places["quarantined", "rule.failed", "glucose.status.withheld"] == ["line 3"]
    assert places["withheld", "", "status"] == ["line 3"]
    assert places["withheld", "", "specimen"] == ["line 4"]
    assert places["flagged", "", "glucose.specimen.withheld"] == ["line 4"]
    assert places["sealed", "privacy.leak", "specimen: registration"] == ["line 5"]
    assert places["sealed", "envelope.time_out_of_range", "occurred_at"] == ["line 7"]
    assert places["sealed", "envelope.subject_invalid", "subject_scheme, subject_id"] == ["line 8"]
    assert places["sealed", "envelope.invalid", "event_id"] == ["line 9"]
    assert places["flagged", "", "glucose.value.usual_mg_dl"] == ["line 10"]
    assert places["set_aside", "event.repeated", ""] == ["line 11"]
    assert places["set_aside", "event.withdrawn", ""] == ["line 12"]
    assert places["sealed", "person.invalid", ""] == ["line 16"]
    assert [(kind, where) for (kind, reason, _), where in places.items() if reason.startswith("wire.")] == [
        ("sealed", ["line 14"])
    ]
    assert [problem.position for problem in report.files[0].report.problems] == ["line 6", "line 13"]
    assert not report.all_would_land


def test_no_value_of_an_event_stands_in_the_report(tmp_path: Path) -> None:
    report = run(
        tmp_path,
        [
            GLUCOSE | {"status": "김철수", "value": 1234.5},
            GLUCOSE | {"specimen": "hong@gildong.kr"},
            GLUCOSE | {"event_id": "900101-1234567"},
            GLUCOSE | {"subject_scheme": "900101-1234567"},
            GLUCOSE | {"source_id": "900101-1234567"},
            GLUCOSE | {"value": "900101-1234567"},
        ],
    )
    told = json.dumps(report.as_dict(), ensure_ascii=False)
    for value in ("김철수", "1234.5", "gildong", "900101", "77310042"):
        assert value not in told


def test_files_that_would_land_wholly_are_told_so_though_a_rule_flags_and_a_field_is_withheld(tmp_path: Path) -> None:
    report = run(tmp_path, [GLUCOSE, GLUCOSE, GLUCOSE | {"value": 30.0}, GLUCOSE | {"specimen": "a finger"}, ENROLMENT])
    assert report.all_would_land
    assert {each.kind for each in report.findings} == {Kind.FLAGGED, Kind.WITHHELD, Kind.SET_ASIDE}


@pytest.mark.parametrize(
    "record",
    [
        GLUCOSE | {"value": 9999.0},
        GLUCOSE | {"event_id": "x"},
        GLUCOSE | {"value": "much"},
        {"event": "no.event"},
        ENROLMENT | {"identifiers": [{"scheme": "clinic/a", "value": "8"}]},
    ],
)
def test_one_event_that_would_not_land_is_enough(tmp_path: Path, record: dict[str, Any]) -> None:
    assert not run(tmp_path, [GLUCOSE, record]).all_would_land


def test_a_file_that_cannot_be_read_does_not_stop_the_others(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{")
    (tmp_path / "b.jsonl").write_text(json.dumps(GLUCOSE))
    report = dry_run(find_files([tmp_path]), Source("clinic", b""), judge())
    assert [bool(each.failure) for each in report.files] == [True, False]
    assert report.fates["clinical.glucose"][Fate.LANDED] == 1
    assert not report.all_would_land


def test_everybody_is_taken_to_be_enrolled_and_to_have_consented(tmp_path: Path) -> None:
    assert run(tmp_path, [GLUCOSE]).all_would_land
    assert run(tmp_path, [GLUCOSE, ENROLMENT | {"consent_scope": []}]).all_would_land


def test_what_an_enrolment_of_the_files_says_is_known_to_the_rules(tmp_path: Path) -> None:
    born = ENROLMENT | {"birth_date": "1880-05-01"}
    report = run(tmp_path, [GLUCOSE, born])
    assert found(report).keys() == {("quarantined", "rule.failed", "glucose.age.plausible")}


def test_enrolments_that_contradict_each_other_are_found(tmp_path: Path) -> None:
    both = [{"scheme": "app/b", "value": "1"}, {"scheme": "app/c", "value": "2"}]
    people = [
        ENROLMENT | {"subject_scheme": "app/b", "subject_id": "1"},
        ENROLMENT | {"subject_scheme": "app/c", "subject_id": "2"},
        ENROLMENT | {"identifiers": both},
    ]
    assert found(run(tmp_path, people)) == {("sealed", "person.conflict", ""): ["line 3"]}


def test_a_registered_source_is_held_to_what_it_was_granted(tmp_path: Path) -> None:
    events, schemes = ("clinical.glucose", "person.identifier_link"), ("hospital/a", "app/a")
    register = Register([source("clinic", events=events, schemes=schemes)])
    link = {name: ENROLMENT[name] for name in ("subject_scheme", "subject_id", "occurred_at")}
    report = run(
        tmp_path,
        [
            GLUCOSE,
            GLUCOSE | {"subject_scheme": "hospital/b"},
            ENROLMENT,
            link | {"event": "person.identifier_link", "identifiers": [{"scheme": "app/a", "value": "1"}]},
            link | {"event": "person.identifier_link", "identifiers": [{"scheme": "KR_RRN", "value": "9001011234567"}]},
        ],
        register=register,
    )
    assert found(report) == {
        ("sealed", "source.event_not_granted", "source_id"): ["line 3"],
        ("sealed", "source.scheme_not_granted", "subject_scheme"): ["line 2"],
        ("sealed", "source.scheme_not_granted", "identifiers"): ["line 5"],
    }
    assert report.not_looked_at == ("consent", "enrolment")
    assert run(tmp_path, [GLUCOSE]).not_looked_at == ("consent", "enrolment", "grants")


def test_an_event_that_is_too_large_is_told(tmp_path: Path) -> None:
    report = run(tmp_path, [GLUCOSE], max_event_bytes=50)
    assert not report.fates
    ((problem,),) = [each.report.problems for each in report.files]
    assert problem.position == "line 1"
    assert "50 are allowed" in problem.reason, "publishing says the same"


def test_of_many_places_the_first_are_kept_and_all_are_counted(tmp_path: Path) -> None:
    report = run(tmp_path, [GLUCOSE | {"key": number, "value": 9999.0} for number in range(6_000)])
    (critical,) = [each for each in report.findings if each.kind is Kind.QUARANTINED]
    assert critical.count == 6_000
    assert [place.position for place in critical.places] == [f"line {number}" for number in range(1, MOST_PLACES + 1)]


def test_an_event_type_without_a_suite_is_no_verdict(tmp_path: Path) -> None:
    nothing = SuiteStore(tmp_path, {event: CATALOGUE.reader(event).schema for event in LANDED_EVENTS})
    with pytest.raises(SuiteError):
        run(tmp_path, [GLUCOSE], suites=nothing)


def test_the_demo_s_events_fare_as_their_labels_say(tmp_path: Path) -> None:
    """The labels are what the whole stack is held to in the demo."""
    corpus = demo_corpus(60, seed=11, defects=0.1)
    corpus.write(tmp_path, Codec(CATALOGUE, 1 << 20))
    report = dry_run(
        find_files([tmp_path / "files"]), Source("demo", b""), judge("demo", Register.load(PROJECT_ROOT / "sources"))
    )
    not_looked_at = ("never_enrolled", "no_consent")
    labels = corpus.labels.with_columns(
        pl.when(pl.col("defect").is_in(not_looked_at)).then(pl.lit("curated")).otherwise("verdict").alias("verdict")
    )
    said = {each.value: 0 for each in Fate}
    for counts in report.fates.values():
        for fate, count in counts.items():
            said[fate.value] += count
    verdicts = dict(labels["verdict"].value_counts().iter_rows())
    assert said["landed"] == verdicts["curated"]
    assert said["applied"] == verdicts["applied"]
    assert said["quarantined"] == verdicts["quarantined"]
    assert said["sealed"] == verdicts["sealed"] + corpus.broken
    for kind in (Kind.QUARANTINED, Kind.SEALED):
        ids = {place.event_id for each in report.findings if each.kind is kind for place in each.places} - {None}
        wanted = labels.filter(pl.col("verdict") == kind.value, pl.col("defect") != "bad_event_id")
        assert ids == set(wanted["event_id"])


@pytest.mark.parametrize(
    ("folder", "fates"),
    [
        ("lifestyle/fitbit-33-users", {"lifestyle.exercise": 940, "lifestyle.sleep": 410}),
        (
            "clinical/fhir-r4-synthea-bundles",
            {
                "clinical.blood_pressure": 30,
                "clinical.diagnosis": 16,
                "clinical.glucose": 11,
                "clinical.lab_result": 178,
                "clinical.medication": 4,
                "clinical.vital_sign": 62,
                "person.enrolment": 3,
            },
        ),
        ("genome/ga4gh-wgs-qc", {"genome.qc_metrics": 64, "genome.sample_manifest": 200}),
    ],
)
def test_real_files_would_land(folder: str, fates: dict[str, int], shared_data: Path) -> None:
    report = dry_run(find_files([shared_data / folder]), Source("emr", b""), judge("emr"))
    done = {
        event: counts[Fate.APPLIED if event_type(event).is_person else Fate.LANDED]
        for event, counts in report.fates.items()
    }
    assert done == fates
    assert all(counts[fate] == 0 for counts in report.fates.values() for fate in (Fate.SEALED, Fate.QUARANTINED))


def test_event_types_without_a_line_of_python_fare_as_any_other(tmp_path: Path) -> None:
    person = {name: GLUCOSE[name] for name in ("subject_scheme", "subject_id", "occurred_at")}
    pulse = person | {"event": "clinical.vital_sign", "code": "8867-4", "value": 72.0, "value_unit": "/min"}
    answer = person | {
        "event": "lifestyle.questionnaire",
        "instrument": "PHQ-9",
        "kind": "answer",
        "item": "9",
        "value_code": "LA6568-5",
        "value": 0.0,
        "value_unit": "{score}",
        "status": "completed",
    }
    report = run(
        tmp_path,
        [
            pulse | {"status": "final"},
            pulse | {"status": "final", "value": 72_000.0},
            pulse | {"status": "final", "value_unit": "bpm"},
            answer,
            answer | {"item": "what troubles you, Gildong?"},
            person | {"event": "clinical.waist", "value": 80.0},
        ],
    )
    assert {key: places for key, places in found(report).items() if key[0] != "flagged"} == {
        ("quarantined", "rule.failed", "vital.heart_rate.range"): ["line 2"],
        ("quarantined", "rule.failed", "vital.value_unit.withheld"): ["line 3"],
        ("quarantined", "rule.failed", "questionnaire.item.withheld"): ["line 5"],
        ("quarantined", "rule.failed", "questionnaire.item.present"): ["line 5"],
        ("withheld", "", "value_unit"): ["line 3"],
        ("withheld", "", "item"): ["line 5"],
    }
    ((position, reason),) = [(each.position, each.reason) for each in report.files[0].report.problems]
    assert position == "line 6"
    assert "There is no event type clinical.waist" in reason
