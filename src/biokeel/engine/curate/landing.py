"""Judged rows to tables: buffers, one landing at a time, and what is dropped because it cannot land here.

What a landing takes, its deliveries' rows and standings, is in memory only until both commits are made
(`biokeel.land.checkpoint`); only then are the deliveries settled. A process that dies before reads them again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import TYPE_CHECKING, Final, TypeVar

from biokeel.engine.curate.buffer import Buffer
from biokeel.engine.kafka.groups import SESSION_SECONDS
from biokeel.engine.runner import count_reasons
from biokeel.errors import CommitConflict, StoreUnavailable
from biokeel.observe.metrics import Edge
from biokeel.reasons import Reason
from biokeel.testing.crash import reached

if TYPE_CHECKING:
    from biokeel.contracts.topics import EventType
    from biokeel.engine.curate.judging import Judged
    from biokeel.engine.curate.snapshots import SnapshotSaver
    from biokeel.engine.kafka.deliveries import Delivery
    from biokeel.engine.worker import Worker
    from biokeel.land.tables import EventTables, Landed

log = logging.getLogger(__name__)

T = TypeVar("T")

CONFLICTS: Final = 3
"""Conflicts in a row, without a landing of the event type between them, after which the worker ends."""
CONFLICT_SECONDS: Final = SESSION_SECONDS / 2
"""Pause before partitions are recovered after a conflict. A worker that lost them without knowing it hears so from
its next heartbeat, and does not get in the way of its heir a second time."""


class Landing:
    """Where judged rows wait for their landing, and how they land. Who calls it has the worker's turn."""

    def __init__(self, worker: Worker, saver: SnapshotSaver) -> None:
        self.tables: dict[EventType, EventTables] = {}
        """The tables of the event types of which the worker has partitions; recovery opens them."""
        self.dropped: dict[EventType, float] = {}
        """Event types of which rows were dropped, and when (monotonic) to recover them; none of them lands before."""
        self.buffers: dict[EventType, Buffer] = {}
        self._worker = worker
        self._saver = saver
        self._conflicts: Counter[EventType] = Counter()
        self._flush: asyncio.Task[None] | None = None
        self._landing_bytes = 0
        self._thread = ThreadPoolExecutor(1, "lander")

    async def add(self, event: EventType, deliveries: Sequence[Delivery], judged: Judged) -> None:
        """Buffer what `deliveries` came to, and land the buffer if that is due."""
        buffer = self.buffers.setdefault(event, Buffer())
        buffer.add(deliveries, judged)
        if buffer.due(self._worker.settings):
            await self.land(event)
        await self._keep_bounds()

    async def land_old(self) -> None:
        """Land the buffers that have grown old."""
        for event in [event for event, buffer in self.buffers.items() if buffer.due(self._worker.settings)]:
            await self.land(event)

    async def land_all(self) -> None:
        """Land every buffer, and wait for that."""
        for event in list(self.buffers):
            await self.land(event)
        await self.done()

    async def land(self, event: EventType) -> None:
        """Begin to land the buffer of `event`, when the landing before is done: one at a time."""
        await self.done()
        buffer = self.buffers.pop(event)
        if event in self.dropped or self._worker.has_failed:
            return  # what came before these rows has not landed: a table that took them would hide the gap for ever
        self._landing_bytes = buffer.size
        self._flush = asyncio.create_task(self._land_buffer(event, buffer))

    async def done(self) -> None:
        """Wait for the landing that is under way."""
        if self._flush is not None:
            await asyncio.wait([self._flush])

    def open(self, event: EventType, tables: EventTables) -> None:
        """Land rows of `event` in `tables` from now on."""
        self.tables[event] = tables
        self._show_versions(event, tables.curated.handle.version(), tables.quarantine.handle.version())

    def held(self) -> int:
        """Bytes that wait to land, or are landing."""
        held = self._landing_bytes + sum(buffer.size for buffer in self.buffers.values())
        self._worker.runner.metrics.held(held)
        return held

    async def run(self, call: Callable[..., T], *arguments: object) -> T:
        """What `call` gives, in the thread of the landings, of which there is one."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *arguments)

    def forget(self) -> None:
        """The partitions leave, and with them what has not landed: whoever has them next reads it again."""
        self.tables.clear()
        self.buffers.clear()
        self.dropped.clear()

    async def _keep_bounds(self) -> None:
        """Land the biggest buffers, and wait for that, while all of them together hold too much.

        While the store is away this does not return, and so nothing more is taken.
        """
        while self.held() >= self._worker.settings.held_bytes:
            if self.buffers:
                await self.land(max(self.buffers, key=lambda event: self.buffers[event].size))
            else:
                await self.done()

    async def _land_buffer(self, event: EventType, buffer: Buffer) -> None:
        """Land `buffer`, settle its deliveries, and save what snapshots are due.

        A store that is away is waited for. Giving up, because the partitions leave or the process ends, loses nothing:
        whoever has the partitions next reads the rows again.
        """
        runner = self._worker.runner
        try:
            landed = await self._persisted(self._write, event, buffer)
            self._conflicts.pop(event, None)
            for delivery in buffer.deliveries:
                self._worker.settle(delivery)
            runner.passed(event, Edge.CURATED, landed.curated)
            runner.passed(event, Edge.QUARANTINED, landed.quarantined)
            self._show_versions(event, landed.curated_version, landed.quarantine_version)
            await self._save_snapshots(event, buffer)
        except CommitConflict as error:
            self.conflict(event, error)
        except StoreUnavailable as error:
            self._give_up(event, buffer, error)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - a task's exception would only be logged
            log.error("Failed to land %d rows of %s", buffer.rows, event)  # noqa: TRY400 - see `log_failure`
            self._worker.fail(error)
        finally:
            self._landing_bytes = 0
            self.held()

    async def _save_snapshots(self, event: EventType, buffer: Buffer) -> None:
        try:
            await self._persisted(self._saver.save_due, event, buffer)
        except StoreUnavailable as error:
            log.warning("A snapshot of %s is left out; who is next reads more again: %s", event, error)

    async def _persisted(self, write: Callable[[EventType, Buffer], T], event: EventType, buffer: Buffer) -> T:
        """What `write` gives, called again while the store is away. Raises `StoreUnavailable` when giving up."""
        outage = self._worker.outage
        try:
            while True:
                try:
                    return await self.run(write, event, buffer)
                except StoreUnavailable as error:
                    await outage.wait("landing", error)
                    if outage.in_a_hurry:
                        raise
        finally:
            outage.over("landing")

    def _give_up(self, event: EventType, buffer: Buffer, error: StoreUnavailable) -> None:
        """Drop rows that cannot land before the partitions leave, or end where it is the process that does."""
        log.warning("%d rows of %s are dropped here and read again by who is next: %s", buffer.rows, event, error)
        if self._worker.stopping:
            self._worker.fail(error)
        self.dropped[event] = monotonic()

    def conflict(self, event: EventType, error: CommitConflict) -> None:
        """Another worker decided about rows of `event`: nothing of ours landed, and we go on from the tables.

        Until they are recovered no row of the event type is judged or landed. If the process dies meanwhile, it
        begins from the tables all the same.
        """
        self._conflicts[event] += 1
        if self._conflicts[event] > CONFLICTS:
            self._worker.fail(error)
            return
        log.warning("%s (%d of at most %d in a row)", error, self._conflicts[event], CONFLICTS)
        self.dropped[event] = monotonic() + CONFLICT_SECONDS

    def _show_versions(self, event: EventType, curated: int, quarantine: int) -> None:
        metrics = self._worker.runner.metrics
        metrics.table_version(event, "curated", curated)
        metrics.table_version(event, "quarantine", quarantine)

    def _write(self, event: EventType, buffer: Buffer) -> Landed:
        reached("curate.before_land")
        runner = self._worker.runner
        quarantined = buffer.quarantined()
        positions = {partition: standing.offset for partition, standing in buffer.standings.items()}
        landed = runner.run("land", self.tables[event].land, buffer.curated(), quarantined, positions)
        if quarantined is not None and landed.quarantined:
            runner.rejected(event, {Reason(name): rows for name, rows in count_reasons(quarantined).items()})
        return landed
