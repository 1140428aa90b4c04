"""Which column an Avro field becomes, and which values a column may not hold."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import polars as pl
import pyarrow as pa

from biokeel.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

_PRIMITIVES: Final[dict[str, pa.DataType]] = {
    "boolean": pa.bool_(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "bytes": pa.binary(),
    "string": pa.string(),
}
_LOGICAL: Final[dict[tuple[str, str], pa.DataType]] = {
    ("int", "date"): pa.date32(),
    ("int", "time-millis"): pa.time32("ms"),
    ("long", "time-micros"): pa.time64("us"),
    ("long", "timestamp-millis"): pa.timestamp("ms", "UTC"),
    ("long", "timestamp-micros"): pa.timestamp("us", "UTC"),
    ("long", "local-timestamp-millis"): pa.timestamp("ms"),
    ("long", "local-timestamp-micros"): pa.timestamp("us"),
}
_UNITS_PER_DAY: Final[dict[str | None, int]] = {None: 1, "ms": 86_400_000, "us": 86_400_000_000}
_FIRST_DAY: Final = -719_162  # 0001-01-01: neither Python nor polars can write an earlier day
_LAST_DAY: Final = 2_932_896  # 9999-12-31


def arrow_type(avro: Any, names: Mapping[str, Any] | None = None) -> pa.DataType:
    """The Arrow type of a column (or of a part of one). `names` are the named Avro types seen so far.

    Raises `SchemaError` for what no column can hold: a union of several types, `null` alone, a recursive record.
    """
    names = names or {}
    if isinstance(avro, list):
        return arrow_type(_only_branch(avro), names)
    if isinstance(avro, str):
        if avro in _PRIMITIVES:
            return _PRIMITIVES[avro]
        if avro in names:
            return arrow_type(names[avro], names)
        raise SchemaError(f"Avro type {avro} has no column type.", "Use a primitive, record, array, map or enum.")
    kind, logical = avro["type"], avro.get("logicalType")
    if (kind, logical) in _LOGICAL:
        return _LOGICAL[kind, logical]
    if logical == "decimal":
        return pa.decimal128(int(avro["precision"]), int(avro.get("scale", 0)))
    if kind == "array":
        return pa.list_(pa.field("item", arrow_type(avro["items"], names), nullable=is_nullable(avro["items"])))
    if kind == "map":
        return pa.map_(pa.string(), arrow_type(avro["values"], names))
    if kind == "record":
        known = {**names, **named_types(avro["fields"])}
        return pa.struct([arrow_field(field, known) for field in avro["fields"]])
    if kind == "enum":
        return pa.string()
    if kind == "fixed":
        return pa.binary()
    return arrow_type(kind, names)


def arrow_field(field: Mapping[str, Any], names: Mapping[str, Any]) -> pa.Field[Any]:
    """The Arrow field of an Avro record's field."""
    return pa.field(field["name"], arrow_type(field["type"], names), nullable=is_nullable(field["type"]))


def arrow_schema(avro: Mapping[str, Any]) -> pa.Schema:
    """The Arrow schema of an Avro record: string, list and struct columns, timestamps in UTC."""
    return pa.schema(list(cast("pa.StructType", arrow_type(avro))))


def frame_schema(avro: Mapping[str, Any]) -> dict[str, pl.DataType]:
    """The columns of a frame of such events."""
    frame = cast("pl.DataFrame", pl.from_arrow(arrow_schema(avro).empty_table()))
    return dict(frame.schema)


def is_nullable(avro: Any) -> bool:
    """Whether a value of this Avro type may be null."""
    return isinstance(avro, list) and "null" in avro


def without_null(avro: Any) -> Any:
    """The type without its null branch, where that leaves one type; else the type as it is."""
    rest = [branch for branch in avro if branch != "null"] if isinstance(avro, list) else [avro]
    return rest[0] if len(rest) == 1 else avro


def named_types(avro: Any) -> dict[str, Any]:
    """Every record, enum and fixed below `avro`, by its name without namespace."""
    if isinstance(avro, list):
        return {name: kind for part in avro for name, kind in named_types(part).items()}
    if not isinstance(avro, dict):
        return {}
    found: dict[str, Any] = {}
    if avro.get("type") in ("record", "enum", "fixed"):
        found[avro["name"].rpartition(".")[2]] = avro
    for key in ("type", "items", "values", "fields"):
        found |= named_types(avro.get(key))
    return found


def impossible_times(column: pl.Series) -> npt.NDArray[np.bool_] | None:
    """Which rows hold a date or time outside the years 1 to 9999, nested ones too; None where no row does.

    Avro can write them, but polars panics when it shows one and Python has no datetime for it.
    """
    bad = _impossible(column)
    return bad if bad is not None and bad.any() else None


@cache
def has_times(dtype: pl.DataType) -> bool:
    """Whether a column of this type holds dates or times."""
    if isinstance(dtype, pl.Struct):
        return any(has_times(cast("pl.DataType", field.dtype)) for field in dtype.fields)
    if isinstance(dtype, pl.List):
        return has_times(cast("pl.DataType", dtype.inner))
    return isinstance(dtype, pl.Datetime | pl.Date)


def _impossible(column: pl.Series) -> npt.NDArray[np.bool_] | None:
    dtype = column.dtype
    if isinstance(dtype, pl.Datetime | pl.Date):
        day = _UNITS_PER_DAY[dtype.time_unit if isinstance(dtype, pl.Datetime) else None]
        numbers = column.to_physical()
        low, high = numbers.min(), numbers.max()
        if low is None or (_FIRST_DAY * day <= cast("int", low) and cast("int", high) < (_LAST_DAY + 1) * day):
            return None
        inside = numbers.is_between(_FIRST_DAY * day, (_LAST_DAY + 1) * day - 1)
        return ~inside.fill_null(value=True).to_numpy()
    if isinstance(dtype, pl.Struct) and has_times(dtype):
        parts = [_impossible(column.struct.field(field.name)) for field in dtype.fields]
        found = [part for part in parts if part is not None]
        return np.logical_or.reduce(found) if found else None
    if isinstance(dtype, pl.List) and has_times(dtype):
        lengths = column.list.len().fill_null(0).to_numpy()
        inner = _impossible(column.drop_nulls().filter(column.drop_nulls().list.len() > 0).explode())
        if inner is None:
            return None
        bad = np.zeros(len(column), dtype=np.bool_)
        bad[np.repeat(np.arange(len(column)), lengths)[inner]] = True
        return bad
    return None


def _only_branch(union: list[Any]) -> Any:
    branches = [branch for branch in union if branch != "null"]
    if len(branches) != 1:
        raise SchemaError("A union of several types has no column type.", "Use one type, or null and one type.")
    return branches[0]
