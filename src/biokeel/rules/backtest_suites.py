"""What two suites have in common and what not, rule by rule, told by what each rule asks of a row.

Two rules ask the same where they have the same expectation type and the same arguments, `mostly` left out, which is
never applied to a row (`docs/decisions/010-mostly-is-not-a-row.md`). Id, severity, notes and the place in the file say
nothing about which rows fail.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from biokeel.errors import SuiteError
from biokeel.validate.lint import place_of, read_suite
from biokeel.validate.rules import Severity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from biokeel.contracts.schema import EventSchema
    from biokeel.validate.rules import CompiledSuite, Rule

STAMPED = frozenset({Severity.CRITICAL, Severity.WARNING})
"""Severities of rules whose ids rows are stamped with; what fails an info rule is only counted."""


@dataclass(frozen=True)
class Written:
    """A suite with what each row rule asks: `asks` is rule id → type and arguments, as text that can be compared.

    `arguments`: rule id → the arguments of its expectation. `text` is what it was read from.
    """

    suite: CompiledSuite
    asks: Mapping[str, str]
    arguments: Mapping[str, Mapping[str, Any]]  # as JSON has them
    text: str

    @property
    def rules(self) -> dict[str, Rule]:
        """The rules that judge rows, by id."""
        return {rule.id: rule for rule in self.suite.row_rules}

    @property
    def stopping(self) -> dict[str, Rule]:
        """What is asked to know which rows the critical rules stop: a rule that fails where one of them does."""
        return {self.stops(rule): rule.stopping for rule in self._critical()}

    def stops(self, rule: Rule) -> str:
        """What is asked to know which rows `rule`, a critical one, stops: what it asks, and for whom it is waived."""
        of_whom = [(each.source, each.until.isoformat()) for each in rule.waivers]
        return f"{self.asks[rule.id]} {json.dumps(sorted(of_whom))}" if of_whom else self.asks[rule.id]

    def critical(self, *, but: str = "") -> frozenset[str]:
        """`stopping` without the rules, and without the rule with the id `but`."""
        return frozenset(self.stops(rule) for rule in self._critical() if rule.id != but)

    def _critical(self) -> list[Rule]:
        return [rule for rule in self.suite.row_rules if rule.severity is Severity.CRITICAL]

    @property
    def windows(self) -> tuple[str, ...]:
        """The ids of rules that judge no row, so that no backtest can try them."""
        return tuple(rule.id for rule in self.suite.rules if rule.id not in self.asks)

    def stamped(self) -> dict[str, str]:
        """What a rule asks → its id, of rules whose ids are stamped on the rows that fail them."""
        return {self.asks[rule.id]: rule.id for rule in self.suite.row_rules if rule.severity in STAMPED}


def read_written(text: str, schema: EventSchema, where: str) -> Written:
    """The suite in the JSON `text`. Raises `SuiteError` with all that is wrong; `where` names it for the reader."""
    reading = read_suite(text, schema)
    if reading.suite is None:
        raise SuiteError(f"{where}: {' | '.join(map(str, reading.findings))}", "`biokeel suite check` says more.")
    expectations = json.loads(text)["expectations"]
    by_rule = {place_of(each, number): each for number, each in enumerate(expectations, start=1)}
    ids = [rule.id for rule in reading.suite.row_rules]
    return Written(
        reading.suite,
        {name: _asked(by_rule[name]) for name in ids},
        {name: by_rule[name]["kwargs"] for name in ids},
        text,
    )


def _asked(expectation: Mapping[str, Any]) -> str:
    arguments = {name: value for name, value in expectation["kwargs"].items() if name != "mostly"}
    return json.dumps([expectation["type"], arguments], sort_keys=True, ensure_ascii=False)
