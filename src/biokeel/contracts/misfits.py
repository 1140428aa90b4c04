"""What does not have the form, or the range, of its field: the wall withholds it, and a source is told beforehand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
import polars as pl

from biokeel.contracts.identity import withdrawals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt

    from biokeel.contracts.forms import Form
    from biokeel.contracts.schema import EventSchema

    Mask = npt.NDArray[np.bool_]
    """For each row whether something is so."""

T = TypeVar("T")

_REMEMBERED: Final = 20_000
"""Texts of one field that a judge remembers, and as many as a batch has more: some megabytes at most."""


def outside(column: pl.Series, least: Any, greatest: Any) -> Mask | None:  # ends of the column's own type
    """Which of some numbers or times are out of a range, both ends of which belong to it; None where none is."""
    if column.dtype == pl.Date:
        least, greatest = least.date(), greatest.date()
    low, high = column.min(), column.max()
    if low is None or (least <= low and high <= greatest):
        return None
    return np.asarray((~column.is_between(least, greatest)).fill_null(value=False).to_numpy())


class Judge:
    """Says which texts of one field do not have its form, and remembers those that do.

    A code comes again and again: what was seen to have the form is looked up and not judged anew.
    """

    def __init__(self, form: Form) -> None:
        self._form = form
        self._good: set[Any] = set()
        """Texts, or pairs of a text and what stood beside it; `_REMEMBERED` at most."""

    def misfits(self, column: pl.Series, frame: pl.DataFrame) -> Mask | None:
        """Which rows of `column` (texts, or lists of texts) do not have the form, null does; None where all do.

        `frame` has the field that stands beside, where the form needs one.
        """
        if isinstance(column.dtype, pl.List):
            return self._in_lists(column, frame)
        if self._form.beside is not None:
            return self._beside(column, frame[self._form.beside])
        distinct = column.unique().drop_nulls()
        bad = self._bad(distinct.to_list(), lambda texts: self._form.fits(pl.Series(texts, dtype=pl.String)))
        if not bad:
            return None
        return np.asarray(column.is_in(bad).fill_null(value=False).to_numpy())

    def _beside(self, column: pl.Series, beside: pl.Series) -> Mask | None:
        pairs = pl.DataFrame([column.alias("text"), beside.alias("beside")])
        kind = {"text": pl.String(), "beside": pl.String()}

        def fits(some: list[tuple[str, str | None]]) -> pl.Series:
            known = pl.DataFrame(some, kind, orient="row")
            return self._form.fits(known["text"], known["beside"])

        bad = self._bad(pairs.unique().drop_nulls("text").rows(), fits)
        if not bad:
            return None
        wrong = pl.DataFrame(bad, kind, orient="row").with_columns(wrong=pl.lit(value=True))
        joined = pairs.join(wrong, on=["text", "beside"], how="left", nulls_equal=True, maintain_order="left")
        return np.asarray(joined["wrong"].fill_null(value=False).to_numpy())

    def _in_lists(self, column: pl.Series, frame: pl.DataFrame) -> Mask | None:
        inner = self.misfits(column.list.explode(), frame)
        if inner is None:
            return None
        # An empty list, and null, become one null each.
        rows = np.repeat(np.arange(len(column)), np.maximum(column.list.len().fill_null(0).to_numpy(), 1))
        return np.isin(np.arange(len(column)), rows[inner])

    def _bad(self, distinct: list[T], fits: Callable[[list[T]], pl.Series]) -> list[T]:
        """What of `distinct` does not fit."""
        new = [each for each in distinct if each not in self._good]
        if not new:
            return []
        good = fits(new).to_list()
        if len(self._good) < _REMEMBERED:
            self._good.update(each for each, fit in zip(new, good, strict=True) if fit)
        return [each for each, fit in zip(new, good, strict=True) if not fit]


class Misfits:
    """Says of the events of one type, before they are sent, which of their fields would be withheld."""

    def __init__(self, schema: EventSchema) -> None:
        kept = () if schema.event.is_person else schema.kept()
        self._texts = [(field.name, Judge(field.form), field.form.meaning) for field in kept if field.form is not None]
        every = () if schema.event.is_person else (*schema.envelope, *kept)
        self._ranges = [(field.name, field.range) for field in every if field.range is not None]

    def among(self, frame: pl.DataFrame) -> Iterator[tuple[int, str]]:
        """The numbers of rows of `frame` (the schema's columns) with a field that does not fit, and what is wrong.

        Of a withdrawal nothing counts but whose it is. The words are the schema's, and never a value.
        """
        found: list[tuple[str, str, Mask | None]] = []
        for name, judge, meaning in self._texts:
            found.append((name, meaning, judge.misfits(frame[name], frame)))
        for name, range_ in self._ranges:
            column = frame[name]
            if isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone is None:
                column = column.dt.replace_time_zone("UTC")  # Before they are sent, times are in UTC without saying so.
            word = "time" if column.dtype.is_temporal() else "number"
            found.append((name, f"{word} {range_.meaning}", outside(column, range_.least, range_.greatest)))
        if all(wrong is None for _, _, wrong in found):
            return
        stand = ~withdrawals(frame).to_numpy()
        for name, meaning, wrong in found:
            for row in np.flatnonzero(wrong & stand).tolist() if wrong is not None else ():
                yield row, f"{name} is no {meaning}: it does not cross the privacy wall"
