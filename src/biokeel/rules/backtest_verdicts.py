"""Which rows fail what, for two suites at once: from what is stamped on a row where that says it, else judged anew.

A row says by which version it was judged, and which critical and warning rules of that version it failed. So what a
rule asks that this version asked too is known without its columns; what is not known is judged by the validate stage
itself (`biokeel.validate.stage.judge`). In a piece of rows:

| rows were judged by | what is asked | answer |
| --- | --- | --- |
| versions that are known here, all of which stamp it | the same type and arguments | the stamps |
| any version that is not known, or asks something else | | judged, for every row of the piece |

An info rule is stamped nowhere, and always judged.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from biokeel.batch import PseudonymisedBatch
from biokeel.contracts.ids import decode_ids
from biokeel.validate.stage import judge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from biokeel.validate.rules import CompiledSuite, Rule

Truths = npt.NDArray[np.bool_]
_PARTICIPANT = "participant"


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Answers of the rules in `asked` (what it asks → a rule that asks it) for rows of `suite`'s event type.

    `known`: version → what it asked → the id that its rows are stamped with.
    """

    suite: CompiledSuite
    asked: Mapping[str, Rule]
    known: Mapping[str, Mapping[str, str]]

    def of(self, stamps: pl.DataFrame, read: Callable[[Mapping[str, pl.DataType]], pl.DataFrame]) -> dict[str, Truths]:
        """What it asks → which rows fail it, of those that any row fails.

        `stamps` has `suite_version` and a list `stamped` of rule ids for each row; `read` gives columns of these rows.
        """
        versions = stamps["suite_version"].unique().to_list()
        told = {ask for ask in self.asked if all(ask in self.known.get(version, {}) for version in versions)}
        failed = self._stamped(stamps, told) if told else {}
        return failed | self._judged([ask for ask in self.asked if ask not in told], read)

    def _stamped(self, stamps: pl.DataFrame, told: Iterable[str]) -> dict[str, Truths]:
        """The answers to `told` by the ids on the rows."""
        ids = stamps.with_row_index("at").filter(pl.col("stamped").list.len() > 0).explode("stamped")
        rows = {
            key: some["at"].to_numpy()
            for key, some in ids.partition_by("suite_version", "stamped", as_dict=True).items()
        }
        failed = {}
        for ask in told:
            mask = np.zeros(stamps.height, np.bool_)
            for version, asks in self.known.items():
                mask[rows.get((version, asks.get(ask)), [])] = True
            if mask.any():
                failed[ask] = mask
        return failed

    def _judged(self, asks: list[str], read: Callable[[Mapping[str, pl.DataType]], pl.DataFrame]) -> dict[str, Truths]:
        """The answers to `asks` by the stage."""
        if not asks:
            return {}
        rules = tuple(replace(self.asked[ask], id=str(number)) for number, ask in enumerate(asks))
        suite = replace(self.suite, rules=rules)
        frame = read_stored(self.stored(asks), read)
        failed = judge(PseudonymisedBatch(suite.event, frame), suite).failed
        return {asks[int(each.name)]: each.to_numpy() for each in failed}

    def stored(self, asks: Iterable[str]) -> dict[str, pl.DataType]:
        """The columns of a batch that answering `asks` reads."""
        names = sorted(frozenset().union(*(self.asked[ask].columns for ask in asks)))
        return self.suite.columns.view(names)[0]


def read_stored(
    columns: Mapping[str, pl.DataType], read: Callable[[Mapping[str, pl.DataType]], pl.DataFrame]
) -> pl.DataFrame:
    """`columns` of a batch by `read`, which reads those of a table: there a participant is a text."""
    kept = {name: kind for name, kind in columns.items() if name != _PARTICIPANT}
    if _PARTICIPANT not in columns:
        return read(kept)
    frame = read(kept | {"participant_id": pl.String()})
    return frame.with_columns(decode_ids(frame["participant_id"]).alias(_PARTICIPANT)).drop("participant_id")
