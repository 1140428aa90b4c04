"""What came live into a table: its landings after a version, one by one, for who judges each row once more beside us.

A landing is a commit that names a pseudo partition's position and takes nothing out. What else adds files brings no row
that was not judged, and landed or quarantined, before: `tidy` and compaction take files out, a restore says what it is,
and of a steward's operation the commit names `<topic>/<p>/operated` and `<topic>/<p>/writer` together, or no position
(`biokeel.land.checkpoint`). Of a table that
was put back to an older version, what is landed anew counts anew: it was judged anew.

Nothing is written here; what a reader has read is its own to keep: a version, and the `mark` by which the commit of
that version is told from one of another table in its place (`biokeel.land.commits`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import orjson
from deltalake import DeltaTable

from biokeel.land.checkpoint import Mapped
from biokeel.land.commits import MOST_COMMITS, commit_key, committed_at, is_known, mark_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from biokeel.land.lake import Lake

_POSITION: Final = "position"
_OPERATION: Final = frozenset({"operated", "writer"})

File = tuple[str, int]
"""The address of a file of a table, and its rows."""


class Reached(NamedTuple):
    """How far a reader of a table has come: the commit of `version` (-1: none), which has `mark`."""

    version: int = -1
    mark: int = 0


@dataclass(frozen=True, slots=True)
class Landing:
    """One commit: its version, when it was written (seconds since 1970, as it says itself), and the files it added."""

    version: int
    at: float
    files: tuple[File, ...]

    @property
    def rows(self) -> int:
        """How many rows it brought."""
        return sum(rows for _, rows in self.files)


@dataclass(frozen=True, slots=True)
class Landings:
    """What was landed since, oldest first, and how far that reaches."""

    reached: Reached
    landings: tuple[Landing, ...]


def landings_since(lake: Lake, uri: str, topic: str, at: Reached, up_to: int | None = None) -> Landings | None:
    """The landings after `at`, of at most `MOST_COMMITS` commits (`up_to` the version given); None: there is no commit.

    `topic` is the pseudo topic of the table's rows. Costs a GET for each commit, and one for the next that is not there
    yet. Raises `StoreUnavailable`.
    """
    found: list[Landing] = []
    reached = at
    last = at.version + MOST_COMMITS if up_to is None else min(up_to, at.version + MOST_COMMITS)
    for version in range(at.version + 1, last + 1):
        data = lake.objects.find(commit_key(lake, uri, version))
        if data is None:
            break
        reached = Reached(version, mark_of(data))
        if files := _landed(uri, topic, data):
            found.append(Landing(version, committed_at(data), files))
    return None if reached == at else Landings(reached, tuple(found))


def stands_at(lake: Lake, uri: str) -> Reached:
    """How far a reader is that begins now. Raises `StoreUnavailable`."""
    with Mapped(uri):
        if not DeltaTable.is_deltatable(uri, lake.options):
            return Reached()
        version = DeltaTable(uri, storage_options=lake.options).version()
    data = lake.objects.find(commit_key(lake, uri, version))
    return Reached(version, 0 if data is None else mark_of(data))


def is_still_known(lake: Lake, uri: str, at: Reached) -> bool:
    """Whether the table is the one that was read up to `at`, and its log goes on from there."""
    return is_known(lake, uri, *at)


def gone(lake: Lake, files: Iterable[File]) -> Sequence[File]:
    """Those of `files` that the store does not have any more: a vacuum took them. Raises `StoreUnavailable`."""
    return [file for file in files if not lake.objects.keys(lake.key(file[0]))]


def _landed(uri: str, topic: str, data: bytes) -> tuple[File, ...]:
    """The files that a commit landed; none where it is no landing."""
    files: list[File] = []
    named: set[str] = set()
    for line in data.splitlines():
        for kind, action in orjson.loads(line).items():
            if kind == "remove" and action["dataChange"]:
                return ()
            if kind == "commitInfo" and action.get("operation") == "RESTORE":
                return ()
            if kind == "txn" and action["appId"].startswith(f"{topic}/"):
                partition, _, what = action["appId"].removeprefix(f"{topic}/").partition("/")
                named |= {what or _POSITION} if partition.isdigit() else set()
            elif kind == "add" and action["dataChange"]:
                stats = orjson.loads(action.get("stats") or "{}")
                files.append((f"{uri}/{action['path']}", int(stats.get("numRecords", 0))))
    return tuple(files) if _POSITION in named and not named >= _OPERATION else ()
