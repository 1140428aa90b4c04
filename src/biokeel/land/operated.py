"""Rows that stewards' operations brought where they are: how their steps are numbered, and which a table has.

An operation (`biokeel.rulebook.operations`) is carried out by the worker of each pseudo partition, in steps of bounded
size. A **step** is one number: the operation's, and which of its steps in this partition it is. How far a partition has
come is O (`biokeel.land.checkpoint`). A released row stands in the stream `quarantine` with the pseudo partition as its
`raw_partition` and, as its `raw_offset`, the step and the row's place in it: so numbers increase, no two rows share
one, and from a row follows the step that released it, whatever happened to the row since.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl
from deltalake import DeltaTable

from biokeel.batch import ROW, STREAM_QUARANTINE, PseudonymisedBatch
from biokeel.contracts.ids import decode_ids
from biokeel.land.checkpoint import Mapped
from biokeel.land.columns import CURATED_STAMPS, curated_columns
from biokeel.land.commits import is_table
from biokeel.land.reading import collect, scan

if TYPE_CHECKING:
    from biokeel.contracts.schema import EventSchema
    from biokeel.land.lake import Lake

_STEP_BITS: Final = 20
_ROW_BITS: Final = 24
MOST_ROWS: Final = (1 << _ROW_BITS) - 1
"""Rows that one step can number."""
_LAST: Final = (1 << _STEP_BITS) - 1


def step_of(operation: int, number: int) -> int:
    """The `number`-th step (from 1 on) of `operation`."""
    return operation << _STEP_BITS | number


def done(operation: int) -> int:
    """The step that says that nothing of `operation` is left to do in a partition."""
    return step_of(operation, _LAST)


def operation_of(step: int) -> int:
    """The number of the operation of which `step` is one."""
    return step >> _STEP_BITS


def first_open(step: int) -> int:
    """The first operation that is not done after `step` (-1: nothing is noted)."""
    return (max(step, 0) + 1) >> _STEP_BITS


def next_step(operated: int, operation: int) -> int:
    """The step of `operation` that follows what a partition has come to."""
    return max(operated, step_of(operation, 0)) + 1


def release_numbers(step: int, rows: int) -> pl.Series:
    """The `raw_offset` of each of so many rows that `step` releases (Int64)."""
    return pl.int_range(step << _ROW_BITS, (step << _ROW_BITS) + rows, eager=True)


def tables_of(lake: Lake, schema: EventSchema) -> dict[str, pl.LazyFrame]:
    """`curated`, `quarantine` and `history`, those that are there, as they stand now. Raises `StoreUnavailable`."""
    event = schema.event
    uris = {"curated": lake.curated(event), "quarantine": lake.quarantine(event), "history": lake.history(event)}
    found = {}
    for name, uri in uris.items():
        if not is_table(lake, uri):
            continue
        with Mapped(uri):
            rows = scan(DeltaTable(uri, storage_options=lake.options), lake)
            # A history from before there were operations: nobody has made its columns yet.
            known = "operation" in rows.collect_schema().names()
        found[name] = rows if known else rows.with_columns(pl.lit(None, pl.Int64).alias("operation"))
    return found


def last_step(rows: pl.DataFrame) -> int:
    """The step that released the last of `rows`."""
    return int(rows["raw_offset"].max()) >> _ROW_BITS  # type: ignore[arg-type]


def released_rows(lake: Lake, schema: EventSchema, partition: int, above: int, up_to: int) -> pl.DataFrame:
    """The rows that steps after `above` up to `up_to` released in `partition`, in their order, as they were landed.

    They may have been moved since, by `tidy` or by another operation: wherever they stand, the linking state counted
    them. Columns are those of the curated table. Raises `StoreUnavailable`.
    """
    columns = curated_columns(schema)
    if above == up_to:
        return pl.DataFrame(schema=columns)
    step = pl.col("raw_offset") // (1 << _ROW_BITS)
    mine = (pl.col("stream") == STREAM_QUARANTINE) & (pl.col("pseudo_partition") == partition)
    found = []
    for table in tables_of(lake, schema).values():
        there = table.collect_schema().names()
        those = table.filter(mine, step > above, step <= up_to).select(name for name in columns if name in there)
        found.append(collect(those))
    rows = pl.concat([pl.DataFrame(schema=columns), *(_typed(each, columns) for each in found)])
    return rows.unique(ROW).sort("raw_offset")


def moved_rows(lake: Lake, schema: EventSchema, partition: int, operation: int) -> int:
    """How many rows `operation`, which is under way, has moved in `partition` so far."""
    mine = (pl.col("operation") == operation) & (pl.col("pseudo_partition") == partition)
    # One that `tidy` is moving is in two tables.
    rows = [table.filter(mine).select(ROW) for table in tables_of(lake, schema).values()]
    return collect(pl.concat(rows)).n_unique() if rows else 0


def as_batch(schema: EventSchema, rows: pl.DataFrame) -> PseudonymisedBatch:
    """Rows of a table as they came, without what was stamped on them here, in the types of the stream.

    A table keeps microseconds, where linking and the contents of events know milliseconds.
    """
    came = {name: kind for name, kind in curated_columns(schema).items() if name not in CURATED_STAMPS}
    del came["participant_id"]
    participants = decode_ids(rows["participant_id"]).alias("participant")
    return PseudonymisedBatch(schema.event, _typed(rows, came).with_columns(participants))


def _typed(frame: pl.DataFrame, columns: dict[str, pl.DataType]) -> pl.DataFrame:
    return frame.select(
        (pl.col(name) if name in frame.columns else pl.lit(None)).cast(kind).alias(name)
        for name, kind in columns.items()
    )
