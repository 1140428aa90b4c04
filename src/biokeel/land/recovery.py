"""How a worker that is given a partition learns where it stands."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from biokeel.contracts.topics import EventType
from biokeel.land.lake import Lake
from biokeel.land.tables import EventTables
from biokeel.link.state import Marks, PersonState, Snapshot


@dataclass(frozen=True, slots=True)
class Recovered:
    """Where a partition stands. All offsets are of the pseudo partition; -1 means nothing yet."""

    event: EventType
    partition: int
    state: PersonState
    marks: Marks
    seek_to: int
    table_position: int
    quarantine_position: int
    quarantined: pl.DataFrame
    """Coordinates (`stream`, `raw_partition`, `raw_offset`) of the quarantined rows from `seek_to` on."""

    def decide(self, frame: pl.DataFrame) -> pl.Series:
        """What was decided about each row of `frame`: True accepted, False quarantined, null not yet (Boolean)."""
        raise NotImplementedError


def recover(tables: EventTables, partition: int) -> Recovered:
    """Where `partition` stands, by what the lake holds; call it on every assignment and after a `CommitConflict`.

    The worker seeks to `seek_to` and runs every row through drop_repeats, validate (with `decide`), link and `land`;
    `land` drops what its table already holds, so the worker need not tell rows apart.
    """
    raise NotImplementedError


class Snapshots:
    """The snapshots of linking state in the lake."""

    def __init__(self, lake: Lake) -> None:
        """Snapshots below `state/` of `lake`."""

    def save(self, event: EventType, partition: int, snapshot: Snapshot) -> None:
        """Write `snapshot` and delete all but the last two. Only after `land` returned for its offset."""
        raise NotImplementedError

    def latest(self, event: EventType, partition: int) -> Snapshot | None:
        """The newest readable snapshot, or None."""
        raise NotImplementedError
