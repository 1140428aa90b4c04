"""People in memory: a bounded table of what is said about each, found by 128-bit keys.

A key is two 64-bit numbers that look random; the first finds the row (`biokeel.rows`), the second says whether it is
the right one. A record has 32 bytes, so a person costs some 60 in all. What a look-up costs does not depend on how
many people there are; what is new is put at the end, and nothing is ever sorted.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from biokeel.rows import Ints, Rows

PERSON: Final[dict[str, pl.DataType]] = {
    "participant": pl.Int64(),
    "enrolled_on": pl.Date(),
    "birth_year": pl.Int32(),
    "sex": pl.String(),
    "consent": pl.Int32(),
    "first": pl.Int64(),
    "withdrawn": pl.Boolean(),
}
"""Columns of a look-up: one row for each row that was asked for, `participant` null where nobody was found.

`first` is the participant that the identifier belonged to before any merge; see `biokeel.vault.merges`."""

Keys = npt.NDArray[np.uint64]
"""One key a row: its two numbers are the two columns."""
Records = npt.NDArray[np.void]

_RECORD: Final = np.dtype(
    [
        ("participant", np.int64),
        ("first", np.int64),
        ("enrolled_on", np.int32),
        ("birth_year", np.int32),
        ("consent", np.int32),
        ("sex", np.int16),
        ("withdrawn", np.int16),
    ]
)
"""`PERSON` as numbers: days since 1970, and the place of a word. The least number of a kind stands for null."""
_NOBODY: Final = np.array([tuple(np.iinfo(_RECORD[name]).min for name in _RECORD.names or ())], dtype=_RECORD)


class Words:
    """The words of `sex` by number: there are few, and a record has room for a number."""

    def __init__(self) -> None:
        self._words: list[str] = []

    def numbers(self, words: pl.Series) -> pl.Series:
        """The number of each word; null for null."""
        self._words += sorted(set(words.unique().drop_nulls()) - set(self._words))
        return words.replace_strict(self._words, range(len(self._words)), return_dtype=pl.Int16())

    def words(self, numbers: pl.Series) -> pl.Series:
        """The word behind each number; null for null."""
        return pl.Series(self._words, dtype=pl.String).gather(numbers)


class Known:
    """The people under some keys. When full, the older half is forgotten."""

    def __init__(self, entries: int) -> None:
        self._entries = entries
        self.clear()

    def __len__(self) -> int:
        return self._rows.last

    def clear(self) -> None:
        """Forget everybody."""
        self._rows = Rows(np.empty(0, np.int64))
        self._second: Keys = np.zeros(1, np.uint64)
        self._records: Records = _NOBODY.copy()

    def find(self, keys: Keys) -> Ints:
        """The row of each key, 0 for one that is not here."""
        rows = self._rows.find(_first(keys))
        return np.where(self._second.take(rows) == keys[:, 1], rows, 0)

    def read(self, rows: Ints) -> Records:
        """A copy of the records of `rows`; row 0 is nobody's."""
        return self._records.take(rows)

    def add(self, keys: Keys, records: Records) -> None:
        """Add people that are not here; of several with one first number the first."""
        _, places = np.unique(keys[:, 0], return_index=True)
        places = np.sort(places)[-self._entries :]
        keys, records = keys[places], records[places]
        if len(self) + len(keys) > self._entries:
            self._forget(max(0, min(self._entries // 2, self._entries - len(keys))))
        first = len(self) + 1
        self._rows.append(_first(keys))
        if len(self) >= len(self._second):
            self._grow()
        self._second[first : len(self) + 1] = keys[:, 1]
        self._records[first : len(self) + 1] = records

    def _forget(self, keep: int) -> None:
        """Forget all but the latest `keep`."""
        last = len(self)
        kept = slice(last + 1 - keep, last + 1)
        self._rows = Rows(self._rows.keys(last)[last - keep :])
        self._second = np.concatenate([self._second[:1], self._second[kept]])
        self._records = np.concatenate([_NOBODY, self._records[kept]])

    def _grow(self) -> None:
        """Room for half as many again; what is not written yet costs no memory."""
        room = len(self) + len(self) // 2 + 1
        second, records = np.zeros(room, np.uint64), np.zeros(room, _RECORD)
        second[: len(self._second)], records[: len(self._records)] = self._second, self._records
        self._second, self._records = second, records


def to_records(people: pl.DataFrame, words: Words) -> Records:
    """`people` (`PERSON`) as records."""
    records = np.empty(people.height, _RECORD)
    for name in PERSON:
        column = words.numbers(people[name]) if name == "sex" else people[name].to_physical()
        kind = _RECORD[name]
        # Booleans are cast on the way: numpy's and polars' differ in size.
        records[name] = column.cast(pl.Int64).fill_null(int(np.iinfo(kind).min)).to_numpy()
    return records


def to_frame(records: Records, words: Words) -> pl.DataFrame:
    """`records` as `PERSON`."""
    columns = []
    for name, kind in PERSON.items():
        values = np.ascontiguousarray(records[name])
        column = pl.Series(name, values)
        null = values == np.iinfo(values.dtype).min
        if null.any():
            column = column.set(pl.Series(null), None)
        columns.append((words.words(column) if name == "sex" else column.cast(kind)).alias(name))
    return pl.DataFrame(columns)


def are_somebody(records: Records) -> npt.NDArray[np.bool_]:
    """Which of `records` are of a person."""
    return np.asarray(records["participant"] != _NOBODY["participant"])


def _first(keys: Keys) -> Ints:
    return np.ascontiguousarray(keys[:, 0]).view(np.int64)
