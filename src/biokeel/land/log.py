"""What a table's own log says: its commits, and which of its versions can still be opened."""

from __future__ import annotations

import datetime as dt
import re
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from biokeel.errors import LandingError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from biokeel.land.lake import Lake

_COMMIT: Final = re.compile(r"(\d{20})\.json")
_CHECKPOINT: Final = re.compile(r"(\d{20})\.checkpoint.*\.parquet")


@dataclass(frozen=True, slots=True)
class Commit:
    """One version of a table. `rows`: how many it brought newly; files that were only rewritten bring none.

    `positions`: pseudo partition → offset, of the partitions whose position it moved.
    """

    version: int
    at: dt.datetime
    operation: str
    rows: int
    files_added: int
    files_removed: int
    positions: dict[int, int]


def commits(lake: Lake, uri: str, limit: int) -> Iterator[Commit]:
    """The newest `limit` commits of the table at `uri`, newest first, as far as the log still has them."""
    for key in reversed(_log(lake, uri)[0][-limit:]):
        yield _read(lake, key)


def version_at(lake: Lake, uri: str, at: dt.datetime) -> int:
    """The newest version that was committed up to `at`, as the commits themselves say.

    delta-rs goes by the times of the log's files, which change when a bucket is copied. Raises `LandingError`.
    """
    keys = _log(lake, uri)[0]
    later = bisect_right(keys, at, key=lambda key: _read(lake, key).at)
    if not later:
        raise LandingError(
            f"The log of {uri} has no commit up to {at.isoformat()}.", "See biokeel lake history for what it has."
        )
    return _version(keys[later - 1])


def committed_at(lake: Lake, uri: str, version: int) -> dt.datetime:
    """When a version was committed, as its commit says, which the log must still have. Raises `StoreUnavailable`."""
    return _read(lake, f"{lake.key(uri)}/_delta_log/{version:020d}.json").at


def oldest(lake: Lake, uri: str) -> int:
    """The oldest version that the log can still rebuild: older commits were cleaned away. Raises `LandingError`."""
    written, checkpoints = _log(lake, uri)
    if written and _version(written[0]) == 0:
        return 0
    if not checkpoints:
        raise LandingError(f"There is no table {uri}, or its log has lost its beginning.", "See docs/operations.md.")
    return _version(checkpoints[0])


def _log(lake: Lake, uri: str) -> tuple[list[str], list[str]]:
    """The keys of the commits and of the checkpoints of the table at `uri`, oldest first."""
    keys = lake.objects.keys(f"{lake.key(uri)}/_delta_log/")
    names = [(key, key.rsplit("/", 1)[1]) for key in keys]
    return (
        [key for key, name in names if _COMMIT.fullmatch(name)],
        [key for key, name in names if _CHECKPOINT.fullmatch(name)],
    )


def _version(key: str) -> int:
    return int(key.rsplit("/", 1)[1][:20])


def _read(lake: Lake, key: str) -> Commit:
    return _commit(_version(key), [orjson.loads(line) for line in lake.objects.get(key).splitlines()])


def _commit(version: int, actions: list[dict[str, Any]]) -> Commit:
    info: dict[str, Any] = next((action["commitInfo"] for action in actions if "commitInfo" in action), {})
    added = [action["add"] for action in actions if "add" in action]
    moved = [action["txn"] for action in actions if "txn" in action]
    return Commit(
        version,
        dt.datetime.fromtimestamp(info.get("timestamp", 0) / 1000, dt.UTC),
        info.get("operation", "?"),
        sum(orjson.loads(each.get("stats") or "{}").get("numRecords", 0) for each in added if each["dataChange"]),
        len(added),
        sum("remove" in action for action in actions),
        {
            int(last): int(each["version"])
            for each in moved
            if (name := each["appId"]).count("/") == 1 and (last := name.rpartition("/")[2]).isdigit()
        },
    )
