"""A rule that cannot judge some row is found when its suite is read, before any row comes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import polars as pl
import pytest

from biokeel.validate.expectations import How
from biokeel.validate.rules import Rule, Severity
from biokeel.validate.trial import unfit_rules
from tests.validate.test_stage import SUITE, Panic


def with_rule(unexpected: pl.Expr) -> list[tuple[str, str, str]]:
    columns = frozenset({"minutes_asleep"})
    rule = Rule("a.b", Severity.CRITICAL, "expect", "why", 1.0, How.ROW, unexpected, columns)
    return list(unfit_rules(replace(SUITE, rules=(*SUITE.rules, rule))))


MINUTES = pl.col("minutes_asleep")


@pytest.mark.parametrize(
    "raises",
    [
        lambda minutes: minutes.is_infinite().any(),
        lambda minutes: minutes.is_empty(),
        lambda minutes: len(minutes) > 0 and minutes.null_count() == len(minutes),
        lambda minutes: minutes.max() == 2.0**53 + 2 or (minutes == 5e-324).any(),
    ],
    ids=["infinity", "no row", "nulls", "the smallest number"],
)
@pytest.mark.parametrize("error", [ValueError("no"), Panic("no")])
def test_a_rule_that_raises_on_an_edge_is_found(raises: Callable[[pl.Series], bool], error: BaseException) -> None:
    def judged(minutes: pl.Series) -> pl.Series:
        if raises(minutes):
            raise error
        return minutes.is_null()

    ((rule, what, fix),) = with_rule(MINUTES.map_batches(judged, return_dtype=pl.Boolean, is_elementwise=True))
    assert rule == "a.b"
    assert "cannot be run" in what
    assert fix


@pytest.mark.parametrize("unexpected", [MINUTES > 1, MINUTES.sum()], ids=str)
def test_a_rule_without_a_verdict_on_each_row_is_found(unexpected: pl.Expr) -> None:
    assert [rule for rule, *_ in with_rule(unexpected)] == ["a.b"]


def test_rules_that_judge_each_row_pass() -> None:
    assert not with_rule((MINUTES > 1).fill_null(False))
    assert not list(unfit_rules(SUITE))
