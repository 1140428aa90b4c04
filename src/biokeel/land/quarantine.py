"""Reading the quarantine tables: what was decided there."""

from __future__ import annotations

import polars as pl

from biokeel.batch import ROW
from biokeel.land.reading import collect, scan
from biokeel.land.tables import EventTables

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
