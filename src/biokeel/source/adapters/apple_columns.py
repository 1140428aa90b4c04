"""Many samples of HealthKit at once, by columns: an export has millions, of which hardly one is unusual.

Only what is plainly right is read here. Everything else (another form of time, a unit that its type has not, a number
below zero) is left to the way of single samples, which says what is wrong with it, or what is right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from biokeel.source.adapters.apple_samples import Attributes

_TEXTS: Final = {"type": "type", "source": "sourceName", "unit": "unit", "value": "value"}
_NUMBER: Final = r"^[0-9]{1,15}(?:\.[0-9]{1,15})?$"
_SEPARATOR: Final = "\x1f"
_FORM: Final = "0000-00-00 00:00:00 +0000"
_DIGITS: Final = [at for at, sign in enumerate(_FORM) if sign == "0"]
_SIGN: Final = _FORM.index("+")
_OTHERS: Final = [at for at, sign in enumerate(_FORM) if sign in "- :"]
_WRITTEN: Final = np.frombuffer(_FORM.encode(), dtype=np.uint8)

Numbers = npt.NDArray[np.int64]

Factors = Mapping[tuple[str, str], float]
"""By type and unit, what a number is multiplied with."""


def read_samples(
    attributes: Sequence[Attributes], factors: Factors, without_unit: str
) -> tuple[pl.DataFrame, list[int]]:
    """The samples of `attributes` that are plainly right, and the numbers of the others.

    Columns: `row` (its number), `type`, `source`, `unit`, `value` Float64 (multiplied with its factor; of the type
    `without_unit` as it is), `begun`, `ended`, `created` Int64 (ms since 1970), `offset` Int64 (minutes).
    """
    texts = {ours: [each.get(theirs) for each in attributes] for ours, theirs in _TEXTS.items()}
    begun, offset, good = moments([each.get("startDate", "") for each in attributes])
    ended, _, ends = moments([each.get("endDate", "") for each in attributes])
    created, _, says = moments([each.get("creationDate", "") for each in attributes])
    unit = by_type_and_unit({names: float(factor) for names, factor in factors.items()}, pl.Float64)
    number = pl.when(pl.col("value").str.contains(_NUMBER)).then(pl.col("value").cast(pl.Float64, strict=False))
    read = pl.DataFrame(
        {**texts, "begun": begun, "ended": ended, "created": created, "offset": offset, "good": good & ends & says},
        schema_overrides=dict.fromkeys(texts, pl.String),
    ).with_columns(
        pl.int_range(pl.len()).alias("row"),
        pl.col("source").fill_null(""),
        number * pl.when(pl.col("type") == without_unit).then(1.0).otherwise(unit),
    )
    right = (pl.col("good") & pl.col("value").is_not_null() & (pl.col("ended") >= pl.col("begun"))).alias("right")
    plain = read.select(right)["right"]
    found = read.filter(plain)
    return found, [] if found.height == read.height else read.filter(~plain)["row"].to_list()


def by_type_and_unit(said: Mapping[tuple[str, str], object], dtype: type[pl.DataType]) -> pl.Expr:
    """What `said` says of the columns `type` and `unit`; null where it says nothing."""
    known = {_SEPARATOR.join(names): each for names, each in said.items()}
    name = pl.concat_str("type", pl.lit(_SEPARATOR), "unit")
    return name.replace_strict(list(known), list(known.values()), default=None, return_dtype=dtype)


def moments(texts: Sequence[str]) -> tuple[Numbers, Numbers, npt.NDArray[np.bool_]]:
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
