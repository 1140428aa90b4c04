"""Two suites held against each other on the same rows: where their rules differ, and which rows change by that. Pure.

What is stamped on rows is believed where that answers (`biokeel.rules.backtest_verdicts`); the rest is judged anew, by
the stage that judges the stream.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from biokeel.rules.backtest_verdicts import Verdicts
from biokeel.validate.rules import Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import polars as pl

    from biokeel.rules.backtest_suites import Written
    from biokeel.rules.backtest_verdicts import Truths
    from biokeel.validate.rules import Rule


class Change(StrEnum):
    """What is new about a row and a rule."""

    NEWLY_FAILING = "newly failing"
    NEWLY_PASSING = "newly passing"
    OTHER_SEVERITY = "other severity"


@dataclass(frozen=True, slots=True)
class RuleChange:
    """How a row rule of the draft differs: `was` and `now` are its severities, None where a suite has no such rule.

    `waived_otherwise`: it is critical in both, for other sources or until another day.
    """

    rule: str
    was: Severity | None
    now: Severity | None
    asks_otherwise: bool
    waived_otherwise: bool

    @property
    def words(self) -> str:
        """What was done to the rule."""
        if self.was is None:
            return f"new, {self.now}"
        if self.now is None:
            return "removed"
        severity = f"{self.was} → {self.now}" if self.was is not self.now else ""
        waivers = "other waivers" if self.waived_otherwise else ""
        return ", ".join(part for part in ("edited" if self.asks_otherwise else "", severity, waivers) if part)


@dataclass(frozen=True, slots=True)
class Compared:
    """Some rows: what was asked → the rows that fail it, of those that any row fails; which rows each suite stops; and
    the changes of rules of which there are any, with the rows they happen to.
    """

    failed: Mapping[str, Truths]
    was_stopped: Truths
    would_stop: Truths
    changes: tuple[tuple[str, Change, Truths], ...]


class Pair:
    """A draft, and the suite it is held `against`.

    `stamps` says which suites the versions are that rows are stamped with, as far as they are to be believed; `also`
    what must be known of each row besides (what is asked → a rule that asks it).
    """

    def __init__(
        self,
        draft: Written,
        against: Written,
        stamps: Mapping[str, Written],
        also: Mapping[str, Rule] = MappingProxyType({}),
    ) -> None:
        self.draft, self.against = draft, against
        self.rules = tuple(_differences(draft, against))
        known = {version: each.stamped() for version, each in stamps.items()}
        self.verdicts = Verdicts(draft.suite, self._asked(also), known)

    def compare(self, rows: pl.DataFrame, read: Callable[[Mapping[str, pl.DataType]], pl.DataFrame]) -> Compared:
        """Compare both on `rows`, which have `suite_version` and `stamped`; `read` gives more of their columns."""
        failed = self.verdicts.of(rows, read)
        was, would = (any_of(failed, each.critical(), rows.height) for each in (self.against, self.draft))
        changes = [(each.rule, change, mask) for each in self.rules for change, mask in self._changes(each, failed)]
        return Compared(failed, was, would, tuple(changes))

    def _asked(self, also: Mapping[str, Rule]) -> dict[str, Rule]:
        """What must be known of each row: what the suites differ in, what stops rows, and `also`."""
        asked: dict[str, Rule] = dict(also)
        differing = {each.rule for each in self.rules}
        for written in (self.draft, self.against):
            asked |= written.stopping
            asked |= {written.asks[name]: rule for name, rule in written.rules.items() if name in differing}
        return asked

    def _changes(self, each: RuleChange, failed: Mapping[str, Truths]) -> Iterator[tuple[Change, Truths]]:
        """The changes of a rule of which there are any, with the rows they happen to."""
        was, now = (failed.get(written.asks.get(each.rule, "")) for written in (self.against, self.draft))
        if was is None and now is None:
            return
        shape = np.zeros_like(was if was is not None else now, dtype=np.bool_)
        was, now = (shape if mask is None else mask for mask in (was, now))
        otherwise = shape if each.was is each.now else was & now
        if each.waived_otherwise:
            stopped = (
                failed.get(written.stops(written.rules[each.rule]), shape) for written in (self.against, self.draft)
            )
            otherwise = was & now & np.logical_xor(*stopped)
        for change, mask in (
            (Change.NEWLY_FAILING, now & ~was),
            (Change.NEWLY_PASSING, was & ~now),
            (Change.OTHER_SEVERITY, otherwise),
        ):
            if mask.any():
                yield change, mask


def any_of(failed: Mapping[str, Truths], asks: Iterable[str], height: int) -> Truths:
    """The rows, of `height`, that fail any of `asks`."""
    found = np.zeros(height, np.bool_)
    for ask in asks:
        if ask in failed:
            found |= failed[ask]
    return found


def _differences(draft: Written, against: Written) -> Iterator[RuleChange]:
    now, was = draft.rules, against.rules
    for name in (*now, *(each for each in was if each not in now)):
        otherwise = draft.asks.get(name) != against.asks.get(name)
        severities = [rules[name].severity if name in rules else None for rules in (was, now)]
        waivers = [rules[name].waivers if name in rules else () for rules in (was, now)]
        waived = severities[0] is severities[1] is Severity.CRITICAL and waivers[0] != waivers[1]
        if otherwise or waived or severities[0] is not severities[1]:
            yield RuleChange(name, severities[0], severities[1], otherwise, waived)
