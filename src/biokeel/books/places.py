"""Where an event may lie, and the rules by which rows and decisions say where it does. Pure.

Rows of tables and decisions of the vault are kept under a `Label`: which of them say the same of an event. What they
come to is `settled`:

- A row of the history counts only where no row of its stream stands in a table of its event type: while `tidy` works it
  is in both for a moment, and counts as curated still; and a restored table is judged anew.
- A quarantined event has left quarantine once a row of stream `quarantine` is curated, or was: its row there stays.
- One that was let in again and failed again is one event in quarantine, though there are two rows; the later one holds.
- A parked event has left parking once a row of stream `parking` stands in any table: the vault marks it as released
  after Kafka has it, so perhaps after it has landed.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from biokeel.batch import STREAM_PARKING, STREAM_QUARANTINE, STREAM_RAW
from biokeel.books.intervals import NOTHING, Bag, Intervals, coverage, union

if TYPE_CHECKING:
    from collections.abc import Mapping


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
    VOID = "void"
    """Where no event stands: the marker of a transaction, what one aborted, what was compacted away."""


EVENT_PLACES: Final[tuple[Place, ...]] = tuple(place for place in Place if place is not Place.VOID)


class Teller(StrEnum):
    """Who says where an event lies: a table of its event type, or the vault."""

    CURATED = "curated"
    QUARANTINE = "quarantine"
    HISTORY = "history"
    VAULT = "vault"


TABLES: Final = (Teller.QUARANTINE, Teller.CURATED, Teller.HISTORY)
"""In the order in which they are looked at: see `biokeel.books.follower`."""


class Label(NamedTuple):
    """What a row or a decision says of its event. Words that are lists are divided by commas; empty for nothing.

    `stream` is that of a row, empty for the vault. `reason` is a `biokeel.reasons.Reason`, of what is sealed or
    quarantined; `rules` failed, judged by `suite`; `withheld` are fields that did not cross the wall.
    """

    teller: Teller
    place: Place
    stream: str = ""
    reason: str = ""
    rules: str = ""
    suite: str = ""
    withheld: str = ""


Labels = dict[Label, Bag]
"""Of one raw partition: what each label is said of."""


class Settled(NamedTuple):
    """What `Labels` come to: where events lie, and which lie in several places, or twice in one."""

    lies: dict[Label, Intervals]
    doubled: Intervals


def settled(labels: Mapping[Label, Bag]) -> Settled:
    """Where the events are that `labels` speak of, by the rules above."""
    landed = {stream: _of(labels, (Teller.CURATED, Teller.QUARANTINE), stream) for stream in _STREAMS}
    history = {
        label: bag.without(landed[label.stream]) for label, bag in labels.items() if label.teller is Teller.HISTORY
    }
    again = Teller.QUARANTINE, STREAM_QUARANTINE
    left = _of(labels, (Teller.CURATED,), STREAM_QUARANTINE) | _of(history, (Teller.HISTORY,), STREAM_QUARANTINE)
    judged_again = union(
        bag.all
        for label, bag in labels.items()
        if (label.teller, label.stream) == again and label.place is Place.QUARANTINED
    )
    come_in = landed[STREAM_PARKING] | _of(history, (Teller.HISTORY,), STREAM_PARKING)
    found: Labels = {}
    seen = left
    for label, bag in labels.items():
        if label.place is Place.PARKED:
            found[label] = bag.without(come_in)
        elif label.teller is Teller.HISTORY:
            found[label] = history[label]
        elif label.place is not Place.QUARANTINED:
            found[label] = bag
        elif label.stream == STREAM_QUARANTINE:
            found[label] = Bag.once(bag.all - seen)
            seen |= bag.all
        else:
            found[label] = bag.without(left | judged_again)
    # One that was decided before it was compacted away is an event, and that none stands somewhere may be said twice.
    events = union(bag.all for label, bag in found.items() if label.place is not Place.VOID)
    found |= {label: Bag.once(bag.all - events) for label, bag in found.items() if label.place is Place.VOID}
    twice = coverage(bag.all for bag in found.values())[1]
    for bag in found.values():
        twice |= bag.doubled
    return Settled({label: bag.all for label, bag in found.items() if bag}, twice)


_STREAMS: Final = (STREAM_RAW, STREAM_PARKING, STREAM_QUARANTINE)


def _of(labels: Mapping[Label, Bag], tellers: tuple[Teller, ...], stream: str) -> Intervals:
    some = [bag.all for label, bag in labels.items() if label.stream == stream and label.teller in tellers]
    return union(some) if some else NOTHING
