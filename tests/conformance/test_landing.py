"""The landing protocol on a folder and on the real object store: the same promises hold on both."""

from __future__ import annotations

import polars as pl
import pytest
from deltalake.exceptions import CommitFailedError
from polars.testing import assert_frame_equal

from biokeel.errors import CommitConflict
from biokeel.land.checkpoint import STEPS
from biokeel.land.lake import Lake
from biokeel.land.snapshots import Snapshots
from biokeel.link.state import from_bytes
from tests.conformance.landing_world import EVENT, Died, Worker, distinct, landed, multiples, topic

LOG = topic(partitions=2, blocks=8)
KEY = ["source_id", "raw_partition", "raw_offset"]


@pytest.fixture
def fresh(lakes):
    """Makes empty lakes: on a folder, and (marked integration) in buckets of the real S3-compatible store."""
    return lakes


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """What a run of suite v1 lands that nothing disturbs, in a folder."""
    lake = Lake.local(tmp_path_factory.mktemp("undisturbed"))
    Worker(lake, LOG, multiples(5), partitions=(0, 1)).run()
    return landed(lake)


def assert_each_row_once(lake):
    curated, quarantined = landed(lake)
    both = pl.concat([curated.select(KEY), quarantined.select(KEY)])
    assert both.height == both.n_unique() == distinct(LOG)


def assert_sequences_without_gap(lake):
    curated, _ = landed(lake)
    for (_person,), mine in curated.group_by("participant_id"):
        assert mine["sequence"].sort().to_list() == list(range(1, mine.height + 1))


def test_every_row_lands_once_although_the_topic_repeats_some(fresh, undisturbed):
    lake = fresh()
    Worker(lake, LOG, multiples(5), partitions=(0, 1)).run()
    curated, quarantined = landed(lake)
    for mine, its in zip((curated, quarantined), undisturbed, strict=True):
        assert_frame_equal(mine, its)
    both = pl.concat([curated.select(KEY), quarantined.select(KEY)])
    assert both.height == both.n_unique() == distinct(LOG)
    assert quarantined.height > 0


class DieAt:
    """Ends the worker the `nth` time it reaches `step`."""

    def __init__(self, step, nth):
        self.step, self.left = step, nth

    def __call__(self, step):
        if step == self.step:
            self.left -= 1
            if self.left == 0:
                raise Died(step)


@pytest.mark.parametrize("snapshots", [True, False], ids=["with snapshots", "from the beginning"])
@pytest.mark.parametrize("nth", [1, 3])
@pytest.mark.parametrize("step", STEPS)
def test_after_a_death_at_any_step_a_newer_suite_changes_nothing_that_was_decided(
    fresh, step, nth, snapshots, tmp_path_factory
):
    lake = fresh()
    dying = Worker(lake, LOG, multiples(5), partitions=(0, 1), reached=DieAt(step, nth), snapshots=snapshots)
    with pytest.raises(Died):
        dying.run(blocks_a_flush=2)
    decided_at = {p: dying.tables.positions(p)[1] for p in (0, 1)}

    # A newer suite, other flush boundaries, and another process.
    heir = Worker(lake, LOG, multiples(3), version="v2", partitions=(0, 1), snapshots=snapshots)
    heir.run(blocks_a_flush=3)

    # The whole run must look as if v1 had judged up to the decision and v2 from there, and nobody had died.
    def switched(frame):
        old = pl.col("pseudo_offset") <= pl.col("pseudo_partition").replace_strict(decided_at, return_dtype=pl.Int64)
        value = pl.col("value")
        return frame.select(pl.when(old).then(value % 5 != 0).otherwise(value % 3 != 0)).to_series()

    ideal = Lake.local(tmp_path_factory.mktemp("ideal"))
    reference = Worker(ideal, LOG, switched, partitions=(0, 1))
    reference.run()
    for mine, its in zip(landed(lake), landed(ideal), strict=True):
        assert_frame_equal(mine, its)
    assert heir.state == reference.state
    assert heir.marks == reference.marks
    assert_each_row_once(lake)
    assert_sequences_without_gap(lake)


@pytest.mark.parametrize("step", ["land.decided", "land.landed"])
def test_an_answer_lost_after_the_commit_landed_is_a_success(fresh, undisturbed, step):
    def lose(reached):
        if reached == step:
            raise CommitFailedError("Failed to commit transaction: Concurrent transaction failed.")

    lake = fresh()
    Worker(lake, LOG, multiples(5), partitions=(0, 1), reached=lose).run(blocks_a_flush=4)
    for mine, its in zip(landed(lake), undisturbed, strict=True):
        assert_frame_equal(mine, its)


def test_a_worker_that_lost_its_partition_cannot_decide_and_cannot_double(fresh):
    lake = fresh()
    zombie = Worker(lake, LOG, multiples(5), partitions=(0,))
    zombie.read(0, 4)
    owner = Worker(lake, LOG, multiples(3), version="v2", partitions=(0, 1))
    owner.read(0, 3)
    owner.flush()
    with pytest.raises(CommitConflict):
        zombie.flush()
    owner.run()
    assert_each_row_once(lake)
    assert set(landed(lake)[1]["value"] % 3) == {0.0}


def test_without_a_quarantined_row_two_suites_still_cannot_both_decide(fresh):
    lake = fresh()
    accepts_all = Worker(lake, LOG, lambda frame: frame["value"] >= 0, partitions=(0,))
    accepts_all.read(0, 4)
    refuses_all = Worker(lake, LOG, lambda frame: frame["value"] < 0, partitions=(0,))
    refuses_all.read(0, 3)
    accepts_all.flush()
    with pytest.raises(CommitConflict):
        refuses_all.flush()
    refuses_all.recover()
    refuses_all.run()
    curated, quarantined = landed(lake)
    assert set(curated["pseudo_offset"]) == {0, 1, 2, 3}
    assert curated.join(quarantined, on=KEY).is_empty()


def test_a_zombie_that_decided_may_finish_its_landing_after_the_heir_did(fresh, undisturbed):
    lake = fresh()
    heirs = []

    def meanwhile(step):
        if step == "land.decision_known" and not heirs:
            heirs.append(Worker(lake, LOG, multiples(3), version="v2", partitions=(0, 1)))
            heirs[0].read(0, 4)
            heirs[0].read(1, 4)
            heirs[0].flush()

    zombie = Worker(lake, LOG, multiples(5), partitions=(0, 1), reached=meanwhile, snapshots=False)
    zombie.read(0, 4)
    zombie.read(1, 4)
    zombie.flush()
    curated, quarantined = landed(lake)
    first = pl.col("pseudo_offset") < 4
    assert_frame_equal(curated, undisturbed[0].filter(first))
    assert_frame_equal(quarantined, undisturbed[1].filter(first))
    assert heirs[0].state == zombie.state


def test_workers_of_different_partitions_land_side_by_side(fresh, undisturbed):
    lake = fresh()
    one = Worker(lake, LOG, multiples(5), partitions=(0,))
    other = Worker(lake, LOG, multiples(5), partitions=(1,))
    while one.next[0] < 8 or other.next[1] < 8:
        one.read(0)
        other.read(1)
        one.flush()
        other.flush()
    for mine, its in zip(landed(lake), undisturbed, strict=True):
        assert_frame_equal(mine, its)


def test_a_flush_without_any_row_moves_the_positions_and_adds_no_file(fresh):
    lake = fresh()
    worker = Worker(lake, {0: [LOG[0][0].clear()]}, multiples(5))
    worker.read(0)
    worker.flush()
    assert worker.tables.positions(0) == (0, 0)
    assert worker.tables.curated.handle.file_uris() == []


def test_landing_the_same_again_writes_nothing(fresh):
    lake = fresh()
    worker = Worker(lake, LOG, multiples(5))
    worker.read(0, 3)
    good, bad, positions = list(worker.good), list(worker.bad), {0: 2}
    first = worker.flush()
    versions = (first.curated_version, first.quarantine_version)
    again = worker.tables.land(pl.concat(good), pl.concat(bad), positions)
    assert (again.curated, again.quarantined) == (0, 0)
    assert again.dropped == first.curated + first.quarantined
    assert (again.curated_version, again.quarantine_version) == versions


def test_the_two_newest_snapshots_are_kept_and_the_newest_is_read(fresh):
    lake = fresh()
    worker = Worker(lake, LOG, multiples(5))
    worker.run(blocks_a_flush=2)
    assert [int(key.rsplit("/", 1)[1].split(".")[0]) for key in lake.objects.keys("state/")] == [5, 7]
    point, data = Snapshots(lake).latest(EVENT, 0)
    restored = from_bytes(data)
    assert (*point, restored.offset) == (7, 0, 7)
    assert restored.state == worker.state[0]
    assert restored.marks == worker.marks[0]
