r"""Regular expressions: what Great Expectations finds, written for the engine of polars.

Great Expectations on pandas searches with Python's `re` or with RE2, by the look of the pattern and of the data; polars
searches with Rust's `regex`. So a pattern is not handed on as text: Python's own parser takes it apart, and from its
parts it is written anew for Rust, each character as itself and each class (`\d \w \s`) as the very characters that
Python puts into it. What RE2 does not take (Great Expectations then fails), or reads as something else than Python
does, is refused with a place and a remedy, and so is what Rust cannot search: look-around, back-references.

Rust's engine takes time linear in the text; nothing falls back to Python, so no pattern runs for ever. What a pattern
may cost to set up is bounded (`MOST_STATES`), since it is set up for each batch.

`tests/validate/test_patterns.py` holds this to `re` and to pandas on generated patterns.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from biokeel.errors import SuiteError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# The parser of the standard library's `re`: pandas takes patterns apart with it too, to choose its engine.
_parser: Any = vars(re)["_parser"]
_constants: Any = vars(re)["_constants"]

LONGEST: Final = 1_000
"""Characters of a pattern."""
MOST_STATES: Final = 20_000
"""What a pattern may come to once its repeats are written out, in ranges of characters; `[0-9]{3}` comes to 3."""

_HIGHEST: Final = 0x10FFFF
_Ranges = list[tuple[int, int]]
_SURROGATES: Final = re.compile("[\ud800-\udfff]")

_NO_LOWER_BOUND: Final = re.compile(r"\{,\d*\}")
"""A repeat for Python and a text for RE2, which Python's parser does not keep apart from `{0,n}`."""
_BRACKETS: Final = re.compile(r"\\.|(\[\^?\]?(?:\\.|[^\]\\])*\])", re.DOTALL)
_NESTED: Final = re.compile(r"(?<!^)\[|&&|--|~~|\|\|")
"""Within brackets: a class like `[:alpha:]` for RE2, or what Python announces to read as a set operation one day."""
_NO_RE2: Final = re.compile(r"\\[uUN]|\\[sS]")
"""With these pandas never asks RE2."""
_REFUSED: Final = {
    "ASSERT": ("look-around does not run on polars", "Write a row_condition, or two rules."),
    "ASSERT_NOT": ("look-around does not run on polars", "Use the expectation that says not_match."),
    "GROUPREF": ("back-references do not run on polars", "Write the expectation without one."),
    "GROUPREF_EXISTS": ("a condition on a group does not run on polars", "Write both cases, joined by |."),
    "POSSESSIVE_REPEAT": ("possessive quantifiers are not known to RE2", "Remove the second +."),
    "ATOMIC_GROUP": ("atomic groups are not known to RE2", "Use a plain group: (?:...)."),
}
_AT: Final = {
    "AT_BEGINNING": "^",
    "AT_BEGINNING_STRING": "^",
}
_CATEGORIES: Final = {
    "CATEGORY_DIGIT": (r"\d", False),
    "CATEGORY_NOT_DIGIT": (r"\d", True),
    "CATEGORY_WORD": (r"\w", False),
    "CATEGORY_NOT_WORD": (r"\w", True),
    "CATEGORY_SPACE": (r"\s", False),
    "CATEGORY_NOT_SPACE": (r"\s", True),
}


class Search(NamedTuple):
    """A pattern as Rust writes it, and what it comes to in ranges of characters once its repeats are written out."""

    written: str
    states: int


@lru_cache(maxsize=1_000)
def translate(pattern: str) -> Search:
    """`pattern` as polars must search it to find what Great Expectations finds.

    Raises `SuiteError` for a pattern that is malformed, too long or too large, or that the engines would understand
    differently.
    """
    if len(pattern) > LONGEST:
        raise SuiteError(
            f"the regular expression has {len(pattern):,} characters, more than {LONGEST:,}.", "Use a set."
        )
    if not pattern.isascii() and _SURROGATES.search(pattern):
        raise _refused("it has half a character (a lone surrogate)", "Write the whole character.")
    if found := _NO_LOWER_BOUND.search(pattern):
        raise _refused("a repeat without a lower bound is a text for RE2", "Write {0,n}.", found.start())
    for found in _BRACKETS.finditer(pattern):
        if found[1] and _NESTED.search(re.sub(r"\\.", "", found[1], flags=re.DOTALL)):
            why = "it has a bracket or a set operation within brackets, which engines read differently"
            raise _refused(why, "Escape brackets with a backslash, and write - last.", found.start())
    try:
        parsed = _parser.parse(pattern)
    except re.error as error:
        raise SuiteError(f"the regular expression is malformed at character {error.pos}: {error.msg}.") from None
    except (OverflowError, RecursionError, ValueError) as error:
        raise SuiteError(f"the regular expression is malformed: {error}.", "Write it more plainly.") from None
    if parsed.state.flags & ~int(re.UNICODE):
        raise _refused("inline flags differ between engines", "Write the characters out: [Aa].", pattern.find("(?"))
    written, states = _sequence(parsed, tail=True)
    if states > MOST_STATES:
        raise SuiteError(
            f"the regular expression comes to {states:,} ranges of characters, more than {MOST_STATES:,}.",
            r"Repeat less, or write [0-9A-Za-z_] for \w.",
        )
    if not _NO_RE2.search(pattern):
        _ask_re2(pattern)
    try_out(written)
    return Search(written, states)


def try_out(written: str) -> None:
    """Let polars search for `written` once. Raises `SuiteError` where it does not take it."""
    try:
        pl.select(pl.lit("").str.contains(written, strict=True))
    except pl.exceptions.PolarsError:
        raise SuiteError("polars does not take the regular expression.", "Write it more plainly.") from None


def _refused(why: str, fix: str, position: int = -1) -> SuiteError:
    where = f" at character {position}" if position >= 0 else ""
    return SuiteError(f"the regular expression is refused{where}: {why}.", fix)


def _ask_re2(pattern: str) -> None:
    """Raises `SuiteError` where RE2, and with it Great Expectations, does not take `pattern`."""
    # By way of polars: to make an array of a list, Arrow imports pandas.
    text = pl.Series([""]).to_arrow()
    try:
        pc.match_substring_regex(text, pattern)
    except pa.ArrowException as error:
        what = str(error).split("\n", maxsplit=1)[0].removeprefix("Invalid regular expression: ")
        raise _refused(
            f"the engine of Great Expectations (RE2) does not take it: {what}",
            "Write ^ and $ for the ends, characters as themselves, and repeats up to 1000.",
        ) from None


def _sequence(parts: Iterable[tuple[Any, Any]], *, tail: bool) -> tuple[str, int]:
    """Parts of a pattern in a row, for Rust, and the states they come to; `tail`: nothing follows them."""
    parts = list(parts)
    out: list[str] = []
    states = 0
    for number, (kind, argument) in enumerate(parts, start=1):
        text, more = _part(str(kind), argument, tail=tail and number == len(parts))
        out.append(text)
        states += more
    return "".join(out), states


def _part(kind: str, argument: Any, *, tail: bool) -> tuple[str, int]:
    match kind:
        case "LITERAL":
            return _character(argument), 1
        case "NOT_LITERAL":
            return _written([(argument, argument)], negated=True)
        case "ANY":
            return ".", 1
        case "IN":
            return _class(argument)
        case "AT":
            return _place(str(argument), tail=tail), 1
        case "BRANCH":
            branches = [_sequence(branch, tail=tail) for branch in argument[1]]
            return f"(?:{'|'.join(text for text, _ in branches)})", sum(states for _, states in branches)
        case "SUBPATTERN":
            _, added, removed, parts = argument
            if added or removed:
                raise _refused("inline flags differ between engines", "Write the characters out: [Aa].")
            text, states = _sequence(parts, tail=tail)
            return f"(?:{text})", states
        case "MAX_REPEAT" | "MIN_REPEAT":
            return _repeat(*argument)
    why, fix = _REFUSED.get(kind, (f"{kind} is not known here", "Write it more plainly."))
    raise _refused(why, fix)


def _repeat(low: Any, high: Any, parts: Any) -> tuple[str, int]:
    text, states = _sequence(parts, tail=False)
    if high is _constants.MAXREPEAT:
        return f"(?:{text}){{{low},}}", states * (low + 1)
    return f"(?:{text}){{{low},{high}}}", states * max(high, 1)


def _place(where: str, *, tail: bool) -> str:
    """A place in the text. `$` is for Python also before a line break at the very end."""
    if where in _AT:
        return _AT[where]
    if where == "AT_END":
        if not tail:
            raise _refused("it has $ before its end", r"Write \$ for a dollar sign.")
        return r"(?:\n?\z)"
    if where == "AT_END_STRING":
        raise _refused(r"\Z is not known to RE2", "Write $.")
    raise _refused(r"\b and \B differ between engines", "Write out what stands there: (?:^|[^0-9A-Za-z_]).")


def _character(code: int) -> str:
    """One character, itself where no engine could take it for anything else."""
    return chr(code) if code in _PLAIN else f"\\x{{{code:X}}}"


_PLAIN: Final = frozenset(map(ord, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_,;:/ "))


def _class(members: list[tuple[Any, Any]]) -> tuple[str, int]:
    negated = str(members[0][0]) == "NEGATE"
    ranges: _Ranges = []
    for kind, argument in members[negated:]:
        match str(kind):
            case "LITERAL":
                ranges.append((argument, argument))
            case "RANGE":
                ranges.append(tuple(argument))
            case "CATEGORY":
                ranges += _category(str(argument))
    return _written(_merged(ranges), negated=negated)


def _written(ranges: _Ranges, *, negated: bool) -> tuple[str, int]:
    sides = (
        _character(low) if low == high else f"{_character(low)}-{_character(high)}" for low, high in _scalars(ranges)
    )
    return f"[{'^' if negated else ''}{''.join(sides)}]", len(ranges)


def _scalars(ranges: _Ranges) -> Iterator[tuple[int, int]]:
    """`ranges` without surrogates, which no text of ours has and Rust does not take."""
    for low, high in ranges:
        for first, last in ((low, min(high, 0xD7FF)), (max(low, 0xE000), high)):
            if first <= last:
                yield first, last


def _merged(ranges: _Ranges) -> _Ranges:
    merged: _Ranges = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged


@cache
def _category(name: str) -> _Ranges:
    r"""The characters that Python's `re` puts into `\d`, `\w` or `\s`, or the others, as ranges."""
    letter, negated = _CATEGORIES[name]
    inside = re.compile(letter)
    return _merged([(code, code) for code in range(_HIGHEST + 1) if bool(inside.match(chr(code))) is not negated])
