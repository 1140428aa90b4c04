"""Application 1, vault zone: raw micro-batches through the wall, on to the pseudo topics as blocks.

What one fetch brought of an event type, of however many sources and partitions, goes through together and is settled
together.

The order of steps is the promise (at least once, in order, nothing unsealed left behind):

0. `Wall.leave_out`: which offsets hold no event (`Records.void`) is durable, so that the books need not wait for them.
1. `Wall.process`: whatever does not go on is durable in the vault when it returns.
2. The rest is split into blocks and queued, in order, with an idempotent producer.
3. When Kafka has acknowledged every block, the deliveries are settled; only then may their offsets be committed.

A process that dies after any of them reads the micro-batches again: the vault finds what it holds by its coordinates,
blocks arrive a second time, and `curate` drops their rows as repeats. Releases of parked events go the same way, with
their mark in the vault in place of the offset.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Final

from biokeel.batch import RawBatch, RawPartition
from biokeel.contracts.blocks import split_blocks
from biokeel.contracts.topics import event_of, raw_of
from biokeel.engine.kafka.deliveries import Partition
from biokeel.engine.kafka.topics import TopicNames
from biokeel.engine.kafka.transport import Consumption
from biokeel.engine.outage import AWAY
from biokeel.engine.worker import Worker
from biokeel.observe.metrics import Edge
from biokeel.testing.crash import reached

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from biokeel.batch import PseudonymisedBatch
    from biokeel.contracts.catalogue import Catalogue
    from biokeel.contracts.signatures import Signer
    from biokeel.contracts.sources import Register
    from biokeel.contracts.topics import EventType
    from biokeel.engine.kafka.deliveries import Delivery
    from biokeel.engine.kafka.producer import BlockProducer
    from biokeel.engine.kafka.topics import Events
    from biokeel.observe.metrics import WorkerMetrics
    from biokeel.pseudonymise.wall import Wall, WallResult
    from biokeel.settings import Settings

GROUP: Final = "biokeel-pseudonymise"
WINDOW: Final = 4
"""Calls of `process` whose blocks may be on their way to Kafka at a time."""
RELEASE_SECONDS: Final = 1.0
"""How often the vault is asked for releases: another worker may have enrolled the person."""
REST_SECONDS: Final = 3.0
"""The same once nothing was read for `QUIET_SECONDS`."""
QUIET_SECONDS: Final = 10.0
RELEASE_ROWS: Final = 10_000
COUNT_LOOKS: Final = 5
"""Looks for one at which parked events are counted for the metrics; that costs as much as there are of them."""
FETCH_BYTES: Final = 8 << 20
LEAST_BYTES: Final = 256 << 10
"""Some 4,000 blood pressures, compressed."""
WAIT_SECONDS: Final = 0.8
"""How long fewer wait. A call costs 4 ms for one event as for a thousand, so a trickle costs what its calls do."""


def consumption(settings: Settings, register: Callable[[], Register], events: Events) -> Consumption:
    """What this application reads: every raw topic of `events` and of the sources in `register`, small messages."""
    topics = partial(TopicNames(settings, events).raw_of_registered, register)
    return Consumption(
        GROUP, topics, settings.micro_batch_rows, FETCH_BYTES, least_bytes=LEAST_BYTES, wait_seconds=WAIT_SECONDS
    )


def raw_batch(event: EventType, deliveries: Sequence[Delivery]) -> RawBatch:
    """The records of `deliveries` as one batch."""
    parts = ((_origin(each.at), each.records.offsets, each.records.values) for each in deliveries)
    return RawBatch.of(event, parts, [each.records.refused for each in deliveries])


def void_of(deliveries: Sequence[Delivery]) -> list[tuple[RawPartition, int, int]]:
    """The first and the last of all offsets that `deliveries` cover and where no event stands, run by run."""
    return [(_origin(each.at), first, last) for each in deliveries for first, last in each.records.void()]


def _origin(at: Partition) -> RawPartition:
    return RawPartition(raw_of(at.topic)[0], at.partition)


def _partition(event: EventType, origin: RawPartition) -> Partition:
    return Partition(event.raw_topic(origin.source), origin.partition)


class PseudonymiseWorker(Worker):
    """The worker of application 1."""

    def __init__(
        self,
        settings: Settings,
        metrics: WorkerMetrics,
        wall: Wall,
        catalogue: Catalogue,
        producer: BlockProducer,
        *,
        signer: Signer,
    ) -> None:
        super().__init__(settings, metrics)
        self._wall = wall
        self._catalogue = catalogue
        self._producer = producer
        self._signer = signer
        self._partitions: dict[EventType, int] = {}
        self._held: set[Partition] = set()
        self._window = asyncio.Semaphore(WINDOW)
        self._on_the_way: set[asyncio.Task[None]] = set()
        self._enrolled = asyncio.Event()
        self._looks = 0
        self._quiet_at = 0.0
        self._thread = ThreadPoolExecutor(1, "wall")

    async def process(self, event: EventType, deliveries: Sequence[Delivery]) -> None:
        """Through the wall and into the producer's queue together; settled by `_settle` when Kafka has all of it."""
        self._quiet_at = monotonic() + QUIET_SECONDS
        await self._window.acquire()
        try:
            result, sent = await asyncio.get_running_loop().run_in_executor(self._thread, self._pass, event, deliveries)
        except BaseException:
            self._window.release()
            raise
        if result.applied:
            self._enrolled.set()
        task = asyncio.create_task(self._settle(event, deliveries, result, sent))
        self._on_the_way.add(task)
        task.add_done_callback(self._on_the_way.discard)

    def _pass(self, event: EventType, deliveries: Sequence[Delivery]) -> tuple[WallResult, Future[None]]:
        reached("pseudonymise.before_wall")
        if void := void_of(deliveries):
            self.runner.run("void", self._wall.leave_out, event, void)
        for delivery in deliveries:
            if delivery.records.clients:
                self._wall.heard(raw_of(delivery.topic)[0], delivery.records.clients)
        batch = self.runner.run("collect", raw_batch, event, deliveries)
        self.runner.passed(event, Edge.READ_RAW, len(batch))
        result = self.runner.run("wall", self._wall.process, batch)
        reached("pseudonymise.after_wall")
        sent = self._send(event, result.batch)
        reached("pseudonymise.after_produce")
        return result, sent

    def _send(self, event: EventType, batch: PseudonymisedBatch | None) -> Future[None]:
        if batch is None or not len(batch):
            nothing: Future[None] = Future()
            nothing.set_result(None)
            return nothing
        if event not in self._partitions:
            there = self._producer.partitions(event.pseudo_topic)
            self._partitions[event] = self._wall.partitions(event, there)
        fingerprint = self._catalogue.reader(event).fingerprint
        blocks = self.runner.run("blocks", split_blocks, batch, self._partitions[event], fingerprint, self._signer)
        return self.runner.run("produce", self._producer.send, event.pseudo_topic, blocks)

    async def _settle(
        self, event: EventType, deliveries: Sequence[Delivery], result: WallResult, sent: Future[None]
    ) -> None:
        try:
            await asyncio.wrap_future(sent)
            reached("pseudonymise.after_delivery")
            for delivery in deliveries:
                self.settle(delivery)
        except Exception as error:  # noqa: BLE001 - a task's exception would only be logged
            self.fail(error)
            return
        finally:
            self._window.release()
        self.runner.passed(event, Edge.PSEUDONYMISED, len(result.batch) if result.batch is not None else 0)
        self.runner.passed(event, Edge.PARKED, result.parked)
        self.runner.passed(event, Edge.APPLIED, result.applied)
        self.runner.passed(event, Edge.SEALED, sum(result.counts.values()))
        self.runner.rejected(event, result.counts)
        self.runner.withheld(event, result.withheld)

    async def run(self) -> None:
        """Send on parked events whose person has come: at once after enrolments of our own, else every few seconds."""
        while True:
            try:
                await self._release_ready()
            except AWAY as error:
                await self.outage.wait("releasing", error)
                continue
            self.outage.over("releasing")
            pause = RELEASE_SECONDS if monotonic() < self._quiet_at else REST_SECONDS
            with suppress(TimeoutError):
                await asyncio.wait_for(self._enrolled.wait(), pause)
            self._enrolled.clear()
            self.runner.metrics.beat()

    async def _release_ready(self) -> None:
        """One look at the vault, and all that it has for us; what waits in it is counted every few seconds."""
        for event, origin in await self._look():
            await self._release(event, origin)
        if self._looks % COUNT_LOOKS == 0:
            await self._count_parked()
        self._looks += 1

    async def _look(self) -> list[tuple[EventType, RawPartition]]:
        """Where something waits to be released, of the partitions that are ours; person events first."""
        loop = asyncio.get_running_loop()
        ready = await loop.run_in_executor(self._thread, self._wall.ready_at)
        mine = {(event, origin) for event, origin in ready if _partition(event, origin) in self._held}
        return sorted(mine, key=lambda each: (not each[0].is_person, each))

    async def _count_parked(self) -> None:
        """Show what waits in the vault; it is the same whichever worker looks."""
        waiting = await asyncio.get_running_loop().run_in_executor(self._thread, self._wall.waiting)
        for event in self._catalogue.events():
            self.runner.metrics.parked(event, waiting.get(event, 0))

    async def _release(self, event: EventType, origin: RawPartition) -> None:
        """Emit what is released of one raw partition. Only the owner of the partition does, so numbers stay in order.

        If the process dies between the blocks' delivery and the mark, the same events go out again with the same
        numbers, and `curate` drops them.
        """
        loop = asyncio.get_running_loop()
        while True:
            async with self._turn:
                if _partition(event, origin) not in self._held or self._stopping:
                    return
                result, sent = await loop.run_in_executor(self._thread, self._emit, event, origin)
                self.runner.passed(event, Edge.APPLIED, result.applied)
                self.runner.passed(event, Edge.SEALED, sum(result.counts.values()))
                self.runner.rejected(event, result.counts)
                self.runner.withheld(event, result.withheld)
                if result.batch is None:
                    return
                rows, last = len(result.batch), int(result.batch.frame.item(-1, "raw_offset"))
                await asyncio.wrap_future(sent)
                reached("pseudonymise.after_release_delivery")
                await loop.run_in_executor(self._thread, self._wall.released, event, origin, last)
                reached("pseudonymise.after_release_mark")
                self.runner.passed(event, Edge.RELEASED, rows)

    def _emit(self, event: EventType, origin: RawPartition) -> tuple[WallResult, Future[None]]:
        result = self._wall.releases(event, origin, RELEASE_ROWS)
        sent = self._send(event, result.batch)
        if result.batch is not None:
            reached("pseudonymise.after_release_produce")
        return result, sent

    async def assigned(self, partitions: AbstractSet[Partition]) -> Mapping[Partition, int]:
        """Hold `partitions`; Kafka's committed offsets say where they go on."""
        self._held = set(partitions)
        return {}

    async def revoked(self, partitions: AbstractSet[Partition]) -> None:
        """Wait until what is on its way to Kafka has arrived, so that it need not be sent again."""
        with self.outage.hurried():
            async with self._turn:
                for at in partitions & self._held:
                    self.runner.metrics.forget(event_of(at.topic), at)
                self._held -= partitions
                await self._arrived()

    async def drain(self) -> None:
        """Wait for what is on its way, then close the producer."""
        self._stopping = True
        with self.outage.hurried():
            async with self._turn:
                await self._arrived()
                await asyncio.to_thread(self._producer.close)

    async def _arrived(self) -> None:
        if self._on_the_way:
            await asyncio.wait(self._on_the_way)
