"""The columns that rules may name: an event's pseudonymised columns, and a few that are derived from them.

Great Expectations has no expectation with a tolerance between two columns ("not recorded more than a day before it
occurred"), so what stewards need of that kind is a derived column with a range. Derived columns exist only while a
batch is judged; they never land.

Great Expectations on pandas knows one kind of missing value, so NaN is made null before any rule looks: a NaN blood
pressure fails `expect_column_values_to_not_be_null` and is ignored by a range, as there.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import polars as pl

from biokeel.batch import ENVELOPE
from biokeel.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from biokeel.contracts.schema import EventSchema, Field

_AVRO: Final[dict[str, pl.DataType]] = {
    "string": pl.String(),
    "boolean": pl.Boolean(),
    "int": pl.Int32(),
    "long": pl.Int64(),
    "float": pl.Float32(),
    "double": pl.Float64(),
    "date": pl.Date(),
    "timestamp-millis": pl.Datetime("ms", "UTC"),
}


class Kind(StrEnum):
    """What the values of a column can be compared with."""

    NUMBER = "number"
    TEXT = "text"
    TRUTH = "truth value"
    TIME = "time"
    DATE = "date"


@dataclass(frozen=True, slots=True)
class Derived:
    """A column computed from others while a batch is judged. `inputs` names them; `doc` says the unit."""

    inputs: tuple[str, ...]
    expression: pl.Expr
    dtype: pl.DataType
    doc: str


def _minutes(later: str, earlier: str) -> pl.Expr:
    return (pl.col(later) - pl.col(earlier)).dt.total_milliseconds() / 60_000


DERIVED: Final[dict[str, Derived]] = {
    "recorded_after_minutes": Derived(
        ("recorded_at", "occurred_at"),
        _minutes("recorded_at", "occurred_at"),
        pl.Float64(),
        "Minutes from occurred_at to recorded_at; negative where it was recorded before it occurred.",
    ),
    "age_years": Derived(
        ("occurred_at", "birth_year"),
        pl.col("occurred_at").dt.year() - pl.col("birth_year"),
        pl.Int32(),
        "Year of occurred_at less birth_year (years, one too many before the birthday).",
    ),
    "span_minutes": Derived(
        ("ended_at", "occurred_at"),
        _minutes("ended_at", "occurred_at"),
        pl.Float64(),
        "Minutes from occurred_at to ended_at.",
    ),
    "energy_per_gram": Derived(
        ("energy", "amount"),
        pl.col("energy") / pl.col("amount"),
        pl.Float64(),
        "energy by amount (kcal/g).",
    ),
}
"""Derived columns by name; an event type has those whose inputs it has."""


def kind_of(dtype: pl.DataType) -> Kind:
    """The kind of a column of `dtype`."""
    if dtype.is_numeric():
        return Kind.NUMBER
    return {pl.String: Kind.TEXT, pl.Boolean: Kind.TRUTH, pl.Datetime: Kind.TIME, pl.Date: Kind.DATE}[type(dtype)]


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of one event type that rules may name: `types` has them all, `derived` those that are computed."""

    types: Mapping[str, pl.DataType]
    derived: Mapping[str, Derived]

    @classmethod
    def of(cls, schema: EventSchema) -> Columns:
        """The envelope's columns, the schema's kept fields (tag NONE), and what is derived from them.

        A kept field of a type that no rule can read (array, record, map, bytes) is left out.
        """
        types = dict(ENVELOPE) | {field.name: dtype for field in schema.kept() if (dtype := _dtype(field)) is not None}
        derived = {name: each for name, each in DERIVED.items() if set(each.inputs) <= types.keys()}
        if taken := derived.keys() & types.keys():
            raise SchemaError(
                f"Schema {schema.event}: {', '.join(sorted(taken))} is the name of a derived column.", "Rename it."
            )
        return cls(types | {name: each.dtype for name, each in derived.items()}, derived)

    def view(self, names: Iterable[str]) -> tuple[dict[str, pl.DataType], list[pl.Expr]]:
        """How to make the frame that rules look at: the stored columns it needs, and the expressions over them."""
        stored: dict[str, pl.DataType] = {}
        expressions = []
        for name in names:
            derived = self.derived.get(name)
            stored |= {each: self.types[each] for each in (derived.inputs if derived else (name,))}
            expression = derived.expression if derived else pl.col(name)
            expressions.append((expression.fill_nan(None) if self.types[name].is_float() else expression).alias(name))
        return stored, expressions


def _dtype(field: Field) -> pl.DataType | None:
    return _AVRO.get(field.kind)
