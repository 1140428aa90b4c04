"""The books: proof that every raw event lies in exactly one place, from Kafka, the vault and the tables themselves.

It stands in `console` because it is the operators' view: only they look at both sides of the privacy wall at once,
with rights of their own: Kafka's positions, the tables, and the vault's decisions without its keys. It is above
`engine`; `biokeel verify` and the console's page use it alike, and therefore show the same figures.

The order of the looks matters while events flow: watermarks first, then tables, then the vault. An event moves from
raw to the tables, or from the vault's parking to the tables, so one that moves between two looks can be seen in no
place (it is on its way, and counts as missing until the next look) but never in two: a doubled event is never a false
alarm.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from biokeel.batch import RawPartition
from biokeel.books.balance import Books, PartitionBooks, Place, add_up, balance, first_coordinates
from biokeel.contracts.catalogue import locked_events
from biokeel.observe.metrics import Edge
from biokeel.observe.stats import collect
from biokeel.reasons import Reason
from biokeel.settings import OPERATOR, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from biokeel.contracts.topics import EventType
    from biokeel.engine.kafka.watermarks import Watermarks

LANDED_COLUMNS = {
    "source_id": pl.String(),
    "first_partition": pl.Int32(),
    "first_offset": pl.Int64(),
    "stream": pl.String(),
}
"""What the books read of a table's row."""


PLACED_COLUMNS = {
    "source_id": pl.String(),
    "first_partition": pl.Int32(),
    "first_offset": pl.Int64(),
    "place": pl.String(),
}
"""What the books read of a row that was set aside: a `Place`."""


class LandedRows(NamedTuple):
    """`LANDED_COLUMNS` of every curated and every quarantined row of an event type, and `PLACED_COLUMNS` of those
    beside: repeated, superseded and withdrawn ones. Empty frames where a table does not exist.
    """

    curated: pl.DataFrame
    quarantined: pl.DataFrame
    beside: pl.DataFrame


def no_rows() -> LandedRows:
    """What an event type without tables has landed."""
    landed = pl.DataFrame(schema=LANDED_COLUMNS)
    return LandedRows(landed, landed, pl.DataFrame(schema=PLACED_COLUMNS))


@dataclass(frozen=True, slots=True)
class Bookkeeper:
    """Looks at Kafka, the tables and the vault, and balances what it sees."""

    watermarks: Callable[[], Watermarks]
    landed: Callable[[EventType], LandedRows]
    vault: Callable[[EventType, RawPartition], pl.DataFrame]
    replays: Callable[[], dict[EventType, int]]
    aside: Callable[[], tuple[str, ...]] = tuple

    @classmethod
    def of(cls, state_dir: Path) -> Bookkeeper:
        """The bookkeeper of the stack whose env files lie in `state_dir`, with an operator's rights.

        Raises `SettingsError` without them.
        """
        from biokeel.engine.kafka.watermarks import raw_watermarks

        settings = Settings.load(OPERATOR, state_dir=state_dir)
        settings.require("kafka_bootstrap", "vault_url", "s3_endpoint")
        return cls(
            lambda: raw_watermarks(settings, locked_events(settings.schemas_dir)),
            _landed(settings),
            _decisions(settings),
            lambda: _replays(state_dir),
            _aside(settings),
        )

    def look(self, watermarks: Watermarks | None = None) -> Books:
        """Balance all event types against `watermarks` (default: those of now)."""
        taken_at, began = time.time(), time.perf_counter()
        marks = self.watermarks() if watermarks is None else watermarks
        replays = self.replays()
        partitions = {event: list(self._balanced(event, marks[event])) for event in marks}
        every = [part for parts in partitions.values() for part in parts]
        return Books(
            taken_at,
            time.perf_counter() - began,
            tuple(add_up(event, parts, replays.get(event, 0)) for event, parts in partitions.items()),
            first_coordinates(every, "missing"),
            first_coordinates(every, "doubled"),
            self.aside(),
        )

    def _balanced(self, event: EventType, marks: dict[RawPartition, tuple[int, int]]) -> Iterator[PartitionBooks]:
        rows = no_rows() if event.is_person or not marks else self.landed(event)
        curated, quarantined, beside = (_by_origin(frame) for frame in rows)
        nothing = no_rows()
        for origin, lowhigh in marks.items():
            yield balance(
                event,
                origin,
                lowhigh,
                curated=curated.get(origin, nothing.curated),
                quarantined=quarantined.get(origin, nothing.quarantined),
                beside=beside.get(origin, nothing.beside),
                vault=self.vault(event, origin),
            )


def _by_origin(frame: pl.DataFrame) -> dict[RawPartition, pl.DataFrame]:
    parts = frame.partition_by("source_id", "first_partition", as_dict=True)
    return {RawPartition(str(source), int(partition)): part for (source, partition), part in parts.items()}


def _replays(state_dir: Path) -> dict[EventType, int]:
    snapshot = collect(state_dir)
    return {event: snapshot.total(Edge.REPEATED, event) for event in snapshot.types}


def _aside(settings: Settings) -> Callable[[], tuple[str, ...]]:
    from biokeel.land.aside import Aside
    from biokeel.land.lake import Lake

    aside = Aside(Lake.of(settings))
    return aside.told


def _decisions(settings: Settings) -> Callable[[EventType, RawPartition], pl.DataFrame]:
    from biokeel.vault.decisions import Decisions

    return Decisions.open(settings).books


_PLACES = {Reason.REPEATED.value: Place.REPEATED.value, Reason.RETRACTED.value: Place.WITHDRAWN.value}
"""Where a row of the quarantine table lies that waits for nobody."""


def _landed(settings: Settings) -> Callable[[EventType], LandedRows]:
    from biokeel.land.contents import CURATED, HISTORY, LakeReader
    from biokeel.land.lake import Lake

    reader = LakeReader(Lake.of(settings))

    def read(event: EventType) -> LandedRows:
        rows = reader.landed(event)
        curated = rows["table"] == CURATED
        place = (
            pl.when(pl.col("table") == HISTORY)
            .then(pl.col("why"))
            .otherwise(pl.col("why").replace_strict(_PLACES, default=None))
        )
        placed = rows.with_columns(place.alias("place"))
        beside = placed["place"].is_not_null()
        return LandedRows(rows.filter(curated), rows.filter(~curated & ~beside), placed.filter(beside))

    return read
