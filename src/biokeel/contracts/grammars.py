"""The grammars of code systems: which texts can be a code at all, by shape and by check digit.

A grammar knows no list of codes: that a code has its form does not mean that it exists, only that it cannot be a name
or a registration number. Each shape is anchored and bounded, and Rust's regular expressions take linear time.

| grammar | shape | check digit |
| --- | --- | --- |
| `loinc` | `2339-0` | mod 10 (LOINC Users' Guide, appendix C) |
| `loinc-answer` | `LA6576-8` | the same, letters included |
| `snomed-ct` | 6 to 11 digits of the core, or 11 to 18 of an extension with its namespace `1000xxx` | Verhoeff (SNOMED CT Release File Specifications, 6) |
| `icd-10` | `E11.9` (WHO) | none |
| `icd-10-cm` | `S72.001A` (CDC/NCHS) | none |
| `kcd` | `N20.1`, also without its dot, as claims write it (KOSTAT) | none |
| `atc` | `A10BA02`, and the levels above it (WHO Collaborating Centre) | none |
| `rxnorm` | a RXCUI of up to 7 digits (NLM) | none |
| `hira-edi` | 9 digits from 0 or 6: a medicine's claim code (HIRA) | none |
| `hira-edi-procedure` | a letter and 4 digits (or two letters and 3), and up to 3 digits of additions: a procedure's or test's claim code (HIRA) | none |
| `kd` | `880` and 10 digits: the Korean standard code of a medicine | mod 10 of GS1's GTIN-13 |
| `sha256` | 64 lower-case hexadecimal digits that can be a hash | none |
| `event-id` | 32 lower-case hexadecimal digits | none |
| `source-id`, `subject-scheme` | names that the programme gives | none |
"""  # noqa: E501 - a table

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Digits = npt.NDArray[np.uint8]

EVENT_ID: Final = r"^[0-9a-f]{32}$"
"""What the SDK derives from the source's record key."""
VERSION_NUMBERS: Final = r"[0-9]{1,3}(?:\.[0-9]{1,3}){0,3}"
"""Of a software: at most four numbers of three digits, so no number that is somebody's."""
SOURCE_ID: Final = r"^[a-z0-9][a-z0-9-]{0,39}$"
"""No dot and no slash: it stands between dots in the names of topics, and it is a file's name."""
SUBJECT_SCHEME: Final = r"^(?:KR_RRN|KR_FRN|(?:hospital|sample|app)/[a-z0-9][a-z0-9.-]{0,47})$"
"""The subject schemes that Biokeel knows; a regular expression that Python and polars read alike."""

_LONGEST: Final = 18
"""Digits of the longest code with a check digit."""


@dataclass(frozen=True, slots=True)
class Grammar:
    """The codes of one system. `title` is for people.

    `check` says of codes of the right `shape` which have the right check digit. `open`: identifiers might have the
    shape too, so that what fits is searched all the same.
    """

    title: str
    shape: str
    check: Callable[[pl.Series], npt.NDArray[np.bool_]] | None = None
    open: bool = False

    def fits(self, texts: pl.Series) -> pl.Series:
        """Which of `texts` (String without nulls) can be codes of the system."""
        shaped = texts.str.contains(self.shape)
        if self.check is None or not shaped.any():
            return shaped
        return shaped.scatter(shaped.arg_true(), pl.Series(self.check(texts.filter(shaped)), dtype=pl.Boolean))


def _digits(codes: pl.Series) -> Digits:
    """The digits of each code as a row of `_LONGEST`, zeros before them; letters and hyphens are left out."""
    plain = codes.str.replace_all("[^0-9]", "").str.pad_start(_LONGEST, "0")
    return np.frombuffer("".join(plain).encode(), np.uint8).reshape(-1, _LONGEST) - ord("0")


def _luhn(codes: pl.Series) -> npt.NDArray[np.int64]:
    """The sum of Luhn's check: every second digit doubled, from the one before the check digit."""
    digits = _digits(codes).astype(np.int64)
    doubled = digits[:, -2::-2] * 2
    return np.asarray(digits[:, -1::-2].sum(1) + (doubled - 9 * (doubled > 9)).sum(1))


def _mod10(codes: pl.Series) -> npt.NDArray[np.bool_]:
    """LOINC's check digit, which is Luhn's."""
    return np.asarray(_luhn(codes) % 10 == 0)


def _mod10_of_answer(codes: pl.Series) -> npt.NDArray[np.bool_]:
    """The same with the letters `LA` before the digits, as 28 and 17 (ASCII less 48): they add 5 or 8, by the place."""
    is_odd = codes.str.len_bytes().to_numpy() % 2  # LA, hyphen and check digit are four characters
    return np.asarray((_luhn(codes) + np.where(is_odd, 8, 5)) % 10 == 0)


def _gtin(codes: pl.Series) -> npt.NDArray[np.bool_]:
    """GS1's check digit: every second digit thrice, from the one before it."""
    digits = _digits(codes).astype(np.int64)
    return np.asarray((digits[:, -1::-2].sum(1) + 3 * digits[:, -2::-2].sum(1)) % 10 == 0)


def _dihedral() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Verhoeff's tables: the product of the dihedral group of order 10, and his permutation's powers."""
    product = np.array(
        [
            [(a + b) % 5 if a < 5 and b < 5 else
             (a + b - 5) % 5 + 5 if a < 5 else
             (a - 5 - b) % 5 + 5 if b < 5 else
             (a - b) % 5
             for b in range(10)]
            for a in range(10)
        ]
    )  # fmt: skip
    powers = [np.arange(10)]
    for _ in range(7):
        powers.append(np.array([1, 5, 7, 6, 2, 8, 3, 0, 9, 4])[powers[-1]])
    return product, np.array(powers)


_PRODUCT, _POWERS = _dihedral()


def _verhoeff(codes: pl.Series) -> npt.NDArray[np.bool_]:
    """Verhoeff's check; the zeros before a code change it, so only its own digits count."""
    digits = _digits(codes)
    lengths = codes.str.len_bytes().to_numpy()
    state = np.zeros(len(codes), np.int64)
    for place in range(_LONGEST):
        here = place < lengths
        state = np.where(here, _PRODUCT[state, _POWERS[place % 8, digits[:, -1 - place]]], state)
    return np.asarray(state == 0)


def _hashes(codes: pl.Series) -> npt.NDArray[np.bool_]:
    """Which of some hexadecimal texts can be a hash.

    Decimal digits alone, or twelve equal digits in a row, come of a number that was padded or written as text; chance
    makes one in 10^13 hashes so.
    """
    runs = "|".join(f"{digit}{{12}}" for digit in "0123456789abcdef")
    return ~codes.str.contains(f"^[0-9]+$|{runs}").to_numpy()


GRAMMARS: Final[dict[str, Grammar]] = {
    "loinc": Grammar("LOINC code with its check digit", r"^[1-9][0-9]{0,5}-[0-9]$", _mod10),
    "loinc-answer": Grammar("LOINC answer code with its check digit", r"^LA[1-9][0-9]{0,5}-[0-9]$", _mod10_of_answer),
    "snomed-ct": Grammar(
        "SNOMED CT concept identifier with its check digit",
        r"^(?:[1-9][0-9]{2,7}00[0-9]|[1-9][0-9]{0,7}1000[0-9]{3}10[0-9])$",
        _verhoeff,
    ),
    "icd-10": Grammar("ICD-10 code", r"^[A-Z][0-9]{2}(?:\.?[0-9]{1,2})?$"),
    "icd-10-cm": Grammar("ICD-10-CM code", r"^[A-Z][0-9][0-9AB](?:\.?[0-9A-Z]{1,4})?$"),
    "kcd": Grammar("KCD code", r"^[A-Z][0-9]{2}(?:\.?[0-9]{1,3})?$"),
    "atc": Grammar("ATC code", r"^[ABCDGHJLMNPRSV](?:[0-9]{2}(?:[A-Z](?:[A-Z](?:[0-9]{2})?)?)?)?$"),
    "rxnorm": Grammar("RxNorm identifier (RXCUI)", r"^[1-9][0-9]{0,6}$"),
    "hira-edi": Grammar("HIRA EDI code of a medicine", r"^[06][0-9]{8}$", open=True),
    "hira-edi-procedure": Grammar(
        "HIRA EDI code of a procedure or test", r"^(?:[A-Z][0-9]{4}|[A-Z]{2}[0-9]{3})(?:[0-9]{3})?$", open=True
    ),
    "kd": Grammar("Korean standard code of a medicine (KD) with its check digit", r"^880[0-9]{10}$", _gtin, open=True),
    "sha256": Grammar("SHA-256 in hexadecimal digits", r"^[0-9a-f]{64}$", _hashes),
    "event-id": Grammar("event id: 32 hexadecimal digits", EVENT_ID),
    "source-id": Grammar("registered source", SOURCE_ID),
    "subject-scheme": Grammar("scheme of an identifier", SUBJECT_SCHEME),
}
