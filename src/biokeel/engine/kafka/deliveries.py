"""Which micro-batches were handed out, which are settled, and how far Kafka's offsets may move.

Faust acknowledges a message when its agent is done with it, raised or not, and finds the offset to commit by looking
for neighbours in a list of offsets; between micro-batches there are no neighbours. So Faust's acknowledgements count
for nothing here: an offset is committed only when every micro-batch up to it was **settled** by the code that made
its rows durable. If the process dies, whatever was not settled is read again.

One thread (the event loop's) uses a ledger.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from biokeel.engine.kafka.records import Records


class Partition(NamedTuple):
    """A partition of a topic; equal to Faust's and aiokafka's tuples of the same two."""

    topic: str
    partition: int


@dataclass(slots=True, eq=False)
class Delivery:
    """One micro-batch of one partition as the transport hands it out, perhaps without a record: then it only says that
    there are none. `highwater` is the partition's end at the time.

    `epoch` numbers the assignment it belongs to: after a rebalance it is stale, and settling it does nothing. It is
    kept until it is settled: whoever has read it lets go of what is in its records (`empty`).
    """

    topic: str
    partition: int
    epoch: int
    records: Records
    highwater: int | None = None

    @property
    def at(self) -> Partition:
        """The partition it came from."""
        return Partition(self.topic, self.partition)

    @property
    def first(self) -> int:
        """The first offset that it covers."""
        return self.records.begin

    @property
    def last(self) -> int:
        """The last offset that it covers."""
        return self.records.end - 1

    def empty(self) -> None:
        """Keep of the records where they stand, and nothing else."""
        self.records = self.records.emptied()

    def __len__(self) -> int:
        return len(self.records)

    def __repr__(self) -> str:
        return f"Delivery({self.topic}/{self.partition}, {self.first}..{self.last})"


@dataclass(slots=True)
class _Held:
    epoch: int
    position: int
    committable: int
    moved_at: float
    waiting: deque[Delivery] = field(default_factory=deque)
    settled: set[Delivery] = field(default_factory=set)


class Ledger:
    """The books of one consumer: positions, micro-batches under way, and the offsets that may be committed."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._held: dict[Partition, _Held] = {}
        self._epochs: defaultdict[Partition, int] = defaultdict(int)
        self._rewound: set[Partition] = set()
        self._under_way: set[Partition] = set()
        """Where something is handed out and not settled: of very many partitions mostly a few, or none."""
        self._grown: set[Partition] = set()
        """Where something was settled since the last commit."""
        self.grown = asyncio.Event()
        """Set while there is something to commit."""
        self._clock = clock

    def assign(self, at: Partition, position: int) -> None:
        """Begin a new epoch of `at`: the next record wanted is `position`, everything handed out before is stale."""
        self._epochs[at] += 1
        self._under_way.discard(at)
        self._grown.discard(at)
        self._held[at] = _Held(self._epochs[at], position, position, self._clock())

    def rewind(self, at: Partition, position: int) -> None:
        """Go back to `position` within the assignment: as `assign`, and the transport is to fetch from there."""
        self.assign(at, position)
        self._rewound.add(at)

    def rewound(self) -> set[Partition]:
        """The partitions that went back since this was asked the last time."""
        rewound, self._rewound = self._rewound, set()
        return rewound

    def revoke(self, partitions: Iterable[Partition]) -> None:
        """Forget `partitions`; what was handed out of them can no longer be settled."""
        for at in partitions:
            self._held.pop(at, None)
            self._under_way.discard(at)
            self._grown.discard(at)

    def position(self, at: Partition) -> int | None:
        """The offset of the next record wanted of `at`, or None while it is not assigned."""
        held = self._held.get(at)
        return held.position if held else None

    def deliver(self, at: Partition, records: Records, highwater: int | None = None) -> Delivery | None:
        """Hand out `records` of `at`, without those below the position; None where nothing is left."""
        held = self._held.get(at)
        if held is None or records.end <= held.position:
            return None
        records = records.since(held.position)
        delivery = Delivery(at.topic, at.partition, held.epoch, records, highwater)
        if not held.waiting:
            held.moved_at = self._clock()
        held.position = delivery.last + 1
        held.waiting.append(delivery)
        self._under_way.add(at)
        return delivery

    def is_current(self, delivery: Delivery) -> bool:
        """Whether `delivery` belongs to the assignment of now."""
        held = self._held.get(delivery.at)
        return held is not None and held.epoch == delivery.epoch

    def settle(self, delivery: Delivery) -> bool:
        """Note that everything in `delivery` is durable. False where it is stale."""
        held = self._held.get(delivery.at)
        if held is None or held.epoch != delivery.epoch:
            return False
        held.settled.add(delivery)
        while held.waiting and held.waiting[0] in held.settled:
            done = held.waiting.popleft()
            held.settled.discard(done)
            held.committable = done.last + 1
            held.moved_at = self._clock()
            self._grown.add(delivery.at)
            self.grown.set()
        if not held.waiting:
            self._under_way.discard(delivery.at)
        return True

    def committable(self) -> dict[Partition, int]:
        """The offset to commit for each partition whose unbroken run of settled micro-batches has grown."""
        return {at: self._held[at].committable for at in self._grown}

    def committed(self, offsets: dict[Partition, int]) -> None:
        """Note that Kafka took `offsets`."""
        for at, offset in offsets.items():
            if at in self._grown and self._held[at].committable <= offset:
                self._grown.discard(at)
        if not self._grown:
            self.grown.clear()

    def under_way(self, at: Partition | None = None) -> int:
        """How many micro-batches are handed out and not settled, of `at` or of all partitions."""
        places = self._under_way if at is None else self._under_way & {at}
        return sum(len(self._held[each].waiting) for each in places)

    def excuse(self) -> None:
        """Begin the time of `longest_stall` anew: what does not move waits for something outside."""
        for held in self._held.values():
            held.moved_at = self._clock()

    def assigned(self) -> set[Partition]:
        """The partitions of the present assignment."""
        return set(self._held)

    def longest_stall(self) -> float:
        """Seconds for which the slowest partition with unsettled micro-batches has not moved; 0 where none waits."""
        now = self._clock()
        return max((now - self._held[at].moved_at for at in self._under_way), default=0.0)
