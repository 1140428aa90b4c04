"""The worker follows the book of rules: each row is judged by one version, whatever dies and whoever edits."""

import asyncio
import datetime as dt

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biokeel.engine.curate import worker as curate
from biokeel.errors import StoreUnavailable
from biokeel.land.lake import Lake
from biokeel.rules.reverdict import Filter
from tests.engine.book_world import TEN, Stewards
from tests.engine.curate_world import BEGAN, PRESSURE, assign, block, feed, land, landed, made_worker


def test_an_edit_takes_effect_while_blocks_flow_and_each_row_says_which_version_judged_it(tmp_path):
    async def scenario():
        lake = Lake.local(tmp_path)
        worker = made_worker(lake)
        await assign(worker)
        await feed(worker, block(0, TEN))
        first = worker._book.current(PRESSURE).version
        second = Stewards(lake).publish(125)
        await feed(worker, block(1, TEN))
        worker._book.look()
        await feed(worker, block(2, TEN))
        await land(worker)
        worker.check()
        return first, second, *landed(lake)

    first, second, curated, quarantined = asyncio.run(scenario())
    assert first.startswith("1+")
    assert second.startswith("2+")
    assert curated.group_by("pseudo_offset", "suite_version").len().sort("pseudo_offset").rows() == [
        (0, first, 10),
        (1, first, 10),
        (2, second, 7),
    ]
    assert quarantined["suite_version"].to_list() == [second] * 3
    assert quarantined["failed_rules"].to_list() == [["bp.systolic.limit"]] * 3


@given(
    st.lists(
        st.one_of(st.sampled_from(["feed", "feed", "look", "land", "die", "die between"]), st.integers(118, 130)),
        max_size=14,
    )
)
@settings(max_examples=25)
def test_whatever_is_edited_and_dies_each_row_is_judged_once_by_a_version_of_the_book(tmp_path_factory, steps):
    lake = Lake.local(tmp_path_factory.mktemp("lake"))

    class Died(BaseException):
        pass

    async def scenario():
        worker = made_worker(lake)
        await assign(worker)
        worker._book.events()
        stewards, fed = Stewards(lake), 0
        for step in [*steps, "feed", "land"]:
            if isinstance(step, int):
                stewards.publish(step)
            elif step == "feed":
                await feed(worker, block(fed, TEN))
                fed += 1
            elif step == "look":
                worker._book.look()
            elif step == "land":
                await land(worker)
                worker.check()
            else:
                if step == "die between":
                    with pytest.MonkeyPatch.context() as patch:
                        patch.setattr(curate, "reached", dies_after_the_decision(Died))
                        await land(worker)
                worker = made_worker(lake)
                (again,) = (await assign(worker)).values()
                for offset in range(again, fed):
                    await feed(worker, block(offset, TEN))
        return fed, stewards.limits(), *landed(lake)

    fed, limits, curated, quarantined = asyncio.run(scenario())
    rows = sorted([*curated["raw_offset"], *quarantined["raw_offset"]])
    assert rows == [100 * block + row for block in range(fed) for row in range(10)], "every row once"
    for frame in (curated, quarantined):
        assert set(frame["suite_version"]) <= set(limits)
    for stamp, limit in limits.items():
        of_it = pl.col("suite_version") == stamp
        odd = curated.filter(of_it & (pl.col("systolic") > limit))
        assert odd["warnings"].list.contains("bp.systolic.limit").all(), "landed, since an earlier version decided so"
        assert quarantined.filter(of_it & (pl.col("systolic") <= limit))["failed_rules"].list.len().sum() == 0


@pytest.mark.parametrize("dies", [False, True])
def test_rows_of_a_waived_source_land_with_a_flag_as_long_as_they_were_recorded_in_time(tmp_path, dies):
    class Died(BaseException):
        pass

    day = 24 * 60
    waiver = {
        "source": "demo-one",
        "until": dt.datetime.fromtimestamp(BEGAN / 1000, dt.UTC).date().isoformat(),
        "reason": "a test's",
    }

    async def scenario():
        lake = Lake.local(tmp_path)
        worker = made_worker(lake)
        await assign(worker)
        worker._book.events()
        stewards = Stewards(lake)
        stewards.publish(125)
        worker._book.look()
        blocks = [block(0, TEN), block(1, TEN), block(2, TEN, recorded=day), block(3, TEN, source="demo-two")]
        await feed(worker, blocks[0])
        await land(worker)
        stewards.publish(125, waiver)
        worker._book.look()
        for each in blocks[1:]:
            await feed(worker, each)
        if dies:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(curate, "reached", dies_after_the_decision(Died))
                await land(worker)
            worker = made_worker(lake)
            (again,) = (await assign(worker)).values()
            for offset in range(again, 4):
                await feed(worker, blocks[offset])
        await land(worker)
        worker.check()
        return stewards, *landed(lake)

    stewards, curated, quarantined = asyncio.run(scenario())
    assert curated.group_by("pseudo_offset").len().sort("pseudo_offset").rows() == [(0, 7), (1, 10), (2, 7), (3, 7)]
    flagged = curated.filter(pl.col("warnings").list.contains("bp.systolic.limit"))
    assert flagged.select("pseudo_offset", "systolic").rows() == [(1, 126.0), (1, 127.0), (1, 128.0)]
    assert quarantined["failed_rules"].to_list() == [["bp.systolic.limit"]] * 9
    would = stewards.desk.preview_release(PRESSURE, Filter())
    assert (would.rows, stewards.desk.preview_withdrawal(PRESSURE, Filter()).rows) == (3, 0), (
        "what came before the waiver"
    )


def dies_after_the_decision(died):
    def reached(step):
        if step == "curate.land.decided":
            raise died

    return reached


def test_a_book_that_cannot_be_read_stops_no_worker(tmp_path, monkeypatch):
    async def scenario():
        lake = Lake.local(tmp_path)
        worker = made_worker(lake)
        await assign(worker)
        worker._book.events()

        asked, loop, often = [], asyncio.get_running_loop(), asyncio.Event()

        def away(*_):
            asked.append(1)
            if len(asked) > 3:
                loop.call_soon_threadsafe(often.set)
            raise StoreUnavailable("The object store does not answer.")

        monkeypatch.setattr(worker._book._book._objects, "find", away)
        monkeypatch.setattr(curate, "LOOK_SECONDS", 0)
        following = asyncio.create_task(worker._follow_the_book())
        await asyncio.wait_for(often.wait(), 30)
        assert not following.done()
        following.cancel()
        return worker._book.current(PRESSURE).version

    assert asyncio.run(scenario()).startswith("1+")
