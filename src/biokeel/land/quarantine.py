"""Reading the quarantine tables: what was decided, and what waits there for a better suite."""

from __future__ import annotations

import polars as pl

from biokeel.batch import ROW, STREAM_QUARANTINE
from biokeel.contracts.topics import EventType
from biokeel.land.lake import Lake
from biokeel.land.reading import collect, scan
from biokeel.land.tables import EventTables
from biokeel.reasons import NOTHING_TO_MEND

FIRST = ("source_id", "first_partition", "first_offset")


def decided_coordinates(tables: EventTables, partition: int, above: int, up_to: int) -> pl.DataFrame:
    """The coordinates of the rows of `partition` that were quarantined in blocks after `above`, to `up_to`.

    What a steward's operation moved there since had landed, so it is not among them.

    Read from the very version of the table whose position is the basis of the next landing. The log's statistics on
    partition and offset let files that hold none of them be left out. Raises `StoreUnavailable`.
    """
    rows = (
        scan(tables.quarantine.handle, tables.lake)
        .filter(
            pl.col("pseudo_partition") == partition, pl.col("pseudo_offset") > above, pl.col("pseudo_offset") <= up_to
        )
        .filter(pl.col("operation").is_null())
    )
    return collect(rows.select(*ROW, "pseudo_offset"))


def waiting(lake: Lake, event: EventType) -> pl.LazyFrame:
    """The quarantined rows of `event` that have not been let in since, one for each event (its latest verdict).

    Repeats and withdrawals wait for nobody, and are not among them.

    A row that was released from quarantine is in the curated table with the stream `quarantine` and its first
    coordinates; one that was released and failed again is in the quarantine table twice.
    """
    released = scan(lake.curated(event), lake).filter(pl.col("stream") == STREAM_QUARANTINE).select(FIRST)
    judged = scan(lake.quarantine(event), lake).filter(~pl.col("reason").is_in(list(map(str, NOTHING_TO_MEND))))
    latest = judged.sort("pseudo_partition", "pseudo_offset")
    return latest.unique(FIRST, keep="last", maintain_order=True).join(released, on=FIRST, how="anti")
