"""Which event a row is about, what it says of it, in which version, and whether it withdraws it.

A source may send an event again. **Key**: `source_id` and `event_id`, which the source derives from its own record.
**Content**: everything that the source says, and whose event it is; not where the row stood in a topic, not when the
source wrote it down, and not what the vault stamps. **Version**: `recorded_at`, the source's own time, which a re-sent
file repeats; of two rows with one version a withdrawal is the later, else the one that was published later.
**Withdrawal**: the row's status says `entered-in-error`, FHIR's word for what should never have been recorded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from biokeel.batch import COORDINATES, ENVELOPE, POSITION

if TYPE_CHECKING:
    from collections.abc import Iterable

KEY: Final = ("source_id", "event_id")
VERSION: Final = ("recorded_at", "withdrawal", "first_offset", "first_partition", "raw_offset")
"""Columns by which the rows of one key are ordered, oldest first; `withdrawal` is what `is_withdrawal` says."""
STATUS: Final = ("status", "verification_status")
"""The payload field that says what a record's status is: a Condition's is its verificationStatus, else `status`."""
ENTERED_IN_ERROR: Final = "entered-in-error"

_ODD: Final = np.uint64(0x9E3779B97F4A7C15)
"""2^64 divided by the golden ratio."""
_SAID_BY_SOURCE: Final = {"participant", "event_id", "source_id", "occurred_at", "occurred_offset_minutes"}
_NOT_SAID: Final = {*ENVELOPE, *COORDINATES, *POSITION} - _SAID_BY_SOURCE


def is_withdrawal(columns: Iterable[str]) -> pl.Expr:
    """Whether a row of a frame with `columns` withdraws its event (Boolean, never null)."""
    status = _status(columns)
    return pl.lit(value=False) if status is None else pl.col(status).eq_missing(pl.lit(ENTERED_IN_ERROR))


def withdrawals(frame: pl.DataFrame) -> pl.Series:
    """`is_withdrawal` of each row of `frame`, at a fifth of what an expression costs."""
    status = _status(frame.columns)
    if status is None:
        return pl.repeat(False, frame.height, dtype=pl.Boolean, eager=True)
    return (frame[status] == ENTERED_IN_ERROR).fill_null(value=False)


def hashes() -> str:
    """What the numbers of `keys` and `contents` depend on: with other `hashes` they are others."""
    return f"{pl.__version__} 2"


def keys(frame: pl.DataFrame) -> pl.Series:
    """The key of each row as 64 bits (UInt64), the same in every process with these `hashes`."""
    return _hashed(frame, KEY)


def contents(frame: pl.DataFrame, stamps: Iterable[str] = ()) -> pl.Series:
    """The content of each row as 64 bits (UInt64), the same in every process with these `hashes`.

    `stamps` are columns that the source did not send, beside those that every batch has.
    """
    return _hashed(frame, sorted(set(frame.columns) - _NOT_SAID - set(stamps)))


def _hashed(frame: pl.DataFrame, names: Iterable[str]) -> pl.Series:
    """One number for the columns `names` of each row.

    Column by column, in this thread: `hash_rows` wakes polars' pool, which costs more than to hash a micro-batch.
    """
    hashed = np.zeros(frame.height, np.uint64)
    for place, name in enumerate(names):
        column = frame[name]
        # Lists hash alike in any order of their items.
        said = column.list.join("\x1f") if column.dtype == pl.List else column
        hashed *= _ODD
        hashed += said.hash(place).to_numpy()
    return pl.Series(hashed)


def _status(columns: Iterable[str]) -> str | None:
    return next((name for name in STATUS if name in columns), None)
