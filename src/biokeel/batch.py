"""The batches that flow from stage to stage. Privacy is a type: nothing after the wall accepts a `RawBatch`.

Every stage is a pure function from one batch to an `Outcome`: the batch that goes on, and what is left behind with a
reason for each row. Batches are columnar; a row is identified by its **coordinates**:

| column | type | what |
| --- | --- | --- |
| `stream` | String | `raw`, or the stream of events that were let in again: `parking`, `quarantine` |
| `raw_partition` | Int32 | partition of the raw topic (other streams: the one that the event came in by) |
| `raw_offset` | Int64 | offset in the raw partition; for other streams the increasing release number |
| `first_partition`, `first_offset` | Int32, Int64 | where the event stood in its raw topic when it first arrived |

Within one pseudo partition the rows of one (`stream`, `raw_partition`) arrive with increasing `raw_offset`, repeats
aside: that order is what makes one number per pair enough to drop repeats.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    from biokeel.contracts.topics import EventType
    from biokeel.reasons import Reason

Accepted_co = TypeVar("Accepted_co", covariant=True)
Rejected_co = TypeVar("Rejected_co", covariant=True)

COORDINATES: Final[dict[str, pl.DataType]] = {
    "stream": pl.String(),
    "raw_partition": pl.Int32(),
    "raw_offset": pl.Int64(),
    "first_partition": pl.Int32(),
    "first_offset": pl.Int64(),
}
"""Coordinate columns of every batch after the wall."""

POSITION: Final[dict[str, pl.DataType]] = {"pseudo_partition": pl.Int32(), "pseudo_offset": pl.Int64()}
"""Where curate read the row: partition and offset of the block in the pseudo topic (many rows share one)."""

ENVELOPE: Final[dict[str, pl.DataType]] = {
    "participant": pl.Int64(),
    "event_id": pl.String(),
    "source_id": pl.String(),
    "occurred_at": pl.Datetime("ms", "UTC"),
    "occurred_offset_minutes": pl.Int32(),
    "recorded_at": pl.Datetime("ms", "UTC"),
    "enrolled_on": pl.Date(),
    "birth_year": pl.Int32(),
    "sex": pl.String(),
    "withheld": pl.String(),
}
"""Columns that every pseudonymised event begins with; `participant` is the 60-bit number behind the participant ID.

`event_id` is the source's under the vault's permutation. `withheld` names the fields, by comma, whose values did not
have their form and did not cross; null where there are none.

`enrolled_on`, `birth_year` and `sex` are the vault's, as they stood when the event was pseudonymised.
"""

At = tuple[int, int]
"""Where an event stands in its raw topic: partition and offset."""

STREAM_RAW: Final = "raw"
STREAM_PARKING: Final = "parking"
STREAM_QUARANTINE: Final = "quarantine"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a batch of Kafka's was not read; `why` goes on from "an event is"."""

    reason: Reason
    why: str


@dataclass(frozen=True, slots=True)
class RawBatch:
    """One micro-batch of some raw partitions of a topic, as Kafka gave it. Vault zone only.

    `partitions` int32, `offsets` int64 and `values` (the framed datums, None for a message without bytes) have an entry
    a row. The rows of a partition stand together, their offsets increasing (parked events: as they are numbered).
    `refused` is empty, or has for each row why Kafka's batch with it was not read, None where it was. What was not read
    is no event, and its value at most the batch as it was packed.
    """

    event: EventType
    partitions: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    values: Sequence[bytes | None]
    refused: Sequence[Refusal | None] = ()

    @classmethod
    def of(
        cls,
        event: EventType,
        parts: Iterable[tuple[int, npt.NDArray[np.int64], Sequence[bytes | None]]],
        refusals: Sequence[Refusal | None] = (),
    ) -> RawBatch:
        """What `parts` hold: for each of some partitions its number, offsets and values. At least one.

        `refusals`: for each part why it was refused, where any was.
        """
        numbers, offsets, values = zip(*parts, strict=True)
        refused = [why for why, some in zip(refusals, values, strict=True) for _ in some] if any(refusals) else ()
        if len(numbers) == 1:
            return cls(event, np.full(len(offsets[0]), numbers[0], dtype=np.int32), offsets[0], values[0], refused)
        partitions = np.repeat(np.array(numbers, dtype=np.int32), [len(each) for each in offsets])
        return cls(event, partitions, np.concatenate(offsets), [value for some in values for value in some], refused)

    def __len__(self) -> int:
        return len(self.offsets)

    def rows(self, first: int, end: int) -> RawBatch:
        """The rows from `first` up to, but not with, `end`."""
        if (first, end) == (0, len(self)):
            return self
        partitions, offsets = self.partitions[first:end], self.offsets[first:end]
        return RawBatch(self.event, partitions, offsets, self.values[first:end], self.refused[first:end])

    def take(self, rows: npt.NDArray[np.int64]) -> RawBatch:
        """The rows of these numbers."""
        numbers = rows.tolist()
        values, refused = [self.values[row] for row in numbers], [self.refused[row] for row in numbers if self.refused]
        return RawBatch(self.event, self.partitions[rows], self.offsets[rows], values, refused)

    def spans(self) -> dict[int, tuple[int, int]]:
        """By raw partition, its first and its last offset in here."""
        starts = np.flatnonzero(np.diff(self.partitions, prepend=-1))
        ends = np.append(starts[1:], len(self)) - 1
        spans = zip(self.offsets[starts].tolist(), self.offsets[ends].tolist(), strict=True)
        return dict(zip(self.partitions[starts].tolist(), spans, strict=True))

    def __repr__(self) -> str:
        return f"RawBatch({self.event}, partitions={list(self.spans())}, {len(self)} events)"


@dataclass(frozen=True, slots=True, repr=False)
class DecodedBatch:
    """A micro-batch in the columns of the event's reader schema, identifiers and all. Vault zone only.

    `frame` has the raw schema's fields; `raw` has the same rows as they came: where from, and the datum, for sealing.
    """

    raw: RawBatch
    frame: pl.DataFrame

    @property
    def event(self) -> EventType:
        """What all rows are."""
        return self.raw.event

    def __len__(self) -> int:
        return self.frame.height

    def __repr__(self) -> str:
        return f"DecodedBatch({self.raw!r})"


@dataclass(frozen=True, slots=True)
class PseudonymisedBatch:
    """Rows without a direct identifier: `ENVELOPE`, `COORDINATES`, then the event's kept fields.

    On the research side `POSITION` is there too.
    """

    event: EventType
    frame: pl.DataFrame

    def __len__(self) -> int:
        return self.frame.height

    def rows(self, first: int, end: int) -> PseudonymisedBatch:
        """The rows from `first` up to, but not with, `end`."""
        return self if (first, end) == (0, len(self)) else PseudonymisedBatch(self.event, self.frame[first:end])


@dataclass(frozen=True, slots=True)
class ValidatedBatch:
    """Rows that passed every critical rule; adds `suite_version` (String) and `warnings` (List[String], rule ids)."""

    event: EventType
    frame: pl.DataFrame

    def __len__(self) -> int:
        return self.frame.height


@dataclass(frozen=True, slots=True)
class LinkedBatch:
    """Rows that know their place in the person's history.

    Adds `sequence` (Int64, 1 for the person's first event of the type), `seconds_since_previous` (Float64, null for
    the first), `age_at_event` (Int32, whole years by birth year, null where unknown) and `days_since_enrolment`
    (Int32).
    """

    event: EventType
    frame: pl.DataFrame

    def __len__(self) -> int:
        return self.frame.height


@dataclass(frozen=True, slots=True)
class SealedRejection:
    """An event that stops before the wall. `payload` is what must be sealed; only the rest may be seen outside.

    `detail` names a field, a rule or a position in the bytes, never a value.
    """

    partition: int
    offset: int
    reason: Reason
    detail: str
    payload: bytes

    @property
    def at(self) -> At:
        """Where the event stands."""
        return self.partition, self.offset

    def __repr__(self) -> str:
        return f"SealedRejection({self.partition}/{self.offset}, {self.reason}, {len(self.payload)} bytes)"


@dataclass(frozen=True, slots=True)
class QuarantinedBatch:
    """Rows that fail a critical rule, with their pseudonymised columns.

    Adds `suite_version` (String), `reason` (String, a `Reason`), `failed_rules` and `warnings` (List[String]).
    """

    event: EventType
    frame: pl.DataFrame

    def __len__(self) -> int:
        return self.frame.height


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Accepted_co, Rejected_co]):
    """What a stage makes of a batch: what goes on, and what is left behind with a reason for each row."""

    accepted: Accepted_co
    rejected: Rejected_co
