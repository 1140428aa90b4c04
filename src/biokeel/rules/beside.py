"""The worker beside the stream: what stewards want counted of events that come live, without being in their way.

It follows the commits of the tables, in which each event that was judged lies, and needs neither Kafka nor a key. So it
costs the stream nothing; what it does slowly or badly slows nobody, and a worker that was away goes on from where it
had come.

It is a plain loop. One turn: look at the book of rules and at which shadows run, count for each of them
(`biokeel.rules.shadow_run`), and look after the windows and thresholds of each event type whose suite has any
(`biokeel.rules.window_run`). Great Expectations is never loaded here: a process of its own has it while a window is
judged.

**Dying.** What is counted is saved with how far it has come, in one object each. What was read and not saved is read
again; at any moment there may be two of these processes, of which the slower hears that it is, and begins anew.
"""

from __future__ import annotations

import datetime as dt
import logging
import os
import signal
import threading
import time
from collections import Counter
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Final

import psutil

from biokeel.errors import BiokeelError, CommitConflict, StoreUnavailable, SuiteError, describe
from biokeel.poison import may_be_poison
from biokeel.rules import window_state
from biokeel.rules.beside_seen import EVERY_SECONDS, Seen, alarms, expired, levels
from biokeel.rules.of_the_book import versions_of
from biokeel.rules.shadow import Shadows
from biokeel.rules.shadow_run import InForce, ShadowRun
from biokeel.rules.window_run import Wants, WindowRun
from biokeel.validate.window_judge import judge_window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from biokeel.contracts.schema import EventSchema
    from biokeel.contracts.topics import EventType
    from biokeel.land.lake import Lake
    from biokeel.rulebook.follow import FollowedBook
    from biokeel.rulebook.standing import Standing
    from biokeel.rules.beside_metrics import BesideMetrics
    from biokeel.rules.shadow import Running
    from biokeel.rules.window_run import Judge
    from biokeel.settings import Settings

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 5.0
QUIET_SECONDS: Final = 15.0
"""Between two looks while nothing is to be counted: a new shadow is seen that much later, and misses nothing by it."""
PAUSES: Final = 10
"""A pause is so many times the CPU that the look before it took, at least: what is beside the stream leaves it its CPU.
Ten looks' worth of landings cost little more to count together than one."""
LONGEST_SECONDS: Final = 60.0
_NICE: Final = 10
"""Where the stream wants all of the machine, it has it: what is counted comes later then. Its child is as nice."""


@dataclass(slots=True)
class BesideWorker:
    """See above. `book` is followed without being begun: a curate worker does that."""

    lake: Lake
    schemas: Mapping[EventType, EventSchema]
    book: FollowedBook
    metrics: BesideMetrics
    clock: Callable[[], float] = time.time
    pool: Executor = field(default_factory=lambda: ThreadPoolExecutor(1, "window"))
    judge: Judge = judge_window
    _shadows: Shadows = field(init=False)
    _runs: dict[str, ShadowRun] = field(default_factory=dict)
    _over: set[str] = field(default_factory=set)
    _has_looked: bool = False
    _windows: dict[EventType, WindowRun] = field(default_factory=dict)
    _asked: dict[EventType, bool] = field(default_factory=dict)
    _troubles: dict[str, str] = field(default_factory=dict)
    _seen: Seen | None = None

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
        shadows, windows = self._count_shadows(), self._judge_windows()
        self._show()
        return shadows or windows

    def _judge_windows(self) -> bool:
        """Look after the windows of every event type; whether there is anything to do soon."""
        busy = False
        for event, standing in self._standings():
            with self._apart(f"Rules about many rows of {event}", partial(self._windows.pop, event, None)):
                busy = self._judge_windows_of(event, standing) or busy
        return busy

    def _judge_windows_of(self, event: EventType, standing: Standing) -> bool:
        asks = bool(Wants(standing.suite))
        run = self._windows.get(event)
        if run is None and not asks and not self._has_state(event):
            return False
        if run is None:
            run = self._windows[event] = WindowRun(self.lake, event, self.pool, self.judge)
        before = run.judged
        is_busy = run.turn(standing, self.clock())
        if run.judged is not before:
            self.metrics.judged(str(event), run.judged)
        return is_busy or asks

    @contextmanager
    def _apart(self, what: str, forget: Callable[[], object]) -> Iterator[None]:
        """Keep what goes wrong with one run from the others: it is made anew at the next look, and told until then.

        Raises what is an outage, or ends the process.
        """
        trouble = ""
        try:
            yield
        except StoreUnavailable:
            raise
        except CommitConflict as error:
            log.warning("%s", error)
            forget()
        except BaseException as error:
            if not isinstance(error, BiokeelError) and not may_be_poison(error):
                raise
            trouble = f"{what} cannot be followed: {describe(error)}"
            if trouble != self._troubles.get(what):
                log.error("%s", trouble)  # noqa: TRY400 - what it quotes is not logged
            forget()
        self._troubles[what] = trouble

    def _standings(self) -> list[tuple[EventType, Standing]]:
        """What is in force, of the event types of which anything is."""
        found = []
        for event in self.book.events():
            with suppress(SuiteError):
                found.append((event, self.book.standing(event)))
        return found

    def _has_state(self, event: EventType) -> bool:
        """Whether windows of an event type were followed before; asked once."""
        if event not in self._asked:
            self._asked[event] = bool(window_state.store_of(self.lake.objects, event).newest()[0])
        return self._asked[event]

    def _show(self) -> None:
        """Set metrics, and write what was seen where it has changed."""
        now = self.clock()
        today = dt.datetime.fromtimestamp(now, dt.UTC).date()
        suites = {event: standing.suite for event, standing in self._standings()}
        states = {event: run.state for event, run in self._windows.items() if event in suites}
        latest = Counter(str(each.outcome) for state in states.values() for each in state.latest)
        seen = Seen(
            now,
            (
                *(each for each in self._troubles.values() if each),
                *(line for event, state in states.items() for line in alarms(event, suites[event], state, now, today)),
            ),
            len(self._runs.keys() - self._over),
            tuple(sorted(latest.items())),
            tuple(each for event, suite in suites.items() for each in expired(event, suite.rules, today)),
        )
        before = self._seen
        if before is None or now - before.at >= EVERY_SECONDS or replace(before, at=now) != seen:
            at = [(str(event), each) for event in states for each in levels(suites[event], states[event], today)]
            self.metrics.windows([(str(event), state) for event, state in states.items()], at)
            seen.put(self.lake.objects)
            self._seen = seen

    def _count_shadows(self) -> bool:
        now = self.clock()
        changed = False
        for running in self._shadows.all():
            if running.digest not in self._over:
                with self._apart(f"The shadow {running.digest[:12]}", partial(self._runs.pop, running.digest, None)):
                    changed = self._count_shadow(running, now) or changed
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
        run = self._runs.get(running.digest) or ShadowRun(self.lake, schema, running, lambda: self._in_force(schema))
        self._runs[running.digest], run.running = run, running
        while run.look(now):
            changed = True
            self.metrics.beat()
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
    """Run a process of the worker to its end: 0 after SIGTERM or SIGINT, 1 after a failure, which is logged.

    A window that is being judged then is judged by whoever comes next; its process is ended. The caller ends this one
    at once (`biokeel.observe.logs.leave`), for the thread that waits for that would begin it again.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    os.nice(_NICE)
    try:
        BesideWorker.of(settings, metrics).run(stop)
    except Exception as error:  # noqa: BLE001 - the last place; every failure is logged the same way
        log.critical("The worker beside the stream ends: %s", describe(error))
        return 1
    finally:
        for child in psutil.Process().children():
            with suppress(psutil.NoSuchProcess):
                child.kill()
    return 0
