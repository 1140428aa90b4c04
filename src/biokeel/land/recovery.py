"""How a worker that is given a partition learns where it stands, and where it begins to read."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from biokeel.batch import ROW
from biokeel.contracts.topics import EventType
from biokeel.errors import LandingError
from biokeel.land.operated import released_rows
from biokeel.land.quarantine import decided_coordinates
from biokeel.land.restore import under_way
from biokeel.land.snapshots import Point, Snapshots
from biokeel.land.tables import EventTables


@dataclass(frozen=True, slots=True)
class Recovered:
    """Where a partition stands. All offsets are of the pseudo partition; -1 means nothing yet.

    `snapshot` is the linking state as of `seek_to - 1`, for `biokeel.link.state.from_bytes` (None: the beginning).
    `quarantined` holds the `ROW` of every row that was quarantined in a block from `seek_to` on.
    `released` are the rows that stewards' operations have landed and `snapshot` does not know, in their order: each is
    to be linked when the block at its `pseudo_offset` has been, before the next one. `operated` is O.
    """

    event: EventType
    partition: int
    snapshot: bytes | None
    seek_to: int
    table_position: int
    quarantine_position: int
    quarantined: pl.DataFrame
    released: pl.DataFrame
    operated: int

    @property
    def decided_up_to(self) -> int:
        """The last pseudo offset on whose rows a verdict stands."""
        return max(self.table_position, self.quarantine_position)

    def decide(self, frame: pl.DataFrame) -> pl.Series:
        """What was decided about each row of `frame`: True accepted, False quarantined, null not yet (Boolean).

        `frame` has `COORDINATES` and `POSITION`. The first commit decides: a row up to `decided_up_to` is
        quarantined if the quarantine table has it and accepted otherwise, whatever a newer suite says.
        """
        undecided = frame["pseudo_offset"] > self.decided_up_to
        if undecided.all():
            return pl.repeat(None, frame.height, dtype=pl.Boolean, eager=True)
        known = frame.select(ROW).join(
            self.quarantined.with_columns(decided=pl.lit(value=False)), on=ROW, how="left", maintain_order="left"
        )["decided"]
        return known.fill_null(value=True).zip_with(~undecided, pl.Series([None], dtype=pl.Boolean))


def recover(tables: EventTables, partition: int) -> Recovered:
    """Where `partition` stands, by what the lake holds: on every assignment, and after a `CommitConflict`.

    The worker seeks to `seek_to` and runs every row through drop_repeats, validate (with `decide`), link and `land`.
    Rows up to `table_position` only bring the state forward: `land` drops what its table accounts for, or the worker
    does so earlier. Nothing is written, so a crash in here means nothing. Raises `LandingError` where the lake
    contradicts itself, `StoreUnavailable` where it cannot be read.
    """
    saved = Snapshots(tables.lake).latest(tables.event, partition)
    (since, operated), snapshot = saved or (Point(-1, 0), None)
    curated, quarantine = tables.positions(partition)
    has = tables.operated(partition)
    # Asked after the positions were read: a restore that began later moves one of them, and `land` sees that.
    if (restoring := under_way(tables.lake, tables.event)) is not None:
        raise LandingError(
            f"The tables of {tables.event} are being restored, or that was begun and not finished.",
            f"Finish it: biokeel lake restore {tables.event} --version {restoring.curated_version}",
        )
    if since > curated or operated > has:
        raise LandingError(
            f"The linking state of {tables.event}, partition {partition}, is at {since}, past its table at {curated}.",
            "Somebody put the table back by other means than biokeel lake restore: see docs/operations.md.",
        )
    quarantined = decided_coordinates(tables, partition, since, max(curated, quarantine)).select(ROW)
    released = released_rows(tables.lake, tables.schema, partition, operated, has)
    return Recovered(tables.event, partition, snapshot, since + 1, curated, quarantine, quarantined, released, has)
