"""Some rows of a table on their way to become events: which fit a test, and what is wrong with each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass, field
from typing import Final, overload

import numpy as np
import numpy.typing as npt
import polars as pl

from biokeel.contracts.grammars import GRAMMARS
from biokeel.source.mappings.model import Test, When

_NUMBER: Final = r"^[<>]?=?\s*[+-]?[0-9][0-9.,]*$"

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Cells = AnyMapping[str, pl.Series]
"""Columns of text by the mapping's own names."""


class Lines(Sequence[str]):
    """Places of rows, written only where somebody asks."""

    def __init__(self, numbers: npt.NDArray[np.int64]) -> None:
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Lines: ...
    def __getitem__(self, index: int | slice) -> str | Lines:
        return Lines(self._numbers[index]) if isinstance(index, slice) else f"line {self._numbers[index]}"


def fitting(when: When, found: Cells, rows: int) -> Bools:
    """Which rows fit every test of `when`."""
    result = np.ones(rows, np.bool_)
    for name, test in when.items():
        result &= _fits(test, found[name]).to_numpy()
    return result


def _fits(test: Test, texts: pl.Series) -> pl.Series:
    there = texts.is_not_null()
    parts: list[pl.Series] = []
    if test.among is not None:
        parts.append(texts.is_in(list(test.among)))
    if test.but is not None:
        parts.append(~texts.is_in(list(test.but)).fill_null(value=False))
    if test.is_ is not None:
        parts.append({"present": there, "empty": ~there}.get(test.is_, texts.str.contains(_NUMBER)))
    if test.code is not None:
        parts.append(GRAMMARS[test.code].fits(texts.fill_null("")))
    if test.not_code is not None:
        parts.append(~GRAMMARS[test.not_code].fits(texts.fill_null("")))
    if test.matches is not None:
        parts.append(texts.str.contains(test.matches))
    if test.not_matches is not None:
        parts.append(~texts.str.contains(test.not_matches).fill_null(value=False))
    fits = parts[0].fill_null(value=False)
    for part in parts[1:]:
        fits &= part.fill_null(value=False)
    return fits


class Faults:
    """What is wrong with some rows: of each the first that was found."""

    def __init__(self, rows: int) -> None:
        self.bad = np.zeros(rows, np.bool_)
        self._found: list[tuple[Bools, str]] = []

    def add(self, bad: pl.Series, reason: str) -> None:
        """These rows are bad, for this reason, where they were not before."""
        new = bad.fill_null(value=False).to_numpy() & ~self.bad
        if new.any():
            self._found.append((new, reason))
            self.bad = self.bad | new

    def at(self, index: Ints) -> Faults:
        """Those of some rows."""
        some = Faults(len(index))
        some.bad = self.bad[index]
        some._found = [(bad[index], reason) for bad, reason in self._found]
        return some

    def tell(self, lines: Ints, problem: Callable[[int, str], None]) -> None:
        """Tell `problem` of each, in the order of the lines."""
        for line, reason in sorted((int(line), reason) for bad, reason in self._found for line in lines[bad]):
            problem(line, reason)


@dataclass(slots=True)
class Rows:
    """Rows that fit a rule: their cells and lines, whose they are, what is made of them so far, and their faults."""

    cells: Cells
    lines: Ints
    subject: pl.Series
    faults: Faults
    made: dict[str, pl.Series] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.lines)

    def all(self, value: object, kind: pl.DataType | None = None) -> pl.Series:
        """A column that holds `value` in every row."""
        return pl.Series([value], dtype=kind).new_from_index(0, len(self))
