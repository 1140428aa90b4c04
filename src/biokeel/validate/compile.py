"""Great Expectations' expectations as polars expressions, one small function for each type.

A function in the registry says which rows **meet** the expectation; what is common to all of them stands here once, as
Great Expectations has it: `row_condition` picks rows, a column expectation ignores missing values (NaN is missing, see
`biokeel.validate.columns`), a pair or a list of columns follows `ignore_row_if`, and a row that is left and does not
meet the expectation is unexpected. `tests/validate/test_parity.py` holds every function to the real Great Expectations.
Which types are compiled, and what becomes of the others, stands in `biokeel.validate.expectations`.

`mostly` below 1 judges a batch; a stream has no batches that a replay would cut again in the same place. So it never
quarantines: each unexpected row is flagged or counted by itself, a critical expectation with it is refused, and the
share is held of windows beside the stream (`docs/decisions/010-mostly-is-not-a-row.md`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, Final

import polars as pl

from biokeel.errors import SuiteError
from biokeel.validate import medical
from biokeel.validate.columns import Columns, Kind, kind_of
from biokeel.validate.conditions import compile_condition
from biokeel.validate.expectations import EVERY, How
from biokeel.validate.findings import Faults
from biokeel.validate.patterns import Search, translate, try_out
from biokeel.validate.values import (
    MOST_VALUES,
    bound,
    can_hold,
    column_of,
    every,
    flag,
    held_values,
    is_one_of,
    length,
    matches_kind,
    shown,
    some,
)


class Shape(StrEnum):
    """How many columns an expectation is about."""

    COLUMN = "column"
    PAIR = "pair"
    LIST = "list"


@dataclass(frozen=True, slots=True)
class Compiled:
    """An expectation made runnable: `unexpected` is Boolean and never null, over `columns`; None for a window.

    `searches` are the regular expressions among the arguments.
    """

    how: How
    unexpected: pl.Expr | None = None
    columns: frozenset[str] = frozenset()
    searches: tuple[Search, ...] = ()


_OF_WINDOWS: Final[dict[str, Callable[[Mapping[str, Any], tuple[str, ...], Columns], None]]] = {
    "expect_multicolumn_change_from_last_value_to_be_at_most": medical.check_change,
    "expect_multicolumn_key_to_have_one_owner": medical.check_key,
}
"""Of ours that are about many rows: what raises where the arguments do not suit."""

Meets = Callable[[Mapping[str, Any], tuple[str, ...], Columns], pl.Expr]
"""From arguments, column names and the columns' types to the rows that meet the expectation (null counts as no)."""

MOST_PATTERNS: Final = 100
"""Regular expressions in one list."""
_MOST_COLUMNS: Final = 20
_LONGEST_NAME: Final = 100


@dataclass(frozen=True, slots=True)
class _Entry:
    meets: Meets
    takes: frozenset[str]
    shape: Shape
    keeps_missing: bool
    takes_condition: bool


_COMMON: Final = frozenset({"mostly", "row_condition", "condition_parser"})
_SHAPE_ARGUMENTS: Final = {
    Shape.COLUMN: frozenset({"column"}),
    Shape.PAIR: frozenset({"column_A", "column_B", "ignore_row_if"}),
    Shape.LIST: frozenset({"column_list", "ignore_row_if"}),
}
_IGNORE_ANY: Final = {Shape.PAIR: "either_value_is_missing", Shape.LIST: "any_value_is_missing"}
_IGNORE_ALL: Final = {Shape.PAIR: "both_values_are_missing", Shape.LIST: "all_values_are_missing"}
_IGNORE_NONE: Final = {Shape.PAIR: "neither", Shape.LIST: "never"}

_REGISTRY: dict[str, _Entry] = {}


def _expectation(
    name: str, shape: Shape, *takes: str, keeps_missing: bool = False, takes_condition: bool = True
) -> Callable[[Meets], Meets]:
    def register(meets: Meets) -> Meets:
        _REGISTRY[name] = _Entry(meets, frozenset(takes), shape, keeps_missing, takes_condition)
        return meets

    return register


def row_types() -> frozenset[str]:
    """Every expectation type that is compiled to run on each row."""
    return frozenset(_REGISTRY)


def compile_expectation(kind: str, arguments: Mapping[str, Any], columns: Columns, faults: Faults) -> Compiled | None:
    """Make one expectation runnable; None where anything is wrong with it, all of which goes into `faults`."""
    before = len(faults.found)
    answer = EVERY.get(kind)
    if answer is None:
        near = get_close_matches(kind[:_LONGEST_NAME], EVERY, n=1)
        what = f"{kind[:_LONGEST_NAME]} is no expectation of Great Expectations 1.x."
        faults.add("type", what, f"Did you mean {near[0]}?" if near else "docs/stewards.md lists them all.")
        return None
    if answer.how is How.REFUSED:
        faults.add("type", f"{kind} does not run here.", answer.instead)
        return None
    if parameters := sorted(
        name for name, value in arguments.items() if isinstance(value, dict) and "$PARAMETER" in value
    ):
        faults.add("kwargs", f"suite parameters are not read: {shown(parameters)}.", "Write the value itself.")
        return None
    if answer.how is How.WINDOW:
        compiled = _window(kind, arguments, columns, faults)
    else:
        compiled = _row(kind, _REGISTRY[kind], arguments, columns, faults)
    return compiled if len(faults.found) == before else None


def _row(kind: str, entry: _Entry, arguments: Mapping[str, Any], columns: Columns, faults: Faults) -> Compiled:
    used: set[str] = set()
    unexpected = pl.lit(False)
    with faults.at("kwargs"):
        _only_known(kind, arguments, entry.takes | _SHAPE_ARGUMENTS[entry.shape] | _COMMON)
    with faults.at("kwargs"):
        names = _names(arguments, entry.shape)
        values = [column_of(name, columns, used) for name in names]
        unexpected = ~entry.meets(arguments, names, columns).fill_null(False)
        present = None if entry.keeps_missing else _present(arguments, entry.shape, values)
        if present is not None:
            unexpected = present & unexpected
    with faults.at("kwargs.row_condition"):
        condition = arguments.get("row_condition")
        if condition is not None and condition != "":
            if not entry.takes_condition:
                raise SuiteError(f"Great Expectations ignores row_condition in {kind}.", "Remove it.")
            selected, more = compile_condition(condition, arguments.get("condition_parser"), columns)
            used |= more
            unexpected = selected & unexpected
    searches: tuple[Search, ...] = ()
    if not faults.found:  # then these are texts, and have been translated before
        listed = arguments.get("regex_list", [arguments["regex"]] if "regex" in arguments else [])
        searches = tuple(translate(pattern) for pattern in listed)
    return Compiled(How.ROW, unexpected, frozenset(used), searches)


def _window(kind: str, arguments: Mapping[str, Any], columns: Columns, faults: Faults) -> Compiled:
    """What concerns our columns, and all arguments of ours.

    The other arguments are Great Expectations' to check (`biokeel.validate.native`).

    pandas would run what stands behind an `@` of a condition, so only conditions that are ours to read go there; a
    schema that is fetched from somewhere would be read by whoever owns that place.
    """
    used: set[str] = set()
    listed = arguments.get("column_list")
    for name in (arguments.get("column"), *(listed if isinstance(listed, list) else ())):
        if name is not None:
            with faults.at("kwargs"):
                column_of(name, columns, used)
    with faults.at("kwargs.row_condition"):
        if condition := arguments.get("row_condition"):
            used |= compile_condition(condition, arguments.get("condition_parser"), columns)[1]
    if kind in _OF_WINDOWS and not faults.found:
        with faults.at("kwargs"):
            _OF_WINDOWS[kind](arguments, _names(arguments, Shape.LIST), columns)
    if not _is_whole(arguments.get("json_schema")):
        faults.add("kwargs.json_schema", "$ref names another document.", 'Write it below "$defs", and "#/$defs/…".')
    return Compiled(How.WINDOW, columns=frozenset(used))


def _is_whole(schema: object) -> bool:
    """Whether a JSON schema refers to nothing but itself."""
    if isinstance(schema, list):
        return all(_is_whole(each) for each in schema)
    if not isinstance(schema, dict):
        return True
    names = (schema[name] for name in ("$ref", "$dynamicRef", "$recursiveRef") if name in schema)
    return all(isinstance(name, str) and name.startswith("#") for name in names) and _is_whole([*schema.values()])


def _only_known(kind: str, arguments: Mapping[str, Any], known: frozenset[str]) -> None:
    if unknown := sorted(arguments.keys() - known):
        raise SuiteError(f"{kind} takes no {shown(unknown)} here.", f"It takes {', '.join(sorted(known))}.")


def _names(arguments: Mapping[str, Any], shape: Shape) -> tuple[str, ...]:
    if shape is Shape.COLUMN:
        return (arguments.get("column", ""),)
    if shape is Shape.PAIR:
        return (arguments.get("column_A", ""), arguments.get("column_B", ""))
    names = arguments.get("column_list")
    if not isinstance(names, list) or not 2 <= len(names) <= _MOST_COLUMNS:
        raise SuiteError(
            f"column_list must name from two columns to {_MOST_COLUMNS}.", 'Write ["systolic", "diastolic"].'
        )
    if len({str(name) for name in names}) < len(names):
        raise SuiteError("column_list names a column twice.", "Name it once.")
    return tuple(names)


def _present(arguments: Mapping[str, Any], shape: Shape, values: list[pl.Expr]) -> pl.Expr | None:
    """Which rows have enough values to be judged; None for all of them."""
    if shape is Shape.COLUMN:
        return values[0].is_not_null()
    ignore = arguments.get("ignore_row_if", _IGNORE_ALL[shape])
    if ignore == _IGNORE_NONE[shape]:
        return None
    if ignore == _IGNORE_ANY[shape]:
        return every([value.is_not_null() for value in values])
    if ignore == _IGNORE_ALL[shape]:
        return some([value.is_not_null() for value in values])
    allowed = ", ".join((_IGNORE_ALL[shape], _IGNORE_ANY[shape], _IGNORE_NONE[shape]))
    raise SuiteError("ignore_row_if is not known.", f"Write {allowed}.")


def _one_kind(names: tuple[str, ...], columns: Columns, *, only: frozenset[Kind] = frozenset(Kind)) -> Kind:
    kinds = {kind_of(columns.types[name]) for name in names}
    if len(kinds) != 1 or not kinds <= only:
        raise SuiteError(
            f"the columns {', '.join(names)} are {' and '.join(sorted(kinds))}.",
            f"Compare columns of one kind: {', '.join(sorted(only))}.",
        )
    return kinds.pop()


def _text(name: str, columns: Columns) -> pl.Expr:
    _one_kind((name,), columns, only=frozenset({Kind.TEXT}))
    return pl.col(name)


def _within(value: pl.Expr, low: Any, high: Any, arguments: Mapping[str, Any]) -> pl.Expr:
    if low is None and high is None:
        raise SuiteError("min_value and max_value are both missing.", "Give one of them.")
    if low is not None and high is not None and low > high:
        raise SuiteError("min_value is above max_value.", "Swap them.")
    above, below = flag(arguments, "strict_min"), flag(arguments, "strict_max")
    sides = []
    if low is not None:
        sides.append(value > low if above else value >= low)
    if high is not None:
        sides.append(value < high if below else value <= high)
    return every(sides)


def _patterns(arguments: Mapping[str, Any]) -> list[str]:
    patterns = arguments.get("regex_list")
    if not isinstance(patterns, list) or not 0 < len(patterns) <= MOST_PATTERNS:
        raise SuiteError(f"regex_list must be a list of 1 to {MOST_PATTERNS} regular expressions.")
    if not all(isinstance(pattern, str) for pattern in patterns):
        raise SuiteError("regex_list has something that is no text.", "Write each regular expression as a text.")
    return [translate(pattern).written for pattern in patterns]


def _any_found(name: str, arguments: Mapping[str, Any], columns: Columns) -> pl.Expr:
    """Whether any pattern of `regex_list` is found: all are searched for at once, where they fit into one."""
    text, patterns = _text(name, columns), _patterns(arguments)
    joined = "|".join(f"(?:{pattern})" for pattern in patterns)
    try:
        try_out(joined)
    except SuiteError:
        return some([text.str.contains(pattern) for pattern in patterns])
    return text.str.contains(joined)


def _pattern(arguments: Mapping[str, Any]) -> str:
    pattern = arguments.get("regex")
    if not isinstance(pattern, str):
        raise SuiteError("regex is missing.", "Write a regular expression.")
    return translate(pattern).written


@_expectation("expect_column_values_to_not_be_null", Shape.COLUMN, keeps_missing=True)
def _not_null(_arguments: Mapping[str, Any], names: tuple[str, ...], _columns: Columns) -> pl.Expr:
    return pl.col(names[0]).is_not_null()


@_expectation("expect_column_values_to_be_null", Shape.COLUMN, keeps_missing=True)
def _null(_arguments: Mapping[str, Any], names: tuple[str, ...], _columns: Columns) -> pl.Expr:
    return pl.col(names[0]).is_null()


@_expectation("expect_column_values_to_be_between", Shape.COLUMN, "min_value", "max_value", "strict_min", "strict_max")
def _between(arguments: Mapping[str, Any], names: tuple[str, ...], columns: Columns) -> pl.Expr:
    dtype = columns.types[names[0]]
    low, high = (bound(arguments, each, names[0], dtype) for each in ("min_value", "max_value"))
    value = pl.col(names[0])
    if kind_of(dtype) is Kind.NUMBER:
        value = value.cast(pl.Float64)  # limits are floats
    return _within(value, low, high, arguments)


@_expectation("expect_column_values_to_be_in_set", Shape.COLUMN, "value_set")
def _in_set(arguments: Mapping[str, Any], names: tuple[str, ...], columns: Columns) -> pl.Expr:
    return is_one_of(names[0], arguments.get("value_set"), columns)


@_expectation("expect_column_values_to_not_be_in_set", Shape.COLUMN, "value_set")
def _not_in_set(arguments: Mapping[str, Any], names: tuple[str, ...], columns: Columns) -> pl.Expr:
    return ~is_one_of(names[0], arguments.get("value_set"), columns)


@_expectation("expect_column_values_to_match_regex", Shape.COLUMN, "regex")
def _regex(arguments: Mapping[str, Any], names: tuple[str, ...], columns: Columns) -> pl.Expr:
    return _text(names[0], columns).str.contains(_pattern(arguments))


@_expectation("expect_column_values_to_not_match_regex", Shape.COLUMN, "regex")
def _not_regex(arguments: Mapping[str, Any], names: tuple[str, ...], columns: Columns) -> pl.Expr:
    return ~_text(names[0], columns).str.contains(_pattern(arguments))


@_expectation("expect_column_values_to_match_regex_list", Shape.COLUMN, "regex_list", "match_on")
def _regex_list(arguments: Mapping[str, Any], names: tuple[str, ...], columns: Columns) -> pl.Expr:
    match_on = arguments.get("match_on", "any")
    if match_on not in ("any", "all"):
        raise SuiteError("match_on is not known.", "Write any or all.")
    if match_on == "any":
        return _any_found(names[0], arguments, columns)
    return every([_text(names[0], columns).str.contains(pattern) for pattern in _patterns(arguments)])


@_expectation("expect_column_values_to_not_match_regex_list", Shape.COLUMN, "regex_list")
def _not_regex_list(arguments: Mapping[str, Any], names: tuple[str, ...], columns: Columns) -> pl.Expr:
    return ~_any_found(names[0], arguments, columns)


@_expectation(
    "expect_column_value_lengths_to_be_between", Shape.COLUMN, "min_value", "max_value", "strict_min", "strict_max"
)
def _lengths(arguments: Mapping[str, Any], names: tuple[str, ...], columns: Columns) -> pl.Expr:
    low, high = (length(arguments, each) for each in ("min_value", "max_value"))
    return _within(_text(names[0], columns).str.len_chars(), low, high, arguments)


@_expectation("expect_column_value_lengths_to_equal", Shape.COLUMN, "value")
def _length(arguments: Mapping[str, Any], names: tuple[str, ...], columns: Columns) -> pl.Expr:
    characters = length(arguments, "value")
    if characters is None:
        raise SuiteError("value is missing.", "Write the number of characters.")
    return _text(names[0], columns).str.len_chars() == characters


@_expectation("expect_column_pair_values_a_to_be_greater_than_b", Shape.PAIR, "or_equal")
def _greater(arguments: Mapping[str, Any], names: tuple[str, ...], columns: Columns) -> pl.Expr:
    _one_kind(names, columns, only=frozenset({Kind.NUMBER, Kind.TIME, Kind.DATE, Kind.TEXT}))
    first, second = map(pl.col, names)
    return first >= second if flag(arguments, "or_equal") else first > second


@_expectation("expect_column_pair_values_to_be_equal", Shape.PAIR)
def _equal(_arguments: Mapping[str, Any], names: tuple[str, ...], columns: Columns) -> pl.Expr:
    _one_kind(names, columns)
    return pl.col(names[0]) == pl.col(names[1])


@_expectation("expect_column_pair_values_to_be_in_set", Shape.PAIR, "value_pairs_set", takes_condition=False)
def _pair_in_set(arguments: Mapping[str, Any], names: tuple[str, ...], columns: Columns) -> pl.Expr:
    pairs = arguments.get("value_pairs_set")
    kinds = [_one_kind((name,), columns, only=frozenset({Kind.NUMBER, Kind.TEXT})) for name in names]
    if not isinstance(pairs, list) or not pairs or not all(_is_pair(pair, kinds) for pair in pairs):
        raise SuiteError(f"value_pairs_set must be a list of pairs, each a {kinds[0]} and a {kinds[1]}, or null.")
    if len(pairs) > MOST_VALUES:
        raise SuiteError(f"value_pairs_set has {len(pairs):,} pairs, more than {MOST_VALUES:,}.", "Write two rules.")
    dtypes = [pl.Int64() if columns.types[name].is_integer() else columns.types[name] for name in names]
    possible = [pair for pair in pairs if all(map(can_hold, dtypes, pair))]
    held = pl.DataFrame(
        [held_values([pair[at] for pair in possible], dtype).alias("ab"[at]) for at, dtype in enumerate(dtypes)]
    )
    both = pl.struct(
        pl.col(name).cast(dtype).alias(side) for side, name, dtype in zip("ab", names, dtypes, strict=True)
    )
    return both.is_in(held.to_struct().implode())


def _is_pair(pair: Any, kinds: list[Kind]) -> bool:
    if not isinstance(pair, list) or len(pair) != 2:
        return False
    return all(value is None or matches_kind(value, kind) for value, kind in zip(pair, kinds, strict=True))


@_expectation("expect_multicolumn_sum_to_equal", Shape.LIST, "sum_total")
def _sum(arguments: Mapping[str, Any], names: tuple[str, ...], columns: Columns) -> pl.Expr:
    _one_kind(names, columns, only=frozenset({Kind.NUMBER}))
    total = arguments.get("sum_total")
    if not matches_kind(total, Kind.NUMBER):
        raise SuiteError("sum_total must be a number.")
    whole = isinstance(total, int) and all(columns.types[name].is_integer() for name in names)
    dtype = pl.Int128() if whole else pl.Float64()  # exact, and wide enough for the sum of twenty columns
    return pl.sum_horizontal([pl.col(name).cast(dtype) for name in names], ignore_nulls=False) == pl.lit(total, dtype)


@_expectation("expect_multicolumn_values_to_be_equal", Shape.LIST)
def _all_equal(_arguments: Mapping[str, Any], names: tuple[str, ...], columns: Columns) -> pl.Expr:
    _one_kind(names, columns)
    first = pl.col(names[0])
    return every([first.eq_missing(pl.col(name)) for name in names[1:]])


@_expectation("expect_select_column_values_to_be_unique_within_record", Shape.LIST)
def _all_different(_arguments: Mapping[str, Any], names: tuple[str, ...], columns: Columns) -> pl.Expr:
    _one_kind(names, columns)
    different = [
        pl.col(first).ne_missing(pl.col(second)) for at, first in enumerate(names) for second in names[at + 1 :]
    ]
    return every(different)


_expectation("expect_multicolumn_time_to_not_precede_enrolment", Shape.LIST, "tolerance_days")(
    medical.not_before_enrolment
)
_expectation("expect_multicolumn_time_to_not_precede_birth", Shape.LIST, "tolerance_years")(medical.not_before_birth)
_expectation("expect_column_pair_recorded_sex_to_match_genetic_sex", Shape.PAIR)(medical.sexes_agree)
_expectation("expect_column_pair_unit_to_suit_code", Shape.PAIR, "units_by_code")(medical.unit_suits_code)
