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
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from biokeel.errors import SchemaError
from biokeel.pseudonymise.patterns import find_patterns, is_hash
from biokeel.pseudonymise.writings import unfold

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

SHORTEST_SUBJECT: Final = 6
"""Characters from which on a `subject_id` is searched for in other strings."""
_SHORTEST: Final = 6
"""Bytes of the shortest string that any pattern matches (`a@b.cd`)."""


@dataclass(frozen=True, slots=True)
class Leak:
    """One kind of hit: `rows` says in which rows of the frame; `field` and `pattern` may be shown."""

    field: str
    pattern: str
    rows: npt.NDArray[np.bool_]


def find_leaks(frame: pl.DataFrame, subjects: pl.Series, codes: pl.DataFrame | None = None) -> list[Leak]:
    """Everything in the strings of `frame`, however deep in lists and records, that no row may take along.

    `subjects` is each row's `subject_id`. `codes` are columns whose texts have a form that the patterns cannot hide in
    (the caller has checked it); they are searched for the subject only. Raises `SchemaError` for a type that cannot be
    scanned.
    """
    searched = _long(frame)
    patterns = _matches([strings for strings, _ in searched], len(subjects))
    coded = _long(codes) if codes is not None else []
    return [*patterns, *_own_subjects([*searched, *coded], subjects)]


def _long(frame: pl.DataFrame) -> list[tuple[_Strings, int]]:
    """The strings of `frame` that are long enough to be looked through, with the bytes of the longest of each."""
    found = [strings for column in frame for strings in _strings(column, None)]
    if not found or not frame.height:
        return []
    lengths = pl.select(pl.lit(each.values).str.len_bytes().max().alias(str(i)) for i, each in enumerate(found)).row(0)
    return [(each, longest) for each, longest in zip(found, lengths, strict=True) if (longest or 0) >= _SHORTEST]


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


def _own_subjects(searched: Sequence[tuple[_Strings, int]], subjects: pl.Series) -> Iterator[Leak]:
    """Rows whose own subject stands in one of their strings. Each comes with the bytes of its longest."""
    if not searched:
        return
    plain = subjects.str.strip_chars()
    lengths = plain.str.len_bytes().to_numpy()
    shortest = int(lengths.min(where=lengths >= SHORTEST_SUBJECT, initial=np.iinfo(lengths.dtype).max))
    for strings, longest in searched:
        if longest < shortest:
            continue
        own = plain if strings.rows is None else plain.gather(strings.rows)
        long = pl.col("own").str.len_chars() >= SHORTEST_SUBJECT
        frame = pl.DataFrame([strings.values.alias("text"), own.alias("own")])
        hits = frame.select(long & pl.col("text").str.contains(pl.col("own"), literal=True)).to_series()
        if hits.any():
            yield Leak(strings.field, "subject", strings.spread(hits, len(subjects)))


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
