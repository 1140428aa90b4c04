"""The commands `publish` and `demo-data`, without Kafka."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import pytest
import typer
from typer.testing import CliRunner, Result

from biokeel.cli import demo_data, publish
from biokeel.contracts.topics import EventType
from biokeel.errors import AdapterError, DeliveryError, SettingsError
from biokeel.source.client import Handed
from biokeel.source.encoding import Withheld
from biokeel.source.files import Status


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.setenv("BIOKEEL_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("BIOKEEL_SOURCES_DIR", str(tmp_path / "no register"))
    app = typer.Typer()
    publish.register(app)
    demo_data.register(app)

    def call(*arguments: str, said: str = "") -> Result:
        return CliRunner(env={"COLUMNS": "200"}).invoke(app, arguments, input=said)

    return call


def test_a_dry_run_shows_events_by_type_and_what_was_left_out(run, shared_data: Path) -> None:  # type: ignore[no-untyped-def]
    result = run("publish", str(shared_data / "clinical/fhir-r4-synthea-bundles"), "--source-id", "emr", "--dry-run")
    assert result.exit_code == 0, result.output
    assert "clinical.blood_pressure" in result.output
    assert "Without an event of a person (lists of hospitals or practitioners, for example): 2 files." in result.output
    assert "5 files read; all could be used" in result.output


def test_a_dry_run_leaves_no_key_behind(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert run("demo-data", "--people", "20", "--out", str(tmp_path / "demo")).exit_code == 0
    result = run("publish", str(tmp_path / "demo" / "files"), "--source-id", "demo", "--dry-run")
    assert result.exit_code == Status.PARTS_UNUSED, "made-up sources write what the wall withholds, too"
    assert not (tmp_path / "state" / "source.key").exists()


def test_a_file_that_fails_wholly_ends_with_status_1_after_the_others(run, tmp_path: Path, shared_data: Path) -> None:  # type: ignore[no-untyped-def]
    bad = tmp_path / "a.json"
    bad.write_text("{")
    good = shared_data / "clinical/fhir-r4-examples/examples/patient-example.json"
    result = run("publish", str(bad), str(good), "--source-id", "emr", "--dry-run")
    assert result.exit_code == 1
    assert "person.enrolment" in result.output
    assert "a.json" in result.output
    assert "is not JSON" in result.output


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--source-id", "Not OK"), "--source-id"),
        (("--source-id", "a", "--zone", "Mars/Base"), "--zone"),
        (("--source-id", "a", "--occurred-at", "yesterday"), "--occurred-at"),
        (("--source-id", "a", "--subject", "x"), "--subject"),
        (("--source-id", "a", "--subject", "KR_RRN=x"), "--subject"),
        (("--source-id", "a", "--enrol", "--consent", "genome,all"), "genome, clinical, lifestyle"),
        (("--source-id", "a", "--consent", "genome"), "--enrol"),
    ],
)
def test_options_that_make_no_sense_are_refused(run, tmp_path: Path, options: tuple[str, ...], word: str) -> None:  # type: ignore[no-untyped-def]
    result = run("publish", str(tmp_path), "--dry-run", *options)
    assert result.exit_code == 2
    assert word in result.output


def test_a_report_that_names_no_sample_is_published_where_a_sheet_states_it(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    report = tmp_path / "KB0001.wgs_overall_mean_cov.csv"
    report.write_text("Average alignment coverage over wgs, 31.50\n")
    result = run("publish", str(report), "--source-id", "centre", "--dry-run")
    assert result.exit_code == 1
    assert "names no sample" in result.output
    sheet = tmp_path / "sheet.csv"
    sheet.write_text(f"file,sample\n{report.name},KB0001\n")
    stated = ("--reports", str(sheet), "--occurred-at", "2026-03-01")
    result = run("publish", str(tmp_path), "--source-id", "centre", "--dry-run", *stated)
    assert result.exit_code == 0, result.output
    assert "genome.qc_metrics" in result.output
    assert "nobody states" not in result.output
    assert "KB0001" not in result.output.replace(report.name, "")


def test_a_folder_without_a_file_is_refused(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "empty").mkdir()
    result = run("publish", str(tmp_path / "empty"), "--source-id", "emr", "--dry-run")
    assert result.exit_code == 1
    assert isinstance(result.exception, AdapterError)


def test_the_person_of_nameless_files_can_be_given_where_no_other_user_sees_it(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    body = {
        "step_count": {"value": 6000, "unit": "steps"},
        "effective_time_frame": {
            "time_interval": {"start_date_time": "2024-05-01T00:00:00Z", "end_date_time": "2024-05-02T00:00:00Z"}
        },
    }
    (tmp_path / "steps.json").write_text(json.dumps(body))
    command = ("publish", str(tmp_path / "steps.json"), "--source-id", "emr", "--dry-run")
    assert run(*command).exit_code == 2, "nobody is named"
    result = run(*command, "--subject", "-", said="app/band=u-77310042\n")
    assert result.exit_code == 0, result.output
    assert "lifestyle.exercise" in result.output
    assert "77310042" not in result.output


def test_demo_data_can_be_published_at_once(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    made = run("demo-data", "--people", "30", "--seed", "3", "--out", str(tmp_path / "demo"))
    assert made.exit_code == 0, made.output
    sent = run("publish", str(tmp_path / "demo/files"), "--source-id", "demo", "--dry-run")
    assert sent.exit_code == Status.PARTS_UNUSED, sent.output
    assert "could not be used" not in sent.output
    assert "the privacy wall" in sent.output, "made-up sources write what the wall withholds, too"


def test_people_without_a_consent_are_told_in_the_end_and_how_to_state_one(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    patient = {"resourceType": "Patient", "id": "77310042", "gender": "female"}
    (tmp_path / "patient.json").write_text(json.dumps(patient))
    command = ("publish", str(tmp_path / "patient.json"), "--source-id", "emr", "--dry-run")
    for more in ((), ("--enrol",)):
        result = run(*command, *more)
        assert result.exit_code == 0, result.output
        assert "1 enrolment states no consent." in result.output
        assert "--consent" in result.output
    assert "states no consent" not in run(*command, "--enrol", "--consent", "clinical, lifestyle").output


class Ended:
    """A publisher whose Kafka takes `takes` calls and ends the run then."""

    def __init__(self, takes: int) -> None:
        self._left = takes
        self._taken: Counter[str] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def publish(self, event: EventType, rows: Sequence[object], withheld: Withheld | None = None) -> int:
        if not self._left:
            raise DeliveryError("Kafka did not take 1 events.", "Send again.")
        self._left -= 1
        self._taken[str(event)] += len(rows)
        return len(rows)

    def give_up(self) -> Handed:
        return Handed(self._taken, Counter({"clinical.glucose": 1}))


def test_a_run_that_kafka_ends_says_what_was_sent_and_what_was_not(run, tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("biokeel.observe.reach.require_kafka", lambda _: None)
    monkeypatch.setattr("biokeel.source.client.Publisher", lambda *_: Ended(takes=1))
    monkeypatch.setattr("biokeel.source.files.GATHERED", 1)
    for name in "abc":
        patient = {"resourceType": "Patient", "id": name, "gender": "female"}
        (tmp_path / f"{name}.json").write_text(json.dumps(patient))
    result = run("publish", str(tmp_path), "--source-id", "emr", "--report", "json")
    assert isinstance(result.exception, DeliveryError), "and the words go to standard error as ever"
    said = json.loads(result.stdout)
    assert (said["status"], said["events"]) == (1, {"person.enrolment": 1})
    why = {"what": "Kafka did not take 1 events.", "todo": "Send again.", "unanswered": {"clinical.glucose": 1}}
    assert said["stopped"] == why
    failures = [each["failure"] for each in said["files"]]
    assert failures[0] is None
    assert "was not sent to its end" in failures[1]
    assert "was not read" in failures[2]


def test_a_table_of_identifiers_is_named_by_option_or_setting(run, tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    patient = {"resourceType": "Patient", "id": "1", "identifier": [{"system": "urn:oid:2.999.1", "value": "77310042"}]}
    (tmp_path / "patient.json").write_text(json.dumps(patient))
    table = tmp_path / "identifiers.toml"
    table.write_text('[systems]\n"urn:oid:2.999.1" = "hospital/emr"')
    command = ("publish", str(tmp_path / "patient.json"), "--source-id", "emr", "--dry-run")
    told = "Left out: identifiers of a system that no identifier table maps 1."
    assert told in run(*command).output
    assert told not in run(*command, "--identifiers", str(table)).output
    monkeypatch.setenv("BIOKEEL_IDENTIFIERS", str(table))
    assert told not in run(*command).output
    table.write_text('[systems]\n"urn:oid:2.999.1" = "clinic/77310042"')
    result = run(*command)
    assert isinstance(result.exception, SettingsError)
    assert "systems.urn:oid:2.999.1" in str(result.exception)
    assert "77310042" not in str(result.exception)
