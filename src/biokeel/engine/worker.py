"""What both workers have in common: the ledger, one turn at a time, and ending at the first failure."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from biokeel.contracts.topics import event_of
from biokeel.engine.kafka.deliveries import Ledger, Partition
from biokeel.engine.outage import AWAY, Outage
from biokeel.engine.runner import StageRunner

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from biokeel.contracts.topics import EventType
    from biokeel.engine.kafka.deliveries import Delivery
    from biokeel.observe.metrics import WorkerMetrics
    from biokeel.settings import Settings

log = logging.getLogger(__name__)


class Worker:
    """Base of the two workers; a `biokeel.engine.kafka.transport.Handler`.

    `_turn` is held while a micro-batch is processed and while an assignment changes, so that neither sees the other
    half done. A failure is kept for `failed`; from then on nothing is taken and nothing settled.
    """

    def __init__(self, settings: Settings, metrics: WorkerMetrics) -> None:
        self.settings = settings
        self.runner = StageRunner(metrics)
        self.ledger = Ledger()
        self.outage = Outage(metrics, self.ledger)
        self._turn = asyncio.Lock()
        self._failure: BaseException | None = None
        self._failed = asyncio.Event()
        self._stopping = False

    async def take(self, deliveries: Sequence[Delivery]) -> None:
        """Process what is not stale of `deliveries`, of one event type; a stopping or failed worker takes nothing.

        While the store, the vault or the schema registry is away this does not return, so that nothing more is fetched.
        """
        try:
            while not await self._taken(deliveries):
                pass
        except (KeyboardInterrupt, SystemExit, asyncio.CancelledError):
            raise
        except BaseException as error:  # noqa: BLE001 - Faust would acknowledge and go on; a panic is no Exception
            log.error("Failed on %s", ", ".join(map(repr, deliveries)))  # noqa: TRY400 - the traceback may hold values; `log_failure` says where
            self.fail(error)
        finally:
            self.outage.over("taking")

    async def _taken(self, deliveries: Sequence[Delivery]) -> bool:
        """Whether `deliveries` are done with; after a pause, and without the turn, where they must be tried again."""
        try:
            async with self._turn:
                current = [delivery for delivery in deliveries if self.ledger.is_current(delivery)]
                if current and not self._stopping and self._failure is None:
                    event = event_of(current[0].topic)
                    for delivery in current:
                        self.runner.lag(event, delivery, time.time())
                    await self.process(event, current)
        except AWAY as error:
            await self.outage.wait("taking", error)
            return False
        return True

    async def process(self, event: EventType, deliveries: Sequence[Delivery]) -> None:
        """Do the worker's work on `deliveries`, each of another partition of a topic of `event`.

        Each is settled through the ledger when its rows are durable. Called again with the same where it raises one of
        `AWAY`.
        """
        raise NotImplementedError

    async def assigned(self, partitions: AbstractSet[Partition]) -> Mapping[Partition, int]:
        """See `Handler.assigned`."""
        raise NotImplementedError

    async def revoked(self, partitions: AbstractSet[Partition]) -> None:
        """See `Handler.revoked`."""
        raise NotImplementedError

    async def run(self) -> None:
        """What the worker does besides taking deliveries; runs until it is cancelled. Raises what fails."""
        raise NotImplementedError

    async def drain(self) -> None:
        """Stop taking, and make durable what was taken. Called once, before the consumer leaves its group."""
        raise NotImplementedError

    def settle(self, delivery: Delivery) -> None:
        """Note that everything in `delivery` is durable; after a failure nothing is noted any more."""
        if self._failure is None:
            self.ledger.settle(delivery)

    def fail(self, error: BaseException) -> None:
        """End the process; the first failure is the one that is told."""
        if self._failure is None:
            self._failure = error
            self._failed.set()

    @property
    def has_failed(self) -> bool:
        """Whether there was a failure, after which nothing is taken, landed or settled."""
        return self._failure is not None

    @property
    def stopping(self) -> bool:
        """Whether the process is to end, and lands what it has."""
        return self._stopping

    def check(self) -> None:
        """Raise the failure, if there was one."""
        if self._failure is not None:
            raise self._failure

    async def failed(self) -> None:
        """Wait for a failure and raise it."""
        await self._failed.wait()
        self.check()
