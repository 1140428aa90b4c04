"""What one version of a suite says otherwise than another, rule by rule, in sentences."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from biokeel.errors import SuiteError
from biokeel.rules.drafts import rules_of
from biokeel.validate.waivers import KEY as WAIVERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_ABSENT: Final = object()
_WORDS: Final = {
    "min_value": "lower limit",
    "max_value": "upper limit",
    "strict_min": "lower limit itself excluded",
    "strict_max": "upper limit itself excluded",
    "value_set": "value set",
    "regex": "pattern",
    "regex_list": "patterns",
    "row_condition": "condition",
    "mostly": "mostly",
    "column": "column",
}
"""What arguments of expectations are called; others keep their own names."""
_EFFECT: Final = {
    "critical": "a row that fails is quarantined",
    "warning": "a row that fails lands with a flag",
    "info": "rows that fail are counted",
}
_MOST_VALUES: Final = 10
"""Values of a set that are named."""


def differences(before: str, after: str) -> list[str]:
    """Sentences that say what the suite in the text `after` says otherwise than that in `before`; none where nothing.

    Raises `SuiteError` where one of them cannot be read.
    """
    old, new = _document(before), _document(after)
    was, now = rules_of(old), rules_of(new)
    said = [sentence for rule, now_said in now.items() for sentence in _of_rule(rule, was.get(rule), now_said)]
    said += [f"{rule}: is gone ({_short(old_said)})." for rule, old_said in was.items() if rule not in now]
    kept = [rule for rule in was if rule in now]
    if kept != [rule for rule in now if rule in was]:
        said.append("The rules stand in another order.")
    for name in sorted((old.keys() | new.keys()) - {"expectations"}):
        if old.get(name, _ABSENT) != new.get(name, _ABSENT):
            said.append(f"The suite's {name} {_becomes(old.get(name, _ABSENT), new.get(name, _ABSENT))}.")
    return said


def _document(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise SuiteError("A suite that cannot be read cannot be compared.", "See biokeel suite check.")
    return document


def _of_rule(rule: str, was: Any, now: Any) -> Iterator[str]:
    if not isinstance(was, dict) or not isinstance(now, dict):
        if was is None:
            yield f"{rule}: is new ({_short(now)})."
            meta = now.get("meta") if isinstance(now, dict) else None
            yield from _of_waivers(rule, None, meta.get(WAIVERS) if isinstance(meta, dict) else None)
        else:
            yield f"{rule}: {_becomes(was, now)}."
        return
    if was.get("type") != now.get("type"):
        yield f"{rule}: {_becomes(was.get('type'), now.get('type'))}."
    if was.get("severity") != now.get("severity"):
        effect = _EFFECT.get(str(now.get("severity")), "")
        yield f"{rule}: severity {_becomes(was.get('severity'), now.get('severity'))}{': ' if effect else ''}{effect}."
    yield from _of_arguments(rule, was.get("kwargs"), now.get("kwargs"))
    rest = {name: value for name, value in was.items() if name not in {"type", "severity", "kwargs"}}
    for name in sorted({*rest, *now} - {"type", "severity", "kwargs", "meta"}):
        if rest.get(name, _ABSENT) != now.get(name, _ABSENT):
            yield f"{rule}: {name} {_becomes(rest.get(name, _ABSENT), now.get(name, _ABSENT))}."
    meta_was, meta_now = was.get("meta"), now.get("meta")
    if isinstance(meta_was, dict) and isinstance(meta_now, dict):
        for name in sorted(meta_was.keys() | meta_now.keys()):
            if meta_was.get(name, _ABSENT) != meta_now.get(name, _ABSENT):
                if name == WAIVERS:
                    yield from _of_waivers(rule, meta_was.get(name), meta_now.get(name))
                    continue
                word = "its reason" if name == "notes" else f"meta.{name}"
                yield f"{rule}: {word} {_becomes(meta_was.get(name, _ABSENT), meta_now.get(name, _ABSENT))}."


def _of_waivers(rule: str, was: Any, now: Any) -> Iterator[str]:
    """Whose rows the rule stops from now on, or no more. What is no list of waivers is shown as it is written."""
    before, after = (_by_source(waivers) for waivers in (was, now))
    if before is None or after is None:
        yield f"{rule}: meta.{WAIVERS} {_becomes(was, now)}."
        return
    for source in sorted(before.keys() | after.keys()):
        old, new = before.get(source), after.get(source)
        if new is None and old is not None:
            yield f"{rule}: is not waived for {source} any more (it was until {old[0]})."
        elif new is not None and old != new:
            until = f" (before: until {old[0]})" if old is not None else ""
            yield (
                f"{rule}: is waived for {source} until {new[0]}{until}: {new[1]} "
                "Rows recorded until then that fail nothing else land with a flag."
            )


def _by_source(waivers: Any) -> dict[str, tuple[str, str]] | None:
    """Until when and why, by source; None for what is no list of waivers."""
    try:
        return {str(each["source"]): (str(each["until"]), str(each["reason"])) for each in waivers or ()}
    except (TypeError, KeyError):
        return None


def _of_arguments(rule: str, was: Any, now: Any) -> Iterator[str]:
    if not isinstance(was, dict) or not isinstance(now, dict):
        if was != now:
            yield f"{rule}: its arguments {_becomes(was, now)}."
        return
    for name in sorted(was.keys() | now.keys()):
        before, after = was.get(name, _ABSENT), now.get(name, _ABSENT)
        if name in was and name in now and _said(before) == _said(after):
            continue
        word = _WORDS.get(name, name)
        if isinstance(before, list) and isinstance(after, list):
            yield f"{rule}: {word} {_set_change(before, after)}."
        else:
            yield f"{rule}: {word} {_becomes(before, after)}."


def _set_change(before: list[Any], after: list[Any]) -> str:
    was, now = [_said(value) for value in before], [_said(value) for value in after]
    gone = [value for value in was if value not in now]
    new = [value for value in now if value not in was]
    parts = [f"{word} {_listed(values)}" for word, values in (("loses", gone), ("gains", new)) if values]
    return " and ".join(parts) or "stands in another order"


def _listed(values: list[str]) -> str:
    more = f" and {len(values) - _MOST_VALUES} more" if len(values) > _MOST_VALUES else ""
    return ", ".join(values[:_MOST_VALUES]) + more


def _becomes(before: Any, after: Any) -> str:
    if before is _ABSENT or before is None:
        return f"is now {_said(after)}"
    if after is _ABSENT or after is None:
        return f"{_said(before)} is gone"
    return f"{_said(before)} becomes {_said(after)}"


def _said(value: Any) -> str:
    if isinstance(value, str):
        return value if value.isalnum() else f'"{value}"'
    return json.dumps(value, ensure_ascii=False)


def _short(expectation: Any) -> str:
    """An expectation in a few words: type, arguments, what becomes of a row."""
    if not isinstance(expectation, dict):
        return _said(expectation)
    arguments: Mapping[str, Any] = expectation.get("kwargs") or {}
    told = ", ".join(f"{_WORDS.get(name, name)} {_said(value)}" for name, value in arguments.items())
    return f"{expectation.get('type')}, {told}; {_EFFECT.get(str(expectation.get('severity')), 'no severity')}"
