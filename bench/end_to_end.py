"""The whole way on real parts: Kafka, the object store and both workers, all on this machine's cores.

A run: people are enrolled through the stack itself; both workers are stopped; the load is published; both workers are
started anew (their caches are cold) and read until everything has landed. Time counts from the last look at which
nothing was read yet to the first look at which everything is in its place, so it holds the wait of the last rows for
`flush_seconds`; `steady` is the rate at which curate read the middle half. In the end the books must balance.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench.made import ENROLMENT, PRESSURE, enrolments, mixture, pressures, thin
from bench.processes import Usage, peak_bytes, usage
from bench.registers import of_a_clinic, raw_partitions, write_register
from bench.scrape import Said, scrape
from biokeel.books.bookkeeper import Bookkeeper
from biokeel.contracts.catalogue import DirectoryCatalogue
from biokeel.contracts.schema import load_schemas
from biokeel.contracts.topics import Zone
from biokeel.demo.programme import Publishers
from biokeel.demo.stewards import MadeUpStewards
from biokeel.land.lake import Lake
from biokeel.observe.metrics import Edge
from biokeel.settings import Settings
from biokeel.stack.environment import VaultUrls
from biokeel.stack.stack import Stack

if TYPE_CHECKING:
    import polars as pl

    from biokeel.contracts.sources import Source
    from biokeel.contracts.topics import EventType

WORKERS: Final = ("pseudonymise-1", "curate-1")
PROCESSES: Final = ("kafka", "objectstore", *WORKERS, "books", "windows")
LOOK_SECONDS: Final = 0.25
ENROLLED_A_SECOND: Final = 2_000
"""Enrolling may not be slower than that, after `ENROL_SECONDS` to begin with."""
ENROL_SECONDS: Final = 60.0

Load = Iterable[tuple["EventType", "pl.DataFrame"]]
Say = Callable[[str], None]


class BenchError(Exception):
    """The benchmark cannot go on, or what it measured is wrong."""


@dataclass(frozen=True, slots=True)
class Plan:
    """`sources` are registered; `partitions` are each pseudo topic's.

    `seconds` bound the reading; a run that takes longer is told as far as it came.
    """

    name: str
    people: int
    sources: tuple[Source, ...] = of_a_clinic()
    partitions: int = 4
    flush_seconds: float = 5.0
    seconds: float = 150.0


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the workers and at what the processes have used."""

    at: float
    said: Said
    used: dict[str, Usage]


@dataclass(frozen=True, slots=True)
class RunFigures:
    """One run. Rates are events a second; `cpu` is seconds of a process by kind of thread while the run lasted.

    `stage_seconds` (of the clock, by worker and stage), `stage_cpu` (seconds of the stage's own thread, without those
    of polars and delta-rs) and `stage_calls` come from the workers' own metrics.
    """

    name: str
    events: int
    settled: int
    quarantined: int
    people: int
    sources: int
    raw_partitions: int
    partitions: int
    publish_rate: float
    enrol_rate: float
    start_seconds: float
    seconds: float
    overall: float
    steady: float
    pseudonymise_rate: float
    cpu: dict[str, dict[str, float]]
    harness_cpu: float
    stage_seconds: dict[str, float]
    stage_cpu: dict[str, float]
    stage_calls: dict[str, int]
    peak_mib: dict[str, float]
    balanced: bool
    curve: list[tuple[float, int, int, int]] = field(repr=False, default_factory=list)
    """Seconds, events read raw, read by curate, settled: at each look."""

    @property
    def complete(self) -> bool:
        """Whether everything landed in time."""
        return self.settled == self.events


@contextmanager
def bench_stack(
    folder: Path, plan: Plan, say: Say, *, console: bool = False, database: VaultUrls | None = None
) -> Iterator[Stack]:
    """A stack with one worker of each kind and the plan's settings; its vault is in `database` if that is given."""
    write_register(folder / "register", plan.sources)
    settings = {
        "BIOKEEL_PSEUDO_PARTITIONS": str(plan.partitions),
        "BIOKEEL_FLUSH_SECONDS": str(plan.flush_seconds),
        "BIOKEEL_SOURCES_DIR": str(folder / "register"),
        "BIOKEEL_VARIANT_FILES": "believe",  # there are none
        "BIOKEEL_WINDOWS_WORKER": "true",  # what stands beside the stream is counted
    }
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        with Stack.start(folder, workers=1, console=console, say=say, database=database) as stack:
            yield stack
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def made_up_stewards(stack: Stack) -> MadeUpStewards:
    """Who puts suites in force in a stack of the benchmark; workers that are started then judge by them."""
    schemas = load_schemas(Settings().schemas_dir)
    return MadeUpStewards(Lake.of(stack.steward()).objects, schemas)


def enrol(stack: Stack, plan: Plan) -> float:
    """Enrol everybody and wait until the vault has applied it; events a second. Raises `BenchError`."""
    people = plan.people
    began = time.monotonic()
    most = ENROL_SECONDS + people / ENROLLED_A_SECOND
    publish(stack, plan.sources, [(ENROLMENT, enrolments(people))])
    while (done := scrape(stack.state_dir).events[Edge.APPLIED]) < people:
        if time.monotonic() - began > most:
            raise BenchError(f"Only {done:,} of {people:,} people were enrolled within {most:g} s.")
        stack.supervisor.check()
        time.sleep(LOOK_SECONDS)
    return people / (time.monotonic() - began)


def publish(stack: Stack, sources: Iterable[Source], load: Load) -> tuple[int, float]:
    """Publish `load`, each row as who sends it of `sources`; how many events, and the seconds that it took.

    To make the events is not counted.
    """
    catalogue = DirectoryCatalogue(stack.settings(Zone.VAULT).schemas_dir)
    count, seconds = 0, 0.0
    with Publishers({source.id: stack.source(source.id) for source in sources}, catalogue) as publisher:
        for event, frame in load:
            began = time.perf_counter()
            count += publisher.publish(event, frame)
            seconds += time.perf_counter() - began
        began = time.perf_counter()
        publisher.flush()
        seconds += time.perf_counter() - began
    return count, seconds


def pressure_load(events: int, people: int) -> Load:
    """Blood pressures only."""
    return ((PRESSURE, frame) for frame in pressures(events, people))


def mixed_load(events: int, people: int) -> Load:
    """All event types."""
    return mixture(events, people)


def thin_load(events: int, people: int) -> Load:
    """The types of which there is much, of very many sources."""
    return thin(events, people)


def run_load(stack: Stack, plan: Plan, load: Load, enrol_rate: float, say: Say) -> RunFigures:
    """Measure one load on a stack whose people are enrolled. Raises `BenchError` where the books do not balance."""
    stop_workers(stack)
    count, publish_seconds = publish(stack, plan.sources, load)
    say(f"{plan.name}: {count:,} events published in {publish_seconds:.1f} s; starting the workers")
    time.sleep(1.0)  # let the broker write what it has taken
    started = time.monotonic()
    _each(stack.restart)
    looks = _watch(stack, count, started + plan.seconds)
    say(f"{plan.name}: {looks[-1].said.settled:,} settled")
    peak = {name: round(peak_bytes(_pid(stack, name)) / 2**20, 1) for name in PROCESSES}
    balanced = Bookkeeper.of(stack.state_dir).look().balanced
    if looks[-1].said.settled == count and not balanced:
        raise BenchError(
            f"{plan.name}: the books do not balance; figures of a run that loses events are worth nothing."
        )
    rates = (count / publish_seconds, enrol_rate)
    return _figures(plan, looks, count, started=started, rates=rates, peak=peak, balanced=balanced)


def stop_workers(stack: Stack) -> None:
    """Stop both workers; `run_load` starts them again."""
    _each(stack.supervisor.stop)


def _each(action: Callable[[str], None]) -> None:
    """Do something to both workers at once."""
    with ThreadPoolExecutor(len(WORKERS)) as pool:
        list(pool.map(action, WORKERS))


def _pid(stack: Stack, name: str) -> int:
    pid = stack.pid(name)
    if pid is None:
        raise BenchError(f"The process {name} has ended: {stack.supervisor.complaint(name)}")
    return pid


def _watch(stack: Stack, events: int, deadline: float) -> list[Look]:
    """Look until everything is settled or time is up. The first look is the last at which nothing had been read."""
    looks: list[Look] = []
    while True:
        look = _look(stack)
        if look.said.events[Edge.READ_RAW] == 0:
            looks.clear()
        looks.append(look)
        if look.said.settled >= events or time.monotonic() > deadline:
            return looks
        time.sleep(LOOK_SECONDS)


def used(stack: Stack, processes: Iterable[str] = PROCESSES) -> dict[str, Usage]:
    """What each of these processes of the stack has used so far."""
    return {name: usage(_pid(stack, name)) for name in processes}


def _look(stack: Stack) -> Look:
    stack.supervisor.check()
    so_far = used(stack) | {"harness": usage(os.getpid())}
    at = time.monotonic()
    return Look(at, scrape(stack.state_dir), so_far)


def _figures(
    plan: Plan,
    looks: list[Look],
    count: int,
    *,
    started: float,
    rates: tuple[float, float],
    peak: dict[str, float],
    balanced: bool,
) -> RunFigures:
    first, last = looks[0], looks[-1]
    seconds = last.at - first.at
    cpu = {name: last.used[name].since(first.used[name]) for name in last.used}
    harness = cpu.pop("harness")
    return RunFigures(
        name=plan.name,
        events=count,
        settled=last.said.settled,
        quarantined=last.said.events[Edge.QUARANTINED],
        people=plan.people,
        sources=len(plan.sources),
        raw_partitions=raw_partitions(plan.sources),
        partitions=plan.partitions,
        publish_rate=rates[0],
        enrol_rate=rates[1],
        start_seconds=first.at - started,
        seconds=seconds,
        overall=last.said.settled / seconds,
        steady=_middle_rate(looks, Edge.READ_PSEUDO, count),
        pseudonymise_rate=_middle_rate(looks, Edge.READ_RAW, count),
        cpu={name: {"all": used.seconds, **used.threads} for name, used in cpu.items()},
        harness_cpu=harness.seconds,
        stage_seconds={" ".join(stage): round(spent, 3) for stage, spent in sorted(last.said.seconds.items())},
        stage_cpu={" ".join(stage): round(spent, 3) for stage, spent in sorted(last.said.cpu.items())},
        stage_calls={" ".join(stage): calls for stage, calls in sorted(last.said.calls.items())},
        peak_mib=peak,
        balanced=balanced,
        curve=[
            (
                round(look.at - first.at, 2),
                look.said.events[Edge.READ_RAW],
                look.said.events[Edge.READ_PSEUDO],
                look.said.settled,
            )
            for look in looks
        ],
    )


def _middle_rate(looks: list[Look], edge: Edge, count: int) -> float:
    """Events a second that took `edge` between the looks at a quarter and at three quarters; 0 where too few looked."""
    low = next((look for look in looks if look.said.events[edge] >= count / 4), None)
    high = next((look for look in looks if look.said.events[edge] >= count * 3 / 4), None)
    if low is None or high is None or high.at <= low.at:
        return 0.0
    return (high.said.events[edge] - low.said.events[edge]) / (high.at - low.at)
