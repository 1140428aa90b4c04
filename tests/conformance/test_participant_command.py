"""`biokeel participant show` and `biokeel lake`, on the real object store."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console
from typer.testing import CliRunner

from biokeel.cli import build
from biokeel.cli.participant import print_tables
from biokeel.contracts.ids import encode_id
from biokeel.errors import ContractError, LandingError
from biokeel.land import person
from biokeel.land.lake import Lake
from tests.conformance.landing_world import EVENT, Worker, landed, multiples, topic

pytestmark = pytest.mark.integration


@pytest.fixture
def lake(store_settings, new_bucket, tmp_path, monkeypatch):
    """A full lake in a bucket of its own, which the command line finds by its environment."""
    lake, settings = new_bucket()
    for name in ("s3_endpoint", "s3_access_key", "lake_bucket"):
        monkeypatch.setenv(f"BIOKEEL_{name.upper()}", getattr(settings, name))
    monkeypatch.setenv("BIOKEEL_S3_SECRET_KEY", settings.s3_secret_key.get_secret_value())
    monkeypatch.setenv("BIOKEEL_STATE_DIR", str(tmp_path))
    Worker(lake, topic(1, 4), multiples(5)).run()
    return lake


def run(*arguments):
    return CliRunner().invoke(build(), arguments, catch_exceptions=False).output


def test_a_person_is_shown_with_every_event_and_the_summary(lake):
    assert "7 persons" in run("lake", "refresh")
    assert "up to date" in run("lake", "refresh")
    curated, _ = landed(lake)
    someone = curated["participant_id"][0]
    shown = json.loads(run("participant", "show", someone.lower(), "--json"))
    mine = curated.filter(curated["participant_id"] == someone)
    assert shown["participant_id"] == someone
    assert shown["summary"]["clinical_glucose_count"] == mine.height
    assert sorted(event["fields"]["value"] for event in shown["events"]) == sorted(mine["value"])
    table = run("participant", "show", someone)
    assert someone in table
    assert "clinical" in table


def test_a_person_without_events_and_a_text_that_is_no_id_are_refused_without_repeating_them(lake):
    stranger = encode_id(1 << 59)
    with pytest.raises(LandingError) as unknown:
        run("participant", "show", stranger)
    with pytest.raises(ContractError) as mistyped:
        run("participant", "show", stranger[::-1])
    assert stranger not in str(unknown.value)
    assert stranger[::-1] not in str(mistyped.value)


def test_events_that_landed_after_the_refresh_are_shown_and_counted_as_newer(lake):
    someone = landed(lake)[0]["participant_id"][0]
    timeline = person.timeline(lake, someone)
    out = io.StringIO()
    summary = {"events": timeline.height - 2, "has_clinical": True}
    print_tables(someone, timeline, summary, Console(file=out, width=200))
    assert "2 events landed since" in out.getvalue()
    assert "value_unit=mg/dL" in out.getvalue()


def test_the_tables_are_listed_and_compacted(lake):
    assert isinstance(lake, Lake)
    assert str(EVENT) in run("lake", "tables")
    assert "curated: 2 files, now 1." in run("lake", "optimize")


def test_the_tables_history_is_shown_and_old_files_are_counted_before_they_are_deleted(lake):
    run("lake", "optimize")
    history = run("lake", "history", str(EVENT))
    assert "OPTIMIZE" in history
    assert "0:3" in history
    assert "CREATE TABLE" in run("lake", "history", str(EVENT), "--quarantine")
    assert "Add --delete" in run("lake", "vacuum")
    assert f"{EVENT} curated: 0 files deleted, 0 bytes." in run("lake", "vacuum", str(EVENT), "--delete")
    assert "0 files deleted" in run("lake", "vacuum", "--retention-hours", "1", "--delete")


def test_a_sound_lake_verifies_and_a_damaged_one_ends_with_status_1_and_what_is_wrong(lake):
    assert "sound" in run("lake", "verify")
    lake.objects.delete(next(iter(lake.objects.keys(f"{lake.key(lake.quarantine(EVENT))}/part"))))
    result = CliRunner().invoke(build(), ["lake", "verify"])
    assert result.exit_code == 1
    assert f"{EVENT} quarantine: the file part-" in result.output
    assert "is gone." in result.output


@pytest.mark.parametrize("arguments", [("history", "person.enrolment"), ("verify", "clinical.nothing")])
def test_an_event_type_without_tables_is_a_word_that_the_command_does_not_know(lake, arguments):
    assert CliRunner().invoke(build(), ["lake", *arguments]).exit_code == 2
