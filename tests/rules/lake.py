"""A lake in a folder with blood pressures, landed through land's own writer as the validate stage judged them."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import polars as pl

from biokeel.batch import PseudonymisedBatch
from biokeel.contracts.schema import load_schema
from biokeel.contracts.topics import event_type
from biokeel.land.lake import Lake
from biokeel.land.operated import step_of
from biokeel.land.tables import EventTables
from biokeel.link.stage import link
from biokeel.link.state import PersonState
from biokeel.rules.backtest_suites import Written, read_written
from biokeel.settings import PROJECT_ROOT
from biokeel.validate.stage import validate

PRESSURE = event_type("clinical.blood_pressure")
SCHEMA = load_schema(PROJECT_ROOT / "schemas", PRESSURE)
BEGIN = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
FIELDS: dict[str, pl.DataType] = {
    "panel_code": pl.String(),
    "systolic": pl.Float64(),
    "diastolic": pl.Float64(),
    "heart_rate": pl.Float64(),
    "body_position": pl.String(),
    "status": pl.String(),
    "occurred_precision": pl.String(),
}


def between(rule: str, severity: str, column: str = "systolic", **limits: Any) -> dict[str, Any]:
    kwargs = {"column": column, **limits}
    return expectation(rule, severity, "expect_column_values_to_be_between", **kwargs)


def expectation(rule: str, severity: str, kind: str, **kwargs: Any) -> dict[str, Any]:
    return {"type": kind, "kwargs": kwargs, "severity": severity, "meta": {"rule": rule, "notes": "a test's"}}


def suite_text(*rules: dict[str, Any]) -> str:
    return json.dumps({"name": str(PRESSURE), "expectations": rules})


def suite(*rules: dict[str, Any]) -> Written:
    return read_written(suite_text(*rules), SCHEMA, "The test's suite")


def events(rows: list[dict[str, Any]], first: int = 0) -> pl.DataFrame:
    """A pseudonymised event for each of `rows`, which name what is not the usual; offsets go on from `first`."""
    usual = {
        "participant": 7,
        "event_id": "0" * 32,
        "source_id": "hospital-a",
        "occurred_at": BEGIN,
        "occurred_offset_minutes": 540,
        "recorded_at": BEGIN,
        "enrolled_on": dt.date(2020, 1, 1),
        "birth_year": 1980,
        "sex": "female",
        "withheld": None,
        "panel_code": "85354-9",
        "systolic": 120.0,
        "diastolic": 80.0,
        "heart_rate": None,
        "body_position": None,
        "status": "final",
        "occurred_precision": None,
        "stream": "raw",
        "raw_partition": 0,
        "first_partition": 0,
    }
    numbered = [
        {**usual, "raw_offset": number, "first_offset": number, **row} for number, row in enumerate(rows, start=first)
    ]
    types = {
        **{name: pl.Datetime("ms", "UTC") for name in ("occurred_at", "recorded_at")},
        **dict.fromkeys(("occurred_offset_minutes", "birth_year", "raw_partition", "first_partition"), pl.Int32),
        "withheld": pl.String,
        **FIELDS,
    }
    return pl.DataFrame(numbered, schema_overrides=types, infer_schema_length=None)


class PressureLake:
    """One worker's lake: each `land` is a block of its own."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self.tables = EventTables(self.lake, SCHEMA)
        self.tables.positions(0)
        self.state = {0: PersonState()}
        self.blocks = 0
        self.rows = 0

    def land(self, frame: pl.DataFrame, judged_by: Written, decided: pl.Series | None = None) -> None:
        """Land `frame` as a suite judges it; `decided` is what a first commit decided, as in a replay."""
        placed = frame.with_columns(
            pl.lit(0, pl.Int32).alias("pseudo_partition"), pl.lit(self.blocks, pl.Int64).alias("pseudo_offset")
        )
        outcome = validate(PseudonymisedBatch(PRESSURE, placed), judged_by.suite, decided)
        linked, self.state = link(outcome.accepted, self.state)
        self.tables.land(linked.frame, outcome.rejected.frame, {0: self.blocks})
        self.blocks += 1
        self.rows += frame.height

    def operate(self, frame: pl.DataFrame, judged_by: Written) -> None:
        """Land `frame` as the first step of a steward's operation does; `judged_by` lets all of it land."""
        last = self.blocks - 1
        placed = frame.with_columns(
            pl.lit(0, pl.Int32).alias("pseudo_partition"), pl.lit(last, pl.Int64).alias("pseudo_offset")
        )
        linked, self.state = link(validate(PseudonymisedBatch(PRESSURE, placed), judged_by.suite).accepted, self.state)
        self.tables.positions(0)
        self.tables.operate(0, linked.frame, step_of(1, 1))

    def set_aside(self, frame: pl.DataFrame, reason: str) -> None:
        """Land `frame` in the quarantine table for a reason that no rule gave."""
        stamps = {"suite_version": pl.lit("v"), "reason": pl.lit(reason)}
        lists = {name: pl.lit([], pl.List(pl.String)) for name in ("failed_rules", "warnings")}
        place = {"pseudo_partition": pl.lit(0, pl.Int32), "pseudo_offset": pl.lit(self.blocks, pl.Int64)}
        self.tables.land(None, frame.with_columns(**stamps, **lists, **place), {0: self.blocks})
        self.blocks += 1
