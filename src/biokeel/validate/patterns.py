r"""Regular expressions: one dialect, in which Great Expectations and polars mean the same.

Great Expectations on pandas searches with Python's `re` or, by the look of the pattern, with RE2; polars searches with
Rust's `regex`. What the three understand differently is refused with a fix instead of being judged by luck:
`\d`, `\w`, `\s` and `\b` (digits and letters of every script, or ASCII only), look-around, back-references, inline
flags, possessive quantifiers and set operations inside brackets. `$` is translated: for Python it also matches before a
line break at the very end.
"""

from __future__ import annotations

import re
from typing import Final

import polars as pl

from biokeel.errors import SuiteError

_FIXES: Final = (
    (r"\\[dD]", r"\d means the digits of every script in one engine and ASCII in another", "Write [0-9]."),
    (r"\\[wWsSbB]", r"\w, \s and \b differ between engines", "Write the characters out, for example [A-Za-z0-9_]."),
    (r"\\[1-9kKgG]", "back-references do not run on polars", "Write the expectation without one."),
    (r"\\[A-Za-z]", "an escaped letter differs between engines", "Write the character itself; ^ and $ for the ends."),
    (r"\(\?(?!:)", "look-around, named groups and inline flags differ between engines", "Use plain groups: (?:...)."),
    (r"[*+?}]\+", "possessive quantifiers differ between engines", "Remove the second +."),
    (r"\{,", "a repeat without a lower bound differs between engines", "Write {0,n}."),
)
_IN_BRACKETS: Final = re.compile(r"\[|&&|--|~~|\|\|")


def translate(pattern: str) -> str:
    """`pattern` as polars must search it to find what Great Expectations finds.

    Raises `SuiteError` for a pattern that is malformed, or that the engines would understand differently.
    """
    out: list[str] = []
    position = 0
    while position < len(pattern):
        if pattern[position] == "[":
            end = _end_of_brackets(pattern, position)
            out.append(_brackets(pattern[position:end]))
            position = end
            continue
        _refuse(pattern, position)
        step = 2 if pattern[position] == "\\" else 1
        out.append(_dollar(pattern, position) if pattern[position] == "$" else pattern[position : position + step])
        position += step
    translated = "".join(out)
    try:
        re.compile(pattern)
    except re.error as error:
        raise SuiteError(f"the regular expression is malformed at character {error.pos}: {error.msg}.") from None
    try:
        pl.select(pl.lit("").str.contains(translated, strict=True))
    except pl.exceptions.PolarsError:
        raise SuiteError("polars does not understand the regular expression.", "Write it more plainly.") from None
    return translated


def _refuse(pattern: str, position: int) -> None:
    for what, why, fix in _FIXES:
        if re.compile(what).match(pattern, position):
            raise SuiteError(f"the regular expression is refused at character {position}: {why}.", fix)


def _end_of_brackets(pattern: str, start: int) -> int:
    """The position behind the bracket expression that begins at `start`, or the end where it is not closed."""
    position = start + 1 + pattern.startswith("^", start + 1)
    position += pattern.startswith("]", position)  # a leading ] is a literal one
    while position < len(pattern) and pattern[position] != "]":
        position += 2 if pattern[position] == "\\" else 1
    return min(position + 1, len(pattern))


def _brackets(text: str) -> str:
    inner = text[1:-1]
    for position in range(len(inner)):
        if inner[position] == "\\":
            _refuse(inner, position)
    if inner.removeprefix("^").startswith("]") or _IN_BRACKETS.search(inner.replace("\\[", "")):
        raise SuiteError(
            "the regular expression has a bracket inside brackets, or a set operation, which engines read differently.",
            "Escape brackets with a backslash, and write - last.",
        )
    return text


def _dollar(pattern: str, position: int) -> str:
    if pattern[position + 1 : position + 2] not in {"", "|", ")"}:
        raise SuiteError(
            f"the regular expression has $ at character {position}, before its end.", r"Write \$ for a dollar sign."
        )
    return r"(?:\n?\z)"
