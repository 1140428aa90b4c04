"""Framed Avro datums to columns and back.

A batch may hold datums of several schema versions: they are grouped by the id in their frames, each group is decoded
with its writer's schema and resolved to the reader's, and the rows are put back into the order of their offsets. What
cannot be a row is a rejection with its reason, and never takes a neighbour along.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, cast

import numpy as np
import polars as pl
import pyarrow as pa

from biokeel.batch import DecodedBatch, Outcome, RawBatch, SealedRejection
from biokeel.contracts.columns import frame_schema, has_times, impossible_times
from biokeel.contracts.framing import Frames, read_frames
from biokeel.contracts.version import VersionReader, VersionWriter
from biokeel.errors import UnknownSchema, UnusableSchema
from biokeel.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from biokeel.contracts.catalogue import Catalogue
    from biokeel.contracts.topics import EventType


_NO_FRAME: Final = "no frame at byte 0"
_BARE: Final = (
    "a bare event; a schema id in a header (__value_schema_id) is not read, the serializer must put it before the event"
)
_BEGINS_BARE: Final = re.compile(rb"\x40[0-9a-f]{32}")
"""How an event without a frame begins: its event_id behind the length of that, 32 as Avro writes it. So who sends one
is told without a look at the headers, which nobody else needs (18 ns a record, of all records)."""


class _Verdicts:
    """For each message of a batch: still accepted, or rejected and why."""

    def __init__(self, count: int) -> None:
        self.accepted: npt.NDArray[np.bool_] = np.ones(count, dtype=np.bool_)
        self.rejected: dict[int, tuple[Reason, str]] = {}

    def reject(self, rows: npt.NDArray[np.int64], reason: Reason, detail: str) -> None:
        for row in rows.tolist():
            self.rejected[row] = (reason, detail)
        self.accepted[rows] = False


class Codec:
    """Decodes raw micro-batches into the reader schema's columns, and encodes frames. One for each worker.

    `max_event_bytes`: a message above it is rejected, not decoded. Several threads may share a codec: what it keeps is
    made once and never changed.
    """

    def __init__(self, catalogue: Catalogue, max_event_bytes: int) -> None:
        self._catalogue = catalogue
        self._max_event_bytes = max_event_bytes
        self._readers: dict[tuple[EventType, int], VersionReader] = {}
        self._unusable: dict[tuple[EventType, int], str] = {}
        self._writers: dict[EventType, VersionWriter] = {}

    def decode(self, batch: RawBatch) -> Outcome[DecodedBatch, list[SealedRejection]]:
        """Every event of `batch` either as a row of the reader schema or as a rejection with its reason.

        Rows keep the order of their offsets. Dates and times of the rows lie within the years 1 to 9999 (what
        polars and Python can show); narrower limits are for the stages. Raises `ContractError` only when the
        catalogue cannot be asked, so that no event is rejected because a registry was down.
        """
        verdicts = _Verdicts(len(batch))
        frames = read_frames(batch.values)
        self._triage(batch.values, frames, verdicts)
        for refusal in {each for each in batch.refused if each}:
            rows = np.flatnonzero([each == refusal for each in batch.refused])
            verdicts.reject(rows, refusal.reason, refusal.why)
        frame, rows = self._rows(batch, frames, verdicts)
        frame, rows = _without_impossible_times(frame, rows, verdicts)
        decoded = DecodedBatch(batch.take(rows) if verdicts.rejected else batch, frame)
        return Outcome(decoded, _sealed(batch, verdicts))

    def encode(self, event: EventType, frame: pl.DataFrame) -> pa.BinaryArray:
        """One framed datum a row, written with the current schema of `event`.

        `frame` has the schema's columns in any order; a column with a default may be missing. Raises `ContractError`
        naming the column that is missing, unknown, of another type or null where it may not be, and where the
        catalogue has no id for the schema.
        """
        writer = self._writers.get(event)
        if writer is None:
            schema, schema_id = self._catalogue.reader(event).schema, self._catalogue.id_of(event)
            writer = self._writers[event] = VersionWriter(schema, schema_id)
        return writer.encode(frame)

    def _triage(self, values: Sequence[bytes | None], frames: Frames, verdicts: _Verdicts) -> None:
        """Reject what no schema needs to be asked about."""
        if len(frames.lengths) and frames.framed.all() and frames.lengths.max() <= self._max_event_bytes:
            return
        empty = frames.lengths == 0
        large = frames.lengths > self._max_event_bytes
        verdicts.reject(np.flatnonzero(empty), Reason.EMPTY, "no bytes")
        verdicts.reject(np.flatnonzero(large), Reason.TOO_LARGE, f"more than {self._max_event_bytes} bytes")
        unframed = np.flatnonzero(~frames.framed & ~empty & ~large)
        bare = np.array(
            [_BEGINS_BARE.match(values[row] or b"") is not None for row in unframed.tolist()], dtype=np.bool_
        )
        verdicts.reject(unframed[~bare], Reason.NOT_FRAMED, _NO_FRAME)
        verdicts.reject(unframed[bare], Reason.NOT_FRAMED, _BARE)

    def _rows(self, batch: RawBatch, frames: Frames, verdicts: _Verdicts) -> tuple[pl.DataFrame, npt.NDArray[np.int64]]:
        """The rows that decode, in order, and their positions in the batch."""
        pieces: list[tuple[pl.DataFrame, npt.NDArray[np.int64]]] = []
        for schema_id in _distinct(frames.ids[verdicts.accepted]):
            rows = np.flatnonzero(verdicts.accepted & (frames.ids == schema_id))
            reader = self._reader(batch.event, schema_id, rows, verdicts)
            if reader is None:
                continue
            values = batch.values if len(rows) == len(batch) else [batch.values[row] for row in rows.tolist()]
            datums = cast("Sequence[bytes]", values)  # one without bytes is rejected by now
            frame, good, bad = reader.decode(datums, frames.lengths[rows])
            for datum in bad:
                verdicts.reject(rows[[datum.row]], datum.reason, datum.detail)
            pieces.append((frame, rows[good] if bad else rows))
        if len(pieces) == 1:
            return pieces[0]
        if not pieces:
            return pl.DataFrame(schema=self._empty(batch.event)), np.empty(0, dtype=np.int64)
        rows = np.concatenate([piece[1] for piece in pieces])
        order = np.argsort(rows)
        return pl.concat([piece[0] for piece in pieces])[order], rows[order]

    def _reader(
        self, event: EventType, schema_id: int, rows: npt.NDArray[np.int64], verdicts: _Verdicts
    ) -> VersionReader | None:
        """How to read datums with this id; None, with its rows rejected, if they cannot be of this event type."""
        known = event, schema_id
        if known not in self._readers and known not in self._unusable:
            try:
                written = self._catalogue.by_id(schema_id)
                if event.subject not in written.subjects:
                    of = ", ".join(written.subjects)
                    verdicts.reject(rows, Reason.WRONG_SUBJECT, f"schema id {schema_id} is of {of}")
                    return None
                self._readers[known] = VersionReader(written, self._catalogue.reader(event))
            except UnknownSchema:
                verdicts.reject(rows, Reason.UNKNOWN_SCHEMA, f"schema id {schema_id}")
                return None
            except UnusableSchema as error:
                self._unusable[known] = error.what
        if known in self._unusable:
            verdicts.reject(rows, Reason.UNUSABLE_SCHEMA, f"schema id {schema_id}: {self._unusable[known]}")
        return self._readers.get(known)

    def _empty(self, event: EventType) -> dict[str, pl.DataType]:
        return frame_schema(self._catalogue.reader(event).schema.avro)


def _distinct(ids: npt.NDArray[np.int64]) -> list[int]:
    """The different ids; almost always one, and seeing that is much quicker than sorting."""
    different = ids[:1] if (ids == ids[:1]).all() else np.unique(ids)
    return [int(schema_id) for schema_id in different]


def _without_impossible_times(
    frame: pl.DataFrame, rows: npt.NDArray[np.int64], verdicts: _Verdicts
) -> tuple[pl.DataFrame, npt.NDArray[np.int64]]:
    keep = None
    for column in frame:
        bad = impossible_times(column) if has_times(column.dtype) else None
        if bad is not None:
            verdicts.reject(rows[bad], Reason.TIME_RANGE, f"{column.name} is outside the years 1 to 9999")
            keep = ~bad if keep is None else keep & ~bad
    return (frame, rows) if keep is None else (frame.filter(keep), rows[keep])


def _sealed(batch: RawBatch, verdicts: _Verdicts) -> list[SealedRejection]:
    return [
        SealedRejection(batch.at(row), reason, detail, batch.values[row] or b"")
        for row, (reason, detail) in sorted(verdicts.rejected.items())
    ]
