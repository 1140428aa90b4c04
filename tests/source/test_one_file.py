"""One file never ends a run, whatever is in it; and what a run says of its files is all of it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from biokeel.cli import build
from biokeel.contracts.catalogue import DirectoryCatalogue
from biokeel.contracts.columns import frame_schema
from biokeel.contracts.misfits import Misfits
from biokeel.contracts.topics import EventType
from biokeel.errors import NoTopic, SettingsError
from biokeel.pseudonymise.withhold import Withholder
from biokeel.source.adapters import base, detect
from biokeel.source.adapters.base import Batch, Context, Record, Report
from biokeel.source.adapters.detect import FORMATS, Format
from biokeel.source.encoding import Withheld
from biokeel.source.files import DryRun, Source, Status, find_files, publish_files, status_of
from tests.event_types import LANDED_EVENTS

RECORD = {
    "event": "lifestyle.exercise",
    "subject_scheme": "app/a",
    "subject_id": "7",
    "occurred_at": "2024-05-01T07:00:00+09:00",
    "activity": "walking",
}


def lines(*records: Any) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


@pytest.fixture
def sink(catalogue: DirectoryCatalogue) -> DryRun:
    return DryRun(catalogue, 500)


@pytest.mark.parametrize("raised", [OverflowError("77310042"), RecursionError(), KeyError("77310042"), MemoryError()])
def test_whatever_an_adapter_raises_is_a_failure_of_its_file_and_quotes_nothing(
    tmp_path: Path, sink: DryRun, monkeypatch: pytest.MonkeyPatch, raised: Exception
) -> None:
    def broken(path: Path, context: Context, report: Report) -> Iterator[Batch]:
        yield from ()
        raise raised

    told = Format("broken", broken, lambda seen: seen.name == "b.json")
    monkeypatch.setattr(detect, "FORMATS", (told, *FORMATS))
    for name in ("a.jsonl", "b.json", "c.jsonl"):
        (tmp_path / name).write_text(lines(RECORD | {"subject_id": name}))
    results = publish_files(find_files([tmp_path]), Source("s", b""), sink)
    assert [result.sent.total() for result in results] == [1, 0, 1]
    assert type(raised).__name__ in results[1].failure
    assert "77310042" not in results[1].failure
    assert status_of(results) is Status.FILE_FAILED


def test_an_event_that_is_too_large_costs_itself_and_has_its_place(tmp_path: Path, sink: DryRun) -> None:
    large = RECORD | {"subject_id": "7" * 600}
    (tmp_path / "a.jsonl").write_text(lines(RECORD, large, RECORD | {"key": 2}))
    (tmp_path / "b.jsonl").write_text(lines(RECORD | {"key": 3}))
    results = publish_files(find_files([tmp_path]), Source("s", b""), sink)
    assert [result.sent.total() for result in results] == [2, 1]
    ((problem,), ()) = [result.report.problems for result in results]
    assert problem.position == "line 2"
    assert "500 are allowed" in problem.reason
    assert status_of(results) is Status.PARTS_UNUSED


class Ungranted(DryRun):
    """Kafka has no topic for events of one type, as where the source was not granted it."""

    def publish(self, event: EventType, rows: pl.DataFrame | Sequence[Record], withheld: Withheld | None = None) -> int:
        if str(event) == RECORD["event"]:
            raise NoTopic("Kafka has no topic, or hides it.", "Have it applied.")
        return super().publish(event, rows, withheld)

    def publish_raw(self, event: EventType, values: Sequence[bytes | None], partition: int = 0) -> list[int]:
        if str(event) == RECORD["event"]:
            raise NoTopic("Kafka has no topic, or hides it.", "Have it applied.")
        return super().publish_raw(event, values, partition)


def test_events_of_a_type_that_was_not_granted_are_problems_with_their_places_and_the_others_go(
    tmp_path: Path, catalogue: DirectoryCatalogue
) -> None:
    sleep = RECORD | {"event": "lifestyle.sleep", "ended_at": "2024-05-01T08:00:00+09:00", "minutes_asleep": 50.0}
    del sleep["activity"]
    raw = [{"event": event, "raw_hex": "00"} for event in ("lifestyle.exercise", "lifestyle.sleep")]
    (tmp_path / "a.jsonl").write_text(lines(RECORD, sleep, RECORD | {"key": 2}, *raw))
    (tmp_path / "b.jsonl").write_text(lines(sleep | {"key": 3}))
    results = publish_files(find_files([tmp_path]), Source("s", b""), Ungranted(catalogue, 500))
    assert [result.sent for result in results] == [{"lifestyle.sleep": 2}, {"lifestyle.sleep": 1}]
    assert [each.position for each in results[0].report.problems] == ["line 4", "line 1", "line 3"]
    assert {each.reason for each in results[0].report.problems} == {"Kafka has no topic, or hides it. Have it applied."}
    assert status_of(results) is Status.PARTS_UNUSED


def test_a_folder_with_one_file_that_overflows_lands_the_others(
    shared_cases: Path, catalogue: DirectoryCatalogue
) -> None:
    results = publish_files(
        find_files([shared_cases / "files/dircrash"]), Source("s", b"", "x"), DryRun(catalogue, 1 << 20)
    )
    assert [result.sent.total() for result in results] == [2, 2, 2, 0, 2]
    assert [result.unused + bool(result.failure) for result in results] == [0, 0, 0, 1, 0]


def test_a_report_holds_the_first_places_and_counts_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "MOST_PROBLEMS", 3)
    monkeypatch.setattr(base, "_MOST_REASONS", 3)
    heard: list[tuple[str, str, str]] = []
    report = Report(told=lambda kind, position, what: heard.append((kind, position, what)))
    for number in range(10):
        report.problem(f"line {number}", "late" if number == 9 else "same")
        report.problem(f"line {number}", f"name {number}")
        report.leave_out(f"line {number}", f"type {number}")
    assert [each.reason for each in report.problems] == ["same", "name 0", "same", "name 1", "name 2"]
    assert report.reasons == {"same": 9, "name 0": 1, "name 1": 1, base._FURTHER: 9}
    assert report.left_out.total() == 10
    assert len(report.left_out) == 4
    assert len(heard) == 30


# -- the command


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.setenv("BIOKEEL_STATE_DIR", str(tmp_path / "state"))

    def call(*paths: Path, source: str = "hospital-one"):  # type: ignore[no-untyped-def]
        arguments = ("publish", *map(str, paths), "--source-id", source, "--dry-run", "--report", "json")
        return CliRunner(env={"COLUMNS": "200"}).invoke(build(), arguments)

    return call


PATIENT = {"resourceType": "Patient", "id": "1", "gender": "female", "meta": {"lastUpdated": "2024-01-01T00:00:00Z"}}


def test_the_report_for_programs_has_every_place_and_nothing_else_on_its_stream(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path / "in"
    folder.mkdir()
    bad = [RECORD | {"occurred_at": "yesterday", "subject_id": str(number)} for number in range(2_000)]
    (folder / "a.jsonl").write_text(lines(RECORD, *bad, RECORD | {"key": 1}))
    resources = [PATIENT, {"resourceType": "Encounter"}, {"resourceType": "Encounter"}]
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": each} for each in resources]}
    (folder / "b.json").write_text(json.dumps(bundle))
    (folder / "c.hl7").write_text("MSH|^~\\&|LAB\rPID|1\r")
    result = run(folder)
    found = json.loads(result.stdout)
    assert found["status"] == result.exit_code == Status.FILE_FAILED
    assert found["events"] == {"lifestyle.exercise": 2, "person.enrolment": 1}
    assert [each["problems"] for each in found["files"]] == [2000, 0, 0]
    assert [each["format"] for each in found["files"]] == ["ready records", "FHIR R4", None]
    assert "looks like an HL7 v2 message" in found["files"][2]["failure"]
    assert [each["place"] for each in found["problems"]] == [f"line {number}" for number in range(2, 2002)]
    assert {each["reason"] for each in found["problems"]} == {"occurred_at is no time"}
    assert found["left_out"] == [
        {"file": str(folder / "b.json"), "place": f"entry {number}", "what": "Encounter"} for number in (1, 2)
    ]
    assert "read" in result.stderr


@pytest.mark.parametrize(
    ("name", "content", "status", "verdict"),
    [
        ("a.jsonl", lines(RECORD), Status.ALL_USED, "all could be used"),
        ("a.json", json.dumps({"resourceType": "Encounter"}), Status.ALL_USED, "all could be used"),
        ("a.jsonl", lines(RECORD, {}), Status.PARTS_UNUSED, "1 part that should have become an event did not"),
        ("a.jsonl", lines({"event": "lifestyle.exercise"}), Status.PARTS_UNUSED, "1 part that should"),
        ("a.json", "{", Status.FILE_FAILED, "1 of them could not be used"),
    ],
)
def test_the_exit_status_says_whether_all_was_used_and_so_does_the_last_line(  # type: ignore[no-untyped-def]
    run, tmp_path: Path, name: str, content: str, status: Status, verdict: str
) -> None:
    (tmp_path / name).write_text(content)
    result = run(tmp_path / name)
    assert result.exit_code == status, result.output
    assert verdict in result.stderr
    assert ("all could be used" in result.stderr) == (status is Status.ALL_USED)


def test_a_source_that_the_register_does_not_know_is_told_so(run, tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "a.jsonl").write_text(lines(RECORD))
    result = run(tmp_path / "a.jsonl", source="nobody")
    assert isinstance(result.exception, SettingsError)
    assert "no such source" in str(result.exception)
    monkeypatch.setenv("BIOKEEL_SOURCES_DIR", str(tmp_path / "where a source has none"))
    assert run(tmp_path / "a.jsonl", source="nobody").exit_code == 0


@pytest.mark.parametrize(
    ("seconds", "why"),
    [(315_532_800, "before the year 2000"), (32_503_680_000, "in the future"), (1_600_000_000, "before it happened")],
)
def test_a_files_age_is_no_time_of_record_where_it_is_impossible(run, tmp_path: Path, seconds: int, why: str) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "a.csv"
    path.write_text("Id,SleepDay,TotalSleepRecords,TotalMinutesAsleep,TotalTimeInBed\n7,4/13/2026,1,327,346\n")
    os.utime(path, (seconds, seconds))
    result = run(path)
    assert result.exit_code == Status.PARTS_UNUSED, result.output
    ((problem),) = json.loads(result.stdout)["problems"]
    assert why in problem["reason"]


def test_what_the_wall_withholds_is_told_when_it_is_sent_with_its_place_and_never_its_value(
    tmp_path: Path, sink: DryRun
) -> None:
    wrong = RECORD | {"activity": "a walk with Gildong"}
    early = RECORD | {"occurred_at": "1850-05-01T07:00:00+09:00"}
    withdrawn = RECORD | {"activity": "", "status": "entered-in-error"}
    (tmp_path / "a.jsonl").write_text(lines(RECORD, wrong | {"key": 1}, early | {"key": 2}, withdrawn | {"key": 3}))
    results = publish_files(find_files([tmp_path]), Source("s", b""), sink)
    (result,) = results
    assert result.sent.total() == 4, "they are sent all the same: the event's suite judges what is left of it"
    assert [each.position for each in result.report.problems] == ["line 2", "line 3"]
    words, times = (each.reason for each in result.report.problems)
    assert words.startswith("activity is no word of the programme's activities")
    assert times.startswith("occurred_at is no time from 1900-01-01T00:00:00+00:00")
    assert "Gildong" not in words
    assert status_of(results) is Status.PARTS_UNUSED


@pytest.mark.parametrize("event", LANDED_EVENTS, ids=str)
def test_a_source_is_told_of_exactly_those_fields_that_the_wall_withholds(
    catalogue: DirectoryCatalogue, event: EventType
) -> None:
    schema = catalogue.reader(event).schema
    texts = [
        {field.name: "홍길동" if field.base == "string" else ["홍길동"]} for field in schema.kept() if field.is_text
    ]
    numbers = [{field.name: end} for field in schema.kept() if field.kind == "double" for end in (-1e300, 1e300)]
    frame = pl.DataFrame([*texts, *numbers], schema=frame_schema(schema.avro))
    none = lambda column: pl.repeat(False, len(column), dtype=pl.Boolean, eager=True)  # noqa: E731 - no long numbers
    withheld = Withholder(schema.kept(), none).apply(frame).column()
    told: dict[int, list[str]] = {}
    for row, what in Misfits(schema).among(frame):
        told.setdefault(row, []).append(what.split(" ", 1)[0])
    assert {row: sorted(names) for row, names in told.items()} == {
        row: sorted(names.split(",")) for row, names in enumerate(withheld) if names is not None
    }
    assert len(told) >= len(texts)
