"""Several partitions of an event type are judged in one call, and each comes out as if it were alone."""

import asyncio

import polars as pl
import pytest

from biokeel.engine.curate import judging as module
from biokeel.engine.kafka.deliveries import Partition
from biokeel.errors import PoisonBatch
from biokeel.land.aside import Aside
from biokeel.land.tables import EventTables
from biokeel.reasons import Reason
from tests.engine.curate_world import PRESSURE, assign, block, damaged, feed, land, landed, offsets, run, together
from tests.poison_switch import PoisonSwitch

ATS = [Partition(PRESSURE.pseudo_topic, number) for number in range(3)]
POISON = 167
FAILED = str(Reason.STAGE_FAILED)
STAMPED = ["raw_offset", "participant_id", "sequence", "seconds_since_previous", "age_at_event", "warnings"]


@pytest.fixture
def calls(monkeypatch):
    """The rows of each call of `validate`."""
    rows = []
    real = module.validate

    def counting(batch, *more):
        rows.append(len(batch))
        return real(batch, *more)

    monkeypatch.setattr(module, "validate", counting)
    return rows


@pytest.fixture
def poison(monkeypatch):
    """`link` raises on `POISON`, after it has done its work."""
    switch = PoisonSwitch(monkeypatch)
    real = module.link

    def raising(batch, *more):
        result = real(batch, *more)
        if switch.raises and (batch.frame["systolic"] == POISON).any():
            raise ValueError
        return result

    monkeypatch.setattr(module, "link", raising)
    return switch


def deliveries(worker, *of_partitions):
    """A delivery of each partition for which there are records."""
    made = (
        worker.ledger.deliver(at, together(at, *records))
        for at, records in zip(ATS, of_partitions, strict=False)
        if records
    )
    return [delivery for delivery in made if delivery is not None]


async def feed_all(worker, *of_partitions):
    """Hand the records of each partition to the worker in one call."""
    await worker.take(deliveries(worker, *of_partitions))


def at_once(*calls):
    """For `run`: what landed when each of `calls` was delivered at once, and all landed then."""

    async def scenario(worker, lake):
        await assign(worker, *ATS)
        for of_partitions in calls:
            await feed_all(worker, *of_partitions)
        await land(worker)
        worker.check()
        return landed(lake)

    return scenario


def one_by_one(*calls):
    """For `run`: the same, partition by partition."""
    return at_once(*([*[[]] * number, records] for call in calls for number, records in enumerate(call)))


def test_partitions_in_one_call_land_as_they_do_one_by_one_with_one_call_of_the_suite(tmp_path, calls):
    repeat = block(1, [120], 0), block(1, [900], 400), block(1, [122], 800)
    first = [[block(0, [120, 900, 121], 0)], [block(0, [900, 123], 400)], [block(0, [122], 800), repeat[2]]]
    second = [[repeat[0]], [repeat[1], block(2, [124], 402)], []]
    together_, others = run(tmp_path / "a", at_once(first, second)), run(tmp_path / "b", one_by_one(first, second))
    assert calls[:2] == [6, 1]
    assert [len(frame) for frame in together_] == [5, 2]
    for frame, other in zip(together_, others, strict=True):
        columns = [name for name in frame.columns if name != "suite_version"]
        assert frame.select(columns).equals(other.select(columns))


def test_what_waited_while_its_partitions_left_is_left_to_their_next_owner(tmp_path):
    async def scenario(worker, lake):
        await assign(worker, *ATS)
        waiting = deliveries(worker, [block(0, [120], 0)], [block(0, [121], 400)])
        await worker.revoked(set(ATS))
        await worker.take(waiting)  # the transport revokes them in the ledger after this only
        worker.check()
        await assign(worker, *ATS)
        await feed_all(worker, [block(0, [120], 0)], [block(0, [121], 400)])
        await land(worker)
        return landed(lake)

    curated, _ = run(tmp_path, scenario)
    assert curated["systolic"].to_list() == [120, 121]


def test_poison_in_several_partitions_is_isolated_and_the_others_land_as_if_it_had_never_been(tmp_path, poison):
    values = [[120, POISON, 121], [POISON, 122], [123, 124, POISON]]
    call = [[block(0, of, 400 * number)] for number, of in enumerate(values)]
    again = [[block(1, [125], 3)], [block(1, [POISON, 126], 400)], [block(1, [POISON, 127], 802)]]
    curated, quarantined = run(tmp_path / "a", at_once(call, again))
    assert offsets(curated) == [0, 2, 3, 401, 800, 801, 803]
    assert (offsets(quarantined), set(quarantined["reason"])) == ([1, 400, 802], {FAILED})

    good = [
        [block(0, [120], 0), block(1, [121, 125], 2)],
        [block(0, [122], 401)],
        [block(0, [123, 124], 800), block(1, [127], 803)],
    ]
    alone, _ = run(tmp_path / "b", at_once(good))
    assert (
        curated.filter(pl.col("raw_offset") != 401)
        .select(STAMPED)
        .equals(alone.filter(pl.col("raw_offset") != 401).select(STAMPED))
    )
    assert curated.filter(raw_offset=401)["sequence"].to_list() == [1]


def test_more_poison_in_all_partitions_than_the_setting_allows_ends_the_worker(tmp_path, poison):
    call = [[block(0, [POISON, 120], 400 * number)] for number in range(3)]
    with pytest.raises(PoisonBatch, match="more than 2 of 6 events"):
        run(tmp_path, at_once(call), set_aside_events=2)
    curated, quarantined = run(tmp_path, lambda _worker, lake: asyncio.to_thread(landed, lake))
    assert (offsets(curated), offsets(quarantined)) == ([], [])


def test_what_was_decided_of_one_partition_stands_and_the_rows_of_others_are_judged(tmp_path, poison, monkeypatch):
    async def dies(worker, lake):
        await assign(worker, *ATS)
        await feed_all(worker, [block(0, [120, POISON], 0)], [block(0, [POISON, 121], 400)])
        with monkeypatch.context() as patch:
            patch.setattr("biokeel.land.checkpoint.land", lambda *_arguments, **_named: 1 / 0)
            await land(worker)
        return landed(lake)

    assert [offsets(frame) for frame in run(tmp_path, dies)] == [[], [1, 400]]
    with poison.turned_on(False):
        call = [
            [block(0, [120, POISON], 0), block(1, [POISON], 2)],
            [block(0, [POISON, 121], 400)],
            [block(0, [POISON], 800)],
        ]
        curated, quarantined = run(tmp_path, at_once(call))
    assert (offsets(curated), offsets(quarantined)) == ([0, 2, 401, 800], [1, 400])


def test_an_event_that_was_accepted_before_is_never_quarantined_whoever_comes_with_it(tmp_path, poison):
    with poison.turned_on(False):
        run(tmp_path, at_once([[], [block(0, [120, POISON], 400)]]))
    with pytest.raises(PoisonBatch, match=r"/1@0 .*was accepted before"):
        run(tmp_path, at_once([[block(0, [POISON], 0)], [block(0, [120, POISON], 400)]]))


def test_a_partition_of_which_nothing_can_be_read_moves_on_with_the_others(tmp_path):
    async def scenario(worker, lake):
        await assign(worker, *ATS)
        await feed_all(worker, [block(0, [120], 0)], [damaged(block(0, [121], 400))], [block(0, [122], 800)])
        await land(worker)
        worker.check()
        assert worker.ledger.committable() == dict.fromkeys(ATS, 1)
        tables = worker._landing.tables[PRESSURE]
        assert [tables.positions(at.partition) for at in ATS] == [(0, 0)] * 3
        return landed(lake), {p: each.damaged for p, each in Aside(lake).offsets(PRESSURE).items()}

    (curated, _), aside = run(tmp_path, scenario)
    assert offsets(curated) == [0, 800]
    assert aside == {1: {0}}


def test_where_no_partition_can_be_read_all_move_on(tmp_path):
    async def scenario(worker, _lake):
        await assign(worker, *ATS)
        await feed_all(worker, *([damaged(block(0, [120], 400 * number))] for number in range(3)))
        await land(worker)
        worker.check()
        return worker.ledger.committable()

    assert run(tmp_path, scenario) == dict.fromkeys(ATS, 1)


def test_a_delivery_that_is_stale_is_left_out_and_the_others_are_taken(tmp_path):
    async def scenario(worker, lake):
        await assign(worker, *ATS)
        given = deliveries(worker, [block(0, [120], 0)], [block(0, [121], 400)], [block(0, [122], 800)])
        worker.ledger.rewind(ATS[1], 0)
        await worker.take(given)
        await land(worker)
        await feed(worker, block(0, [121], 400), at=ATS[1])
        await land(worker)
        worker.check()
        return landed(lake)

    curated, _ = run(tmp_path, scenario)
    assert offsets(curated) == [0, 400, 800]
    assert curated["sequence"].to_list() == [1, 1, 1]


def test_a_replay_after_a_snapshot_of_some_partitions_gives_the_same_rows(tmp_path):
    """Snapshots are each partition's own: one goes on from it, another begins anew."""
    first = [[block(0, [120, 121], 0)], [block(0, [122, 123], 400)], [block(0, [900, 124], 800)]]
    second = [[block(1, [125], 2)], [block(1, [126], 402)], [block(1, [127], 802)]]
    expected, _ = run(tmp_path / "a", at_once(first, second))

    async def saves(worker, _lake):
        await assign(worker, *ATS)
        await feed_all(worker, *first)
        await land(worker)
        await worker._landing.run(worker._saver.save, ATS[1], worker._standings[ATS[1]])
        worker.check()

    async def goes_on(worker, lake):
        assert await assign(worker, *ATS) == {ATS[0]: 0, ATS[1]: 1, ATS[2]: 0}
        await feed_all(worker, *(old + new for old, new in zip(first, second, strict=True)))
        await land(worker)
        worker.check()
        return landed(lake)

    run(tmp_path / "b", saves)
    curated, quarantined = run(tmp_path / "b", goes_on)
    assert curated.select(STAMPED).equals(expected.select(STAMPED))
    assert offsets(quarantined) == [800]


def test_rows_of_several_partitions_that_could_not_land_are_all_read_again(tmp_path, monkeypatch):
    async def scenario(worker, lake):
        await assign(worker, *ATS)
        with monkeypatch.context() as patch:
            patch.setattr(EventTables, "land", lambda *_arguments: 1 / 0)
            await feed_all(worker, [block(0, [120], 0)], [block(0, [121], 400)])
            await land(worker)
        with pytest.raises(ZeroDivisionError):
            worker.check()
        return worker.ledger.committable()

    assert run(tmp_path, scenario) == {}
    curated, _ = run(tmp_path, at_once([[block(0, [120], 0)], [block(0, [121], 400)]]))
    assert offsets(curated) == [0, 400]
