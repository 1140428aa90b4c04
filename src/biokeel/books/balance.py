"""The arithmetic of the books: of each raw coordinate, in how many places does its event lie? Exactly one is right.

Pure; `state` holds what goes in, as intervals, so that it costs by the exceptions and not by the events.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from biokeel.books.intervals import Intervals, union
from biokeel.books.places import EVENT_PLACES, Place
from biokeel.books.state import Part, PartState
from biokeel.contracts.topics import EventType, event_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from biokeel.books.state import State
    from biokeel.engine.kafka.watermarks import Watermarks

SHOWN: Final = 20
"""How many missing and doubled coordinates are kept; the rest is counted."""
NAMED: Final = 3
"""How many of them a sentence names."""


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
    lies, anywhere, doubled = state.within(low, high)
    counts: dict[Place, int] = dict.fromkeys(Place, 0)
    for place in {label.place for label in lies}:
        some = [those for label, those in lies.items() if label.place is place]
        counts[place] = len(union(some)) if doubled else sum(map(len, some))
    raw = max(high - low, 0) - counts.pop(Place.VOID)
    return PartitionBooks(part, raw, counts, Intervals.span(low, high) - anywhere, doubled)


class Balancer:
    """Balances raw partitions, and remembers what those came to that have not changed since."""

    def __init__(self) -> None:
        self._known: dict[Part, tuple[int, tuple[int, int], PartitionBooks]] = {}

    def balance(self, state: State, watermarks: Watermarks) -> list[PartitionBooks]:
        """Every partition that Kafka has, by event type, source and partition."""
        return [
            self._balanced(state, Part(origin.source, str(event), origin.partition), bounds)
            for event, marks in watermarks.items()
            for origin, bounds in sorted(marks.items())
        ]

    def _balanced(self, state: State, part: Part, bounds: tuple[int, int]) -> PartitionBooks:
        mine = state.parts.get(part) or PartState()
        known = self._known.get(part)
        if known is None or known[:2] != (mine.changes, bounds):
            known = mine.changes, bounds, balance(part, mine, bounds)
            self._known[part] = known
        return known[2]


@dataclass(frozen=True, slots=True)
class Sums:
    """What some raw partitions came to together."""

    raw: int = 0
    places: dict[Place, int] = field(default_factory=dict)
    missing: int = 0
    doubled: int = 0

    @classmethod
    def of(cls, partitions: Iterable[PartitionBooks]) -> Sums:
        """Those of `partitions`."""
        parts = list(partitions)
        return cls(
            sum(part.raw for part in parts),
            {place: sum(part.places[place] for part in parts) for place in EVENT_PLACES},
            sum(len(part.missing) for part in parts),
            sum(len(part.doubled) for part in parts),
        )

    def figures(self) -> dict[str, int]:
        """By column: raw events, how many lie in each place, in none, and in several."""
        places = {place.value: self.places.get(place, 0) for place in EVENT_PLACES}
        return {"raw": self.raw, **places, "missing": self.missing, "doubled": self.doubled}

    @classmethod
    def from_figures(cls, figures: Mapping[str, int]) -> Sums:
        """What `figures` gave."""
        places = {place: figures[place.value] for place in EVENT_PLACES}
        return cls(figures["raw"], places, figures["missing"], figures["doubled"])


@dataclass(frozen=True, slots=True)
class EventBooks:
    """The books of one event type, over all its partitions. `replays`: rows read again and dropped since the workers
    started.
    """

    event: EventType
    sums: Sums = field(default_factory=Sums)
    replays: int = 0

    @property
    def raw(self) -> int:
        """How many events there are."""
        return self.sums.raw

    def figures(self) -> dict[str, int]:
        """The row of `biokeel verify`."""
        return self.sums.figures() | {"replays": self.replays}


@dataclass(frozen=True, slots=True)
class Books:
    """The books of all event types, as they stood at `taken_at` (seconds since 1970), gathered in `seconds`.

    `missing` and `doubled` are the first `SHOWN` coordinates, written out, by event type, source, partition, offset.
    `aside` is what of pseudo topics was left out, damaged blocks with the raw events they were to hold: `land.aside`.
    `saved_at` is when the saved books were so that these went on from; None where they were made from nothing.
    """

    taken_at: float
    seconds: float
    events: tuple[EventBooks, ...]
    sources: dict[str, Sums]
    missing: tuple[str, ...]
    doubled: tuple[str, ...]
    aside: tuple[str, ...] = ()
    saved_at: float | None = None

    @classmethod
    def of(cls, partitions: Sequence[PartitionBooks], seen: Seen) -> Books:
        """What `partitions`, of which there are all, come to together, with what else was `seen`."""
        by_event: dict[str, list[PartitionBooks]] = defaultdict(list)
        by_source: dict[str, list[PartitionBooks]] = defaultdict(list)
        for each in partitions:
            by_event[each.part.event].append(each)
            by_source[each.part.source].append(each)
        return cls(
            seen.taken_at,
            time.time() - seen.taken_at,
            tuple(
                EventBooks(event, Sums.of(parts), seen.replays.get(event, 0))
                for event, parts in sorted((event_type(name), parts) for name, parts in by_event.items())
            ),
            {source: Sums.of(parts) for source, parts in sorted(by_source.items())},
            first_coordinates(partitions, "missing"),
            first_coordinates(partitions, "doubled"),
            seen.aside,
            seen.saved_at,
        )

    def total(self, column: str) -> int:
        """Sum of one column of `EventBooks.figures`."""
        return sum(event.figures()[column] for event in self.events)

    @property
    def balanced(self) -> bool:
        """Whether every raw event lies in exactly one place."""
        return not self.total("missing") and not self.total("doubled")

    def named(self, column: str) -> str:
        """The first few coordinates that are `missing` or `doubled` (`column`), and how many more; empty for none."""
        first: tuple[str, ...] = getattr(self, column)[:NAMED]
        more = self.total(column) - len(first)
        return ", ".join(first) + (f" and {more:,} more" if more else "")

    def as_json(self) -> dict[str, Any]:
        """What `biokeel verify --json` prints."""
        columns = list(EventBooks.figures(self.events[0])) if self.events else []
        return {
            "balanced": self.balanced,
            "taken_at": self.taken_at,
            "seconds": round(self.seconds, 3),
            "saved_at": self.saved_at,
            "events": {str(event.event): event.figures() for event in self.events},
            "sources": {source: sums.figures() for source, sums in self.sources.items()},
            "totals": {column: self.total(column) for column in columns},
            "missing": list(self.missing),
            "doubled": list(self.doubled),
            "aside": list(self.aside),
        }

    @classmethod
    def from_json(cls, read: Mapping[str, Any]) -> Books:
        """What `as_json` gave."""
        return cls(
            read["taken_at"],
            read["seconds"],
            tuple(
                EventBooks(event_type(name), Sums.from_figures(figures), figures["replays"])
                for name, figures in read["events"].items()
            ),
            {source: Sums.from_figures(figures) for source, figures in read["sources"].items()},
            tuple(read["missing"]),
            tuple(read["doubled"]),
            tuple(read["aside"]),
            read["saved_at"],
        )


class Seen(NamedTuple):
    """What belongs to `Books` besides the partitions; see there. `replays` by event type."""

    taken_at: float
    replays: Mapping[EventType, int] = {}
    aside: tuple[str, ...] = ()
    saved_at: float | None = None


def first_coordinates(partitions: Iterable[PartitionBooks], column: str) -> tuple[str, ...]:
    """The first `SHOWN` coordinates that are `missing` or `doubled` (`column`), written out."""
    found: list[str] = []
    for each in partitions:
        offsets = getattr(each, column).first(SHOWN - len(found))
        found += [f"{each.part}@{offset}" for offset in offsets.tolist()]
    return tuple(found)
