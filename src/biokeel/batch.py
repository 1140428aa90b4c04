"""The batches that flow from stage to stage. Privacy is a type: nothing after the wall accepts a `RawBatch`.

Every stage is a pure function from one batch to an `Outcome`: the batch that goes on, and what is left behind with a
reason for each row. Batches are columnar; a row is identified by its **coordinates**:

| column | type | what |
| --- | --- | --- |
| `source_id` | String | whose event it is, which is whose topic it stood in |
| `stream` | String | `raw`, or the stream of events that were let in again: `parking`, `quarantine` |
| `raw_partition` | Int32 | partition of the source's raw topic (other streams: the one that the event came in by) |
| `raw_offset` | Int64 | offset in the raw partition; for other streams the increasing release number |
| `first_partition`, `first_offset` | Int32, Int64 | where the event stood in its raw topic when it first arrived |

Within one pseudo partition the rows of one (`stream`, `source_id`, `raw_partition`) arrive with increasing
`raw_offset`, repeats aside: that order is what makes one number for each enough to drop repeats.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar

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
"""Coordinate columns of every batch after the wall, beside `source_id`, which `ENVELOPE` has."""

ROW: Final = ("stream", "source_id", "raw_partition", "raw_offset")
"""The coordinates that no two rows of an event type share."""

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


class RawPartition(NamedTuple):
    """A partition of the raw topic of `source`, of an event type that is known where this stands."""

    source: str
    partition: int

    def of(self, event: EventType) -> str:
        """As it is told to people: `raw.hospital-a.clinical.glucose/3`."""
        return f"{event.raw_topic(self.source)}/{self.partition}"


class At(NamedTuple):
    """Where an event stands: whose it is, and partition and offset in its raw topic."""

    source: str
    partition: int
    offset: int

    @property
    def origin(self) -> RawPartition:
        """The partition that it stands in."""
        return RawPartition(self.source, self.partition)

    def of(self, event: EventType) -> str:
        """As it is told to people: `raw.hospital-a.clinical.glucose/3@17`."""
        return f"{self.origin.of(event)}@{self.offset}"


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
    """One micro-batch of an event type, of some raw partitions of whichever sources, as Kafka gave it. Vault zone only.

    `origins` are the partitions, each once; `which` (int32: the number in `origins`), `offsets` (int64) and `values`
    (the framed datums, None for a message without bytes) have an entry a row. The rows of a partition stand together,
    their offsets increasing (parked events: as they are numbered). `refused` is empty, or has for each row why Kafka's
    batch with it was not read, None where it was. What was not read is no event, and its value at most the batch as it
    was packed.
    """

    event: EventType
    origins: tuple[RawPartition, ...]
    which: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    values: Sequence[bytes | None]
    refused: Sequence[Refusal | None] = ()

    @classmethod
    def of(
        cls,
        event: EventType,
        parts: Iterable[tuple[RawPartition, npt.NDArray[np.int64], Sequence[bytes | None]]],
        refusals: Sequence[Refusal | None] = (),
    ) -> RawBatch:
        """What `parts` hold: for each of some partitions, all different, its offsets and values. At least one.

        `refusals`: for each part why it was refused, where any was.
        """
        origins, offsets, values = zip(*parts, strict=True)
        refused = [why for why, some in zip(refusals, values, strict=True) for _ in some] if any(refusals) else ()
        which = np.repeat(np.arange(len(origins), dtype=np.int32), [len(each) for each in offsets])
        if len(origins) == 1:
            return cls(event, origins, which, offsets[0], values[0], refused)
        return cls(event, origins, which, np.concatenate(offsets), [each for some in values for each in some], refused)

    def __len__(self) -> int:
        return len(self.offsets)

    def rows(self, first: int, end: int) -> RawBatch:
        """The rows from `first` up to, but not with, `end`."""
        if (first, end) == (0, len(self)):
            return self
        which, offsets = self.which[first:end], self.offsets[first:end]
        return RawBatch(self.event, self.origins, which, offsets, self.values[first:end], self.refused[first:end])

    def take(self, rows: npt.NDArray[np.int64]) -> RawBatch:
        """The rows of these numbers."""
        numbers = rows.tolist()
        values, refused = [self.values[row] for row in numbers], [self.refused[row] for row in numbers if self.refused]
        return RawBatch(self.event, self.origins, self.which[rows], self.offsets[rows], values, refused)

    @property
    def sources(self) -> pl.Series:
        """Whose each row is (String): the owner of the topic that it stands in."""
        owners = pl.Series([each.source for each in self.origins], dtype=pl.String)
        return owners.new_from_index(0, len(self)) if len(owners) == 1 else owners.gather(pl.Series(self.which))

    @property
    def partitions(self) -> npt.NDArray[np.int32]:
        """The raw partition of each row."""
        return np.array([each.partition for each in self.origins], dtype=np.int32)[self.which]

    def at(self, row: int) -> At:
        """Where a row stands."""
        source, partition = self.origins[self.which[row]]
        return At(source, partition, int(self.offsets[row]))

    def spans(self) -> dict[RawPartition, tuple[int, int]]:
        """By raw partition, its first and its last offset in here."""
        starts = np.flatnonzero(np.diff(self.which, prepend=-1))
        ends = np.append(starts[1:], len(self)) - 1
        spans = zip(self.offsets[starts].tolist(), self.offsets[ends].tolist(), strict=True)
        return dict(zip([self.origins[each] for each in self.which[starts].tolist()], spans, strict=True))

    def __repr__(self) -> str:
        return f"RawBatch({self.event}, {[each.of(self.event) for each in self.spans()]}, {len(self)} events)"


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

    at: At
    reason: Reason
    detail: str
    payload: bytes

    def __repr__(self) -> str:
        return f"SealedRejection({self.at}, {self.reason}, {len(self.payload)} bytes)"


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


def run_starts(frame: pl.DataFrame) -> npt.NDArray[np.int64]:
    """The rows at which a run of equal rows begins, in order; no column of `frame` has a null."""
    begins = np.zeros(frame.height, dtype=np.bool_)
    begins[:1] = True
    for column in frame:
        begins[1:] |= (column[1:] != column[:-1]).to_numpy()
    return np.flatnonzero(begins)
