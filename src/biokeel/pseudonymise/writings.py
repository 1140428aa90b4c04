r"""The ways in which one text can be written: what a scan must look through beside the text as it stands.

| writing | for example |
| --- | --- |
| other signs | full-width letters, digits of any script, soft hyphens and other signs that are not seen |
| escapes | `%36%38`, `=36=38`, `&#45;`, `&ndash;`, `\u002d`, `\x2d` |
| base64, hexadecimal digits | of 16 characters or more, plain or URL-safe; `36 38`, `0x36`, UTF-16 |
| letters for digits | `O` and `l` among digits, Hangul and Chinese digits |

Each is tried only where a text has the signs of it, and what comes out is looked at for the others once more.
"""

from __future__ import annotations

import base64
import html
import re
import sys
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_DIGITS: Final = {
    sign: str(unicodedata.decimal(chr(sign)))
    for sign in range(0x80, sys.maxunicode + 1)
    if unicodedata.category(chr(sign)) == "Nd"
}
_LETTERS: Final = str.maketrans("OoОоΟοlI", "00000011")
_NAMED: Final = str.maketrans("공영일이삼사오육륙칠팔구〇零一二三四五六七八九", "001234566789" + "00123456789")
_UNSEEN: Final = r"[\p{Cf}\p{Mn}]"
_DEPTH: Final = 2
"""How often a writing is looked for inside another."""

_ESCAPE: Final = re.compile(r"\\(?:u\{?|x|U0000)([0-9A-Fa-f]{2,4})\}?")
_QUOTED: Final = re.compile(r"=([0-9A-Fa-f]{2})")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{16,}")
_STANDARD: Final = str.maketrans("-_", "+/")
_HEX: Final = re.compile(r"(?:(?:0[xX]|00)?[2-7][0-9A-Fa-f][^0-9A-Za-z]{0,2}){8,}")
_NO_CHANCE: Final = 12
_HEX_BETWEEN: Final = re.compile(r"0[xX]|[^0-9A-Fa-f]|00(?=[2-7])")
_PRINTABLE_BASE64: Final = r"[I-Za-f][A-HQ-Xg-nw-z0-3][ABEFIJMNQRUVYZcdghklopstwx014589][A-Za-z0-9+/_-]"
"""Four characters of base64 that stand for three printable ASCII ones."""


def unfold(texts: pl.Series) -> pl.DataFrame:
    """The texts and their other writings: `text`, and `row` (UInt32), the position in `texts` that it comes from."""
    known = pl.DataFrame([_plain(texts).alias("text")]).with_row_index("row")
    everything, newest = [known], known
    for _ in range(_DEPTH):
        newest = _others(newest)
        if not newest.height:
            break
        everything.append(newest)
    return pl.concat(everything)


def _plain(texts: pl.Series) -> pl.Series:
    """The texts with plain signs for their look-alikes, and without those that are not seen."""
    foreign = texts.str.len_bytes() != texts.str.len_chars()
    if not foreign.any():
        return texts
    plain = texts.filter(foreign).str.normalize("NFKC").str.replace_all(_UNSEEN, "")
    if (other := plain.str.contains(r"[\p{Nd}&&[^0-9]]")).any():
        digits = [text.translate(_DIGITS) for text in plain.filter(other)]
        plain = plain.scatter(other.arg_true(), digits)
    return texts.scatter(foreign.arg_true(), plain)


def _others(known: pl.DataFrame) -> pl.DataFrame:
    """What the writings that the texts have the signs of make of them."""
    signs = known.select(each.signs.alias(str(i)) for i, each in enumerate(_WRITINGS))
    found = [
        (row, other)
        for some, writing in zip(signs, _WRITINGS, strict=True)
        if some.any()
        for row, text in known.filter(some).rows()
        for other in writing.read(text)
    ]
    others = pl.DataFrame(found, known.schema, orient="row")
    return others.with_columns(_plain(others["text"]))


def _escapes(text: str) -> Iterable[str]:
    plain = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), html.unescape(unquote(_QUOTED.sub(r"%\1", text))))
    yield plain
    if "%" in plain and unquote(plain) != plain:
        yield unquote(plain)
    # A text may have equal signs of its own.
    yield _ESCAPE.sub(lambda found: chr(int(found[1], 16)), html.unescape(unquote(text)))


def _base64(text: str) -> Iterable[str]:
    for token in _BASE64.findall(text):
        whole = token[: len(token) - (len(token) % 4 == 1)].translate(_STANDARD)
        yield base64.b64decode(whole + "=" * (-len(whole) % 4)).decode(errors="replace")


def _hexadecimal(text: str) -> Iterable[str]:
    for token in _HEX.findall(text):
        digits = _HEX_BETWEEN.sub("", token)
        plain = bytes.fromhex(digits[: len(digits) // 2 * 2]).decode(errors="replace")
        # Random digits stand for some text now and then; never for digits alone, and hardly for a dozen signs.
        if plain.isdecimal() or (len(plain) >= _NO_CHANCE and not digits.isdecimal()):
            yield plain


@dataclass(frozen=True, slots=True)
class _Writing:
    """One way to write: `signs` says of a column `text` where a text may be written in it, `read` reads it."""

    signs: pl.Expr
    read: Callable[[str], Iterable[str]]


def _has(pattern: str) -> pl.Expr:
    return pl.col("text").str.contains(pattern)


_AS_DIGIT: Final = "[OoОоΟοlI]"
_WRITINGS: Final = (
    _Writing(_has(r"[%=][0-9A-Fa-f]{2}|&#?[0-9A-Za-z]{1,10};|\\[uUx]"), _escapes),
    _Writing(_has(rf"(?:{_PRINTABLE_BASE64}){{3}}"), _base64),
    _Writing(_has(_HEX.pattern), _hexadecimal),
    _Writing(
        _has(f"[0-9]{_AS_DIGIT}|{_AS_DIGIT}[0-9]") & _has(f"(?:(?:[0-9]|{_AS_DIGIT})[^0-9A-Za-z]{{0,3}}){{9}}"),
        lambda text: [text.translate(_LETTERS)],
    ),
    _Writing(_has(rf"(?:[{''.join(map(chr, _NAMED))}][\s.-]{{0,2}}){{6}}"), lambda text: [text.translate(_NAMED)]),
)
