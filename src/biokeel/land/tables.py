"""The two tables of an event type, and how rows get into them exactly once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import polars as pl

from biokeel.contracts.schema import EventSchema
from biokeel.land.lake import Lake
from biokeel.link.state import Marks


@dataclass(frozen=True, slots=True)
class Landed:
    """What one landing wrote. `dropped`: rows that a table held already, by the position of their block."""

    curated: int
    quarantined: int
    dropped: int
    curated_version: int
    quarantine_version: int


class EventTables:
    """The curated and the quarantine table of one event type; made, empty, where they do not exist."""

    def __init__(self, lake: Lake, schema: EventSchema, *, reached: Callable[[str], None] = lambda _step: None) -> None:
        """`reached` is called with the name of each step (`biokeel.land.checkpoint.STEPS`): the tests' way to die there."""

    def land(
        self,
        curated: pl.DataFrame | None,
        quarantined: pl.DataFrame | None,
        positions: Mapping[int, int],
        marks: Mapping[int, Marks],
    ) -> Landed:
        """Land what was read up to `positions` (pseudo partition → last pseudo offset, whole blocks), exactly once.

        `curated` has the columns of a `LinkedBatch`, `quarantined` of a `QuarantinedBatch`, both with `POSITION`;
        rows of all the worker's partitions together. `marks` are each partition's after those rows.
        Raises `CommitConflict` when another worker decided about rows of these partitions since they were recovered:
        nothing of this call is in the curated table then; `recover` every partition of the event again, and judge
        anew. Raises `StoreUnavailable` when the store does not answer in time: call it again with the same rows, or die.
        """
        raise NotImplementedError
