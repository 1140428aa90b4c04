"""The columns of the tables that researchers read, made from an event's schema."""

from __future__ import annotations

from typing import Any, Final

import polars as pl

from biokeel.batch import COORDINATES, ENVELOPE, POSITION
from biokeel.contracts.ids import encode_ids
from biokeel.contracts.schema import Coarsening, EventSchema, Field, Tag
from biokeel.errors import LandingError

LINK_STAMPS: Final[dict[str, pl.DataType]] = {
    "sequence": pl.Int64(),
    "seconds_since_previous": pl.Float64(),
    "age_at_event": pl.Int32(),
    "days_since_enrolment": pl.Int32(),
}
OPERATION_STAMPS: Final[dict[str, pl.DataType]] = {"operation": pl.Int64(), "earlier_version": pl.String()}
"""Of rows that a steward's operation brought where they are: its number, and the version of the suite whose verdict it
replaced. Null for all others."""
CURATED_STAMPS: Final[dict[str, pl.DataType]] = {
    **LINK_STAMPS,
    "suite_version": pl.String(),
    "warnings": pl.List(pl.String()),
    **OPERATION_STAMPS,
}
QUARANTINE_STAMPS: Final[dict[str, pl.DataType]] = {
    "suite_version": pl.String(),
    "reason": pl.String(),
    "failed_rules": pl.List(pl.String()),
    "warnings": pl.List(pl.String()),
    **OPERATION_STAMPS,
    **LINK_STAMPS,
}
"""The place in the person's history is that of a row which had landed before; null for all others."""
REQUIRED: Final = frozenset({"participant_id", "event_id", "source_id", "occurred_at", *COORDINATES, *POSITION})
"""Columns that are never null; a column that is added later must be nullable, so it is none of these."""

STATISTICS: Final = (
    "occurred_at",
    "recorded_at",
    "pseudo_partition",
    "pseudo_offset",
    "first_partition",
    "first_offset",
)
"""The only columns whose least and greatest value may stand in the Delta log, where they are read in clear by anyone
who may list the table: times and positions, which say nothing about a person. No participant, no code, no value."""

_SIMPLE: Final[dict[str, pl.DataType]] = {
    "string": pl.String(),
    "enum": pl.String(),
    "double": pl.Float64(),
    "float": pl.Float32(),
    "long": pl.Int64(),
    "int": pl.Int32(),
    "boolean": pl.Boolean(),
    "date": pl.Date(),
    "timestamp-millis": pl.Datetime("ms", "UTC"),
    "timestamp-micros": pl.Datetime("us", "UTC"),
}


def curated_columns(schema: EventSchema) -> dict[str, pl.DataType]:
    """Names and types of the curated table of `schema`, in order."""
    return _columns(schema, CURATED_STAMPS)


def quarantine_columns(schema: EventSchema) -> dict[str, pl.DataType]:
    """Names and types of the quarantine table of `schema`, in order."""
    return _columns(schema, QUARANTINE_STAMPS)


def to_table(frame: pl.DataFrame, columns: dict[str, pl.DataType], where: str) -> pl.DataFrame:
    """`frame` with `participant` as its text, in exactly `columns`; those it does not have are null.

    Raises `LandingError` for a column that the table does not know: nothing is dropped without a word.
    """
    if "participant" in frame.columns:
        frame = frame.select(encode_ids(frame["participant"]).alias("participant_id"), pl.exclude("participant"))
    if unknown := sorted(set(frame.columns) - set(columns)):
        raise LandingError(
            f"Rows for {where} have columns that the table does not: {', '.join(unknown)}.",
            "Restart the worker, so that it adds what the newer schema has.",
        )
    return frame.select(
        (pl.col(name) if name in frame.columns else pl.lit(None)).cast(kind).alias(name)
        for name, kind in columns.items()
    )


def _columns(schema: EventSchema, stamps: dict[str, pl.DataType]) -> dict[str, pl.DataType]:
    envelope = {name: kind for name, kind in ENVELOPE.items() if name != "participant"}
    domain = {field.name: kind for field in schema.payload if (kind := _kind(field)) is not None}
    return {"participant_id": pl.String(), **envelope, **domain, **stamps, **COORDINATES, **POSITION}


def _kind(field: Field) -> pl.DataType | None:
    """The type in which `field` comes through the privacy wall, None where it does not."""
    if field.tag is Tag.NONE:
        return _of(field.base, field)
    if field.coarsen is Coarsening.YEAR:
        return pl.Int32()
    return pl.String() if field.coarsen is Coarsening.PROVINCE else None


def _of(avro: Any, field: Field) -> pl.DataType:
    if isinstance(avro, dict) and avro["type"] == "array":
        return pl.List(_of(avro["items"], field))
    name = avro.get("logicalType", avro["type"]) if isinstance(avro, dict) else avro
    if name not in _SIMPLE:
        raise LandingError(
            f"Field {field.name} has type {name}, which has no column type.", "Add it to land/columns.py."
        )
    return _SIMPLE[name]
