"""When the state of a partition is saved: also where little comes of its event type, and others never rest."""

import asyncio

import pytest

from biokeel.engine.curate import snapshots as saving
from biokeel.engine.curate import worker as curate
from biokeel.engine.kafka.deliveries import Partition
from biokeel.errors import CommitConflict, StoreUnavailable
from biokeel.land.reading import scan
from biokeel.land.snapshots import Snapshots
from tests.engine.curate_world import AT, PRESSURE, assign, block, feed, land, landed, offsets, run

HOUR = saving.SNAPSHOT_SECONDS
ATS = [Partition(PRESSURE.pseudo_topic, number) for number in range(5)]


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """The time by which snapshots are old, in a stream that never rests; set `clock[0]`."""
    now = [0.0]
    monkeypatch.setattr(saving, "monotonic", lambda: now[0])
    monkeypatch.setattr(curate, "IDLE_SECONDS", 1e9)
    return now


@pytest.fixture
def refreshes(monkeypatch):
    """When the participants table was made anew."""
    times = []
    real = saving.refresh_participants

    def refresh(*arguments):
        times.append(saving.monotonic())
        return real(*arguments)

    monkeypatch.setattr(saving, "refresh_participants", refresh)
    return times


async def tick(worker):
    async with worker._turn:
        await worker._tick()
    worker.check()


def kept(lake):
    return [[point.offset for point in Snapshots(lake).kept(PRESSURE, at.partition)] for at in ATS]


def test_a_quiet_partition_in_a_busy_stream_is_saved_hourly_and_recovery_begins_there(tmp_path, clock):
    async def quiet(worker, lake):
        await assign(worker)
        await feed(worker, block(0, [120, 121]))
        await land(worker)
        clock[0] = HOUR - 1
        await tick(worker)
        assert kept(lake)[0] == []
        clock[0] = HOUR
        await tick(worker)
        assert kept(lake)[0] == [0]
        await feed(worker, block(1, [122]))
        clock[0] = 2 * HOUR
        await tick(worker)
        assert kept(lake)[0] == [0], "a snapshot never knows more than the tables"
        await land(worker)
        await tick(worker)
        assert kept(lake)[0] == [0, 1]

    async def later(worker, lake):
        assert await assign(worker) == {AT: 2}
        await feed(worker, block(2, [123]))
        await land(worker)
        worker.check()
        return landed(lake)

    run(tmp_path, quiet)
    curated, _ = run(tmp_path, later)
    assert offsets(curated) == [0, 1, 100, 200]
    assert curated["sequence"].to_list() == [1, 1, 2, 3]


def test_a_partition_of_which_nothing_landed_since_is_not_saved_again(tmp_path, clock, refreshes):
    async def scenario(worker, lake):
        await assign(worker)
        await feed(worker, block(0, [120]))
        await land(worker)
        for hours in (1, 2, 3):
            clock[0] = hours * HOUR
            await tick(worker)
        assert kept(lake)[0] == [0]

    run(tmp_path, scenario)
    assert refreshes == [HOUR]


def test_repeats_alone_move_a_snapshot_on(tmp_path, clock):
    """They make no row here, but the topic keeps blocks for its time only, whatever is in them."""

    async def scenario(worker, lake):
        await assign(worker)
        await feed(worker, block(0, [120]))
        await land(worker)
        clock[0] = HOUR
        await tick(worker)
        await feed(worker, block(1, [120], first=0))
        await land(worker)
        clock[0] = 2 * HOUR
        await tick(worker)
        assert kept(lake)[0] == [0, 1]
        return landed(lake)

    curated, quarantined = run(tmp_path, scenario)
    assert (offsets(curated), offsets(quarantined)) == ([0], [])


def test_of_partitions_that_fall_due_together_a_tick_saves_a_few_and_the_last_refreshes(
    tmp_path, clock, refreshes, monkeypatch
):
    monkeypatch.setattr(saving, "AGED_AT_A_TIME", 2)
    saved = []

    async def scenario(worker, lake):
        await assign(worker, *ATS)
        for each in ATS:
            await feed(worker, block(0, [120], 100 * each.partition), at=each)
        await land(worker)
        clock[0] = HOUR
        for _ in range(4):
            await tick(worker)
            saved.append((sum(map(bool, kept(lake))), len(refreshes)))
        return scan(lake.participants, lake).collect()["events"].sum()

    assert run(tmp_path, scenario) == len(ATS)
    assert saved == [(2, 0), (4, 0), (5, 1), (5, 1)]


def test_while_partitions_fall_due_one_by_one_the_participants_table_is_made_anew_every_half_hour(
    tmp_path, clock, refreshes
):
    async def scenario(worker, lake):
        await assign(worker, *ATS)
        clock[0] = HOUR
        for number in range(8):
            at = ATS[number % 4]
            await feed(worker, block(number, [120]), at=at)
            await land(worker)
            await tick(worker)
            assert kept(lake)[at.partition][-1] == number
            clock[0] += HOUR / 4

    run(tmp_path, scenario)
    assert refreshes == [HOUR, 1.5 * HOUR, 2 * HOUR, 2.5 * HOUR]


def test_what_waits_lands_before_the_participants_table_is_made_so_that_there_is_memory_for_it(
    tmp_path, clock, monkeypatch
):
    held = []

    async def scenario(worker, _lake):
        monkeypatch.setattr(saving, "refresh_participants", lambda *_arguments: held.append(worker._landing.held()))
        await assign(worker)
        await feed(worker, block(0, [120]))
        await land(worker)
        await feed(worker, block(1, [121]))
        assert worker._landing.held()
        clock[0] = HOUR
        await tick(worker)

    run(tmp_path, scenario)
    assert held == [0]


def test_a_worker_goes_on_where_others_are_quicker_to_make_the_participants_table(tmp_path, clock, monkeypatch):
    def loses(*_arguments):
        raise CommitConflict("others", "again")

    monkeypatch.setattr(saving, "refresh_participants", loses)

    async def scenario(worker, lake):
        await assign(worker)
        await feed(worker, block(0, [120]))
        await land(worker)
        clock[0] = HOUR
        await tick(worker)
        assert kept(lake)[0] == [0]

    run(tmp_path, scenario)


def test_a_snapshot_that_the_store_does_not_take_is_written_when_it_is_back(tmp_path, clock, monkeypatch):
    async def scenario(worker, lake):
        await assign(worker)
        await feed(worker, block(0, [120]))
        await land(worker)
        clock[0] = HOUR
        with monkeypatch.context() as away:
            away.setattr(Snapshots, "save", lambda *_arguments: (_ for _ in ()).throw(StoreUnavailable("away")))
            with pytest.raises(StoreUnavailable):
                await tick(worker)
        running = asyncio.create_task(worker.run())
        async with asyncio.timeout(10):
            while not kept(lake)[0]:  # noqa: ASYNC110 - the store tells nobody
                await asyncio.sleep(0.05)
        running.cancel()
        assert kept(lake)[0] == [0]

    run(tmp_path, scenario)
