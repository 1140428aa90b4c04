"""What identifies a person by its form alone, in plain text (`writings` makes it plain).

| pattern | what it finds |
| --- | --- |
| `registration` | RRN or FRN: a date (yymmdd) and seven digits, whatever stands between |
| `phone` | Korean mobile, area and internet numbers, at home or with +82 |
| `email` | an e-mail address, also with `at` for its sign |
| `passport` | a Korean passport number, old (`M12345678`) or new (`M123A4567`) |
| `licence` | a Korean driving licence: region, year, six digits, two |
| `insurance` | a health insurance number: eleven digits |
| `account` | a bank account in one of the usual shapes, with hyphens |
| `address` | a Korean address down to the number of the house |
| `card` | a payment card: its issuer's range, its length and the Luhn check |

The check digit of a registration number is asked for only where it stands amid other digits, backwards, or with a
point somewhere: there chance would make one too often. A mobile number of ten digits, without its first zero, is let
through where it might be a SNOMED CT code (3 in 100).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from biokeel.pseudonymise.policy import PROVINCES
from biokeel.pseudonymise.registration import DIGITS, checked

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

_GAP: Final = "[^0-9A-Za-z]{0,4}"
"""What may stand between the parts of a number."""
_APART: Final = "[^0-9A-Za-z]{1,4}"
_DASH: Final = r"\s?[\-‐-―−]\s?"
_NO_DIGIT: Final = "[^0-9]"
_NO_WORD: Final = "[^0-9A-Za-z]"
_NO_CODE: Final = r"[^0-9A-Za-z\-._]"
"""What goes on neither as a word nor as a code or version: those are made of such digits."""


def _alone(pattern: str, boundary: str = _NO_DIGIT) -> str:
    """`pattern` where nothing of the kind goes on before or after it (the regular expressions have no look-around)."""
    return f"(?:^|{boundary})(?:{pattern})(?:$|{boundary})"


_MONTH: Final = "(?:0[1-9]|1[0-2])"
_DAY: Final = "(?:0[1-9]|[12][0-9]|3[01])"
_SPACED_MONTH: Final = f"(?:0{_APART}[1-9]|1{_APART}[0-2])"
_SPACED_DAY: Final = f"(?:0{_APART}[1-9]|[12]{_APART}[0-9]|3{_APART}[01])"
_MONTH_BACK: Final = "(?:[1-9]0|[0-2]1)"
_DAY_BACK: Final = "(?:[1-9]0|[0-9][12]|[01]3)"
_COMMON: Final = r"[\s\-_/,·‐-―−~|]{0,2}"
"""Signs that cut a number into parts of any length; versions are cut by points."""


def _in_parts(pattern: str) -> str:
    """`pattern`, with or without common signs where it has a space, and no other letters and digits around it."""
    return f"(?:^|[A-Za-z])[^0-9A-Za-z]*{pattern.replace(' ', _COMMON)}[^0-9A-Za-z]*(?:$|[A-Za-z])"


_PARTED_MONTH: Final = "(?:0 [1-9]|1 [0-2])"
_PARTED_DAY: Final = "(?:0 [1-9]|[12] [0-9]|3 [01])"
_REGISTRATION: Final = (
    _alone(f"0*(?:1[89]|20)?[0-9]{{2}}{_GAP}{_MONTH}{_GAP}{_DAY}{_GAP}[0-9]{_GAP}[0-9]{{6}}"),
    _alone(f"[0-9]{{2}}{_MONTH}{_DAY}[A-Za-z]{{1,3}}[1-8][0-9]{{6}}"),
    _alone(f"(?:[0-9]{_APART}){{2}}{_SPACED_MONTH}{_APART}{_SPACED_DAY}(?:{_APART}[0-9]){{7}}"),
    _in_parts(f"(?:1 [89] |2 0 )?[0-9] [0-9] {_PARTED_MONTH} {_PARTED_DAY} [1-8](?: [0-9]){{6}}"),
)
_HOME: Final = rf"\(?(?:0|(?:\+|00)82{_GAP}0?{_GAP}|82{_APART}0?{_GAP})"
_AREA: Final = "(?:2|[3-6][1-5]|70|50[0-9]?)"
_PHONE: Final = (
    _alone(rf"(?:{_HOME}|82)1[016789]{_GAP}[0-9]{{3,4}}{_GAP}[0-9]{{4}}"),
    _alone(rf"0{_APART}1{_APART}[016789](?:{_APART}[0-9]){{7,8}}"),
    _in_parts("0 1 [016789](?: [0-9]){7,8}"),
    _alone(rf"10{_GAP}[2-9][0-9]{{3}}{_GAP}[0-9](?:[1-9][0-9]|0[3-9])[0-9]", _NO_CODE),
    # Fixed lines only where no code goes on, but after "tel."
    rf"(?:^|{_NO_CODE}|[A-Za-z]\.){_HOME}{_AREA}\)?{_GAP}[1-9][0-9]{{2,3}}{_GAP}[0-9]{{4}}(?:$|{_NO_CODE})",
)
_NAME: Final = r"[\w.+-]+"
_DOT: Final = r"(?:\.|[\s(\[](?:dot|점)[\s)\]])"
_EMAIL: Final = (
    r"[^\s@]+\s?@\s?[^\s@]+\.[^\s@.0-9]{2,}",
    r"(?:^|[\s<(\[,;:\x22'])[\w.+%-]+@[^\W\d_][\w-]+(?:$|[^\w:/.-])",
    rf"(?i){_NAME}\s?[(\[{{<_]\s?(?:at|골뱅이)\s?[)\]}}>_]\s?[\w-]+",
    rf"(?i){_NAME}(?:\s+at\s+|\s*골뱅이\s*)[\w-]+(?:\s?{_DOT}\s?[\w-]+)*\s?{_DOT}\s?[^\W\d_]{{2,}}",
)
_PASSPORT: Final = _alone(r"(?i:[MSROGD])[^0-9A-Za-z]{0,2}(?:[0-9]{8}|[0-9]{3}[A-Za-z][0-9]{4})", _NO_WORD)
_PLACES: Final = "|".join(name for names in PROVINCES.values() for name in names)
_REGION: Final = "(?:1[1-9]|2[0-68])"
_LICENCE: Final = (
    _alone(rf"{_REGION}{_APART}[0-9]{{2}}{_APART}[0-9]{{6}}{_APART}[0-9]{{2}}", _NO_CODE),
    _alone(rf"(?:{_PLACES}){_GAP}[0-9]{{2}}{_GAP}[0-9]{{6}}{_GAP}[0-9]{{2}}"),
    _alone(rf"{_REGION}[0-9]{{10}}", _NO_CODE),
)
_ACCOUNTS: Final = "326 336 626 365 3623 3442 436 427 3251 3261 4441"
"""How many digits stand between the hyphens of the usual accounts."""
_ACCOUNT: Final = _alone(
    "|".join(_DASH.join(f"[0-9]{{{count}}}" for count in shape) for shape in _ACCOUNTS.split()), _NO_CODE
)
_STREET: Final = "[가-힣0-9·]*(?:로|길|동|리|가|읍|면)"
_ADDRESS: Final = (
    rf"(?:{_PLACES})[가-힣]*\s*[가-힣]+(?:시|군|구)\s*(?:[가-힣]+(?:구|읍|면)\s*)?{_STREET}[가-힣0-9\s]*[0-9]",
    rf"[가-힣]+(?:시|군|구)\s+{_STREET}\s*[0-9]+",
    r"(?i)[a-z]-(?:ro|gil|daero)[^a-z].*[a-z]-(?:gu|gun|si|do|dong)(?:$|[^a-z])",
    r"(?i)[a-z]-(?:gu|gun|si|do|dong)[^a-z].*[a-z]-(?:ro|gil|daero)(?:$|[^a-z])",
)
_CUT: Final = r"[\s\-./]{1,3}"
_FOUR: Final = f"{_CUT}[0-9]{{4}}"
_CARD: Final = (
    rf"(?:^|{_NO_CODE})((?:[3-6][0-9]{{3}}|2[2-7][0-9]{{2}})"
    rf"(?:[0-9]{{9,15}}|{_FOUR}{_FOUR}{_FOUR}|{_CUT}[0-9]{{6}}{_CUT}[0-9]{{4,5}}))(?:$|[^0-9])"
)
_CODE: Final = (
    r"^(?:[0-9]{1,8}1000[0-9]{3}1[0-6][0-9]"
    rf"|20(?:0[0-9]|[1-4][0-9]){_MONTH}{_DAY}(?:[01][0-9]|2[0-3])[0-5][0-9](?:[0-5][0-9])?)$"
)
"""What is true and as long as what is searched for: a SNOMED CT code of an extension (item, namespace 1000xxx,
partition 10 to 16, check digit), or a time of this century as digits."""

_PATTERNS: Final = {
    "registration": _REGISTRATION,
    "phone": _PHONE,
    "email": _EMAIL,
    "passport": (_PASSPORT,),
    "licence": _LICENCE,
    "insurance": (_alone("[0-9]-?[0-9]{10}", _NO_CODE),),
    "account": (_ACCOUNT,),
    "address": _ADDRESS,
    "card": (_CARD,),
}
_NOT_CODES: Final = frozenset({"registration", "hidden", "phone", "licence", "insurance", "card"})
_HIDDEN: Final = (
    rf"[0-9]{{2}}{_MONTH}{_DAY}[1-8][0-9]{{7}}|[0-9]{{3}}{_MONTH}{_DAY}[1-8][0-9]{{6}}"
    rf"|(?:^|[^0-9])[0-9]{{7}}{_GAP}{_DAY_BACK}{_MONTH_BACK}[0-9]{{2}}(?:$|[^0-9])"
    r"|[0-9]{7}\.[0-9]|[0-9]\.[0-9]{7}"
)
"""Signs of a registration number amid other digits, read backwards, or with a point somewhere."""
_FOUND: Final = [
    (
        pl.col("text").str.contains("|".join(f"(?:{each})" for each in patterns))
        & ((name not in _NOT_CODES) | ~pl.col("text").str.contains(_CODE))
    ).alias(name)
    for name, patterns in {**_PATTERNS, "hidden": (_HIDDEN,)}.items()
]
"""Which strings each pattern is found in; of `card` and `hidden` those that have the shape."""

_RUN: Final = re.compile(r"[0-9]{14,}")
_BACK: Final = re.compile(rf"(?<![0-9])([0-9]{{7}}){_GAP}([0-9]{{6}})(?![0-9])")
_POINT: Final = re.compile(r"(?<![0-9.])([0-9]+)\.([0-9]+)(?![0-9.])")

_HASH: Final = (
    r"^(?:[0-9a-fA-F]{32}|[0-9a-fA-F]{40}|[0-9a-fA-F]{64}|[0-9a-fA-F]{128}"
    r"|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})$"
)
_PADDED: Final = "^(?:0{8}[0-9-]+|[0-9-]+0{8})$"
"""A number filled up with zeros to the length of a hash, which chance does not make."""


def is_hash(text: pl.Expr) -> pl.Expr:
    """Whether each is a hash value or a UUID: hexadecimal digits that are nothing else."""
    return text.str.contains(_HASH) & ~text.str.contains(_PADDED)


def find_patterns(texts: pl.Series) -> dict[str, pl.Series]:
    """For each pattern, which of `texts` (a column named `text`) it is found in."""
    hits = texts.alias("text").to_frame().select(_FOUND).to_dict()
    hidden = hits.pop("hidden")
    if hidden.any():
        hits["registration"] |= _by_row(hidden, _hold_registrations(texts.filter(hidden)))
    shaped = hits["card"]
    if shaped.any():
        hits["card"] = _by_row(shaped, [_has_card(text) for text in texts.filter(shaped)])
    return hits


def _by_row(some: pl.Series, flags: Sequence[bool] | npt.NDArray[np.bool_]) -> pl.Series:
    """`flags`, one for each true row of `some`, as a Boolean for every row."""
    return some.scatter(some.arg_true(), flags)


def _hold_registrations(texts: pl.Series) -> npt.NDArray[np.bool_]:
    """Which texts hold a registration number amid other digits, backwards, or with a point, for certain."""
    numbers = [[int(digits) for digits in _thirteens(text)] for text in texts]
    found = checked(np.array([number for some in numbers for number in some], dtype=np.int64))
    rows = np.repeat(np.arange(len(texts)), [len(some) for some in numbers])
    return np.bincount(rows[found], minlength=len(texts)) > 0


def _thirteens(text: str) -> Iterator[str]:
    for run in _RUN.findall(text):
        yield from (run[start : start + DIGITS] for start in range(len(run) - DIGITS + 1))
    for parts in _BACK.findall(text):
        yield "".join(parts)[::-1]
    for whole, decimals in _POINT.findall(text):
        digits = (whole + decimals).strip("0")
        # A zero at either end does not change the number, so it may be missing.
        if DIGITS - 1 <= len(digits) <= DIGITS:
            yield from {digits.rjust(DIGITS, "0"), digits.ljust(DIGITS, "0")}


def _has_card(text: str) -> bool:
    return any(_luhn([int(sign) for sign in number if sign.isdigit()]) for number in re.findall(_CARD, text))


def _luhn(digits: list[int]) -> bool:
    """The check of ISO/IEC 7812-1, annex B."""
    doubled = (digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
