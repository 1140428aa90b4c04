"""Suites of Great Expectations 0.x, made into the form of 1.x.

Only words change: `expectation_suite_name`, `expectation_type` and `evaluation_parameters` have other names or none,
and arguments that say how a result is shown went. What an author has to say (the reason of a rule) is not made up,
apart from one severity for all and rule ids from the columns' names; reading the result tells what is left to do.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from biokeel.errors import SuiteError
from biokeel.validate.document import read_document
from biokeel.validate.rules import Severity

_SHOWING: Final = frozenset(
    {
        "result_format",
        "catch_exceptions",
        "include_config",
        "meta",
        "auto",
        "profiler_config",
        "parse_strings_as_datetimes",
    }
)
"""Arguments of 0.x that judge nothing: they say how a result is shown, or how columns were read from text."""
_KINDS: Final = re.compile(
    r"^expect_(?:column_values_|column_pair_values_|multicolumn_|select_column_values_|column_)?(?:to_)?"
)
_NO_WORD: Final = re.compile(r"[^a-z0-9_]+")


def convert_suite(text: str, event: str, severity: Severity) -> str:
    """The 0.x suite in the JSON `text` as a 1.x suite of `event`; every rule gets `severity`.

    `event` is empty where the suite's own name is to be kept. Raises `SuiteError` where `text` cannot be read or is no
    suite of 0.x.
    """
    document, findings = read_document(text)
    if findings:
        raise SuiteError(f"The suite cannot be read: {findings[0]}")
    if not isinstance(document, dict) or not isinstance(document.get("expectations"), list):
        raise SuiteError("The file is no suite: it has no list of expectations.")
    if "expectation_suite_name" not in document:
        raise SuiteError("The suite is not one of Great Expectations 0.x: it has no expectation_suite_name.")
    name = event or str(document["expectation_suite_name"])
    parameters = document.get("evaluation_parameters")
    known = parameters if isinstance(parameters, dict) else {}
    short = name.rpartition(".")[2]
    taken: set[str] = set()
    expectations = [_converted(each, short, severity, known, taken) for each in document["expectations"]]
    return json.dumps({"name": name, "expectations": expectations}, ensure_ascii=False, indent=2) + "\n"


def _converted(old: Any, event: str, severity: Severity, parameters: dict[str, Any], taken: set[str]) -> Any:
    """One expectation; what is none is left as it is, and reading the result names it."""
    if not isinstance(old, dict) or not isinstance(old.get("kwargs"), dict):
        return old
    kind = str(old.get("expectation_type", ""))
    kwargs = {
        name: _value(value, parameters)
        for name, value in old["kwargs"].items()
        if value is not None and name not in _SHOWING
    }
    meta = old.get("meta")
    kept = dict(meta) if isinstance(meta, dict) else {}
    kept["rule"] = _rule_id(event, kind, kwargs, taken)
    return {"type": kind, "kwargs": kwargs, "severity": severity.value, "meta": kept}


def _value(value: Any, parameters: dict[str, Any]) -> Any:
    """A parameter's value where the suite gives one; anything else as it is."""
    name = value.get("$PARAMETER") if isinstance(value, dict) else None
    return parameters.get(name, value) if isinstance(name, str) else value


def _rule_id(event: str, kind: str, kwargs: dict[str, Any], taken: set[str]) -> str:
    """A rule id from event type, column and expectation, which no other rule has."""
    listed = kwargs.get("column_list")
    column = (
        kwargs.get("column") or kwargs.get("column_A") or (listed[0] if isinstance(listed, list) and listed else "rows")
    )
    parts = (_NO_WORD.sub("_", str(part).lower())[:30] for part in (event, column, _KINDS.sub("", kind)))
    wanted = ".".join(part or "rule" for part in parts)
    rule, number = wanted, 1
    while rule in taken:
        number += 1
        rule = f"{wanted}_{number}"
    taken.add(rule)
    return rule
