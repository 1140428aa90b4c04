"""The commit protocol against a model: any order of reading, landing, dying, losing answers, zombies, changed suites
and compaction leaves every row where its first decision put it, once, and moves no position back.

The model is the protocol's promise and nothing of its code: two positions T and Q, and for each row the verdict of
whoever moved Q past it. After each action the tables must hold exactly what the model says.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import pytest
from deltalake.exceptions import CommitFailedError
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from biokeel.errors import CommitConflict
from biokeel.land import checkpoint
from biokeel.land.checkpoint import STEPS
from biokeel.land.lake import Lake
from biokeel.land.maintenance import compact
from biokeel.land.reading import scan
from tests.conformance.landing_world import EVENT, Died, Worker, multiples, topic

BLOCKS = topic(partitions=1, blocks=6, size=6)
QUICK, LONG = 25, 2_000
"""Runs in `make test` and in `make faults`."""
WORKERS = st.integers(0, 1)
DIVISORS = st.integers(2, 5)
SUITE_FIRST = 3


def first_seen():
    """Row (source, raw partition, raw offset) → the block that brings it first; later ones repeat it."""
    found = {}
    for offset, block in enumerate(BLOCKS[0]):
        for key in block.select("source_id", "raw_partition", "raw_offset").iter_rows():
            found.setdefault(key, offset)
    return found


FIRST_SEEN = first_seen()


class Hook:
    """What happens when a worker reaches a step: nothing, a death, or an answer that is lost after the commit."""

    def __init__(self):
        self.step = self.what = None

    def __call__(self, step):
        if step != self.step:
            return
        self.step = None
        if callable(self.what):
            self.what()
        else:
            raise self.what


@dataclass
class Known:
    """What the model knows of one worker: its basis Q, where it reads on, the verdicts on what it has buffered."""

    basis: int
    following: int
    divisor: int
    verdicts: dict = field(default_factory=dict)


class Landing(RuleBasedStateMachine):
    """Two workers, each of which believes that the one partition is its own."""

    @initialize(snapshots=st.booleans())
    def begin(self, snapshots):
        self.folder = tempfile.TemporaryDirectory(dir=RAM)
        self.lake = Lake.local(Path(self.folder.name))
        self.landed_up_to = self.decided_up_to = self.saved = -1
        self.snapshots = snapshots
        self.accepted = {}
        self.hooks = [Hook(), Hook()]
        self.workers, self.known = [None, None], [None, None]
        for at in (0, 1):
            self.known[at] = Known(-1, 0, SUITE_FIRST + at)
            self.start(at)

    def start(self, at):
        """A new process takes the place of worker `at`."""
        self.workers[at] = Worker(
            self.lake, BLOCKS, multiples(self.known[at].divisor), reached=self.hooks[at], snapshots=self.snapshots
        )
        self.recovered(at)

    def recovered(self, at):
        self.known[at] = Known(self.decided_up_to, self.saved + 1, self.known[at].divisor)

    @rule(at=WORKERS, blocks=st.integers(1, 3))
    def read(self, at, blocks):
        worker, known = self.workers[at], self.known[at]
        worker.read(0, blocks)
        begin, known.following = known.following, min(known.following + blocks, len(BLOCKS[0]))
        for key, block in FIRST_SEEN.items():
            if begin <= block < known.following:
                # Partition 0 of 1: a row's value is its raw offset, and the suite takes what is no multiple.
                known.verdicts[key] = key[-1] % known.divisor != 0
        assert worker.next[0] == known.following

    @rule(at=WORKERS, divisor=DIVISORS)
    def change_suite(self, at, divisor):
        self.workers[at].verdict = multiples(divisor)
        self.known[at].divisor = divisor

    @rule(at=WORKERS)
    def land(self, at):
        self.flush(at)

    @rule(at=WORKERS, step=st.sampled_from(STEPS))
    def die(self, at, step):
        self.flush(at, step, Died(step))

    @rule(at=WORKERS, step=st.sampled_from(["land.decided", "land.landed"]))
    def lose_an_answer(self, at, step):
        self.flush(at, step, CommitFailedError("Failed to commit transaction: the answer was lost."))

    @rule(at=WORKERS, step=st.sampled_from(STEPS))
    def land_while_another_compacts(self, at, step):
        self.flush(at, step, self.compact)

    @rule(at=WORKERS, step=st.sampled_from(["land.decided", "land.decision_known"]))
    def be_overtaken_between_the_commits(self, at, step):
        """A zombie stands still between its commits while the heir, started anew, lands all of it and more."""
        other = 1 - at
        self.flush(at, step, lambda: self.overtake(at, other))

    def overtake(self, at, other):
        self.decide(at)
        self.start(other)
        self.read(other, 3)
        self.flush(other)

    @rule()
    def compact(self):
        for uri in (self.lake.curated(EVENT), self.lake.quarantine(EVENT)):
            compact(self.lake, uri, by_participant=False)

    def flush(self, at, step=None, what=None):
        """Land what worker `at` has, with something happening at `step`; then the same in the model."""
        known, hook = self.known[at], self.hooks[at]
        last = known.following - 1
        # A handle that has nothing to decide is not read again, so it may not notice that it is a zombie's: no harm.
        may_conflict = last >= 0 and known.basis != self.decided_up_to
        must_conflict = may_conflict and last > known.basis
        hook.step, hook.what = step, what
        died = False
        try:
            self.workers[at].flush()
        except CommitConflict:
            assert may_conflict
            self.workers[at].recover()
            self.recovered(at)
            return
        except Died:
            died = True
        finally:
            reached = hook.step is None
            hook.step = None
        assert not must_conflict or (died and step == "land.compared")
        if not died or STEPS.index(step) >= STEPS.index("land.decided"):
            self.decide(at)
        if not died or STEPS.index(step) >= STEPS.index("land.landed"):
            self.landed_up_to = max(self.landed_up_to, last)
        if died:
            assert reached
            self.start(at)
            return
        known.verdicts.clear()
        if self.snapshots and last >= 0:
            self.saved = max(self.saved, last)

    def decide(self, at):
        """Worker `at` moves Q: what it judged above the old Q stands so from now on. A second time it moves nothing."""
        known = self.known[at]
        last = known.following - 1
        if known.basis != self.decided_up_to or last <= self.decided_up_to:
            return
        for key, block in FIRST_SEEN.items():
            if self.decided_up_to < block <= last:
                self.accepted[key] = known.verdicts[key]
        self.decided_up_to = known.basis = last

    @invariant()
    def tables_hold_what_the_model_says(self):
        if not hasattr(self, "lake"):
            return
        expected = {
            self.lake.curated(EVENT): {
                key for key, good in self.accepted.items() if good and FIRST_SEEN[key] <= self.landed_up_to
            },
            self.lake.quarantine(EVENT): {key for key, good in self.accepted.items() if not good},
        }
        for uri, keys in expected.items():
            rows = scan(uri, self.lake).select("source_id", "raw_partition", "raw_offset").collect().rows()
            assert len(rows) == len(set(rows)), "a row is there twice"
            assert set(rows) == keys
        positions = self.workers[0].tables
        positions.curated.refresh()
        positions.quarantine.refresh()
        stands = positions.curated.position(0), positions.quarantine.position(0)
        assert stands == (self.landed_up_to, self.decided_up_to)

    def teardown(self):
        if not hasattr(self, "lake"):
            return
        self.start(0)
        self.read(0, len(BLOCKS[0]))
        self.flush(0)
        self.tables_hold_what_the_model_says()
        assert set(self.accepted) == set(FIRST_SEEN), "a row is in no table"
        run = self.workers[0].state[0].whole()
        curated = scan(self.lake.curated(EVENT), self.lake).collect()
        assert sorted(run.values[:, 0]) == sorted(curated["participant_id"].value_counts()["count"])
        assert curated.select("participant_id", "sequence").n_unique() == curated.height
        self.folder.cleanup()


RAM = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
"""Commits are small files: in memory they cost a tenth."""


@pytest.fixture
def without_pauses(monkeypatch):
    """A try after a lost answer comes at once."""
    monkeypatch.setattr(checkpoint, "_FIRST_PAUSE", 0.001)


def run(examples):
    # Ten steps are short enough to be read as they are; to shrink them takes minutes.
    how = settings(
        max_examples=examples,
        stateful_step_count=10,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate,),
    )
    run_state_machine_as_test(Landing, settings=how)


def test_two_workers_that_both_believe_to_own_a_partition_leave_each_row_where_the_model_says(without_pauses):
    run(QUICK)


@pytest.mark.long
@pytest.mark.faults
@pytest.mark.timeout(3600)
def test_thousands_of_runs_leave_each_row_where_the_model_says(without_pauses):
    run(LONG)


def test_the_log_that_the_model_reads_repeats_rows():
    assert pl.concat(BLOCKS[0]).height > len(FIRST_SEEN)
