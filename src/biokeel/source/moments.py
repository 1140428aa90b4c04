"""Many times as sources write them at once: `biokeel.source.times.moment` for each, by columns."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from biokeel.source.times import Precision, moment

_PLAIN: Final = (
    r"\A[12][0-9]{3}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:[.][0-9]{1,9})?"
    r"(?:Z|[+-](?:0[0-9]|1[0-4]):[0-5][0-9])\z"
)
"""How nearly all times are written: to the second or finer, with an offset."""
_UNKNOWN_OFFSET: Final = "-00:00"
_TO_THE_SECOND: Final = 19
"""Characters of `2024-05-01T09:00:00`."""

at_once = lru_cache(maxsize=65_536)(moment)
"""`moment` of a text that comes again: the records of one visit have the same times."""


class Moments(NamedTuple):
    """Milliseconds since 1970 UTC, offsets in minutes and precisions as `Moment` has them, and which texts are times.

    Where a text is none, its other columns hold anything.
    """

    at: npt.NDArray[np.int64]
    offset: pl.Series
    precision: pl.Series
    known: npt.NDArray[np.bool_]


def moments_of(texts: Sequence[str], zone: tzinfo | None) -> Moments:
    """The moment that each of `texts` names; what has no offset is in `zone`, or in UTC with a null offset."""
    written = pl.Series("t", texts, pl.String)
    t = pl.col("t")
    tail = t.str.slice(_TO_THE_SECOND)
    hours, minutes = (t.str.slice(start, 2).cast(pl.Int32, strict=False) for start in (-5, -2))
    read = written.to_frame().select(
        plain=t.str.contains(_PLAIN) & ~t.str.ends_with(_UNKNOWN_OFFSET),
        at=t.str.slice(0, _TO_THE_SECOND).str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="ms", strict=False),
        parts=tail.str.extract(r"^[.]([0-9]{1,3})").str.pad_end(3, "0").cast(pl.Int64, strict=False),
        offset=pl.when(t.str.ends_with("Z"))
        .then(0)
        .otherwise((hours * 60 + minutes) * pl.when(t.str.slice(-6, 1) == "-").then(-1).otherwise(1)),
    )
    plain = (read["plain"] & read["at"].is_not_null()).to_numpy()
    local = read["at"].cast(pl.Int64).fill_null(0) + read["parts"].fill_null(0)
    at = (local - read["offset"].fill_null(0).cast(pl.Int64) * 60_000).to_numpy(writable=True)
    offset = read["offset"].cast(pl.Int32)
    words = pl.when(read["parts"].is_not_null()).then(pl.lit(Precision.MILLISECOND.value))
    precision = pl.select(words.otherwise(pl.lit(Precision.SECOND.value))).to_series()
    if plain.all():
        return Moments(at, offset, precision, plain)
    others = np.flatnonzero(~plain)
    found = [at_once(texts[index], zone) for index in others.tolist()]
    at[others] = [0 if each is None else each.at for each in found]
    offset = offset.scatter(others, [None if each is None else each.offset_minutes for each in found])
    precision = precision.scatter(others, [None if each is None else str(each.precision) for each in found])
    plain = plain.copy()
    plain[others] = [each is not None for each in found]
    return Moments(at, offset, precision, plain)
