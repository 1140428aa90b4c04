"""The worker beside the stream: what stewards want counted of events that come live, without being in their way.

It follows the commits of the tables, in which each event that was judged lies, and needs neither Kafka nor a key. So it
costs the stream nothing; what it does slowly or badly slows nobody, and a worker that was away goes on from where it
had come.

It is a plain loop. One turn: look at the book of rules and at which shadows run, then count for each of them
(`biokeel.rules.shadow_run`).

**Dying.** What is counted is saved with how far it has come, in one object each. What was read and not saved is read
again; at any moment there may be two of these processes, of which the slower hears that it is, and begins anew.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from biokeel.errors import CommitConflict, StoreUnavailable, SuiteError, describe
from biokeel.rules.of_the_book import versions_of
from biokeel.rules.shadow import Shadows
from biokeel.rules.shadow_run import InForce, ShadowRun

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from biokeel.contracts.schema import EventSchema
    from biokeel.contracts.topics import EventType
    from biokeel.land.lake import Lake
    from biokeel.rulebook.follow import FollowedBook
    from biokeel.rules.beside_metrics import BesideMetrics
    from biokeel.rules.shadow import Running
    from biokeel.settings import Settings

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 5.0
QUIET_SECONDS: Final = 15.0
"""Between two looks while nothing is to be counted: a new shadow is seen that much later, and misses nothing by it."""
PAUSES: Final = 10
"""A pause is so many times the CPU that the look before it took, at least: what is beside the stream leaves it its CPU.
Ten looks' worth of landings cost little more to count together than one."""
LONGEST_SECONDS: Final = 60.0


@dataclass(slots=True)
class BesideWorker:
    """See above. `book` is followed without being begun: a curate worker does that."""

    lake: Lake
    schemas: Mapping[EventType, EventSchema]
    book: FollowedBook
    metrics: BesideMetrics
    clock: Callable[[], float] = time.time
    _shadows: Shadows = field(init=False)
    _runs: dict[str, ShadowRun] = field(default_factory=dict)
    _over: set[str] = field(default_factory=set)
    _has_looked: bool = False

    def __post_init__(self) -> None:
        """Read nothing yet."""
        self._shadows = Shadows(self.lake)

    @classmethod
    def of(cls, settings: Settings, metrics: BesideMetrics) -> BesideWorker:
        """The worker with the rights of `settings`: it reads tables and book, and writes its own objects in the lake.

        Raises `SettingsError`, `ContractError`.
        """
        from biokeel.contracts.catalogue import DirectoryCatalogue, Schemas
        from biokeel.land.lake import Lake
        from biokeel.rulebook.follow import FollowedBook

        lake = Lake.of(settings)
        schemas = Schemas(DirectoryCatalogue(settings.schemas_dir), landed=True)
        return cls(lake, schemas, FollowedBook(lake.objects, schemas, four_eyes=settings.four_eyes), metrics)

    def run(self, stop: threading.Event) -> None:
        """Turn until `stop` is set. Raises what is no outage."""
        since, pause = 0.0, 0.0
        while not stop.wait(pause):
            self.metrics.beat()
            began = time.process_time()
            try:
                is_busy = self.turn()
            except StoreUnavailable as error:
                since = since or self.clock()
                pause = min(max(2 * pause, LOOK_SECONDS), LONGEST_SECONDS)
                log.warning("Nothing is counted beside the stream since %.0f s: %s", self.clock() - since, error)
                self.metrics.waiting(self.clock() - since)
            else:
                since = 0.0
                least = LOOK_SECONDS if is_busy else QUIET_SECONDS
                pause = min(max(least, PAUSES * (time.process_time() - began)), LONGEST_SECONDS)
                self.metrics.waiting(0.0)

    def turn(self) -> bool:
        """One look, and what follows from it; whether there is anything to count. Raises `StoreUnavailable`."""
        if self._has_looked:
            self.book.look()
        self._has_looked = True
        return self._count_shadows()

    def _count_shadows(self) -> bool:
        now = self.clock()
        changed = False
        for running in self._shadows.all():
            changed = (running.digest not in self._over and self._count_shadow(running, now)) or changed
        if changed:
            going = [run for run in self._runs.values() if not run.counted.over]
            self.metrics.shadows((run.running.page.event, run.counted) for run in going)
        return bool(self._runs.keys() - self._over)

    def _count_shadow(self, running: Running, now: float) -> bool:
        """Count for a shadow until nothing is new; whether there was anything."""
        schema = next((each for event, each in self.schemas.items() if str(event) == running.page.event), None)
        if schema is None:
            return False  # of an event type that landed once
        changed = False
        try:
            run = self._runs.get(running.digest) or ShadowRun(
                self.lake, schema, running, lambda: self._in_force(schema)
            )
            self._runs[running.digest], run.running = run, running
            while run.look(now):
                changed = True
                self.metrics.beat()
        except CommitConflict as error:
            log.warning("%s", error)
            del self._runs[running.digest]
            return True
        if run.counted.over:
            log.info("The shadow of %s ends after %d rows: %s", running.page.event, run.counted.rows, run.counted.over)
            self._over.add(running.digest)
            return True
        return changed

    def _in_force(self, schema: EventSchema) -> InForce:
        """What is in force now. Raises `SuiteError` where nothing is that can be read."""
        self.book.look()
        standing = self.book.standing(schema.event)
        versions = versions_of(standing, schema)
        if standing.page.stamp not in versions:
            raise SuiteError(f"The version in force of {schema.event} cannot be read.")
        return InForce(versions, versions[standing.page.stamp])


def run_until_signal(settings: Settings, metrics: BesideMetrics) -> int:
    """Run a process of the worker to its end: 0 after SIGTERM or SIGINT, 1 after a failure, which is logged."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        BesideWorker.of(settings, metrics).run(stop)
    except Exception as error:  # noqa: BLE001 - the last place; every failure is logged the same way
        log.critical("The worker beside the stream ends: %s", describe(error))
        return 1
    return 0
