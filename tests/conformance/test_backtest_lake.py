"""A backtest reads a lake on the real object store as it reads a folder: pieces, columns that files lack, history."""

from __future__ import annotations

from biokeel.land.maintenance import compact
from biokeel.land.pieces import lacking, pieces_of
from biokeel.rules.backtest import Comparison
from biokeel.rules.backtest_rows import Scope
from tests.rules.lake import BEGIN, PRESSURE, SCHEMA, PressureLake, between, events, suite

BEFORE = suite(between("bp.systolic.range", "critical", max_value=300))
DRAFT = suite(between("bp.systolic.range", "critical", max_value=180))


def test_a_draft_is_tried_on_all_rows_before_and_after_compaction(lakes):
    lake = PressureLake(lakes())
    lake.land(events([{"systolic": 200.0}, {}]), BEFORE)
    lake.land(events([{"systolic": 400.0}, {"systolic": 190.0}], 2), BEFORE)
    uri = lake.lake.curated(PRESSURE)
    for _ in range(2):
        found = Comparison(lake.lake, SCHEMA, DRAFT, BEFORE, scope=Scope(), stamps={BEFORE.suite.version: BEFORE}).run()
        assert (found.judged, found.moved(would_stop=True), len(found.examples)) == (4, 2, 2)
        pieces = pieces_of(lake.lake, uri, BEGIN)
        assert (pieces.rows, len(pieces.pieces)) == (3, 1)
        (piece,) = pieces.pieces
        assert sum(end - first for _, first, end in lacking(lake.lake, piece, ["no_such_column"])) == 3
        assert list(lacking(lake.lake, piece, ["systolic"])) == []
        compact(lake.lake, uri)
