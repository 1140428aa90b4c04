"""Reading the lake's tables with polars."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import polars as pl
from deltalake import DeltaTable

from biokeel.errors import LandingError, StoreUnavailable
from biokeel.land.checkpoint import Mapped
from biokeel.land.lake import Lake


def scan(table: str | DeltaTable, lake: Lake) -> pl.LazyFrame:
    """The table (URI or open handle, then at the handle's version) as a lazy frame.

    polars reads the files itself: `DeltaTable.to_pyarrow_table` has aborted interpreters at exit. Raises `LandingError`
    where there is no table yet, `StoreUnavailable` where it cannot be read.
    """
    uri = table if isinstance(table, str) else table.table_uri
    with Mapped(uri):
        if isinstance(table, str) and not DeltaTable.is_deltatable(table, lake.options):
            raise LandingError(f"There is no table {uri}.", "It is made when a worker of its event type starts.")
        return pl.scan_delta(table, storage_options=lake.reading_options)


def collect(rows: pl.LazyFrame) -> pl.DataFrame:
    """The frame of a `scan`. Raises `StoreUnavailable` where a file of the table cannot be read.

    In batches of rows: what a filter or a join leaves out of a large table is never in memory all at once.
    polars says what failed with the file's address, which holds no more than the table's name; no value is in it.
    """
    with _readable():
        return rows.collect(engine="streaming")


def schema_of(rows: pl.LazyFrame) -> pl.Schema:
    """The columns of a file, of which its end is read. Raises `StoreUnavailable`."""
    with _readable():
        return rows.collect_schema()


@contextmanager
def _readable() -> Iterator[None]:
    """Maps polars' errors about a file to ours."""
    try:
        yield
    except (OSError, pl.exceptions.ComputeError) as error:
        raise StoreUnavailable(
            f"A table of the lake cannot be read ({type(error).__name__}).",
            "Check that the object store runs (biokeel stack status); if so, read again: files may have been replaced.",
        ) from error
