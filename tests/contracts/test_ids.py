import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biokeel.contracts.ids import ALPHABET, ID_LENGTH, decode_id, decode_ids, encode_id, encode_ids
from biokeel.errors import ContractError

NUMBERS = st.integers(min_value=0, max_value=(1 << 60) - 1)


@given(st.lists(st.none() | NUMBERS))
def test_every_number_comes_back_and_null_stays_null(numbers):
    series = pl.Series("participant", numbers, dtype=pl.Int64)
    texts = encode_ids(series)
    assert texts.name == "participant"
    assert decode_ids(texts).to_list() == numbers


@given(NUMBERS, st.integers(0, ID_LENGTH - 1), st.sampled_from(ALPHABET))
def test_any_single_typo_is_caught_in_any_of_the_14_characters(number, place, character):
    text = encode_id(number)
    typo = text[:place] + character + text[place + 1 :]
    assert decode_ids(pl.Series([typo]))[0] == (number if typo == text else None)


@given(NUMBERS, st.integers(0, ID_LENGTH - 2))
def test_any_swap_of_neighbours_is_caught_in_any_of_the_14_characters(number, place):
    text = encode_id(number)
    swapped = text[:place] + text[place + 1] + text[place] + text[place + 2 :]
    assert decode_ids(pl.Series([swapped]))[0] == (number if swapped == text else None)


def test_every_single_typo_of_one_id_is_caught_exhaustively():
    text = encode_id(0x0FEDCBA98765432)
    typos = [text[:i] + c + text[i + 1 :] for i in range(ID_LENGTH) for c in ALPHABET if c != text[i]]
    assert decode_ids(pl.Series(typos)).null_count() == len(typos) == ID_LENGTH * 31


def test_reading_forgives_lower_case_and_the_letters_that_look_like_digits():
    text = encode_id(1)
    assert decode_id(text.lower().replace("0", "o").replace("1", "l")) == 1


@given(st.text(max_size=20))
def test_other_texts_are_no_id(text):
    number = decode_ids(pl.Series([text]))[0]
    assert number is None or encode_id(number) == text.upper().translate(str.maketrans("ILO", "110"))


def test_numbers_beyond_60_bits_and_broken_ids_are_refused():
    with pytest.raises(ContractError, match="60 bits"):
        encode_id(1 << 60)
    with pytest.raises(ContractError, match="60 bits"):
        encode_ids(pl.Series([-1]))
    with pytest.raises(ContractError, match="not a participant ID"):
        decode_id("00000000000000X")
