"""What linking remembers: one small record for each participant of one (event type, pseudo partition).

`PersonState` never changes; `link` returns a new one that shares almost everything with the old. It is a stack of
**runs**, each a sorted array of participants with their records, the newest on top. A batch adds one run of the
participants in it; a run that has grown to half of the one below is merged into it. So an event costs the same order
of work at 1,000 and at 1,000,000 participants, and a state that a flush still holds is not moved under its feet.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import ipc

from biokeel.errors import LandingError

Ints = npt.NDArray[np.int64]
Marks = dict[tuple[str, int], int]
"""High-water marks: the highest `raw_offset` seen of each (stream, raw partition)."""

COUNT, PREVIOUS, FIRST, LAST = range(4)
RECORD: Final = ("count", "previous_ms", "first_ms", "last_ms")
"""The columns of a run's `values`: curated events so far, `occurred_at` of the one that arrived last, and the earliest
and the latest `occurred_at`, in milliseconds since 1970."""

FORMAT: Final = "1"


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """`participants` int64 [n], sorted and distinct; `values` int64 [n, 4], the columns of `RECORD`.

    A participant's record lies in one piece, because in a large state each look-up costs the cache lines it touches.
    """

    participants: Ints
    values: Ints

    def __len__(self) -> int:
        return len(self.participants)

    def find(self, wanted: Ints) -> tuple[npt.NDArray[np.bool_], Ints]:
        """Which of `wanted` are here, and where; a position means something only where the first says True."""
        at = np.searchsorted(self.participants, wanted)
        at[at == len(self)] = 0
        return self.participants[at] == wanted, at

    def under(self, newer: Run) -> Run:
        """The two as one run; where both know a participant, `newer` holds its record."""
        known, at = self.find(newer.participants)
        values = self.values.copy()
        values[at[known]] = newer.values[known]
        if known.all():
            return Run(self.participants, values)
        fresh = newer.participants[~known]
        where = np.searchsorted(self.participants, fresh)
        return Run(np.insert(self.participants, where, fresh), np.insert(values, where, newer.values[~known], axis=0))


@dataclass(frozen=True, slots=True, eq=False)
class PersonState:
    """The records of all participants of one (event type, pseudo partition); begin with `PersonState()`."""

    runs: tuple[Run, ...] = field(default=())

    def records(self, wanted: Ints) -> Ints:
        """The records of `wanted` (sorted, distinct) as int64 [n, 4]; all zero for a participant not seen yet."""
        found = np.zeros((len(wanted), len(RECORD)), dtype=np.int64)
        missing = np.arange(len(wanted))
        for run in reversed(self.runs):
            known, at = run.find(wanted[missing])
            found[missing[known]] = run.values[at[known]]
            missing = missing[~known]
            if not len(missing):
                break
        return found

    def put(self, run: Run) -> PersonState:
        """The state in which the participants of `run` have its records."""
        runs = [*self.runs, run] if len(run) else list(self.runs)
        while len(runs) > 1 and len(runs[-1]) * 2 >= len(runs[-2]):
            newer = runs.pop()
            runs[-1] = runs[-1].under(newer)
        return PersonState(tuple(runs))

    def whole(self) -> Run:
        """Everything as one run, in the order of participants."""
        runs = list(self.runs) or [Run(np.empty(0, np.int64), np.empty((0, len(RECORD)), np.int64))]
        while len(runs) > 1:
            newer = runs.pop()
            runs[-1] = runs[-1].under(newer)
        return runs[0]

    def __len__(self) -> int:
        """How many participants it knows, at most (one that is in two runs counts twice until they are merged)."""
        return sum(len(run) for run in self.runs)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PersonState):
            return NotImplemented
        mine, its = self.whole(), other.whole()
        return np.array_equal(mine.participants, its.participants) and np.array_equal(mine.values, its.values)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"PersonState(at most {len(self)} participants in {len(self.runs)} runs)"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that curate remembers of one (event type, pseudo partition), as of and including pseudo offset `offset`."""

    offset: int
    state: PersonState
    marks: Marks


def to_bytes(snapshot: Snapshot) -> bytes:
    """The snapshot as an Arrow IPC file (zstd): a row a participant, offset and marks beside the schema."""
    run = snapshot.state.whole()
    marks = [f"{stream}/{partition}={mark}" for (stream, partition), mark in sorted(snapshot.marks.items())]
    metadata = {"format": FORMAT, "offset": str(snapshot.offset), "marks": "\n".join(marks)}
    table = pa.table(
        [pa.array(run.participants), *(pa.array(column) for column in run.values.T)], names=["participant", *RECORD]
    ).replace_schema_metadata(metadata)
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
    metadata = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
    if metadata.get("format") != FORMAT:
        raise LandingError(
            f"A snapshot of linking state has format {metadata.get('format')}, not {FORMAT}.", "Use the newer biokeel."
        )
    marks: Marks = {}
    for line in metadata["marks"].splitlines():
        pair, mark = line.rsplit("=", 1)
        stream, partition = pair.rsplit("/", 1)
        marks[stream, int(partition)] = int(mark)
    participants, *records = (table.column(name).to_numpy().astype(np.int64) for name in ("participant", *RECORD))
    run = Run(participants, np.stack(records, axis=1))
    return Snapshot(int(metadata["offset"]), PersonState((run,) if len(run) else ()), marks)
