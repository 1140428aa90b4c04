"""Numbers that may be a registration number, among counts, sizes and measurements."""

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from biokeel.pseudonymise.registration import checked, numbers_like_registration

DAYS = st.dates()
WEIGHTS = (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)


def numbered(year: int, day, century: int, rest: int, *, foreign: bool = False) -> str:
    """A made-up number with its check digit."""
    digits = f"{year:02d}{day:%m%d}{century}{rest:05d}"
    total = sum(int(digit) * weight for digit, weight in zip(digits, WEIGHTS, strict=True))
    return digits + str(((13 if foreign else 11) - total % 11) % 10)


@given(DAYS, st.integers(10, 99), st.text("0123456789", min_size=7, max_size=7))
def test_a_date_and_seven_digits_are_found_whatever_the_check_digit(day, year, rest):
    number = int(f"{year}{day:%m%d}{rest}")
    assert numbers_like_registration(pl.Series([number, -number, None])).to_list() == [True, True, False]


@given(DAYS, st.integers(1, 9), st.sampled_from([3, 4, 7, 8]), st.integers(0, 99_999), st.booleans())
def test_a_number_that_lost_the_zero_of_its_year_is_found_by_its_check_digit(day, year, century, rest, foreign):
    number = numbered(year, day, century, rest, foreign=foreign and century > 4)
    wrong = number[:-1] + str((int(number[-1]) + (1 if century < 5 else 5)) % 10)
    assert numbers_like_registration(pl.Series([int(number)])).item()
    assert not (century < 5 and numbers_like_registration(pl.Series([int(wrong)])).item())


@given(DAYS, st.integers(10, 99), st.sampled_from([1, 2, 5, 6]), st.integers(0, 99_999), st.integers(0, 13))
def test_the_same_digits_with_a_point_anywhere_are_found(day, year, century, rest, place):
    number = numbered(year, day, century, rest)
    # Of two zeros at the end nothing is left, and a zero behind the point leaves a whole number.
    assume(not number.endswith("00") and not (number.endswith("0") and place == 12))
    text = f"{number[:place]}.{number[place:]}"
    assert numbers_like_registration(pl.Series([float(text), -float(text)])).to_list() == [True, True]


@given(DAYS, st.integers(1, 9), st.sampled_from([3, 4, 7, 8]), st.integers(0, 99_999), st.integers(0, 13))
def test_with_a_point_anywhere_the_zero_of_the_year_may_be_lost(day, year, century, rest, place):
    number = numbered(year, day, century, rest)
    assume(not number.endswith("0"))
    assert numbers_like_registration(pl.Series([float(f"{number[:place]}.{number[place:]}")])).item()


def test_ordinary_counts_and_measurements_are_let_through_without_a_closer_look():
    draw = np.random.default_rng(7)
    for values in (
        draw.integers(0, 10**9, 10_000),
        np.round(draw.random(10_000) * 1_000, 2),
        np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 1e300, 5e-324, 120.5, 37.25]),
    ):
        assert not numbers_like_registration(pl.Series(values)).any()
    assert numbers_like_registration(pl.Series([], dtype=pl.Int64)).to_list() == []


@pytest.mark.parametrize(
    ("least", "most", "share"),
    [(10**12, 10**13, 0.0385), (10**11, 13 * 10**10, 0.009), (13 * 10**10, 2 * 10**11, 0), (2 * 10**11, 10**12, 0.003)],
)
def test_so_many_true_integers_are_hit_and_no_more(least, most, share):
    values = pl.Series(np.random.default_rng(7).integers(least, most, 200_000))
    assert numbers_like_registration(values).sum() <= share * len(values)


def test_of_doubles_with_all_their_digits_hardly_one_is_hit():
    values = pl.Series(np.random.default_rng(7).random(200_000) * 100)
    assert numbers_like_registration(values).sum() <= 20


def test_other_types_are_refused():
    with pytest.raises(TypeError, match="String"):
        numbers_like_registration(pl.Series(["6"]))


@given(DAYS, st.integers(10, 99), st.sampled_from([1, 2, 5, 6]), st.integers(0, 99_999))
def test_amid_other_digits_the_check_digit_must_fit(day, year, century, rest):
    number = numbered(year, day, century, rest)
    assert checked(np.array([int(number)])).item()
    assert century > 4 or not checked(np.array([int(number[:-1] + str((int(number[-1]) + 1) % 10))])).item()
