"""Many samples of HealthKit at once, by columns: an export has millions, of which hardly one is unusual.

Only what is plainly right is read here. Everything else (another form of time, a unit that its type has not, a number
below zero) is left to the way of single samples, which says what is wrong with it, or what is right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from biokeel.source.adapters.apple_samples import Attributes, source_of

_NUMBER: Final = r"^[0-9]{1,15}(?:\.[0-9]{1,15})?$"
_FORM: Final = "0000-00-00 00:00:00 +0000"
_DIGITS: Final = [at for at, sign in enumerate(_FORM) if sign == "0"]
_SIGN: Final = _FORM.index("+")
_OTHERS: Final = [at for at, sign in enumerate(_FORM) if sign in "- :"]
_WRITTEN: Final = np.frombuffer(_FORM.encode(), dtype=np.uint8)

Numbers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


class Samples(NamedTuple):
    """Samples of one type by columns; of those that are not `right` the numbers mean nothing.

    `value` is multiplied with the factor of its unit; times are ms since 1970, the offset is minutes.
    """

    begun: Numbers
    ended: Numbers
    offset: Numbers
    created: Numbers
    value: npt.NDArray[np.float64]
    right: Mask
    units: Sequence[str]
    sources: Sequence[str]


def read_samples(attributes: Sequence[Attributes], factors: Mapping[str, float] | None) -> Samples:
    """The samples of one type, whose units have `factors`; null where the unit says nothing."""
    begun, offset, begins = moments([each.get("startDate", "") for each in attributes])
    ended, _, ends = moments([each.get("endDate", "") for each in attributes])
    created, _, says = moments([each.get("creationDate", "") for each in attributes])
    units = [each.get("unit", "") for each in attributes]
    texts = pl.Series([each.get("value", "") for each in attributes], dtype=pl.String)
    is_number = texts.str.contains(_NUMBER).to_numpy()
    value = np.where(is_number, texts.cast(pl.Float64, strict=False).fill_null(0.0).to_numpy(), 0.0)
    right = begins & ends & says & is_number & (ended >= begun)
    if factors is not None:
        right &= np.fromiter((each in factors for each in units), np.bool_, len(units))
        value = value * np.fromiter((factors.get(each, 0.0) for each in units), np.float64, len(units))
    return Samples(begun, ended, offset, created, value, right, units, [*map(source_of, attributes)])


def moments(texts: Sequence[str]) -> tuple[Numbers, Numbers, Mask]:
    """What texts like `2024-05-01 09:00:00 +0900` name: ms since 1970, offset in minutes, and whether each is one.

    Of what is none the numbers mean nothing. No leap second, and no offset beyond 14 hours, is one here.
    """
    length = len(_FORM)
    whole = np.fromiter(map(len, texts), np.int64, len(texts)) == length
    ascii_only = [text if len(text) == length and text.isascii() else _FORM for text in texts]
    signs = np.frombuffer("".join(ascii_only).encode(), dtype=np.uint8).reshape(-1, length)
    digits = signs[:, _DIGITS] - np.uint8(48)  # what stands before 0 is beyond 9, too
    good = whole & (digits <= 9).all(axis=1) & (signs[:, _OTHERS] == _WRITTEN[_OTHERS]).all(axis=1)
    good &= (signs[:, _SIGN] == ord("+")) | (signs[:, _SIGN] == ord("-"))
    ten = digits.astype(np.int64)
    year = ((ten[:, 0] * 10 + ten[:, 1]) * 10 + ten[:, 2]) * 10 + ten[:, 3]
    month, day, hour, minute, second, over, beyond = (ten[:, at] * 10 + ten[:, at + 1] for at in range(4, 18, 2))
    months = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
    first, next_ = (each.astype("datetime64[D]").astype(np.int64) for each in (months, months + 1))
    good &= (month >= 1) & (month <= 12) & (day >= 1) & (day <= next_ - first) & (year >= 1)
    good &= (hour < 24) & (minute < 60) & (second < 60) & (over <= 14) & (beyond < 60)
    offset = np.where(signs[:, _SIGN] == ord("-"), -1, 1) * (over * 60 + beyond)
    at = ((first + day - 1) * 86_400 + hour * 3_600 + (minute - offset) * 60 + second) * 1_000
    return at, offset, good
