"""A shadow counts each row that came live while it runs, once, as the stage judges it, and has no effect."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import generate_latest

from biokeel.batch import PseudonymisedBatch
from biokeel.errors import NotApproved, StoreUnavailable
from biokeel.land.lake import Lake
from biokeel.land.landings import Reached, landings_since
from biokeel.reasons import Reason
from biokeel.rulebook.follow import FollowedBook
from biokeel.rulebook.pages import ended_key, shadow_key
from biokeel.rules import shadow_run
from biokeel.rules.backtest_suites import Written
from biokeel.rules.beside import BesideWorker
from biokeel.rules.beside_metrics import BesideMetrics
from biokeel.rules.compared import Change
from biokeel.rules.shadow import Counted, Shadows, Wanted, store_of
from biokeel.rules.shadow_run import IS_OVER
from biokeel.validate.stage import judge
from tests.rulebook.desk import ANNA, BORA, MemoryObjects, steward
from tests.rules.beside import HOUR, Killed, World
from tests.rules.lake import PRESSURE, SCHEMA, PressureLake, between, events, suite, suite_text

FORCE = suite_text(between("bp.systolic.range", "critical", max_value=250), between("bp.low", "warning", min_value=60))
DRAFT = suite_text(
    between("bp.systolic.range", "critical", max_value=200),
    between("bp.low", "warning", min_value=70),
    between("bp.new", "critical", "diastolic", max_value=150),
)
POINTS = ("shadow.counted", "shadow.saved")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, FORCE)


def failed(frame: pl.DataFrame, written: Written) -> list[set[str]]:
    """The rules that each row fails, as the stage that judges the stream says."""
    found = judge(PseudonymisedBatch(PRESSURE, frame), written.suite).failed
    rows = [{name for name, is_failed in row.items() if is_failed} for row in found.iter_rows(named=True)]
    return rows or [set() for _ in range(frame.height)]


def expected(frames: list[pl.DataFrame], draft: Written, force: Written) -> tuple[Counter[Any], dict[str, list[int]]]:
    """What must be counted of rows that `force` judged."""
    changes: Counter[Any] = Counter()
    sources: dict[str, list[int]] = {}
    critical = [{each.id for each in some.suite.row_rules if each.severity == "critical"} for some in (draft, force)]
    for frame in frames:
        for source, now, was in zip(frame["source_id"], failed(frame, draft), failed(frame, force), strict=True):
            changes += Counter({(rule, Change.NEWLY_FAILING, source): 1 for rule in now - was})
            changes += Counter({(rule, Change.NEWLY_PASSING, source): 1 for rule in was - now})
            counts = sources.setdefault(source, [0, 0, 0])
            would, stopped = bool(now & critical[0]), bool(was & critical[1])
            counts[0] += 1
            counts[1] += would and not stopped
            counts[2] += stopped and not would
    return changes, sources


VALUE = st.sampled_from([None, 50.0, 65.0, 120.0, 180.0, 220.0, 300.0])
ROW = st.fixed_dictionaries(
    {"systolic": VALUE, "diastolic": VALUE, "source_id": st.sampled_from(["hospital-a", "hospital-b"])}
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("land"), st.lists(ROW, min_size=1, max_size=5)),
        st.tuples(st.sampled_from(["look", "other looks", *POINTS]), st.none()),
    ),
    max_size=10,
)


@settings(max_examples=25, deadline=None)
@given(STEPS)
def test_every_row_is_counted_once_wherever_workers_die_and_however_many_there_are(steps: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        world = World(Path(folder), FORCE)
        world.land({"systolic": 220.0})
        world.start(DRAFT)
        workers = [world.worker(), world.worker()]
        frames = []
        for step, rows in steps:
            if step == "land":
                frames.append(world.land(*rows))
            elif step in POINTS:

                def die(point: str, here: str = step) -> None:
                    if point == here:
                        raise Killed

                with patch.context() as dying:
                    dying.setattr(shadow_run, "reached", die)
                    try:
                        workers[0].turn()
                    except Killed:
                        workers[0] = world.worker()
            else:
                workers[step == "other looks"].turn()
        for _ in range(2):  # one may hear only now that the other was quicker
            workers[0].turn()
        changes, sources = expected(frames, suite_of(DRAFT), suite_of(FORCE))
        counted = world.counted()
        assert counted.changes == changes
        assert {source: list(counts) for source, counts in counted.sources.items()} == sources
        assert (counted.microseconds_a_row > 0) == bool(frames)


def suite_of(text: str) -> Written:
    return suite(*json.loads(text)["expectations"])


def test_what_lands_after_its_end_is_not_counted_and_it_says_why_it_ended(world: World) -> None:
    world.start(DRAFT)
    world.land({"systolic": 220.0})
    Shadows(world.lake).stop(PRESSURE, BORA, world.now())
    world.land({"systolic": 221.0})
    world.worker().turn()
    assert (world.counted().rows, world.counted().over) == (1, "")  # what was committed before may still be on its way
    world.ahead = HOUR / 2
    worker = world.worker()
    worker.turn()
    assert (world.counted().rows, world.counted().over) == (1, "stopped by bora")
    world.land({"systolic": 222.0})
    worker.turn()
    assert world.counted().rows == 1


def test_it_ends_by_itself_and_another_may_begin_then(world: World) -> None:
    world.start(DRAFT)
    with pytest.raises(NotApproved, match="runs until"):
        world.start(DRAFT)
    world.ahead = HOUR + 1
    world.start(DRAFT)
    world.ahead += HOUR
    world.worker().turn()
    ended = [Shadows(world.lake).counted(each) for each in Shadows(world.lake).all(PRESSURE)]
    assert [each.over for each in ended if each is not None] == ["", IS_OVER]  # the newest first
    with pytest.raises(NotApproved, match="No shadow"):
        Shadows(world.lake).stop(PRESSURE, ANNA, world.now() + dt.timedelta(hours=3))


def test_a_row_is_held_against_the_version_that_judged_it(world: World) -> None:
    world.start(DRAFT)
    world.land({"systolic": 220.0})
    second = world.publish(DRAFT)
    world.land({"systolic": 220.0}, by=second)
    world.worker().turn()
    counted = world.counted()
    assert counted.sources["hospital-a"] == (2, 1, 0)
    assert counted.versions == Counter({world.first.suite.version: 1, second.suite.version: 1})
    assert counted.changes == Counter({("bp.systolic.range", Change.NEWLY_FAILING, "hospital-a"): 1})


def test_rows_of_a_version_that_nobody_knows_are_judged_by_both_suites(world: World) -> None:
    world.start(DRAFT)
    world.land({"systolic": 220.0}, by=suite_of(FORCE))
    world.worker().turn()
    assert world.counted().sources["hospital-a"] == (1, 1, 0)


def test_what_no_suite_judged_as_it_came_is_left_aside(world: World) -> None:
    world.start(DRAFT)
    world.table.set_aside(events([{}]), Reason.STAGE_FAILED)
    world.land({"systolic": 220.0})
    world.worker().turn()
    assert world.counted().rows == 1
    assert world.counted().aside == Counter({"engine.stage_failed": 1})


def test_what_a_vacuum_took_is_told_and_the_rest_is_counted(world: World) -> None:
    world.start(DRAFT)
    world.land({"systolic": 220.0})
    uri, topic = world.lake.curated(PRESSURE), PRESSURE.pseudo_topic
    (landing,) = landings_since(world.lake, uri, topic, Reached()).landings  # type: ignore[union-attr]
    world.land({}, {})
    Path(landing.files[0][0]).unlink()
    world.worker().turn()
    assert (world.counted().lost, world.counted().rows) == (1, 2)


def test_a_table_that_was_made_anew_is_gone_on_with_from_now_and_that_is_told(world: World) -> None:
    world.start(DRAFT)
    world.land({"systolic": 220.0})
    world.worker().turn()
    shutil.rmtree(world.lake.curated(PRESSURE))
    world.table = PressureLake(world.lake)
    world.worker().turn()
    assert world.counted().gaps == 1
    assert world.counted().rows == 1


def test_a_store_that_is_away_loses_and_doubles_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.start(DRAFT)
    worker = world.worker()
    world.land({"systolic": 220.0})

    def away(*_: object) -> None:
        raise StoreUnavailable("The object store does not answer.")

    with monkeypatch.context() as patch:
        patch.setattr(shadow_run, "read", away)
        with pytest.raises(StoreUnavailable):
            worker.turn()
    worker.turn()
    worker.turn()
    assert world.counted().sources["hospital-a"] == (1, 1, 0)


def test_a_draft_that_cannot_be_run_ends_with_the_reason_and_the_others_go_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.start('{"name": "clinical.blood_pressure", "expectations": []}')
    world.land({})
    worker = world.worker()
    worker.turn()
    assert "has no expectations" in world.counted().over
    Shadows(world.lake).stop(PRESSURE, ANNA, world.now())
    world.ahead = 1
    world.start(DRAFT)
    world.land({"systolic": 220.0})

    def breaks(*_: object) -> None:
        raise ValueError("900 mmHg of somebody")

    with monkeypatch.context() as patch:
        patch.setattr(shadow_run, "read", breaks)
        worker.turn()
    assert world.counted().over.startswith("it failed: ValueError at ")
    assert "somebody" not in world.counted().over


def test_what_nobody_signed_for_its_place_is_no_shadow_and_ends_none(world: World) -> None:
    running = world.start(DRAFT)
    objects = world.lake.objects
    key = shadow_key(PRESSURE, running.digest)
    page = objects.get(key)
    objects.put(shadow_key(PRESSURE, "0" * 64), page)
    objects.put(f"rules/shadows/lifestyle.sleep/{running.digest}.json", page)
    objects.put(shadow_key(PRESSURE, "1" * 64), page.replace(b"anna", b"bora"))
    objects.put(shadow_key(PRESSURE, "2" * 64), b"{")
    objects.put(ended_key(key), b'{"event": "clinical.blood_pressure"}')
    shadows = Shadows(world.lake)
    for _ in range(2):
        assert [(each.digest, each.stopped_by) for each in shadows.all()] == [(running.digest, "")]


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        (Wanted(DRAFT, " ", HOUR), "no reason"),
        (Wanted(DRAFT, "because", 59), "runs for 1m to 31d"),
        (Wanted(DRAFT, "because", 32 * 86_400), "runs for 1m to 31d"),
    ],
)
def test_a_shadow_needs_a_reason_and_an_end(world: World, wanted: Wanted, says: str) -> None:
    with pytest.raises(NotApproved, match=says):
        Shadows(world.lake).start(PRESSURE, wanted, ANNA, world.now())


def test_only_a_steward_starts_and_stops_one(world: World) -> None:
    stranger = steward("cho")
    with pytest.raises(NotApproved, match="no steward cho"):
        Shadows(world.lake).start(PRESSURE, Wanted(DRAFT, "because", HOUR), stranger, world.now())
    world.start(DRAFT)
    with pytest.raises(NotApproved, match="no steward cho"):
        Shadows(world.lake).stop(PRESSURE, stranger, world.now())


def test_what_was_counted_is_read_back_as_it_was_saved(world: World) -> None:
    world.start(DRAFT)
    world.land({"systolic": 220.0}, {"systolic": 50.0}, {"systolic": 300.0})
    world.worker().turn()
    counted = world.counted()
    assert Counted.from_bytes(counted.to_bytes()) == counted
    assert counted.as_dict()["newly_quarantined"] == 1


def test_metrics_show_what_runs_and_nothing_once_it_is_over(world: World) -> None:
    world.start(DRAFT)
    world.land({"systolic": 220.0})
    worker = world.worker()
    assert worker.turn()
    told = generate_latest(worker.metrics.registry).decode()
    assert (
        'biokeel_shadow_changes{change="newly failing",event="clinical.blood_pressure",'
        'rule="bp.systolic.range",source="hospital-a"} 1.0'
    ) in told
    assert 'fate="newly_quarantined",source="hospital-a"} 1.0' in told
    assert 'biokeel_shadow_cpu_seconds{event="clinical.blood_pressure"}' in told
    world.ahead = 2 * HOUR
    worker.turn()
    assert not worker.turn()
    assert "biokeel_shadow_rows{" not in generate_latest(worker.metrics.registry).decode()


def test_a_look_without_a_shadow_costs_four_small_calls(world: World) -> None:
    objects = MemoryObjects()
    objects.held = {key: world.lake.objects.get(key) for key in world.lake.objects.keys("rules/")}
    lake = Lake(world.lake.root, objects, world.lake.schemas)
    book = FollowedBook(objects, {PRESSURE: SCHEMA})
    worker = BesideWorker(lake, {PRESSURE: SCHEMA}, book, BesideMetrics())
    book.events()
    worker.turn()
    objects.calls.clear()
    worker.turn()
    next_pages = [f"find rules/{PRESSURE}/{key}.json" for key in ("000002", "operations/000001")]
    assert objects.calls == ["find rules/newest", *next_pages, "sizes rules/shadows/"]
    assert store_of(objects, world.start(DRAFT)).newest() == (0, None)
