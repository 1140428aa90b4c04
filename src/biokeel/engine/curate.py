"""Application 2, research zone: blocks of pseudonymised events, judged, linked and landed exactly once.

A delivery is some blocks of one pseudo partition. Its rows lose their repeats, are judged and linked, and wait in a
buffer; when the buffer of an event type is full or old, it lands as one commit in each of the type's two tables, and
only then are its deliveries settled. The tables know how far they reach, so after an assignment each partition goes on
from where `recover` says, whatever Kafka's committed offset is. A process that dies anywhere in here costs time only:

- before the quarantine commit: nothing happened; the rows are read and judged again;
- between the two commits: what the quarantine table holds stays decided, the rest lands (`Recovered.decide`);
- after the curated commit: the rows are read again and dropped by `land`, they only rebuild the state.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from biokeel.batch import POSITION, PseudonymisedBatch
from biokeel.contracts.blocks import read_block
from biokeel.contracts.topics import LANDED_EVENTS, event_type
from biokeel.engine.app import Consumption
from biokeel.engine.buffer import Buffer, Judged, Standing
from biokeel.engine.ledger import Partition
from biokeel.engine.runner import count_reasons
from biokeel.engine.worker import Worker
from biokeel.land.maintenance import refresh_participants
from biokeel.land.recovery import Recovered, recover
from biokeel.land.snapshots import Snapshots
from biokeel.land.tables import EventTables, Landed
from biokeel.link.participants import from_snapshots
from biokeel.link.repeats import IDENTITY, set_aside
from biokeel.link.stage import drop_repeats, link
from biokeel.link.state import Snapshot, from_bytes, to_bytes
from biokeel.observe.metrics import Edge
from biokeel.reasons import Reason
from biokeel.testing.crash import reached
from biokeel.validate.stage import validate

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

    from biokeel.contracts.schema import EventSchema
    from biokeel.contracts.topics import EventType
    from biokeel.engine.ledger import Delivery
    from biokeel.land.lake import Lake
    from biokeel.observe.metrics import WorkerMetrics
    from biokeel.settings import Settings
    from biokeel.validate.suites import SuiteStore

log = logging.getLogger(__name__)

GROUP: Final = "biokeel-curate"
POLL_BLOCKS: Final = 64
"""Blocks of one poll: some 5,000 rows each where the raw side runs at full speed."""
FETCH_BYTES: Final = 32 << 20
"""A block may be a whole message of 16 MiB; a fetch must hold some."""
TICK_SECONDS: Final = 0.25
IDLE_SECONDS: Final = 10.0
"""After this long without a delivery, snapshots are written and the participants table is made anew."""
SNAPSHOT_ROWS: Final = 4
"""Rows for each participant of a partition's last snapshot until the next one, under load. A state that grows with
every row is saved each time that it has grown fivefold, one that does not at every fourth row a participant: either
way a row pays for a bounded part of a snapshot. In a snapshot of a million a participant costs some 0.13 microseconds
of CPU, linking a row 0.2 to 0.3 (`bench/link.py`). The price: recovery may read that many rows again."""
RECOVERIES: Final = 8
"""Event types recovered at a time after an assignment."""


def consumption() -> Consumption:
    """What this application reads: every pseudo topic, few and big messages."""
    return Consumption(GROUP, tuple(event.pseudo_topic for event in LANDED_EVENTS), POLL_BLOCKS, FETCH_BYTES)


def blocks_of(event: EventType, delivery: Delivery) -> PseudonymisedBatch:
    """The rows of all blocks of `delivery`, with `POSITION`. Raises `ContractError` for a malformed block.

    Blocks from before a schema had a field may stand beside newer ones: where a row has no such column it is null.
    """
    frames = [read_block(event, record.value, record.headers).frame for record in delivery.records]
    offsets = np.repeat([record.offset for record in delivery.records], [frame.height for frame in frames])
    rows = pl.concat(frames, how="diagonal").with_columns(
        pl.lit(delivery.partition, POSITION["pseudo_partition"]).alias("pseudo_partition"),
        pl.Series("pseudo_offset", offsets, POSITION["pseudo_offset"]),
    )
    return PseudonymisedBatch(event, rows)


class CurateWorker(Worker):
    """The worker of application 2."""

    def __init__(
        self,
        settings: Settings,
        metrics: WorkerMetrics,
        lake: Lake,
        schemas: Mapping[EventType, EventSchema],
        suites: SuiteStore,
    ) -> None:
        super().__init__(settings, metrics)
        self._lake = lake
        self._schemas = schemas
        self._suites = suites
        self._snapshots = Snapshots(lake)
        self._tables: dict[EventType, EventTables] = {}
        self._recovered: dict[Partition, Recovered] = {}
        self._standings: dict[Partition, Standing] = {}
        self._landed: dict[Partition, Standing] = {}
        self._rows_since_snapshot: dict[Partition, int] = {}
        self._in_snapshot: dict[Partition, int] = {}
        self._buffers: dict[EventType, Buffer] = {}
        self._flush: asyncio.Task[None] | None = None
        self._last_delivery = monotonic()
        self._stages = ThreadPoolExecutor(1, "stages")
        self._lander = ThreadPoolExecutor(1, "lander")

    async def process(self, delivery: Delivery) -> None:
        """Judge and link `delivery`, buffer it, and land the buffer if that is due."""
        event = event_type(delivery.topic)
        self._last_delivery = monotonic()
        judged = await asyncio.get_running_loop().run_in_executor(self._stages, self._judge, event, delivery)
        self._standings[delivery.at] = judged.standing
        self.runner.passed(event, Edge.REPEATED, judged.repeats)
        buffer = self._buffers.setdefault(event, Buffer())
        buffer.add(delivery, judged)
        if buffer.due(self.settings):
            await self._land(event)

    def _judge(self, event: EventType, delivery: Delivery) -> Judged:
        standing, recovered = self._standings[delivery.at], self._recovered[delivery.at]
        batch = self.runner.run("blocks", blocks_of, event, delivery)
        self.runner.passed(event, Edge.READ_PSEUDO, len(batch))
        batch, marks, repeats = self.runner.run("repeats", drop_repeats, batch, standing.marks)
        decided = recovered.decide(batch.frame) if delivery.first <= recovered.decided_up_to else None
        found = self.runner.run("sent again", set_aside, batch, standing.repeats, decided)
        outcome = self.runner.run("validate", validate, found.rest, self._suites.current(event), found.decided)
        linked, state = self.runner.run("link", link, outcome.accepted, standing.state)
        known = (linked.frame, found.withdrawals)
        window = self.runner.run("sent again", standing.repeats.after, known, self.settings.remembered_events)
        stopped = [frame for frame in (found.aside, outcome.rejected.frame.drop(IDENTITY)) if frame.height]
        quarantined = pl.concat(stopped, how="diagonal") if stopped else outcome.rejected.frame
        standing = Standing(delivery.last, state, marks, window)
        return Judged(linked.frame.drop(IDENTITY), quarantined, standing, repeats)

    async def _land(self, event: EventType) -> None:
        """Begin to land the buffer of `event`, when the landing before is done: one at a time."""
        await self._landing_done()
        buffer = self._buffers.pop(event)
        self._flush = asyncio.create_task(self._land_buffer(event, buffer))

    async def _landing_done(self) -> None:
        if self._flush is not None:
            await asyncio.wait([self._flush])

    async def _land_buffer(self, event: EventType, buffer: Buffer) -> None:
        try:
            landed = await asyncio.get_running_loop().run_in_executor(self._lander, self._write, event, buffer)
        except Exception as error:  # noqa: BLE001 - a task's exception would only be logged
            log.error("Failed to land %d rows of %s", buffer.rows, event)  # noqa: TRY400 - see `log_failure`
            self.fail(error)
            return
        for delivery in buffer.deliveries:
            self.settle(delivery)
        self.runner.passed(event, Edge.CURATED, landed.curated)
        self.runner.passed(event, Edge.QUARANTINED, landed.quarantined)
        self._show_versions(event, landed.curated_version, landed.quarantine_version)

    def _show_versions(self, event: EventType, curated: int, quarantine: int) -> None:
        self.runner.metrics.table_version(event, "curated", curated)
        self.runner.metrics.table_version(event, "quarantine", quarantine)

    def _write(self, event: EventType, buffer: Buffer) -> Landed:
        reached("curate.before_land")
        quarantined = buffer.quarantined()
        positions = {partition: standing.offset for partition, standing in buffer.standings.items()}
        marks = {partition: standing.marks for partition, standing in buffer.standings.items()}
        landed = self.runner.run("land", self._tables[event].land, buffer.curated(), quarantined, positions, marks)
        if quarantined is not None and landed.quarantined:
            self.runner.rejected(event, {Reason(name): rows for name, rows in count_reasons(quarantined).items()})
        for partition, standing in buffer.standings.items():
            at = Partition(event.pseudo_topic, partition)
            self._landed[at] = standing
            self._rows_since_snapshot[at] = self._rows_since_snapshot.get(at, 0) + buffer.rows_of[partition]
            share = self.settings.flush_rows // len(buffer.standings)
            if self._rows_since_snapshot[at] >= max(SNAPSHOT_ROWS * self._in_snapshot[at], share):
                self._save(at, standing)
        return landed

    def _save(self, at: Partition, standing: Standing) -> None:
        """Write a snapshot; what it covers has landed. If the process dies in here, the snapshot before is used."""
        data = to_bytes(Snapshot(standing.offset, standing.state, standing.marks, standing.repeats))
        event = event_type(at.topic)
        self.runner.run("snapshot", self._snapshots.save, event, at.partition, standing.offset, data)
        self._rows_since_snapshot[at] = 0
        self._in_snapshot[at] = len(standing.state)
        reached("curate.after_snapshot")

    async def run(self) -> None:
        """Land what has grown old; write snapshots and refresh the participants table when nothing arrives."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self.runner.metrics.beat()
            async with self._turn:
                for event in [event for event, buffer in self._buffers.items() if buffer.due(self.settings)]:
                    await self._land(event)
                if not self._buffers and monotonic() - self._last_delivery >= IDLE_SECONDS:
                    await self._landing_done()
                    await asyncio.get_running_loop().run_in_executor(self._lander, self._save_grown)

    def _save_grown(self) -> None:
        """Snapshots of what grew since the last ones, and then the participants table from all of them."""
        grown = [at for at, rows in self._rows_since_snapshot.items() if rows]
        for at in grown:
            self._save(at, self._landed[at])
        if grown:
            self.runner.run("participants", refresh_participants, self._lake, from_snapshots)

    async def assigned(self, partitions: AbstractSet[Partition]) -> Mapping[Partition, int]:
        """Recover every partition from the lake; the table says where each goes on."""
        loop = asyncio.get_running_loop()
        async with self._turn:
            self._forget()
            events = sorted({event_type(at.topic) for at in partitions})
            with ThreadPoolExecutor(RECOVERIES, "recover") as pool:
                found = await asyncio.gather(
                    *(loop.run_in_executor(pool, self._recover, event, partitions) for event in events)
                )
            whole = {at: recovered for of_event in found for at, recovered in of_event.items()}
            self._standings = {at: _standing(recovered) for at, recovered in whole.items()}
            self._in_snapshot = {at: len(standing.state) for at, standing in self._standings.items()}
            # The bytes of a snapshot may be many; what is in them is in the standings now.
            self._recovered = {at: replace(recovered, snapshot=None) for at, recovered in whole.items()}
            return {at: recovered.seek_to for at, recovered in whole.items()}

    def _recover(self, event: EventType, partitions: AbstractSet[Partition]) -> dict[Partition, Recovered]:
        """Where the partitions of `event` stand; one thread an event type, as its tables want it."""
        tables = EventTables(self._lake, self._schemas[event], reached=lambda step: reached(f"curate.{step}"))
        self._tables[event] = tables
        self._show_versions(event, tables.curated.handle.version(), tables.quarantine.handle.version())
        mine = sorted(at for at in partitions if at.topic == event.pseudo_topic)
        return {at: recover(tables, at.partition) for at in mine}

    async def revoked(self, partitions: AbstractSet[Partition]) -> None:
        """Wait for a landing that is under way, then drop the rest: the next owner goes on from the tables.

        Kafka's eager protocol revokes everything at once, so nothing needs to be told apart.
        """
        async with self._turn:
            await self._landing_done()
            for at in partitions & set(self._standings):
                self.runner.metrics.forget(event_type(at.topic), at.partition)
            self._forget()

    def _forget(self) -> None:
        self._tables.clear()
        self._buffers.clear()
        self._standings.clear()
        self._landed.clear()
        self._recovered.clear()
        self._rows_since_snapshot.clear()
        self._in_snapshot.clear()

    async def drain(self) -> None:
        """Land what is buffered."""
        self._stopping = True
        async with self._turn:
            for event in list(self._buffers):
                await self._land(event)
            await self._landing_done()


def _standing(recovered: Recovered) -> Standing:
    """The standing of a partition as its snapshot has it, just before `seek_to`."""
    snapshot = from_bytes(recovered.snapshot)
    return Standing(recovered.seek_to - 1, snapshot.state, snapshot.marks, snapshot.repeats)
