"""Takes events from the spool to Kafka, in order within each partition, and remembers what Kafka has acknowledged.

One thread calls `step` again and again. An event is handed over once; it is handed over again only where Kafka has
not acknowledged it: after a start, after the producer ended, or when its topic was refused and is tried again. So an
event is sent twice only if Kafka's answer was lost: the process died before the cursor was replaced, or the producer
ended before the answer came.

- **A topic that Kafka refuses** (no right, no such topic) is held: its events wait in the spool, those of others go
  on, and one event of it is tried again from time to time.
- **A new topic** begins with one event, so that a refusal costs one event's way and disturbs no order.
- **An event that Kafka will never take** (too large for the topic) is found by sending fewer and fewer at a time, put
  into a file, reported, and passed over.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from biokeel.source.spool import index
from biokeel.source.spool.cursor import Cursor
from biokeel.source.spool.frames import Events
from biokeel.source.spool.index import Placed
from biokeel.source.spool.log import Reader, Segment, Spool

IN_FLIGHT_EVENTS: Final = 200_000
IN_FLIGHT_BYTES: Final = 64 << 20
AT_ONCE: Final = 20_000
"""Events that one step takes from the spool."""
SAVE_SECONDS: Final = 0.05
"""How often the cursor is written while events are under way: what a dead process costs is sent twice."""
FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0
"""Seconds between attempts at what Kafka refuses: the first, and doubled up to the longest."""
LONGEST_AWAY: Final = 4.0
"""The longest between attempts to reach Kafka."""


class Kind(Enum):
    """What a refusal is about."""

    EVENT = "event"
    """Kafka never takes this event, or a batch with it in: try fewer."""
    TOPIC = "topic"
    """Kafka takes no event of this topic, now."""
    PRODUCER = "producer"
    """The producer has ended, with all that it held."""


class Refusal(NamedTuple):
    """Why Kafka did not take an event: `reason` in Kafka's word for it, or ours."""

    kind: Kind
    reason: str


class Away(Exception):  # noqa: N818 - a fact that the drain waits for the end of
    """Kafka does not answer; says why."""


class TopicRefused(Exception):  # noqa: N818 - the same
    """Kafka has no such topic, or hides it."""


class Answers(Protocol):
    """Where Kafka's answers about some events go, in their order: one call for each."""

    @property
    def took(self) -> Callable[[int], None]:
        """Called with the offset of an event that Kafka took."""

    def refuse(self, refusal: Refusal) -> None:
        """Called for one that it did not take."""


class Transport(Protocol):
    """The way to Kafka. Its methods are called by one thread."""

    def partitions(self, topic: str) -> int:
        """How many partitions `topic` has. Raises `TopicRefused`, and `Away` where Kafka does not answer."""

    def send(self, topic: str, partition: int, values: Sequence[bytes], answers: Answers) -> None:
        """Take `values`, which arrive in order and without gaps; `poll` gives the answers."""

    def poll(self, seconds: float) -> None:
        """Wait at most `seconds` for answers and give them on."""

    @property
    def ended(self) -> Refusal | None:
        """Why the producer has ended, None while it works. Once it has, it gives no answers."""

    def renew(self) -> None:
        """Begin with a new producer."""


class _Run:
    """Events of one partition that were handed over together, and what came of them."""

    __slots__ = (
        "_answers",
        "_refusals",
        "bytes",
        "counted",
        "events",
        "partition",
        "refusal",
        "segment",
        "taken",
        "took",
    )

    def __init__(self, events: Events, segment: Segment, partition: int) -> None:
        self.events, self.segment, self.partition = events, segment, partition
        self.bytes = sum(map(len, events.values))
        self._answers: list[int] = []
        self._refusals = 0
        self.took = self._answers.append
        self.taken: int | None = None
        """Events that were taken before the first refusal; None as long as there is none."""
        self.refusal: Refusal | None = None
        self.counted = False

    @property
    def under_way(self) -> bool:
        """Whether of some events nothing is known yet."""
        return len(self._answers) + self._refusals < len(self.events.values)

    @property
    def offsets(self) -> list[int]:
        """Where Kafka put the events that it took before it refused any."""
        return self._answers[: self.taken]

    @property
    def unfinished(self) -> bool:
        """Whether not all was taken, as far as is known."""
        return len(self.offsets) < len(self.events.values)

    @property
    def next_number(self) -> int:
        """The number of the first event that was not taken."""
        return int(self.events.numbers[len(self.offsets)])

    def refuse(self, refusal: Refusal) -> None:
        """Kafka did not take an event; what it took behind it does not count."""
        self._refusals += 1
        if self.refusal is None:
            self.refusal, self.taken = refusal, len(self._answers)

    def give_up(self) -> None:
        """No more answers come."""
        self._refusals = len(self.events.values) - len(self._answers)

    def discount(self) -> None:
        """What was taken does not count: something before it was refused."""
        self.taken = 0

    def probe(self) -> _Run:
        """The first event that was not taken, as a run of its own."""
        at = slice(len(self.offsets), len(self.offsets) + 1)
        some = self.events
        first = Events(some.topic, some.numbers[at], some.hashes[at], some.values[at])
        return _Run(first, self.segment, self.partition)


@dataclass(slots=True, eq=False)
class _Topic:
    """How far a topic is, in each of its partitions."""

    name: str
    handed: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """The events of each partition below its number here were handed over."""
    acknowledged: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    older: list[list[int]] = field(default_factory=list)
    """What was acknowledged while the topic had another number of partitions."""
    runs: list[_Run] = field(default_factory=list)
    """What is under way, in the order in which it was handed over, and what was refused meanwhile."""
    limit: int | None = 1
    """Most events that are under way at a time; None for any."""
    narrowed: bool = False
    """Whether the limit is there to find an event that Kafka never takes."""
    left_behind: int | None = None
    """The first event that was read and is neither handed over nor acknowledged."""
    reason: str = ""
    """Why the topic is held; empty if it is not."""
    probe: _Run | None = None
    """A refused event that is tried again while the topic is held."""
    pause: float = 0.0
    next_try: float = 0.0

    @property
    def waits(self) -> bool:
        """Whether nothing more of the topic may be handed over now."""
        return bool(self.reason) or (self.limit is not None and bool(self.runs)) or any(r.refusal for r in self.runs)

    def leave_behind(self, number: int) -> None:
        """Note that event `number` was read for nothing."""
        self.left_behind = number if self.left_behind is None else min(self.left_behind, number)

    def hold(self, reason: str) -> None:
        """Let its events wait for a while, each time longer."""
        self.reason = reason
        self.pause = min(2 * self.pause or FIRST_PAUSE, LONGEST_PAUSE)
        self.next_try = time.monotonic() + self.pause

    def known(self, partitions: int, marks: list[list[int]]) -> None:
        """Begin with `partitions`, and `marks` below which all is acknowledged."""
        same = [mark for mark in marks if len(mark) == partitions]
        self.older = [mark for mark in marks if len(mark) != partitions]
        self.acknowledged = np.array(same[-1] if same else [0] * partitions, np.int64)
        self.handed = self.acknowledged.copy()

    def marks(self) -> list[list[int]]:
        """What is acknowledged, as the cursor has it."""
        return [*self.older, self.acknowledged.tolist()] if len(self.acknowledged) else self.older

    def not_handed(self, some: Events) -> npt.NDArray[np.intp]:
        """The positions of the events that were neither handed over nor acknowledged."""
        fresh = some.numbers >= self.handed[some.hashes % len(self.handed)]
        for mark in self.older:
            fresh &= some.numbers >= np.array(mark)[some.hashes % len(mark)]
        return np.flatnonzero(fresh)


class Drain:
    """Brings what is in `spool` to Kafka by `transport`."""

    def __init__(self, spool: Spool, transport: Transport) -> None:
        self._spool, self._transport = spool, transport
        self._reader = Reader(spool, spool.cursor.low)
        self._begin = spool.cursor
        self._topics: dict[str, _Topic] = {}
        self._placed: dict[Segment, list[Placed]] = defaultdict(list)
        """Acknowledged, and not yet written."""
        self._flying = self._flying_bytes = 0
        self._pause = 0.0
        self._next_try = self._next_save = 0.0
        self.away = ""
        """Why nothing goes on: Kafka does not answer, or the producer has ended. Empty while all is well."""
        self.refused: list[str] = []
        """What was said of events that Kafka never takes."""
        self.held: Mapping[str, str] = {}
        """Topics that Kafka refuses, and why; another object where it changes, for other threads to look at."""
        self._only_held = False
        """Whether all that waits is of topics that are held."""

    @property
    def flying(self) -> int:
        """Events that are under way."""
        return self._flying

    def is_blocked(self, number: int) -> bool:
        """Whether, of the events below `number`, only those wait whose topics are held."""
        return self._only_held and self._reader.number >= number > self._spool.cursor.low

    @property
    def pause(self) -> float:
        """For how many seconds there is nothing to hand over, as far as is known; 0 if there is."""
        now = time.monotonic()
        if now < self._next_try:
            return self._next_try - now
        if self._reader.number < self._spool.next_number:
            full = self._flying >= IN_FLIGHT_EVENTS or self._flying_bytes >= IN_FLIGHT_BYTES
            return LONGEST_PAUSE if full else 0.0
        tries = [topic.next_try - now for topic in self._topics.values() if topic.reason and not topic.runs]
        return max(0.0, min([LONGEST_PAUSE, *tries]))

    @property
    def next_number(self) -> int:
        """Below it, everything was read."""
        return self._reader.number

    def step(self, seconds: float) -> None:
        """Take answers, waiting at most `seconds` for one, and hand over more."""
        self._transport.poll(seconds if self._flying else 0.0)
        if self._transport.ended is not None:
            self._begin_anew(self._transport.ended)
        for topic in self._topics.values():
            self._settle(topic)
        now = time.monotonic()
        if now >= self._next_try:
            self._retry(now)
            if self._flying < IN_FLIGHT_EVENTS and self._flying_bytes < IN_FLIGHT_BYTES:
                self._hand_over()
        self._remember()
        self._look()

    def close(self) -> None:
        """Close the file that is read."""
        self._reader.close()

    def _look(self) -> None:
        """Put down what other threads may ask for."""
        held = {name: topic.reason for name, topic in self._topics.items() if topic.reason}
        if held != self.held:
            self.held = held
        unfinished = [topic for topic in self._topics.values() if topic.runs or topic.left_behind is not None]
        self._only_held = bool(unfinished) and all(topic.reason for topic in unfinished)

    # -- answers

    def _settle(self, topic: _Topic) -> None:
        """Count what is complete of a topic, and act on what was refused."""
        self._count(topic)
        if any(run.refusal for run in topic.runs):
            if all(run.counted for run in topic.runs):
                self._refusal(topic)
        elif any(run.counted for run in topic.runs):
            topic.runs = [run for run in topic.runs if not run.counted]
            if not topic.runs:
                if topic.limit is not None:
                    topic.limit = 2 * topic.limit if topic.narrowed and topic.limit < AT_ONCE else None
                    topic.narrowed = topic.limit is not None
                self._rewind(topic)

    def _count(self, topic: _Topic) -> None:
        """Count what of the complete runs was acknowledged, in order within each partition.

        What Kafka took behind a refusal of the same partition does not count: it is sent again behind what was refused.
        """
        under_way, refused = set(), set()
        for run in topic.runs:
            if run.under_way or run.partition in under_way:
                under_way.add(run.partition)
                continue
            if not run.counted:
                if run.partition in refused:
                    run.discount()
                self._count_run(topic, run)
            if run.refusal:
                refused.add(run.partition)

    def _count_run(self, topic: _Topic, run: _Run) -> None:
        run.counted = True
        self._flying -= len(run.events.values)
        self._flying_bytes -= run.bytes
        offsets = np.array(run.offsets, np.int64)
        taken = len(offsets)
        if not taken:
            return
        topic.acknowledged[run.partition] = run.events.numbers[taken - 1] + 1
        topic.pause, topic.reason, topic.probe = 0.0, "", None
        self._placed[run.segment] += index.runs(
            topic.name, len(topic.handed), run.partition, run.events.numbers[:taken], offsets
        )

    def _refusal(self, topic: _Topic) -> None:
        """Act on a refusal, now that nothing of the topic is under way any more."""
        runs, topic.runs = topic.runs, []
        first = min((run for run in runs if run.refusal), key=lambda run: run.next_number)
        assert first.refusal is not None
        self._take_back(topic, runs)
        if first.refusal.kind is Kind.TOPIC:
            topic.probe = first.probe()
            topic.hold(first.refusal.reason)
            return
        topic.reason, topic.probe = "", None
        most = sum(len(run.events.values) for run in runs)
        if most == 1:
            self._never(topic, first)
        topic.limit, topic.narrowed = max(1, most // 2), True
        self._rewind(topic)

    def _take_back(self, topic: _Topic, runs: list[_Run]) -> None:
        """Count as not handed over what of `runs` was not acknowledged."""
        topic.handed = topic.acknowledged.copy()
        for run in runs:
            if run.unfinished:
                topic.leave_behind(run.next_number)

    def _never(self, topic: _Topic, run: _Run) -> None:
        """Put an event aside that Kafka never takes. If the process dies here, it is sent and put aside again."""
        assert run.refusal is not None
        number = int(run.events.numbers[0])
        kept = self._spool.put_away("refused", f"{number:020d}.event", run.events.values[0])
        self.refused.append(f"Kafka never takes an event of {topic.name} ({run.refusal.reason}); {kept}")
        topic.acknowledged[run.partition] = topic.handed[run.partition] = number + 1

    def _begin_anew(self, ended: Refusal) -> None:
        """The producer has ended: hand over again, after a pause, what is not acknowledged."""
        self._transport.renew()
        self._wait(ended.reason)
        for topic in self._topics.values():
            for run in topic.runs:
                run.give_up()
            self._count(topic)
            runs, topic.runs = topic.runs, []
            if not runs:
                continue
            self._take_back(topic, runs)
            topic.limit = 1
            unfinished = next((run for run in runs if run.unfinished), None)
            if ended.kind is Kind.TOPIC and unfinished is not None:
                topic.probe = unfinished.probe()
                topic.hold(ended.reason)
            elif not topic.reason:
                self._rewind(topic)

    def _rewind(self, topic: _Topic) -> None:
        """Read again from where events of `topic` were left behind."""
        if topic.left_behind is not None and topic.left_behind < self._reader.number:
            self._reader.seek(topic.left_behind)
        topic.left_behind = None

    def _remember(self) -> None:
        """Write where events are, then how far Kafka is; what a death in between costs, `cursor` says."""
        low = self._low()
        if not self._placed and low == self._spool.cursor.low:
            return
        now = time.monotonic()
        if self._flying and now < self._next_save:
            return
        self._next_save = now + SAVE_SECONDS
        for segment, some in self._placed.items():
            with suppress(
                OSError
            ):  # no room, or the file is gone: an event without a place is acknowledged all the same
                index.append(segment.index, some)
        self._placed.clear()
        marks = self._begin.marks | {name: topic.marks() for name, topic in self._topics.items()}
        above = {name: kept for name, lists in marks.items() if (kept := [mark for mark in lists if max(mark) > low])}
        self._spool.acknowledged(Cursor(low, above))

    def _low(self) -> int:
        """Below it is every event acknowledged."""
        low = self._reader.number
        for topic in self._topics.values():
            for run in topic.runs:
                low = min(low, int(run.events.numbers[0]))
            if topic.left_behind is not None:
                low = min(low, topic.left_behind)
        return max(low, self._spool.cursor.low)

    # -- handing over

    def _hand_over(self) -> None:
        start = self._reader.number
        for some in self._reader.read(AT_ONCE):
            topic = self._topics.get(some.topic)
            if topic is None:
                topic = _Topic(some.topic)
                if not self._ask(topic):
                    self._reader.seek(start)  # what was handed over of it already is known
                    return
                self._topics[some.topic] = topic
            self._hand(topic, some)

    def _ask(self, topic: _Topic) -> bool:
        """Learn how many partitions the topic has, or hold it; false where Kafka is away."""
        try:
            partitions = self._transport.partitions(topic.name)
        except Away as error:
            self._wait(str(error))
            return False
        except TopicRefused as error:
            topic.hold(str(error))
        else:
            if partitions != len(topic.handed):
                topic.known(partitions, topic.marks() or self._begin.marks.get(topic.name, []))
        self.away, self._pause = "", 0.0
        return True

    def _wait(self, why: str) -> None:
        self.away = why
        self._pause = min(2 * self._pause or FIRST_PAUSE, LONGEST_AWAY)
        self._next_try = time.monotonic() + self._pause

    def _retry(self, now: float) -> None:
        """Try what is held, if its time has come: ask for the topic, and send one event."""
        for topic in self._topics.values():
            if not topic.reason or topic.runs or now < topic.next_try:
                continue
            reason, topic.reason = topic.reason, ""
            if not self._ask(topic):
                topic.reason = reason
                return
            if topic.reason:
                continue
            if topic.probe is None:
                self._rewind(topic)
                continue
            topic.reason = reason  # until it has come through
            hashed = int(topic.probe.events.hashes[0])
            self._send(topic, _Run(topic.probe.events, topic.probe.segment, hashed % len(topic.handed)))

    def _hand(self, topic: _Topic, some: Events) -> None:
        """Hand over what of `some` was not, as far as the topic takes more."""
        if not len(topic.handed):
            topic.leave_behind(int(some.numbers[0]))
            return
        fresh = topic.not_handed(some)
        if not len(fresh):
            return
        most = 0 if topic.waits else topic.limit or len(fresh)
        if most < len(fresh):
            topic.leave_behind(int(some.numbers[fresh[most]]))
            fresh = fresh[:most]
        partitions = some.hashes[fresh] % len(topic.handed)
        for partition in np.unique(partitions).tolist():
            of_it = fresh[partitions == partition]
            values = [some.values[at] for at in of_it.tolist()]
            part = Events(some.topic, some.numbers[of_it], some.hashes[of_it], values)
            self._send(topic, _Run(part, self._reader.segment, partition))

    def _send(self, topic: _Topic, run: _Run) -> None:
        topic.runs.append(run)
        topic.handed[run.partition] = run.events.numbers[-1] + 1
        self._flying += len(run.events.values)
        self._flying_bytes += run.bytes
        self._transport.send(topic.name, run.partition, run.events.values, run)
