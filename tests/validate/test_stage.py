"""The stage splits a batch without losing, doubling or reordering a row, and says which rules each row fails."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biokeel.batch import PseudonymisedBatch
from biokeel.contracts.schema import load_schema
from biokeel.contracts.topics import event_type
from biokeel.reasons import Reason
from biokeel.settings import PROJECT_ROOT
from biokeel.validate.expectations import How
from biokeel.validate.lint import read_suite
from biokeel.validate.rules import CompiledSuite, Rule, Severity
from biokeel.validate.stage import judge, validate

EVENT = event_type("lifestyle.sleep")
SCHEMA = load_schema(PROJECT_ROOT / "schemas", EVENT)


def rule(name: str, severity: str, low: float) -> dict[str, Any]:
    return {
        "type": "expect_column_values_to_be_between",
        "kwargs": {"column": "minutes_asleep", "min_value": low},
        "severity": severity,
        "meta": {"rule": name, "notes": "why"},
    }


def suite_of(*rules: dict[str, Any]) -> CompiledSuite:
    suite = read_suite(json.dumps({"name": str(EVENT), "expectations": rules}), SCHEMA).suite
    assert suite is not None
    return suite


SUITE = suite_of(
    rule("w.hundred", "warning", 100), rule("c.ten", "critical", 10), rule("c.five", "critical", 5),
    rule("i.thousand", "info", 1000), rule("w.fifty", "warning", 50),
)  # fmt: skip
MINUTES = st.lists(
    st.one_of(st.none(), st.just(float("nan")), st.sampled_from([1.0, 7.0, 20.0, 70.0, 500.0, 1200.0])), max_size=30
)


def batch_of(minutes: list[float | None]) -> PseudonymisedBatch:
    frame = pl.DataFrame(
        {"minutes_asleep": minutes, "raw_offset": range(len(minutes))}, schema_overrides={"minutes_asleep": pl.Float64}
    )
    return PseudonymisedBatch(EVENT, frame)


def expected(minutes: float | None, *limits: tuple[str, float]) -> list[str]:
    return [name for name, low in limits if minutes is not None and minutes < low]


WARNINGS = (("w.hundred", 100), ("w.fifty", 50))
CRITICAL = (("c.ten", 10), ("c.five", 5))


@settings(max_examples=150)
@given(MINUTES)
def test_each_row_goes_one_way_in_order_with_the_rules_it_fails(minutes: list[float | None]) -> None:
    batch = batch_of(minutes)
    outcome = validate(batch, SUITE)
    landed, stopped = outcome.accepted.frame, outcome.rejected.frame
    assert landed["raw_offset"].to_list() == [at for at, each in enumerate(minutes) if not expected(each, *CRITICAL)]
    assert stopped["raw_offset"].to_list() == [at for at, each in enumerate(minutes) if expected(each, *CRITICAL)]
    for row in landed.iter_rows(named=True):
        assert row["warnings"] == expected(minutes[row["raw_offset"]], *WARNINGS)
    for row in stopped.iter_rows(named=True):
        assert row["failed_rules"] == expected(minutes[row["raw_offset"]], *CRITICAL)
        assert row["warnings"] == expected(minutes[row["raw_offset"]], *WARNINGS)
        assert row["reason"] == Reason.RULE
    assert judge(batch, SUITE).counts.get("i.thousand", 0) == sum(bool(expected(each, ("", 1000))) for each in minutes)


@settings(max_examples=100)
@given(MINUTES, st.data())
def test_what_the_first_commit_decided_wins_over_the_suite(minutes: list[float | None], data: st.DataObject) -> None:
    decided = data.draw(st.lists(st.sampled_from([True, False, None]), min_size=len(minutes), max_size=len(minutes)))
    outcome = validate(batch_of(minutes), SUITE, pl.Series(decided, dtype=pl.Boolean))
    lands = [
        not expected(each, *CRITICAL) if word is None else word for each, word in zip(minutes, decided, strict=True)
    ]
    assert outcome.accepted.frame["raw_offset"].to_list() == [at for at, each in enumerate(lands) if each]
    assert outcome.rejected.frame["raw_offset"].to_list() == [at for at, each in enumerate(lands) if not each]
    for row in outcome.accepted.frame.iter_rows(named=True):
        assert set(row["warnings"]) == set(expected(minutes[row["raw_offset"]], *WARNINGS, *CRITICAL))


@settings(max_examples=60)
@given(MINUTES, st.integers(0, 30))
def test_the_verdict_of_a_row_does_not_depend_on_where_a_batch_is_cut(minutes: list[float | None], cut: int) -> None:
    whole = validate(batch_of(minutes), SUITE)
    frame = batch_of(minutes).frame
    parts = [validate(PseudonymisedBatch(EVENT, part), SUITE) for part in (frame[:cut], frame[cut:])]
    assert whole.accepted.frame.equals(pl.concat([part.accepted.frame for part in parts]))
    assert whole.rejected.frame.equals(pl.concat([part.rejected.frame for part in parts]))


def test_the_frames_have_the_promised_columns_whether_or_not_anything_fails() -> None:
    for minutes in ([], [500.0], [1.0], [500.0, 1.0]):
        outcome = validate(batch_of(list(minutes)), SUITE)
        added = {"suite_version": pl.String(), "warnings": pl.List(pl.String)}
        assert dict(outcome.accepted.frame.schema).items() >= added.items()
        stopped = added | {"reason": pl.String(), "failed_rules": pl.List(pl.String)}
        assert dict(outcome.rejected.frame.schema).items() >= stopped.items()
        assert outcome.rejected.frame["suite_version"].to_list() == [SUITE.version] * outcome.rejected.frame.height


def test_a_value_that_is_not_a_number_is_missing_for_the_rules_and_lands_as_it_came() -> None:
    outcome = validate(batch_of([float("nan")]), SUITE)
    assert outcome.accepted.frame["warnings"].to_list() == [[]]
    assert outcome.accepted.frame["minutes_asleep"].is_nan().all()


def test_a_column_that_the_rows_were_written_without_is_missing() -> None:
    present = {
        "type": "expect_column_values_to_not_be_null",
        "kwargs": {"column": "minutes_asleep"},
        "severity": "warning",
        "meta": {"rule": "w.present", "notes": "why"},
    }
    frame = batch_of([500.0, 1.0]).frame.drop("minutes_asleep")
    outcome = validate(PseudonymisedBatch(EVENT, frame), suite_of(rule("c.ten", "critical", 10), present))
    assert outcome.accepted.frame["warnings"].to_list() == [["w.present"]] * 2


class Panic(BaseException):
    """What a panic in polars' own code comes up as."""


def raising(name: str, severity: Severity, error: BaseException) -> Rule:
    """A rule that passed its trial and raises wherever a row has 7 minutes; 1 minute fails it."""

    def judged(minutes: pl.Series) -> pl.Series:
        if minutes.eq(7.0).any():
            raise error
        return minutes.eq_missing(pl.Series([1.0], dtype=pl.Float64))

    unexpected = pl.col("minutes_asleep").map_batches(judged, return_dtype=pl.Boolean, is_elementwise=True)
    columns = frozenset({"minutes_asleep"})
    return Rule(name, severity, "expect_column_values_to_be_between", "why", 1.0, How.ROW, unexpected, columns)


def with_raising(severity: Severity, error: BaseException) -> CompiledSuite:
    return replace(SUITE, rules=(*SUITE.rules, raising("r.raises", severity, error)))


@settings(max_examples=60)
@given(MINUTES, st.sampled_from([ValueError("no"), Panic("no"), pl.exceptions.ComputeError("no")]))
def test_a_row_on_which_a_rule_raises_fails_that_rule_and_no_other_row_does(
    minutes: list[float | None], error: BaseException
) -> None:
    fails = [each in (1.0, 7.0) for each in minutes]
    flags = judge(batch_of(minutes), with_raising(Severity.WARNING, error))
    assert flags.counts.get("r.raises", 0) == sum(fails)
    assert not sum(fails) or flags.failed["r.raises"].to_list() == fails
    calm = judge(batch_of(minutes), SUITE)
    assert flags.failed.drop("r.raises", strict=False).equals(calm.failed)
    stopped = validate(batch_of(minutes), with_raising(Severity.CRITICAL, error)).rejected.frame
    expect = [at for at, each in enumerate(minutes) if fails[at] or expected(each, *CRITICAL)]
    assert stopped["raw_offset"].to_list() == expect
    for row in stopped.iter_rows(named=True):
        assert ("r.raises" in row["failed_rules"]) == fails[row["raw_offset"]]


def test_the_log_names_the_rule_and_no_value(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        judge(batch_of([7.0, 500.0, 7.0]), with_raising(Severity.INFO, ValueError("a value")))
    (record,) = caplog.records
    assert "rule r.raises cannot be evaluated on 2 of 3 rows (ValueError)" in record.getMessage()
    assert "a value" not in caplog.text


@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError(), OSError()])
def test_what_no_rule_is_to_blame_for_goes_on(error: BaseException) -> None:
    with pytest.raises(type(error)):
        judge(batch_of([7.0, 500.0]), with_raising(Severity.CRITICAL, error))


GLUCOSE = load_schema(PROJECT_ROOT / "schemas", event_type("clinical.glucose"))
WORDS = ["final", "amended", "8480-6", "mg/dL", "", "\n", "가", None]


def text_rule(number: int) -> dict[str, Any]:
    """One of several rules on one text column, or on two of them."""
    column = ("status", "value_unit")[number % 2]
    kwargs: dict[str, Any] = {"column": column, "regex_list": [WORDS[number % 6] or "x", f"^.{{{number % 4}}}$"]}
    if number % 3 == 0:
        kwargs |= {"row_condition": "status != 'final' or value_unit.isnull()", "condition_parser": "pandas"}
    name = ("expect_column_values_to_match_regex_list", "expect_column_values_to_not_match_regex_list")[number % 5 % 2]
    meta = {"rule": f"a.r{number}", "notes": "why"}
    severity = ("critical", "warning", "info")[number % 3]
    return {"type": name, "kwargs": kwargs, "severity": severity, "meta": meta}


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(WORDS)), max_size=6), st.integers(1, 12))
def test_rules_on_texts_are_asked_about_values_and_say_the_same_of_each_row(
    words: list[tuple[str | None, str | None]], repeats: int
) -> None:
    rules = [text_rule(number) for number in range(24)]
    suite = read_suite(json.dumps({"name": str(GLUCOSE.event), "expectations": rules}), GLUCOSE).suite
    assert suite is not None
    assert {names for names, _ in suite.by_value} == {("status",), ("value_unit",), ("status", "value_unit")}
    schema = {"status": pl.String(), "value_unit": pl.String()}
    frame = pl.DataFrame(words * repeats, schema=schema, orient="row")
    judged = judge(PseudonymisedBatch(GLUCOSE.event, frame), suite)
    one_by_one = suite.view(frame).select(suite.unexpected)
    failing = [name for name in one_by_one.columns if one_by_one[name].any()]
    assert judged.failed.equals(one_by_one.select(failing))
    assert list(judged.counts) == failing
