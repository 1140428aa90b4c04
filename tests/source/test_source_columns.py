from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from biokeel.contracts.catalogue import DirectoryCatalogue
from biokeel.contracts.topics import event_type
from biokeel.errors import SourceError
from biokeel.source.columns import conform, frame_of

GOOD: dict[str, Any] = {
    "event_id": "0" * 32,
    "source_id": "s",
    "subject_scheme": "app/a",
    "subject_id": "secret-person",
    "occurred_at": 1_700_000_000_123,
    "recorded_at": 1_700_000_000_000,
    "activity": "walking",
}
EXERCISE = event_type("lifestyle.exercise")


def test_what_a_record_does_not_hold_is_null_and_times_are_milliseconds(catalogue: DirectoryCatalogue) -> None:
    frame = frame_of(catalogue.reader(EXERCISE).schema, [GOOD])
    assert frame["occurred_at"].to_physical().to_list() == [1_700_000_000_123]
    assert frame["steps"].to_list() == [None]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": "secret-value"}, "field steps holds a value of another type"),
        ({"activity": None}, "required fields are missing: activity"),
        ({"colour": "secret-value"}, "colour"),
    ],
)
def test_what_does_not_fit_is_named_without_its_value(
    catalogue: DirectoryCatalogue, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        frame_of(catalogue.reader(EXERCISE).schema, [GOOD | change])
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_frame_is_cast_to_the_schema_and_refused_where_that_would_lose_something(
    catalogue: DirectoryCatalogue,
) -> None:
    schema = catalogue.reader(EXERCISE).schema
    good = frame_of(schema, [GOOD])
    assert conform(schema, good.drop("steps").with_columns(pl.col("duration").cast(pl.Int64))).equals(good)
    with pytest.raises(SourceError, match="other types"):
        conform(schema, good.with_columns(steps=pl.lit("many")))


def test_a_required_field_that_is_not_said_takes_the_schemas_default(catalogue: DirectoryCatalogue) -> None:
    schema = catalogue.reader(event_type("person.enrolment")).schema
    record = {name: value for name, value in GOOD.items() if name != "activity"} | {
        "identifiers": [],
        "sex": "unknown",
        "consent_scope": ["clinical"],
    }
    said = frame_of(schema, [record, record | {"consent_stated": False}])
    assert said["consent_stated"].to_list() == [True, False]
    assert conform(schema, said.drop("consent_stated"))["consent_stated"].to_list() == [True, True]
