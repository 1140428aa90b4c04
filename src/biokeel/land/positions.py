"""How far a table has come in its topic, now and at an earlier time: which rows landed since is told by that.

A row's own times are its source's, and files are rewritten, so neither says when it landed. Positions do: each version
of a table notes the last pseudo offset of each partition that it accounts for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl
from deltalake import DeltaTable

from biokeel.errors import LandingError
from biokeel.land.checkpoint import Mapped, noted
from biokeel.land.commits import is_table
from biokeel.land.log import committed_at, oldest, version_at

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

    from biokeel.land.lake import Lake


@dataclass(frozen=True, slots=True)
class Stand:
    """How far a table had come at the time `at`: pseudo partition → last pseudo offset that it accounted for."""

    at: dt.datetime
    positions: Mapping[int, int]

    def has(self) -> pl.Expr:
        """Whether a row had landed by then."""
        partition, offset = pl.col("pseudo_partition"), pl.col("pseudo_offset")
        return pl.any_horizontal(
            pl.lit(value=False), *((partition == p) & (offset <= last) for p, last in self.positions.items())
        )


def stand_of(lake: Lake, uri: str, topic: str, at: dt.datetime) -> Stand:
    """How far the table at `uri` had come at `at`, or at the earliest later time that its log still knows.

    A table that was made later, or is not there, had no row. Raises `StoreUnavailable`.
    """
    with Mapped(uri):
        if not DeltaTable.is_deltatable(uri, lake.options):
            return Stand(at, {})
    first = oldest(lake, uri)
    try:
        version = version_at(lake, uri, at)
    except LandingError:
        if first == 0:
            return Stand(at, {})
        version = -1
    if version < first:
        version = first
        at = committed_at(lake, uri, first)
    with Mapped(uri):
        table = DeltaTable(uri, version=version, storage_options=lake.options)
        return Stand(at, positions_of(table, topic, partitions_of(table)))


def partitions_of(*tables: DeltaTable) -> range:
    """The pseudo partitions that may have rows in `tables`, by the statistics in their logs."""
    highest = -1
    for table in tables:
        files = pl.DataFrame(table.get_add_actions(flatten=True))
        if "max.pseudo_partition" in files.columns and files.height:
            highest = max(highest, int(files["max.pseudo_partition"].fill_null(-1).max()))  # type: ignore[arg-type]
    return range(highest + 1)


def positions_of(table: DeltaTable, topic: str, partitions: range, suffix: str = "") -> dict[int, int]:
    """The last pseudo offset of each of `partitions` that `table` has noted, -1 for none."""
    return {partition: noted(table, f"{topic}/{partition}{suffix}") for partition in partitions}


def positions_in(lake: Lake, uri: str, topic: str, suffix: str = "") -> dict[int, int]:
    """`positions_of` the table at `uri`, of all its partitions; nothing where there is no table.

    Raises `StoreUnavailable`.
    """
    if not is_table(lake, uri):
        return {}
    with Mapped(uri):
        table = DeltaTable(uri, storage_options=lake.options)
        return positions_of(table, topic, partitions_of(table), suffix)
