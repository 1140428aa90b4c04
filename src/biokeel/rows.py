"""Rows by key: dense row numbers, and a hash index that says which key has which row.

A key keeps its row for good, so a row number is all that is ever said about one. To look a key up costs the same at
1,000 and at 1,000,000, but for what the processor's caches no longer hold. The index is an array of row numbers with
open addressing: the product of a key and an odd constant names, by its high bits, the slot where the search begins; it
goes on slot by slot until the row or an empty slot is met. At most half of the slots are taken, so it is short, and
every step is taken for all wanted keys at once. Keys that are not random would make it longer, not wrong.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

_SCATTER: Final = np.uint64(0x9E3779B97F4A7C15)
"""2^64 divided by the golden ratio: Knuth, The Art of Computer Programming, volume 3, 6.4, multiplicative hashing."""
_BITS: Final = 8
"""The smallest index has 2^8 slots."""


class Rows:
    """Rows 1 to `last` of a key each; row 0 is nobody's."""

    __slots__ = ("_index", "_keys", "_shift", "last")

    def __init__(self, keys: Ints) -> None:
        """`keys`, distinct, get the rows from 1 on."""
        self.last = 0
        self._keys: Ints = np.zeros(1, np.int64)
        self._shift = np.uint64(64 - _BITS)
        self._index: npt.NDArray[np.int32] = np.zeros(1 << _BITS, np.int32)
        self.append(keys)

    def find(self, keys: Ints) -> Ints:
        """The row of each of `keys`, 0 for one that is not here."""
        mask = len(self._index) - 1
        slots = self._begin(keys)
        rows = self._index.take(slots)
        # An empty slot names row 0, so whatever number that holds, the answer is 0.
        other = np.flatnonzero((self._keys.take(rows) != keys) & (rows != 0))
        slots = slots[other]
        while len(other):
            slots = (slots + 1) & mask
            met = self._index.take(slots)
            rows[other] = met
            go_on = (self._keys.take(met) != keys.take(other)) & (met != 0)
            other, slots = other[go_on], slots[go_on]
        return rows.astype(np.int64)

    def append(self, keys: Ints) -> None:
        """Give `keys`, distinct and not here yet, the rows after `last`."""
        first, self.last = self.last + 1, self.last + len(keys)
        if self.last >= len(self._keys):
            self._grow()
        self._keys[first : self.last + 1] = keys
        if 2 * self.last > len(self._index):
            bits = int(4 * self.last - 1).bit_length()
            self._shift = np.uint64(64 - bits)
            self._index = np.zeros(1 << bits, np.int32)
            first = 1
        self._enter(np.arange(first, self.last + 1, dtype=np.int32))

    def keys(self, last: int) -> Ints:
        """A copy of the keys of rows 1 to `last`."""
        return self._keys[1 : last + 1].copy()

    def _begin(self, keys: Ints) -> Ints:
        return ((keys.astype(np.uint64) * _SCATTER) >> self._shift).view(np.int64)

    def _enter(self, rows: npt.NDArray[np.int32]) -> None:
        """Put `rows` into the index. Where several want one empty slot, one gets it and the others go on."""
        mask = len(self._index) - 1
        slots = self._begin(self._keys.take(rows))
        while len(rows):
            empty = self._index.take(slots) == 0
            self._index[slots[empty]] = rows[empty]
            homeless = self._index.take(slots) != rows
            rows, slots = rows[homeless], (slots[homeless] + 1) & mask

    def _grow(self) -> None:
        """Room for half as many again. What is not used yet costs no memory: the system gives pages when written."""
        keys = np.zeros(self.last + self.last // 2 + 1, np.int64)
        keys[: len(self._keys)] = self._keys
        self._keys = keys
