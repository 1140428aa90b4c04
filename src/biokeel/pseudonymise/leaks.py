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

Speed: the patterns run once, over the *distinct* strings of all columns together. Each call of polars costs some 50
microseconds however few rows there are, so one call does for all columns what it can.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

import numpy as np
import polars as pl
import pyarrow as pa

from biokeel.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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
_MAY_LEAK: Final = (pl.col("text").str.len_bytes() >= _SHORTEST) & ~pl.col("text").str.contains(_HASH)
_FOUND: Final = [
    *(pl.col("text").str.contains(pattern).alias(name) for name, pattern in _PATTERNS.items()),
    (pl.col("text").str.contains(_CARD) & ~pl.col("text").str.contains(_SNOMED)).alias("card"),
]
"""Which strings each pattern is found in; of `card` those that have its shape."""

_ASCII: Final = 0x80
_SPACE: Final = 0x20
_BARE: Final = np.array(
    [ord(chr(byte).lower()) * chr(byte).isalnum() * (byte < _ASCII) for byte in range(256)], np.uint8
)
"""What is left of each byte of a bare subject: 0 is nothing."""


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
    searched = [(strings, column.name in exempt) for column in frame for strings in _strings(column, None)]
    if not searched or not frame.height:
        return []
    lengths = pl.select(pl.lit(each.values).str.len_bytes().max().alias(str(i)) for i, (each, _) in enumerate(searched))
    long = [
        (strings, hidden, longest)
        for (strings, hidden), longest in zip(searched, lengths.row(0), strict=True)
        if (longest or 0) >= _SHORTEST
    ]
    plain = [strings for strings, hidden, _ in long if not hidden]
    return [*_matches(plain, frame.height), *_own_subjects(long, subjects)]


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


def _matches(searched: Sequence[_Strings], height: int) -> Iterator[Leak]:
    """What the patterns find in the strings of `searched`."""
    if not searched:
        return
    distinct = pl.concat_list(pl.lit(each.values).unique().implode() for each in searched).explode()
    texts = pl.select(distinct.alias("text")).filter(_MAY_LEAK).to_series()
    found = {pattern: texts.filter(hits) for pattern, hits in scan(texts).items()}
    bad = [(pattern, some.implode()) for pattern, some in found.items() if len(some)]
    for strings in searched:
        for pattern, some in bad:
            rows = strings.spread(strings.values.is_in(some), height)
            if rows.any():
                yield Leak(strings.field, pattern, rows)


def scan(values: pl.Series) -> dict[str, pl.Series]:
    """For each pattern, which of `values` (String) it is found in."""
    text = values.alias("text")
    if (text.str.len_bytes() != text.str.len_chars()).any():
        text = text.str.normalize("NFKC").str.replace_all("[\u200b-\u200f\u2060\ufeff]", "")
    hits = pl.DataFrame([text]).select(_FOUND).to_dict()
    shaped = hits["card"]
    if shaped.any():
        # The Luhn check runs only over what has a card's shape.
        numbers = text.filter(shaped).str.extract_all(_CARD).to_list()
        good = [any(_luhn([int(c) for c in number if c in "0123456789"]) for number in some) for some in numbers]
        hits["card"] = shaped.scatter(shaped.arg_true(), good)
    return hits


def _luhn(digits: list[int]) -> bool:
    """The check of ISO/IEC 7812-1, annex B."""
    doubled = (digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _own_subjects(searched: Sequence[tuple[_Strings, bool, int]], subjects: pl.Series) -> Iterator[Leak]:
    """Rows whose own subject stands in one of their strings.

    Each of `searched` comes with whether its column is exempt, and the bytes of its longest string.
    """
    if not searched:
        return
    plain, bare = _plain_and_bare(subjects)
    # Exempt columns are random hexadecimal digits: search for the bare characters, and only where chance is not enough.
    by_hidden = {
        hidden: (subject, least, _shortest(subject, least))
        for hidden, subject, least in ((False, plain, SHORTEST_SUBJECT), (True, bare, SHORTEST_HIDDEN))
    }
    for strings, hidden, longest in searched:
        subject, least, shortest = by_hidden[hidden]
        if longest < shortest:
            continue
        own = subject if strings.rows is None else subject.gather(strings.rows)
        long = pl.col("own").str.len_chars() >= least
        frame = pl.DataFrame([strings.values.alias("text"), own.alias("own")])
        hits = frame.select(long & pl.col("text").str.contains(pl.col("own"), literal=True)).to_series()
        if hits.any():
            yield Leak(strings.field, "subject", strings.spread(hits, len(subjects)))


def _shortest(subjects: pl.Series, least: int) -> int:
    """Bytes of the shortest of `subjects` that has `least` bytes, and so may have as many characters."""
    lengths = subjects.str.len_bytes().to_numpy()
    return int(lengths.min(where=lengths >= least, initial=np.iinfo(lengths.dtype).max))


def _plain_and_bare(subjects: pl.Series) -> tuple[pl.Series, pl.Series]:
    """`subjects` without white space around them, and their letters and digits only, as small letters.

    Most are nothing but digits and small letters, so one look at all bytes together saves both.
    """
    array = cast("pa.LargeStringArray", subjects.to_arrow(compat_level=pl.CompatLevel.oldest()))
    _, offsets, data = array.buffers()
    if offsets is None or data is None:
        return subjects, subjects
    ends = np.frombuffer(memoryview(offsets), np.int64)[array.offset : array.offset + len(array) + 1]
    letters = np.frombuffer(memoryview(data), np.uint8)
    kept = _BARE.take(letters)
    if (kept == letters).all():
        return subjects, subjects
    before = np.concatenate(([0], np.cumsum(kept > 0)))
    buffers = pa.py_buffer(before[ends].tobytes()), pa.py_buffer(kept[kept > 0].tobytes())
    bare = pa.LargeStringArray.from_buffers(len(array), *buffers)
    plain = subjects.str.strip_chars() if (letters <= _SPACE).any() or (letters >= _ASCII).any() else subjects
    return plain, cast("pl.Series", pl.from_arrow(bare))


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


def numbers_like_registration(values: pl.Series) -> pl.Series:
    return pl.repeat(False, len(values), dtype=pl.Boolean, eager=True)
