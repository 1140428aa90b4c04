"""What a suite becomes once it is read: rules, and the one expression for each of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Final

import polars as pl

from biokeel.validate.columns import Kind, kind_of
from biokeel.validate.expectations import How
from biokeel.validate.waivers import COLUMNS as WAIVED_BY
from biokeel.validate.waivers import waived

if TYPE_CHECKING:
    from biokeel.contracts.topics import EventType
    from biokeel.validate.columns import Columns
    from biokeel.validate.waivers import Waiver
    from biokeel.validate.windows import Threshold, Window


_FEW_COLUMNS: Final = 2
_SEVERAL_RULES: Final = 4
"""With fewer, to find the different values costs as much as it saves."""


class Severity(StrEnum):
    """What becomes of a row that fails: quarantined, landed with a flag, or only counted."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Rule:
    """One expectation of a suite.

    `expectation` is Great Expectations' name of its type, `notes` the steward's reason; `source` is the guideline,
    standard or paper that its numbers are from, empty where none is named. `unexpected` is a Boolean expression, never
    null, over `columns`; None for an expectation that runs on a window.

    `waivers` say for which rows it stops nothing although it is critical: they land, with its id among their warnings.

    `window` is where Great Expectations judges it: of one that runs on a window, and of one with `mostly` below 1,
    which is about many rows, too. `threshold`: from which share of a source's rows on it warns or fails.
    """

    id: str
    severity: Severity
    expectation: str
    notes: str
    mostly: float
    how: How
    unexpected: pl.Expr | None
    columns: frozenset[str]
    window: Window | None = None
    threshold: Threshold | None = None
    waivers: tuple[Waiver, ...] = ()
    source: str = ""

    @property
    def stopping(self) -> Rule:
        """The rule that fails where this one, which is critical, stops a row: where it fails and is not waived."""
        if not self.waivers or self.unexpected is None:
            return self
        stops = self.unexpected & ~waived(self.waivers)
        return replace(self, unexpected=stops, columns=self.columns | WAIVED_BY, waivers=())

    @property
    def runs(self) -> str:
        """How the rule runs, in a sentence for the steward."""
        if self.how is How.WINDOW:
            return f"window: judged by Great Expectations beside the stream, {self.window}; no row changes by it"
        does = {
            Severity.CRITICAL: "a failing row is quarantined",
            Severity.WARNING: "a failing row lands with a flag",
            Severity.INFO: "failing rows are counted",
        }[self.severity]
        does = "; ".join((does, *map(str, self.waivers)))
        of_a_window = f"; mostly {self.mostly:g} is held of a window, {self.window}" if self.mostly < 1 else ""
        of_a_share = f"; it {self.threshold}" if self.threshold is not None else ""
        return f"row: {does}{of_a_window}{of_a_share}"


@dataclass(frozen=True)
class CompiledSuite:
    """The rules of one event type, ready to judge a batch.

    `version` is what rows are stamped with: the first 12 hexadecimal digits of the SHA-256 of the suite's content,
    behind the steward's own version where the suite's `meta.version` gives one (`3+0f12ab34cd56`).
    """

    event: EventType
    version: str
    rules: tuple[Rule, ...]
    columns: Columns

    @cached_property
    def row_rules(self) -> tuple[Rule, ...]:
        """The rules that judge each row, in the suite's order."""
        return tuple(rule for rule in self.rules if rule.how is How.ROW)

    @cached_property
    def window_rules(self) -> tuple[Rule, ...]:
        """The rules that Great Expectations judges over windows, in the suite's order."""
        return tuple(rule for rule in self.rules if rule.window is not None)

    @cached_property
    def waivers(self) -> dict[str, tuple[Waiver, ...]]:
        """The waivers of each rule that has any, by its id."""
        return {rule.id: rule.waivers for rule in self.rules if rule.waivers}

    @cached_property
    def by_value(self) -> tuple[tuple[tuple[str, ...], tuple[Rule, ...]], ...]:
        """Row rules that read the same few columns of texts and truth values: the columns, and the rules.

        The verdicts of such rules can be known from the different values, of which a batch has few.
        """
        groups: dict[tuple[str, ...], list[Rule]] = {}
        for rule in self.row_rules:
            kinds = {kind_of(self.columns.types[name]) for name in rule.columns}
            if len(rule.columns) <= _FEW_COLUMNS and kinds <= {Kind.TEXT, Kind.TRUTH}:
                groups.setdefault(tuple(sorted(rule.columns)), []).append(rule)
        return tuple((names, tuple(rules)) for names, rules in groups.items() if len(rules) >= _SEVERAL_RULES)

    @cached_property
    def unexpected(self) -> list[pl.Expr]:
        """One Boolean expression for each row rule, named by its id, over the columns of `view`."""
        return [rule.unexpected.alias(rule.id) for rule in self.row_rules if rule.unexpected is not None]

    @cached_property
    def _view(self) -> tuple[dict[str, pl.DataType], list[pl.Expr]]:
        return self.columns.view(sorted(frozenset().union(*(rule.columns for rule in self.row_rules))))

    def view(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The columns that the row rules read: derived ones computed, NaN made null.

        A column that `frame` lacks is null: the event was written before its schema had the field.
        """
        stored, expressions = self._view
        absent = [pl.lit(None, dtype).alias(name) for name, dtype in stored.items() if name not in frame.columns]
        return (frame.with_columns_seq(absent) if absent else frame).select_seq(expressions)
