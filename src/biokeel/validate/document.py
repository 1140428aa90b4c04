"""The text of a suite as a document, and where its parts stand in the text.

JSON as Python reads it has no word for what goes wrong most: a key written twice (the last one wins in silence), NaN
and numbers beyond every float, half a character, a text of fifty megabytes. Each is found here, before anybody looks at
rules. Bounds are wide for whoever writes rules, and narrow enough that no text can take the memory or the time of a
worker: suites are read by the processes that judge rows.
"""

from __future__ import annotations

import json
import re
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from biokeel.validate.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_CHARACTERS: Final = 1_000_000
"""Characters of a suite; the largest that ships has 27,000."""
LONGEST_TEXT: Final = 4_000
"""Characters of one text in it."""
DEEPEST: Final = 20
"""How deep objects and lists may lie in each other."""
_MOST_TOLD: Final = 100
"""Findings of one kind that are told one by one."""

Path = tuple[str | int, ...]

_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+')
_SURROGATES: Final = re.compile("[\ud800-\udfff]")


class Document(NamedTuple):
    """What a text says: `value`, None where it cannot be read; and what is wrong with it as JSON."""

    value: Any
    findings: tuple[Finding, ...]


def read_document(text: str) -> Document:
    """Read JSON; whatever is wrong is a finding, nothing is raised."""
    if len(text) > MOST_CHARACTERS:
        what = f"the text has {len(text):,} characters, more than {MOST_CHARACTERS:,}; it was not read."
        return Document(None, (Finding("", what, "Write sets as regular expressions, or split the event type."),))
    repeated = False

    def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal repeated
        found = dict(members)
        repeated = repeated or len(found) < len(members)
        return found

    try:
        value = json.loads(text, object_pairs_hook=pairs)
    except json.JSONDecodeError as error:
        return Document(None, (_malformed(text, error),))
    except RecursionError:
        return Document(None, (Finding("", f"it is nested more than {DEEPEST} deep.", "Write it flat."),))
    except ValueError:  # Python's own bound for the digits of a whole number
        return Document(None, (Finding("", "a number has more than 4,300 digits.", "Write it shorter."),))
    findings = [] if not repeated else _repeated(text)
    findings += [Finding("", what, fix, path_text(path)) for path, what, fix in _unfit(value)]
    return Document(value, tuple(findings))


def _malformed(text: str, error: json.JSONDecodeError) -> Finding:
    """What the parser says; where it stumbles over a closing bracket, that is a comma too many, most often."""
    before = text[: error.pos].rstrip()
    if before.endswith(",") and text[error.pos : error.pos + 1] in {"]", "}"}:
        line = before.count("\n") + 1
        return Finding("", "not JSON: a comma stands before a closing bracket.", "Remove the comma.", line=line)
    fix = "Save it without a byte order mark." if text.startswith("\ufeff") else ""
    return Finding("", f"not JSON: {error.msg}, at character {error.colno}.", fix, line=error.lineno)


def _repeated(text: str) -> list[Finding]:
    return [
        Finding("", f"the key {path[-1]!r} is written twice.", "Keep one of them.", path_text(path), line)
        for path, line, twice in _places(text)
        if twice
    ][:_MOST_TOLD]


def _unfit(value: Any) -> list[tuple[Path, str, str]]:
    """What no part of a suite may be, with its place."""
    found: list[tuple[Path, str, str]] = []
    rest: list[tuple[Path, Any]] = [((), value)]
    while rest and len(found) < _MOST_TOLD:
        path, node = rest.pop()
        if len(path) > DEEPEST:
            found.append((path[:DEEPEST], f"it is nested more than {DEEPEST} deep.", "Write it flat."))
        elif isinstance(node, dict):
            rest += [((*path, key), key) for key in node if not _is_fit(key)]
            rest += [((*path, key), each) for key, each in node.items()]
        elif isinstance(node, list):
            rest += [((*path, number), each) for number, each in enumerate(node)]
        elif isinstance(node, float) and not isfinite(node):
            found.append((path, "NaN and infinity are no numbers of JSON.", "Leave the limit out, or write a number."))
        elif isinstance(node, str) and not _is_fit(node):
            what = f"a text has {len(node):,} characters, more than {LONGEST_TEXT:,}."
            if _SURROGATES.search(node):
                what = "a text has half a character (a lone surrogate)."
            found.append((path, what, "Write it anew."))
    return found


def _is_fit(text: str) -> bool:
    return len(text) <= LONGEST_TEXT and not _SURROGATES.search(text)


def path_text(path: Path) -> str:
    """A place in the document as a text: `expectations[3].kwargs.regex`."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part[:60]}" for part in path)
    return "".join(parts).removeprefix(".")


def lines_of(text: str) -> dict[str, int]:
    """The line (from 1) on which each object, list and value of a JSON `text` begins, by its place as a text."""
    return {path_text(path): line for path, line, _ in _places(text)}


def _places(text: str) -> Iterator[tuple[Path, int, bool]]:
    """Each value of a JSON `text` with its place, its line, and whether its key stood in the same object before."""
    path: list[Any] = []  # keys and numbers; None in an object, before its next key
    seen: list[set[str]] = []  # for each open bracket the keys of an object; nothing is put into a list's
    key, line, position, twice = "", 1, 0, False
    for token in _TOKEN.finditer(text):
        line += text.count("\n", position, token.start())
        position = token.start()
        sign = token.group()
        if sign in {"}", "]"}:
            path.pop()
            seen.pop()
        elif sign == ",":
            last = path[-1]
            path[-1] = last + 1 if isinstance(last, int) else None
        elif sign == ":":
            path[-1] = key
            twice = key in seen[-1]
            seen[-1].add(key)
        elif path and path[-1] is None:
            key = json.loads(sign)
        else:
            yield tuple(path), line, twice
            twice = False
            if sign in {"{", "["}:
                path.append(None if sign == "{" else 0)
                seen.append(set())
