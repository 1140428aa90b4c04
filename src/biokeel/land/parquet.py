"""How the Parquet files of a landing are written: little CPU, few bytes, encodings that Parquet has had since 2013.

A landing's files are small and soon written anew by `biokeel lake optimize`, which orders them. Of what a writer does
by itself, three things cost most here and bring nothing: statistics of columns that nobody looks up by them, a
dictionary of values that hardly repeat (tried, and given up when it is full), and times and offsets as eight bytes
each, where the difference to the one before takes two.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import polars as pl
from deltalake import ColumnProperties, WriterProperties

from biokeel.land.columns import STATISTICS

_RISING: Final = frozenset({"raw_offset", "first_offset"})
_UNIQUE: Final = frozenset({"event_id", "seconds_since_previous"})


def landing_writer(columns: Mapping[str, pl.DataType]) -> WriterProperties:
    """For the files of a landing with `columns`. Of `STATISTICS` each file and the log keep the least and greatest."""
    return WriterProperties(
        compression="ZSTD",
        compression_level=1,
        default_column_properties=ColumnProperties(statistics_enabled="NONE"),
        column_properties={name: _properties(name, kind) for name, kind in columns.items()},
    )


def _properties(name: str, kind: pl.DataType) -> ColumnProperties:
    differences = name in _RISING or isinstance(kind, pl.Datetime)
    return ColumnProperties(
        dictionary_enabled=False if differences or name in _UNIQUE else None,
        statistics_enabled="CHUNK" if name in STATISTICS else "NONE",
        encoding="DELTA_BINARY_PACKED" if differences else None,
    )
