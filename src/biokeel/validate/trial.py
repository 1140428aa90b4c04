"""A suite tried before it is in force: each rule is run on rows as nasty as its columns allow.

A rule that raises on some value would be found by the first event that has it, at night. Here it is found when its
suite is read. Three frames: no row at all, rows of nulls, and rows with every value at the edge of its type, each
column's in another rhythm, so that values meet.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from biokeel.poison import may_be_poison
from biokeel.validate.columns import Kind, kind_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from biokeel.validate.columns import Columns
    from biokeel.validate.rules import CompiledSuite, Rule

_INF: Final = float("inf")
_FLOATS: Final = [None, float("nan"), _INF, -_INF, -0.0, 0.0, 5e-324, 1.7976931348623157e308, 2.0**53 + 2, 0.1, -1.0]
_WHOLE: Final = [None, 0, 1, -1, 2**31 - 1, -(2**31), 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63)]
_TEXTS: Final = [
    None,
    "",
    " ",
    "\0",
    "\n",
    "a\n",
    "é",
    "e\u0301",
    "가",
    "😀",
    "\U0010ffff",
    "\u202e",
    "1" * 300,
    "١٢",
    ",",
]
_TIMES: Final = [
    None,
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(1899, 12, 31, 23, 59, 59, 999000, UTC),
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime(2024, 2, 29, 12, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999000, UTC),
]
_DATES: Final = [None, date(1, 1, 1), date(1970, 1, 1), date(2024, 2, 29), date(9999, 12, 31)]
_HELD: Final[dict[type[pl.DataType], range]] = {
    pl.Int32: range(-(2**31), 2**31),
    pl.Int64: range(-(2**63), 2**63),
}
_ROWS: Final = 64


def nasty_values(dtype: pl.DataType) -> list[Any]:
    """The values at the edges of a column of `dtype`, null among them."""
    if dtype.is_integer():
        return [value for value in _WHOLE if value is None or value in _HELD[type(dtype)]]
    values: dict[Kind, list[Any]] = {
        Kind.NUMBER: _FLOATS,
        Kind.TEXT: _TEXTS,
        Kind.TRUTH: [None, True, False],
        Kind.TIME: _TIMES,
        Kind.DATE: _DATES,
    }
    return values[kind_of(dtype)]


@cache
def nasty_frames(types: tuple[tuple[str, pl.DataType], ...]) -> tuple[pl.DataFrame, ...]:
    """Frames with the columns `types` on which a rule must hold: of no row, of nulls, of nasty values."""
    columns = {}
    for number, (name, dtype) in enumerate(types, start=1):
        values = nasty_values(dtype)
        cycle = [values[(row // number + row) % len(values)] for row in range(_ROWS)]
        columns[name] = pl.Series(name, cycle, dtype=dtype, strict=False)
    nasty = pl.DataFrame(columns)
    return nasty.clear(), nasty.clear(n=3), nasty


def unfit_rules(suite: CompiledSuite) -> Iterator[tuple[str, str, str]]:
    """The rules of `suite` that cannot be run: rule id, what happened, what to do. Nothing is raised."""
    columns = suite.columns
    frames = nasty_frames(tuple((name, dtype) for name, dtype in columns.types.items() if name not in columns.derived))
    if not any(_fault(suite.columns, suite.row_rules, frame) for frame in frames):
        return
    for rule in suite.row_rules:
        if fault := next((fault for frame in frames if (fault := _fault(columns, (rule,), frame))), ""):
            yield rule.id, f"it cannot be run ({fault}).", "Write it more plainly, or with another expectation."


def _fault(columns: Columns, rules: tuple[Rule, ...], frame: pl.DataFrame) -> str:
    """What goes wrong when `rules` judge `frame`; empty where nothing does."""
    _, view = columns.view(sorted(frozenset().union(*(rule.columns for rule in rules))))
    expressions = [rule.unexpected.alias(rule.id) for rule in rules if rule.unexpected is not None]
    try:
        flags = frame.select(view).select(expressions)
    except BaseException as error:
        if not may_be_poison(error):
            raise
        return type(error).__name__
    sound = all(flags[name].dtype == pl.Boolean and not flags[name].null_count() for name in flags.columns)
    return "" if sound and flags.height == frame.height else "it gives no verdict on each row"
