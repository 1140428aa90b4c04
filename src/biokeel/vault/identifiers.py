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
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from biokeel.vault.keys import Key

SCHEME_PATTERN: Final = r"^(?:KR_RRN|KR_FRN|(?:hospital|sample|app)/[a-z0-9][a-z0-9.-]{0,47})$"
"""The subject schemes that Biokeel knows; a regular expression that Python and polars read alike."""

REGISTRATION_SCHEMES: Final = ("KR_RRN", "KR_FRN")
LONGEST: Final = 128
"""Characters of the longest identifier that is taken."""

_SCHEME: Final = re.compile(SCHEME_PATTERN)
_SEPARATORS: Final = re.compile(r"[\s\-.·_/‐-―−\u200b-\u200f\u2060\ufeff]+")
_INVISIBLE: Final = re.compile(r"[\u200b-\u200f\u2060\ufeff]+")
_REGISTRATION: Final = re.compile(r"[0-9]{13}")


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
        space = "KR" if self.scheme in REGISTRATION_SCHEMES else self.scheme
        return hmac.digest(key.secret, f"{space}\x1f{self.value}".encode(), "sha256")


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
