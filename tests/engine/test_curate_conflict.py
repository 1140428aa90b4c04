"""Two research workers that both think a partition theirs: whoever comes second goes on from the tables, in place."""

import asyncio

import pytest

from biokeel.engine.curate import landing as module
from biokeel.engine.curate import worker as curate
from biokeel.engine.curate.buffer import Buffer
from biokeel.engine.curate.landing import CONFLICTS
from biokeel.engine.kafka.deliveries import Partition
from biokeel.errors import CommitConflict
from tests.engine.curate_world import AT, PRESSURE, assign, block, feed, land, landed, made_worker, run, together

OTHER = Partition(PRESSURE.pseudo_topic, 1)


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch):
    monkeypatch.setattr(module, "CONFLICT_SECONDS", 0.0)
    monkeypatch.setattr(curate, "TICK_SECONDS", 0.01)


async def recovered(worker):
    async with worker._turn:
        await worker._recover_dropped()
    worker.check()


async def held_back(worker, record, at=AT):
    """What waits to hand over `record`, of an event type that is dropped."""
    feeding = asyncio.create_task(feed(worker, record, at=at))
    await asyncio.sleep(0.1)
    assert not feeding.done()
    return feeding


async def in_conflict(worker, lake):
    """Bring `worker` to where another one has landed the row that it wanted to land."""
    heir = made_worker(lake)
    await assign(worker)
    await assign(heir)
    await feed(worker, block(0, [120]))
    await feed(heir, block(0, [120]))
    await land(heir)
    await land(worker)
    assert set(worker._landing.dropped) == {PRESSURE}


def held(worker):
    """Bytes of blocks that the ledger keeps."""
    waiting = worker.ledger._held[AT].waiting
    return sum(len(value) for delivery in waiting for value in delivery.records.values if value is not None)


def offsets(frame):
    return frame["raw_offset"].to_list()


def test_after_a_conflict_the_worker_reads_again_and_lands_each_row_once(tmp_path, caplog):
    log = [block(0, [120, 900]), block(1, [121]), block(2, [122])]

    async def scenario(late, lake):
        heir = made_worker(lake)
        await assign(late)
        await assign(heir)
        await feed(late, *log[:2])
        await feed(heir, *log[:1])
        await land(heir)
        stale = await feed(late, log[2])
        await land(late)
        late.check()
        assert "Another worker decided" in caplog.text

        waiting = await held_back(late, block(3, [123]))
        await land(late)
        assert offsets(landed(lake)[0]) == [0], "nothing lands while what came before it has not"

        await recovered(late)
        await waiting
        assert late.ledger.rewound() == {AT}
        assert late.ledger.position(AT) == 0, "there is no snapshot: the state is rebuilt from the beginning"
        assert not late.ledger.is_current(stale)
        await feed(late, *log, block(3, [123]))
        await land(late)
        late.check()
        return landed(lake)

    curated, quarantined = run(tmp_path, scenario)
    assert (offsets(curated), offsets(quarantined)) == ([0, 100, 200, 300], [1])
    assert curated["sequence"].to_list() == [1, 2, 3, 4]


def test_a_conflict_in_one_partition_holds_back_every_partition_of_the_event_type(tmp_path):
    """What was lost held rows of both; a landing of the other alone would pass over them for ever."""

    async def scenario(late, lake):
        heir = made_worker(lake)
        await assign(late, AT, OTHER)
        await assign(heir, AT)
        await feed(heir, block(0, [120]))
        await land(heir)
        await feed(late, block(0, [120]))
        await feed(late, block(0, [121], first=50), at=OTHER)
        await land(late)
        waiting = await held_back(late, block(1, [122]), at=OTHER)
        await land(late)
        await recovered(late)
        await waiting
        assert {at: late.ledger.position(at) for at in (AT, OTHER)} == {AT: 0, OTHER: 0}
        await feed(late, block(0, [120]))
        await feed(late, block(0, [121], first=50), block(1, [122]), at=OTHER)
        await land(late)
        late.check()
        return landed(lake)

    curated, _ = run(tmp_path, scenario)
    assert offsets(curated) == [0, 50, 100]


def test_conflicts_without_a_landing_between_them_end_the_worker(tmp_path):
    async def scenario(late, lake):
        await assign(late)
        for number in range(CONFLICTS + 1):
            late.check()
            heir = made_worker(lake)
            await assign(heir)
            await feed(heir, *(block(each, [120]) for each in range(number + 1)))
            await land(heir)
            await feed(late, *(block(each, [120]) for each in range(number + 2)))
            await land(late)
            if number < CONFLICTS:
                await recovered(late)
        with pytest.raises(CommitConflict):
            late.check()

    run(tmp_path, scenario)


def test_a_worker_that_hears_meanwhile_that_it_lost_the_partition_recovers_nothing(tmp_path):
    async def scenario(late, lake):
        heir = made_worker(lake)
        await assign(late)
        await assign(heir)
        await feed(late, block(0, [120]))
        await feed(heir, block(0, [120]))
        await land(heir)
        await land(late)
        await late.revoked({AT})
        await recovered(late)
        return late.ledger.rewound()

    assert run(tmp_path, scenario) == set()


def test_until_its_event_type_is_recovered_a_worker_takes_no_more_and_holds_no_bytes_of_it(tmp_path):
    """The store may be away for hours, and Kafka gives as fast as it is asked."""
    begun = []

    async def scenario(late, lake):
        await in_conflict(late, lake)

        async def burst():
            for number in range(1, 10):
                begun.append(number)
                await feed(late, block(number, [120] * 100))

        feeding = asyncio.create_task(burst())
        await asyncio.sleep(0.3)
        assert (begun, late.ledger.under_way()) == ([1], 2), "the first does not return"
        assert held(late) == 0
        feeding.cancel()
        await recovered(late)
        for number in range(10):
            await feed(late, block(number, [120]))
        await land(late)
        late.check()
        return landed(lake)

    curated, _ = run(tmp_path, scenario)
    assert offsets(curated) == [100 * number for number in range(10)]


def test_what_was_judged_while_its_event_type_was_dropped_is_let_go_of(tmp_path, monkeypatch):
    async def scenario(late, lake):
        await assign(late)
        real = late._judged

        def judged(event, deliveries):
            late._landing.dropped[event] = 0.0
            return real(event, deliveries)

        monkeypatch.setattr(late, "_judged", judged)
        waiting = await held_back(late, block(0, [120]))
        async with asyncio.timeout(20):
            while held(late) or not late._landing.dropped:  # noqa: ASYNC110 - it is judged in another thread
                await asyncio.sleep(0.01)
        assert (late.ledger.under_way(), late._landing.held()) == (1, 0)
        await recovered(late)
        await waiting

    run(tmp_path, scenario)


@pytest.mark.parametrize("ends", ["revoked", "drained", "failed"])
def test_what_waits_for_a_recovery_goes_on_when_there_will_be_none(tmp_path, ends):
    async def scenario(late, lake):
        await in_conflict(late, lake)
        waiting = await held_back(late, block(1, [121]))
        async with asyncio.timeout(5):
            if ends == "revoked":
                await late.revoked({AT})
            elif ends == "drained":
                await late.drain()
            else:
                late.fail(RuntimeError())
            await waiting
        return landed(lake)

    curated, _ = run(tmp_path, scenario)
    assert offsets(curated) == [0]


def test_after_a_landing_that_failed_nothing_that_came_later_lands(tmp_path, monkeypatch):
    """Else the tables would say that they have what lies between, and nobody would read it again."""

    async def scenario(worker, lake):
        await assign(worker)
        tables = worker._landing.tables[PRESSURE]

        def fails_once(*_arguments):
            monkeypatch.undo()
            raise RuntimeError

        monkeypatch.setattr(tables, "land", fails_once)
        await feed(worker, block(0, [120]))
        async with worker._turn:
            await worker._landing.land(PRESSURE)
            # The failure is not known yet, and the next rows wait already.
            worker._landing.buffers[PRESSURE] = await judged(worker, block(1, [121]))
            await worker._landing.land(PRESSURE)
            await worker._landing.done()
        with pytest.raises(RuntimeError):
            worker.check()
        return landed(lake)

    curated, _ = run(tmp_path, scenario)
    assert offsets(curated) == []


async def judged(worker, record):
    """A buffer with the rows of `record`, as `process` makes it."""
    delivery = worker.ledger.deliver(AT, together(AT, record))
    buffer = Buffer()
    buffer.add([delivery], await asyncio.to_thread(worker._judged, PRESSURE, [delivery]))
    return buffer
