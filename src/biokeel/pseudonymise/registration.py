"""Resident (RRN) and foreigner (FRN) registration numbers as numbers: their structure and their check digit.

A number is yymmdd, a digit for century and sex, and six more, the last of which is a check digit in numbers that were
given out before October 2020.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import numpy as np
import polars as pl

if TYPE_CHECKING:
    import numpy.typing as npt

DIGITS: Final = 13
"""Digits of a registration number."""

_LONGEST: Final = 10**DIGITS
_FULL: Final = 10 ** (DIGITS - 1)
"""From here on a number has all 13 digits; below, its year begins with zeros that are lost."""
_SMALLEST: Final = 10**11
"""Years 2001 to 2009 lose one zero. Of 2000 ten or eleven digits are left: as many as true sizes of files have, of
which one in twenty would be hit."""
_DATE: Final = 10**7
_CENTURY: Final = 10**6
_WEIGHTS: Final = (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)
_WITHOUT_CHECK: Final = 20
"""Two digits of the year from which on numbers of this century may have no check digit."""
_THIS_YEARS: Final = 30
"""Two digits of a year of this century that nobody is born in yet."""
_PLACES: Final = 22
"""10 to at most this power is exact as a double."""
_DECIMALS: Final = 1e5
_SHORT: Final = 1e6
_ROUNDING: Final = 4e-16
"""What multiplying may change of a double, as a part of it; the next digits of a number in question are far more."""


def numbers_like_registration(values: pl.Series) -> pl.Series:
    """Which of `values` (integers, or `Float64`) may be a registration number (Boolean; null is false).

    Integers: 13 digits that begin with a date; or 12, where the zero of a year 2001 to 2009 is lost: then the date, the
    century and the check digit must fit. Doubles: the same digits with a point anywhere, if their shortest
    decimal writing has no more than these. A number that lost one zero at its end must have its check digit, too.

    True values are hit, too: 3.7 % of the integers of 13 digits; of those from 1.0e11 to 1.3e11, where yields of whole
    genomes in bases lie, 0.7 %, from 1.3e11 to 2e11 none, and 0.2 % of the others from 2e11 to 1e12; 3 in 100,000
    doubles that have all their digits, but 3 % of those that were rounded to 13.
    """
    if not values.dtype.is_integer() and values.dtype != pl.Float64:
        raise TypeError(f"{values.dtype} is neither an integer nor Float64")
    numbers = (values.fill_null(0) if values.null_count() else values).to_numpy()
    hits = np.zeros(len(numbers), dtype=np.bool_)
    # Ordinary counts and measurements end here.
    some = np.flatnonzero(_suspicious(numbers) if values.dtype == pl.Float64 else _in_range(np.abs(numbers)))
    if len(some):
        few = np.abs(numbers[some])
        hits[some] = _doubles(few) if values.dtype == pl.Float64 else _integers(few.astype(np.int64))
    return pl.Series(values.name, hits)


def checked(numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which numbers of up to 13 digits are registration numbers for certain enough to stop them amid other digits.

    Their date and century must be possible, and their check digit must fit unless they may be too young to have one.
    """
    year, century = numbers // 10**11, numbers // _CENTURY % 10
    this = np.isin(century, (3, 4, 7, 8))
    past = np.isin(century, (1, 2, 5, 6))
    young = this & (year >= _WITHOUT_CHECK) & (year < _THIS_YEARS)
    possible = past | (this & (year < _THIS_YEARS))
    return np.asarray(_dated(numbers) & possible & (young | _check_fits(numbers)))


def _suspicious(numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Doubles that have more than the 11 digits of what is below a million and has five decimals."""
    with np.errstate(over="ignore", invalid="ignore"):
        decimals = np.abs(numbers * _DECIMALS)
        more = np.abs(decimals - np.rint(decimals)) > decimals * _ROUNDING
        return np.asarray(more | (decimals >= _SHORT * _DECIMALS))


def _in_range(numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    return np.asarray((numbers >= _SMALLEST) & (numbers < _LONGEST))


def _integers(numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    short = numbers < _FULL
    of_2000s = np.isin(numbers // _CENTURY % 10, (3, 4, 7, 8)) & _check_fits(numbers)
    return np.asarray(_in_range(numbers) & _dated(numbers) & (~short | of_2000s))


def _doubles(numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """The digits of each double as an integer of 13, where 13 are enough to write it."""
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        places = DIGITS - 1 - np.floor(np.log10(numbers))
        power = 10.0 ** np.abs(np.clip(places, -_PLACES, _PLACES))
        digits = np.rint(np.where(places >= 0, numbers * power, numbers / power))
        # Both sides are exact, so what comes back is the double that these digits are read as.
        same = np.where(places >= 0, digits / power, digits * power) == numbers
    hits = np.zeros(len(numbers), dtype=np.bool_)
    few = np.flatnonzero(same & np.isfinite(numbers) & (np.abs(places) <= _PLACES) & (digits < _LONGEST))
    whole = digits[few].astype(np.int64)
    one_less = whole % 10 == 0
    integral = numbers[few] == np.rint(numbers[few])
    as_it_is = np.where(one_less & ~integral, checked(whole), _dated(whole))
    # One zero less at the end is one zero less of the year, or of the number.
    hits[few] = as_it_is | (one_less & _integers(whole // 10))
    # A whole number stands for itself.
    hits[few[integral]] = _integers(np.minimum(numbers[few[integral]], float(_LONGEST)).astype(np.int64))
    return hits


def _dated(numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which begin with yymmdd."""
    month, day = numbers // (_DATE * 100) % 100, numbers // _DATE % 100
    return np.asarray((month >= 1) & (month <= 12) & (day >= 1) & (day <= 31))


def _check_fits(numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which end with their check digit; foreigners' numbers have been given out with either of two."""
    total = np.zeros(len(numbers), dtype=np.int64)
    for place, weight in enumerate(reversed(_WEIGHTS), 1):
        total += numbers // 10**place % 10 * weight
    foreign = numbers // _CENTURY % 10 >= 5
    last, rest = numbers % 10, total % 11
    return cast("npt.NDArray[np.bool_]", (last == (11 - rest) % 10) | (foreign & (last == (13 - rest) % 10)))
