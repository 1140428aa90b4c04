"""The object store is away for a while: the worker waits, holds no more than it may, and loses nothing."""

import asyncio
import contextlib

import pytest

from biokeel.engine import outage
from biokeel.errors import StoreUnavailable
from biokeel.land.tables import EventTables
from tests.engine.curate_world import AT, assign, block, feed, land, landed, run

ROWS = 200


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch):
    monkeypatch.setattr(outage, "PAUSE_SECONDS", 0.02)


@pytest.fixture
def away(monkeypatch):
    """The tables take nothing, as when every try of theirs has failed; `away.clear()` brings the store back."""
    flag = [True]
    real = EventTables.land

    def land(self, *arguments):
        if flag:
            raise StoreUnavailable("The table takes no commit.", "Check that the object store runs.")
        return real(self, *arguments)

    monkeypatch.setattr(EventTables, "land", land)
    return flag


def offsets(frame):
    return frame["raw_offset"].to_list()


def value(worker, name):
    return worker.runner.metrics.registry.get_sample_value(name, {"worker": "curate"})


async def until(condition, seconds=20):
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - several parts change it
            await asyncio.sleep(0.01)


def test_rows_wait_for_the_store_and_land_once_when_it_is_back(tmp_path, away, caplog):
    async def scenario(worker, lake):
        await assign(worker)
        await feed(worker, block(0, [120, 900]))
        landing = asyncio.create_task(land(worker))
        await until(lambda: value(worker, "biokeel_waiting_seconds"))
        assert "Waits since 0 s: The table takes no commit." in caplog.text
        assert worker.ledger.under_way() == 1
        away.clear()
        await landing
        worker.check()
        assert value(worker, "biokeel_waiting_seconds") == 0
        assert "Goes on after" in caplog.text
        assert worker.ledger.under_way() == 0
        return landed(lake)

    curated, quarantined = run(tmp_path, scenario)
    assert (offsets(curated), offsets(quarantined)) == ([0], [1])


def test_what_is_held_stays_within_its_bound_while_the_store_takes_nothing(tmp_path, away):
    """A burst of 40 deliveries; bytes held never pass the bound by more than one of them, and all land in the end."""
    size = 0

    async def scenario(worker, lake):
        nonlocal size
        await assign(worker)
        await feed(worker, block(0, [120] * ROWS, 0))
        size = worker._landing.held()
        bound = worker.settings.held_bytes
        most, taken = 0, 0

        async def burst():
            nonlocal taken
            for number in range(1, 40):
                await feed(worker, block(number, [120] * ROWS, ROWS * number))
                taken += 1

        feeding = asyncio.create_task(burst())
        for _ in range(100):
            await asyncio.sleep(0.02)
            most = max(most, worker._landing.held())
        assert not feeding.done(), "reading must stop"
        assert bound <= most <= bound + size
        assert value(worker, "biokeel_held_bytes") == worker._landing.held()
        assert taken < 10
        away.clear()
        await feeding
        await land(worker)
        worker.check()
        assert worker._landing.held() == 0
        return landed(lake)

    curated, quarantined = run(tmp_path, scenario, held_bytes=200_000)
    assert 10_000 < size < 100_000, size
    assert sorted(offsets(curated) + offsets(quarantined)) == list(range(40 * ROWS))


def test_the_watchdog_lets_a_worker_be_whose_tries_come_back_but_not_one_that_hangs(tmp_path, away):
    async def scenario(worker, _lake):
        clock = [0.0]
        worker.ledger._clock = lambda: clock[0]
        await assign(worker)
        await feed(worker, block(0, [120]))
        clock[0] = 290.0
        landing = asyncio.create_task(land(worker))
        await until(lambda: worker.ledger.longest_stall() == 0.0)
        clock[0] = 580.0
        await until(lambda: worker.ledger.longest_stall() == 0.0)
        away.clear()
        await landing
        await feed(worker, block(1, [120]))
        clock[0] += 301.0
        assert worker.ledger.longest_stall() == 301.0, "nothing is away: this is stuck"

    run(tmp_path, scenario)


def test_partitions_that_leave_while_the_store_is_away_leave_at_once_and_lose_nothing(tmp_path, away):
    async def scenario(worker, lake):
        await assign(worker)
        await feed(worker, block(0, [120]))
        stuck = asyncio.create_task(land(worker))
        await until(lambda: value(worker, "biokeel_waiting_seconds"))
        await feed_in_background(worker, block(1, [121]))
        async with asyncio.timeout(5):
            await worker.revoked({AT})
        worker.ledger.revoke([AT])
        await stuck
        worker.check()
        assert worker._landing.held() == 0
        away.clear()
        assert await assign(worker) == {AT: 0}
        await feed(worker, block(0, [120]), block(1, [121]))
        await land(worker)
        worker.check()
        return landed(lake)

    curated, _ = run(tmp_path, scenario)
    assert offsets(curated) == [0, 100]


async def feed_in_background(worker, record):
    """Hand over a record to a worker that cannot take it now."""
    task = asyncio.create_task(feed(worker, record))
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(task), 0.1)


def test_a_worker_that_is_told_to_stop_while_the_store_is_away_ends_and_says_why(tmp_path, away):
    async def scenario(worker, lake):
        await assign(worker)
        await feed(worker, block(0, [120]))
        async with asyncio.timeout(5):
            await worker.drain()
        assert worker.ledger.committable() == {}
        with pytest.raises(StoreUnavailable):
            worker.check()
        return landed(lake)

    curated, _ = run(tmp_path, scenario)
    assert offsets(curated) == []


def test_an_assignment_waits_for_the_store_but_not_longer_than_faust_allows(tmp_path, monkeypatch):
    from biokeel.engine.curate import worker as curate

    tries = [StoreUnavailable("away"), StoreUnavailable("away")]
    real = curate.recover

    def recover(*arguments):
        if tries:
            raise tries.pop()
        return real(*arguments)

    monkeypatch.setattr(curate, "recover", recover)
    assert run(tmp_path / "a", lambda worker, _lake: assign(worker)) == {AT: 0}
    monkeypatch.setattr(curate, "ASSIGNMENT_SECONDS", -1.0)
    tries.append(StoreUnavailable("away"))
    with pytest.raises(StoreUnavailable):
        run(tmp_path / "b", lambda worker, _lake: assign(worker))


def test_a_stop_lands_what_is_buffered(tmp_path):
    async def scenario(worker, lake):
        await assign(worker)
        await feed(worker, block(0, [120, 900]))
        await worker.drain()
        worker.check()
        assert worker.ledger.committable() == {AT: 1}
        return landed(lake)

    curated, quarantined = run(tmp_path, scenario)
    assert (offsets(curated), offsets(quarantined)) == ([0], [1])
