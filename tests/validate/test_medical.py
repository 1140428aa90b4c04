"""Our own expectations: what they say of a row, what they refuse, and that Great Expectations says the same."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl
import pytest

from biokeel.contracts.schema import load_schema
from biokeel.contracts.topics import event_type
from biokeel.settings import PROJECT_ROOT
from biokeel.validate.columns import Columns
from biokeel.validate.compile import compile_expectation
from biokeel.validate.findings import Faults
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
