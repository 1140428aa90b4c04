"""The forms of identifiers: one normal form for each number, however it was written.

Resident and foreigner registration numbers (`KR_RRN`, `KR_FRN`) share one number space (the seventh digit tells them
apart), so both schemes find the same person. They may come with hyphen, space, dot or nothing between the halves, and
in full-width digits. Neither their date nor their check digit is judged: numbers issued since October 2020 have no
check digit, and a person whose number looks odd is a person all the same.
"""

from __future__ import annotations

import hmac
import re
import unicodedata
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import polars as pl

from biokeel.contracts.grammars import SUBJECT_SCHEME

if TYPE_CHECKING:
    from collections.abc import Iterable

    from biokeel.vault.keys import Key

REGISTRATION_SCHEMES: Final = ("KR_RRN", "KR_FRN")
LONGEST: Final = 128
"""Characters of the longest identifier that is taken."""

_REGISTRATION_SPACE: Final = "KR"
_SEPARATOR: Final = "\x1f"
_SCHEME: Final = re.compile(SUBJECT_SCHEME)
_SEPARATORS: Final = re.compile(r"[\s\-.·_/‐-―−\u200b-\u200f\u2060\ufeff]+")
_INVISIBLE: Final = re.compile(r"[\u200b-\u200f\u2060\ufeff]+")
_REGISTRATION: Final = re.compile(r"[0-9]{13}")

_PLAIN: Final = rf"^[!-~]{{1,{LONGEST}}}$"
_PLAIN_REGISTRATION: Final = "^[0-9]{6}-?[0-9]{7}$"
"""Writings of which `normalise` changes nothing, but for the hyphen of the second."""

_BLOCK: Final = 64
"""Bytes that SHA-256 takes at a time."""


@dataclass(frozen=True, slots=True, repr=False)
class Identifier:
    """An identifier in its normal form. Prints as its scheme only."""

    scheme: str
    value: str

    def __repr__(self) -> str:
        return f"Identifier({self.scheme}, **********)"

    __str__ = __repr__

    def digest(self, key: Key) -> bytes:
        """HMAC-SHA256 under `key`: the index of the vault, of no use without the key."""
        return hmac.digest(key.secret, self.message.encode(), "sha256")

    @property
    def message(self) -> str:
        """What is digested."""
        space = _REGISTRATION_SPACE if self.scheme in REGISTRATION_SCHEMES else self.scheme
        return f"{space}{_SEPARATOR}{self.value}"


def normalise(scheme: str, text: str) -> Identifier | None:
    """The identifier that `text` writes under `scheme`; None where the scheme or the form is not known."""
    if not _SCHEME.fullmatch(scheme):
        return None
    value = unicodedata.normalize("NFKC", text) if not text.isascii() else text
    if scheme in REGISTRATION_SCHEMES:
        value = _SEPARATORS.sub("", value)
        return Identifier(scheme, value) if _REGISTRATION.fullmatch(value) else None
    value = _INVISIBLE.sub("", value).strip()
    return Identifier(scheme, value) if 0 < len(value) <= LONGEST and value.isprintable() else None


def messages(schemes: pl.Series, texts: pl.Series) -> pl.Series:
    """What is digested for each (scheme, identifier as written): `Identifier.message`, null for what has no form.

    Nearly all are written plainly, and cost a fifth of a call of `normalise`; it is asked about the others.
    """
    scheme, text = pl.col("scheme"), pl.col("text")
    registration = scheme.is_in(REGISTRATION_SCHEMES)
    plain = (
        pl.DataFrame({"scheme": schemes, "text": texts})
        .select(
            pl.when(registration)
            .then(
                pl.when(text.str.contains(_PLAIN_REGISTRATION)).then(
                    pl.format(_REGISTRATION_SPACE + _SEPARATOR + "{}", text.str.replace("-", "", literal=True))
                )
            )
            .when(scheme.str.contains(SUBJECT_SCHEME) & text.str.contains(_PLAIN))
            .then(pl.format("{}" + _SEPARATOR + "{}", scheme, text))
        )
        .to_series()
    )
    others = plain.is_null().arg_true()
    if not len(others):
        return plain
    forms = map(normalise, schemes.gather(others), texts.gather(others))
    return plain.scatter(others, [None if form is None else form.message for form in forms])


def digests(said: Iterable[str], key: Key) -> bytes:
    """The digests of messages, one after the other: as `Identifier.digest` has them, for less than half the price.

    HMAC digests the key's two pads first. That is done once here, and copied for each message (RFC 2104, 4).
    """
    padded = key.secret.ljust(_BLOCK, b"\0")
    inner, outer = (sha256(bytes(byte ^ pad for byte in padded)) for pad in (0x36, 0x5C))
    parts = []
    for message in said:
        within, around = inner.copy(), outer.copy()
        within.update(message.encode())
        around.update(within.digest())
        parts.append(around.digest())
    return b"".join(parts)
