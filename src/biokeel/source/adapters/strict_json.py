"""JSON as RFC 8259 has it, and stricter: no key twice in one object, no NaN, no number that no double holds.

Parsers agree on what a document says only where it holds no key twice (RFC 8259, section 4): of two values of one key
one reader takes the first, another the last, and both look right.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import orjson

_FIELD_NAME: Final = re.compile(r"[A-Za-z_]{1,40}[0-9]{0,3}[A-Za-z_]{0,40}")
_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\],]', re.DOTALL)
TOO_DEEP: Final = "it is nested too deep"


class BadJson(Exception):  # noqa: N818 - never leaves the adapters
    """A text that is no JSON as we read it. `line` counts from 1; the message is a constant, but for a key's name."""

    def __init__(self, reason: str, line: int, column: int = 0) -> None:
        super().__init__(reason)
        self.line = line
        self.column = column


class Twin(NamedTuple):
    """A key that stands twice in one object: in which element of an outermost array, in which line, its name."""

    element: int
    line: int
    name: str

    @property
    def reason(self) -> str:
        """What is wrong, in words."""
        return f'the key "{self.name}" stands twice in one object'


def loads(text: bytes) -> Any:
    """The value that `text` (UTF-8) holds. Raises `BadJson`."""
    value = loads_but_twins(text)
    if may_hold_twins(text, value):
        for twin in twins(text):
            raise BadJson(twin.reason, twin.line)
    return value


def loads_but_twins(text: bytes) -> Any:
    """As `loads`, but of keys that stand twice the last counts. Raises `BadJson` for all else."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        # orjson's own words are constants: they never quote the text.
        raise BadJson(TOO_DEEP if "depth" in error.msg else error.msg, error.lineno, error.colno) from None


def may_hold_twins(text: bytes, value: Any) -> bool:
    r"""Whether a key of `text`, whose `value` is known, may stand twice in one object. Raises `BadJson` (too deep).

    Written again the value has as many colons as the text, in keys and in texts, unless a key was dropped; only a colon
    that is written as \u003a is told apart by reading.
    """
    try:
        again = orjson.dumps(value)
    except TypeError:
        raise BadJson(TOO_DEEP, 1) from None
    return text.count(b":") != again.count(b":") or b"\\u003" in text


def twins(text: bytes) -> Iterator[Twin]:
    """Every key of `text`, which is JSON, that stands a second time in its object."""
    element, line, seen_to = 0, 1, 0
    open_: list[set[str] | None] = []  # the keys of each object that is open; None for an array
    wants_key = False
    for token in _TOKEN.finditer(text):
        kind = token[0][:1]
        if kind == b"{":
            open_.append(set())
            wants_key = True
        elif kind == b"[":
            open_.append(None)
            wants_key = False
        elif kind in b"}]":
            open_.pop()
            wants_key = False
        elif kind == b",":
            wants_key = bool(open_) and open_[-1] is not None
            element += open_ == [None]
        elif wants_key:
            wants_key = False
            keys = open_[-1]
            assert keys is not None, "a key stands in an object"
            name = orjson.loads(token[0])
            if name in keys:
                line += text.count(b"\n", seen_to, token.start())
                seen_to = token.start()
                yield Twin(element, line, shown(name))
            keys.add(name)


def shown(name: str) -> str:
    """A key as a report may name it: a field's name. A number may stand there, where a file is keyed by person."""
    return name if _FIELD_NAME.fullmatch(name) else "(not a field's name)"
