"""What the records of a source were made into, remembered from file to file.

A record may be made into several events: a laboratory panel into one for each of its components. What a corrected panel
no longer has, and what a deletion takes away that names nothing but a URL, only this memory can tell. It lies with the
source, beside its secret, and holds for each record the ids of its events, when they occurred and whose they are:
whoever may read it may read the source's files too. Without it, nothing but what is lost so is different.

What is noted here may not have been sent yet when the process dies. Then the files are sent again, and note the same;
an event that is withdrawn and was never sent is no harm.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import orjson

from biokeel.errors import SourceError

WAIT_SECONDS: Final = 60.0
"""How long to wait while another process of the source writes."""


class Trace(NamedTuple):
    """One event: its type, its id, when it occurred (ms)."""

    event: str
    event_id: str
    occurred_at: int


@dataclass(frozen=True, slots=True, repr=False)
class Past:
    """What a record was made into: by its newest `version` (its recorded_at, ms) `now`, by any version `ever`.

    `scheme` and `value` are whose it is.
    """

    version: int
    now: frozenset[Trace]
    ever: frozenset[Trace]
    scheme: str
    value: str


class Memory(Protocol):
    """Remembers records by the digest of their keys (`EventIds.digest`)."""

    def recall(self, key: bytes) -> Past | None:
        """What the record was made into; None for one that is not known."""

    def note(self, key: bytes, past: Past) -> None:
        """Remember it, in place of what was known before."""

    def keep(self) -> None:
        """Make what was noted outlive the process. Called before the events are handed on."""


class OfOneFile:
    """Remembers while a file is read: the versions of a record that one file holds."""

    def __init__(self) -> None:
        self._known: dict[bytes, Past] = {}

    def recall(self, key: bytes) -> Past | None:
        """What the record was made into."""
        return self._known.get(key)

    def note(self, key: bytes, past: Past) -> None:
        """Remember it."""
        self._known[key] = past

    def keep(self) -> None:
        """Nothing outlives the process."""


class OnDisk:
    """Remembers in a SQLite file (mode 0600). With `keeps` false nothing is written: for a dry run."""

    def __init__(self, connection: sqlite3.Connection, path: Path, *, keeps: bool) -> None:
        self._connection = connection
        self._path = path
        self._keeps = keeps

    def recall(self, key: bytes) -> Past | None:
        """What the record was made into. Raises `SourceError`."""
        with self._mapped():
            row = self._connection.execute("SELECT past FROM record WHERE key = ?", (key,)).fetchone()
        return _read(row[0]) if row else None

    def note(self, key: bytes, past: Past) -> None:
        """Remember it. Raises `SourceError`."""
        with self._mapped():
            self._connection.execute("INSERT OR REPLACE INTO record (key, past) VALUES (?, ?)", (key, _written(past)))

    def keep(self) -> None:
        """Commit. Raises `SourceError`."""
        if self._keeps:
            with self._mapped():
                self._connection.commit()

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise _unusable(self._path, error) from None


@contextmanager
def memory_at(path: Path, *, keeps: bool = True) -> Iterator[Memory]:
    """The memory in `path`, made where there is none. Raises `SourceError` where the file is none.

    With `keeps` false nothing is made or written, and what is noted is forgotten.
    """
    if not keeps and not path.exists():
        yield OfOneFile()
        return
    connection = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        connection = sqlite3.connect(path, timeout=WAIT_SECONDS)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("CREATE TABLE IF NOT EXISTS record (key BLOB PRIMARY KEY, past BLOB NOT NULL) WITHOUT ROWID")
        connection.commit()
    except (sqlite3.Error, OSError) as error:
        if connection is not None:
            connection.close()
        raise _unusable(path, error) from None
    try:
        yield OnDisk(connection, path, keeps=keeps)
    finally:
        connection.close()


def _unusable(path: Path, error: Exception) -> SourceError:
    return SourceError(
        f"Cannot use {path}, which remembers what was sent: {error}.",
        "It tells what corrected panels and deletions take back: restore it, or move it away and know that it is lost.",
    )


def _written(past: Past) -> bytes:
    now, gone = (list(map(list, sorted(each))) for each in (past.now, past.ever - past.now))
    return orjson.dumps([past.version, past.scheme, past.value, now, gone])


def _read(written: bytes) -> Past:
    version, scheme, value, now, gone = orjson.loads(written)
    alive = _traces(now)
    return Past(version, alive, alive | _traces(gone), scheme, value)


def _traces(found: Iterable[Iterable[object]]) -> frozenset[Trace]:
    return frozenset(Trace(*each) for each in found)  # type: ignore[arg-type]
