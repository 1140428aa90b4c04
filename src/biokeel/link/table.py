"""Participants and their records in memory: dense rows, and a hash index that says who stands in which row.

A participant keeps its row for good, so a row number is all that is ever said about one. To look a participant up
costs the same at 1,000 and at 1,000,000, but for what the processor's caches no longer hold. The index is an array of
row numbers with open addressing: the product of a participant's number and an odd constant names, by its high bits,
the slot where the search begins; it goes on slot by slot until the row or an empty slot is met. At most half of the
slots are taken, so it is short, and every step is taken for all wanted participants at once. Numbers that are not
random would make it longer, not wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

COUNT, PREVIOUS, FIRST, LAST = range(4)
RECORD: Final = ("count", "previous_ms", "first_ms", "last_ms")
"""The columns of a record: curated events so far, `occurred_at` of the one that arrived last, and the earliest
and the latest `occurred_at`, in milliseconds since 1970."""

_WIDTH: Final = len(RECORD)
_NOTHING: Final = np.array([0, 0, np.iinfo(np.int64).max, np.iinfo(np.int64).min])
"""The record of a participant without events: any time is earlier than its earliest, and later than its latest."""

_SCATTER: Final = np.uint64(0x9E3779B97F4A7C15)
"""2^64 divided by the golden ratio: Knuth, The Art of Computer Programming, volume 3, 6.4, multiplicative hashing."""
_BITS: Final = 8
"""The smallest index has 2^8 slots."""
_LINE: Final = 64
"""Bytes of a cache line: a record of 32 bytes that begins at a multiple of 32 lies in one."""


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """The events of one batch by participant, all int64 of one length: how many, and three of their times.

    `rows` are sorted and distinct; `last` is the time of the one that arrived last.
    """

    rows: Ints
    counts: Ints
    last: Ints
    earliest: Ints
    latest: Ints


class Table:
    """Rows 1 to `last` of a participant and a record each; row 0 is nobody's.

    It changes in place and knows nothing of versions or threads: `PersonState` does.
    """

    __slots__ = ("_index", "_records", "_shift", "_who", "last")

    def __init__(self, participants: Ints, records: Ints) -> None:
        """`participants` int64 [n], distinct, get the rows from 1 on; `records` int64 [n, 4] are theirs."""
        self.last = 0
        self._who: Ints = np.zeros(1, np.int64)
        self._records = _aligned(1)
        self._shift = np.uint64(64 - _BITS)
        self._index: npt.NDArray[np.int32] = np.zeros(1 << _BITS, np.int32)
        self.append(participants)
        self._records[1 : self.last + 1] = records

    def find(self, participants: Ints) -> Ints:
        """The row of each of `participants`, 0 for one that is not here."""
        mask = len(self._index) - 1
        slots = self._begin(participants)
        rows = self._index.take(slots)
        # An empty slot names row 0, so whatever number that holds, the answer is 0.
        other = np.flatnonzero((self._who.take(rows) != participants) & (rows != 0))
        slots = slots[other]
        while len(other):
            slots = (slots + 1) & mask
            met = self._index.take(slots)
            rows[other] = met
            go_on = (self._who.take(met) != participants.take(other)) & (met != 0)
            other, slots = other[go_on], slots[go_on]
        return rows.astype(np.int64)

    def read(self, rows: Ints) -> Ints:
        """The records of `rows`: int64 [n, 4]."""
        return self._records.take(rows, axis=0)

    def advance(self, events: Events) -> tuple[Ints, Ints, Ints]:
        """Add `events` to the records of their rows; the records before, and its COUNT and PREVIOUS."""
        # `take` and `put` of whole pieces are some four times as quick as indexing with an array of rows.
        pieces = _pieces(self._records)
        before = pieces.take(events.rows).view(np.int64).reshape(-1, _WIDTH)
        count, previous = before[:, COUNT].copy(), before[:, PREVIOUS].copy()
        after = np.empty_like(before)
        np.add(count, events.counts, out=after[:, COUNT])
        after[:, PREVIOUS] = events.last
        np.minimum(before[:, FIRST], events.earliest, out=after[:, FIRST])
        np.maximum(before[:, LAST], events.latest, out=after[:, LAST])
        np.put(pieces, events.rows, _pieces(after))
        return before, count, previous

    def append(self, participants: Ints) -> None:
        """Give `participants`, distinct and not here yet, the rows after `last`, with records of nothing."""
        first, self.last = self.last + 1, self.last + len(participants)
        if self.last >= len(self._who):
            self._grow()
        self._who[first : self.last + 1] = participants
        self._records[first : self.last + 1] = _NOTHING
        if 2 * self.last > len(self._index):
            bits = int(4 * self.last - 1).bit_length()
            self._shift = np.uint64(64 - bits)
            self._index = np.zeros(1 << bits, np.int32)
            first = 1
        self._enter(np.arange(first, self.last + 1, dtype=np.int32))

    def columns(self, last: int) -> tuple[Ints, Ints]:
        """Copies of the participants and the records of rows 1 to `last`."""
        return self._who[1 : last + 1].copy(), self._records[1 : last + 1].copy()

    def _begin(self, participants: Ints) -> Ints:
        return ((participants.astype(np.uint64) * _SCATTER) >> self._shift).view(np.int64)

    def _enter(self, rows: npt.NDArray[np.int32]) -> None:
        """Put `rows` into the index. Where several want one empty slot, one gets it and the others go on."""
        mask = len(self._index) - 1
        slots = self._begin(self._who.take(rows))
        while len(rows):
            empty = self._index.take(slots) == 0
            self._index[slots[empty]] = rows[empty]
            homeless = self._index.take(slots) != rows
            rows, slots = rows[homeless], (slots[homeless] + 1) & mask

    def _grow(self) -> None:
        """Room for half as many again. What is not used yet costs no memory: the system gives pages when written."""
        room = self.last + self.last // 2 + 1
        who, records = np.zeros(room, np.int64), _aligned(room)
        who[: len(self._who)] = self._who
        records[: len(self._records)] = self._records
        self._who, self._records = who, records


def _aligned(rows: int) -> Ints:
    room = np.zeros(rows * _WIDTH + _LINE // 8, np.int64)
    begin = (-room.ctypes.data % _LINE) // 8
    return room[begin : begin + rows * _WIDTH].reshape(rows, _WIDTH)


def _pieces(records: Ints) -> npt.NDArray[np.void]:
    """`records`, each as one piece of memory: to put those is twice as quick as to put rows of four numbers."""
    return records.view(np.dtype((np.void, 8 * _WIDTH))).reshape(-1)
