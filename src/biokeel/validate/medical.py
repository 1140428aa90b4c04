"""Expectations of our own, as polars expressions: what Great Expectations has no word for.

They stand in a suite like its own, and are registered with it (`biokeel.validate.registered`), which has the same
meaning for pandas; `tests/validate/test_parity.py` holds the two together. A value that is missing is never held
against a row here: who is not enrolled on any day is enrolled too late on none.

Those here look at one row alone, so a replay gives the same verdict. Two more are about the rows of a window, and only
their arguments are looked at here: Great Expectations judges them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl

from biokeel.errors import SuiteError
from biokeel.validate.columns import Columns, Kind, kind_of
from biokeel.validate.values import MOST_VALUES, matches_kind, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_OFFSET: Final = 1440
"""Minutes that a local time may be off UTC; zones in use end at 840 (IANA tz database)."""
SEXES: Final = ("female", "male")
"""The words of vault and schemas. Any other word says nothing that could be contradicted."""
_MOST_TOLERANCE: Final = 100_000


def not_before_enrolment(arguments: Mapping[str, Any], names: tuple[str, ...], columns: Columns) -> pl.Expr:
    """The local day of a time is no earlier than the day of enrolment, less `tolerance_days`."""
    time, offset, enrolled = _three(names, columns, Kind.DATE)
    late = (pl.col(enrolled) - _local(time, offset).dt.date()).dt.total_days()
    return late.fill_null(0) <= _tolerance(arguments, "tolerance_days")


def not_before_birth(arguments: Mapping[str, Any], names: tuple[str, ...], columns: Columns) -> pl.Expr:
    """The local year of a time is no earlier than the year of birth, less `tolerance_years`."""
    time, offset, birth_year = _three(names, columns, Kind.NUMBER)
    year = _local(time, offset).dt.year().cast(pl.Int64)
    return (year + _tolerance(arguments, "tolerance_years") >= pl.col(birth_year)).fill_null(value=True)


def sexes_agree(_arguments: Mapping[str, Any], names: tuple[str, ...], columns: Columns) -> pl.Expr:
    """Not one of the two columns says female and the other male."""
    recorded, genetic = (_text(name, columns) for name in names)
    contradict = recorded.is_in(SEXES) & genetic.is_in(SEXES) & (recorded != genetic)
    return ~contradict.fill_null(value=False)


def unit_suits_code(arguments: Mapping[str, Any], names: tuple[str, ...], columns: Columns) -> pl.Expr:
    """The unit is one of those that `units_by_code` has for the code; a code that it does not have is not judged."""
    code, unit = (_text(name, columns) for name in names)
    units = arguments.get("units_by_code")
    if not isinstance(units, dict) or not units or not all(_is_list_of_texts(each) for each in units.values()):
        raise SuiteError("units_by_code must be an object: a list of units for each code.", 'Write {"718-7": ["g/dL"]}')
    pairs = [(each, suits) for each, listed in units.items() for suits in listed]
    if len(pairs) > MOST_VALUES:
        raise SuiteError(
            f"units_by_code has {len(pairs):,} pairs, more than {MOST_VALUES:,}.", "Write two rules, or fewer units."
        )
    held = pl.DataFrame(pairs, schema={"a": pl.String, "b": pl.String}, orient="row").to_struct()
    known = code.is_in(pl.Series(list(units), dtype=pl.String).implode())
    suits = pl.struct(code.alias("a"), unit.alias("b")).is_in(held.implode())
    return ~known.fill_null(value=False) | suits


def check_change(arguments: Mapping[str, Any], names: tuple[str, ...], columns: Columns) -> None:
    """Raise where `expect_multicolumn_change_from_last_value_to_be_at_most` cannot be judged over these columns."""
    _only(arguments, "max_change", "within_hours")
    kinds = [kind_of(columns.types[name]) for name in names]
    if kinds[1:3] != [Kind.TIME, Kind.NUMBER]:
        raise SuiteError(
            "column_list must be a person, a time, a number, and whatever else is to be the same.",
            'Write ["participant", "occurred_at", "value", "code", "value_unit"].',
        )
    for name in ("max_change", "within_hours"):
        value = arguments.get(name)
        if not matches_kind(value, Kind.NUMBER) or value is None or value <= 0:
            raise SuiteError(f"{name} must be a number above 0.", 'Write "max_change": 20, "within_hours": 72.')


def check_key(arguments: Mapping[str, Any], names: tuple[str, ...], columns: Columns) -> None:
    """Raise where `expect_multicolumn_key_to_have_one_owner` cannot be judged over these columns."""
    _only(arguments)
    if unfit := [name for name in names if columns.types[name].is_float()]:
        raise SuiteError(
            f"{', '.join(unfit)} has fractions, which are no key.", "Name columns of texts or whole numbers."
        )


def _only(arguments: Mapping[str, Any], *takes: str) -> None:
    known = {"column_list", "mostly", "row_condition", "condition_parser", *takes}
    if unknown := sorted(arguments.keys() - known):
        raise SuiteError(f"it takes no {shown(unknown)}.", f"It takes {', '.join(sorted(known))}.")


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, str) for each in value)


def _three(names: tuple[str, ...], columns: Columns, last: Kind) -> tuple[str, ...]:
    """The columns of a rule about a time: the time, minutes off UTC, and what it may not precede."""
    kinds = [kind_of(columns.types[name]) for name in names]
    whole = all(
        columns.types[name].is_integer() for name, kind in zip(names, kinds, strict=True) if kind is Kind.NUMBER
    )
    if kinds != [Kind.TIME, Kind.NUMBER, last] or not whole:
        stamp = "enrolled_on" if last is Kind.DATE else "birth_year"
        raise SuiteError(
            f"column_list must be a time, the minutes that it is off UTC, and a {last} from the vault.",
            f'Write ["occurred_at", "occurred_offset_minutes", "{stamp}"].',
        )
    return names


def _local(time: str, offset: str) -> pl.Expr:
    """The time as it stood on a clock where the event occurred; UTC where nobody says how far off that is."""
    minutes = pl.col(offset).clip(-LONGEST_OFFSET, LONGEST_OFFSET).fill_null(0)
    return pl.col(time) + pl.duration(minutes=minutes)


def _tolerance(arguments: Mapping[str, Any], name: str) -> int:
    value = arguments.get(name, 0)
    if not matches_kind(value, Kind.NUMBER) or not isinstance(value, int) or not 0 <= value <= _MOST_TOLERANCE:
        raise SuiteError(f"{name} must be a whole number from 0 to {_MOST_TOLERANCE:,}.", "Leave it out for 0.")
    return value


def _text(name: str, columns: Columns) -> pl.Expr:
    if (kind := kind_of(columns.types[name])) is not Kind.TEXT:
        raise SuiteError(f"column {name} is a {kind}, not a text.", "Name a column of texts.")
    return pl.col(name)
