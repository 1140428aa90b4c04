"""Rows that came live, as their verdicts stand on them: for who counts beside the stream.

Of what was landed in both tables (`biokeel.land.landings`) those rows that a suite judged: repeats, withdrawals and
rows on which a stage failed are none of its business.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl

from biokeel.errors import StoreUnavailable
from biokeel.land.landings import gone
from biokeel.land.pieces import in_pieces, read
from biokeel.reasons import Reason
from biokeel.rules.backtest_rows import LANDED, QUARANTINED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from biokeel.contracts.topics import EventType
    from biokeel.land.lake import Lake
    from biokeel.land.landings import File
    from biokeel.land.pieces import Piece

TABLES: Final = (QUARANTINED, LANDED)
"""Of each event type, in the order in which a landing writes them."""
_TEXT: Final = pl.String()
_LIST: Final = pl.List(pl.String())
_LANDED: Final[dict[str, pl.DataType]] = {
    "source_id": _TEXT,
    "suite_version": _TEXT,
    "warnings": _LIST,
}
_COLUMNS: Final = {LANDED: _LANDED, QUARANTINED: _LANDED | {"reason": _TEXT, "failed_rules": _LIST}}


class NewRows(NamedTuple):
    """Rows of a piece: `row` (their number in it), `source_id`, `suite_version`, and `stamped`: ids of the rules that
    they failed, critical and warnings. `aside`: how many others there are, by why.
    """

    frame: pl.DataFrame
    aside: Counter[str]


def table_of(lake: Lake, event: EventType, lies: str) -> str:
    """The URI of the curated or the quarantine table."""
    return lake.curated(event) if lies == LANDED else lake.quarantine(event)


def new_rows(lake: Lake, lies: str, piece: Piece) -> NewRows:
    """The rows of a piece of what was landed. Raises `StoreUnavailable`."""
    found = read(lake, piece, _COLUMNS[lies]).with_row_index("row")
    why, stamped = pl.lit(None, _TEXT), pl.col("warnings").fill_null([])
    if lies == QUARANTINED:
        why = pl.when(pl.col("reason") != Reason.RULE.value).then(pl.col("reason"))
        stamped = pl.concat_list(pl.col("failed_rules").fill_null([]), stamped)
    told = found.with_columns(why.alias("why"), stamped.alias("stamped"))
    others = told["why"].drop_nulls().value_counts()
    kept = told.filter(pl.col("why").is_null())
    return NewRows(kept.select("row", "source_id", "suite_version", "stamped"), Counter(dict(others.iter_rows())))


def each_piece(lake: Lake, files: Sequence[File], see: Callable[[Piece], None]) -> int:
    """Show `see` every row of `files`, piece by piece; how many rows it could not, since a vacuum took their files.

    `see` reads, and what it has seen of a piece it must forget when it raises. Raises `StoreUnavailable`.
    """
    lost = 0
    for piece in in_pieces(files):
        try:
            see(piece)
        except StoreUnavailable:
            missing = set(gone(lake, piece.files))
            if not missing:
                raise
            lost += piece.rows if len(piece.files) == 1 else sum(rows for _, rows in missing)
            if rest := [file for file in piece.files if file not in missing]:
                lost += each_piece(lake, rest, see)
    return lost
