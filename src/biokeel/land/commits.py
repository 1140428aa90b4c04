"""Following a table by its log: which files came and went since a version, and chosen columns of their rows.

For who keeps account of rows and reads each once. A commit says of each file that it adds or removes whether that
changes data; a compaction changes none, so its files are of no interest, and nor is a checkpoint or a vacuum. What
else takes rows out (`tidy`, a restore) rewrites files: those removed are read as those added are, for a removed file
lies there until it is vacuumed. Where a file or a commit is gone, the table is read as a whole.

| what is asked | costs |
| --- | --- |
| is there anything new? | one GET of the next commit, which is not there |
| what is new? | a GET for each new commit, and the asked-for columns of the files that they name |
| is it the table that was read? | one GET of the last commit read |
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

import orjson
import polars as pl
from deltalake import DeltaTable

from biokeel.errors import LandingError
from biokeel.land.checkpoint import Mapped
from biokeel.land.reading import collect

if TYPE_CHECKING:
    from biokeel.land.lake import Lake

MOST_COMMITS: Final = 500
"""Commits that are read in one go."""
ROWS_AT_A_TIME: Final = 4_000_000
"""Rows of files that are read in one go; a file whose rows are not known counts as a quarter of that."""


@dataclass(frozen=True, slots=True)
class Followed:
    """A table at `version`. `mark` tells the commit of that version from any other, 0 where it was cleared away.

    `files`: path → how often its rows came since the version before (below zero: how often they went).
    `rows`: of files of which it is known, how many they have. `latest`: of files that came, and of which the log says
    it, the greatest `recorded_at` (seconds since 1970), and when they were committed.
    """

    version: int
    mark: int
    files: dict[str, int]
    rows: dict[str, int]
    latest: dict[str, tuple[float, float]] = field(default_factory=dict)


def since(lake: Lake, uri: str, version: int) -> Followed | None:
    """What the commits after `version` changed, at most `MOST_COMMITS` of them; None where there is none (yet).

    -1 is the version of a table that is not there yet. Raises `StoreUnavailable`, and `LandingError` for a commit that
    is not understood.
    """
    files: Counter[str] = Counter()
    rows: dict[str, int] = {}
    latest: dict[str, tuple[float, float]] = {}
    last: bytes | None = None
    for number in range(version + 1, version + 1 + MOST_COMMITS):
        data = lake.objects.find(commit_key(lake, uri, number))
        if data is None:
            break
        last, version = data, number
        at = committed_at(data)
        for kind, action in _changes(uri, data):
            files[action["path"]] += 1 if kind == "add" else -1
            if kind == "add":
                stats = orjson.loads(action.get("stats") or "{}")
                rows[action["path"]] = int(stats.get("numRecords", -1))
                if recorded := stats.get("maxValues", {}).get("recorded_at"):
                    latest[action["path"]] = dt.datetime.fromisoformat(recorded).timestamp(), at
    if last is None:
        return None
    return Followed(version, mark_of(last), {path: count for path, count in files.items() if count}, rows, latest)


def is_known(lake: Lake, uri: str, version: int, mark: int) -> bool:
    """Whether the table at `uri` is the one whose commit `version` had `mark`, and its later commits are all there."""
    if version == -1:
        return lake.objects.find(_checkpoint(lake, uri)) is None or _read(lake, uri, 0) is not None
    return _read(lake, uri, version) == mark


def is_table(lake: Lake, uri: str) -> bool:
    """Whether there is a table at `uri`: it has its first commit, or a checkpoint, before which commits are cleared.

    By two GETs, for who may not take a listing that came short for an answer. Raises `StoreUnavailable`.
    """
    return any(lake.objects.find(key) is not None for key in (commit_key(lake, uri, 0), _checkpoint(lake, uri)))


def whole(lake: Lake, uri: str, version: int | None = None) -> Followed:
    """The table as it is (or was in `version`), every file with its rows as come; version -1 where there is no table.

    Raises `StoreUnavailable`, also where its log does not know that version any more.
    """
    with Mapped(uri):
        if not DeltaTable.is_deltatable(uri, lake.options):
            return Followed(-1, 0, {}, {})
        table = DeltaTable(uri, version=version, storage_options=lake.options)
        files = pl.DataFrame(table.get_add_actions(flatten=True)).select("path", "num_records")
    rows = dict(files.with_columns(pl.col("num_records").fill_null(-1)).iter_rows())
    found = table.version()
    return Followed(found, _read(lake, uri, found) or 0, dict.fromkeys(rows, 1), rows)


def rows(
    lake: Lake,
    uri: str,
    files: Iterable[str],
    columns: Mapping[str, pl.DataType],
    *,
    known: Mapping[str, int],
    only: pl.Expr | None = None,
) -> Iterator[pl.DataFrame]:
    """`columns` of the rows of `files` (of those that `only` is true of), some files at a time.

    A column that an older file has not is null. `known` are numbers of rows. Raises `StoreUnavailable` where a file
    cannot be read: it may have been vacuumed, then `whole` names those that hold its rows.
    """
    for some in _batches(files, known):
        frame = pl.scan_parquet(
            [f"{uri}/{path}" for path in some],
            schema=dict(columns),
            missing_columns="insert",
            extra_columns="ignore",
            storage_options=lake.reading_options,
        )
        yield collect(frame if only is None else frame.filter(only))


def _batches(files: Iterable[str], known: Mapping[str, int]) -> Iterator[list[str]]:
    batch: list[str] = []
    held = 0
    for path in files:
        count = known.get(path, -1)
        held += count if count >= 0 else ROWS_AT_A_TIME // 4
        if batch and held > ROWS_AT_A_TIME:
            yield batch
            batch, held = [], max(count, 0)
        batch.append(path)
    if batch:
        yield batch


def committed_at(data: bytes) -> float:
    """When a commit was written, as it says itself (seconds since 1970)."""
    infos = (orjson.loads(line).get("commitInfo", {}) for line in data.splitlines())
    return max((info.get("timestamp", 0) for info in infos), default=0) / 1000


def _changes(uri: str, data: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    for line in data.splitlines():
        for kind, action in orjson.loads(line).items():
            if kind not in {"add", "remove"} or not action["dataChange"]:
                continue
            if action.get("deletionVector"):
                raise LandingError(
                    f"The table {uri} has deletion vectors, which nothing of ours writes.",
                    "Rewrite it without them, then read it as a whole.",
                )
            yield kind, action


def _read(lake: Lake, uri: str, version: int) -> int | None:
    data = lake.objects.find(commit_key(lake, uri, version))
    return None if data is None else mark_of(data)


def mark_of(data: bytes) -> int:
    """62 bits of a commit's bytes, which hold its time, the names of its files and, of most, random numbers."""
    return int.from_bytes(blake2b(data, digest_size=8).digest()) >> 2


def commit_key(lake: Lake, uri: str, version: int) -> str:
    """Where the commit of that version lies."""
    return f"{lake.key(uri)}/_delta_log/{version:020d}.json"


def _checkpoint(lake: Lake, uri: str) -> str:
    return f"{lake.key(uri)}/_delta_log/_last_checkpoint"
