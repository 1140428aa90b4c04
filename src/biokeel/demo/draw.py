"""Drawing values for made-up events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

Rng: TypeAlias = np.random.Generator
Reals: TypeAlias = npt.NDArray[np.float64]
Payload: TypeAlias = dict[str, Any]
"""Columns of an event type after the envelope; Any because polars takes arrays, lists and series alike."""


def time_of(ms: npt.NDArray[np.int64]) -> pl.Series:
    """Milliseconds since 1970 as a column of times."""
    return pl.Series(ms).cast(pl.Datetime("ms", "UTC"))


def around(*peaks: tuple[float, float]) -> Callable[[Rng, int], Reals]:
    """Hours of the local day around `peaks` (hour, standard deviation); night hours may fall on the next day."""

    def draw(rng: Rng, count: int) -> Reals:
        which = rng.integers(0, len(peaks), count)
        means, deviations = np.array(peaks).T
        hours: Reals = np.clip(rng.normal(means[which], deviations[which]), 0.0, 29.0)
        return hours

    return draw


def pick(rng: Rng, count: int, choices: Mapping[str, float] | list[str]) -> npt.NDArray[np.str_]:
    """`count` of `choices`, by their weights where they have some."""
    names = np.array(list(choices))
    if isinstance(choices, Mapping):
        weights = np.array(list(choices.values()))
        return rng.choice(names, count, p=weights / weights.sum())
    return rng.choice(names, count)


def normal(rng: Rng, mean: Any, deviation: Any, form: tuple[float, float, int], count: int) -> Reals:
    """Normal values; `form` is the least, the most and the number of decimal digits."""
    low, high, digits = form
    return np.clip(rng.normal(mean, deviation, count), low, high).round(digits)


def status(rng: Rng, count: int) -> npt.NDArray[np.str_]:
    """Mostly final."""
    return pick(rng, count, {"final": 0.96, "amended": 0.03, "corrected": 0.01})
