"""Restoring an event type: rows and positions go back together; what is read again is neither lost nor doubled."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest
from deltalake import DeltaTable
from polars.testing import assert_frame_equal

from biokeel.contracts.blocks import Named, Span
from biokeel.errors import CommitConflict, LandingError
from biokeel.land import restore as module
from biokeel.land.aside import Aside, Offsets
from biokeel.land.check import faults
from biokeel.land.log import commits
from biokeel.land.maintenance import compact, refresh_participants, vacuum
from biokeel.land.reading import scan
from biokeel.land.restore import plan, restore, under_way
from biokeel.land.snapshots import Snapshots
from biokeel.link.participants import from_snapshots
from tests.conformance.landing_world import EVENT, Died, Worker, distinct, landed, multiples, topic

LOG = topic(partitions=2, blocks=8)
PARTITIONS = 2


@pytest.fixture
def full(lakes):
    """A lake in which suite v1 has landed everything, two blocks of each partition a flush."""
    lake = lakes()
    Worker(lake, LOG, multiples(5), partitions=(0, 1)).run()
    return lake


def versions(lake, uri):
    return [commit.version for commit in commits(lake, uri, 100)]


def back_to(lake, version):
    wanted = plan(lake, EVENT, version, PARTITIONS)
    restore(lake, EVENT, wanted)
    return wanted


def heir(lake, verdict=None, version="v1"):
    worker = Worker(lake, LOG, verdict or multiples(5), version=version, partitions=(0, 1))
    worker.run(blocks_a_flush=3)
    return worker


@pytest.mark.parametrize("version", [0, 2])
def test_after_a_restore_to_any_version_the_workers_land_the_very_same_again(full, version):
    before = landed(full)
    wanted = back_to(full, version)
    assert max(wanted.positions.values()) == 2 * version - 1
    curated, _ = landed(full)
    assert curated.height < before[0].height
    assert curated["pseudo_offset"].max() == (2 * version - 1 if version else None)
    assert list(faults(full, EVENT)) == []
    worker = heir(full)
    for mine, its in zip(landed(full), before, strict=True):
        assert_frame_equal(mine, its)
    assert len(worker.state[0]) > 0
    assert list(faults(full, EVENT)) == []


def test_restoring_by_the_tools_own_restore_would_lose_what_lies_above(full):
    """Why there is a command of ours: positions stay, and nobody lands again what is gone."""
    before = landed(full)[0].height
    DeltaTable(full.curated(EVENT), storage_options=full.options).restore(2)
    heir(full)
    assert landed(full)[0].height < before


def test_what_is_above_is_judged_anew_by_the_suite_of_now(full):
    back_to(full, 2)
    heir(full, multiples(3), "v2")
    curated, quarantined = landed(full)
    above = pl.col("pseudo_offset") > 3
    assert set(quarantined.filter(above)["value"] % 3) == {0.0}
    assert set(quarantined.filter(~above)["value"] % 5) == {0.0}
    assert curated.height + quarantined.height == distinct(LOG)
    assert list(faults(full, EVENT)) == []


def test_a_second_restore_may_go_back_past_the_first_and_never_mixes_verdicts(full):
    before = landed(full)
    newest = DeltaTable(full.curated(EVENT), storage_options=full.options).version()
    back_to(full, 1)
    heir(full, multiples(3), "v2")
    # The version before the first restore, with v1's verdicts, although the table has v2's now.
    wanted = back_to(full, newest)
    assert wanted.number == 2
    assert not wanted.keeps_state
    for mine, its in zip(landed(full), before, strict=True):
        assert_frame_equal(mine, its)
    heir(full, multiples(3), "v3")
    for mine, its in zip(landed(full), before, strict=True):
        assert_frame_equal(mine, its)
    assert list(faults(full, EVENT)) == []


def test_a_time_names_the_newest_version_of_then(full):
    history = {commit.version: commit.at for commit in commits(full, full.curated(EVENT), 100)}
    assert plan(full, EVENT, history[2], PARTITIONS).positions == {0: 3, 1: 3}
    assert plan(full, EVENT, history[3] - dt.timedelta(milliseconds=1), PARTITIONS).curated_version == 2
    assert plan(full, EVENT, history[4] + dt.timedelta(days=1), PARTITIONS).curated_version == 4
    with pytest.raises(LandingError, match="no commit up to"):
        plan(full, EVENT, history[0] - dt.timedelta(days=1), PARTITIONS)


@pytest.mark.parametrize("dies_in", ["_put_back", "_forget_participants", "delete"])
def test_a_restore_that_died_holds_the_workers_back_until_it_is_asked_for_again(full, monkeypatch, dies_in):
    before = landed(full)
    wanted = plan(full, EVENT, 1, PARTITIONS)
    calls = []

    def dies(*arguments):
        calls.append(arguments)
        if dies_in != "_put_back" or len(calls) == 2:
            raise Died(dies_in)
        return real(*arguments)

    place = type(full.objects) if dies_in == "delete" else module
    real = getattr(place, dies_in)
    with monkeypatch.context() as patch:
        patch.setattr(place, dies_in, dies)
        with pytest.raises(Died):
            restore(full, EVENT, wanted)
    with pytest.raises(LandingError, match=r"lake restore clinical\.glucose --version 1"):
        Worker(full, LOG, multiples(5), partitions=(0, 1))
    assert [fault for fault in faults(full, EVENT) if "begun" in fault]
    begun = under_way(full, EVENT)
    assert begun == wanted
    restore(full, EVENT, begun)
    assert under_way(full, EVENT) is None
    heir(full)
    for mine, its in zip(landed(full), before, strict=True):
        assert_frame_equal(mine, its)


@pytest.mark.parametrize("read", [0, 1])
def test_a_worker_that_did_not_know_of_the_restore_is_refused_and_recovers(lakes, read):
    lake = lakes()
    sleeper = Worker(lake, LOG, multiples(5), partitions=(0, 1))
    for _ in range(2):
        for partition in (0, 1):
            sleeper.read(partition, 2)
        sleeper.flush()
    for partition in (0, 1):
        sleeper.read(partition, read)
    back_to(lake, 1)
    if not read:
        sleeper.read(0)
    with pytest.raises(CommitConflict):
        sleeper.flush()
    sleeper.recover()
    sleeper.run()
    curated, quarantined = landed(lake)
    assert curated.height + quarantined.height == distinct(LOG)
    assert list(faults(lake, EVENT)) == []


def test_a_worker_that_decided_and_then_slept_through_the_restore_cannot_leave_a_gap(lakes):
    """Its positions in the curated table went back although the quarantine table knows its decision."""
    lake = lakes()

    def meanwhile(step):
        if step == "land.decision_known" and len(versions(lake, lake.curated(EVENT))) == 3:
            back_to(lake, 1)

    sleeper = Worker(lake, LOG, multiples(5), partitions=(0, 1), reached=meanwhile)
    with pytest.raises(CommitConflict):
        sleeper.run()
    heir(lake)
    curated, quarantined = landed(lake)
    assert curated.height + quarantined.height == distinct(LOG)
    assert list(faults(lake, EVENT)) == []


def test_a_version_whose_files_were_vacuumed_is_refused_and_nothing_changes(full):
    compact(full, full.curated(EVENT))
    vacuum(full, full.curated(EVENT), hours=0, delete=True)
    wanted = plan(full, EVENT, 2, PARTITIONS)
    with pytest.raises(LandingError, match="vacuum removed them"):
        restore(full, EVENT, wanted)
    assert under_way(full, EVENT) is None
    assert list(faults(full, EVENT)) == []


def test_a_version_that_the_log_does_not_know_is_refused(full):
    with pytest.raises(LandingError, match="has no version 99: its log knows 0 to 4"):
        plan(full, EVENT, 99, PARTITIONS)


def test_the_participants_table_is_made_anew_after_a_restore(full):
    refresh_participants(full, from_snapshots)
    whole = scan(full.participants, full).collect()["events"].sum()
    back_to(full, 2)
    worker = Worker(full, LOG, multiples(5), partitions=(0, 1))
    worker.read(0, 5)
    worker.read(1, 5)
    worker.flush()
    assert refresh_participants(full, from_snapshots) is not None
    assert scan(full.participants, full).collect()["events"].sum() == landed(full)[0].height < whole


def test_workers_go_on_from_linking_state_that_the_restore_kept(full):
    assert [point.offset for point in Snapshots(full).kept(EVENT, 0)] == [5, 7]
    wanted = plan(full, EVENT, 3, PARTITIONS)
    assert wanted.read_from == {0: 6, 1: 6}
    restore(full, EVENT, wanted)
    assert [point.offset for point in Snapshots(full).kept(EVENT, 0)] == [5]
    assert plan(full, EVENT, 1, PARTITIONS).read_from == {0: 0, 1: 0}


def test_what_was_put_aside_above_is_looked_at_anew_and_what_lies_below_stays_aside(full):
    aside = Aside(full)
    for offset in (1, 3, 4, 7):
        aside.keep(EVENT, 0, offset, b"value", why="damaged", holds=Named("raw", (Span("hospital-a", 0, 1, 2),)))
        aside.keep(EVENT, 1, offset, b"", why="unsigned", holds=None)
    assert back_to(full, 2).positions == {0: 3, 1: 3}
    assert aside.offsets(EVENT) == {0: Offsets(damaged={1, 3}), 1: Offsets(unsigned={1, 3})}
    assert len(full.objects.keys("aside/")) == 2 * 2 + 2
