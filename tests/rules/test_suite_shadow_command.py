"""`biokeel suite shadow`, as a steward writes it."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from biokeel.cli import build
from biokeel.errors import NotApproved, SuiteError
from biokeel.rulebook.follow import FollowedBook
from biokeel.rules.beside import BesideWorker
from biokeel.rules.beside_metrics import BesideMetrics
from biokeel.rules.of_the_book import versions_of
from tests.rules.lake import PRESSURE, SCHEMA, PressureLake, events
from tests.rules.test_suite_backtest_command import draft, lake

__all__ = ["draft", "lake"]
EVENT = str(PRESSURE)


def run(*arguments: str) -> Result:
    runner = CliRunner(env={"COLUMNS": "180"})
    return runner.invoke(build(), ["suite", *arguments], catch_exceptions=False)


def said(*arguments: str) -> str:
    return run(*arguments).output


def test_a_steward_lets_a_draft_run_beside_reads_what_it_counts_and_ends_it(
    lake: PressureLake, draft: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said("steward", "add", "anna", "--key-file", str(tmp_path / "anna.key"))
    monkeypatch.setenv("BIOKEEL_STEWARD_KEY_FILE", str(tmp_path / "anna.key"))
    with pytest.raises(SuiteError, match="There is no shadow"):
        run("shadow", "show", EVENT)
    assert run("shadow", "start", str(draft), "--for", "soon", "--reason", "tried").exit_code == 2
    assert "runs until" in said("shadow", "start", EVENT, "--for", "2h", "--reason", "A lower limit, tried.")
    with pytest.raises(NotApproved, match="suite shadow stop"):
        run("shadow", "start", EVENT, "--for", "2h", "--reason", "Again.")
    assert "nobody has counted yet: biokeel worker windows does" in said("shadow", "show", EVENT)
    assert "nobody has counted yet" in " ".join(said("shadow", "list").split())

    book = FollowedBook(lake.lake.objects, {PRESSURE: SCHEMA})
    (first,) = versions_of(book.standing(PRESSURE), SCHEMA).values()
    lake.land(events([{}, {"systolic": 280.0}, {"systolic": 900.0}], lake.rows), first)
    BesideWorker(lake.lake, {PRESSURE: SCHEMA}, book, BesideMetrics()).turn()
    shown = said("shadow", "show", EVENT)
    assert "3 rows: newly quarantined 1, released 0." in shown
    assert "bp.systolic.range" in shown
    assert "µs a row" in shown
    told = json.loads(said("shadow", "show", EVENT, "--json"))
    assert (told["author"], told["rows"], told["newly_quarantined"]) == ("anna", 3, 1)
    assert dt.datetime.fromisoformat(told["until"]) > dt.datetime.now(dt.UTC)
    assert "until" in said("shadow", "list")

    assert "ended" in said("shadow", "stop", EVENT)
    assert "ended" in said("shadow", "show", EVENT)
    with pytest.raises(NotApproved, match="No shadow"):
        run("shadow", "stop", EVENT)
