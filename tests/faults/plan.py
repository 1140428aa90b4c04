"""Which experiments there are, how often each is run, and what they came to.

An experiment is a function that does one run's harm. `conduct` runs it as often as the plan says, each run with a
random generator of its own (seed, name, number), and proves the books after each. Run counts come from one place: the
`full` count takes hours; a plan with a time budget gives every experiment its share of what is left of it.
"""

from __future__ import annotations

import json
import random
import signal
import statistics
import time
import traceback
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from itertools import dropwhile

EXPERIMENTS = []
"""Every experiment, in the order in which they are run."""
FAILURES = 2
"""Failed runs after which an experiment is given up."""


class Length(StrEnum):
    """How long it may take: `make test`, `make faults`, `make faults FAULTS="--runs full"`."""

    QUICK = "quick"
    SCALED = "scaled"
    FULL = "full"


class Blocked(Exception):
    """The experiment cannot be made on this machine, for the reason that it says."""


class TooLong(Exception):
    """A run has passed its time limit."""


@dataclass(frozen=True)
class Experiment:
    """One named experiment. `full`: runs where time does not count; `quick`: runs in `make test`; `least`: runs however
    little time there is.

    `seconds`: what a run takes about, `limit`: what it may take. `supervised`: workers may end by themselves, and are
    then started anew, as the stack does; otherwise that fails the run.
    """

    name: str
    body: Callable[[Run], None]
    full: int
    quick: int
    least: int
    seconds: float
    limit: float
    supervised: bool
    proof: bool

    @property
    def id(self):
        return self.body.__name__.replace("_", "-")


def experiment(name, *, full, quick=0, least=1, seconds=8.0, limit=240.0, supervised=False, proof=True):
    """Register the decorated function. `proof`: the harness proves the world's books (else the run does its own)."""

    def register(body):
        EXPERIMENTS.append(Experiment(name, body, full, quick, least, seconds, limit, supervised, proof))
        return body

    return register


@dataclass
class Record:
    """What an experiment came to: a row of the table. Times in seconds."""

    name: str
    seed: int
    wanted: int
    runs: int = 0
    events: int = 0
    lost: int = 0
    doubled: int = 0
    recoveries: list[float] = field(default_factory=list)
    restarts: int = 0
    notes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    blocked: str = ""
    took: float = 0.0

    @property
    def verdict(self):
        """One word."""
        return "BLOCKED" if self.blocked else "FAILED" if self.failures else "ok"

    def as_json(self):
        times = [round(each, 2) for each in self.recoveries]
        return asdict(self) | {"verdict": self.verdict, "recoveries": times, "took": round(self.took, 1)}


@dataclass
class Run:
    """One run of an experiment: its world, its dice, and when what was done to the world ended."""

    experiment: Experiment
    record: Record
    world: object
    rng: random.Random
    number: int
    length: Length
    fresh_world: Callable[..., object]
    options: dict
    harmed_at: float = field(default_factory=time.monotonic)

    def harmed(self):
        """Note that something died, or that what was broken is whole again, just now: recovery begins."""
        self.harmed_at = time.monotonic()

    def without(self, part, least, most):
        """SIGKILL of a part of the stack in mid-stream; it comes back after `least` to `most` seconds."""
        self.world.send(rows=1500)
        time.sleep(self.rng.uniform(0.1, 2))
        self.world.stack.kill(part)
        self.world.live(self.rng.uniform(least, most))
        self.world.stack.restart(part)
        self.harmed()
        self.world.send(rows=500)

    def lasting(self, scaled, full):
        """How long a fault lasts, in seconds, that is shorter where runs are scaled."""
        return full if self.length is Length.FULL else scaled

    def recovered(self, world, patience=None, *, timed=True):
        """Prove the books of `world` and, if `timed`, note how long it took until they balanced."""
        books = world.settled(self.experiment.supervised, *([patience] if patience else []))
        if timed:
            self.record.recoveries.append(time.monotonic() - self.harmed_at)
        self.record.lost += books.total("missing")
        self.record.doubled += books.total("doubled")
        assert books.balanced, f"missing {books.named('missing')} doubled {books.named('doubled')}"
        assert books.total("raw") == world.sent, f"raw {books.total('raw')}, sent {world.sent}"
        assert not books.total("parked"), f"{books.total('parked')} parked of people who are enrolled"
        world.check()


class Plan:
    """How long everything may take, and how much of that is left. `budget` in seconds; None for no end."""

    def __init__(self, length, seed, budget, options):
        self.length = length
        self.seed = seed
        self.options = options
        self.records = []
        self._budget = budget
        self._began = None

    def conduct(self, experiment, harness, chosen):
        """Run `experiment`, of which `chosen` are all that this session runs, and return its record."""
        self._began = self._began or time.monotonic()
        record = Record(experiment.name, self.seed, experiment.full)
        self.records.append(record)
        began = time.monotonic()
        for number in range(self._most(experiment)):
            if number >= experiment.least and time.monotonic() - began > self._share(experiment, chosen, began):
                break
            self._run(experiment, number, harness, record)
            if record.blocked or len(record.failures) >= FAILURES:
                break
        record.took = time.monotonic() - began
        return record

    def _run(self, experiment, number, harness, record):
        try:
            with time_limit(experiment.limit):
                world = harness.world()
                run = Run(
                    experiment,
                    record,
                    world,
                    random.Random(f"{self.seed}/{experiment.id}/{number}"),
                    number,
                    self.length,
                    harness.fresh,
                    self.options,
                )
                before, restarts = world.sent, world.restarts
                experiment.body(run)
                if experiment.proof:
                    run.recovered(world)
                    record.events += world.sent - before
                    record.restarts += world.restarts - restarts
            record.runs += 1
        except Blocked as reason:
            record.blocked = str(reason)
        except Exception as error:  # noqa: BLE001 - one failure must not stop the other experiments
            record.runs += 1
            where = traceback.extract_tb(error.__traceback__)[-1]
            text = " ".join(str(error).split())[:300]
            record.failures.append(f"run {number}: {type(error).__name__} at {where.name}: {text}")
            harness.broken(record)

    def _most(self, experiment):
        return experiment.quick if self.length is Length.QUICK else experiment.full

    def _share(self, experiment, chosen, began):
        """Seconds that `experiment` may take: its part, by what it wants, of what was left when it `began`."""
        if self._budget is None or self.length is not Length.SCALED:
            return float("inf")
        left = self._budget - (began - self._began)
        later = list(dropwhile(lambda each: each is not experiment, chosen))[1:]
        # First every experiment's least; what then is left is shared by what all further runs would take.
        spare = left - sum(each.least * each.seconds for each in (experiment, *later))
        wishes = [(each.full - each.least) * each.seconds for each in (experiment, *later)]
        share = experiment.least * experiment.seconds + max(spare, 0) * wishes[0] / max(sum(wishes), 1)
        return share - experiment.seconds  # a run that begins now ends about then


@contextmanager
def time_limit(seconds):
    """Raise `TooLong` in the main thread after `seconds`."""

    def ring(_number, _frame):
        raise TooLong(f"a run took longer than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


HEAD = ("experiment", "runs", "of", "events", "lost", "doubled", "median s", "worst s", "restarts", "seed", "result")


def rows(records):
    """The table's cells, as texts."""
    for each in records:
        times = each.recoveries
        median, worst = (f"{statistics.median(times):.1f}", f"{max(times):.1f}") if times else ("-", "-")
        yield (
            *(each.name, str(each.runs), str(each.wanted), f"{each.events:,}", str(each.lost), str(each.doubled)),
            *(median, worst, str(each.restarts), str(each.seed), each.verdict),
        )


def as_text(records):
    """The table for a terminal, and below it what failed, what was blocked and what is worth a note."""
    cells = [HEAD, *rows(records)]
    widths = [max(len(row[at]) for row in cells) for at in range(len(HEAD))]
    lines = [
        "  ".join(cell.ljust(width) if at in (0, len(HEAD) - 1) else cell.rjust(width) for at, cell, width in found)
        for found in ([*zip(range(len(HEAD)), row, widths, strict=True)] for row in cells)
    ]
    return [*lines, *remarks(records)]


def remarks(records):
    """Sentences below the table."""
    for each in records:
        if each.blocked:
            yield f"{each.name}: blocked: {each.blocked}"
        yield from (f"{each.name}: FAILED: {text}" for text in each.failures)
        yield from (f"{each.name}: {text}" for text in each.notes)


def write(records, folder, **about):
    """Write the table beside the checkout as JSON and as Markdown."""
    whole = about | {"experiments": [each.as_json() for each in records]}
    (folder / ".biokeel-faults.json").write_text(json.dumps(whole, indent=1) + "\n", "utf-8")
    lines = [" | ".join(row) for row in (HEAD, ["---"] * len(HEAD), *rows(records))]
    text = "\n".join(f"| {line} |" for line in lines) + "\n\n" + "\n".join(f"- {each}" for each in remarks(records))
    (folder / ".biokeel-faults.md").write_text(text + "\n", "utf-8")
