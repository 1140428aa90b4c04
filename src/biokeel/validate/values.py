"""Values and column names as a suite writes them: is the column there, does the value suit it."""

from __future__ import annotations

from datetime import datetime
from difflib import get_close_matches
from functools import reduce
from math import isfinite
from typing import TYPE_CHECKING, Any

import polars as pl

from biokeel.errors import SuiteError
from biokeel.validate.columns import Columns, Kind, kind_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def column_of(name: Any, columns: Columns, used: set[str]) -> pl.Expr:
    """The column that a suite names, added to `used`. Raises `SuiteError` with the nearest name where there is none."""
    if not isinstance(name, str) or name not in columns.types:
        near = get_close_matches(str(name), columns.types, n=1)
        raise SuiteError(
            f"column {name!r} is not there.",
            f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(sorted(columns.types))}.",
        )
    used.add(name)
    return pl.col(name)


def matches_kind(value: Any, kind: Kind) -> bool:
    """Whether a JSON value can be compared with a column of `kind`."""
    if kind is Kind.NUMBER:
        return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    if kind is Kind.TRUTH:
        return isinstance(value, bool)
    return isinstance(value, str)


def is_one_of(name: str, values: Any, columns: Columns) -> pl.Expr:
    """Whether the column holds one of `values` (null where it is missing); `2` and `2.0` are one value, as in pandas.

    Raises `SuiteError` where `values` is no list of values that suit the column.
    """
    dtype = columns.types[name]
    kind = kind_of(dtype)
    if kind not in {Kind.NUMBER, Kind.TEXT, Kind.TRUTH}:
        raise SuiteError(f"a set cannot be held against {name}, which is a {kind}.", "Use a range.")
    if not isinstance(values, list) or not all(matches_kind(value, kind) for value in values):
        raise SuiteError(f"the set for {name} must be a list, each value a {kind}.")
    if kind is not Kind.NUMBER:
        return pl.col(name).is_in(pl.Series(values, dtype=dtype).implode())
    if dtype.is_float():
        return pl.col(name).is_in(pl.Series([float(value) for value in values], dtype=dtype).implode())
    whole = [int(value) for value in values if value == int(value)]
    return pl.col(name).cast(pl.Int64).is_in(pl.Series(whole, dtype=pl.Int64).implode())


def every(parts: Sequence[pl.Expr]) -> pl.Expr:
    """All of one or more truth values."""
    return reduce(lambda left, right: left & right, parts)


def some(parts: Sequence[pl.Expr]) -> pl.Expr:
    """Any of one or more truth values."""
    return reduce(lambda left, right: left | right, parts)


def flag(arguments: Mapping[str, Any], name: str) -> bool:
    """A truth value among the arguments; false where it is not given."""
    value = arguments.get(name)
    if value is not None and not isinstance(value, bool):
        raise SuiteError(f"{name} must be true or false.")
    return bool(value)


def bound(arguments: Mapping[str, Any], name: str, column: str, dtype: pl.DataType) -> float | datetime | None:
    """A limit among the arguments, of a kind that suits a column of `dtype`; None where it is not given."""
    value = arguments.get(name)
    if value is None:
        return None
    kind = kind_of(dtype)
    if kind is Kind.NUMBER and matches_kind(value, kind):
        return float(value) if isinstance(value, float) else int(value)
    if kind is Kind.TIME and isinstance(value, str):
        return _time(name, value)
    raise SuiteError(
        f"{name} does not suit column {column}, which is a {kind}.",
        "Numbers have number limits, times have texts like 1900-01-01T00:00:00+00:00; other kinds have no range.",
    )


def _time(name: str, text: str) -> datetime:
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        raise SuiteError(f"{name} is no time.", "Write it like 1900-01-01T00:00:00+00:00.") from None
    if value.tzinfo is None:
        raise SuiteError(f"{name} is a time without a zone.", "Write it like 1900-01-01T00:00:00+00:00.")
    return value
