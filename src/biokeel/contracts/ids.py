"""The text form of participant IDs: 12 Crockford base32 characters for 60 random bits, and 2 check characters.

The 14 characters, read as one number in base 32, are a multiple of 1021. A wrong character changes that number by
`d * 32**k` with `|d| < 32`, a swap of neighbours by `31 * d * 32**k`; the prime 1021 divides neither, so any single
typo and any swap of neighbours is caught, wherever in the 14 characters it is. Reading forgives what Crockford
forgives: lower case, `I` and `L` for `1`, `O` for `0`.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from biokeel.errors import ContractError

ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
ID_BITS: Final = 60
ID_LENGTH: Final = 14
_MODULUS: Final = 1021
_PAIRS: Final = np.frombuffer("".join(a + b for a in ALPHABET for b in ALPHABET).encode(), dtype=np.uint16)
"""The two characters of each number below 1024, as the two bytes that they are."""
_PAIR_SHIFTS: Final = np.arange(50, -1, -10, dtype=np.int64)
_SHIFTS: Final = np.arange(55, -1, -5, dtype=np.int64)


def _values() -> npt.NDArray[np.int64]:
    """The value of each byte as a base32 character, -1 where it is none."""
    table = np.full(256, -1, dtype=np.int64)
    for value, character in enumerate(ALPHABET):
        table[ord(character)] = table[ord(character.lower())] = value
    for alias, value in (("I", 1), ("L", 1), ("O", 0)):
        table[ord(alias)] = table[ord(alias.lower())] = value
    return table


_VALUES: Final = _values()


def _check(numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """What must stand after `numbers` in base 1024, so that the whole is a multiple of the modulus."""
    return np.asarray((-(numbers % _MODULUS) * 1024) % _MODULUS, dtype=np.int64)


def encode_ids(numbers: pl.Series) -> pl.Series:
    """The text of each participant number (Int64); null stays null. Raises `ContractError` outside of 60 bits."""
    raw = numbers.fill_null(0).to_numpy().astype(np.int64, copy=False)
    if len(raw) and (raw.min() < 0 or raw.max() >= 1 << ID_BITS):
        raise ContractError("A participant number has more than 60 bits.", "This is a defect: please report it.")
    pairs = np.empty((len(raw), ID_LENGTH // 2), dtype=np.uint16)
    pairs[:, :6] = _PAIRS[(raw[:, None] >> _PAIR_SHIFTS) & 1023]
    pairs[:, 6] = _PAIRS[_check(raw)]
    offsets = np.arange(0, (len(raw) + 1) * ID_LENGTH, ID_LENGTH, dtype=np.int64)
    text = pa.LargeStringArray.from_buffers(len(raw), pa.py_buffer(offsets.tobytes()), pa.py_buffer(pairs.tobytes()))
    series = pl.Series(numbers.name, text, dtype=pl.String)
    if not numbers.null_count():
        return series
    return series.zip_with(numbers.is_not_null(), pl.Series([None], dtype=pl.String))


def decode_ids(texts: pl.Series) -> pl.Series:
    """The participant number (Int64) of each text; null where it is null or no participant ID."""
    # A text of another length becomes 14 characters that no ID has, so that the table below stays rectangular.
    sound = (texts.str.len_bytes() == ID_LENGTH).fill_null(value=False)
    padded = texts.zip_with(sound, pl.Series(["!" * ID_LENGTH]))
    data = np.frombuffer("".join(padded.to_list()).encode(), dtype=np.uint8).reshape(-1, ID_LENGTH)
    digits = _VALUES[data]
    number = (np.where(digits[:, :12] < 0, 0, digits[:, :12]) << _SHIFTS).sum(axis=1, dtype=np.int64)
    good = (digits >= 0).all(axis=1) & ((digits[:, 12] << 5 | digits[:, 13]) == _check(number))
    series = pl.Series(texts.name, number, dtype=pl.Int64)
    return series.zip_with(pl.Series(good, dtype=pl.Boolean), pl.Series([None], dtype=pl.Int64))


def encode_id(number: int) -> str:
    """The participant ID of one number. Raises `ContractError` outside of 60 bits."""
    if not 0 <= number < 1 << ID_BITS:
        raise ContractError("A participant number has more than 60 bits.", "This is a defect: please report it.")
    return str(encode_ids(pl.Series([number], dtype=pl.Int64))[0])


def decode_id(text: str) -> int:
    """The number of one participant ID. Raises `ContractError` for anything that is not a participant ID."""
    number = decode_ids(pl.Series([text.strip()], dtype=pl.String))[0]
    if number is None:
        raise ContractError(
            "This is not a participant ID.", "It has 14 characters; a typo or two swapped characters break its check."
        )
    return int(number)
