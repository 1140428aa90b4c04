"""Chosen columns of every row of a table, piece by piece: for who looks at all that ever landed in bounded memory.

A piece is some small files together, or some row groups of a large one: at most about `ROWS` rows. Of its files only
the chosen columns are fetched. Nothing is written, so nothing is lost where the process dies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl
from deltalake import DeltaTable

from biokeel.land.checkpoint import Mapped
from biokeel.land.reading import collect, schema_of

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from biokeel.land.lake import Lake

ROWS: Final = 1 << 20
"""Rows of one piece; as many as delta-rs puts into a row group at most, so that a piece of a large file is one."""
_RECORDED: Final = "max.recorded_at"


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows of a table: `rows` of them behind the first `skipped` ones of `files`, which are (address, rows)."""

    files: tuple[tuple[str, int], ...]
    skipped: int
    rows: int


@dataclass(frozen=True, slots=True)
class Pieces:
    """All rows of a table at `version` (-1: there is no table) that may be wanted, and how many the table has."""

    version: int
    rows: int
    pieces: tuple[Piece, ...]


def pieces_of(lake: Lake, uri: str, since: dt.datetime | None = None) -> Pieces:
    """The table at `uri` in pieces; files that the log says hold nothing recorded at `since` or later are left out.

    Raises `StoreUnavailable`.
    """
    with Mapped(uri):
        if not DeltaTable.is_deltatable(uri, lake.options):
            return Pieces(-1, 0, ())
        table = DeltaTable(uri, storage_options=lake.options)
        known = pl.DataFrame(table.get_add_actions(flatten=True))
    if known.is_empty():
        return Pieces(table.version(), 0, ())
    # The log does not say when files came; by the time of their newest record neighbours are of one time.
    if _RECORDED in known.columns:
        known = known.sort(_RECORDED, "path", nulls_last=True)
    files = [
        (f"{uri}/{path}", _count(lake, uri, path, rows)) for path, rows in known["path", "num_records"].iter_rows()
    ]
    wanted = [True] * len(files)
    if since is not None and _RECORDED in known.columns:
        wanted = [latest is None or latest >= since for latest in known[_RECORDED]]
    chosen = [file for file, is_wanted in zip(files, wanted, strict=True) if is_wanted]
    return Pieces(table.version(), sum(rows for _, rows in files), tuple(in_pieces(chosen)))


def read(lake: Lake, piece: Piece, columns: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """`columns` of the rows of `piece`, in one order always; a column that a file has not is null there.

    Raises `StoreUnavailable` where a file is gone: it was vacuumed since `pieces_of`.
    """
    rows = pl.scan_parquet(
        [path for path, _ in piece.files],
        schema={name: _stored(kind) for name, kind in columns.items()},
        missing_columns="insert",
        extra_columns="ignore",
        storage_options=lake.reading_options,
    )
    return collect(
        rows.slice(piece.skipped, piece.rows).with_columns(pl.col(name).cast(columns[name]) for name in columns)
    )


def lacking(lake: Lake, piece: Piece, columns: Collection[str]) -> Iterator[tuple[str, int, int]]:
    """Rows of `piece` in files that were written without one of `columns`: its name, their first number, and one more
    than their last. Raises `StoreUnavailable`.
    """
    first = -piece.skipped
    for path, rows in piece.files:
        there = schema_of(pl.scan_parquet(path, storage_options=lake.reading_options))
        within = max(first, 0), min(first + rows, piece.rows)
        yield from ((name, *within) for name in columns if name not in there)
        first += rows


def _count(lake: Lake, uri: str, path: str, rows: int | None) -> int:
    """How many rows a file has; asked of itself where another writer left it out of the log."""
    if rows is not None:
        return rows
    counted = pl.scan_parquet(f"{uri}/{path}", storage_options=lake.reading_options).select(pl.len())
    return int(collect(counted).item())


def in_pieces(files: Iterable[tuple[str, int]]) -> Iterator[Piece]:
    """`files` (address, rows) of a table in pieces, in order."""
    small: list[tuple[str, int]] = []
    held = 0
    for file in files:
        rows = file[1]
        if rows > ROWS:
            yield from (Piece((file,), at, min(ROWS, rows - at)) for at in range(0, rows, ROWS))
            continue
        if small and held + rows > ROWS:
            yield Piece(tuple(small), 0, held)
            small, held = [], 0
        small.append(file)
        held += rows
    if held:
        yield Piece(tuple(small), 0, held)


def _stored(kind: pl.DataType) -> pl.DataType:
    """The type in which a Delta table keeps a column: it knows microseconds only."""
    return pl.Datetime("us", kind.time_zone) if isinstance(kind, pl.Datetime) else kind
