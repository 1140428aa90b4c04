"""Values and column names as a suite writes them: is the column there, does the value suit it."""

from __future__ import annotations

from datetime import datetime
from difflib import get_close_matches
from math import isfinite
from typing import TYPE_CHECKING, Any

import polars as pl

from biokeel.errors import SuiteError
from biokeel.validate.columns import Columns, Kind, kind_of

if TYPE_CHECKING:
    from collections.abc import Mapping


def column_of(name: Any, columns: Columns, used: set[str]) -> pl.Expr:
    """The column that a suite names; adds it to `used`. Raises `SuiteError` with the nearest name where there is none."""
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
