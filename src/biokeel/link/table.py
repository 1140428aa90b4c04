"""Participants and their records in memory: `biokeel.rows` says who stands in which row, here stand the records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from biokeel.rows import Ints, Rows

COUNT, PREVIOUS, FIRST, LAST = range(4)
RECORD: Final = ("count", "previous_ms", "first_ms", "last_ms")
"""The columns of a record: curated events so far, `occurred_at` of the one that arrived last, and the earliest
and the latest `occurred_at`, in milliseconds since 1970."""

_WIDTH: Final = len(RECORD)
_NOTHING: Final = np.array([0, 0, np.iinfo(np.int64).max, np.iinfo(np.int64).min])
"""The record of a participant without events: any time is earlier than its earliest, and later than its latest."""

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

    __slots__ = ("_records", "_rows")

    def __init__(self, participants: Ints, records: Ints) -> None:
        """`participants` int64 [n], distinct, get the rows from 1 on; `records` int64 [n, 4] are theirs."""
        self._rows = Rows(participants)
        self._records = _aligned(self.last + 1)
        self._records[1:] = records

    @property
    def last(self) -> int:
        """The last row that is somebody's."""
        return self._rows.last

    def find(self, participants: Ints) -> Ints:
        """The row of each of `participants`, 0 for one that is not here."""
        return self._rows.find(participants)

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
        first = self.last + 1
        self._rows.append(participants)
        if self.last >= len(self._records):
            self._grow()
        self._records[first : self.last + 1] = _NOTHING

    def columns(self, last: int) -> tuple[Ints, Ints]:
        """Copies of the participants and the records of rows 1 to `last`."""
        return self._rows.keys(last), self._records[1 : last + 1].copy()

    def _grow(self) -> None:
        """Room for half as many again. What is not used yet costs no memory: the system gives pages when written."""
        records = _aligned(self.last + self.last // 2 + 1)
        records[: len(self._records)] = self._records
        self._records = records


def _aligned(rows: int) -> Ints:
    room = np.zeros(rows * _WIDTH + _LINE // 8, np.int64)
    begin = (-room.ctypes.data % _LINE) // 8
    return room[begin : begin + rows * _WIDTH].reshape(rows, _WIDTH)


def _pieces(records: Ints) -> npt.NDArray[np.void]:
    """`records`, each as one piece of memory: to put those is twice as quick as to put rows of four numbers."""
    return records.view(np.dtype((np.void, 8 * _WIDTH))).reshape(-1)
