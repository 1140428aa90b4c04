"""Values and column names as a suite writes them: is the column there, does the value suit it."""

from __future__ import annotations

import operator
import re
from datetime import UTC, datetime
from difflib import get_close_matches
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from biokeel.errors import SuiteError
from biokeel.validate.columns import Columns, Kind, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?(?:Z|[+-][0-9]{2}:[0-9]{2})?"
)
"""Of ISO 8601 what both Python and dateutil, which Great Expectations asks, read as the same time."""
_WHOLE: Final = range(-(2**63), 2**63)
"""What a column of whole numbers can hold."""
MOST_VALUES: Final = 20_000
"""Values of a set, or pairs: held as a hash table, so that rows cost the same, but made anew for each batch."""
_SHOWN: Final = 10
_LONGEST_NAME: Final = 60


def shown(names: Iterable[Any]) -> str:
    """Names that a suite gives, for a message: the first few of them, none at full length if it is endless."""
    told = [str(name)[:_LONGEST_NAME] for name in names]
    more = f" and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
    return ", ".join(told[:_SHOWN]) + more


def column_of(name: Any, columns: Columns, used: set[str]) -> pl.Expr:
    """The column that a suite names, added to `used`. Raises `SuiteError` with the nearest name where there is none."""
    if not isinstance(name, str) or name not in columns.types:
        text = name[:_LONGEST_NAME] if isinstance(name, str) else type(name).__name__
        near = get_close_matches(text, columns.types, n=1)
        raise SuiteError(
            f"column {text!r} is not there.",
            f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(sorted(columns.types))}.",
        )
    used.add(name)
    return pl.col(name)


def matches_kind(value: Any, kind: Kind) -> bool:
    """Whether a JSON value can be compared with a column of `kind`; whole numbers have 64 bits."""
    if kind is Kind.NUMBER:
        if isinstance(value, bool):
            return False
        return value in _WHOLE if isinstance(value, int) else isinstance(value, float) and isfinite(value)
    if kind is Kind.TRUTH:
        return isinstance(value, bool)
    return isinstance(value, str)


def is_one_of(name: str, values: Any, columns: Columns) -> pl.Expr:
    """Whether the column holds one of `values` (null where it is missing); `2` and `2.0` are one value, as in pandas.

    A number of 32 bits is held against 64: 0.1 is no value of such a column, which has 0.10000000149.

    Raises `SuiteError` where `values` is no list of values that suit the column.
    """
    dtype = columns.types[name]
    kind = kind_of(dtype)
    if kind not in {Kind.NUMBER, Kind.TEXT, Kind.TRUTH}:
        raise SuiteError(f"a set cannot be held against {name}, which is a {kind}.", "Use a range.")
    if not isinstance(values, list) or not all(matches_kind(value, kind) for value in values):
        raise SuiteError(f"the set for {name} must be a list, each value a {kind}.")
    if len(values) > MOST_VALUES:
        raise SuiteError(
            f"the set for {name} has {len(values):,} values, more than {MOST_VALUES:,}.", "Write two rules."
        )
    held = {Kind.NUMBER: pl.Int64() if dtype.is_integer() else pl.Float64()}.get(kind, dtype)
    return (
        pl.col(name).cast(held).is_in(held_values([value for value in values if can_hold(held, value)], held).implode())
    )


def can_hold(dtype: pl.DataType, value: Any) -> bool:
    """Whether a column of `dtype` can have `value` at all: whole numbers only where it holds whole numbers."""
    if not isinstance(value, float) or not dtype.is_integer():
        return True
    return value == int(value) and int(value) in _WHOLE


def held_values(values: list[Any], dtype: pl.DataType) -> pl.Series:
    """`values`, each None or of the kind of `dtype`, as that type; `2.0` is 2 where it holds whole numbers."""
    if dtype.is_float():
        return pl.Series([None if value is None else float(value) for value in values], dtype=dtype)
    if dtype.is_integer():
        return pl.Series([None if value is None else int(value) for value in values], dtype=dtype)
    return pl.Series(values, dtype=dtype)


def every(parts: Sequence[pl.Expr]) -> pl.Expr:
    """All of one or more truth values."""
    return _joined(parts, operator.and_)


def some(parts: Sequence[pl.Expr]) -> pl.Expr:
    """Any of one or more truth values."""
    return _joined(parts, operator.or_)


def _joined(parts: Sequence[pl.Expr], join: Callable[[pl.Expr, pl.Expr], pl.Expr]) -> pl.Expr:
    """`parts` joined pair by pair: an expression as deep as it is long would be too deep for polars."""
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    return join(_joined(parts[:middle], join), _joined(parts[middle:], join))


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
        # As Great Expectations reads it: beyond 2**53 whole numbers are no longer told apart.
        return float(value)
    if kind is Kind.TIME and isinstance(value, str):
        return _time(name, value)
    raise SuiteError(
        f"{name} does not suit column {column}, which is a {kind}.",
        "Numbers have limits that are numbers of at most 64 bits, times have texts like 1900-01-01T00:00:00+00:00; "
        "other kinds have no range.",
    )


def length(arguments: Mapping[str, Any], name: str) -> int | None:
    """A number of characters among the arguments; None where it is not given.

    Great Expectations truncates a fraction, or compares with it, by the expectation; so a length must be whole.
    """
    value = arguments.get(name)
    if value is None:
        return None
    if not matches_kind(value, Kind.NUMBER) or value != int(value):
        raise SuiteError(f"{name} is a number of characters, which is whole.", "Write a whole number.")
    return int(value)


def _time(name: str, text: str) -> datetime:
    if not _TIME.fullmatch(text):
        raise SuiteError(f"{name} is no time.", "Write it like 1900-01-01T00:00:00+00:00.")
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        raise SuiteError(f"{name} is no time.", "Write it like 1900-01-01T00:00:00+00:00.") from None
    if value.tzinfo is None:
        raise SuiteError(f"{name} is a time without a zone.", "Write it like 1900-01-01T00:00:00+00:00.")
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise SuiteError(
            f"{name} is no time of the years 1 to 9999 in UTC.", "Write a later or an earlier one."
        ) from None
