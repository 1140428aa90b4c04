"""The picture of a backtest shows its counts, each once."""

from __future__ import annotations

from pathlib import Path

import pytest

from biokeel.land.lake import Lake
from biokeel.rules.backtest import Backtest, Comparison
from biokeel.rules.backtest_plot import figure_of, png_of
from biokeel.rules.backtest_rows import Scope
from biokeel.rules.backtest_sweep import read_sweep
from tests.rules.lake import SCHEMA, PressureLake, between, events, suite


@pytest.fixture
def found(tmp_path: Path) -> Backtest:
    """Two rows that a draft stops newly, one that it lets go."""
    lake = PressureLake(Lake.local(tmp_path))
    before = suite(
        between("bp.systolic", "critical", max_value=180),
        between("bp.diastolic", "critical", "diastolic", max_value=90),
    )
    draft = suite(
        between("bp.systolic", "critical", max_value=150), between("bp.diastolic", "warning", "diastolic", max_value=90)
    )
    lake.land(events([{"systolic": 160.0}, {"systolic": 170.0}, {"diastolic": 100.0}, {}]), before)
    sweep = read_sweep("systolic.max=140..180:10", draft, SCHEMA)
    known = {before.suite.version: before}
    return Comparison(lake.lake, SCHEMA, draft, before, scope=Scope(), stamps=known, sweep=sweep).run()


def test_every_part_shows_its_counts(found: Backtest) -> None:
    rules, sources, months, slid = figure_of(found).axes
    assert [label.get_text() for label in rules.get_yticklabels()] == ["bp.diastolic", "bp.systolic"]
    assert [bar.get_width() for bar in rules.patches] == [0, 2, 0, 0, 1, 0]
    assert [label.get_text() for label in sources.get_yticklabels()] == ["hospital-a"]
    assert [bar.get_width() for bar in sources.patches] == [2, 1]
    assert [label.get_text() for label in months.get_yticklabels()] == ["2026-01"]
    failing, newly, released, now = slid.get_lines()
    assert list(failing.get_ydata()) == [2, 2, 1, 0, 0]
    assert list(newly.get_ydata()) == [2, 2, 1, 0, 0]
    assert list(released.get_ydata()) == [1] * 5
    assert set(now.get_xdata()) == {150}


def test_it_is_a_png_also_where_nothing_differs(found: Backtest, tmp_path: Path) -> None:
    assert png_of(found).startswith(b"\x89PNG\r\n")
    lake = PressureLake(Lake.local(tmp_path / "other"))
    same = suite(between("bp.systolic", "critical", max_value=180))
    lake.land(events([{}]), same)
    assert png_of(Comparison(lake.lake, SCHEMA, same, same, scope=Scope(), stamps={}).run()).startswith(b"\x89PNG\r\n")
