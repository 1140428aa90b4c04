"""A Faust transport whose one message is what one fetch brought of one topic: a micro-batch of each partition.

Faust goes on doing what it is here for: the consumer group, rebalances, agents. What changes is the unit
and the books: `getmany` hands out whole `Records` of several partitions as one message, so that many thin partitions
cost no more than one thick one; the `Ledger` says what may be committed, and after every rebalance the worker says
where to go on (`Handler.assigned`).

Three things would lose or double events, and are closed here:

- A fetch that was under way when a rebalance or a seek happened may return records of the old position. Every seek
  begins a new epoch; such records are dropped and the partition is rewound to the position in the ledger.
- Faust acknowledges in a `finally`, even when the agent raised. `ack` does nothing; only `Ledger.settle` counts.
- A partition whose topic does not hold the offset that the table asks for, because retention took it or because the
  topic ends before it, would be reset without a word. That is an error here.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from aiokafka import TopicPartition
from faust import Schema
from faust.events import Event
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage
from mode import Service

from biokeel.contracts.topics import event_of
from biokeel.engine.kafka.deliveries import Delivery, Ledger, Partition
from biokeel.engine.kafka.membership import Coordinator
from biokeel.engine.kafka.records import IDLE_SECONDS, Fetcher
from biokeel.engine.kafka.unpack import MOST_BYTES
from biokeel.errors import TransportError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from biokeel.contracts.topics import EventType
    from biokeel.engine.kafka.records import Records


@dataclass(frozen=True, slots=True)
class Consumption:
    """What a worker reads and how much of it at a time. `group` is the Kafka consumer group.

    `topics` says which there are to read, and is asked again and again: a new source's, or a new event type's, are read
    from then on. It may raise `TransportError`.
    `headers`: whether it reads the records' headers, at a tenth of a microsecond a record. `least_bytes`: what the
    broker gathers, over all partitions, before it answers, unless `wait_seconds` pass first: so a trickle makes a few
    micro-batches, not very many tiny ones. Of memory: `answer_bytes` are the most that an answer of the broker has,
    `take_bytes` the most of what is worked on in one go, unpacked, but for the batch of Kafka's that passes them.
    """

    group: str
    topics: Callable[[], Sequence[str]]
    poll_records: int
    fetch_bytes: int
    headers: bool = False
    least_bytes: int = 1
    wait_seconds: float = 0.5
    answer_bytes: int = 50 << 20
    take_bytes: int = MOST_BYTES


class Handler(Protocol):
    """What a worker does with micro-batches. All are called on the event loop, one at a time for one partition."""

    async def assigned(self, partitions: AbstractSet[Partition]) -> Mapping[Partition, int]:
        """Get ready for `partitions` and say from which offset each goes on; left out: from Kafka's committed offset.

        Called before any record of them arrives. A partition may have been held before: start afresh.
        """
        ...

    async def revoked(self, partitions: AbstractSet[Partition]) -> None:
        """Wait for work on `partitions` that is under way, then drop what is buffered of them.

        What is settled before this returns is still committed; afterwards another worker may own the partitions.
        """
        ...

    async def take(self, deliveries: Sequence[Delivery]) -> None:
        """Process `deliveries`, or buffer them: of one event type, each of another partition of one of its topics.

        Each is settled through the ledger once its rows are durable.

        Returning slowly holds back fetching. Must not raise: failures go to `fail`.
        """
        ...

    def fail(self, error: BaseException) -> None:
        """End the process without settling anything more."""
        ...


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust's thread that fetches, with a fetcher that gives micro-batches and a coordinator that says when it ends."""

    async def on_start(self) -> None:
        """Start the consumer; it has no partitions yet, so nothing has been fetched."""
        await super().on_start()
        transport = cast("Transport", self.transport)
        what = transport.consumption
        consumer = self._ensure_consumer()
        Coordinator.adopt(consumer, self._fail)
        Fetcher.adopt(
            consumer,
            headers=what.headers,
            take_bytes=what.take_bytes,
            answer_bytes=what.answer_bytes,
            least_bytes=what.least_bytes,
            wait_seconds=what.wait_seconds,
        )

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Commit `offsets`; nothing between a new subscription and its assignment, when aiokafka would raise.

        What stays uncommitted then is read again after the assignment.
        """
        return bool(self.assignment()) and await super()._commit(offsets)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """The committed offset of every assigned partition that has one, in one request; who asks seeks himself.

        aiokafka asks for each partition by itself: of 1,600 that took a worker's start 50 s on a busy machine.
        """
        return cast("Mapping[TP, int]", await self.call_thread(self._committed))

    async def _committed(self) -> dict[TP, int]:
        consumer = self._ensure_consumer()
        found = await consumer._coordinator.fetch_committed_offsets(list(consumer.assignment()))  # noqa: SLF001
        return {TP(*at): committed.offset for at, committed in found.items() if committed.offset >= 0}

    def _fail(self, error: BaseException) -> None:
        """End the worker, which lives on another thread's event loop than the consumer."""
        self.parent_loop.call_soon_threadsafe(cast("Transport", self.transport).handler.fail, error)


class Consumer(driver.Consumer):
    """Faust's aiokafka consumer with micro-batches for messages and the `Ledger` for acknowledgements."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._ledger: Ledger = self.transport.ledger  # type: ignore[attr-defined]
        self._handler: Handler = self.transport.handler  # type: ignore[attr-defined]
        self._seeks = 0
        self._placed = False
        self._rewind: set[Partition] = set()

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:  # noqa: ASYNC109
        """Yield one message for each event type of which some partition has records."""
        await self._rewind_dropped()
        before = self._seeks
        records, active = await self._wait_next_records(max(timeout, IDLE_SECONDS))
        if records is None or self.should_stop:
            return
        events: dict[EventType, list[tuple[TP, Records]]] = {}
        for tp, batch in cast("dict[TP, Records]", records).items():  # what our fetcher makes of it
            events.setdefault(event_of(tp.topic), []).append((tp, batch))
        for fetched in events.values():
            deliveries = []
            for tp, batch in fetched:
                at = Partition(tp.topic, tp.partition)
                wanted = active is None or tp in active
                if before != self._seeks or not self.flow_active or not wanted:
                    self._rewind.add(at)
                    continue
                if await self._jumps(at, batch.begin):
                    continue
                delivery = self._ledger.deliver(at, batch, self.highwater(tp))
                if delivery is not None:
                    deliveries.append(delivery)
            if deliveries:
                yield TP(*deliveries[0].at), self._message(deliveries)

    async def _jumps(self, at: Partition, first: int) -> bool:
        """Whether what was fetched, from offset `first` on, does not go on where the ledger stands.

        Records may have been dropped on their way to us: what is behind them is fetched again, and so are they. Or
        retention took them before they landed, which ends the worker. Offsets that hold no record are no jump: what is
        fetched covers them.

        A jump back because the topic ends before the position now ends the worker, too: what comes at those offsets is
        new, and would be dropped as known.
        """
        position = self._ledger.position(at)
        if position is None or first == position:
            return False
        if first < position:
            end = (await self._thread.highwaters(TopicPartition(*at)))[TopicPartition(*at)]
            if position > end:
                self._handler.fail(_beyond(at, position, end))
            return position > end
        beginning = (await self._thread.earliest_offsets(TopicPartition(*at)))[TopicPartition(*at)]
        if position < beginning:
            self._handler.fail(taken(at, position, beginning))
        else:
            self._rewind.add(at)
        return True

    def _message(self, deliveries: Sequence[Delivery]) -> ConsumerMessage:
        """A message that Faust takes for one of the first partition: it only wants offsets that rise there."""
        first = deliveries[0]
        return ConsumerMessage(
            first.topic,
            first.partition,
            first.last,
            first.records.timestamp / 1000.0,
            0,
            [],
            None,
            deliveries,  # type: ignore[arg-type]  # the agent gets what the schema makes of it: the deliveries
            None,
            0,
            0,
            TP(*first.at),
            generation_id=self.app.consumer_generation_id,
        )

    async def _rewind_dropped(self) -> None:
        """Fetch again what was fetched and could not be handed out, and what the worker wants once more."""
        self._rewind |= self._ledger.rewound()
        while self._rewind:
            at = self._rewind.pop()
            position = self._ledger.position(at)
            if position is not None and TP(*at) in self.assignment():
                await self._thread.seek_wait({TopicPartition(*at): position})
                self._read_offset[TP(*at)] = None  # else Faust drops what it has handed out before

    async def perform_seek(self) -> None:
        """After a rebalance: ask the worker where each partition goes on, and go there."""
        self._seeks += 1
        self._placed = False
        try:
            await self._seek_to_handler()
            self._placed = True
        except asyncio.CancelledError:
            raise  # another rebalance began, or the process is stopping; nothing is handed out before the next seek
        except BaseException as error:  # noqa: BLE001 - whatever it is, reading on from a wrong place is worse
            self._handler.fail(error)
        finally:
            self._seeks += 1

    async def _seek_to_handler(self) -> None:
        partitions = {Partition(tp.topic, tp.partition) for tp in self.assignment()}
        self._ledger.revoke(self._ledger.assigned())
        wanted = await self._handler.assigned(partitions)
        committed = await self.seek_to_committed()
        asked = [TopicPartition(*at) for at in partitions]
        beginnings = await self._thread.earliest_offsets(*asked)
        ends = await self._thread.highwaters(*asked)  # after the places, which others may be moving on
        places = {tp: _place(Partition(*tp), wanted, committed, beginnings[tp], ends[tp]) for tp in asked}
        # Always seek, never ask aiokafka where it stands: a fetch that began before the rebalance may have moved it on,
        # and its records are dropped by `getmany`.
        await self._thread.seek_wait(places)
        for tp, place in places.items():
            self._ledger.assign(Partition(*tp), place)
            self._read_offset[TP(*tp)] = None

    def resume_flow(self) -> None:
        """Let records through again. Faust does so even when `perform_seek` ran into its time limit: not here."""
        if self.assignment() and not self._placed:
            self._handler.fail(TransportError("Getting ready for partitions took too long.", "See the worker's log."))
        super().resume_flow()

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Stop the flow, let the worker finish what is under way, commit what is settled, forget the rest."""
        await super().on_partitions_revoked(revoked)
        partitions = {Partition(tp.topic, tp.partition) for tp in revoked}
        try:
            await self._handler.revoked(partitions)
            await self.commit()
        except Exception as error:  # noqa: BLE001 - a rebalance must not swallow it
            self._handler.fail(error)
        finally:
            self._seeks += 1
            self._ledger.revoke(partitions)

    def ack(self, message: Any) -> bool:
        """Nothing: Faust acknowledges even what raised. `Ledger.settle` is what counts."""
        del message
        return False

    async def force_commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Commit what the ledger says is settled without a gap, and nothing else."""
        del topics, start_new_transaction
        offsets = self._ledger.committable()
        if not offsets or not await self._commit({TP(*at): offset for at, offset in offsets.items()}):
            return False
        self._ledger.committed(offsets)
        return True

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Nothing: Faust would note the offsets between two micro-batches, for commits that the ledger makes.

        It never forgets one, and sorts them all anew at each: after 1,000 micro-batches of a partition that took 30 ms
        of the event loop for each further one, after 4,000 some 200 ms.
        """

    def on_buffer_full(self, tp: TP) -> None:
        """Nothing: a full queue holds fetching back by itself.

        Faust would leave the partition out until the queue has room, and let those that wait in again in no order: of
        four full partitions two stood still until the others had come to their end.
        """

    def on_buffer_drop(self, tp: TP) -> None:
        """Nothing, see `on_buffer_full`."""

    def _get_active_partitions(self) -> set[TP]:
        """Those that may be read. Faust would look at each, at every poll, whether it is what it put there."""
        active = self._active_partitions
        return super()._get_active_partitions() if active is None else active

    @Service.task
    async def _commit_handler(self) -> None:
        """Commit once in a while what was settled; where nothing was, nothing wakes up for that."""
        while not self.should_stop:
            await self.wait(self._ledger.grown.wait())
            await self.sleep(self.commit_interval)
            await self.commit()

    @Service.task
    async def _commit_livelock_detector(self) -> None:
        """Nothing: Faust's check compares record times with process time; the worker watches the ledger instead.

        It would look at each partition by itself every few seconds: of 1,620 that took 2 % of a core.
        """


def _place(
    at: Partition, wanted: Mapping[Partition, int], committed: Mapping[TP, int], beginning: int, end: int
) -> int:
    """Where `at` goes on. Raises `TransportError` where the topic does not hold that offset, or holds less."""
    offset = wanted.get(at, committed.get(TP(*at)))
    if offset is None:
        return beginning
    if offset < beginning:
        raise taken(at, offset, beginning)
    if offset > end:
        raise _beyond(at, offset, end)
    return offset


def taken(at: tuple[str, int], offset: int, beginning: int) -> TransportError:
    """What is said of a partition (topic, number) that begins behind `offset`, where it is to go on."""
    return TransportError(
        f"{at[0]}/{at[1]} begins at offset {beginning}, but is to go on from {offset}.",
        "Retention deleted events that had not landed; give the topic a longer one and see docs/operations.md.",
    )


def _beyond(at: Partition, offset: int, end: int) -> TransportError:
    return TransportError(
        f"{at.topic}/{at.partition} ends at offset {end}, but is to go on from {offset}.",
        "Kafka lost events that it had confirmed, or the topic was made anew. Stop whoever writes there and bring back "
        "the disk or replica that has them: see docs/operations.md.",
    )


class Transport(driver.Transport):
    """The transport for `faust.App.transport`; `handler` and `ledger` are the worker's."""

    Consumer = Consumer

    def __init__(self, *args: Any, handler: Handler, ledger: Ledger, consumption: Consumption, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.handler = handler
        self.ledger = ledger
        self.consumption = consumption


class DeliverySchema(Schema[Any, Any]):
    """Hands the deliveries to the agent as they are."""

    def compile(self, app: Any, **_: Any) -> Any:
        """The decoder that Faust calls for each message."""

        async def decode(message: Any, *, propagate: bool = False) -> Event:
            del propagate
            return Event(app, None, message.value, message.headers, message)

        return decode
