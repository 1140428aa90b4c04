"""What the tables say, for the books: only what is new where that can be, else all of it.

A row is read by its coordinates and by what a receipt tells of it; no other column is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl

from biokeel.books.alarms import SKEW_SECONDS
from biokeel.books.intervals import Bag
from biokeel.books.places import Label, Place, Teller
from biokeel.books.state import BEGINNING, Part, Position, Saying
from biokeel.contracts.topics import EventType
from biokeel.land import commits
from biokeel.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from biokeel.land.lake import Lake

_COORDINATES: Final = {
    "source_id": pl.String(),
    "first_partition": pl.Int32(),
    "first_offset": pl.Int64(),
    "stream": pl.String(),
}
_COLUMNS: Final[dict[Teller, dict[str, pl.DataType]]] = {
    Teller.CURATED: {"withheld": pl.String(), "operation": pl.Int64()},
    Teller.QUARANTINE: {
        "reason": pl.String(),
        "failed_rules": pl.List(pl.String()),
        "suite_version": pl.String(),
        "withheld": pl.String(),
        "operation": pl.Int64(),
    },
    Teller.HISTORY: {"why": pl.String(), "operation": pl.Int64()},
}
"""What is read of a row besides its coordinates."""
_PLACES: Final = {Reason.REPEATED.value: Place.REPEATED, Reason.RETRACTED.value: Place.WITHDRAWN}
"""Where a row of the quarantine table lies that waits for nobody."""
_GROUP: Final = ("source_id", "first_partition", "stream")


class News(NamedTuple):
    """What a table says newly, up to `position`: rows that came, and rows that went.

    `ahead`: of sources with events that were recorded later than they landed, by how many seconds at most.
    """

    position: Position
    added: Saying
    removed: Saying
    ahead: dict[str, float]


@dataclass(frozen=True, slots=True)
class Tables:
    """The curated, quarantine and history tables of a lake."""

    lake: Lake

    def news(self, event: EventType, teller: Teller, at: Position) -> News | None:
        """What came after `at`, None where nothing did. Raises `StoreUnavailable`.

        Also where a file was vacuumed before it was read: then only `whole` helps.
        """
        uri = self._uri(event, teller)
        found = commits.since(self.lake, uri, at.number)
        if found is None:
            return None
        added = [path for path, count in found.files.items() for _ in range(count)]
        removed = [path for path, count in found.files.items() for _ in range(-count)]
        return News(
            Position(found.version, found.mark),
            self._said(event, teller, added, found),
            self._said(event, teller, removed, found),
            self._ahead(self._uri(event, teller), found) if teller is not Teller.HISTORY else {},
        )

    def _ahead(self, uri: str, found: commits.Followed) -> dict[str, float]:
        """Of each source how far its newest event lies in the future; only files are read whose log says that one does.

        A file that is gone by now says nothing any more.
        """
        ahead: dict[str, float] = {}
        columns = {"source_id": pl.String(), "recorded_at": pl.Datetime("us", "UTC")}
        for path, (latest, committed) in found.latest.items():
            if latest <= committed + SKEW_SECONDS or path not in found.files:
                continue
            late = pl.col("recorded_at").dt.epoch("ms") / 1000 - committed
            for frame in commits.rows(self.lake, uri, [path], columns, known=found.rows):
                for source, seconds in frame.group_by("source_id").agg(late.max()).iter_rows():
                    ahead[source] = max(ahead.get(source, 0.0), seconds or 0.0)
        return ahead

    def is_known(self, event: EventType, teller: Teller, at: Position) -> bool:
        """Whether what was read up to `at` was this very table, and `news` can go on from there."""
        return commits.is_known(self.lake, self._uri(event, teller), *at)

    def whole(
        self, event: EventType, teller: Teller, at: Position | None = None, only: pl.Expr | None = None
    ) -> tuple[Position, Saying]:
        """All that the table says now, or said `at`; of rows that `only` is true of. Raises `StoreUnavailable`."""
        if at == BEGINNING:
            return BEGINNING, {}
        found = commits.whole(self.lake, self._uri(event, teller), None if at is None else at.number)
        return Position(found.version, found.mark), self._said(event, teller, found.files, found, only)

    def reach(self, event: EventType, teller: Teller, at: Position) -> dict[Part, tuple[int, int]]:
        """Of each raw partition that the table has rows of, the least and the greatest offset."""
        if at == BEGINNING:
            return {}
        uri = self._uri(event, teller)
        found = commits.whole(self.lake, uri, at.number)
        spans: dict[Part, tuple[int, int]] = {}
        columns = {name: _COORDINATES[name] for name in ("source_id", "first_partition", "first_offset")}
        offset = pl.col("first_offset")
        for frame in commits.rows(self.lake, uri, found.files, columns, known=found.rows):
            those = frame.group_by("source_id", "first_partition").agg(offset.min().alias("a"), offset.max().alias("b"))
            for source, partition, low, high in those.iter_rows():
                part = Part(source, str(event), partition)
                before = spans.get(part, (low, high))
                spans[part] = min(low, before[0]), max(high, before[1])
        return spans

    def _said(
        self,
        event: EventType,
        teller: Teller,
        files: Iterable[str],
        found: commits.Followed,
        only: pl.Expr | None = None,
    ) -> Saying:
        said: Saying = {}
        columns = _COORDINATES | _COLUMNS[teller]
        uri = self._uri(event, teller)
        for frame in commits.rows(self.lake, uri, files, columns, known=found.rows, only=only):
            for key, bag in said_by(event, teller, frame).items():
                said[key] = said.get(key, Bag()) + bag
        return said

    def _uri(self, event: EventType, teller: Teller) -> str:
        return {
            Teller.CURATED: self.lake.curated,
            Teller.QUARANTINE: self.lake.quarantine,
            Teller.HISTORY: self.lake.history,
        }[teller](event)


def said_by(event: EventType, teller: Teller, frame: pl.DataFrame) -> Saying:
    """What rows of a table say, which have `_COORDINATES` and the `_COLUMNS` of `teller`."""
    words = list(_COLUMNS[teller])
    plain = frame.with_columns(
        pl.col(name).list.sort().list.join(",") if isinstance(kind, pl.List) else pl.col(name).cast(pl.String)
        for name, kind in _COLUMNS[teller].items()
    ).with_columns(pl.col(*words).fill_null(""))
    said: Saying = {}
    groups = plain.group_by(*_GROUP, *words).agg("first_offset")
    for (source, partition, stream, *told), offsets in zip(
        groups.drop("first_offset").iter_rows(), groups["first_offset"], strict=True
    ):
        key = Part(source, str(event), partition), _label(teller, stream, dict(zip(words, told, strict=True)))
        said[key] = said.get(key, Bag()) + Bag.of(offsets.to_numpy())
    return said


def _label(teller: Teller, stream: str, told: dict[str, str]) -> Label:
    withheld, operation = told.get("withheld", ""), told["operation"]
    if teller is Teller.CURATED:
        return Label(teller, Place.CURATED, stream, withheld=withheld, operation=operation)
    if teller is Teller.HISTORY:
        return Label(teller, Place(told["why"]), stream, operation=operation)
    reason = told["reason"]
    place = _PLACES.get(reason, Place.QUARANTINED)
    return Label(teller, place, stream, reason, told["failed_rules"], told["suite_version"], withheld, operation)
