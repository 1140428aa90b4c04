"""Our own expectations: what they say of a row, what they refuse, and that Great Expectations says the same."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biokeel.contracts.schema import load_schema
from biokeel.contracts.topics import event_type
from biokeel.settings import PROJECT_ROOT
from biokeel.validate.columns import Columns
from biokeel.validate.compile import compile_expectation
from biokeel.validate.findings import Faults
from biokeel.validate.lint import read_suite
from biokeel.validate.window_judge import judge_window
from tests.examples import examples
from tests.validate.real_gx import unexpected_rows

GENOME = Columns.of(load_schema(PROJECT_ROOT / "schemas", event_type("genome.qc_metrics")))
LAB = Columns.of(load_schema(PROJECT_ROOT / "schemas", event_type("clinical.lab_result")))
ENROLMENT = "expect_multicolumn_time_to_not_precede_enrolment"
BIRTH = "expect_multicolumn_time_to_not_precede_birth"
SEX = "expect_column_pair_recorded_sex_to_match_genetic_sex"
UNIT = "expect_column_pair_unit_to_suit_code"
SINCE_ENROLMENT = {"column_list": ["occurred_at", "occurred_offset_minutes", "enrolled_on"]}
SINCE_BIRTH = {"column_list": ["occurred_at", "occurred_offset_minutes", "birth_year"]}
SEXES = {"column_A": "sex", "column_B": "sex_inferred"}
UNITS = {"column_A": "code", "column_B": "value_unit", "units_by_code": {"718-7": ["g/dL", "g/L"], "2160-0": ["mg/dL"]}}


def failing(kind: str, kwargs: dict[str, Any], columns: Columns, rows: list[dict[str, Any]]) -> list[int]:
    """The rows that fail, as the stream has it and as Great Expectations has it."""
    frame = pl.DataFrame(rows, schema={name: columns.types[name] for name in rows[0]})
    compiled = compile_expectation(kind, kwargs, columns, faults := Faults())
    assert compiled is not None, faults.found
    assert compiled.unexpected is not None
    ours = frame.select(compiled.unexpected.alias("x"))["x"].arg_true().to_list()
    assert ours == unexpected_rows(frame, kind, kwargs)
    return ours


def at(text: str, offset: int | None, enrolled: str | None) -> dict[str, Any]:
    day = dt.date.fromisoformat(enrolled) if enrolled else None
    return {
        "occurred_at": dt.datetime.fromisoformat(text),
        "occurred_offset_minutes": offset,
        "enrolled_on": day,
    }


def test_an_event_of_the_local_day_of_enrolment_is_not_before_it() -> None:
    rows = [
        at("2024-02-29T16:00:00+00:00", 540, "2024-03-01"),  # 01:00 of 1 March in Korea
        at("2024-02-29T16:00:00+00:00", None, "2024-03-01"),  # the day before in UTC
        at("2024-02-29T14:59:00+00:00", 540, "2024-03-01"),
        at("2024-02-29T14:59:00+00:00", 540, None),
    ]
    assert failing(ENROLMENT, SINCE_ENROLMENT, GENOME, rows) == [1, 2]
    assert failing(ENROLMENT, SINCE_ENROLMENT | {"tolerance_days": 1}, GENOME, rows) == []


def test_an_event_of_the_year_before_birth_is_before_it_where_it_occurred() -> None:
    def born(text: str, offset: int | None, year: int | None) -> dict[str, Any]:
        moment = dt.datetime.fromisoformat(text)
        return {"occurred_at": moment, "occurred_offset_minutes": offset, "birth_year": year}

    rows = [
        born("1999-12-31T20:00:00+00:00", 540, 2000),  # 2000 had begun in Korea
        born("1999-12-31T20:00:00+00:00", None, 2000),
        born("1998-06-01T00:00:00+00:00", 540, 2000),
        born("1998-06-01T00:00:00+00:00", 540, None),
    ]
    assert failing(BIRTH, SINCE_BIRTH, GENOME, rows) == [1, 2]
    assert failing(BIRTH, SINCE_BIRTH | {"tolerance_years": 1}, GENOME, rows) == [2]


def test_only_two_sexes_that_contradict_each_other_fail() -> None:
    words = [None, "female", "male", "unknown"]
    rows = [{"sex": recorded, "sex_inferred": genetic} for recorded in words for genetic in words]
    contradictions = [number for number, row in enumerate(rows) if set(row.values()) == {"female", "male"}]
    assert failing(SEX, SEXES, GENOME, rows) == contradictions
    assert len(contradictions) == 2


def test_a_unit_that_is_none_of_its_code_fails_and_a_code_without_units_does_not() -> None:
    rows = [
        {"code": "718-7", "value_unit": "g/L"},
        {"code": "718-7", "value_unit": "mg/dL"},
        {"code": "718-7", "value_unit": None},
        {"code": "2160-0", "value_unit": "umol/L"},
        {"code": "1234-5", "value_unit": "umol/L"},
        {"code": None, "value_unit": "mg/dL"},
    ]
    assert failing(UNIT, UNITS, LAB, rows) == [1, 2, 3]
    assert failing(UNIT, UNITS | {"ignore_row_if": "either_value_is_missing"}, LAB, rows) == [1, 3]


def test_a_condition_picks_rows_as_for_any_other_expectation() -> None:
    condition = {"type": "comparison", "column": {"name": "sex"}, "operator": "==", "parameter": "female"}
    rows = [{"sex": "female", "sex_inferred": "male"}, {"sex": "male", "sex_inferred": "female"}]
    assert failing(SEX, SEXES | {"row_condition": condition}, GENOME, rows) == [0]


@pytest.mark.parametrize(
    ("kind", "kwargs"),
    [
        (ENROLMENT, {"column_list": ["enrolled_on", "occurred_offset_minutes", "occurred_at"]}),
        (ENROLMENT, {"column_list": ["occurred_at", "enrolled_on"]}),
        (ENROLMENT, {"column_list": ["occurred_at", "mean_coverage", "enrolled_on"]}),
        (ENROLMENT, SINCE_BIRTH),
        (ENROLMENT, SINCE_ENROLMENT | {"tolerance_days": -1}),
        (ENROLMENT, SINCE_ENROLMENT | {"tolerance_days": 1.5}),
        (ENROLMENT, SINCE_ENROLMENT | {"tolerance_days": True}),
        (ENROLMENT, SINCE_ENROLMENT | {"tolerance_days": 10**9}),
        (ENROLMENT, SINCE_ENROLMENT | {"tolerance_years": 1}),
        (BIRTH, SINCE_ENROLMENT),
        (SEX, {"column_A": "sex", "column_B": "birth_year"}),
        (UNIT, {"column_A": "sex", "column_B": "sex_inferred"}),
        (UNIT, {"column_A": "sex", "column_B": "sex_inferred", "units_by_code": {}}),
        (UNIT, {"column_A": "sex", "column_B": "sex_inferred", "units_by_code": {"a": []}}),
        (UNIT, {"column_A": "sex", "column_B": "sex_inferred", "units_by_code": {"a": ["b", 1]}}),
        (
            UNIT,
            {"column_A": "sex", "column_B": "sex_inferred", "units_by_code": {"a": [f"{n}" for n in range(20_001)]}},
        ),
    ],
)
def test_what_does_not_suit_is_a_finding_that_says_what_to_write(kind: str, kwargs: dict[str, Any]) -> None:
    faults = Faults()
    assert compile_expectation(kind, kwargs, GENOME, faults) is None
    assert all(error.todo for _, error in faults.found)


CHANGE = "expect_multicolumn_change_from_last_value_to_be_at_most"
OWNER = "expect_multicolumn_key_to_have_one_owner"
WEIGHT = {"column_list": ["participant", "occurred_at", "value", "code"], "max_change": 20, "within_hours": 72}
DAY = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)


def weights(*rows: tuple[int | None, float | None, float | None, str]) -> pl.DataFrame:
    """Rows of a person, days since the first of March, kilograms, and a code."""
    types = {"participant": pl.Int64, "occurred_at": pl.Datetime("ms", "UTC"), "value": pl.Float64, "code": pl.String}
    moments = [None if days is None else DAY + dt.timedelta(days=days) for _, days, *_ in rows]
    return pl.DataFrame(
        [(who, at, *rest) for (who, _, *rest), at in zip(rows, moments, strict=True)], schema=types, orient="row"
    )


def test_a_value_is_held_against_the_last_one_of_the_person_however_the_rows_came() -> None:
    frame = weights(
        (1, 2, 95.0, "29463-7"),  # came before the row of the day before
        (2, 0, 50.0, "29463-7"),
        (1, 1, 70.0, "29463-7"),
        (1, 3, 71.0, "29463-7"),
        (2, 2, 70.0, "29463-7"),  # 20 exactly
        (2, 2, 91.0, "3141-9"),  # another code
        (2, 9, 95.0, "29463-7"),  # a week later
        (None, 1, 5.0, "29463-7"),
        (3, None, 5.0, "29463-7"),
        (3, 1, None, "29463-7"),
        (3, 1.5, 90.0, "29463-7"),
    )
    assert unexpected_rows(frame, CHANGE, WEIGHT) == [0, 3]
    assert unexpected_rows(frame, CHANGE, WEIGHT | {"within_hours": 240}) == [0, 3, 6]
    assert unexpected_rows(frame, CHANGE, WEIGHT | {"max_change": 19.5}) == [0, 3, 4]


ROWS_OF_PEOPLE = st.lists(
    st.tuples(
        st.sampled_from([None, 1, 2]),
        st.sampled_from([None, 0, 1, 1, 5]),
        st.sampled_from([None, 10.0, 31.0, 50.0]),
        st.sampled_from(["a", "b"]),
    ),
    min_size=1,
    max_size=10,
)


@settings(max_examples=examples(15))
@given(ROWS_OF_PEOPLE)
def test_the_last_value_is_that_of_the_row_before_in_time_and_then_in_the_order_of_landing(rows: list[Any]) -> None:
    expected, known = [], [(number, *row) for number, row in enumerate(rows) if None not in row]
    for number, who, day, value, code in known:
        earlier = [(d, n, v) for n, w, d, v, c in known if (w, c) == (who, code) and (d, n) < (day, number)]
        if earlier and abs(value - max(earlier)[2]) > 20 and (day - max(earlier)[0]) * 24 <= 72:
            expected.append(number)
    assert unexpected_rows(weights(*rows), CHANGE, WEIGHT) == expected


def test_a_window_is_judged_by_them_and_tells_no_value_of_a_person() -> None:
    kwargs = WEIGHT | {"column_list": ["participant", "occurred_at", "value", "code"]}
    meta = {"notes": "why", "window": {"every": "5d"}}
    status = {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "code"}, "severity": "critical"}
    rules = [
        status | {"meta": {"rule": "lab.code.there", "notes": "why"}},
        {"type": CHANGE, "kwargs": kwargs, "severity": "warning", "meta": {"rule": "lab.change", **meta}},
        {
            "type": OWNER,
            "kwargs": {"column_list": ["participant", "code"]},
            "severity": "info",
            "meta": {"rule": "lab.owner", **meta},
        },
    ]
    text = json.dumps({"name": "clinical.lab_result", "expectations": rules})
    reading = read_suite(text, load_schema(PROJECT_ROOT / "schemas", event_type("clinical.lab_result")))
    assert reading.suite is not None, reading.findings
    frame = weights((1, 0, 70.0, "a"), (1, 1, 95.0, "a"), (2, 1, 80.0, "a")).with_columns(
        source_id=pl.lit("hospital-a")
    )
    told = judge_window(reading.suite, reading.suite.window_rules, text, frame)
    assert told.not_judged == {}
    assert [(each["rule"], each["met"], each["unexpected"], each["observed"]) for each in told.verdicts] == [
        ("lab.change", False, 1, ""),
        ("lab.owner", False, 3, ""),
    ]


def test_a_key_that_two_own_fails_in_every_row_of_it() -> None:
    frame = pl.DataFrame({"participant": [1, 2, 1, 3, 3, None], "sha256": ["a", "a", "b", "c", "c", "b"]})
    assert unexpected_rows(frame, OWNER, {"column_list": ["participant", "sha256"]}) == [0, 1]


@pytest.mark.parametrize(
    ("kind", "kwargs"),
    [
        (CHANGE, WEIGHT | {"column_list": ["participant", "value", "occurred_at"]}),
        (CHANGE, WEIGHT | {"column_list": ["participant", "occurred_at"]}),
        (CHANGE, WEIGHT | {"max_change": 0}),
        (CHANGE, WEIGHT | {"within_hours": "72"}),
        (CHANGE, {name: value for name, value in WEIGHT.items() if name != "max_change"}),
        (CHANGE, WEIGHT | {"max_ratio": 2}),
        (OWNER, {"column_list": ["participant", "value"]}),
        (OWNER, {"column_list": ["participant"]}),
        (OWNER, {"column_list": ["participant", "code"], "max_change": 1}),
    ],
)
def test_what_does_not_suit_an_expectation_on_a_window_is_a_finding(kind: str, kwargs: dict[str, Any]) -> None:
    faults = Faults()
    assert compile_expectation(kind, kwargs, LAB, faults) is None
    assert all(error.todo for _, error in faults.found)
