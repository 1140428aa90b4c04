"""The research side with a stage that raises on some rows: those are quarantined, the others land as if alone."""

import asyncio

import polars as pl
import pytest

from biokeel.engine.curate import judging as module
from biokeel.errors import PoisonBatch
from biokeel.reasons import Reason
from tests.engine.curate_world import PRESSURE, assign, block, feed, land, landed, landing, offsets, run, scenario
from tests.poison_switch import PoisonSwitch

IN_VALIDATE, IN_LINK = 166, 167
"""Values on which the stage of that name raises, after it has done its work."""
FAILED = str(Reason.STAGE_FAILED)


@pytest.fixture(autouse=True)
def turned_on(monkeypatch):
    """Stages raise on poison; `with turned_on(False)` they do not, as in the release before."""
    switch = PoisonSwitch(monkeypatch)

    def raising(stage, value, kind):
        def wrapped(batch, *more):
            result = stage(batch, *more)
            if switch.raises and (batch.frame["systolic"] == value).any():
                raise kind("900101-1234567")
            return result

        return wrapped

    monkeypatch.setattr(module, "validate", raising(module.validate, IN_VALIDATE, pl.exceptions.PanicException))
    monkeypatch.setattr(module, "link", raising(module.link, IN_LINK, ValueError))
    return switch.turned_on


def test_poison_is_quarantined_with_its_reason_and_the_others_land_as_if_it_had_never_been(tmp_path, caplog):
    values = [120, IN_VALIDATE, 121, 900, IN_LINK, 122, 123, IN_LINK]
    curated, quarantined = run(tmp_path / "a", scenario(block(0, values), block(1, [124, 125])))
    assert offsets(curated) == [0, 2, 5, 6, 100, 101]
    reasons = dict(zip(offsets(quarantined), quarantined["reason"], strict=True))
    assert reasons == {1: FAILED, 3: "rule.failed", 4: FAILED, 7: FAILED}
    assert quarantined.filter(reason=FAILED)["failed_rules"].to_list() == [[]] * 3
    assert quarantined["suite_version"].null_count() == 0
    assert "raw demo-one/0@1) is set aside: PanicException" in caplog.text
    assert "900101" not in caplog.text

    # The same good rows without poison between them have the same place in their people's histories.
    pieces = [block(0, [120]), block(1, [121], 2), block(2, [122, 123], 5), block(3, [124, 125], 100)]
    alone, _ = run(tmp_path / "b", scenario(*pieces))
    columns = ["raw_offset", "participant_id", "sequence", "seconds_since_previous", "age_at_event", "warnings"]
    assert curated.select(columns).equals(alone.select(columns))


def test_poison_is_counted_by_reason_and_edge(tmp_path):
    async def counted(worker, lake):
        await landing(worker, lake, block(0, [120, IN_LINK, IN_LINK]))
        value = worker.runner.metrics.registry.get_sample_value
        labels = {"worker": "curate", "event": str(PRESSURE)}
        assert value("biokeel_rejected_total", {**labels, "reason": FAILED}) == 2
        assert value("biokeel_events_total", {**labels, "stage": "land", "outcome": "quarantined"}) == 2

    run(tmp_path, counted)


def test_the_repeat_of_poison_is_dropped_although_it_was_the_last_row(tmp_path):
    records = block(0, [120, IN_LINK]), block(1, [120, IN_LINK, 121], 0), block(2, [IN_VALIDATE], 3)
    curated, quarantined = run(tmp_path, scenario(*records, block(3, [IN_VALIDATE, 122], 3)))
    assert offsets(curated) == [0, 2, 4]
    assert offsets(quarantined) == [1, 3]


def test_a_worker_that_died_between_the_commits_quarantines_the_same_poison_once(tmp_path):
    records = block(0, [120, IN_LINK, 121]), block(1, [IN_VALIDATE, 122])

    async def dies(worker, lake):
        def dead(*_arguments, **_named):
            raise RuntimeError

        await assign(worker)
        await feed(worker, *records)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("biokeel.land.checkpoint.land", dead)
            await land(worker)
        with pytest.raises(RuntimeError):
            worker.check()
        return landed(lake)

    curated, quarantined = run(tmp_path, dies)
    assert (offsets(curated), offsets(quarantined)) == ([], [1, 100])
    curated, quarantined = run(tmp_path, scenario(*records))
    assert (offsets(curated), offsets(quarantined)) == ([0, 2, 101], [1, 100])
    assert set(quarantined["reason"]) == {FAILED}


def test_an_event_that_was_accepted_before_is_never_quarantined(tmp_path, turned_on):
    with turned_on(False):
        curated, _ = run(tmp_path, scenario(block(0, [120, IN_LINK, 121])))
    assert offsets(curated) == [0, 1, 2]
    with pytest.raises(PoisonBatch, match="was accepted before"):
        run(tmp_path, scenario(block(0, [120, IN_LINK, 121]), block(1, [122])))
    curated, quarantined = run(tmp_path, lambda _worker, lake: asyncio.to_thread(landed, lake))
    assert (offsets(curated), offsets(quarantined)) == ([0, 1, 2], [])


def test_more_poison_than_the_setting_allows_ends_the_worker_and_lands_nothing_of_the_batch(tmp_path):
    with pytest.raises(PoisonBatch, match="more than 2 of 4 events"):
        run(tmp_path, scenario(block(0, [120]), block(1, [IN_LINK] * 3 + [121])), set_aside_events=2)
    curated, quarantined = run(tmp_path, lambda _worker, lake: asyncio.to_thread(landed, lake))
    assert (offsets(curated), offsets(quarantined)) == ([], [])
