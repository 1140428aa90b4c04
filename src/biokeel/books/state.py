"""What the books know: of each raw partition who says what of which offsets, and how far everybody was read.

Pure. `State.take` brings in what is new, and gives what has changed by it, in the words of receipts. Rows that leave a
table are taken out as they were put in, so what stays is what the tables hold, however they came to hold it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from biokeel.books.intervals import NOTHING, Bag, Intervals, union
from biokeel.books.places import Label, Labels, Settled, Teller, settled

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Part(NamedTuple):
    """A raw partition: the source whose it is, the event type (`clinical.glucose`) and the number."""

    source: str
    event: str
    partition: int

    def __str__(self) -> str:
        return f"raw.{self.source}.{self.event}/{self.partition}"


class Position(NamedTuple):
    """How far a table or the vault was read: number of the last commit or decision, and a mark by which it is known.

    Where another mark stands under that number, it is not what was read: a table that was made anew, a vault that was
    restored.
    """

    number: int
    mark: int


BEGINNING = Position(-1, 0)
"""Nothing was read yet."""


class Told(NamedTuple):
    """That `offsets` of `part` lie where `label` says, newly; `amends`: something was said about all of them before."""

    part: Part
    label: Label
    offsets: Intervals
    amends: bool


@dataclass(slots=True)
class PartState:
    """The books of one raw partition. `told`: offsets of which it was ever said where their events lie.

    `changes` counts how often anything in here has changed since this process has it.
    """

    labels: Labels = field(default_factory=dict)
    told: Intervals = field(default_factory=lambda: NOTHING)
    changes: int = field(default=0, compare=False)

    def within(self, low: int, high: int) -> Settled:
        """Where the events from `low` up to, but not with, `high` lie."""
        return settled({label: part for label, bag in self.labels.items() if (part := bag.within(low, high))})

    def of(self, some: Intervals) -> Settled:
        """Where those of `some` lie."""
        return settled({label: part for label, bag in self.labels.items() if (part := bag & some)})


Saying = dict[tuple[Part, Label], Bag]
"""What rows or decisions say, added up."""


@dataclass(slots=True)
class State:
    """The books of all raw partitions. `tables`: how far each table of an event type was read; `vault`: the same."""

    parts: dict[Part, PartState] = field(default_factory=dict)
    tables: dict[tuple[str, Teller], Position] = field(default_factory=dict)
    vault: Position = BEGINNING

    def rows(self, added: Saying, removed: Saying) -> list[Told]:
        """Rows were added to tables, and others removed. Raises `LookupError` where what is removed was not there.

        Then nothing has changed; the table must be read as a whole (`replace`).
        """
        new: dict[Part, list[tuple[Label, Bag, Bag]]] = defaultdict(list)
        for part, label in {**added, **removed}:
            key = part, label
            new[part].append((label, added.get(key, Bag()), removed.get(key, Bag())))
        after: dict[Part, Labels] = {}
        for part, changes in sorted(new.items()):
            labels = dict(self._labels(part))
            for label, more, less in changes:
                labels[label] = labels.get(label, Bag()) + more - less
            after[part] = labels
        return [
            told
            for part, labels in after.items()
            for told in self._take(part, labels, union(bag.all for _, *bags in new[part] for bag in bags))
        ]

    def decided(self, decisions: Iterable[tuple[Part, Label | None, Intervals]]) -> list[Told]:
        """The vault decided, in this order, that offsets lie where a label says, None for with it no more.

        Each replaces what it had decided about them before.
        """
        after: dict[Part, Labels] = {}
        touched: dict[Part, list[Intervals]] = defaultdict(list)
        for part, label, offsets in decisions:
            if part not in after:
                after[part] = dict(self._labels(part))
            labels = after[part]
            for other in [other for other in labels if other.teller is Teller.VAULT]:
                labels[other] = labels[other].without(offsets)
            if label is not None:
                labels[label] = Bag.once(labels.get(label, Bag()).all | offsets)
            touched[part].append(offsets)
        return [told for part, labels in after.items() for told in self._take(part, labels, union(touched[part]))]

    def replace(self, event: str | None, teller: Teller, whole: Saying) -> list[Told]:
        """Whatever `teller` said of `event` (None: of every event type), it says `whole`, and nothing else."""
        new: dict[Part, Labels] = defaultdict(dict)
        for (part, label), bag in whole.items():
            new[part][label] = bag
        told: list[Told] = []
        for part in sorted({*new, *(part for part in self.parts if event in (None, part.event))}):
            old = self._labels(part)
            others = {label: bag for label, bag in old.items() if label.teller is not teller}
            mine = (bag.all for label, bag in old.items() if label.teller is teller)
            touched = union((*mine, *(bag.all for bag in new[part].values())))
            told += self._take(part, others | new[part], touched)
        return told

    def _labels(self, part: Part) -> Labels:
        return self.parts[part].labels if part in self.parts else {}

    def _take(self, part: Part, labels: Labels, touched: Intervals) -> Iterator[Told]:
        """Let `part` have `labels`, which differ from those before in `touched` offsets only."""
        books = self.parts.setdefault(part, PartState())
        before = books.of(touched).lies
        books.labels = {label: bag for label, bag in labels.items() if bag}
        books.changes += 1
        after = books.of(touched).lies
        # Of what lay in two places, and left one of them, it is said where it stays.
        left = union(was - after.get(label, NOTHING) for label, was in before.items())
        for label, lies in after.items():
            new = (lies - before.get(label, NOTHING)) | (lies & left)
            for offsets, amends in ((new - books.told, False), (new & books.told, True)):
                if offsets:
                    yield Told(part, label, offsets, amends)
            books.told |= new


def differences(books: State, found: State) -> list[str]:
    """What `books` say otherwise than what was `found`, a sentence each."""
    nothing = PartState()
    said: list[str] = []
    for part in sorted({*books.parts, *found.parts}):
        mine, theirs = (each.parts.get(part, nothing).labels for each in (books, found))
        for label in sorted({*mine, *theirs}):
            bag, real = mine.get(label, Bag()), theirs.get(label, Bag())
            if bag != real:
                wrong, lacking = bag.all - real.all, real.all - bag.all
                first = (wrong | lacking | bag.doubled | real.doubled).first(1)[0]
                said.append(
                    f"{part}: as {label.place} ({label.teller}) the books have {len(wrong):,} offsets that are not, "
                    f"and lack {len(lacking):,} that are; the first @{first}."
                )
    return said
