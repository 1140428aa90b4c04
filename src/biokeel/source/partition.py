"""Which partition an event goes to: one person's events under one identifier stay together, in order.

The partition is CRC-32 of `<scheme> <identifier>` (UTF-8) modulo the partitions: easy to do the same in any language.
Resident and foreigner registration numbers are one number space and count as scheme `KR`, digits only.
There is no message key, because a key would show the identifier to whoever sees the broker.
"""

from __future__ import annotations

import re
import unicodedata
from zlib import crc32

import numpy as np
import numpy.typing as npt
import polars as pl

_NATIONAL = frozenset({"KR_RRN", "KR_FRN"})
_NO_DIGIT = re.compile(r"[^0-9]")


def normalise(scheme: str, value: str) -> str:
    """The identifier in one writing: full-width signs made plain, no space around, national numbers digits only."""
    plain = unicodedata.normalize("NFKC", value).strip()
    return _NO_DIGIT.sub("", plain) if scheme in _NATIONAL else plain


def stable_hash(scheme: str, value: str) -> int:
    """CRC-32 of the scheme and the normalised identifier, 0 to 2**32 - 1."""
    space = "KR" if scheme in _NATIONAL else scheme
    return crc32(f"{space} {normalise(scheme, value)}".encode())


def hashes_of(frame: pl.DataFrame) -> npt.NDArray[np.uint32]:
    """The hash of each row's `subject_scheme` and `subject_id`; each distinct identifier is hashed once."""
    rows = frame.select("subject_scheme", "subject_id")
    distinct = rows.unique()
    hashes = [stable_hash(scheme, value) for scheme, value in distinct.iter_rows()]
    placed = rows.join(
        distinct.with_columns(pl.Series("hash", hashes, pl.UInt32)),
        on=["subject_scheme", "subject_id"],
        how="left",
        maintain_order="left",
    )
    return placed["hash"].to_numpy()


def partitions_of(frame: pl.DataFrame, partitions: int) -> npt.NDArray[np.int64]:
    """The partition of each row, of so many."""
    return hashes_of(frame).astype(np.int64) % partitions
