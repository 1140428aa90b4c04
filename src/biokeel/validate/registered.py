"""Our expectations as Great Expectations' own: importing this module registers them, so that it loads and runs them.

`biokeel.validate.medical` has the same rules for the stream. Here they are written for pandas, for whoever runs a suite
of ours in Great Expectations itself (`import biokeel.validate.registered` before the suite is loaded), for `biokeel
suite check`, and for the test that holds both to one meaning. Workers never import this: Great Expectations takes
seconds.
"""

# ruff: noqa: N803, N805 - Great Expectations hands a method its class, and columns by names of its own
# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

import os
from typing import Any, ClassVar, Literal

import pandas as pd

from biokeel.validate.medical import LONGEST_OFFSET, SEXES

os.environ["GX_ANALYTICS_ENABLED"] = "false"

from great_expectations.compatibility import pydantic
from great_expectations.execution_engine.pandas_execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation import ColumnPairMapExpectation, MulticolumnMapExpectation
from great_expectations.expectations.metrics.map_metric_provider.column_pair_condition_partial import (
    column_pair_condition_partial,
)
from great_expectations.expectations.metrics.map_metric_provider.column_pair_map_metric_provider import (
    ColumnPairMapMetricProvider,
)
from great_expectations.expectations.metrics.map_metric_provider.multicolumn_condition_partial import (
    multicolumn_condition_partial,
)
from great_expectations.expectations.metrics.map_metric_provider.multicolumn_map_metric_provider import (
    MulticolumnMapMetricProvider,
)

_DOMAIN = ("batch_id", "table", "row_condition", "condition_parser", "ignore_row_if")
_PAIR = (*_DOMAIN, "column_A", "column_B")
_LIST = (*_DOMAIN, "column_list")


def _local(times: pd.Series, offsets: pd.Series) -> pd.Series:
    """Times without a zone, as they stood on a clock where the event occurred."""
    minutes = offsets.fillna(0).clip(-LONGEST_OFFSET, LONGEST_OFFSET)
    return pd.to_datetime(times, utc=True).dt.tz_convert(None) + pd.to_timedelta(minutes, unit="min")


class TimeNotBeforeEnrolment(MulticolumnMapMetricProvider):
    """Which rows have a time, whose local day is no earlier than the day of enrolment less a tolerance."""

    condition_metric_name = "multicolumn_time.not_before_enrolment"
    condition_domain_keys = _LIST
    condition_value_keys = ("tolerance_days",)

    @multicolumn_condition_partial(engine=PandasExecutionEngine)
    def _pandas(cls, column_list: pd.DataFrame, tolerance_days: int = 0, **_: Any) -> pd.Series:
        time, offset, enrolled = (column_list.iloc[:, at] for at in range(3))
        days = (pd.to_datetime(enrolled) - _local(time, offset).dt.normalize()).dt.days
        late: pd.Series = days > (tolerance_days or 0)
        return ~late


class TimeNotBeforeBirth(MulticolumnMapMetricProvider):
    """Which rows have a time, whose local year is no earlier than the year of birth less a tolerance."""

    condition_metric_name = "multicolumn_time.not_before_birth"
    condition_domain_keys = _LIST
    condition_value_keys = ("tolerance_years",)

    @multicolumn_condition_partial(engine=PandasExecutionEngine)
    def _pandas(cls, column_list: pd.DataFrame, tolerance_years: int = 0, **_: Any) -> pd.Series:
        time, offset, birth_year = (column_list.iloc[:, at] for at in range(3))
        unborn: pd.Series = _local(time, offset).dt.year + (tolerance_years or 0) < birth_year
        return ~unborn


class ChangeAtMost(MulticolumnMapMetricProvider):
    """Which rows have a number near the last one of the same person: by time, and of two at one time as they landed.

    Rows without a person, time or number are not judged; further columns must be the same in both rows.
    """

    condition_metric_name = "multicolumn_change.at_most"
    condition_domain_keys = _LIST
    condition_value_keys = ("max_change", "within_hours")

    @multicolumn_condition_partial(engine=PandasExecutionEngine)
    def _pandas(cls, column_list: pd.DataFrame, max_change: float, within_hours: float, **_: Any) -> pd.Series:
        who, when, what, *same = (column_list.iloc[:, at] for at in range(column_list.shape[1]))
        rows = pd.DataFrame({"when": when, "what": what}).assign(row=range(len(what)))
        known = who.notna() & when.notna() & what.notna()
        keys = [each[known] for each in (who, *same)]
        ordered = rows[known].sort_values("when", kind="stable")
        before = ordered.groupby([each.loc[ordered.index] for each in keys], dropna=False, sort=False)
        change = (ordered["what"] - before["what"].shift()).abs()
        hours = (ordered["when"] - before["when"].shift()).dt.total_seconds() / 3_600
        far = change[(change > max_change) & (hours <= within_hours)]
        return pd.Series(~column_list.index.isin(far.index), column_list.index)


class KeyHasOneOwner(MulticolumnMapMetricProvider):
    """Which rows have a key that no other owner has in the window. Rows with anything missing are not judged."""

    condition_metric_name = "multicolumn_key.one_owner"
    condition_domain_keys = _LIST
    condition_value_keys = ()

    @multicolumn_condition_partial(engine=PandasExecutionEngine)
    def _pandas(cls, column_list: pd.DataFrame, **_: Any) -> pd.Series:
        owner, *key = column_list.columns
        whole = column_list.dropna()
        owners = whole.groupby(key, sort=False)[owner].transform("nunique")
        return pd.Series(~column_list.index.isin(owners[owners > 1].index), column_list.index)


class SexesAgree(ColumnPairMapMetricProvider):
    """Which rows do not say female in one column and male in the other."""

    condition_metric_name = "column_pair_sexes.agree"
    condition_domain_keys = _PAIR
    condition_value_keys = ()

    @column_pair_condition_partial(engine=PandasExecutionEngine)
    def _pandas(cls, column_A: pd.Series, column_B: pd.Series, **_: Any) -> pd.Series:
        return ~(column_A.isin(SEXES) & column_B.isin(SEXES) & (column_A != column_B))


class UnitSuitsCode(ColumnPairMapMetricProvider):
    """Which rows have one of the units of their code, or a code that has none."""

    condition_metric_name = "column_pair_unit.suits_code"
    condition_domain_keys = _PAIR
    condition_value_keys = ("units_by_code",)

    @column_pair_condition_partial(engine=PandasExecutionEngine)
    def _pandas(
        cls, column_A: pd.Series, column_B: pd.Series, units_by_code: dict[str, list[str]], **_: Any
    ) -> pd.Series:
        units = {code: frozenset(listed) for code, listed in units_by_code.items()}
        pairs = zip(column_A, column_B, strict=True)
        return pd.Series([code not in units or unit in units[code] for code, unit in pairs], column_A.index, dtype=bool)


class ExpectMulticolumnTimeToNotPrecedeEnrolment(MulticolumnMapExpectation):
    """`column_list`: a time, minutes that it is off UTC, the day of enrolment."""

    tolerance_days: pydantic.StrictInt = 0
    map_metric: ClassVar[str] = TimeNotBeforeEnrolment.condition_metric_name
    success_keys: ClassVar[tuple[str, ...]] = ("mostly", "tolerance_days")
    args_keys: ClassVar[tuple[str, ...]] = ("column_list", "tolerance_days")


class ExpectMulticolumnTimeToNotPrecedeBirth(MulticolumnMapExpectation):
    """`column_list`: a time, minutes that it is off UTC, the year of birth."""

    tolerance_years: pydantic.StrictInt = 0
    map_metric: ClassVar[str] = TimeNotBeforeBirth.condition_metric_name
    success_keys: ClassVar[tuple[str, ...]] = ("mostly", "tolerance_years")
    args_keys: ClassVar[tuple[str, ...]] = ("column_list", "tolerance_years")


class ExpectMulticolumnChangeFromLastValueToBeAtMost(MulticolumnMapExpectation):
    """`column_list`: a person, a time, a number, and what is to be the same in both rows (code, unit)."""

    max_change: pydantic.StrictFloat | pydantic.StrictInt
    within_hours: pydantic.StrictFloat | pydantic.StrictInt
    map_metric: ClassVar[str] = ChangeAtMost.condition_metric_name
    success_keys: ClassVar[tuple[str, ...]] = ("mostly", "max_change", "within_hours")
    args_keys: ClassVar[tuple[str, ...]] = ("column_list", "max_change", "within_hours")


class ExpectMulticolumnKeyToHaveOneOwner(MulticolumnMapExpectation):
    """`column_list`: an owner, and the columns of a key that no two owners have."""

    map_metric: ClassVar[str] = KeyHasOneOwner.condition_metric_name
    success_keys: ClassVar[tuple[str, ...]] = ("mostly",)
    args_keys: ClassVar[tuple[str, ...]] = ("column_list",)


class _Pair(ColumnPairMapExpectation):
    ignore_row_if: Literal["both_values_are_missing", "either_value_is_missing", "neither"] = "both_values_are_missing"


class ExpectColumnPairRecordedSexToMatchGeneticSex(_Pair):
    """`column_A`: sex as it is recorded; `column_B`: as reads or chromosomes have it."""

    map_metric: ClassVar[str] = SexesAgree.condition_metric_name
    success_keys: ClassVar[tuple[str, ...]] = ("column_A", "column_B", "ignore_row_if", "mostly")
    args_keys: ClassVar[tuple[str, ...]] = ("column_A", "column_B")


class ExpectColumnPairUnitToSuitCode(_Pair):
    """`column_A`: the code of what was measured; `column_B`: the unit."""

    units_by_code: dict[str, list[pydantic.StrictStr]]
    map_metric: ClassVar[str] = UnitSuitsCode.condition_metric_name
    success_keys: ClassVar[tuple[str, ...]] = ("column_A", "column_B", "ignore_row_if", "mostly", "units_by_code")
    args_keys: ClassVar[tuple[str, ...]] = ("column_A", "column_B", "units_by_code")
