"""A number is what its writing says it is, or it is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biokeel.source.adapters.base import Unusable
from biokeel.source.adapters.numbers import number, number_of_text, whole, whole_of_text


@pytest.mark.parametrize("value", [True, False, None, "9", [], {}, float("nan"), float("inf"), 10**400])
def test_what_is_no_finite_number_of_json_is_refused(value: object) -> None:
    with pytest.raises(Unusable, match=r"^x is no"):
        number(value, "x")


@pytest.mark.parametrize("value", [9.5, -0.1, 2**53 + 2, 1e300])
def test_a_count_is_whole_and_can_be_told(value: float) -> None:
    with pytest.raises(Unusable, match="x is"):
        whole(value, "x")


def test_a_whole_number_may_be_written_with_a_point() -> None:
    assert whole(9000.0, "x") == 9000
    assert whole_of_text("9000.0", "x") == 9000


@pytest.mark.parametrize(
    "text",
    ["9_000", "nan", "inf", "-inf", "９０", "٣", "9,5", "9 000", "9.000,5", "0x1F", "1e", "", " ", "--1", "1e9999"],
)
def test_a_writing_that_another_reader_might_take_otherwise_is_refused(text: str) -> None:
    with pytest.raises(Unusable, match=r"^x is no"):
        number_of_text(text, "x")


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_what_was_written(value: float) -> None:
    assert number_of_text(repr(value), "x") == value


@given(st.integers(-(10**12), 10**12), st.integers(0, 99))
def test_a_declared_locale_is_read_as_it_was_written(units: int, hundredths: int) -> None:
    plain = f"{units:,}.{hundredths:02}"
    written = plain.replace(",", "'").replace(".", ",").replace("'", ".")
    assert number_of_text(written, "x", decimal=",", grouping=".") == float(plain.replace(",", ""))


@pytest.mark.parametrize("text", ["1,00", "1,0000", ",100", "1,234,5", "1,,000", "12,34.5"])
def test_a_separator_that_parts_no_groups_of_three_is_refused(text: str) -> None:
    with pytest.raises(Unusable, match="no number"):
        number_of_text(text, "x", grouping=",")


def test_a_point_where_a_comma_was_declared_is_refused() -> None:
    with pytest.raises(Unusable, match="no number"):
        number_of_text("9.5", "x", decimal=",")
