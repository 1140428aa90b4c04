"""`biokeel suite backtest` on the real object store, as a steward writes it."""

from __future__ import annotations

import datetime as dt
import json

import pytest
import typer
from typer.testing import CliRunner

from biokeel.cli import build
from biokeel.cli.suite_backtest import bar, moment
from biokeel.errors import SuiteError
from biokeel.rules.backtest_suites import read_written
from biokeel.settings import PROJECT_ROOT
from biokeel.validate.suites import suite_path
from tests.rules.lake import BEGIN, PRESSURE, SCHEMA, PressureLake, events

SHIPPED = suite_path(PROJECT_ROOT / "expectations", PRESSURE)


@pytest.fixture
def lake(new_bucket, tmp_path, monkeypatch):
    """Two blood pressures that landed and one that was quarantined, where the command line looks."""
    lake, settings = new_bucket()
    for name in ("s3_endpoint", "s3_access_key", "lake_bucket"):
        monkeypatch.setenv(f"BIOKEEL_{name.upper()}", getattr(settings, name))
    monkeypatch.setenv("BIOKEEL_S3_SECRET_KEY", settings.s3_secret_key.get_secret_value())
    monkeypatch.setenv("BIOKEEL_STATE_DIR", str(tmp_path))
    made = PressureLake(lake)
    made.land(
        events([{}, {"systolic": 280.0}, {"systolic": 900.0}]),
        read_written(SHIPPED.read_text("utf-8"), SCHEMA, "shipped"),
    )
    return made


@pytest.fixture
def draft(tmp_path):
    """The shipped suite with a lower limit of systolic pressure."""
    document = json.loads(SHIPPED.read_text("utf-8"))
    for each in document["expectations"]:
        if each["meta"]["rule"] == "bp.systolic.range":
            each["kwargs"]["max_value"] = 250
    path = tmp_path / "draft.json"
    path.write_text(json.dumps(document), "utf-8")
    return str(path)


def run(*arguments):
    return CliRunner(env={"COLUMNS": "180"}).invoke(build(), ["suite", "backtest", *arguments], catch_exceptions=False)


@pytest.mark.integration
def test_a_steward_reads_what_a_draft_would_change_and_a_program_the_same_as_json(lake, draft, tmp_path):
    shown = run(draft, "--sweep", "systolic.max=250..320:10").output
    assert "Newly quarantined 1, released 0." in shown
    assert "bp.systolic.range" in shown
    assert "systolic 280.0" in shown
    assert "250  ← the draft's" in shown
    picture = tmp_path / "backtest.png"
    run(draft, "--plot", str(picture))
    assert picture.read_bytes().startswith(b"\x89PNG\r\n")
    told = json.loads(run(draft, "--json", "--source", "hospital-a", "--since", "2026-01-01").output)
    assert (told["rows"], told["newly_quarantined"]) == (3, 1)
    assert json.loads(run(draft, "--json", "--anew").output)["newly_quarantined"] == 1
    assert json.loads(run(draft, "--json", "--source", "hospital-b").output)["rows"] == 0
    assert json.loads(run(draft, "--json", "--against", draft).output)["rules"] == []
    assert "Nothing that judges rows differs." in run("clinical.blood_pressure").output


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "Cannot read"),
        ("{", "not JSON"),
        ('{"name": "clinical.nothing"}', "no event type that lands"),
        ('{"name": "clinical.blood_pressure", "expectations": []}', "no expectations"),
    ],
)
def test_a_draft_that_cannot_be_read_is_refused_by_its_place(content, says, tmp_path):
    path = tmp_path / "draft.json"
    if content is not None:
        path.write_text(content, "utf-8")
    with pytest.raises(SuiteError, match=says) as refused:
        run(str(path))
    assert str(path) in str(refused.value)


def test_a_time_is_a_day_in_utc_or_has_its_zone():
    assert moment("") is None
    assert moment("2026-01-01") == BEGIN
    assert moment("2026-01-01T09:00:00+09:00") == BEGIN
    assert moment("today") - moment("yesterday") == dt.timedelta(days=1)
    for text in ("2026-01-01T09:00:00", "last week"):
        with pytest.raises(typer.BadParameter):
            moment(text)


def test_a_bar_is_as_long_as_its_share_and_the_least_is_seen():
    assert [bar(count, 100) for count in (100, 50, 1, 0)] == ["█" * 24, "█" * 12, "▎", ""]
    assert bar(0, 0) == ""
