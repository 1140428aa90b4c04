"""Whether the lake is sound in itself: files, rows and positions. `biokeel verify` holds it against the raw topics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl
from deltalake import DeltaTable

from biokeel.batch import ROW
from biokeel.errors import StoreUnavailable
from biokeel.land.checkpoint import Mapped, noted
from biokeel.land.contents import CURATED, HISTORY, QUARANTINE, LakeReader
from biokeel.land.reading import collect, scan
from biokeel.land.restore import under_way
from biokeel.land.snapshots import Snapshots

if TYPE_CHECKING:
    from collections.abc import Iterator

    from biokeel.contracts.topics import EventType
    from biokeel.land.lake import Lake

SHOWN: Final = 3
"""How many of one kind of fault are named; the rest is counted."""


def faults(lake: Lake, event: EventType) -> Iterator[str]:
    """What is wrong with the tables and the linking state of `event`, a sentence each; nothing where all is well.

    Reads every file. Safe while workers write: each table is looked at in one version, the one that follows first. A
    compaction and a vacuum in between may take files away that were in that version: look again.
    """
    if (begun := under_way(lake, event)) is not None:
        yield f"{event}: a restore to version {begun.curated_version} was begun and not finished; ask for it again."
    # State follows its table, and the curated table follows the quarantine table: so looked at in this order.
    saved = {partition: point.offset for (kind, partition), point in Snapshots(lake).points().items() if kind == event}
    tables: dict[str, DeltaTable] = {}
    whole = True
    for _event, name, uri in LakeReader(lake).with_history((event,)):
        with Mapped(uri):
            table = DeltaTable(uri, storage_options=lake.options)
        found = list(_files(lake, uri, table))
        # A row on its way to the history is in both tables for a moment: that is not doubled.
        tables |= {name: table} if name != HISTORY else {}
        whole = whole and not found
        yield from (f"{event} {name}: the file {fault}" for fault in found)
    if not whole:
        return  # the rows cannot be read as they are
    yield from _doubled(lake, event, tables)
    if len(tables) > 1:
        yield from _positions(lake, event, tables, saved)


def _files(lake: Lake, uri: str, table: DeltaTable) -> Iterator[str]:
    """Each file that the log names, against what is there."""
    prefix = lake.key(uri)
    there = lake.objects.sizes(f"{prefix}/")
    files = pl.DataFrame(table.get_add_actions(flatten=True)).select("path", "size_bytes", "num_records")
    for path, size, rows in files.iter_rows():
        if (its := there.get(f"{prefix}/{path}")) is None:
            yield f"{path} is gone."
        elif its != size:
            yield f"{path} has {its:,} bytes, and {size:,} in the log."
        elif (read := _rows(lake, f"{uri}/{path}")) is None:
            yield f"{path} cannot be read."
        elif read != rows:
            yield f"{path} has {read:,} rows, and {rows:,} in the log."


def _rows(lake: Lake, address: str) -> int | None:
    """How many rows a file has, read whole; None where that fails."""
    try:
        rows = pl.scan_parquet(address, storage_options=lake.reading_options)
        # A sum over everything that is there: each page of each column is fetched, checked and decoded.
        return int(collect(rows.select(pl.len(), pl.all().null_count().name.prefix("nulls_"))).item(0, 0))
    except StoreUnavailable:
        return None


def _doubled(lake: Lake, event: EventType, tables: dict[str, DeltaTable]) -> Iterator[str]:
    """Coordinates that stand more than once in the tables, one raw partition at a time."""
    # A row that an operation moves, or has moved, to quarantine and back stands there as well, with another number.
    same = (*ROW, "operation")
    rows = [scan(table, lake).select(same) for table in tables.values()]
    if not rows:
        return
    origin = ("source_id", "raw_partition")
    partitions = collect(pl.concat([each.select(origin).unique() for each in rows])).unique()
    for source, raw in partitions.sort(origin).iter_rows():
        mine = (pl.col("source_id") == source) & (pl.col("raw_partition") == raw)
        of_partition = pl.concat([each.filter(mine) for each in rows])
        twice = collect(of_partition.group_by(same).len().filter(pl.col("len") > 1)).drop("operation").sort(ROW)
        if twice.height:
            named = ", ".join(
                f"{stream} {source}/{raw}@{offset}" for stream, *_, offset, _n in twice.head(SHOWN).iter_rows()
            )
            more = f" and {twice.height - SHOWN:,} more" if twice.height > SHOWN else ""
            yield f"{event}: {twice.height:,} coordinates stand more than once: {named}{more}."


def _positions(lake: Lake, event: EventType, tables: dict[str, DeltaTable], saved: dict[int, int]) -> Iterator[str]:
    """Positions against rows: T and Q cover what the tables hold, T is not past Q, linking state is not past T."""
    partitions = set(saved)
    for name, table in tables.items():
        rows = scan(table, lake).group_by("pseudo_partition").agg(pl.col("pseudo_offset").max())
        for partition, last in collect(rows).sort("pseudo_partition").iter_rows():
            partitions.add(partition)
            if last > (position := _position(table, event, partition)):
                yield f"{event} {name}: partition {partition} has rows up to {last}, past its position {position}."
    for partition in sorted(partitions):
        curated, quarantine = (_position(tables[name], event, partition) for name in (CURATED, QUARANTINE))
        if curated > quarantine:
            yield f"{event}: partition {partition} has landed up to {curated}, but decided up to {quarantine} only."
        if (state := saved.get(partition, -1)) > curated:
            yield f"{event}: linking state of partition {partition} is at {state}, past its table at {curated}."


def _position(table: DeltaTable, event: EventType, partition: int) -> int:
    return noted(table, f"{event.pseudo_topic}/{partition}")
