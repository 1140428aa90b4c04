"""What the books cost by the events that they account for: made ones, so that there may be very many.

Most of a partition's offsets landed; a few of each hundred or thousand lie elsewhere, scattered, which is what costs:
an offset whose neighbours lie somewhere else is an interval of its own.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from biokeel.batch import RawPartition
from biokeel.books.balance import Balancer, Books, Seen
from biokeel.books.intervals import Bag, Intervals
from biokeel.books.places import Label, Place, Teller
from biokeel.books.saved import Saved, from_bytes, to_bytes
from biokeel.books.state import Part, PartState, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeVar

    from biokeel.contracts.topics import EventType
    from biokeel.engine.kafka.watermarks import Watermarks

    T = TypeVar("T")

PARTS: Final = 4
"""Raw partitions of an event type and source."""
CURATED: Final = Label(Teller.CURATED, Place.CURATED, "raw")
ELSEWHERE: Final = {
    **{
        Label(Teller.QUARANTINE, Place.QUARANTINED, "raw", "rule.failed", f"rule-{number}", "3+0123456789ab"): 0.00125
        for number in range(4)
    },
    Label(Teller.QUARANTINE, Place.REPEATED, "raw", "source.repeated"): 0.001,
    Label(Teller.VAULT, Place.SEALED, reason="contract.malformed"): 0.0005,
    Label(Teller.VAULT, Place.PARKED): 0.001,
}
"""Which share of the events lies where, scattered; the rest landed."""


@dataclass(frozen=True, slots=True)
class BooksFigures:
    """Of so many `events` in so many raw `partitions`: bytes of the saved books, and CPU seconds of each step of who
    asks: to read them, and to balance them. `write`: of the follower, where everything changed.
    """

    events: int
    partitions: int
    size: int
    write: float
    read: float
    balance: float


def run_books(events: int, sources: int, types: tuple[EventType, ...]) -> BooksFigures:
    """Make books of `events`, evenly over all partitions, save them, and answer from what was saved."""
    parts = [(f"hospital-{n:02}", event, p) for n in range(sources) for event in types for p in range(PARTS)]
    each = events // len(parts)
    random = np.random.default_rng(7)
    state = State(parts={Part(s, str(event), p): _partition(each, random) for s, event, p in parts})
    marks: Watermarks = {event: {} for event in types}
    for source, event, partition in parts:
        marks[event][RawPartition(source, partition)] = 0, each
    write, data = _timed(lambda: to_bytes(Saved(state, 1.0)))
    read, saved = _timed(lambda: from_bytes(data))
    assert saved is not None
    balance, books = _timed(lambda: Books.of(Balancer().balance(saved.state, marks), Seen(1.0)))
    assert books.balanced
    assert books.total("raw") == each * len(parts)
    return BooksFigures(each * len(parts), len(parts), len(data), write, read, balance)


def _partition(events: int, random: np.random.Generator) -> PartState:
    offsets = random.permutation(events)
    labels, begin = {}, 0
    for label, those in _shares(events):
        labels[label] = Bag.of(offsets[begin : begin + those])
        begin += those
    labels[CURATED] = Bag.of(offsets[begin:])
    return PartState(labels, Intervals.span(0, events))


def _shares(events: int) -> Iterator[tuple[Label, int]]:
    return ((label, int(events * share)) for label, share in ELSEWHERE.items())


def _timed(call: Callable[[], T]) -> tuple[float, T]:
    began = time.process_time()
    done = call()
    return time.process_time() - began, done
