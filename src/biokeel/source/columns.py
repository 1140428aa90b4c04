"""Ready records into the columns of an event's schema."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import polars as pl

from biokeel.contracts.columns import frame_schema
from biokeel.contracts.schema import EventSchema
from biokeel.errors import SourceError
from biokeel.source.adapters.base import Record
from biokeel.source.adapters.strict_json import shown

_PLAIN: Final[dict[pl.DataType, pl.DataType]] = {pl.Datetime("ms", "UTC"): pl.Int64(), pl.Date(): pl.Int32()}
"""What a ready record holds for these: the integers of Avro."""


_ADDED: Final = frozenset({"occurred_precision", "onset_precision"})
"""What reading adds to a record of its own; left out where an event type, or an older schema, has no such field."""


def _shown(names: Iterable[str]) -> str:
    return ", ".join(sorted({shown(name) for name in names}))


def _defaults(schema: EventSchema) -> dict[str, Any]:
    """What the schema says for required fields that a record does not hold; Any because Avro values may be anything."""
    said = {field["name"]: field["default"] for field in schema.avro["fields"] if "default" in field}
    return {name: value for name, value in said.items() if value is not None}


def frame_of(schema: EventSchema, records: Sequence[Record]) -> pl.DataFrame:
    """`records` as a frame with exactly the schema's columns; what a record does not hold is the schema's default.

    Raises `SourceError` naming the field that does not fit, or the required field that is missing.
    """
    columns = frame_schema(schema.avro)
    unknown = {name for record in records for name in record} - set(columns) - _ADDED
    if unknown:
        raise SourceError(f"Records of {schema.event} hold fields that the schema has not: {_shown(unknown)}.")
    series = []
    defaults = _defaults(schema)
    for name, kind in columns.items():
        values = [record.get(name) for record in records]
        if name in defaults:
            values = [defaults[name] if value is None else value for value in values]
        plain = _PLAIN.get(kind, kind)
        another = SourceError(f"{schema.event}: field {name} holds a value of another type.")
        if plain.is_numeric() and bool in set(map(type, values)):
            raise another  # polars takes true for 1
        try:
            column = pl.Series(name, values, plain, strict=True)
        except (TypeError, OverflowError, pl.exceptions.PolarsError):
            # The library's message quotes the value.
            raise another from None
        series.append(column.cast(kind))
    return _whole(schema, pl.DataFrame(series))


def records_of(rows: Sequence[Record] | pl.DataFrame) -> Sequence[Record]:
    """`rows` as ready records: the times and dates of a frame are the integers of Avro."""
    if not isinstance(rows, pl.DataFrame):
        return rows
    return rows.with_columns(pl.selectors.temporal().to_physical()).to_dicts()


def conform(schema: EventSchema, frame: pl.DataFrame) -> pl.DataFrame:
    """`frame` with exactly the schema's columns and types. Raises `SourceError` like `frame_of`."""
    columns = frame_schema(schema.avro)
    if frame.schema == pl.Schema(columns):
        return _whole(schema, frame)
    unknown = set(frame.columns) - set(columns)
    if unknown:
        raise SourceError(f"{schema.event}: the schema has no field {_shown(unknown)}.")
    absent = [name for name in columns if name not in frame.columns]
    defaults = _defaults(schema)
    whole = frame.with_columns(pl.lit(defaults.get(name)).alias(name) for name in absent)
    try:
        return _whole(schema, whole.select(pl.col(name).cast(kind) for name, kind in columns.items()))
    except pl.exceptions.PolarsError:
        raise SourceError(
            f"A frame of {schema.event} has columns of other types than the schema.",
            f"It wants {', '.join(f'{name} {kind}' for name, kind in columns.items())}.",
        ) from None


def _whole(schema: EventSchema, frame: pl.DataFrame) -> pl.DataFrame:
    """`frame`, if no required field is null."""
    required = [field.name for field in schema.fields if not field.nullable]
    missing = [name for name in required if frame[name].null_count()]
    if missing:
        raise SourceError(f"{schema.event}: required fields are missing: {', '.join(missing)}.")
    return frame
