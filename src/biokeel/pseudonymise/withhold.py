"""Forms at work: what does not have the form or the range of its field does not cross the wall.

The field becomes null in that row and its name stands in the column `withheld` (String: names by comma in the schema's
order, null where nothing was withheld; never a value). The event goes on, and its suite judges that. NaN is no number:
it becomes null without being withheld, so that no bits of it cross.

Speed: of texts each distinct one is looked up, and judged the first time; of numbers the least and the greatest are
judged. Rows cost more only where something is withheld.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from biokeel.contracts.misfits import Judge, outside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from biokeel.contracts.forms import Form
    from biokeel.contracts.misfits import Mask
    from biokeel.contracts.schema import Field

_NOTHING: Final = pl.Series("withheld", [None], dtype=pl.String)


@dataclass(frozen=True, slots=True)
class Withheld:
    """What of some rows may cross: `kept` has their fields, null where they do not fit; `misfits` says where that is.

    `suspects` are the texts that were taken out, and those that fit an open form: to be searched for identifiers.
    `codes` are the other texts that a source can choose freely within their form.
    """

    kept: pl.DataFrame
    misfits: Mapping[str, Mask]
    suspects: pl.DataFrame
    codes: pl.DataFrame

    def column(self) -> pl.Series:
        """The column `withheld`."""
        if not self.misfits:
            return _NOTHING.new_from_index(0, self.kept.height)
        names = list(self.misfits)
        packed = np.packbits(np.stack(list(self.misfits.values())), axis=0)
        patterns, which = np.unique(packed, axis=1, return_inverse=True)
        flags = np.unpackbits(patterns, axis=0, count=len(names)).astype(np.bool_).T
        words = [",".join(name for name, here in zip(names, flag, strict=True) if here) or None for flag in flags]
        return pl.Series("withheld", words, dtype=pl.String).gather(which.reshape(-1))


class Withholder:
    """Holds the kept fields of one event type to their forms and ranges.

    `long_numbers` says which of some numbers read as a registration number.
    """

    def __init__(self, fields: Sequence[Field], long_numbers: Callable[[pl.Series], pl.Series]) -> None:
        self._fields = [(field, None if field.form is None else Judge(field.form)) for field in fields]
        self._long_numbers = long_numbers

    def apply(self, frame: pl.DataFrame) -> Withheld:
        """What of the kept fields of `frame` may cross."""
        kept: list[pl.Series] = []
        misfits: dict[str, Mask] = {}
        suspects: list[pl.Series] = []
        codes: list[pl.Series] = []
        for field, judge in self._fields:
            column = frame[field.name]
            if field.form is not None and judge is not None:
                wrong = judge.misfits(column, frame)
                suspects += _suspects(column, field.form, wrong)
                if not (field.form.closed or field.form.open):
                    codes.append(column)
            else:
                column, wrong = self._numbers(column, field)
            if wrong is not None:
                misfits[field.name] = wrong
                column = _without(column, pl.Series(wrong))
            kept.append(column)
        return Withheld(pl.DataFrame(kept), misfits, pl.DataFrame(suspects), pl.DataFrame(codes))

    def _numbers(self, column: pl.Series, field: Field) -> tuple[pl.Series, Mask | None]:
        """`column` without NaN, and which rows are out of the range, or read as a registration number."""
        if column.dtype.is_float() and (nan := column.is_nan()).any():
            column = _without(column, nan.fill_null(value=False))
        wrong = None if field.range is None else outside(column, field.range.least, field.range.greatest)
        # A float of 32 bits has seven digits.
        if column.dtype == pl.Float64 or (field.counts_bytes_or_bases and column.dtype.is_integer()):
            alike = self._long_numbers(column)
            if alike.any():
                found = np.asarray(alike.fill_null(value=False).to_numpy())
                wrong = found if wrong is None else wrong | found
        return column, wrong


def _without(column: pl.Series, rows: pl.Series) -> pl.Series:
    """`column` with null in `rows`.

    What stood there is overwritten first: a null hides a value and does not erase it. It would lie in the memory of the
    column still, and with it in a block.
    """
    if isinstance(column.dtype, pl.List):
        return column.set(rows, pl.Series([[]], dtype=column.dtype)).set(rows, None)
    nothing: Any = "" if column.dtype == pl.String else 0
    physical = column.to_physical()
    return physical.set(rows, nothing).set(rows, None).cast(column.dtype)


def _suspects(column: pl.Series, form: Form, wrong: Mask | None) -> Iterator[pl.Series]:
    if form.open:
        yield column
    elif wrong is not None:
        yield column.set(pl.Series(~wrong), None)
