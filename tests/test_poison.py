"""A stage that raises: tried again, then cut down to the rows that are to blame."""

import asyncio

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biokeel import poison
from biokeel.errors import PoisonBatch, StoreUnavailable, VaultRefused, VaultUnavailable
from biokeel.poison import guarded, may_be_poison


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(poison, "PAUSES", (0.0, 0.0))


def run(stage, rows, set_aside=lambda row, _error: [("aside", row)], limit=1_000):
    return guarded(stage, set_aside, rows, "Row {}".format, limit)


def failing_on(bad, kind=ValueError):
    """A stage that gives its rows, and raises where one of `bad` is among them."""

    def stage(first, end):
        if bad & set(range(first, end)):
            raise kind("900101-1234567")
        return list(range(first, end))

    return stage


@given(st.integers(1, 200).flatmap(lambda rows: st.tuples(st.just(rows), st.sets(st.integers(0, rows - 1)))))
def test_every_row_comes_out_once_in_order_and_only_those_that_raise_are_set_aside(case):
    rows, bad = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(poison, "PAUSES", ())
        found = [each for part in run(failing_on(bad), rows) for each in part]
    assert found == [("aside", row) if row in bad else row for row in range(rows)]


@given(st.lists(st.integers(-9, 9), min_size=1, max_size=80))
def test_a_state_that_goes_from_call_to_call_advances_by_each_good_row_once(values):
    state = 0

    def stage(first, end):
        nonlocal state
        after = state
        for value in values[first:end]:
            after += value
            if value < 0:
                raise ArithmeticError
        state = after
        return first

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(poison, "PAUSES", ())
        run(stage, len(values), set_aside=lambda row, _error: row)
    assert state == sum(value for value in values if value >= 0)


def test_what_does_not_raise_costs_one_call():
    calls = []
    assert run(lambda first, end: calls.append((first, end)) or "all", 20_000) == ["all"]
    assert calls == [(0, 20_000)]


def test_what_passes_when_tried_again_sets_nothing_aside(caplog):
    fails = [True, True, False]

    def stage(first, end):
        if fails.pop(0):
            raise ValueError("900101-1234567")
        return [first, end]

    assert run(stage, 5) == [[0, 5]]
    assert "ValueError" in caplog.text
    assert "900101" not in caplog.text


def test_the_log_names_each_row_and_place_but_no_value(caplog):
    run(failing_on({3}), 8)
    assert "Row 3 is set aside: ValueError: (message withheld" in caplog.text
    assert "test_poison.py" in caplog.text
    assert "900101" not in caplog.text


def test_more_than_the_limit_is_not_set_aside_unasked():
    aside = []
    with pytest.raises(PoisonBatch, match="more than 3 of 100 events"):
        run(failing_on(set(range(0, 100, 10))), 100, lambda row, _error: aside.append(row), limit=3)
    assert len(aside) == 3


@pytest.mark.parametrize(
    "error",
    [
        StoreUnavailable("away"),
        VaultUnavailable("away"),
        MemoryError(),
        OSError(28, "No space left on device"),
        KeyboardInterrupt(),
        SystemExit(),
        asyncio.CancelledError(),
    ],
)
def test_what_no_event_is_to_blame_for_is_raised_at_once_and_sets_nothing_aside(error):
    calls = []

    def stage(first, end):
        calls.append((first, end))
        raise error

    with pytest.raises(type(error)):
        run(stage, 8)
    assert calls == [(0, 8)]


@pytest.mark.parametrize("kind", [ValueError, pl.exceptions.PanicException, VaultRefused])
def test_errors_of_libraries_panics_and_values_that_the_vault_refuses_can_be_an_events_fault(kind):
    assert may_be_poison(kind("a value"))
    assert run(failing_on({0}, kind), 1) == [[("aside", 0)]]


def test_a_stage_that_fails_without_any_row_is_nobodys_fault():
    with pytest.raises(ValueError, match="900101"):
        run(lambda _first, _end: failing_on({0})(0, 1), 0)
