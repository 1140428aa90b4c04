"""Reading everything there is once more, in bounded memory, and holding the books against it.

The tables are read in the very versions, and the vault up to the very decision, that the books have read; so whatever
differs is a fault of the books or of what was done to the tables behind their back, and never the moment. Partition by
partition: a window is some offsets of some raw partitions of one event type, `WINDOW` of them at most, and only what
lies in it is in memory. Where one window holds all of an event type, its tables are read once and nothing is filtered.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import polars as pl

from biokeel.books.balance import PartitionBooks, balance
from biokeel.books.follower import said_by
from biokeel.books.places import EVENT_PLACES, TABLES, Teller
from biokeel.books.state import BEGINNING, Part, PartState, Position, State, differences
from biokeel.contracts.topics import PERSON_EVENTS, event_type

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from biokeel.books.follower import Follower
    from biokeel.books.state import Saying
    from biokeel.contracts.topics import EventType
    from biokeel.engine.kafka.watermarks import Watermarks

WINDOW: Final = 16_000_000
"""Offsets of one window: 16 bytes each at the worst, where every other one is missing from what was read so far."""

Windows = dict[Part, tuple[int, int]]
"""Of some raw partitions the first offset, and the one behind the last."""


@dataclass(slots=True)
class Found:
    """What reading everything came to: the balance, and where the books say otherwise, a sentence each."""

    partitions: list[PartitionBooks] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)


def read_all(follower: Follower, marks: Watermarks, seen: Callable[[str], None], window: int = WINDOW) -> Found:
    """Catch up, read all, and compare; `seen` is told what is read now. Raises `StoreUnavailable`, `VaultUnavailable`.

    `marks` are looked at before.
    """
    follower.look()
    vault = _decided(follower)
    bounds = {
        Part(origin.source, str(event), origin.partition): bounds
        for event, origins in marks.items()
        for origin, bounds in origins.items()
    }
    found = Found()
    pieces: dict[Part, list[PartitionBooks]] = defaultdict(list)
    for event in (*follower.landed(), *PERSON_EVENTS):
        reach = _reach(follower, event, bounds, vault)
        for windows in _windows(reach, window):
            first = next(iter(windows))
            seen(f"{first}@{windows[first][0]}" + (f" and {len(windows) - 1} more" if len(windows) > 1 else ""))
            real = _read(follower, event, windows, vault, whole=windows == reach)
            found.differences += differences(_cut(follower.state, windows), real)
            for part, (low, high) in windows.items():
                if part in bounds:
                    within = max(low, bounds[part][0]), min(high, bounds[part][1])
                    pieces[part].append(balance(part, real.parts.get(part, PartState()), within))
    found.partitions = [_joined(part, some) for part, some in sorted(pieces.items(), key=_by_event)]
    return found


def _decided(follower: Follower) -> Saying:
    """All that is in the vault, with the books read up to the same decision."""
    while True:
        whole = follower.vault.whole()
        list(follower.decided(whole.number))
        if follower.state.vault == Position(whole.number, whole.mark):
            return said_by(whole.frame)


def _reach(follower: Follower, event: EventType, bounds: Windows, vault: Saying) -> Windows:
    """How far anything is known of each partition of `event`: by Kafka, the books, the tables or the vault."""
    spans: dict[Part, list[tuple[int, int]]] = defaultdict(list)
    for part, (low, high) in bounds.items():
        spans[part].append((low, high))
    said = {(part, label): bag for part, each in follower.state.parts.items() for label, bag in each.labels.items()}
    for (part, _), bag in (*said.items(), *vault.items()):
        spans[part].append((int(bag.all.starts[0]), int(bag.all.ends[-1])))
    for teller in TABLES if not event.is_person else ():
        at = follower.state.tables.get((str(event), teller), BEGINNING)
        for part, (least, greatest) in follower.tables.reach(event, teller, at).items():
            spans[part].append((least, greatest + 1))
    return {
        part: (min(low for low, _ in some), max(high for _, high in some))
        for part, some in sorted(spans.items())
        if part.event == str(event)
    }


def _windows(reach: Windows, most: int) -> Iterator[Windows]:
    """`reach` in windows of at most `most` offsets. A partition without any is in one, too."""
    held = 0
    windows: Windows = {}
    for part, (start, high) in reach.items():
        low = start
        while True:
            end = min(high, low + most - held)
            windows[part] = low, end
            held += end - low
            low = end
            if held >= most:
                yield windows
                windows, held = {}, 0
            if low >= high:
                break
    if windows:
        yield windows


def _read(follower: Follower, event: EventType, windows: Windows, vault: Saying, *, whole: bool) -> State:
    state = State()
    only = None if whole else pl.any_horizontal(_conditions(windows))
    for teller in TABLES if not event.is_person else ():
        at = follower.state.tables.get((str(event), teller), BEGINNING)
        state.replace(str(event), teller, follower.tables.whole(event, teller, at, only)[1])
    mine = {
        (part, label): cut
        for (part, label), bag in vault.items()
        if part in windows and (cut := bag.within(*windows[part]))
    }
    state.replace(str(event), Teller.VAULT, mine)
    return state


def _conditions(windows: Windows) -> Iterator[pl.Expr]:
    for part, (low, high) in windows.items():
        offset = pl.col("first_offset")
        mine = (pl.col("source_id") == part.source) & (pl.col("first_partition") == part.partition)
        yield mine & (offset >= low) & (offset < high)


def _cut(state: State, windows: Windows) -> State:
    """What `state` says within `windows`."""
    return State(
        {
            part: PartState({label: bag.within(*window) for label, bag in state.parts[part].labels.items()})
            for part, window in windows.items()
            if part in state.parts
        }
    )


def _joined(part: Part, some: Iterable[PartitionBooks]) -> PartitionBooks:
    """The books of a partition from those of its windows, which do not overlap."""
    first, *rest = some
    for each in rest:
        first = PartitionBooks(
            part,
            first.raw + each.raw,
            {place: first.places[place] + each.places[place] for place in EVENT_PLACES},
            first.missing | each.missing,
            first.doubled | each.doubled,
        )
    return first


def _by_event(item: tuple[Part, list[PartitionBooks]]) -> tuple[EventType, Part]:
    return event_type(item[0].event), item[0]
