"""`biokeel suite backtest`, `report` and `profile`, as a steward writes them."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from biokeel.cli import build
from biokeel.cli.suite_backtest import bar, moment
from biokeel.errors import LandingError, SuiteError
from biokeel.land.lake import Lake
from biokeel.rulebook.follow import FollowedBook
from biokeel.rules.of_the_book import versions_of
from biokeel.settings import PROJECT_ROOT
from biokeel.validate.lint import read_suite
from biokeel.validate.suites import suite_path
from tests.rules.lake import BEGIN, PRESSURE, SCHEMA, PressureLake, events

EVENT = str(PRESSURE)


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PressureLake:
    """A book of one event type, and what landed by its first version: 120 and 280 mmHg, and 900 in quarantine."""
    lake = Lake.local(tmp_path / "lake")
    shutil.copytree(PROJECT_ROOT / "expectations", tmp_path / "expectations")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BIOKEEL_EXPECTATIONS_DIR", str(tmp_path / "expectations"))
    monkeypatch.setenv("BIOKEEL_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(Lake, "of", lambda _settings: lake)
    monkeypatch.setattr("biokeel.observe.reach.require_store", lambda _settings: None)
    book = FollowedBook(lake.objects, {PRESSURE: SCHEMA}, begin=tmp_path / "expectations")
    (first,) = versions_of(book.standing(PRESSURE), SCHEMA).values()
    made = PressureLake(lake)
    made.land(events([{}, {"systolic": 280.0}, {"systolic": 900.0}]), first)
    return made


@pytest.fixture
def draft(lake: PressureLake, tmp_path: Path) -> Path:
    """The draft of the event type: the shipped suite with a lower limit."""
    path = suite_path(tmp_path / "expectations", PRESSURE)
    document = json.loads(path.read_text("utf-8"))
    for each in document["expectations"]:
        if each["meta"]["rule"] == "bp.systolic.range":
            each["kwargs"]["max_value"] = 250
    path.write_text(json.dumps(document), "utf-8")
    return path


def run(*arguments: str, said: str = "") -> Result:
    runner = CliRunner(env={"COLUMNS": "180"})
    return runner.invoke(build(), ["suite", *arguments], input=said, catch_exceptions=False)


def test_a_steward_reads_what_a_draft_would_change_and_a_program_the_same_as_json(draft: Path, tmp_path: Path) -> None:
    shown = run("backtest", EVENT, "--sweep", "systolic.max=250..320:10").output
    assert "Newly quarantined 1, released 0." in shown
    assert "systolic 280.0" in shown
    assert "250  ← the draft's" in shown
    assert "their stamps are believed" in shown
    run("backtest", str(draft), "--plot", "backtest.png")
    assert (tmp_path / "backtest.png").read_bytes().startswith(b"\x89PNG\r\n")

    def told(*arguments: str) -> dict[str, object]:
        return json.loads(run("backtest", EVENT, "--json", *arguments).output)

    assert (told()["rows"], told()["newly_quarantined"]) == (3, 1)
    assert told("--anew")["newly_quarantined"] == 1
    assert told("--against", "1")["newly_quarantined"] == 1
    assert told("--against", str(draft))["rules"] == []
    assert told("--source", "hospital-b")["rows"] == 0
    assert told("--since", "2026-01-02")["rows"] == 0
    assert told("--last", "2")["rows"] == 3  # all were recorded in the same millisecond


def test_a_draft_that_says_the_same_is_told_so(lake: PressureLake) -> None:
    assert "Nothing that judges rows differs." in run("backtest", EVENT).output


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "Cannot read"),
        ("{", "not JSON"),
        ('{"name": "clinical.nothing"}', "no event type that lands"),
        ('{"name": "clinical.blood_pressure", "expectations": []}', "no expectations"),
    ],
)
@pytest.mark.usefixtures("lake")
def test_a_draft_that_cannot_be_read_is_refused_by_its_place(content: str | None, says: str, tmp_path: Path) -> None:
    path = tmp_path / "draft.json"
    if content is not None:
        path.write_text(content, "utf-8")
    with pytest.raises(SuiteError, match=says) as refused:
        run("backtest", str(path))
    assert str(path) in str(refused.value)


@pytest.mark.usefixtures("lake")
def test_a_version_that_the_book_has_not_is_refused() -> None:
    with pytest.raises(SuiteError, match="no version 7"):
        run("backtest", EVENT, "--against", "7")


def test_the_morning_report_is_shown_and_written_as_markdown_and_html(lake: PressureLake, tmp_path: Path) -> None:
    shown = run("report", EVENT, "--since", "yesterday").output
    assert "New failures" in shown
    assert "bp.systolic.range" in shown
    run("report", "--markdown", "new.md", "--html", "new.html")
    markdown, html = ((tmp_path / name).read_text("utf-8") for name in ("new.md", "new.html"))
    assert "| bp.systolic.range | critical | hospital-a | 1 | 33.33% | 0 | – | mm\\[Hg\\]." in markdown
    assert "<td>bp.systolic.range</td>" in html
    assert "Nothing has landed of clinical.diagnosis" in html
    told = json.loads(run("report", EVENT, "--json").output)
    assert told["events"][0]["quarantined"] == 1
    with pytest.raises(SuiteError, match="no event type"):
        run("report", "clinical.nothing")
    assert run("report", "--since", "2999-01-01").exit_code == 2


def test_suggestions_are_kept_one_by_one_and_become_a_draft_that_can_be_tried(
    lake: PressureLake, tmp_path: Path
) -> None:
    several = [
        {"participant": 100 + number, "systolic": 110.0 + number % 40, "heart_rate": 60.0 + number % 30}
        for number in range(240)
    ]
    book = FollowedBook(lake.lake.objects, {PRESSURE: SCHEMA})
    lake.land(events(several, 3), next(iter(versions_of(book.standing(PRESSURE), SCHEMA).values())))
    told = json.loads(run("profile", EVENT, "--json").output)
    rules = [each["rule"] for each in told["suggestions"]]
    wanted = "bp.heart_rate.profiled_range"
    answers = "".join("y\n" if rule == wanted else "n\n" for rule in rules)
    shown = run("profile", EVENT, "--to", "mine.json", said=answers).output
    assert "1 rules more" in shown
    text = (tmp_path / "mine.json").read_text("utf-8")
    reading = read_suite(text, SCHEMA)
    assert reading.findings == ()
    assert [rule.id for rule in reading.rules if "profiled" in rule.id] == [wanted]
    assert "new, warning" in run("backtest", "mine.json").output
    with pytest.raises(SuiteError, match="is there already"):
        run("profile", EVENT, "--to", "mine.json", "--yes")
    shown = run("profile", EVENT, "--yes").output
    kept = read_suite((tmp_path / f"{EVENT}.profiled.json").read_text("utf-8"), SCHEMA)
    assert kept.findings == ()
    new_in_kind = [each["rule"] for each in told["suggestions"] if not each["in_force"]]
    assert [rule.id for rule in kept.rules if "profiled" in rule.id] == new_in_kind
    assert "Nothing was kept" in run("profile", EVENT, "--to", "none.json", said="n\n" * len(rules)).output
    assert not (tmp_path / "none.json").exists()


def test_what_has_not_landed_is_said_so(tmp_path: Path, lake: PressureLake) -> None:
    lake.tables.curated.handle.delete()
    with pytest.raises(LandingError, match="has landed"):
        run("profile", EVENT, "--yes")


def test_a_time_is_a_day_in_utc_or_has_its_zone() -> None:
    assert moment("") is None
    assert moment("2026-01-01") == BEGIN
    assert moment("2026-01-01T09:00:00+09:00") == BEGIN
    today, yesterday = moment("today"), moment("yesterday")
    assert today is not None
    assert yesterday is not None
    assert today - yesterday == dt.timedelta(days=1)
    for text in ("2026-01-01T09:00:00", "last week"):
        with pytest.raises(typer.BadParameter):
            moment(text)


def test_a_bar_is_as_long_as_its_share_and_the_least_is_seen() -> None:
    assert [bar(count, 100) for count in (100, 50, 1, 0)] == ["█" * 24, "█" * 12, "▎", ""]
    assert bar(0, 0) == ""
