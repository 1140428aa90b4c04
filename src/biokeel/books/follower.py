"""Following tables and vault: reads what is new, takes it into a `State`, and says what has changed.

**The order of the looks.** Kafka's watermarks first (whoever asks for the balance does that), then the tables
(quarantine, curated, history), then the vault. An event moves from raw to the tables, or from the vault's parking to
the tables, and from the curated table to the history after it was written there. So one that moves between two looks
can be seen in no place (it is on its way, and counts as missing until the next look) but never in two: a doubled event
is never a false alarm. A steward's operation moves rows from the curated table to quarantine after they were written
there, so where anything is new in the former, the latter is looked at once more.

**Dying.** Nothing in here is durable. Positions and what was read up to them are one `State`; whoever begins from a
saved one reads what came since, and comes to the same.

**When what is new cannot be told**, all of it is read, of that table or the vault: where the table or the vault is not
the one that was read (made anew, restored from a backup), its log was cleared before it was read, a file was vacuumed
before it was read, or rows are taken out that the books did not have.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

import polars as pl

from biokeel.books.intervals import Bag, Intervals, coverage
from biokeel.books.places import TABLES, Label, Place, Teller
from biokeel.books.state import BEGINNING, Part, Position, Saying, State
from biokeel.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from biokeel.books.state import Told
    from biokeel.books.tables import News, Tables
    from biokeel.contracts.clients import Client
    from biokeel.contracts.topics import EventType
    from biokeel.vault.decisions import Decided

log = logging.getLogger(__name__)

LIVELY: Final = 8
"""Looks for which all tables of an event type are looked at after something came. Then only its quarantine table is,
because every landing begins with a commit there, and all of them at every such look, for `tidy`."""
_ASKED_AT_A_TIME: Final = 8
"""Event types whose tables are asked at the same time: a store far away takes 20 ms to say that nothing came."""
_RELEASED: Final = "released"

Decision = tuple[Part, Label | None, Intervals]
Found = Mapping[Teller, "News | None"]


class DecisionsReader(Protocol):
    """What is read of the vault: see `biokeel.vault.decisions.Decisions`."""

    def since(self, number: int, mark: int, up_to: int | None = None) -> Decided | None:
        """What was decided after `number`."""
        ...

    def whole(self) -> Decided:
        """All that holds."""
        ...

    def clients(self) -> list[tuple[str, Client, float]]:
        """What each source sends with, and when that was noted."""
        ...


@dataclass(slots=True)
class Follower:
    """Keeps `state` as new as the tables and the vault. Not for several threads at once."""

    tables: Tables
    vault: DecisionsReader
    state: State = field(default_factory=State)
    events: Sequence[EventType] = ()
    """None for all that land."""
    ahead: dict[str, float] = field(default_factory=dict)
    """By source, how many seconds its events were in the future when they landed; of what was read by this process."""
    _quiet: dict[EventType, int] = field(default_factory=dict)
    _looks: int = 0
    _untold: list[Told] = field(default_factory=list)

    def landed(self) -> Sequence[EventType]:
        """The event types whose tables are followed, as they are now: one that is new is read from its beginning."""
        return self.events or self.tables.lake.events()

    def begin(self) -> list[Told]:
        """Make sure that `state` is of these tables; what is not is read whole. Once, before `look`, and seldom after.

        Raises `StoreUnavailable`.
        """
        landed = self.landed()
        with ThreadPoolExecutor(_ASKED_AT_A_TIME) as pool:
            unknown = list(pool.map(self._unknown, landed))
        return [
            told
            for event, tellers in zip(landed, unknown, strict=True)
            for teller in tellers
            for told in self._whole(event, teller)
        ]

    def _unknown(self, event: EventType) -> list[Teller]:
        """The tables of `event` that are not those that were read."""
        return [each for each in TABLES if not self.tables.is_known(event, each, self._position(event, each))]

    def look(self, *, thorough: bool = True, only: Collection[EventType] | None = None) -> list[Told]:
        """Take in what is new; not `thorough`: of quiet event types only whether anything has landed.

        `only`: of tables those of these event types, for who knows that nothing is on its way to the others.

        Raises `StoreUnavailable`, `VaultUnavailable`; what was taken in before stays taken in, and is told by the next
        look that succeeds: nothing is lost if the caller saves nothing in between.
        """
        told = self._untold
        self._looks += 1
        for event, tellers, found in self._found(thorough=thorough, only=only):
            count = len(told)
            before = self._position(event, Teller.CURATED)
            for teller in tellers:
                told += self._followed(event, teller, found)
            if self._position(event, Teller.CURATED) != before:
                told += self._followed(event, Teller.QUARANTINE, {})
            self._quiet[event] = 0 if len(told) > count else self._quiet.get(event, 0) + 1
        told += self.decided()
        self._untold = []
        return told

    def _found(
        self, *, thorough: bool, only: Collection[EventType] | None
    ) -> list[tuple[EventType, Sequence[Teller], Found]]:
        """Of each event type which tables are looked at, and what is new there; several are asked at the same time."""
        asked: list[tuple[EventType, Sequence[Teller]]] = []
        for event in self.landed():
            if only is not None and event not in only:
                continue
            quiet = self._quiet.get(event, 0) >= LIVELY and self._looks % LIVELY and not thorough
            asked.append((event, TABLES[:1] if quiet else TABLES))
        with ThreadPoolExecutor(_ASKED_AT_A_TIME) as pool:
            found = list(pool.map(lambda each: self._news(*each), asked))
        return [(event, tellers, each) for (event, tellers), each in zip(asked, found, strict=True)]

    def _news(self, event: EventType, tellers: Sequence[Teller]) -> Found:
        """What is new in the tables of `event`, in order; nothing of one that cannot tell, nor of those after it."""
        found: dict[Teller, News | None] = {}
        for teller in tellers:
            try:
                found[teller] = self.tables.news(event, teller, self._position(event, teller))
            except StoreUnavailable:
                break  # `_followed` asks again, and hears why
        return found

    def _followed(self, event: EventType, teller: Teller, found: Found) -> Iterator[Told]:
        """Take in what was `found` in a table, and then what came meanwhile."""
        begun = False
        while True:
            try:
                if not begun and teller in found:
                    news = found[teller]
                else:
                    news = self.tables.news(event, teller, self._position(event, teller))
                begun = True
                if news is None:
                    return
                told = self.state.rows(news.added, news.removed)
            except (StoreUnavailable, LookupError) as error:
                # Where the store is away, this raises the same again.
                log.warning("The %s table of %s is read whole: %s", teller, event, error)
                yield from self._whole(event, teller)
                return
            self.state.tables[str(event), teller] = news.position
            for source, seconds in news.ahead.items():
                self.ahead[source] = max(self.ahead.get(source, 0.0), seconds)
            yield from told

    def _whole(self, event: EventType, teller: Teller) -> Iterator[Told]:
        position, said = self.tables.whole(event, teller)
        told = self.state.replace(str(event), teller, said)
        self.state.tables[str(event), teller] = position
        yield from told

    def _position(self, event: EventType, teller: Teller) -> Position:
        return self.state.tables.get((str(event), teller), BEGINNING)

    def decided(self, up_to: int | None = None) -> Iterator[Told]:
        """Take in what the vault has decided newly, up to decision `up_to`. Raises `VaultUnavailable`."""
        while True:
            found = self.vault.since(*self.state.vault, up_to)
            if found is None:
                log.warning("The vault is not the one that was read: all of it is read.")
                found = self.vault.whole()
                told = self.state.replace(None, Teller.VAULT, said_by(found.frame))
            else:
                told = self.state.decided(in_order(found.frame))
            self.state.vault = Position(found.number, found.mark)
            yield from told
            if found.frame.is_empty():
                return


def said_by(frame: pl.DataFrame) -> Saying:
    """What `vault.decisions.DECIDED` say, none of which contradicts another."""
    return {(part, label): Bag.once(offsets) for part, label, offsets in in_order(frame) if label is not None}


def in_order(frame: pl.DataFrame) -> Iterator[Decision]:
    """Decisions as few steps that come to the same: of one partition together, as long as no two are of one offset."""
    for _, some in frame.group_by("source", "event", "partition", maintain_order=True):
        yield from _steps(some)


def _steps(frame: pl.DataFrame) -> Iterator[Decision]:
    kinds: list[Decision] = []
    runs = 0
    for (source, event, partition, place, reason), some in frame.group_by(
        "source", "event", "partition", "place", "reason", maintain_order=True
    ):
        label = None if place == _RELEASED else Label(Teller.VAULT, Place(str(place)), reason=str(reason))
        offsets = Intervals.of_runs(some["first"].to_numpy(), some["last"].to_numpy())
        kinds.append((Part(str(source), str(event), int(partition)), label, offsets))
        runs += int((some["last"] - some["first"] + 1).sum())
    if len(coverage(offsets for *_, offsets in kinds)[0]) == runs:
        yield from kinds
        return
    middle = frame.height // 2
    yield from _steps(frame[:middle])
    yield from _steps(frame[middle:])
