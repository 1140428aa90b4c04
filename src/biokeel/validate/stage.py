"""The validate stage: judge every row of a batch by its suite (interface)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from biokeel.batch import Outcome, PseudonymisedBatch, QuarantinedBatch, ValidatedBatch

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

    from biokeel.validate.suites import CompiledSuite


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a suite says of a batch, before anything is split. `counts`: failed rows by rule id, info rules included."""

    batch: PseudonymisedBatch
    counts: Mapping[str, int]

    def outcome(self, decided: pl.Series | None = None) -> Outcome[ValidatedBatch, QuarantinedBatch]:
        """Split the batch into what lands and what is quarantined; see `validate`."""
        raise NotImplementedError


def judge(batch: PseudonymisedBatch, suite: CompiledSuite) -> Judgement:
    """Judge every row of `batch` by `suite`; the runner takes `counts` for its metrics and `outcome` to go on."""
    raise NotImplementedError


def validate(
    batch: PseudonymisedBatch, suite: CompiledSuite, decided: pl.Series | None = None
) -> Outcome[ValidatedBatch, QuarantinedBatch]:
    """Judge a batch and split it: `judge(batch, suite).outcome(decided)`.

    `decided` (Boolean, nullable, one a row) is what the first commit decided, in a replay: True lands the row, False
    quarantines it, null lets the suite judge it. Rows keep their order; both frames keep every column they came with.
    """
    return judge(batch, suite).outcome(decided)
