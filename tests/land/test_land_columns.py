"""Every landed event type has tables, and nothing falls between their columns."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from biokeel.contracts.ids import encode_id
from biokeel.contracts.schema import load_schemas
from biokeel.contracts.topics import event_type
from biokeel.errors import LandingError
from biokeel.land.columns import STATISTICS, curated_columns, quarantine_columns, to_table
from tests.event_types import LANDED_EVENTS

SCHEMAS = load_schemas(Path(__file__).parents[2] / "schemas")


@pytest.mark.parametrize("event", LANDED_EVENTS, ids=str)
def test_a_table_begins_with_the_participant_and_holds_no_field_that_stops_at_the_wall(event):
    for columns in (curated_columns(SCHEMAS[event]), quarantine_columns(SCHEMAS[event])):
        assert next(iter(columns)) == "participant_id"
        assert {field.name for field in SCHEMAS[event].kept()} <= set(columns)
        stopped = {"subject_id", "subject_scheme", "display", "food_name", "uri", "sample_names", "biosample_id"}
        assert not stopped & set(columns)


def test_statistics_are_kept_of_times_and_positions_only():
    for schema in (SCHEMAS[event] for event in LANDED_EVENTS):
        assert not set(STATISTICS) & {field.name for field in schema.payload}
    assert not {"participant_id", "birth_year", "sex", "enrolled_on"} & set(STATISTICS)


def test_columns_come_in_the_table_order_with_the_text_of_the_participant():
    columns = {"participant_id": pl.String(), "a": pl.Float64(), "b": pl.String()}
    frame = to_table(pl.DataFrame({"a": [1], "participant": [7]}), columns, "x")
    assert frame.rows() == [(encode_id(7), 1.0, None)]
    assert dict(frame.schema) == columns


def test_a_column_that_the_table_does_not_know_is_an_error_and_names_no_value():
    columns = curated_columns(SCHEMAS[event_type("clinical.glucose")])
    with pytest.raises(LandingError, match="surprise") as caught:
        to_table(pl.DataFrame({"surprise": ["secret"]}), columns, "clinical.glucose")
    assert "secret" not in str(caught.value)
