"""Where an event may lie, and the rules by which rows and decisions say where it does. Pure.

Rows of tables and decisions of the vault are kept under a `Label`: which of them say the same of an event. What they
come to is `settled`:

- Of the rows of an event those hold that the latest operation of a steward brought where they are; that it came in
  counts as none. So an event that was released from quarantine has left it, though its row there stays, and one that
  moves from the curated table to quarantine has moved as soon as it stands there.
- A row of the history counts only where no row of its stream, and of the same operation, stands in a table of its event
  type: while `tidy` works it is in both for a moment, and counts as curated still; and a restored table is judged anew.
- A parked event has left parking once a row of stream `parking` stands in any table: the vault marks it as released
  after Kafka has it, so perhaps after it has landed.
"""

from __future__ import annotations

from collections import defaultdict
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from biokeel.batch import STREAM_PARKING
from biokeel.books.intervals import NOTHING, Bag, Intervals, coverage, union

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


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
    quarantined; `rules` failed, judged by `suite`; `withheld` are fields that did not cross the wall. `operation` is
    the number of the steward's operation that brought a row there.
    """

    teller: Teller
    place: Place
    stream: str = ""
    reason: str = ""
    rules: str = ""
    suite: str = ""
    withheld: str = ""
    operation: str = ""


Labels = dict[Label, Bag]
"""Of one raw partition: what each label is said of."""


class Settled(NamedTuple):
    """What `Labels` come to: where events lie, which lie anywhere, and which in several places or twice in one."""

    lies: dict[Label, Intervals]
    anywhere: Intervals
    doubled: Intervals


def settled(labels: Mapping[Label, Bag]) -> Settled:
    """Where the events are that `labels` speak of, by the rules above."""
    found: Labels = {}
    above = NOTHING
    for rows in _by_operation(labels):
        landed = {
            stream: _of(rows, (Teller.CURATED, Teller.QUARANTINE), stream)
            for stream in {label.stream for label in rows if label.teller is Teller.HISTORY}
        }
        for label, bag in rows.items():
            mine = bag.without(above)
            found[label] = mine.without(landed[label.stream]) if label.teller is Teller.HISTORY else mine
        above |= union(bag.all for bag in rows.values())
    come_in = _of(labels, TABLES, STREAM_PARKING)
    for label, bag in labels.items():
        if label.teller is Teller.VAULT:
            found[label] = bag.without(come_in) if label.place is Place.PARKED else bag
    # One that was decided before it was compacted away is an event, and that none stands somewhere may be said twice.
    if void := [label for label in found if label.place is Place.VOID]:
        events = union(bag.all for label, bag in found.items() if label not in void)
        found |= {label: Bag.once(found[label].all - events) for label in void}
    anywhere, twice = coverage(bag.all for bag in found.values())
    for bag in found.values():
        twice |= bag.doubled
    return Settled({label: bag.all for label, bag in found.items() if bag}, anywhere, twice)


def _by_operation(labels: Mapping[Label, Bag]) -> Iterator[Labels]:
    """What rows of tables say, those of the latest operation first."""
    rows: dict[int, Labels] = defaultdict(dict)
    for label, bag in labels.items():
        if label.teller is not Teller.VAULT:
            rows[int(label.operation or 0)][label] = bag
    yield from (rows[number] for number in sorted(rows, reverse=True))


def _of(labels: Mapping[Label, Bag], tellers: tuple[Teller, ...], stream: str) -> Intervals:
    some = [bag.all for label, bag in labels.items() if label.stream == stream and label.teller in tellers]
    return union(some) if some else NOTHING
