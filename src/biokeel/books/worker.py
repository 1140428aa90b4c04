"""The third worker: follows tables and vault, and says what became of every event. It is on nobody's way.

It is a plain loop. One turn: look at Kafka's watermarks, then at what is new (`follower`), show what it comes to, and
every few seconds save the books and send the receipts that they gave (`saved`, `receipts`).

**Dying.** What a turn has read is in memory only until it is saved, so whoever comes next reads it again, from the last
saved books; receipts are saved with the books that gave them, and sent after that. At any moment there may be two of
these processes: of two that go on from the same books only the first one's are saved, and the other begins anew from
them. While the store, the vault or Kafka is away it waits and tries again, with what it has.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from biokeel.books.alarms import SKEW_SECONDS, Alarm, History, SeenClient, alarms
from biokeel.books.balance import Balancer, Books, Seen
from biokeel.books.follower import Follower
from biokeel.books.places import Place
from biokeel.books.published import EVERY_SECONDS, Published
from biokeel.books.receipts import records
from biokeel.books.saved import Saved, SavedBooks
from biokeel.errors import CommitConflict, StoreUnavailable, TransportError, VaultUnavailable, describe
from biokeel.testing.crash import reached

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from biokeel.books.follower import DecisionsReader
    from biokeel.books.metrics import BooksMetrics
    from biokeel.books.state import Told
    from biokeel.books.tables import Tables
    from biokeel.contracts.sources import Register
    from biokeel.contracts.topics import EventType
    from biokeel.engine.kafka.watermarks import Watermarks
    from biokeel.settings import Settings

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 2.0
QUIET_SECONDS: Final = 10.0
"""Between two looks once nothing has come for `QUIET_LOOKS` of them: what lands then is seen that much later."""
QUIET_LOOKS: Final = 10
PAUSES: Final = 30
"""A pause is so many times the CPU that the look before it took, within these two: while much lands, receipts come some
seconds later, and the others keep their CPU. The first look, which reads what came before, does not count.
"""
TABLES_EVERY: Final = 6
"""Looks for one at the tables of event types of which all that Kafka holds is accounted for: only who tidies up, and a
steward, change those then. To ask each table for its next commit is most of what a look costs, here and in the store.
"""
SAVE_SECONDS: Final = 5.0
"""Between two savings at least, where there are receipts to send; and twenty times the CPU that the last one took."""
SELDOM_SECONDS: Final = 60.0
"""The same where only positions moved. Also: how often it is looked for what lies aside and what sources send with."""
CHECK_SECONDS: Final = 3600.0
"""How often it is made sure that the tables are those that were read: a log is cleared after days."""
LONGEST_SECONDS: Final = 30.0
"""The longest pause while something is away."""
STAND_BY_SECONDS: Final = 30.0
"""Pause after another follower went on: if both run for good, one of them mostly waits."""
AWAY: Final = (StoreUnavailable, VaultUnavailable, TransportError)


@dataclass(slots=True)
class BooksWorker:
    """See above. `send` writes receipts, all of them, in order (`ReceiptSender.send`)."""

    tables: Tables
    vault: DecisionsReader
    watermarks: Callable[[], Watermarks]
    register: Callable[[], Register]
    send: Callable[[Sequence[tuple[str, bytes]]], None]
    metrics: BooksMetrics
    aside: Callable[[], tuple[str, ...]] = tuple
    replays: Callable[[], Mapping[EventType, int]] = dict
    clock: Callable[[], float] = time.time
    _follower: Follower | None = None
    _store: SavedBooks = field(init=False)
    _number: int = 0
    _saved: Saved = field(default_factory=Saved)
    _histories: dict[str, History] = field(default_factory=dict)
    _told: list[Told] = field(default_factory=list)
    _unsent: bool = False
    _positions: object = None
    _balancer: Balancer = field(default_factory=Balancer)
    _published: Published | None = None
    _aside: tuple[str, ...] = ()
    _aside_at: float = 0.0
    _clients: dict[str, list[SeenClient]] = field(default_factory=dict)
    _marks: Watermarks | None = None
    _looked: object = None
    _quiet: int = 0
    _looks: int = 0
    _save_at: float = 0.0
    _check_at: float = 0.0

    @classmethod
    def of(cls, settings: Settings, metrics: BooksMetrics) -> BooksWorker:
        """The follower with the rights of `settings`: it describes raw topics and writes receipts, reads the lake and
        writes its own objects there, and opens the vault's database read only, without its keys.

        Raises `SettingsError`, and `ContractError` where the register of sources cannot be used.
        """
        from biokeel.books.receipts import ReceiptSender
        from biokeel.books.tables import Tables
        from biokeel.contracts.sources import FollowedRegister
        from biokeel.engine.kafka.watermarks import RawWatermarks
        from biokeel.land.aside import Aside
        from biokeel.land.lake import Lake
        from biokeel.vault.decisions import Decisions

        settings.require("kafka_bootstrap", "vault_url", "s3_endpoint")
        lake = Lake.of(settings)
        return cls(
            Tables(lake),
            Decisions.open(settings),
            RawWatermarks(settings).look,
            FollowedRegister(settings.sources_dir).current,
            ReceiptSender(settings).send,
            metrics,
            Aside(lake).told,
        )

    def run(self, stop: threading.Event) -> None:
        """Turn until `stop` is set; then save what there is. Raises what is no outage."""
        since, pause = 0.0, LOOK_SECONDS
        while not stop.wait(pause):
            self.metrics.beat()
            began, is_first = time.process_time(), self._follower is None
            try:
                self.turn()
            except AWAY as error:
                since = since or self.clock()
                pause = min(2 * pause, LONGEST_SECONDS)
                log.warning("The books wait since %.0f s: %s", self.clock() - since, error)
                self.metrics.waiting(self.clock() - since)
            except CommitConflict as error:
                log.warning("%s", error)
                self._follower, pause = None, STAND_BY_SECONDS
            else:
                spent = 0.0 if is_first else time.process_time() - began
                since, pause = 0.0, QUIET_SECONDS
                if self._quiet < QUIET_LOOKS:
                    pause = min(max(LOOK_SECONDS, PAUSES * spent), QUIET_SECONDS)
                self.metrics.waiting(0.0)
        if self._follower is not None:
            try:
                self.save()
            except (*AWAY, CommitConflict) as error:
                log.warning("The books were not saved, who is next reads again: %s", error)

    def turn(self) -> None:
        """One look, and what follows from it. Raises one of `AWAY`, or `CommitConflict`; call it again."""
        now = self.clock()
        marks = self.watermarks()
        follower = self._begun(now)
        seldom = self._published is None or not self._looks % TABLES_EVERY
        new = follower.look(thorough=seldom, only=None if seldom else self._moving(marks))
        self._looks += 1
        if now >= self._check_at:
            new += follower.begin()
            self._check_at = now + CHECK_SECONDS
        self._told += new
        reached("books.looked")
        self._count(marks, new, now)
        # What is on its way moves positions, and is not told of.
        looked = dict(follower.state.tables), follower.state.vault
        self._quiet = 0 if new or (marks, looked) != (self._marks, self._looked) else self._quiet + 1
        self._marks, self._looked = marks, looked
        self._show(self._balanced(follower, marks, now), now)
        if now >= self._save_at and (self._told or self._unsent or now >= self._save_at + SELDOM_SECONDS):
            self.save()

    def _moving(self, marks: Watermarks) -> set[EventType]:
        """The event types of which something can have landed since the last look: not all that Kafka holds lay
        somewhere then, or it holds more by now.
        """
        assert self._published is not None
        missing = {each.event for each in self._published.books.events if each.sums.missing}
        before = self._marks or {}
        return {event for event, bounds in marks.items() if event in missing or bounds != before.get(event)}

    def _balanced(self, follower: Follower, marks: Watermarks, now: float) -> Books:
        """The books as of `now`; where nothing came they are those that were shown last, and cost nothing."""
        seen = self._seen(now)
        if self._quiet and self._published is not None:
            return replace(self._published.books, taken_at=now, aside=seen.aside, saved_at=seen.saved_at)
        return Books.of(self._balancer.balance(follower.state, marks), seen)

    def save(self) -> None:
        """Save the books with the receipts that they gave since, and send these. Raises as `turn`."""
        assert self._follower is not None
        now, state = self.clock(), self._follower.state
        began = time.process_time()
        self._flush()
        positions = dict(state.tables), state.vault
        if self._told or positions != self._positions:
            outbox, sent = records(self._told, state, self._saved.sent, now)
            history = {source: each.as_json() for source, each in self._histories.items()}
            saved = Saved(state, now, sent, outbox, history)
            size = self._store.save(self._number, saved)
            reached("books.saved")
            self._number += 1
            self._saved, self._told, self._unsent, self._positions = saved, [], True, positions
            self.metrics.saved(now, size)
            self._flush()
        self._save_at = now + max(SAVE_SECONDS, 20 * (time.process_time() - began))

    def _flush(self) -> None:
        """Send what was saved to be sent."""
        if self._unsent:
            self.send(self._saved.outbox)
            reached("books.sent")
            self.metrics.sent(source for source, _ in self._saved.outbox)
            self._unsent = False

    def _begun(self, now: float) -> Follower:
        if self._follower is None:
            self._store = SavedBooks(self.tables.lake.objects)
            number, saved = self._store.newest()
            if number and saved is None:
                log.warning("The saved books cannot be read: they are made anew from the tables and the vault.")
            self._saved = saved or Saved()
            self._number, self._unsent, self._told = number, bool(self._saved.outbox), []
            self._positions = dict(self._saved.state.tables), self._saved.state.vault
            self._histories = {source: History.from_json(each) for source, each in self._saved.history.items()}
            self._balancer, self._looked, self._quiet, self._looks = Balancer(), None, 0, 0
            follower = Follower(self.tables, self.vault, self._saved.state)
            self._told += follower.begin()
            self._check_at = now + CHECK_SECONDS
            self._follower = follower
        return self._follower

    def _count(self, marks: Watermarks, new: Sequence[Told], now: float) -> None:
        """Count for the alarms what came, and what was told of for the first time."""
        highs = dict.fromkeys(self.register(), 0)
        for origins in marks.values():
            for origin, (_, high) in origins.items():
                if origin.source in highs:
                    highs[origin.source] += high
        for source, high in highs.items():
            self._histories.setdefault(source, History(now, now, high)).came(high, now)
        assert self._follower is not None
        for source, seconds in self._follower.ahead.items():
            if seconds > SKEW_SECONDS and source in self._histories:
                self._histories[source].ahead = seconds, now
        self._follower.ahead.clear()
        self._histories = {source: each for source, each in self._histories.items() if source in highs}
        for told in new:
            if told.label.place is Place.VOID:
                continue
            if not told.amends and told.part.source in self._histories:
                self._histories[told.part.source].judged(told.label.place, len(told.offsets), now)

    def _alarms(self, now: float) -> tuple[Alarm, ...]:
        register = self.register()
        found = [
            alarm
            for source, history in self._histories.items()
            if source in register
            for alarm in alarms(register[source], history, now, self._clients.get(source, ()))
        ]
        self.metrics.alarms(register, found)
        return tuple(found)

    def _show(self, books: Books, now: float) -> None:
        self.metrics.books(books)
        published = Published(books, self._alarms(now))
        before = self._published
        if (
            before is None
            or now - before.books.taken_at >= EVERY_SECONDS
            or before.alarms != published.alarms
            or replace(before.books, taken_at=0, seconds=0) != replace(books, taken_at=0, seconds=0)
        ):
            published.put(self.tables.lake.objects)
            self._published = published

    def _seen(self, now: float) -> Seen:
        if now >= self._aside_at:
            self._aside, self._aside_at = self.aside(), now + SELDOM_SECONDS
            self._clients = {}
            for source, client, seen in self.vault.clients():
                self._clients.setdefault(source, []).append(SeenClient(client, seen))
        return Seen(now, self.replays(), self._aside, self._saved.at or None)


def run_until_signal(settings: Settings, metrics: BooksMetrics) -> int:
    """Run a follower process to its end: 0 after SIGTERM or SIGINT, 1 after a failure, which is logged."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        BooksWorker.of(settings, metrics).run(stop)
    except Exception as error:  # noqa: BLE001 - the last place; every failure is logged the same way
        log.critical("The books end: %s", describe(error))
        return 1
    return 0
