"""Quarantined rows that pass by now are released by the worker of their partition, once, whatever dies and flows."""

import asyncio
import shutil
from contextlib import suppress

import polars as pl
import pytest
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st

from biokeel.batch import ROW
from biokeel.contracts.ids import encode_id
from biokeel.engine.curate import operating
from biokeel.engine.curate import worker as curate
from biokeel.errors import NotApproved
from biokeel.land.check import faults
from biokeel.land.lake import Lake
from biokeel.land.operated import done
from biokeel.land.restore import plan, restore
from biokeel.rulebook import reverdict
from biokeel.rulebook.operations import MOST_ALONE, Operation
from biokeel.rules.reverdict import Filter
from tests.books.telling import lies
from tests.engine.book_world import AUTHOR, OTHER, TEN, Stewards
from tests.engine.curate_world import AT, PRESSURE, assign, block, feed, land, landed, made_worker

STEPS = ("curate.operation.linked", "curate.land.operated", "curate.land.operation_known", "curate.after_snapshot")


class Died(MemoryError):
    """What no row is to blame for, so that nothing but the end of the process is made of it."""


async def carry_out(worker):
    """Follow the book, and do all that is due; how many steps that took."""
    for _ in range(4):  # a hint, or the turn of versions and then that of operations
        worker._book.look()
    steps = 0
    while worker._operator.due():
        await worker._operate()
        worker.check()
        steps += 1
        assert steps < 100
    return steps


async def started(lake, fed=0):
    """A worker that has caught up with so many blocks."""
    worker = made_worker(lake)
    (again,) = (await assign(worker)).values()
    worker._book.events()
    for offset in range(again, fed):
        await feed(worker, block(offset, TEN))
    return worker


def run(folder, scenario):
    lake = Lake.local(folder)
    return asyncio.run(scenario(lake))


async def strict_then_lax(lake, blocks=2):
    """A worker with blocks of which three rows each are quarantined by version 2, and version 3 lets them pass."""
    worker = await started(lake)
    stewards = Stewards(lake)
    stewards.publish(125)
    worker._book.look()
    for offset in range(blocks):
        await feed(worker, block(offset, TEN))
        await land(worker)
    stewards.publish(300)
    return worker, stewards


def test_released_rows_land_once_with_both_versions_their_first_coordinates_and_the_next_sequence(tmp_path):
    async def scenario(lake):
        worker, stewards = await strict_then_lax(lake)
        stewards.release()
        await carry_out(worker)
        await feed(worker, block(2, TEN[:4]))
        await land(worker)
        again = await carry_out(worker)
        return stewards, again, *landed(lake)

    stewards, again, curated, quarantined = run(tmp_path, scenario)
    released = curated.filter(pl.col("stream") == "quarantine")
    assert again == 0
    assert quarantined.height == 6
    assert sorted(released["first_offset"]) == sorted(quarantined["raw_offset"]) == [7, 8, 9, 107, 108, 109]
    assert set(released["earlier_version"]) == set(quarantined["suite_version"])
    assert set(released["suite_version"]) == {stewards.review.standing(PRESSURE).page.stamp}
    assert set(released["operation"]) == {1}
    assert curated.filter(pl.col("stream") == "raw")["operation"].null_count() == 18
    numbers = curated.group_by("participant_id").agg(pl.col("sequence").sort()).sort("participant_id")["sequence"]
    assert [each.to_list() for each in numbers] == [list(range(1, 13)), list(range(1, 13))]
    state = stewards.desk.states(PRESSURE)
    assert [(each.moved, each.open_in) for each in state] == [(6, ())]


def test_a_filter_chooses_and_the_preview_counts_what_it_leaves_and_why(tmp_path):
    async def scenario(lake):
        worker, stewards = await strict_then_lax(lake, blocks=1)
        await feed(worker, block(5, [600, 118], source="demo-two"))
        await land(worker)
        stewards.publish(127)
        whole = stewards.desk.preview_release(PRESSURE, Filter())
        return whole, stewards.desk.preview_release(PRESSURE, Filter(source="demo-two"))

    whole, of_two = run(tmp_path, scenario)
    assert whole.rows == 2
    assert whole.left == {"fails still": 2}
    assert whole.by("rules") == [("bp.systolic.limit", 2)]
    assert whole.by("source_id") == [("demo-one", 2)]
    assert of_two.rows == 0


def test_more_rows_than_one_may_move_alone_wait_for_a_second_person(tmp_path, monkeypatch):
    monkeypatch.setattr("biokeel.rules.reverdict.MOST_ALONE", 3)
    monkeypatch.setattr("biokeel.rulebook.operations.MOST_ALONE", 3)

    async def scenario(lake):
        worker, stewards = await strict_then_lax(lake)
        digest = stewards.release()
        assert not isinstance(digest, Operation)
        assert await carry_out(worker) == 0
        with pytest.raises(Exception, match="another steward approves"):
            stewards.desk.approve(PRESSURE, digest, AUTHOR)
        assert list(stewards.desk.waiting(PRESSURE)) == [digest]
        approved = stewards.desk.approve(PRESSURE, digest[:12], OTHER)
        assert stewards.desk.approve(PRESSURE, digest, OTHER) == approved
        await carry_out(worker)
        assert not stewards.desk.waiting(PRESSURE)
        return landed(lake)

    curated, _ = run(tmp_path, scenario)
    assert curated.filter(pl.col("operation") == 1).height == 6
    assert MOST_ALONE == 1_000


def test_no_more_is_moved_than_the_preview_counted_and_the_stream_goes_on(tmp_path):
    async def scenario(lake):
        worker, stewards = await strict_then_lax(lake)
        preview = stewards.desk.preview_release(PRESSURE, Filter())
        less = type(preview)(
            preview.event,
            preview.purpose,
            preview.version,
            preview.wanted,
            preview.up_to,
            preview.counts.with_columns(rows=pl.lit(2, pl.Int64)),
            preview.left,
            preview.lands,
        )
        stewards.desk.order(less, AUTHOR, "because")
        await carry_out(worker)
        await feed(worker, block(2, TEN))
        await land(worker)
        worker.check()
        return landed(lake)

    curated, _ = run(tmp_path, scenario)
    assert curated["operation"].null_count() == curated.height == 24


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(("chunk", "nth"), [(100, 1), (2, 2)])
def test_a_worker_that_dies_at_any_step_of_a_release_costs_nothing(tmp_path, monkeypatch, step, chunk, nth):
    monkeypatch.setattr(reverdict, "CHUNK_ROWS", chunk)

    async def scenario(lake):
        worker, stewards = await strict_then_lax(lake)
        stewards.release()
        with pytest.MonkeyPatch.context() as patch:
            dies(patch, step, nth)
            died = False
            try:
                await carry_out(worker)
            except Died:
                died = True
        worker = await started(lake, fed=2)
        await feed(worker, block(2, TEN))
        await land(worker)
        await carry_out(worker)
        await feed(worker, block(3, TEN))
        await land(worker)
        assert await carry_out(worker) == 0
        worker.check()
        return died, *landed(lake)

    died, curated, quarantined = run(tmp_path, scenario)
    assert died
    assert sorted(curated["first_offset"]) == [100 * each + row for each in range(4) for row in range(10)]
    assert quarantined.height == 6
    for numbers in curated.partition_by("participant_id"):
        assert sorted(numbers["sequence"]) == list(range(1, numbers.height + 1))
    follows_the_previous(curated)


def dies(patch, step, nth=1, always=lambda: None):
    """The worker dies the `nth` time that it passes `step`; at each step `always` is called."""
    passed = []

    def reached(point):
        always()
        if point == step:
            passed.append(point)
            if len(passed) == nth:
                raise Died

    for module in (curate, operating, curate.SnapshotSaver.__module__):
        patch.setattr(f"{module if isinstance(module, str) else module.__name__}.reached", reached)


def follows_the_previous(curated):
    """Whoever comes next in a person's sequence says how long after the one before it happened."""
    for rows in curated.sort("sequence").partition_by("participant_id"):
        seconds = rows["occurred_at"].diff().dt.total_seconds()
        assert rows["seconds_since_previous"].to_list()[1:] == seconds.to_list()[1:]


STEPS_OUT = ("curate.land.moved", "curate.land.moved_away", "curate.land.operated", "curate.land.operation_known")


@pytest.mark.parametrize("step", STEPS_OUT)
@pytest.mark.parametrize(("chunk", "nth"), [(100, 1), (2, 2)])
def test_a_worker_that_dies_at_any_step_of_a_withdrawal_or_its_undo_costs_nothing(
    tmp_path, monkeypatch, step, chunk, nth
):
    monkeypatch.setattr(reverdict, "CHUNK_ROWS", chunk)

    async def scenario(lake):
        worker = await started(lake)
        stewards = Stewards(lake)
        for offset in range(2):
            await feed(worker, block(offset, TEN))
            await land(worker)
        as_it_was = landed(lake)[0]
        stewards.publish(125)
        died, found = [], []
        for order in (stewards.withdraw, lambda: stewards.undo(1)):
            order()
            with pytest.MonkeyPatch.context() as patch:
                dies(patch, step, nth, always=lambda: balanced(lake, 20))
                try:
                    await carry_out(worker)
                except Died:
                    died.append(step)
            balanced(lake, 20)
            worker = await started(lake, fed=2)
            await carry_out(worker)
            worker.check()
            found.append(landed(lake))
        balanced(lake, 20)
        return stewards, died, as_it_was, found

    stewards, died, as_it_was, ((curated, quarantined), (after, stays)) = run(tmp_path, scenario)
    assert len(died) == (1 if "moved" in step else 2), "an undo of a withdrawal moves nothing out"
    assert sorted(quarantined["first_offset"]) == [7, 8, 9, 107, 108, 109]
    assert set(quarantined["failed_rules"].list.join(",")) == {"bp.systolic.limit"}
    assert curated.height == 14
    assert after.drop("operation", "earlier_version").equals(as_it_was.drop("operation", "earlier_version"))
    assert set(after["operation"]) == {None, 2}
    assert stays.equals(quarantined)
    states = stewards.desk.states(PRESSURE)
    assert [(each.moved, each.open_in, each.undone_by) for each in states] == [(6, (), (2,)), (6, (), ())]


def balanced(lake, events):
    """Each of so many events lies in exactly one place."""
    found = lies(lake, PRESSURE)
    assert len({offset for *_, offset in found}) == sum(found.values()) == events


def test_a_release_is_undone_and_done_again_and_the_rows_are_as_they_were(tmp_path):
    async def scenario(lake):
        worker, stewards = await strict_then_lax(lake)
        stewards.release()
        await carry_out(worker)
        released = landed(lake)[0]
        places = [lies(lake, PRESSURE)]
        for undone in (1, 2):
            stewards.undo(undone)
            await carry_out(worker)
            places.append(lies(lake, PRESSURE))
            balanced(lake, 20)
        await feed(worker, block(2, TEN))
        await land(worker)
        for key in lake.objects.keys("state/"):
            lake.objects.delete(key)
        again = await started(lake, fed=3)
        assert again._standings[AT].state == worker._standings[AT].state
        return released, places, *landed(lake)

    released, places, curated, quarantined = run(tmp_path, scenario)
    there = [sum(those for (table, _, _), those in each.items() if table == "quarantine") for each in places]
    assert there == [0, 6, 0]
    same = [name for name in released.columns if name != "operation"]
    assert curated.filter(pl.col("pseudo_offset") < 2).select(same).equals(released.select(same))
    assert quarantined.height == 12
    again = quarantined.filter(pl.col("operation") == 2)
    first = quarantined.filter(pl.col("operation").is_null())
    at = ["source_id", "first_partition", "first_offset"]
    told = [*at, "failed_rules", "reason", "suite_version"]
    assert again.select(told).sort(at).equals(first.select(told).sort(at))


def test_what_the_source_has_corrected_since_does_not_come_back(tmp_path):
    async def scenario(lake):
        worker = await started(lake)
        stewards = Stewards(lake)
        await feed(worker, block(0, TEN))
        await land(worker)
        stewards.publish(125)
        stewards.withdraw()
        await carry_out(worker)
        worker._book.look()
        await feed(worker, said(1, 121, of=9, recorded=5))
        await land(worker)
        preview = stewards.desk.preview_undo(PRESSURE, 1)
        stewards.undo(1)
        await carry_out(worker)
        with pytest.raises(NotApproved, match="nothing to move"):
            stewards.undo(1)
        return preview, landed(lake)[0]

    preview, curated = run(tmp_path, scenario)
    assert (preview.rows, preview.left) == (2, {"a newer version is there": 1})
    assert sorted(curated["first_offset"]) == [*range(9), 100]


def test_state_that_is_lost_is_made_anew_with_released_rows_where_they_stand_between_the_blocks(tmp_path):
    async def scenario(lake):
        worker, stewards = await strict_then_lax(lake)
        stewards.release()
        await carry_out(worker)
        await feed(worker, block(2, TEN))
        await land(worker)
        standing = worker._standings[AT]
        for key in lake.objects.keys("state/"):
            lake.objects.delete(key)
        again = await started(lake, fed=3)
        return standing, again._standings[AT], again._unlinked

    before, after, unlinked = run(tmp_path, scenario)
    assert not unlinked
    assert (after.offset, after.operated) == (before.offset, before.operated) == (2, done(1))
    assert after.state == before.state
    assert after.marks == before.marks


@pytest.mark.parametrize("each", [6, pytest.param(1, marks=pytest.mark.long)])
def test_a_table_can_be_put_back_to_any_version_and_no_row_is_lost_or_doubled(tmp_path, monkeypatch, each):
    monkeypatch.setattr(reverdict, "CHUNK_ROWS", 2)

    async def made(lake):
        worker, stewards = await strict_then_lax(lake)
        for order in (stewards.release, lambda: stewards.undo(1)):
            order()
            await carry_out(worker)
        stewards.publish(122)
        worker._book.look()
        stewards.withdraw()
        await carry_out(worker)
        await feed(worker, block(2, TEN))
        await land(worker)
        return len(stewards.desk.states(PRESSURE))

    async def put_back(lake, version):
        wanted = plan(lake, PRESSURE, version, 1)
        restore(lake, PRESSURE, wanted)
        balanced(lake, in_tables(lake))
        worker = await started(lake, fed=3)
        await land(worker)
        await carry_out(worker)
        balanced(lake, 30)
        assert list(faults(lake, PRESSURE)) == []
        return landed(lake)

    assert run(tmp_path / "lake", made) == 3
    versions = DeltaTable(Lake.local(tmp_path / "lake").curated(PRESSURE)).version()
    assert versions > 10
    for version in range(1, versions, each):
        shutil.copytree(tmp_path / "lake", tmp_path / str(version))
        curated, quarantined = run(tmp_path / str(version), lambda lake, to=version: put_back(lake, to))
        had_landed = quarantined.filter(pl.col("sequence").is_not_null())
        ever = pl.concat([curated, had_landed], how="diagonal").unique(ROW)
        for rows in ever.partition_by("participant_id"):
            assert sorted(rows["sequence"]) == list(range(1, rows.height + 1))


def test_of_two_workers_that_both_believe_to_have_the_partition_one_releases(tmp_path):
    async def scenario(lake):
        zombie, stewards = await strict_then_lax(lake)
        heir = await started(lake, fed=2)
        stewards.release()
        for _ in range(4):
            zombie._book.look()
        ((at, operation),) = zombie._operator.due()
        assert await zombie._operator.prepare(at, operation)
        await feed(heir, block(2, TEN))
        await carry_out(heir)
        async with zombie._turn:
            await zombie._operator.step(at)
        assert PRESSURE in zombie._landing.dropped
        await feed(heir, block(3, TEN))
        await land(heir)
        heir.check()
        return landed(lake)

    curated, _ = run(tmp_path, scenario)
    assert sorted(curated["first_offset"]) == [100 * each + row for each in range(4) for row in range(10)]


def test_who_landed_after_a_release_that_he_did_not_see_recovers_and_links_after_it(tmp_path):
    async def scenario(lake):
        zombie, stewards = await strict_then_lax(lake)
        heir = await started(lake, fed=2)
        await feed(heir, block(2, TEN))
        stewards.release()
        await carry_out(zombie)
        await land(heir)
        assert PRESSURE in heir._landing.dropped
        heir._landing.dropped[PRESSURE] = 0
        await heir._recover_dropped()
        for offset in range(heir._standings[AT].offset + 1, 4):
            await feed(heir, block(offset, TEN))
        await land(heir)
        heir.check()
        return landed(lake)

    curated, _ = run(tmp_path, scenario)
    assert sorted(curated["first_offset"]) == [100 * each + row for each in range(4) for row in range(10)]
    for numbers in curated.partition_by("participant_id"):
        assert sorted(numbers["sequence"]) == list(range(1, numbers.height + 1))
    follows_the_previous(curated)


def said(offset, value, *, of, recorded=0, status="final"):
    """A block of one row that says something of the event which `of` names, recorded so many minutes later."""
    return block(offset, [value], of=of, recorded=recorded, status=status)


def test_a_row_of_which_the_source_has_said_something_newer_stays_in_quarantine(tmp_path):
    async def scenario(lake):
        worker = await started(lake)
        stewards = Stewards(lake)
        stewards.publish(125)
        worker._book.look()
        await feed(worker, block(0, [200, 201, 202, 203, 204, 120]))
        await feed(worker, said(1, 121, of=0, recorded=5))  # corrected, and landed
        await feed(worker, said(2, 210, of=1, recorded=5))  # corrected, and quarantined
        await feed(worker, said(3, 202, of=2, recorded=5, status="entered-in-error"))
        await feed(worker, said(4, 110, of=3, recorded=-5))  # an older version comes late
        await feed(worker, said(5, 230, of=5, recorded=5))  # what has landed is corrected
        await land(worker)
        stewards.publish(300)
        preview = stewards.desk.preview_release(PRESSURE, Filter())
        stewards.release()
        await carry_out(worker)
        return preview, landed(lake)[0]

    preview, curated = run(tmp_path, scenario)
    assert preview.left == {"a newer version is there": 2, "withdrawn by its source": 1}
    released = curated.filter(pl.col("operation") == 1)
    assert sorted(released["first_offset"]) == [3, 4, 200, 500]
    assert preview.rows == 4


def test_what_a_source_sends_again_after_its_release_is_a_repeat(tmp_path):
    async def scenario(lake):
        worker, stewards = await strict_then_lax(lake, blocks=1)
        stewards.release()
        await carry_out(worker)
        await feed(worker, said(4, 126, of=7))
        await land(worker)
        again = made_worker(lake)
        await assign(again)
        await feed(again, said(5, 126, of=7))
        await land(again)
        return landed(lake)

    curated, quarantined = run(tmp_path, scenario)
    assert curated.height == 10
    assert quarantined["reason"].to_list() == ["rule.failed"] * 3 + ["event.repeated"] * 2


def test_people_whom_the_vault_has_stopped_stay_in_quarantine(tmp_path):
    async def scenario(lake):
        worker, stewards = await strict_then_lax(lake)
        without = stewards.desk.leave_out(PRESSURE, f"{encode_id(4)}\n")
        preview = stewards.desk.preview_release(PRESSURE, Filter(without=without))
        stewards.release(without=without)
        await carry_out(worker)
        with pytest.raises(NotApproved, match="no participant's ID"):
            stewards.desk.leave_out(PRESSURE, "a person\n")
        return preview, landed(lake)[0]

    preview, curated = run(tmp_path, scenario)
    assert preview.left == {"stopped in the vault": 2}
    assert set(curated.filter(pl.col("operation") == 1)["participant_id"]) == {encode_id(8)}


ORDERS = ("release", "withdraw", "undo")
DEADLY = (*STEPS, *STEPS_OUT, "curate.land.decided", "curate.land.landed")
ACTIONS = st.lists(
    st.one_of(
        st.sampled_from(
            ["feed", "feed", "land", "carry out", "carry out", "die", "forget the state", *ORDERS, *ORDERS]
        ),
        st.integers(118, 130),
        st.tuples(
            st.sampled_from((*STEPS, *STEPS_OUT, "curate.land.decided", "curate.land.landed")), st.integers(1, 3)
        ),
    ),
    min_size=4,
    max_size=16,
)
"""What happens; a number is a limit that comes in force, a pair where a worker dies while it carries out."""


def whatever(folder, actions):
    """Every event lies in one place after each of `actions`, and in the end where the last order says it should."""

    async def scenario(lake):
        fed, worker, stewards = 0, await started(lake), Stewards(lake)
        for action in [*actions, "carry out"]:
            if action == "feed":
                await feed(worker, block(fed, TEN))
                fed += 1
            elif action == "land":
                await land(worker)
            elif isinstance(action, int):
                stewards.publish(action)
            elif action == "carry out":
                await land(worker)
                await carry_out(worker)
            elif action in ORDERS:
                ordered(stewards, action)
            else:
                if isinstance(action, tuple):
                    with pytest.MonkeyPatch.context() as patch:
                        dies(patch, *action)
                        with suppress(Died):
                            await land(worker)
                            await carry_out(worker)
                elif action == "forget the state":
                    for key in lake.objects.keys("state/"):
                        lake.objects.delete(key)
                worker = await started(lake, fed)
            worker.check()
            balanced(lake, in_tables(lake))
        await feed(worker, block(fed, TEN))
        await land(worker)
        balanced(lake, 10 * (fed + 1))
        return worker._standings[AT], *landed(lake)

    standing, curated, quarantined = run(folder, scenario)
    # What went to quarantine after it had landed keeps its place in the person's history.
    had_landed = quarantined.filter(pl.col("sequence").is_not_null())
    ever = pl.concat([curated, had_landed], how="diagonal").unique(ROW)
    for rows in ever.partition_by("participant_id"):
        assert sorted(rows["sequence"]) == list(range(1, rows.height + 1))
    follows_the_previous(ever)
    assert int(standing.state.whole().values[:, 0].sum()) == ever.height


def ordered(stewards, action):
    """Order it where there is anything to move."""
    with suppress(NotApproved):
        if action == "undo":
            stewards.undo(len(stewards.desk.states(PRESSURE)))
        else:
            getattr(stewards, action)()


def in_tables(lake):
    return pl.concat([frame.select("first_offset") for frame in landed(lake)]).n_unique()


@given(ACTIONS)
@settings(max_examples=10, deadline=None)
def test_whatever_is_ordered_and_dies_each_event_lies_in_one_place_and_each_person_has_one_history(
    tmp_path_factory, actions
):
    whatever(tmp_path_factory.mktemp("lake"), actions)


@pytest.mark.long
@pytest.mark.timeout(3600)
@given(ACTIONS)
@settings(max_examples=300, deadline=None)
def test_the_same_in_hundreds_of_orders(tmp_path_factory, actions):
    whatever(tmp_path_factory.mktemp("lake"), actions)
