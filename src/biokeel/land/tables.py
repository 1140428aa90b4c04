"""The two tables of an event type, and how a flush gets into them exactly once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import polars as pl
from deltalake import DeltaTable, Schema
from deltalake.exceptions import TableNotFoundError

from biokeel.contracts.schema import EventSchema
from biokeel.contracts.topics import EventType
from biokeel.errors import LandingError
from biokeel.land import checkpoint
from biokeel.land.checkpoint import Mapped, PositionedTable
from biokeel.land.columns import REQUIRED, STATISTICS, curated_columns, quarantine_columns, to_table
from biokeel.land.lake import Lake

LOG_RETENTION, LOG_KEPT = "delta.logRetentionDuration", "interval 7 days"
"""Each landing lists the log: with a landing every half minute, Delta's 30 days would be 86,000 entries. As long as
`vacuum` keeps files by itself, for a version without its files is of no use."""


@dataclass(frozen=True, slots=True)
class Landed:
    """What one landing wrote. `dropped`: rows that their table accounted for already."""

    curated: int
    quarantined: int
    dropped: int
    curated_version: int
    quarantine_version: int


class EventTables:
    """The curated and the quarantine table of one event type. Not for several threads at once."""

    def __init__(self, lake: Lake, schema: EventSchema, *, reached: Callable[[str], None] = checkpoint.nothing) -> None:
        """Open both tables; make them, empty, where they do not exist, and add the columns that `schema` has newly.

        `reached` is called with each of `checkpoint.STEPS`: it is how tests die there. Raises `StoreUnavailable`.
        """
        self.lake = lake
        self.schema = schema
        self.event = schema.event
        self._columns = curated_columns(schema)
        self._quarantine_columns = quarantine_columns(schema)
        self._reached = reached
        self._basis: dict[int, int] = {}
        self._landed: dict[int, int] = {}
        self._operated: dict[int, int] = {}
        self.curated = _positioned(lake, lake.curated(self.event), self._columns, self.event)
        self.quarantine = _positioned(lake, lake.quarantine(self.event), self._quarantine_columns, self.event)

    def positions(self, partition: int) -> tuple[int, int]:
        """(T, Q) of `partition`, read anew; they become the basis on which the next `land` of the partition stands.

        T is read first: it never passes Q, so a Q that is read later covers it. Raises `StoreUnavailable`.
        """
        self.curated.refresh()
        curated = self.curated.position(partition)
        self._operated[partition] = self.curated.operated(partition)
        self.quarantine.refresh()
        self._landed[partition] = curated
        self._basis[partition] = self.quarantine.position(partition)
        return curated, self._basis[partition]

    def operated(self, partition: int) -> int:
        """O of `partition`, as `positions` read it or `operate` moved it since."""
        return self._operated[partition]

    def landed(self, partition: int) -> int:
        """T of `partition`, as `positions` read it or `land` moved it since."""
        return self._landed[partition]

    def operate(self, partition: int, rows: pl.DataFrame | None, step: int) -> None:
        """Land the `rows` of one step of a steward's operation (None: none) in `partition`, where all else has landed.

        `rows` have the columns of a `LinkedBatch` and `POSITION`. See `checkpoint.operate` for what it raises and what
        a crash means.
        """
        made = pl.DataFrame(schema=self._columns) if rows is None else to_table(rows, self._columns, str(self.event))
        steps = self._operated[partition], step
        checkpoint.operate(self.curated, made, partition, self._landed[partition], steps=steps, reached=self._reached)
        self._operated[partition] = step
        self._reached("land.operation_known")

    def forget(self, partition: int) -> None:
        """The partition was given to another worker: rows of it are refused until it is recovered again."""
        self._basis.pop(partition, None)

    def land(
        self,
        curated: pl.DataFrame | None,
        quarantined: pl.DataFrame | None,
        positions: Mapping[int, int],
    ) -> Landed:
        """Land all that was read up to `positions` (pseudo partition → last pseudo offset), exactly once.

        `curated` has the columns of a `LinkedBatch`, `quarantined` those of a `QuarantinedBatch`, both with
        `POSITION`; rows of all the worker's partitions together, and of every block whole. With neither kind of row the
        positions still move.

        Raises `CommitConflict` when another worker decided about rows of these partitions since they were recovered, or
        the tables were restored to an older version: no row of this call is in the curated table then; `recover` every
        partition of the event, and judge anew. Raises
        `StoreUnavailable` when the store took nothing in several tries: call it again with the same, or die.
        `checkpoint` says what a crash at each step means.
        """
        if strangers := [partition for partition in positions if partition not in self._basis]:
            raise LandingError(
                f"Rows of {self.event}, partitions {strangers}, were to land before the partitions were recovered.",
                "This is a defect: please report it.",
            )
        good = self._rows(curated, self._columns, positions)
        bad = self._rows(quarantined, self._quarantine_columns, positions)
        self._reached("land.compared")
        decided = checkpoint.decide(self.quarantine, bad, self._basis, positions, self._reached)
        self._basis.update({p: max(last, self._basis[p]) for p, last in positions.items()})
        self._reached("land.decision_known")
        landed = checkpoint.land(
            self.curated, good, positions, self._reached, basis=self._landed, operated=self._operated
        )
        self._landed.update({p: max(last, self._landed[p]) for p, last in positions.items()})
        self._reached("land.landing_known")
        return Landed(
            landed,
            decided,
            good.height + bad.height - landed - decided,
            self.curated.handle.version(),
            self.quarantine.handle.version(),
        )

    def _rows(
        self, frame: pl.DataFrame | None, columns: dict[str, pl.DataType], positions: Mapping[int, int]
    ) -> pl.DataFrame:
        """`frame` as the table has it. Raises `LandingError` for rows beyond `positions`: they would be lost."""
        if frame is None:
            return pl.DataFrame(schema=columns)
        if any(last > positions.get(partition, -1) for partition, (_, last) in checkpoint.reach(frame).items()):
            raise LandingError(
                f"Rows of {self.event} lie beyond the positions that they were to land with.",
                "This is a defect: please report it.",
            )
        return to_table(frame, columns, str(self.event))


def open_table(uri: str, options: dict[str, str], columns: Mapping[str, pl.DataType]) -> DeltaTable:
    """The table at `uri`, made where there is none; those of `columns` that it has not are added, nullable.

    Safe beside other workers that do the same: who comes second finds it done, or raises and is started again. Raises
    `StoreUnavailable`, and `LandingError` where a column is there with another type.
    """
    wanted = _delta_schema(columns)
    with Mapped(uri):
        try:
            table = DeltaTable(uri, storage_options=options)
        except TableNotFoundError:
            statistics = ",".join(name for name in STATISTICS if name in columns)
            return DeltaTable.create(
                uri,
                wanted,
                mode="ignore",
                configuration={"delta.dataSkippingStatsColumns": statistics, LOG_RETENTION: LOG_KEPT},
                storage_options=options,
            )
        there = {field.name: field.type for field in table.schema().fields}
        if changed := [field.name for field in wanted.fields if there.get(field.name, field.type) != field.type]:
            raise LandingError(
                f"The table {uri} has columns {', '.join(changed)} with another type than the schema.",
                "A type cannot change: name the new field otherwise.",
            )
        if added := [field for field in wanted.fields if field.name not in there]:
            table.alter.add_columns(added)
    return table


def _positioned(lake: Lake, uri: str, columns: Mapping[str, pl.DataType], event: EventType) -> PositionedTable:
    return PositionedTable(open_table(uri, lake.options, columns), uri, lake.options, event.pseudo_topic)


def _delta_schema(columns: Mapping[str, pl.DataType]) -> Schema:
    arrow = pl.DataFrame(schema=dict(columns)).to_arrow().schema
    for at, name in enumerate(columns):
        arrow = arrow.set(at, arrow.field(at).with_nullable(name not in REQUIRED))
    return Schema.from_arrow(arrow)
