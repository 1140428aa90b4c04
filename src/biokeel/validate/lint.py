"""Reading a suite: what is wrong with it, where, and what to write instead.

A suite is native Great Expectations 1.x JSON. Beyond what Great Expectations asks for, each expectation must have a
stable, readable rule id (`meta.rule`: rows are stamped with it; GX's own `id` is a random UUID of its store), an
explicit `severity`, and a reason (`meta.notes`).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from biokeel.errors import SuiteError
from biokeel.validate.columns import Columns
from biokeel.validate.compile import How, compile_expectation
from biokeel.validate.rules import CompiledSuite, Rule, Severity

if TYPE_CHECKING:
    from biokeel.contracts.schema import EventSchema

_RULE: Final = re.compile(r"[a-z0-9_]+(?:\.[a-z0-9_]+)+")
_SUITE_KEYS: Final = frozenset({"name", "id", "expectations", "meta", "notes", "suite_parameters"})
_KEYS: Final = frozenset({"type", "kwargs", "meta", "severity", "notes", "description", "id", "rendered_content"})
_HASH_DIGITS: Final = 12


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault of a suite: `rule` is the rule id, or the expectation's place in the file, or empty for the suite."""

    rule: str
    what: str
    fix: str = ""

    def __str__(self) -> str:
        return " ".join(part for part in (f"{self.rule}:" if self.rule else "", self.what, self.fix) if part)


@dataclass(frozen=True, slots=True)
class Reading:
    """A suite as far as it could be read: `suite` is None where there is any finding."""

    suite: CompiledSuite | None
    rules: tuple[Rule, ...]
    findings: tuple[Finding, ...]


def read_suite(text: str, schema: EventSchema) -> Reading:
    """Read the suite of `schema`'s event type from its JSON; every fault becomes a `Finding`, nothing is raised."""
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        return Reading(None, (), (Finding("", f"not JSON: line {error.lineno}, {error.msg}."),))
    if not isinstance(document, dict):
        return Reading(None, (), (Finding("", "not a JSON object."),))
    findings = _suite_findings(document, str(schema.event))
    expectations = document.get("expectations")
    columns = Columns.of(schema)
    rules: dict[str, Rule] = {}
    for number, expectation in enumerate(expectations if isinstance(expectations, list) else [], start=1):
        try:
            rule = _rule(expectation, columns)
        except SuiteError as error:
            findings.append(Finding(_where(expectation, number), error.what, error.todo))
            continue
        if rule.id in rules:
            findings.append(Finding(rule.id, "the id is taken by another rule of the suite.", "Choose another."))
        rules[rule.id] = rule
    suite = None if findings else CompiledSuite(schema.event, _version(document), tuple(rules.values()), columns)
    return Reading(suite, tuple(rules.values()), tuple(findings))


def _suite_findings(document: Mapping[str, Any], event: str) -> list[Finding]:
    findings = []
    if document.get("name") != event:
        findings.append(Finding("", "the suite's name is not its event type.", f'Write "name": "{event}".'))
    if not isinstance(document.get("expectations"), list) or not document["expectations"]:
        findings.append(Finding("", "the suite has no expectations.", "An event type without a rule lands unjudged."))
    if unknown := sorted(document.keys() - _SUITE_KEYS):
        findings.append(Finding("", f"unknown keys: {', '.join(unknown)}.", "Remove them."))
    if document.get("suite_parameters"):
        findings.append(Finding("", "suite_parameters are not read.", "Write the values themselves."))
    return findings


def _where(expectation: Any, number: int) -> str:
    meta = expectation.get("meta") if isinstance(expectation, dict) else None
    rule = meta.get("rule") if isinstance(meta, dict) else None
    return rule if isinstance(rule, str) else f"expectation {number}"


def _rule(expectation: Any, columns: Columns) -> Rule:
    if not isinstance(expectation, dict) or not isinstance(expectation.get("kwargs"), dict):
        raise SuiteError("an expectation is an object with type and kwargs.")
    if unknown := sorted(expectation.keys() - _KEYS):
        raise SuiteError(f"unknown keys: {', '.join(unknown)}.", "Remove them.")
    meta = expectation.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    rule, notes, severity = meta.get("rule"), meta.get("notes"), expectation.get("severity")
    if not isinstance(rule, str) or not _RULE.fullmatch(rule):
        raise SuiteError("meta.rule is missing or no rule id.", "Write words and dots, such as bp.systolic.range.")
    if not isinstance(notes, str) or not notes.strip():
        raise SuiteError("meta.notes is missing.", "Say why the rule is there and where its numbers come from.")
    if severity not in set(Severity):
        raise SuiteError("severity is missing or unknown.", f"Write {', '.join(Severity)}.")
    kwargs = expectation["kwargs"]
    mostly = _mostly(kwargs)
    compiled = compile_expectation(str(expectation.get("type")), kwargs, columns)
    if severity == Severity.CRITICAL and compiled.how is How.WINDOW:
        raise SuiteError("it runs on a window, which cannot quarantine a row.", "Set severity to warning or info.")
    if severity == Severity.CRITICAL and mostly < 1:
        raise SuiteError(
            "mostly below 1 tolerates single rows, so it cannot quarantine one.",
            "Remove mostly, or set severity to warning or info.",
        )
    return Rule(
        rule,
        Severity(severity),
        str(expectation["type"]),
        notes,
        mostly,
        compiled.how,
        compiled.unexpected,
        compiled.columns,
    )


def _mostly(kwargs: Mapping[str, Any]) -> float:
    mostly = kwargs.get("mostly", 1)
    if not isinstance(mostly, int | float) or isinstance(mostly, bool) or not 0 <= mostly <= 1:
        raise SuiteError("mostly must be a number from 0 to 1.")
    return float(mostly)


def _version(document: Mapping[str, Any]) -> str:
    """The content's hash, whatever its white space; behind the steward's own version where there is one."""
    content = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    digest = hashlib.sha256(content.encode()).hexdigest()[:_HASH_DIGITS]
    meta = document.get("meta")
    version = meta.get("version") if isinstance(meta, dict) else None
    return f"{version}+{digest}" if version else digest
