"""Rows that a steward's operation moves from the curated table to quarantine: there first, then out of the curated one.

Two tables have no common commit, so one step goes like this, by the worker of the pseudo partition:

1. **append** the rows to the quarantine table, with the operation's number; the app transaction `<topic>/<p>/moved`
   says which step it was. *Crash after it*: they are in both tables, and count as quarantined from now on, because that
   row has the later operation. Who recovers finds that step past O, and goes on with 2 (`unfinished`).
2. **delete** them from the curated table by their coordinates, unless a later operation brought them back; each such
   commit says which step it is of (`<topic>/<p>/moving`), so that a restore knows which quarantine table has what is
   missing there. *Crash after some of it*: the same; what is not there any more is not deleted again.
3. O (`biokeel.land.checkpoint`) moves to this step, by the caller. *Crash before it*: the same, and nothing is found.

Of two workers that both believe to have the partition one is refused in 1: it either finds that O is not what it knew,
or its commit meets another one under that name. Linking state does not change: that the row had landed stays true.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl
from deltalake import DeltaTable

from biokeel.batch import ROW
from biokeel.errors import CommitConflict
from biokeel.land.checkpoint import Mapped, append, conflicts, noted, nothing
from biokeel.land.columns import quarantine_columns, to_table
from biokeel.land.operated import operation_of
from biokeel.land.reading import collect, scan
from biokeel.land.tidy import delete

if TYPE_CHECKING:
    from biokeel.contracts.schema import EventSchema
    from biokeel.land.checkpoint import Hook
    from biokeel.land.lake import Lake


MOVED: Final = "moved"
MOVING: Final = "moving"
"""Names of app transactions, behind those of a partition: the steps that the quarantine table has taken in, and that
the curated table has begun to give away."""


def move_out(
    lake: Lake,
    schema: EventSchema,
    partition: int,
    rows: pl.DataFrame,
    *,
    steps: tuple[int, int],
    reached: Hook = nothing,
) -> None:
    """Steps 1 and 2 for `rows`, which have the columns of the quarantine table.

    `steps` are O and the step that this is. Raises `CommitConflict` where either is not so, `StoreUnavailable`.
    """
    event, (known, step) = schema.event, steps
    quarantine, curated = _tables(lake, schema)
    name = f"{event.pseudo_topic}/{partition}/{MOVED}"
    if noted(quarantine, name) >= step or _operated(curated, schema, partition) != known:
        raise CommitConflict(
            f"Another worker moves rows of {event}, partition {partition}.", "Recover it, and go on from there."
        )
    with Mapped(quarantine.table_uri), conflicts():
        append(quarantine, to_table(rows, quarantine_columns(schema), str(event)), {name: step})
    reached("land.moved")
    _delete(curated, schema, rows, step)
    reached("land.moved_away")


def unfinished(lake: Lake, schema: EventSchema, partition: int, reached: Hook = nothing) -> int | None:
    """Finish a step whose worker died after 1, and say which it is; None where there is none.

    Raises `CommitConflict`, `StoreUnavailable`.
    """
    quarantine, curated = _tables(lake, schema)
    step = noted(quarantine, f"{schema.event.pseudo_topic}/{partition}/{MOVED}")
    if step <= _operated(curated, schema, partition):
        return None
    mine = (pl.col("operation") == operation_of(step)) & (pl.col("pseudo_partition") == partition)
    moved = scan(quarantine, lake).filter(mine).select(*ROW, "pseudo_partition", "pseudo_offset")
    still_there = collect(moved.join(scan(curated, lake).select(ROW), on=ROW, how="semi"))
    _delete(curated, schema, still_there, step)
    reached("land.moved_away")
    return step


def _tables(lake: Lake, schema: EventSchema) -> tuple[DeltaTable, DeltaTable]:
    """The quarantine table, and then the curated one: what this finds there is not older than that."""
    uris = lake.quarantine(schema.event), lake.curated(schema.event)
    with Mapped(uris[0]):
        quarantine, curated = (DeltaTable(uri, storage_options=lake.options) for uri in uris)
    return quarantine, curated


def _operated(curated: DeltaTable, schema: EventSchema, partition: int) -> int:
    return max(0, noted(curated, f"{schema.event.pseudo_topic}/{partition}/operated"))


def _delete(curated: DeltaTable, schema: EventSchema, rows: pl.DataFrame, step: int) -> None:
    """Step 2 for `rows`, which are all of one pseudo partition."""
    for partition in rows["pseudo_partition"].unique():
        noted_as = {f"{schema.event.pseudo_topic}/{partition}/{MOVING}": step}
        delete(curated, rows, noted_as, only=f"(operation IS NULL OR operation < {operation_of(step)})")
