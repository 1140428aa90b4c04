"""Every landed row is in one window of each kind, judged once; shares of sources are exact; whatever dies or hangs."""

from __future__ import annotations

import datetime as dt
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import generate_latest

from biokeel.errors import CommitConflict, StoreUnavailable
from biokeel.land.landings import Reached, landings_since
from biokeel.rules import window_run
from biokeel.rules.beside_seen import FEW, Seen, levels
from biokeel.rules.window_results import RESULTS, Outcome, Result, page_key, results_key
from biokeel.rules.window_run import SAVE_SECONDS, SETTLE_SECONDS, WindowRun, read_results
from biokeel.rules.window_state import Due, Open, Share, WindowState
from biokeel.validate.window_child import Verdict
from biokeel.validate.window_judge import Judged
from tests.rules.beside import AtOnce, Killed, World
from tests.rules.lake import PRESSURE, between, events, expectation, suite_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from biokeel.validate.rules import CompiledSuite, Rule

POINTS = ("windows.saved", "windows.judged", "windows.written")
DAY = 86_400
RANGE = between("bp.systolic.range", "critical", max_value=250)


def with_meta(rule: dict[str, Any], **meta: Any) -> dict[str, Any]:
    return rule | {"meta": rule["meta"] | meta}


def window(rule: str, severity: str = "warning", **meta: Any) -> dict[str, Any]:
    kind = "expect_column_mean_to_be_between"
    return with_meta(expectation(rule, severity, kind, column="systolic", max_value=100), window=meta)


def threshold(severity: str = "critical", until: str = "2999-12-31", **shares: Any) -> dict[str, Any]:
    said = {"window": "1d", "until": until, "reason": "A broken cuff shows so.", **shares}
    return with_meta(between("bp.systolic.range", severity, max_value=250), threshold=said)


def judge(suite: CompiledSuite, rules: Sequence[Rule], text: str, frame: pl.DataFrame) -> Judged:
    """Says which values it was shown, and calls every rule unmet."""
    shown = json.dumps(frame["systolic"].to_list() if "systolic" in frame.columns else [])
    return Judged(tuple(verdict(rule.id, rows=frame.height, observed=shown) for rule in rules), {})


def verdict(rule: str, **more: Any) -> Verdict:
    usual: Verdict = {
        "rule": rule,
        "source": None,
        "rows": 0,
        "met": False,
        "observed": "",
        "looked_at": None,
        "unexpected": None,
    }
    return {**usual, **more}  # type: ignore[typeddict-item]


def results(world: World) -> list[Result]:
    """All that were written."""
    numbers = range(1, world.windows().next)
    there = [each for each in numbers if world.lake.objects.find(results_key(PRESSURE, each)) is not None]
    return [result for number in there for result in read_results(world.lake, PRESSURE, number)]


def settle(world: World, worker: Any, seconds: float = 12 * DAY) -> None:
    """Let the time pass by which every window is over, and every one judged."""
    world.ahead += seconds
    while worker.turn() and (world.windows().due or worker._windows[PRESSURE]._judging is not None):
        pass


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("land"), st.integers(1, 120)),
        st.tuples(st.sampled_from(["look", "other looks", *POINTS]), st.just(0)),
    ),
    max_size=12,
)


@settings(max_examples=20, deadline=None)
@given(STEPS)
def test_every_landed_row_is_in_one_window_of_each_kind_wherever_workers_die(steps: list[tuple[str, int]]) -> None:
    limit = between("bp.systolic.range", "critical", max_value=100_000)
    force = suite_text(limit, window("bp.long", every="5d"), window("bp.short", every="5d", rows=100))
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        world = World(Path(folder), force)
        world.land({"systolic": 1.0})
        workers = [world.worker(judge=judge), world.worker(judge=judge)]
        workers[0].turn()  # it begins here
        world.ahead += SAVE_SECONDS
        workers[0].turn()
        landed: list[float] = []
        for step, rows in steps:
            world.ahead += SAVE_SECONDS
            if step == "land":
                values = [2.0 + len(landed) + number for number in range(rows)]
                world.land(*({"systolic": value if value % 10 else 1e6} for value in values))
                landed += values
            elif step in POINTS:

                def die(point: str, here: str = step) -> None:
                    if point == here:
                        raise Killed

                with patch.context() as dying:
                    dying.setattr(window_run, "reached", die)
                    try:
                        workers[0].turn()
                    except Killed:
                        workers[0] = world.worker(judge=judge)
            else:
                workers[step == "other looks"].turn()
        workers[0].turn()
        settle(world, workers[0])
        for rule in ("bp.long", "bp.short"):
            seen = [value for each in results(world) if each.rule == rule for value in json.loads(each.observed)]
            assert sorted(seen) == [value for value in landed if value % 10]
        assert not world.windows().due
        short = [each.rows for each in results(world) if each.rule == "bp.short"]
        assert all(rows >= 100 for rows in short[:-1])


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["hospital-a", "hospital-b"]), st.sampled_from([120.0, 900.0]), st.booleans(), st.booleans()
        ),
        max_size=30,
    )
)
def test_shares_of_sources_are_exact_wherever_the_worker_dies(rows: list[tuple[str, float, bool, bool]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), suite_text(threshold(warn=0.2, fail=0.5)))
        worker = world.worker(judge=judge)
        worker.turn()
        expected: dict[str, list[int]] = {}
        for source, value, dies, saves in rows:
            world.land({"source_id": source, "systolic": value})
            counts = expected.setdefault(source, [0, 0])
            counts[0] += 1
            counts[1] += value == 900
            world.ahead += SAVE_SECONDS if saves else 0
            worker.turn()
            if dies:
                worker = world.worker(judge=judge)
        settle(world, worker)
        found = results(world)
        assert {each.source: [each.looked_at, each.unexpected] for each in found} == expected
        for each in found:
            assert each.share is not None
            outcome = Outcome.FAILS if each.share >= 0.5 else Outcome.WARNS if each.share >= 0.2 else Outcome.MET
            assert (each.outcome, each.rule) == (outcome, "bp.systolic.range")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, suite_text(RANGE, window("bp.mean", every="1h")))


def test_a_window_of_time_ends_by_the_clock_and_its_results_are_a_table_and_a_page(world: World) -> None:
    worker = world.worker(judge=judge)
    worker.turn()
    world.land({"systolic": 120.0}, {"systolic": 130.0})
    worker.turn()
    assert worker.turn()
    assert not world.lake.objects.keys("windows/")
    settle(world, worker)
    table = pl.read_parquet(Path(world.lake.root) / results_key(PRESSURE, 1))
    assert dict(table.schema) == RESULTS
    assert table.select("number", "rule", "outcome", "rows", "source").rows() == [(1, "bp.mean", "fails", 2, None)]
    assert table["begins"][0] < table["ends"][0]
    page = world.lake.objects.get(page_key(PRESSURE, 1)).decode()
    assert "bp.mean" in page
    assert "http" not in page.replace('lang="en"', "")
    assert "7" * 5 not in page  # the participant
    assert world.windows().latest[0].rule == "bp.mean"


def test_times_in_which_nothing_landed_are_judged_only_where_that_says_something(tmp_path: Path) -> None:
    counted = with_meta(
        expectation("bp.rows", "warning", "expect_table_row_count_to_be_between", min_value=1), window={"every": "1h"}
    )
    for name, rules, windows in (("a", (RANGE, window("bp.mean", every="1h")), 0), ("b", (RANGE, counted), 3)):
        world = World(tmp_path / name, suite_text(*rules))
        worker = world.worker(judge=judge)
        worker.turn()
        settle(world, worker, 3 * 3600 + SETTLE_SECONDS)
        told = results(world)
        assert len(told) in {windows, windows and windows + 1}, name  # it may have begun just before the hour
        assert {(each.rule, each.rows) for each in told} <= {("bp.rows", 0)}


def test_what_lands_long_after_a_time_is_over_belongs_to_the_next(world: World) -> None:
    world = World(Path(world.lake.root).parent / "b", suite_text(threshold(warn=0.2)))
    worker = world.worker(judge=judge)
    worker.turn()
    world.land({})
    settle(world, worker)
    world.land({})  # by its own clock it landed days before
    settle(world, worker)
    assert [each.rows for each in results(world)] == [1, 1]
    assert len({each.begins for each in results(world)}) == 2


def test_a_rule_that_raises_or_is_not_judged_is_a_result_and_stops_nothing(world: World) -> None:
    def breaks(*_: Any) -> Judged:
        raise ValueError("900 mmHg of somebody")

    worker = world.worker(judge=breaks)
    worker.turn()
    world.land({})
    settle(world, worker, 2 * 3600)
    (first,) = results(world)
    assert first.outcome is Outcome.NOT_JUDGED
    assert first.why.startswith("ValueError at ")
    assert "somebody" not in first.why

    def hangs(*_: Any) -> Judged:
        return Judged((), {"bp.mean": "it took longer than 600 s"})

    worker = world.worker(judge=hangs)
    world.land({})
    settle(world, worker, 2 * 3600)
    assert [each.why for each in results(world)][1:] == ["it took longer than 600 s"]
    assert "was not judged on the 1 rows" in Seen.read(world.lake.objects).alarms[0]  # type: ignore[union-attr]


def test_what_great_expectations_cannot_evaluate_says_so(world: World) -> None:
    def cannot(*_: Any) -> Judged:
        return Judged((verdict("bp.mean", met=None, rows=1),), {})

    worker = world.worker(judge=cannot)
    worker.turn()
    world.land({})
    settle(world, worker)
    assert [(each.outcome, each.why) for each in results(world)] == [
        (Outcome.NOT_JUDGED, "Great Expectations cannot evaluate it on these rows")
    ]


def test_a_store_that_is_away_while_a_window_is_judged_loses_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = world.worker(judge=judge)
    worker.turn()
    world.land({"systolic": 120.0})
    worker.turn()
    world.ahead += 12 * DAY

    def away(*_: object) -> None:
        raise StoreUnavailable("The object store does not answer.")

    with monkeypatch.context() as patch:
        patch.setattr(window_run, "read", away)
        worker.turn()  # it is due now, and its judging fails
        with pytest.raises(StoreUnavailable):
            worker.turn()
    settle(world, worker, 0)
    assert [each.observed for each in results(world)] == ["[120.0]"]


def test_rows_that_a_vacuum_took_are_told(world: World) -> None:
    worker = world.worker(judge=judge)
    worker.turn()
    world.land({"systolic": 120.0})
    world.land({"systolic": 130.0})
    worker.turn()
    uri, topic = world.lake.curated(PRESSURE), PRESSURE.pseudo_topic
    found = landings_since(world.lake, uri, topic, Reached())
    assert found is not None
    Path(found.landings[0].files[0][0]).unlink()
    settle(world, worker)
    (told,) = results(world)
    assert (told.observed, told.why) == ("[130.0]", "1 of its 2 rows were vacuumed before it was judged")


def test_a_threshold_that_has_expired_is_not_held_and_is_named(tmp_path: Path) -> None:
    world = World(tmp_path, suite_text(threshold(warn=0.2, until="2020-01-01")))
    worker = world.worker(judge=judge)
    worker.turn()
    world.land({"systolic": 900.0})
    settle(world, worker)
    assert not results(world)
    seen = Seen.read(world.lake.objects)
    assert seen is not None
    assert seen.expired == ((str(PRESSURE), "bp.systolic.range"),)
    assert not seen.alarms


def test_a_source_above_a_threshold_is_told_while_the_time_is_not_over(tmp_path: Path) -> None:
    world = World(tmp_path, suite_text(threshold(warn=0.2, fail=0.5)))
    worker = world.worker(judge=judge)
    worker.turn()
    world.land(*({"systolic": 900.0} for _ in range(FEW - 1)))
    worker.turn()
    assert not Seen.read(world.lake.objects).alarms  # type: ignore[union-attr]  # too few yet
    world.land({"systolic": 120.0})
    worker.turn()
    seen = Seen.read(world.lake.objects)
    assert seen is not None
    (told,) = seen.alarms
    assert told.startswith(f"hospital-a fails by bp.systolic.range of {PRESSURE}: 99 of 100 rows (99.00%) since ")
    text = generate_latest(worker.metrics.registry).decode()
    labels = 'event="clinical.blood_pressure",rule="bp.systolic.range",source="hospital-a"'
    assert f"biokeel_threshold_share{{{labels}}} 0.99" in text
    assert f"biokeel_threshold_level{{{labels}}} 2.0" in text


def test_a_suite_that_asks_nothing_of_many_rows_costs_nothing_and_one_that_did_ends_it(world: World) -> None:
    worker = world.worker(judge=judge)
    worker.turn()
    world.land({"systolic": 120.0})
    worker.turn()
    world.ahead += SAVE_SECONDS
    worker.turn()
    world.publish(suite_text(RANGE))
    worker.turn()
    world.ahead += SAVE_SECONDS
    worker.turn()
    assert not worker.turn()
    assert (world.windows().open, world.windows().reached) == ({}, {})
    plain = World(Path(world.lake.root).parent / "plain", suite_text(RANGE))
    plain.worker().turn()
    assert not plain.lake.objects.keys("state/windows/clinical")


def test_a_worker_that_was_quicker_is_gone_on_from(world: World) -> None:
    standing = world.book.standing(PRESSURE)
    runs = [WindowRun(world.lake, PRESSURE, AtOnce(), judge) for _ in range(2)]
    runs[0].turn(standing, world.now().timestamp())
    with pytest.raises(CommitConflict, match="counts windows, too"):
        runs[1].turn(standing, world.now().timestamp())


def test_a_state_is_read_back_as_it_was_saved() -> None:
    result = Result("a.b", "expect", "warning", "a", Outcome.WARNS, 3, 3, 1, "x", "", 1.0, 2.0, "v")
    shares = {"a.b": {"hospital-a": Share(3, 1)}}
    due = [Due(3, (3600, 0), -1, -1, 0.0, 3600.0, 3, shares), Due(4, (3600, 100), 3, 9, 0.0, 3600.0, 3)]
    state = WindowState(
        {"landed": Reached(3, 9)},
        {(3600, 100): Open(3, 1.0, 7)},
        {3600: {4: shares}},
        {3600: 3},
        due,
        5,
        [result],
        1,
        2,
    )
    assert WindowState.from_bytes(state.to_bytes()) == state
    assert Counter(each.outcome for each in [result])[Outcome.WARNS] == 1


def test_a_threshold_is_told_of_the_last_time_until_enough_came_in_this_one(world: World) -> None:
    world = World(Path(world.lake.root).parent / "b", suite_text(threshold(warn=0.2)))
    suite = world.book.standing(PRESSURE).suite
    last = Result("bp.systolic.range", "e", "critical", "a", Outcome.WARNS, 9, 9, 3, "", "", 0.0, DAY, "v")
    state = WindowState(shares={DAY: {1: {"bp.systolic.range": {"a": Share(5, 0), "b": Share(5, 5)}}}}, latest=[last])
    found = {level.source: level for level in levels(suite, state, dt.date(2026, 1, 1))}
    assert (found["a"].share, found["a"].outcome) == (Share(9, 3), Outcome.WARNS)
    assert (found["b"].share, found["b"].outcome) == (Share(5, 5), Outcome.MET)
    state.shares[DAY][1]["bp.systolic.range"]["a"] = Share(FEW, 0)
    found = {level.source: level for level in levels(suite, state, dt.date(2026, 1, 1))}
    assert (found["a"].share, found["a"].outcome) == (Share(FEW, 0), Outcome.MET)


def test_what_goes_wrong_with_one_event_types_windows_is_told_and_stops_nothing_else(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(Path(world.lake.root).parent / "b", suite_text(threshold(warn=0.2)))
    world.start(suite_text(RANGE))
    worker = world.worker(judge=judge)
    worker.turn()
    world.land({"systolic": 120.0})

    def breaks(*_: Any) -> None:
        raise ValueError("900 mmHg of somebody")

    with monkeypatch.context() as patch:
        patch.setattr(window_run, "new_rows", breaks)
        worker.turn()
    seen = Seen.read(world.lake.objects)
    assert seen is not None
    assert seen.alarms[0].startswith(f"Rules about many rows of {PRESSURE} cannot be followed: ValueError")
    assert "somebody" not in seen.alarms[0]
    assert world.counted().rows == 1
    worker.turn()
    assert not Seen.read(world.lake.objects).alarms  # type: ignore[union-attr]
    settle(world, worker)
    assert [each.rows for each in results(world)] == [1]


def test_what_a_stewards_operation_lands_is_in_no_window_and_no_count(tmp_path: Path) -> None:
    world = World(tmp_path, suite_text(threshold(warn=0.2), window("bp.mean", every="1h")))
    world.start(suite_text(RANGE))
    worker = world.worker(judge=judge)
    worker.turn()
    world.land({"systolic": 120.0}, {"systolic": 900.0})
    world.table.operate(events([{"systolic": 130.0, "stream": "quarantine"}], 2), world.first)
    worker.turn()
    assert world.counted().rows == 2
    settle(world, worker)
    assert [(each.rule, each.rows) for each in results(world)] == [("bp.mean", 1), ("bp.systolic.range", 2)]
