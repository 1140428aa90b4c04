"""What linking remembers: one small record for each participant of one (event type, pseudo partition).

`PersonState` never changes; a batch makes a new one. But nothing is copied: all versions share one `Table`, which holds
what the newest knows, and each older one keeps what was overwritten since, as long as somebody holds it (the landing
that is under way, the standing that a snapshot is written from). So an event costs the same order of work at 1,000 and
at 1,000,000 participants; what costs a copy of everything is to ask an older version.

(A persistent array after Henry Baker, "Shallow Binding Makes Functional Arrays Fast", 1991.)
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa
from pyarrow import ipc

from biokeel.contracts.arrow import integers
from biokeel.errors import LandingError
from biokeel.link.repeats import Window
from biokeel.link.table import RECORD, Events, Table
from biokeel.rows import Ints

Marks = dict[tuple[str, str, int], int]
"""High-water marks: the highest `raw_offset` seen of each (stream, source, raw partition)."""

FORMAT: Final = "2"
WINDOW: Final = b"repeats"
"""Under this name the window lies beside the schema of a snapshot."""


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """`participants` int64 [n], sorted and distinct; `values` int64 [n, 4], the columns of `RECORD`."""

    participants: Ints
    values: Ints

    def __len__(self) -> int:
        return len(self.participants)


class PersonState:
    """The records of all participants of one (event type, pseudo partition); begin with `PersonState()`.

    Any thread may ask any version. In memory a participant has 40 bytes, and 8 to 16 of index.
    """

    __slots__ = ("_last", "_later", "_lock", "_table")

    def __init__(self, run: Run | None = None) -> None:
        start = run or Run(np.empty(0, np.int64), np.empty((0, len(RECORD)), np.int64))
        self._table = Table(start.participants, start.values)
        self._last = self._table.last
        # Held while the table is read or changed; all versions that share a table share it.
        self._lock = Lock()
        # What came after this version, while it is not the newest: rows, their records as of this version, the next.
        self._later: tuple[Ints, Ints, PersonState] | None = None

    def find(self, participants: Ints) -> tuple[Ints, Ints]:
        """The row of each of `participants` (in any order), and those that have none yet, sorted and distinct.

        These are given the rows after the last, which become theirs by `after`.
        """
        with self._lock:
            rows = self._now().find(participants)
        unseen = np.flatnonzero(rows == 0)
        if not len(unseen):
            return rows, np.empty(0, np.int64)
        fresh, which = np.unique(participants[unseen], return_inverse=True)
        rows[unseen] = self._last + 1 + which
        return rows, fresh

    def after(self, events: Events, fresh: Ints) -> tuple[Ints, Ints, PersonState]:
        """COUNT and PREVIOUS of the participants of `events` as they stand here, and the state after these events.

        `fresh` is what `find` gave. This state stays what it is.
        """
        later = object.__new__(PersonState)
        with self._lock:
            table = self._now()
            shared = table is self._table
            table.append(fresh)
            before, count, previous = table.advance(events)
            later._table, later._last, later._later = table, table.last, None
            later._lock = self._lock if shared else Lock()
            if shared:
                self._later = events.rows, before, later
        return count, previous, later

    def records(self, participants: Ints) -> Ints:
        """The records of `participants` as int64 [n, 4]; all zero for one not seen yet."""
        with self._lock:
            table = self._now()
            rows = table.find(participants)
            return np.where((rows > 0)[:, None], table.read(rows), 0)

    def whole(self) -> Run:
        """Everything, in the order of participants."""
        with self._lock:
            participants, values = self._columns()
        order = np.argsort(participants)
        return Run(participants.take(order), values.take(order, axis=0))

    def _now(self) -> Table:
        """A table that holds what this version knows: the shared one, or a copy. The caller has the lock."""
        return self._table if self._later is None else Table(*self._columns())

    def _columns(self) -> tuple[Ints, Ints]:
        """Participants and records as this version knows them, by row, from 1 on. The caller has the lock."""
        participants, values = self._table.columns(self._last)
        overwritten, state = [], self
        while state._later is not None:
            rows, before, state = state._later
            overwritten.append((rows, before))
        for rows, before in reversed(overwritten):
            mine = int(np.searchsorted(rows, self._last, side="right"))
            values[rows[:mine] - 1] = before[:mine]
        return participants, values

    def __len__(self) -> int:
        return self._last

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PersonState):
            return NotImplemented
        mine, its = self.whole(), other.whole()
        return np.array_equal(mine.participants, its.participants) and np.array_equal(mine.values, its.values)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"PersonState({len(self)} participants)"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that curate remembers of one (event type, pseudo partition), as of and including pseudo offset `offset`."""

    offset: int
    state: PersonState
    marks: Marks
    repeats: Window = field(default_factory=Window)
    operated: int = 0
    """The last step of stewards' operations (`biokeel.land.operated`) whose rows are in here."""


def to_bytes(snapshot: Snapshot) -> bytes:
    """The snapshot as an Arrow IPC file (zstd): a row a participant; offset, marks and window beside the schema."""
    run = snapshot.state.whole()
    marks = [f"{'/'.join(map(str, place))}={mark}" for place, mark in sorted(snapshot.marks.items())]
    metadata = {"format": FORMAT, "offset": str(snapshot.offset), "marks": "\n".join(marks)}
    metadata["operated"] = str(snapshot.operated)
    beside = {name.encode(): text.encode() for name, text in metadata.items()}
    beside[WINDOW] = snapshot.repeats.to_bytes()
    columns = [integers(values) for values in (run.participants, *run.values.T)]
    table = pa.Table.from_arrays(columns, names=["participant", *RECORD]).replace_schema_metadata(beside)
    sink = io.BytesIO()
    with ipc.new_file(sink, table.schema, options=ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    return sink.getvalue()


def from_bytes(data: bytes | None) -> Snapshot:
    """The snapshot that `to_bytes` wrote; of None, the beginning. Raises `LandingError` for anything else."""
    if data is None:
        return Snapshot(-1, PersonState(), {})
    try:
        table = ipc.open_file(pa.BufferReader(data)).read_all()
    except (pa.ArrowInvalid, OSError):
        raise LandingError("A snapshot of linking state is damaged.", "Delete it; the one before is used.") from None
    beside = dict(table.schema.metadata or {})
    # A snapshot from before there were windows has none,
    window = Window.from_bytes(beside.pop(WINDOW)) if WINDOW in beside else Window()
    metadata = {key.decode(): value.decode() for key, value in beside.items()}
    if metadata.get("format") != FORMAT:
        raise LandingError(
            f"A snapshot of linking state has format {metadata.get('format')}, not {FORMAT}.", "Use the newer biokeel."
        )
    marks: Marks = {}
    for line in metadata["marks"].splitlines():
        place, mark = line.rsplit("=", 1)
        stream, source, partition = place.split("/")
        marks[stream, source, int(partition)] = int(mark)
    # By way of polars: Arrow's own `to_numpy` imports pandas too.
    columns = pl.DataFrame(table.replace_schema_metadata())
    participants, *records = (columns[name].to_numpy().astype(np.int64) for name in ("participant", *RECORD))
    run = Run(participants, np.stack(records, axis=1))
    return Snapshot(int(metadata["offset"]), PersonState(run), marks, window, int(metadata["operated"]))
