"""Which rows a backtest looks at, and what it leaves aside, by why.

Rows are chosen by when they were recorded (`recorded_at`, which the log knows of each file, so that older files are not
even opened) and by source. The last N are those recorded last; all that were recorded in the same millisecond as the
N-th are among them.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from biokeel.errors import NothingLanded
from biokeel.land.pieces import Pieces, pieces_of, read
from biokeel.land.quarantine import FIRST
from biokeel.reasons import Reason

if TYPE_CHECKING:
    from biokeel.contracts.topics import EventType
    from biokeel.land.lake import Lake
    from biokeel.land.pieces import Piece

LANDED, QUARANTINED = "landed", "quarantined"
RELEASED, AGAIN, HISTORY = "released since", "judged again since", "superseded, repeated or withdrawn (history)"
"""Why rows are left aside, beside the reasons of rows that no rule stopped."""

_TIME: Final = pl.Datetime("ms", "UTC")
_TEXT: Final = pl.String()
_LIST: Final = pl.List(pl.String())
_WHEN: Final[dict[str, pl.DataType]] = {"source_id": _TEXT, "occurred_at": _TIME, "recorded_at": _TIME}
_STAMPS: Final[dict[str, pl.DataType]] = {"suite_version": _TEXT, "warnings": _LIST}
_FIRST: Final[dict[str, pl.DataType]] = {"source_id": _TEXT, "first_partition": pl.Int32(), "first_offset": pl.Int64()}
_OPERATED: Final = _FIRST | {"operation": pl.Int64()}
_RECORDED: Final = pl.coalesce("recorded_at", "occurred_at")


@dataclass(frozen=True, slots=True)
class Scope:
    """Which rows: recorded at `since` or later, the `last` so many of them, of `sources`; None for no such limit."""

    since: dt.datetime | None = None
    last: int | None = None
    sources: frozenset[str] | None = None

    def rows(self) -> pl.Expr:
        """Whether a row is of the scope, `last` apart."""
        chosen = pl.lit(value=True)
        if self.since is not None:
            chosen &= _RECORDED.ge(self.since)
        if self.sources is not None:
            chosen &= pl.col("source_id").is_in(sorted(self.sources))
        return chosen


@dataclass(frozen=True, slots=True)
class Looked:
    """Rows of a piece that are judged: `row` (their number in it), `source_id`, `month` (months since year 0),
    `suite_version`, `stamped` (ids of rules that they failed), and what more was asked for. `aside`: how many others
    of the scope, by why.
    """

    frame: pl.DataFrame
    aside: Counter[str]


class Rows:
    """The rows of both tables of an event type, as they stood when this was made. For several threads."""

    def __init__(self, lake: Lake, event: EventType, scope: Scope) -> None:
        """Read both logs, and which rows were released from quarantine.

        Raises `NothingLanded`, `StoreUnavailable`.
        """
        self._lake = lake
        self.tables = {
            LANDED: pieces_of(lake, lake.curated(event), scope.since),
            QUARANTINED: pieces_of(lake, lake.quarantine(event), scope.since),
        }
        if all(table.version < 0 for table in self.tables.values()):
            raise NothingLanded(f"Nothing of {event} has landed.", "Its tables are made when a worker starts.")
        if scope.last is not None:
            scope = Scope(_newest(lake, self.tables, scope, scope.last), None, scope.sources)
        self.scope = scope
        history = pieces_of(lake, lake.history(event), scope.since)
        self.in_history = history.rows
        landed = self.tables[LANDED].pieces + history.pieces
        self._released = self._operated(landed, "released_by")
        self._again = self._operated(self.tables[QUARANTINED].pieces, "again_by")

    def __iter__(self) -> Iterator[tuple[str, Piece]]:
        """Where rows lie, and the pieces of that table."""
        for lies, table in self.tables.items():
            yield from ((lies, piece) for piece in table.pieces)

    def look(self, lies: str, piece: Piece, more: Mapping[str, pl.DataType] = MappingProxyType({})) -> Looked:
        """The rows of a piece, of their columns only `more`. Raises `StoreUnavailable`."""
        if lies == LANDED:
            frame = (
                read(self._lake, piece, {**_WHEN, **_STAMPS, **more}).with_row_index("row").filter(self.scope.rows())
            )
            return Looked(_plain(frame, pl.col("warnings"), more), Counter())
        columns = {
            **_WHEN,
            **_STAMPS,
            **_FIRST,
            "operation": pl.Int64(),
            "reason": _TEXT,
            "failed_rules": _LIST,
            **more,
        }
        frame = read(self._lake, piece, columns).with_row_index("row").filter(self.scope.rows())
        stopped = frame.filter(pl.col("reason") == Reason.RULE)
        aside = Counter(dict(frame.filter(pl.col("reason") != Reason.RULE)["reason"].value_counts().iter_rows()))
        latest = _not_moved_since(stopped, self._again, "again_by")
        waiting = _not_moved_since(latest, self._released, "released_by")
        aside += Counter({AGAIN: stopped.height - latest.height, RELEASED: latest.height - waiting.height})
        stamped = pl.concat_list(pl.col(name).fill_null([]) for name in ("failed_rules", "warnings"))
        return Looked(_plain(waiting, stamped, more), aside)

    def _operated(self, pieces: Iterable[Piece], name: str) -> pl.DataFrame:
        """Of the events that operations brought to a table, the latest operation that did, as `name`."""
        found = [pl.DataFrame(schema=_OPERATED)]
        for piece in pieces:
            moved = read(self._lake, piece, {"operation": pl.Int64()})["operation"].is_not_null()
            if moved.any():
                found.append(read(self._lake, piece, _OPERATED).filter(moved))
        return pl.concat(found).group_by(FIRST).agg(pl.col("operation").max().alias(name))


def _not_moved_since(rows: pl.DataFrame, moved: pl.DataFrame, name: str) -> pl.DataFrame:
    """The quarantined `rows` whose event no later operation has `moved`."""
    if not moved.height:
        return rows
    joined = rows.join(moved, on=FIRST, how="left", maintain_order="left")
    return joined.filter(pl.col(name).fill_null(0) <= pl.col("operation").fill_null(0)).select(rows.columns)


def _plain(frame: pl.DataFrame, stamped: pl.Expr, more: Iterable[str]) -> pl.DataFrame:
    occurred = pl.col("occurred_at").dt
    month = occurred.year() * 12 + occurred.month().cast(pl.Int32) - 1
    return frame.select("row", "source_id", month.alias("month"), "suite_version", stamped.alias("stamped"), *more)


def _newest(lake: Lake, tables: dict[str, Pieces], scope: Scope, last: int) -> dt.datetime | None:
    """When the `last`-newest row of the scope was recorded; None where there are no more than that."""
    newest = np.empty(0, np.int64)
    for table in tables.values():
        # The newest pieces first: what they leave in `newest` makes most of the others short.
        for piece in reversed(table.pieces):
            moments = read(lake, piece, _WHEN).filter(scope.rows()).select(_RECORDED.dt.epoch("ms")).to_series()
            held = np.concatenate((newest, moments.drop_nulls().to_numpy()))
            newest = np.partition(held, len(held) - last)[-last:] if len(held) > last else held
    if len(newest) < last or not last:
        return scope.since
    return dt.datetime.fromtimestamp(int(newest.min()) / 1000, dt.UTC)
