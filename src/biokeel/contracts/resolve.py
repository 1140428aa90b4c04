"""From the columns that a writer wrote to the columns that we read (Avro's schema resolution, column by column)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl

from biokeel.contracts.columns import frame_schema, is_nullable, without_null

if TYPE_CHECKING:
    from collections.abc import Mapping

PROMOTIONS: Final = {
    ("int", "long"),
    ("int", "float"),
    ("int", "double"),
    ("long", "float"),
    ("long", "double"),
    ("float", "double"),
}
"""Numbers that Avro reads as a wider type."""
_MEANING: Final = ("type", "items", "values", "fields", "symbols", "logicalType", "name", "precision", "scale", "size")
"""What of an Avro type decides how it is read; docs, tags, units and defaults do not."""

_DEFAULTS: Final = ("null", "boolean", "int", "long", "float", "double", "string")


def resolution(writer: Mapping[str, Any], reader: Mapping[str, Any]) -> list[pl.Expr] | None:
    """One expression for each column of `reader`, over the columns of `writer`.

    None where columns alone cannot do it, because datums of the writer may or may not be readable one by one
    (null where the reader has none, an enum with fewer symbols) or differ deep inside: then the general way must.
    """
    written = {field["name"]: field for field in writer["fields"]}
    types = frame_schema(reader)
    expressions = []
    for field in reader["fields"]:
        names = (field["name"], *field.get("aliases", ()))
        source = next((written[name] for name in names if name in written), None)
        expression = _default(field) if source is None else _promoted(source, field)
        if expression is None:
            return None
        expressions.append(expression.cast(types[field["name"]]).alias(field["name"]))
    return expressions


def bare(avro: Any) -> Any:
    """The type without what does not change how it is read."""
    if isinstance(avro, list):
        return [bare(part) for part in avro]
    if not isinstance(avro, dict):
        return avro
    kept = {key: bare(value) for key, value in avro.items() if key in _MEANING}
    return kept["type"] if set(kept) == {"type"} and isinstance(kept["type"], str) else kept


def _promoted(source: Mapping[str, Any], field: Mapping[str, Any]) -> pl.Expr | None:
    if is_nullable(source["type"]) and not is_nullable(field["type"]):
        return None
    old, new = bare(without_null(source["type"])), bare(without_null(field["type"]))
    if old != new and not (isinstance(old, str) and isinstance(new, str) and (old, new) in PROMOTIONS):
        return None
    return pl.col(source["name"])


def _default(field: Mapping[str, Any]) -> pl.Expr | None:
    """The reader's default as a column; None if there is none, or one that only the general way understands."""
    if "default" not in field:
        return None
    default = field["default"]
    kind = bare(without_null(field["type"]))
    plain = default is None or (kind in _DEFAULTS and not isinstance(default, list | dict))
    return pl.lit(default) if plain else None
