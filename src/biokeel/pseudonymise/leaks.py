"""The leak scan: every string that is about to cross the wall, looked through for what identifies a person.

| pattern | what it finds |
| --- | --- |
| `registration` | RRN or FRN: a date (yymmdd) and seven digits, whatever stands between; the check digit is not asked |
| `phone` | Korean mobile, area and internet numbers, at home or with +82 |
| `email` | an e-mail address |
| `passport` | a Korean passport number, old (`M12345678`) or new (`M123A4567`) |
| `card` | a payment card: its issuer's range, its length and the Luhn check |
| `subject` | the row's own `subject_id`, of six characters or more, inside another string |

Full-width digits and letters are read as plain ones. Hash values and UUIDs (32, 40, 64 or 128 hexadecimal digits and
nothing else) are left alone: random digits in them would look like anything. A `subject_id` of five characters
or fewer is not searched for, because it would be found in every other code. The scan errs on the side of stopping: a
13-digit code that reads as a date and seven digits is stopped, too.

Speed: each pattern runs over the *distinct* strings of a column only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from biokeel.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

SHORTEST_SUBJECT: Final = 6
"""Characters from which on a `subject_id` is searched for in other strings."""
SHORTEST_HIDDEN: Final = 8
"""The same for a column of 32 hexadecimal digits, where chance finds 8 given ones in 1 of 170 million rows."""

_SEPARATOR: Final = r"[\s\-.·_/‐-―−]"
_NO_DIGIT: Final = "[^0-9]"
_NO_WORD: Final = "[^0-9A-Za-z]"


def _alone(pattern: str, boundary: str = _NO_DIGIT) -> str:
    """`pattern` where nothing of the kind goes on before or after it (the regular expressions have no look-around)."""
    return f"(?:^|{boundary})(?:{pattern})(?:$|{boundary})"


_HOME: Final = rf"\(?(?:0|(?:\+|00)82{_SEPARATOR}?\(?0?\)?|82{_SEPARATOR}\(?0?\)?)"
_NUMBER: Final = rf"{_SEPARATOR}{{0,2}}[0-9]{{3,4}}{_SEPARATOR}{{0,2}}[0-9]{{4}}"

_PATTERNS: Final = {
    "registration": _alone(rf"[0-9]{{2}}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01]){_SEPARATOR}{{0,3}}[0-9]{{7}}"),
    "phone": "|".join(
        (
            _alone(rf"{_HOME}1[016789]{_NUMBER}"),
            # Fixed lines only where no code goes on: food codes are made of such digits.
            _alone(rf"{_HOME}(?:2|[3-6][1-5]|70|50[0-9]?)\)?{_NUMBER}", r"[^0-9A-Za-z\-.]"),
        )
    ),
    "email": r"[^\s@]+@[^\s@]+\.[^\s@.]{2,}",
    "passport": _alone(r"(?i:[MSROGD])(?:[0-9]{8}|[0-9]{3}[A-Za-z][0-9]{4})", _NO_WORD),
}
_CARD: Final = r"(?:^|[^0-9])((?:[3-6][0-9]{3}|2[2-7][0-9]{2})(?:[\s\-.]?[0-9]){9,15})(?:$|[^0-9])"
_HASH: Final = (
    r"^(?:[0-9a-fA-F]{32}|[0-9a-fA-F]{40}|[0-9a-fA-F]{64}|[0-9a-fA-F]{128}"
    r"|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})$"
)
_SNOMED: Final = r"^[0-9]{1,8}1000[0-9]{3}1[0-6][0-9]$"
"""A SNOMED CT code of an extension: item, namespace 1000xxx, partition 10 to 16, check digit."""

_SHORTEST: Final = 6
"""Bytes of the shortest string that any pattern matches (`a@b.cd`)."""


@dataclass(frozen=True, slots=True)
class Leak:
    """One kind of hit: `rows` says in which rows of the frame; `field` and `pattern` may be shown."""

    field: str
    pattern: str
    rows: npt.NDArray[np.bool_]


def find_leaks(frame: pl.DataFrame, subjects: pl.Series, exempt: frozenset[str] = frozenset()) -> list[Leak]:
    """Everything in the strings of `frame`, however deep in lists and records, that no row may take along.

    `subjects` is each row's `subject_id`. Columns in `exempt` have a form that the patterns cannot hide in (the caller
    has checked it); they are searched for the subject only. Raises `SchemaError` for a type that cannot be scanned.
    """
    leaks: list[Leak] = []
    searched: list[_Strings] = []
    for column in frame:
        for strings in _strings(column, None):
            searched.append(strings)
            if column.name not in exempt:
                leaks += strings.leaks(frame.height)
    return [*leaks, *_own_subjects(searched, subjects, exempt)]


@dataclass(frozen=True, slots=True)
class _Strings:
    """Strings of one field; `rows` says which row each belongs to, None where it is row by row."""

    field: str
    values: pl.Series
    rows: npt.NDArray[np.int64] | None

    def spread(self, hits: pl.Series, height: int) -> npt.NDArray[np.bool_]:
        """Hits among the strings as a mask of rows."""
        flags = hits.fill_null(value=False).to_numpy()
        if self.rows is None:
            return np.asarray(flags, dtype=np.bool_)
        mask = np.zeros(height, dtype=np.bool_)
        mask[self.rows[flags]] = True
        return mask

    def leaks(self, height: int) -> Iterator[Leak]:
        distinct = self.values.unique()
        distinct = distinct.filter((distinct.str.len_bytes() >= _SHORTEST) & ~distinct.str.contains(_HASH))
        if not len(distinct):
            return
        for pattern, hits in scan(distinct).items():
            bad = distinct.filter(hits)
            if len(bad):
                yield Leak(self.field, pattern, self.spread(self.values.is_in(bad.implode()), height))


def scan(values: pl.Series) -> dict[str, pl.Series]:
    """For each pattern, which of `values` (String) it is found in."""
    plain = values
    if (values.str.len_bytes() != values.str.len_chars()).any():
        plain = values.str.normalize("NFKC").str.replace_all("[\u200b-\u200f\u2060\ufeff]", "")
    hits = {name: plain.str.contains(pattern) for name, pattern in _PATTERNS.items()}
    hits["card"] = _cards(plain)
    return hits


def _cards(values: pl.Series) -> pl.Series:
    """Which strings hold a payment card number. The Luhn check runs only over what has a card's shape."""
    shaped = values.str.contains(_CARD) & ~values.str.contains(_SNOMED)
    if not shaped.any():
        return shaped
    numbers = values.filter(shaped).str.extract_all(_CARD).to_list()
    good = [any(_luhn([int(c) for c in number if c in "0123456789"]) for number in some) for some in numbers]
    result = np.zeros(len(values), dtype=np.bool_)
    result[shaped.to_numpy()] = good
    return pl.Series(result)


def _luhn(digits: list[int]) -> bool:
    """The check of ISO/IEC 7812-1, annex B."""
    doubled = (digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _own_subjects(searched: list[_Strings], subjects: pl.Series, exempt: frozenset[str]) -> Iterator[Leak]:
    """Rows whose own subject stands in one of their strings."""
    plain = subjects.str.strip_chars()
    # Exempt columns are random hexadecimal digits: search for the bare characters, and only where chance is not enough.
    bare = plain.str.replace_all("[^0-9A-Za-z]", "").str.to_lowercase()
    height = len(subjects)
    for strings in searched:
        hidden = strings.field in exempt
        subject, shortest = (bare, SHORTEST_HIDDEN) if hidden else (plain, SHORTEST_SUBJECT)
        own = subject if strings.rows is None else subject.gather(strings.rows)
        long = (own.str.len_chars() >= shortest).alias("long")
        frame = pl.DataFrame([strings.values.alias("text"), own.alias("own"), long])
        hits = frame.select(pl.col("long") & pl.col("text").str.contains(pl.col("own"), literal=True)).to_series()
        if hits.any():
            yield Leak(strings.field, "subject", strings.spread(hits, height))


def _strings(column: pl.Series, rows: npt.NDArray[np.int64] | None) -> Iterator[_Strings]:
    """The strings in a column, those in lists and records too."""
    kind = column.dtype
    if kind == pl.String:
        yield _Strings(column.name, column, rows)
    elif isinstance(kind, (pl.Categorical, pl.Enum)):
        yield _Strings(column.name, column.cast(pl.String), rows)
    elif isinstance(kind, (pl.List, pl.Array)):
        counts = column.list.len() if isinstance(kind, pl.List) else pl.Series([kind.size] * len(column))
        lengths = counts.fill_null(0).to_numpy().astype(np.int64)
        outer = np.arange(len(column), dtype=np.int64) if rows is None else rows
        held = column.filter(pl.Series(lengths > 0))
        yield from _strings(held.explode(), np.repeat(outer, lengths))
    elif isinstance(kind, pl.Struct):
        for name in [field.name for field in kind.fields]:
            yield from _strings(column.struct.field(name).alias(f"{column.name}.{name}"), rows)
    elif kind in (pl.Binary, pl.Object):
        raise SchemaError(f"Field {column.name}: {kind} cannot be scanned for identifiers.", "Give it another type.")
