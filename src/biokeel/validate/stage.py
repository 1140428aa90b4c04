"""The validate stage: every row of a batch is judged by its suite, once, and gets its verdict.

Rules are evaluated as columns of truth values, those on texts on the different values first; only rules that somebody
failed cost more: the rule ids of failing rows are gathered into one list column from row numbers, without a loop over
rows.

The stage is pure: no clock, no I/O. If the process dies here nothing has happened yet; the same rows are judged again,
and where the first verdict was already committed, `decided` carries it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
import pyarrow as pa

from biokeel.batch import Outcome, PseudonymisedBatch, QuarantinedBatch, ValidatedBatch
from biokeel.contracts.arrow import integers
from biokeel.poison import may_be_poison
from biokeel.reasons import Reason
from biokeel.validate.rules import Severity
from biokeel.validate.waivers import waived

if TYPE_CHECKING:
    from collections.abc import Mapping

    from biokeel.validate.rules import CompiledSuite, Rule

_LOG = logging.getLogger(__name__)
LISTS: Final = pl.List(pl.String())
"""Type of the columns `warnings` and `failed_rules`."""
_REPEATS: Final = 4
"""How often each value must stand in a batch, at the mean, for the different ones to be looked at first."""
_NONE: Final = pl.Series([[]], dtype=LISTS)
"""The list of a row that failed nothing."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a suite says of a batch, before anything is split.

    `counts` is the number of failed rows by rule id, of rules that somebody failed, info rules included. `failed` has
    one Boolean column for each of these rules, named by rule id, in the suite's order, one row for each row of `batch`.
    """

    batch: PseudonymisedBatch
    suite: CompiledSuite
    counts: Mapping[str, int]
    failed: pl.DataFrame

    def outcome(self, decided: pl.Series | None = None) -> Outcome[ValidatedBatch, QuarantinedBatch]:
        """Split the batch into what lands and what is quarantined; see `validate`."""
        critical = self._rules(Severity.CRITICAL)
        stops = self._stops(critical)
        accepted = _accepted(stops, len(self.batch), decided)
        landed = self._landed(self._flags(decided), accepted)
        quarantined = self._quarantined(accepted, stops)
        event = self.batch.event
        return Outcome(ValidatedBatch(event, landed), QuarantinedBatch(event, quarantined))

    def _rules(self, *severities: Severity) -> list[str]:
        return [rule.id for rule in self.suite.rules if rule.id in self.counts and rule.severity in severities]

    def _stops(self, critical: list[str]) -> pl.DataFrame:
        """Which rows each of the `critical` rules stops: those that fail it, where it is not waived for them."""
        return self.failed.select(critical).with_columns(
            self.failed[name] & ~self.batch.frame.select(waived(waivers)).to_series()
            for name, waivers in self.suite.waivers.items()
            if name in critical
        )

    def _flags(self, decided: pl.Series | None) -> list[str]:
        """Rules that flag a landed row; a critical one where it is waived, or the first commit decided otherwise."""
        if decided is None and not self.suite.waivers:
            return self._rules(Severity.WARNING)
        return self._rules(Severity.WARNING, Severity.CRITICAL)

    def _landed(self, flags: list[str], accepted: pl.Series | None) -> pl.DataFrame:
        frame, failed = self.batch.frame, self.failed
        if accepted is not None:
            frame, failed = frame.filter(accepted), _where(failed, accepted)
        return frame.with_columns_seq(self._version(), id_lists(failed.select(flags), frame.height).alias("warnings"))

    def _version(self) -> pl.Expr:
        return pl.lit(self.suite.version, pl.String).alias("suite_version")

    def _quarantined(self, accepted: pl.Series | None, stops: pl.DataFrame) -> pl.DataFrame:
        """`stops` are the critical rules that stop rows; where they fail and do not, they flag."""
        frame = self.batch.frame
        waived_here = [name for name in stops.columns if name in self.suite.waivers]
        warnings = self._rules(Severity.WARNING)
        flags = self.failed.select(name for name in self.failed.columns if name in warnings or name in waived_here)
        flags = flags.with_columns(flags[name] & ~stops[name] for name in waived_here)
        if accepted is None:
            stopped, stops, flags = frame.clear(), stops.clear(), flags.clear()
        else:
            stopped, stops, flags = (_where(each, ~accepted) for each in (frame, stops, flags))
        return stopped.with_columns_seq(
            self._version(),
            pl.lit(Reason.RULE.value, pl.String).alias("reason"),
            id_lists(stops, stopped.height).alias("failed_rules"),
            id_lists(flags, stopped.height).alias("warnings"),
        )


def judge(batch: PseudonymisedBatch, suite: CompiledSuite) -> Judgement:
    """Judge every row of `batch` by `suite`; the runner takes `counts` for its metrics and `outcome` to go on.

    A row on which a rule cannot be evaluated fails that rule (`docs/decisions/042-no-suite-stops-the-stream.md`); the
    log says which rule, and why.
    """
    view = suite.view(batch.frame)
    try:
        flags = _flags(view, suite)
    except BaseException as error:
        if not may_be_poison(error):
            raise
        flags = pl.DataFrame([_judged_with_care(view, rule) for rule in suite.row_rules])
    counts = {each.name: count for each in flags.get_columns() if (count := int(each.sum()))}
    return Judgement(batch, suite, counts, flags.select(list(counts)))


def _flags(view: pl.DataFrame, suite: CompiledSuite) -> pl.DataFrame:
    """Which rows fail which rule, a column for each rule that may have failed, in the suite's order.

    Rules on texts are asked about the different values first, which are few (statuses, codes, units): one pass over
    each column rather than one for each rule. Most rules fail on none of them, and are done.
    """
    passed: set[str] = set()
    for names, rules in suite.by_value:
        values = view.select(names).unique()
        if values.height * _REPEATS <= view.height:
            verdicts = values.select([rule.unexpected.alias(rule.id) for rule in rules if rule.unexpected is not None])
            passed.update(name for name in verdicts.columns if not verdicts[name].any())
    return view.select([each for each in suite.unexpected if each.meta.output_name() not in passed])


def _judged_with_care(view: pl.DataFrame, rule: Rule) -> pl.Series:
    """Which rows of `view` fail `rule`, one of the rules of which some raise: those on which it raises are among them.

    The rows are cut in halves down to the single ones, so that the verdict of a row depends on nothing but the row.
    """
    parts = []
    unjudged, why = 0, ""
    ranges = [(0, view.height)]
    while ranges:
        first, end = ranges.pop()
        try:
            parts.append(view[first:end].select(rule.unexpected).to_series().alias(rule.id))
            continue
        except BaseException as error:
            if not may_be_poison(error):
                raise
            why = type(error).__name__
        if end - first > 1:
            middle = (first + end) // 2
            ranges += [(middle, end), (first, middle)]
        else:
            unjudged += end - first
            parts.append(pl.Series(rule.id, [True] * (end - first), dtype=pl.Boolean))
    if unjudged:
        _LOG.error(
            "rule %s cannot be evaluated on %d of %d rows (%s): they fail it.", rule.id, unjudged, view.height, why
        )
    return pl.concat(parts)


def validate(
    batch: PseudonymisedBatch, suite: CompiledSuite, decided: pl.Series | None = None
) -> Outcome[ValidatedBatch, QuarantinedBatch]:
    """Judge a batch and split it: `judge(batch, suite).outcome(decided)`.

    `decided` (Boolean, nullable, one a row) is what the first commit decided, in a replay: True lands the row, False
    quarantines it, null lets the suite judge it. Rows keep their order; both frames keep every column they came with.
    Where a newer suite disagrees with the first commit the row says so: a landed row has the critical rules that it
    fails now among its `warnings`, and a quarantined one may have no `failed_rules`.
    """
    return judge(batch, suite).outcome(decided)


def failed(batch: PseudonymisedBatch, suite: CompiledSuite) -> QuarantinedBatch:
    """Every row of `batch` stopped because a stage failed on it. `suite` is the one that was to judge it."""
    nothing = id_lists(pl.DataFrame(), len(batch))
    stamped = batch.frame.with_columns(
        pl.lit(suite.version, pl.String).alias("suite_version"),
        pl.lit(Reason.STAGE_FAILED.value, pl.String).alias("reason"),
        nothing.alias("failed_rules"),
        nothing.alias("warnings"),
    )
    return QuarantinedBatch(batch.event, stamped)


def _accepted(critical: pl.DataFrame, height: int, decided: pl.Series | None) -> pl.Series | None:
    """Which rows land; None where all of them do."""
    if critical.width == 0 and decided is None:
        return None
    judged = critical.select(~pl.any_horizontal(pl.all())).to_series() if critical.width else None
    judged = pl.repeat(True, height, dtype=pl.Boolean, eager=True) if judged is None else judged
    return judged if decided is None else decided.zip_with(decided.is_not_null(), judged)


def _where(flags: pl.DataFrame, mask: pl.Series) -> pl.DataFrame:
    """The rows of `flags` where `mask` is true; a frame without columns has no rows to pick."""
    return flags.filter(mask) if flags.width else flags


def id_lists(flags: pl.DataFrame, height: int) -> pl.Series:
    """For each of `height` rows the names of the columns of `flags` that are true there, in their order (LISTS)."""
    if not flags.width:
        return _NONE.new_from_index(0, height)
    rows = [flags[name].arg_true().to_numpy() for name in flags.columns]
    lengths = [len(each) for each in rows]
    numbers = np.concatenate(rows)
    order = np.argsort(numbers, kind="stable")
    offsets = np.zeros(height + 1, np.int64)
    np.cumsum(np.bincount(numbers, minlength=height), out=offsets[1:])
    codes = np.repeat(np.arange(flags.width, dtype=np.int32), lengths)[order]
    ids = pl.Series(flags.columns, dtype=pl.String).gather(codes).to_arrow()
    lists = pl.from_arrow(pa.LargeListArray.from_arrays(integers(offsets), ids))
    assert isinstance(lists, pl.Series)
    return lists
