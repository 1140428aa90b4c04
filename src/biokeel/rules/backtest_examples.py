"""Examples of rows whose verdict changes: whose they are as a pseudonym, where they stand, and what the rule looked at.

Only values of fields that the schema tags `NONE` are shown, and of derived columns whose inputs all are; year of birth,
sex and day of enrolment are the vault's and are not.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from biokeel.batch import At
from biokeel.contracts.schema import Tag
from biokeel.land.pieces import read
from biokeel.validate.columns import Columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from biokeel.contracts.schema import EventSchema
    from biokeel.land.lake import Lake
    from biokeel.land.pieces import Piece
    from biokeel.rules.backtest_verdicts import Truths

SHOWN: Final = 5
"""Examples of one change of one rule, in one table."""
_PLACE: Final[dict[str, pl.DataType]] = {
    "participant_id": pl.String(),
    "source_id": pl.String(),
    "first_partition": pl.Int32(),
    "first_offset": pl.Int64(),
}


@dataclass(frozen=True, slots=True)
class Pick:
    """Rows of a piece that are examples of a change of a rule: their numbers in it."""

    rule: str
    change: str
    lies: str
    piece: Piece
    rows: tuple[int, ...]

    @classmethod
    def of(cls, what: tuple[str, str], lies: str, piece: Piece, numbers: pl.Series, mask: Truths) -> Pick:
        """The first of the rows where `mask` is true; `numbers` are the rows' numbers in the piece."""
        return cls(*what, lies, piece, tuple(numbers[np.flatnonzero(mask)[:SHOWN].tolist()].to_list()))


@dataclass(frozen=True, slots=True)
class Example:
    """One row. `place` is where its event stands in its source's topic; `values` of columns that may be shown."""

    rule: str
    change: str
    lies: str
    participant_id: str
    place: str
    values: Mapping[str, Any]  # texts, numbers, times


def shown_columns(schema: EventSchema) -> frozenset[str]:
    """The columns of rules whose values may be shown to a steward."""
    columns = Columns.of(schema)
    open_ = {field.name for field in schema.fields if field.tag is Tag.NONE} & columns.types.keys()
    derived = {name for name, each in columns.derived.items() if open_.issuperset(each.inputs)}
    return frozenset(open_ | derived | {"withheld"})


def examples_of(
    lake: Lake, schema: EventSchema, picks: Iterable[Pick], columns: Mapping[str, frozenset[str]]
) -> Iterator[Example]:
    """The examples that `picks` name, at most `SHOWN` of each kind; `columns` are those that each rule reads.

    Raises `StoreUnavailable`.
    """
    chosen: list[tuple[Pick, int]] = []
    held: defaultdict[tuple[str, str, str], int] = defaultdict(int)
    for pick in picks:
        kind = pick.rule, pick.change, pick.lies
        for row in pick.rows[: SHOWN - held[kind]]:
            chosen.append((pick, row))
            held[kind] += 1
    allowed = shown_columns(schema)
    all_columns = Columns.of(schema)
    for piece, some in groupby(chosen, key=lambda each: each[0].piece):
        picked = list(some)
        names = sorted(allowed & frozenset().union(*(columns[pick.rule] for pick, _ in picked)))
        stored, expressions = all_columns.view(names)
        rows = read(lake, piece, _PLACE | stored)[[row for _, row in picked]]
        values = rows.select(expressions) if names else None
        for number, (pick, _) in enumerate(picked):
            participant, source, partition, offset = rows.select(*_PLACE).row(number)
            told = values.row(number, named=True) if values is not None else {}
            yield Example(
                pick.rule,
                pick.change,
                pick.lies,
                participant,
                At(source, partition, offset).of(schema.event),
                {name: value for name, value in told.items() if name in columns[pick.rule]},
            )
