"""Reading a suite: what is wrong with it, where, and what to write instead.

A suite is native Great Expectations 1.x JSON. Beyond what Great Expectations asks for, each expectation must have a
stable, readable rule id (`meta.rule`: rows are stamped with it; GX's own `id` is a random UUID of its store), an
explicit `severity`, and a reason (`meta.notes`, or GX's own `notes`).

Reading is total: whatever stands in a text becomes findings, all of them at once, each with rule and place, and nothing
is raised. What has no finding has been run (`biokeel.validate.trial`).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from biokeel.errors import SchemaError
from biokeel.validate.columns import Columns
from biokeel.validate.compile import compile_expectation
from biokeel.validate.document import lines_of, path_text, read_document
from biokeel.validate.expectations import EVERY, How
from biokeel.validate.findings import Faults, Finding
from biokeel.validate.rules import CompiledSuite, Rule, Severity
from biokeel.validate.trial import unfit_rules
from biokeel.validate.values import shown
from biokeel.validate.waivers import waivers_of
from biokeel.validate.windows import Window, threshold_of, window_of

if TYPE_CHECKING:
    from biokeel.contracts.schema import EventSchema
    from biokeel.validate.patterns import Search
    from biokeel.validate.windows import Threshold

__all__ = ["Finding", "Reading", "place_of", "read_suite"]

MOST_RULES: Final = 500
"""Rules of one suite. Eighty cost twice what eight do; the largest suite that ships has some fifty."""
MOST_PATTERNS: Final = 1_000
"""Regular expressions of one suite; each is searched for in each row."""
MOST_STATES: Final = 100_000
"""What they may come to together, in ranges of characters: some 50 ms of setting up a batch at the most."""
MOST_LOOKS: Final = 10_000
"""How often rules and conditions may look at a value of a row; a range looks two or three times."""
MOST_FINDINGS: Final = 200
"""Findings that are told; then how many more there are."""
_RULE: Final = re.compile(r"[a-z0-9_]+(?:\.[a-z0-9_]+)+")
_LONGEST_RULE: Final = 100
_VERSION: Final = re.compile(r"[0-9A-Za-z._-]{1,40}")
_SUITE_KEYS: Final = frozenset({"name", "id", "expectations", "meta", "notes", "suite_parameters"})
_KEYS: Final = frozenset({"type", "kwargs", "meta", "severity", "notes", "description", "id", "rendered_content"})
_OLD: Final = ("This is the form of Great Expectations 0.x.", "`biokeel suite convert FILE` writes the form of 1.x.")
_HASH_DIGITS: Final = 12


@dataclass(frozen=True, slots=True)
class Reading:
    """A suite as far as it could be read: `suite` is None where there is any finding.

    `rules` are those without a finding of their own.
    """

    suite: CompiledSuite | None
    rules: tuple[Rule, ...]
    findings: tuple[Finding, ...]


def read_suite(text: str, schema: EventSchema) -> Reading:
    """Read the suite of `schema`'s event type from its JSON; every fault becomes a `Finding`, nothing is raised."""
    document, findings = read_document(text)
    if not isinstance(document, dict):
        return Reading(None, (), findings or (Finding("", "not a JSON object.", 'Write {"name": ...}.'),))
    if "expectation_suite_name" in document:
        return Reading(None, (), (*findings, Finding("", *_OLD, "expectation_suite_name")))
    try:
        columns = Columns.of(schema)
    except SchemaError as error:
        return Reading(None, (), (*findings, Finding("", error.what, error.todo)))
    about = Faults()
    meta = document.get("meta")
    window = window_of(meta if isinstance(meta, dict) else {}, about)
    rules, more = _rules(document.get("expectations"), columns, window)
    found = [*findings, *_suite_findings(document, str(schema.event), rules), *more]
    found += [Finding("", error.what, error.todo, place) for place, error in about.found]
    if not found:
        suite = CompiledSuite(schema.event, _version(document), tuple(rules), columns)
        found = [Finding(rule, what, fix) for rule, what, fix in unfit_rules(suite)]
        if not found:
            return Reading(suite, suite.rules, ())
    return Reading(None, tuple(rules), _placed(found, document, text))


def _placed(findings: list[Finding], document: Mapping[str, Any], text: str) -> tuple[Finding, ...]:
    """`findings` with the rule and the line of each path, in the order of the text."""
    lines = lines_of(text)
    placed = [_with_place(each, document.get("expectations"), lines) for each in findings[:MOST_FINDINGS]]
    placed.sort(key=lambda each: each.line or 0)
    if (more := len(findings) - MOST_FINDINGS) > 0:
        placed.append(Finding("", f"and {more} findings more."))
    return tuple(placed)


def _with_place(finding: Finding, expectations: Any, lines: Mapping[str, int]) -> Finding:
    path, rule, line = finding.path, finding.rule, finding.line
    if not rule and (inside := re.match(r"expectations\[(\d+)\]", path)) and isinstance(expectations, list):
        number = int(inside[1])
        rule = place_of(expectations[number], number + 1)
    while line is None and path:
        line = lines.get(path)
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return replace(finding, rule=rule, line=line)


def _rules(expectations: Any, columns: Columns, window: Window) -> tuple[list[Rule], list[Finding]]:
    """The rules that are sound by themselves, and what is wrong with the others. `window`: the one of the suite."""
    if not isinstance(expectations, list):
        return [], []
    if len(expectations) > MOST_RULES:
        what = f"the suite has {len(expectations):,} expectations, more than {MOST_RULES}."
        return [], [Finding("", what, "Put values into sets, and patterns into lists.", "expectations")]
    rules: dict[str, Rule] = {}
    findings = []
    searches: list[Search] = []
    for number, expectation in enumerate(expectations):
        path = path_text(("expectations", number))
        faults = Faults()
        rule = None
        with faults.at(""):
            rule, more = _rule(expectation, columns, window, faults)
            searches += more
        if rule is not None and rule.id in rules:
            faults.add("meta.rule", "the id is taken by another rule of the suite.", "Choose another.")
        elif rule is not None and not faults.found:
            rules[rule.id] = rule
        place = place_of(expectation, number + 1)
        findings += [
            Finding(place, error.what, error.todo, f"{path}.{below}" if below else path)
            for below, error in faults.found
        ]
    if len(searches) > MOST_PATTERNS:
        what = f"the suite has {len(searches):,} regular expressions, more than {MOST_PATTERNS:,}."
        findings.append(Finding("", what, "Use sets, or join patterns by |.", "expectations"))
    if (states := sum(search.states for search in searches)) > MOST_STATES:
        what = f"its regular expressions come to {states:,} ranges of characters, more than {MOST_STATES:,}."
        findings.append(Finding("", what, r"Repeat less, or write [0-9A-Za-z_] for \w.", "expectations"))
    judging = [rule.unexpected for rule in rules.values() if rule.unexpected is not None]
    if (looks := sum(len(each.meta.root_names()) for each in judging)) > MOST_LOOKS:
        what = f"its rules and conditions look at a value {looks:,} times for each row, more than {MOST_LOOKS:,}."
        findings.append(Finding("", what, "Use sets in conditions: value in [...].", "expectations"))
    return list(rules.values()), findings


def _suite_findings(document: Mapping[str, Any], event: str, rules: list[Rule]) -> list[Finding]:
    findings = []
    if document.get("name") != event:
        findings.append(Finding("", "the suite's name is not its event type.", f'Write "name": "{event}".', "name"))
    unjudged = "An event type without a rule lands unjudged."
    expectations = document.get("expectations")
    if not isinstance(expectations, list) or not expectations:
        findings.append(Finding("", "the suite has no expectations.", unjudged, "expectations"))
    elif len(rules) == len(expectations) and not any(rule.how is How.ROW for rule in rules):
        findings.append(Finding("", "no expectation of the suite judges a row.", unjudged, "expectations"))
    if unknown := sorted(document.keys() - _SUITE_KEYS):
        findings.append(Finding("", f"unknown keys: {shown(unknown)}.", "Remove them.", unknown[0]))
    if document.get("suite_parameters"):
        findings.append(
            Finding("", "suite_parameters are not read.", "Write the values themselves.", "suite_parameters")
        )
    meta = document.get("meta")
    if meta is not None and not isinstance(meta, dict):
        findings.append(Finding("", "meta is no object.", 'Write "meta": {"version": "1"}.', "meta"))
    elif meta and "version" in meta:
        version = meta["version"]
        if not isinstance(version, str) or not _VERSION.fullmatch(version):
            fix = "Write a text of up to 40 of these: 0-9 A-Z a-z . _ -"
            findings.append(
                Finding("", "meta.version is no version: every row is stamped with it.", fix, "meta.version")
            )
    return findings


def place_of(expectation: Any, number: int) -> str:
    """The rule id of an expectation, or its place in the file where it has none."""
    meta = expectation.get("meta") if isinstance(expectation, dict) else None
    rule = meta.get("rule") if isinstance(meta, dict) else None
    return rule if isinstance(rule, str) and len(rule) <= _LONGEST_RULE else f"expectation {number}"


def _rule(expectation: Any, columns: Columns, window: Window, faults: Faults) -> tuple[Rule | None, tuple[Search, ...]]:
    """The rule of one expectation, and the regular expressions in it; all that is wrong with it goes to `faults`."""
    if not isinstance(expectation, dict):
        faults.add("", "an expectation is an object with type and kwargs.")
        return None, ()
    if "expectation_type" in expectation:
        faults.add("expectation_type", _OLD[0], f"Write type for expectation_type. {_OLD[1]}")
        return None, ()
    if unknown := sorted(expectation.keys() - _KEYS):
        faults.add(unknown[0], f"unknown keys: {shown(unknown)}.", "Remove them.")
    meta = expectation.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    rule = meta.get("rule")
    if not isinstance(rule, str) or not _RULE.fullmatch(rule) or len(rule) > _LONGEST_RULE:
        faults.add("meta", "meta.rule is missing or no rule id.", "Write words and dots, such as bp.systolic.range.")
    notes = _notes(meta.get("notes")) or _notes(expectation.get("notes"))
    if not notes:
        faults.add("meta", "meta.notes is missing.", "Say why the rule is there and where its numbers come from.")
    severity = _severity(expectation.get("severity"))
    if severity is None:
        faults.add("severity", "severity is missing or unknown.", f"Write {', '.join(Severity)}.")
    source = meta.get("source", "")
    if not isinstance(source, str):
        faults.add("meta.source", "meta.source is no text.", "Name the guideline, standard or paper, with its table.")
    kind, kwargs = expectation.get("type"), expectation.get("kwargs")
    if not isinstance(kind, str) or not isinstance(kwargs, dict):
        faults.add("", "an expectation is an object with type and kwargs.")
        return None, ()
    mostly = _mostly(kwargs, faults)
    if severity is Severity.CRITICAL and mostly < 1:
        faults.add(
            "kwargs.mostly",
            "mostly below 1 tolerates single rows, so it cannot quarantine one.",
            "Remove mostly, or set severity to warning or info.",
        )
    compiled = compile_expectation(kind, kwargs, columns, faults)
    beside = _beside(kind, expectation | {"meta": meta}, mostly, window, faults)
    waivers = waivers_of(meta, faults, critical=severity is Severity.CRITICAL)
    if compiled is None or severity is None or faults.found:
        return None, ()
    made = Rule(str(rule), severity, kind, notes, mostly, compiled.how, compiled.unexpected, compiled.columns, *beside)
    return replace(made, waivers=waivers, source=source), compiled.searches


def _beside(
    kind: str, expectation: Mapping[str, Any], mostly: float, default: Window, faults: Faults
) -> tuple[Window | None, Threshold | None]:
    """Over which window an expectation is judged, where it is (`mostly` is about many rows, too), and its threshold."""
    meta = expectation["meta"]
    severity = _severity(expectation.get("severity"))
    window, threshold = window_of(meta, faults, default), threshold_of(meta, faults)
    answer = EVERY.get(kind)
    if answer is None or answer.how is How.REFUSED:
        return None, None
    if answer.how is How.WINDOW:
        if severity is Severity.CRITICAL:
            fix = f"Set it to warning or info. {answer.instead}"
            faults.add("severity", "it runs on a window, which cannot quarantine a row.", fix)
        if threshold is not None:
            faults.add("meta.threshold", "a threshold is a share of rows, and it judges none.", "Remove it.")
        return window, None
    if threshold is not None and severity is Severity.INFO:
        what = "what fails an info rule is noted on no row, so it has no share."
        faults.add("meta.threshold", what, "Set its severity to warning.")
    if mostly < 1:
        return window, threshold
    if "window" in meta:
        faults.add("meta.window", "meta.window stands at a rule that judges each row.", "Remove it.")
    return None, threshold


def _notes(notes: Any) -> str:
    """A reason in any form that Great Expectations writes: a text, lines, or an object with a format."""
    if isinstance(notes, dict) and notes.get("format") in ("string", "markdown"):
        notes = notes.get("content")
    if isinstance(notes, list) and all(isinstance(line, str) for line in notes):
        notes = "\n".join(notes)
    return notes.strip() if isinstance(notes, str) else ""


def _severity(severity: Any) -> Severity | None:
    return Severity(severity) if isinstance(severity, str) and severity in set(Severity) else None


def _mostly(kwargs: Mapping[str, Any], faults: Faults) -> float:
    mostly = kwargs.get("mostly", 1)
    if not isinstance(mostly, int | float) or isinstance(mostly, bool) or not 0 <= mostly <= 1:
        faults.add("kwargs.mostly", "mostly must be a number from 0 to 1.", "Write the share as 0.95.")
        return 1.0
    return float(mostly)


def _version(document: Mapping[str, Any]) -> str:
    """The content's hash, whatever its white space; behind the steward's own version where there is one."""
    content = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    digest = hashlib.sha256(content.encode()).hexdigest()[:_HASH_DIGITS]
    meta = document.get("meta")
    version = meta.get("version") if isinstance(meta, dict) else None
    return f"{version}+{digest}" if version else digest
