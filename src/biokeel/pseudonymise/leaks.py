"""The leak scan: every string that is about to cross the wall, looked through for what identifies a person.

It is the second line: the forms that fields declare come first. `patterns` says what it finds, `writings` in which
writings. A `subject` is the row's own `subject_id`, of six characters or more, inside another string; one of five
characters or fewer is not searched for, because it would be found in every other code.

Hash values and UUIDs (32, 40, 64 or 128 hexadecimal digits and nothing else) are left alone unless they are padded with
zeros or stand for other text: random digits in them would look like anything. The scan errs on the side of stopping: a
13-digit code that reads as a date and seven digits is stopped, too. A name, or another person's hospital number, has no
form that a scan could know.

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
from biokeel.pseudonymise.patterns import find_patterns, is_hash
from biokeel.pseudonymise.writings import unfold

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

SHORTEST_SUBJECT: Final = 6
"""Characters from which on a `subject_id` is searched for in other strings."""
SHORTEST_HIDDEN: Final = 8
"""The same for a column of 32 hexadecimal digits, where chance finds 8 given ones in 1 of 170 million rows."""

_SHORTEST: Final = 6
"""Bytes of the shortest string that any pattern matches (`a@b.cd`)."""

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
    texts = pl.select(distinct.alias("text")).drop_nulls().to_series()
    found = {pattern: texts.filter(hits) for pattern, hits in scan(texts).items()}
    bad = [(pattern, some.implode()) for pattern, some in found.items() if len(some)]
    for strings in searched:
        for pattern, some in bad:
            rows = strings.spread(strings.values.is_in(some), height)
            if rows.any():
                yield Leak(strings.field, pattern, rows)


def scan(values: pl.Series) -> dict[str, pl.Series]:
    """For each pattern, which of `values` (String) it is found in."""
    known = unfold(values.alias("text"))
    known = known.filter(pl.col("text").str.len_bytes() >= _SHORTEST, ~is_hash(pl.col("text")))
    hits = find_patterns(known["text"])
    rows = known["row"]
    nothing = np.zeros(len(values), dtype=np.bool_)
    found = {}
    for name, some in hits.items():
        flags = nothing.copy()
        flags[rows.filter(some).to_numpy()] = True
        found[name] = pl.Series(name, flags)
    return found


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
