"""The arithmetic of the books: of each raw coordinate, in how many places does its event lie? Exactly one is right.

Everything here is columnar and pure; `books` gathers what goes in.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from biokeel.batch import STREAM_QUARANTINE, At

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt
    import polars as pl

    from biokeel.batch import RawPartition
    from biokeel.contracts.topics import EventType

SHOWN: Final = 20
"""How many missing and doubled coordinates are kept; the rest is counted."""
NAMED: Final = 3
"""How many of them a sentence names."""


class Place(StrEnum):
    """Where an event may lie in the end. An event released from parking lies in curated or quarantined.

    Repeated: its source sent it again as it was. Superseded: a newer version of it is curated, and it is history.
    Withdrawn: its source says that it was entered in error; the event that says so counts here too.
    """

    CURATED = "curated"
    QUARANTINED = "quarantined"
    REPEATED = "repeated"
    SUPERSEDED = "superseded"
    WITHDRAWN = "withdrawn"
    PARKED = "parked"
    SEALED = "sealed"
    APPLIED = "applied"


@dataclass(frozen=True, slots=True, order=True)
class Coordinate:
    """One event of a raw topic."""

    event: EventType
    at: At

    def __str__(self) -> str:
        return self.at.of(self.event)


@dataclass(frozen=True, slots=True)
class PartitionBooks:
    """What one raw partition's [low, high) came to. `missing` and `doubled` are raw offsets (int64)."""

    event: EventType
    origin: RawPartition
    raw: int
    places: dict[Place, int]
    missing: npt.NDArray[np.int64]
    doubled: npt.NDArray[np.int64]


def balance(
    event: EventType,
    origin: RawPartition,
    watermarks: tuple[int, int],
    *,
    curated: pl.DataFrame,
    quarantined: pl.DataFrame,
    beside: pl.DataFrame,
    vault: pl.DataFrame,
) -> PartitionBooks:
    """Balance one raw partition.

    `curated` and `quarantined` are the partition's table rows with `first_offset` (Int64) and `stream` (String);
    `beside` are rows of the tables that are neither: `first_offset` (Int64) and `place` (String: repeated, superseded,
    withdrawn); `vault` is `Vault.books`: `offset` (Int64) and `place` (String: parked, released, sealed, applied).
    Offsets outside [low, high) do not count: they are past retention, or came after the look at the watermarks.
    """
    low, high = watermarks
    replayed = curated["stream"] == STREAM_QUARANTINE
    judged_again = quarantined["stream"] == STREAM_QUARANTINE
    in_curated = _count(curated["first_offset"], low, high)
    in_quarantine = _count(quarantined.filter(~judged_again)["first_offset"], low, high)
    # A quarantined event that failed again under a newer suite is still one event in quarantine, and one that passed
    # and was let in again has left it, though its row stays as history.
    in_quarantine |= _count(quarantined.filter(judged_again)["first_offset"], low, high) > 0
    in_quarantine[_count(curated.filter(replayed)["first_offset"], low, high) > 0] = 0
    counts = {Place.CURATED: in_curated, Place.QUARANTINED: in_quarantine}
    for place in (Place.REPEATED, Place.SUPERSEDED, Place.WITHDRAWN):
        counts[place] = _count(beside.filter(beside["place"] == place.value)["first_offset"], low, high)
    for place in (Place.PARKED, Place.SEALED, Place.APPLIED):
        counts[place] = _count(vault.filter(vault["place"] == place.value)["offset"], low, high)
    total = np.zeros(max(high - low, 0), dtype=np.uint8)
    for count in counts.values():
        total += count
    return PartitionBooks(
        event,
        origin,
        len(total),
        {place: int(np.count_nonzero(count)) for place, count in counts.items()},
        np.flatnonzero(total == 0) + low,
        np.flatnonzero(total > 1) + low,
    )


def _count(offsets: pl.Series, low: int, high: int) -> npt.NDArray[np.uint8]:
    """How often each of [low, high) occurs; at most 30, so that eight places add up within a byte."""
    inside = offsets.filter((offsets >= low) & (offsets < high)).to_numpy() - low
    return np.minimum(np.bincount(inside, minlength=max(high - low, 0)), 30).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class EventBooks:
    """The books of one event type, over all its partitions. `replays`: rows read again and dropped since the workers
    started.
    """

    event: EventType
    raw: int = 0
    places: dict[Place, int] = field(default_factory=dict)
    missing: int = 0
    doubled: int = 0
    replays: int = 0

    def figures(self) -> dict[str, Any]:
        """The row of `biokeel verify`."""
        places = {place.value: self.places.get(place, 0) for place in Place}
        return {
            "raw": self.raw,
            **places,
            "missing": self.missing,
            "doubled": self.doubled,
            "replays": self.replays,
        }


@dataclass(frozen=True, slots=True)
class Books:
    """The books of all event types, as they stood at `taken_at` (seconds since 1970), gathered in `seconds`."""

    taken_at: float
    seconds: float
    events: tuple[EventBooks, ...]
    missing: tuple[Coordinate, ...]
    """The first `SHOWN`, by event type, partition, offset."""
    doubled: tuple[Coordinate, ...]
    aside: tuple[str, ...] = ()
    """What of pseudo topics was left out, damaged blocks with the raw events they were to hold; see `land.aside`."""

    def total(self, column: str) -> int:
        """Sum of one column of `EventBooks.figures`."""
        return sum(int(event.figures()[column]) for event in self.events)

    @property
    def balanced(self) -> bool:
        """Whether every raw event lies in exactly one place."""
        return not self.total("missing") and not self.total("doubled")

    def named(self, column: str) -> str:
        """The first few coordinates that are `missing` or `doubled` (`column`), and how many more; empty for none."""
        first: tuple[Coordinate, ...] = getattr(self, column)[:NAMED]
        more = self.total(column) - len(first)
        return ", ".join(map(str, first)) + (f" and {more:,} more" if more else "")

    def as_json(self) -> dict[str, Any]:
        """What `biokeel verify --json` prints."""
        columns = list(EventBooks.figures(self.events[0])) if self.events else []
        return {
            "balanced": self.balanced,
            "taken_at": self.taken_at,
            "seconds": round(self.seconds, 3),
            "events": {str(event.event): event.figures() for event in self.events},
            "totals": {column: self.total(column) for column in columns},
            "missing": [str(coordinate) for coordinate in self.missing],
            "doubled": [str(coordinate) for coordinate in self.doubled],
            "aside": list(self.aside),
        }


def add_up(event: EventType, partitions: Iterable[PartitionBooks], replays: int) -> EventBooks:
    """The books of an event type from those of its partitions."""
    parts = list(partitions)
    return EventBooks(
        event,
        sum(part.raw for part in parts),
        {place: sum(part.places[place] for part in parts) for place in Place},
        sum(len(part.missing) for part in parts),
        sum(len(part.doubled) for part in parts),
        replays,
    )


def first_coordinates(partitions: Iterable[PartitionBooks], column: str) -> tuple[Coordinate, ...]:
    """The first `SHOWN` coordinates that are `missing` or `doubled` (`column`)."""
    found: list[Coordinate] = []
    for part in partitions:
        offsets = getattr(part, column)[: SHOWN - len(found)]
        found += [Coordinate(part.event, At(*part.origin, int(offset))) for offset in offsets]
    return tuple(found)
