"""Great Expectations judges a window in a process of its own, tells no value that it may not, and may cost no more."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from typing import Any

import polars as pl
import pytest

from biokeel.contracts.schema import load_schema
from biokeel.contracts.topics import event_type
from biokeel.settings import PROJECT_ROOT
from biokeel.validate import window_judge
from biokeel.validate.expectations import ANSWERS, How
from biokeel.validate.lint import read_suite
from biokeel.validate.window_judge import Judged, Limits, columns_of, judge_window

SCHEMA = load_schema(PROJECT_ROOT / "schemas", event_type("clinical.blood_pressure"))
NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
ROWS = pl.DataFrame(
    {
        "source_id": ["hospital-a", "hospital-b", "hospital-a", "hospital-a"],
        "systolic": [100.0, 250.0, 110.0, None],
        "diastolic": [70.0, 70.0, 80.0, 80.0],
        "body_position": ["sitting", "lying", '"sitting"', None],
        "event_id": ["f" * 32, "e" * 32, "d" * 32, "d" * 32],
        "occurred_at": [NOON] * 4,
        "occurred_offset_minutes": [540] * 4,
        "recorded_at": [NOON] * 4,
        "birth_year": [1981, 1982, 1983, 1984],
        "participant": [7, 8, 7, 9],
    },
    schema_overrides={"occurred_at": pl.Datetime("ms", "UTC"), "recorded_at": pl.Datetime("ms", "UTC")},
)
CRITICAL = {
    "type": "expect_column_values_to_be_between",
    "kwargs": {"column": "systolic", "min_value": 1},
    "severity": "critical",
    "meta": {"rule": "bp.range", "notes": "why"},
}


BIRTH = ["occurred_at", "occurred_offset_minutes", "birth_year"]


def rule(name: str, kind: str, window: dict[str, Any] | None = None, **kwargs: Any) -> dict[str, Any]:
    meta = {"rule": name, "notes": "why", **({"window": window} if window else {})}
    return {"type": kind, "kwargs": kwargs, "severity": "warning", "meta": meta}


def asked(*rules: dict[str, Any], rows: pl.DataFrame = ROWS, limits: Limits = window_judge.LIMITS) -> Judged:
    text = json.dumps({"name": str(SCHEMA.event), "expectations": [CRITICAL, *rules]})
    reading = read_suite(text, SCHEMA)
    assert reading.suite is not None, reading.findings
    wanted = reading.suite.window_rules
    return judge_window(
        reading.suite, wanted, text, rows.select("source_id", *columns_of(reading.suite, wanted)), limits
    )


# What each must say of `ROWS`; None: it cannot be evaluated on texts that are no JSON.
EVERY: list[tuple[str, dict[str, Any], bool | None]] = [
    ("expect_column_distinct_values_to_be_in_set", {"column": "body_position", "value_set": ["sitting"]}, False),
    ("expect_column_distinct_values_to_contain_set", {"column": "body_position", "value_set": ["sitting"]}, True),
    ("expect_column_distinct_values_to_equal_set", {"column": "body_position", "value_set": ["sitting"]}, False),
    (
        "expect_column_kl_divergence_to_be_less_than",
        {
            "column": "body_position",
            "partition_object": {"values": ["sitting", "lying", '"sitting"'], "weights": [0.4, 0.3, 0.3]},
            "threshold": 0.5,
        },
        True,
    ),
    ("expect_column_max_to_be_between", {"column": "systolic", "max_value": 250}, True),
    ("expect_column_mean_to_be_between", {"column": "systolic", "max_value": 120}, False),
    ("expect_column_median_to_be_between", {"column": "systolic", "max_value": 120}, True),
    ("expect_column_min_to_be_between", {"column": "systolic", "min_value": 101}, False),
    ("expect_column_most_common_value_to_be_in_set", {"column": "diastolic", "value_set": [60.0]}, False),
    (
        "expect_column_proportion_of_non_null_values_to_be_between",
        {"column": "systolic", "min_value": 0.75, "max_value": 1},
        True,
    ),
    ("expect_column_proportion_of_unique_values_to_be_between", {"column": "diastolic", "min_value": 0.6}, False),
    (
        "expect_column_quantile_values_to_be_between",
        {"column": "systolic", "quantile_ranges": {"quantiles": [0.5], "value_ranges": [[100, 120]]}},
        True,
    ),
    ("expect_column_stdev_to_be_between", {"column": "systolic", "max_value": 10}, False),
    ("expect_column_sum_to_be_between", {"column": "systolic", "max_value": 460}, True),
    ("expect_column_unique_value_count_to_be_between", {"column": "diastolic", "max_value": 1}, False),
    (
        "expect_column_value_z_scores_to_be_less_than",
        {"column": "systolic", "threshold": 1, "double_sided": True},
        False,
    ),
    ("expect_column_values_to_be_dateutil_parseable", {"column": "body_position"}, False),
    ("expect_column_values_to_be_decreasing", {"column": "diastolic"}, False),
    ("expect_column_values_to_be_increasing", {"column": "diastolic"}, True),
    ("expect_column_values_to_be_json_parseable", {"column": "body_position"}, False),
    ("expect_column_values_to_be_unique", {"column": "event_id"}, False),
    ("expect_column_values_to_match_json_schema", {"column": "body_position", "json_schema": {"type": "string"}}, None),
    ("expect_column_values_to_match_strftime_format", {"column": "body_position", "strftime_format": "%Y"}, False),
    ("expect_column_values_to_not_be_outliers", {"column": "systolic", "method": "iqr"}, True),
    ("expect_compound_columns_to_be_unique", {"column_list": ["systolic", "diastolic"]}, True),
    ("expect_table_row_count_to_be_between", {"min_value": 4}, True),
    ("expect_table_row_count_to_equal", {"value": 5}, False),
]


def test_every_expectation_on_windows_is_judged_by_great_expectations_itself() -> None:
    assert {kind for kind, *_ in EVERY} == {kind for kind, answer in ANSWERS.items() if answer.how is How.WINDOW}
    found = asked(*(rule(f"a.{kind}", kind, **kwargs) for kind, kwargs, _ in EVERY))
    assert not found.not_judged
    met = {verdict["rule"].removeprefix("a."): verdict["met"] for verdict in found.verdicts}
    assert met == {kind: expected for kind, _, expected in EVERY}
    mean = next(verdict for verdict in found.verdicts if verdict["rule"] == "a.expect_column_mean_to_be_between")
    assert (float(mean["observed"]), mean["rows"], mean["source"]) == (153.333, 4, None)
    unique = next(verdict for verdict in found.verdicts if verdict["rule"] == "a.expect_column_values_to_be_unique")
    assert (unique["looked_at"], unique["unexpected"], unique["observed"]) == (4, 2, "")


def test_each_source_is_judged_by_itself_where_the_window_says_so_and_mostly_as_great_expectations_has_it() -> None:
    by_source = {"by": "source"}
    mostly = rule("a.mostly", "expect_column_values_to_be_between", column="systolic", max_value=105, mostly=0.3)
    found = asked(
        rule("a.max", "expect_column_max_to_be_between", by_source, column="systolic", max_value=200),
        rule("a.age", "expect_column_max_to_be_between", by_source, column="age_years", max_value=20),
        mostly,
    )
    told = {(verdict["rule"], verdict["source"]): verdict for verdict in found.verdicts}
    assert {key: verdict["met"] for key, verdict in told.items()} == {
        ("a.max", "hospital-a"): True,
        ("a.max", "hospital-b"): False,
        ("a.age", "hospital-a"): False,
        ("a.age", "hospital-b"): False,
        ("a.mostly", None): True,
    }
    assert (told["a.mostly", None]["looked_at"], told["a.mostly", None]["unexpected"]) == (3, 2)


def test_expectations_of_our_own_are_judged_too_and_no_participant_is_told() -> None:
    sitting = ["participant", "occurred_at", "systolic"]
    kind = "expect_multicolumn_change_from_last_value_to_be_at_most"
    found = asked(
        rule("a.change", kind, column_list=sitting, max_change=5, within_hours=24),
        rule("a.owner", "expect_multicolumn_key_to_have_one_owner", column_list=["participant", "event_id"]),
        rule("a.birth", "expect_multicolumn_time_to_not_precede_birth", mostly=0.5, column_list=BIRTH),
    )
    told = {verdict["rule"]: verdict for verdict in found.verdicts}
    assert {name: (verdict["met"], verdict["unexpected"]) for name, verdict in told.items()} == {
        "a.change": (False, 1),
        "a.owner": (False, 2),
        "a.birth": (True, 0),
    }
    assert not any(verdict["observed"] for verdict in told.values())


def test_nothing_is_told_of_the_values_of_a_persons_columns() -> None:
    found = asked(
        rule("a.age", "expect_column_max_to_be_between", column="age_years", max_value=20),
        rule("a.born", "expect_column_distinct_values_to_be_in_set", column="birth_year", value_set=[1]),
        rule("a.ids", "expect_column_distinct_values_to_equal_set", column="event_id", value_set=["a"]),
        rule(
            "a.both",
            "expect_column_max_to_be_between",
            column="systolic",
            max_value=1,
            row_condition="birth_year > 1982",
            condition_parser="pandas",
        ),
    )
    assert [verdict["met"] for verdict in found.verdicts] == [False] * 4
    text = json.dumps(found.verdicts)
    assert not any(value in text for value in ("1981", "1984", "ffff", "42", "45", "110"))


def test_a_rule_that_takes_too_much_is_not_judged_and_the_others_are(monkeypatch: pytest.MonkeyPatch) -> None:
    real = window_judge._ask

    def ask(some: Any, data: bytes, limits: Limits) -> Any:
        names = [each["expectation"]["meta"]["rule"] for each in some]
        return "it took longer than 1 s" if "a.slow" in names else real(some, data, limits)

    monkeypatch.setattr(window_judge, "_ask", ask)
    kind = "expect_column_max_to_be_between"
    found = asked(*(rule(name, kind, column="systolic", max_value=1) for name in ("a.one", "a.slow", "a.two")))
    assert found.not_judged == {"a.slow": "it took longer than 1 s"}
    assert {verdict["rule"] for verdict in found.verdicts} == {"a.one", "a.two"}


ONE = rule("a.one", "expect_table_row_count_to_equal", value=4)


def test_what_the_process_may_take_is_held() -> None:
    (why,) = asked(ONE, limits=Limits(cpu_seconds=1)).not_judged.values()
    assert "more than 1 s of CPU" in why
    (why,) = asked(ONE, limits=Limits(wall_seconds=0.01)).not_judged.values()
    assert why.startswith("it took longer than")
    (why,) = asked(ONE, limits=Limits(address_bytes=200 << 20)).not_judged.values()
    assert "memory" in why or "status" in why


def test_the_worker_that_asks_loads_neither_pandas_nor_great_expectations() -> None:
    heavy = "great_expectations", "pandas", "faust"
    imported = "import sys, biokeel.rules.beside, biokeel.cli.worker"
    code = f"{imported}; print([name for name in {heavy} if name in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"
