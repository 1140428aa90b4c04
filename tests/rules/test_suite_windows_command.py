"""`biokeel suite windows`, as a steward writes it, with Great Expectations itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from biokeel.cli import build
from biokeel.land.lake import Lake
from tests.rules.beside import World
from tests.rules.lake import PRESSURE, between, suite_text
from tests.rules.test_windows import settle, threshold, window

EVENT = str(PRESSURE)


def run(*arguments: str) -> Result:
    runner = CliRunner(env={"COLUMNS": "200"})
    return runner.invoke(build(), ["suite", "windows", *arguments], catch_exceptions=False)


def test_a_steward_sees_what_windows_came_to_and_where_sources_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = threshold(warn=0.5, until="2020-01-01") | {"meta": {**threshold(warn=0.5, until="2020-01-01")["meta"]}}
    late["meta"]["rule"] = "bp.old"
    mostly = between("bp.mostly", "warning", min_value=110, mostly=0.4)
    world = World(tmp_path, suite_text(threshold(warn=0.2), window("bp.mean", every="1h", by="source"), mostly, late))
    monkeypatch.setattr(Lake, "of", lambda _settings: world.lake)
    monkeypatch.setattr("biokeel.observe.reach.require_store", lambda _settings: None)
    shown = run(EVENT)
    assert "4 rules about many rows, 0 windows wait" in shown.output
    assert "bp.mean: every 1h or 500,000 rows, each source by itself; no window of it is over yet" in shown.output
    assert "until 2020-01-01 (expired)" in shown.output
    assert shown.exit_code == 0
    worker = world.worker()
    worker.turn()
    world.land({"systolic": 105.0}, {"systolic": 115.0}, {"systolic": 900.0}, {"systolic": 90.0, "source_id": "b"})
    settle(world, worker, 26 * 3600)
    shown = run(EVENT)
    assert shown.exit_code == 1
    words = [" ".join(line.replace("│", " ").split()) for line in shown.output.splitlines()]
    assert any(line.startswith("bp.mean b met 1 90 ") for line in words)
    assert any(line.startswith("bp.mean hospital-a fails 2 110 ") for line in words)
    assert any(line.startswith("bp.mostly all fails 3 2 of 3 (66.67%)") for line in words)
    assert any(line.startswith("bp.systolic.range hospital-a warns 3 1 33.33%") for line in words)
    assert any(
        line.startswith("page of window 1: data-docs/clinical/blood_pressure/000000000001.html") for line in words
    )
    told = json.loads(run(EVENT, "--json").output)[EVENT]
    assert {each["rule"] for each in told["results"]} == {"bp.mean", "bp.mostly"}
    assert told["due"] == 0
