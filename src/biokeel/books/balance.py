"""The arithmetic of the books: of each raw coordinate, in how many places does its event lie? Exactly one is right.

Pure; `state` holds what goes in, as intervals, so that it costs by the exceptions and not by the events.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from biokeel.books.intervals import Intervals, union
from biokeel.books.places import Place

if TYPE_CHECKING:
    from collections.abc import Iterable

    from biokeel.books.state import Part, PartState
    from biokeel.contracts.topics import EventType

SHOWN: Final = 20
"""How many missing and doubled coordinates are kept; the rest is counted."""
NAMED: Final = 3
"""How many of them a sentence names."""


@dataclass(frozen=True, slots=True, order=True)
class Coordinate:
    """One event of a raw topic."""

    part: Part
    offset: int

    def __str__(self) -> str:
        return f"{self.part}@{self.offset}"


@dataclass(frozen=True, slots=True)
class PartitionBooks:
    """What one raw partition's [low, high) came to: events, how many lie where, and which in no place or in several."""

    part: Part
    raw: int
    places: dict[Place, int]
    missing: Intervals
    doubled: Intervals


def balance(part: Part, state: PartState, watermarks: tuple[int, int]) -> PartitionBooks:
    """Balance one raw partition.

    Offsets outside the `watermarks` [low, high) do not count: they are past retention, or came after the look at them.
    """
    low, high = watermarks
    lies, doubled = state.within(low, high)
    places = {place: union(some for label, some in lies.items() if label.place is place) for place in Place}
    return PartitionBooks(
        part,
        max(high - low, 0),
        {place: len(some) for place, some in places.items()},
        Intervals.span(low, high) - union(places.values()),
        doubled,
    )


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
    """The books of an event type from those of its partitions, of all sources."""
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
        offsets = getattr(part, column).first(SHOWN - len(found))
        found += [Coordinate(part.part, offset) for offset in offsets.tolist()]
    return tuple(found)
