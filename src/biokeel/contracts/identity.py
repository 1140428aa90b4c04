"""Which event a row is about, what it says of it, in which version, and whether it withdraws it.

A source may send an event again. **Key**: `source_id` and `event_id`, which the source derives from its own record.
**Content**: everything that the source says, and whose event it is; not where the row stood in a topic, not when the
source wrote it down, and not what the vault stamps. **Version**: `recorded_at`, the source's own time, which a re-sent
file repeats; of two rows with one version a withdrawal is the later, else the one that was published later.
**Withdrawal**: the row's status says `entered-in-error`, FHIR's word for what should never have been recorded.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from biokeel.batch import COORDINATES, ENVELOPE, POSITION

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

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
    said = frame[status] == ENTERED_IN_ERROR
    return said.fill_null(value=False) if said.has_nulls() else said


def hashes() -> str:
    """What the numbers of `identities` depend on: with other `hashes` they are others."""
    return f"{pl.__version__} 2"


def contents(frame: pl.DataFrame, stamps: Iterable[str] = ()) -> pl.Series:
    """The content of each row as 64 bits (UInt64), the same in every process with these `hashes`.

    `stamps` are columns that the source did not send, beside those that every batch has.
    """
    return _hashed(frame, _said(frame, stamps))[0]


def identities(frame: pl.DataFrame) -> tuple[pl.Series, pl.Series]:
    """The key of each row as 64 bits (UInt64), and its `contents`."""
    of_key, of_content = _hashed(frame, KEY, _said(frame))
    return of_key, of_content


def _said(frame: pl.DataFrame, stamps: Iterable[str] = ()) -> list[str]:
    return sorted(set(frame.columns) - _NOT_SAID - set(stamps))


def _hashed(frame: pl.DataFrame, *groups: Sequence[str]) -> list[pl.Series]:
    """For each of `groups` one number for those columns of each row.

    In this thread, one column after the other: `hash_rows` wakes polars' pool, which costs more than to hash a
    micro-batch. But all in one call: of a small micro-batch it is the calls that cost.
    """
    types = dict(zip(frame.columns, frame.dtypes, strict=True))
    wanted = [(name, place) for group in groups for place, name in enumerate(group)]
    # Lists hash alike in any order of their items.
    texts = {name: pl.col(name).list.join("\x1f") for name, _ in wanted if types[name] == pl.List}
    hashed = frame.select_seq(
        texts.get(name, pl.col(name)).hash(place).alias(str(number)) for number, (name, place) in enumerate(wanted)
    )
    columns = iter(hashed.get_columns())
    return [_one([column.to_numpy() for column in islice(columns, len(group))]) for group in groups]


def _one(hashed: Sequence[npt.NDArray[np.uint64]]) -> pl.Series:
    first, *others = hashed
    whole = first.copy()
    for other in others:
        whole *= _ODD
        whole += other
    return pl.Series(whole)


def _status(columns: Iterable[str]) -> str | None:
    return next((name for name in STATUS if name in columns), None)
