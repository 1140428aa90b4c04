"""What the records of a source were made into, remembered from file to file.

A record may be made into several events: a laboratory panel into one for each of its components. What a corrected panel
no longer has, and what a deletion takes away that names nothing but a URL, only this memory can tell. It lies with the
source, beside its secret, and holds for each record the ids of its events, when they occurred and whose they are:
whoever may read it may read the source's files too. Without it, nothing but what is lost so is different.

What is noted is on the disk before the events that were made are handed on (`keep`), also where the power goes: an
event that was sent and is not remembered could not be taken back by a later version. The other way round nothing is
lost: what was noted may not have been sent when the process dies; then the files are sent again, and note the same, and
an event that is withdrawn and was never sent is no harm.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import orjson

from biokeel.errors import SourceError
from biokeel.source.sqlite_errors import mapped

WAIT_SECONDS: Final = 60.0
"""How long to wait while another process of the source writes."""


_MAKE: Final = "CREATE TABLE IF NOT EXISTS main.record (key BLOB PRIMARY KEY, past BLOB NOT NULL) WITHOUT ROWID"
_NOTE: Final = "INSERT OR REPLACE INTO main.record (key, past) VALUES (?, ?)"
_ASKED: Final = 500
"""Records that one statement asks for."""


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

    def ahead(self, keys: Iterable[bytes]) -> None:
        """Records that are going to be recalled: to look for many at once costs a fraction of one after the other."""

    def recall(self, key: bytes) -> Past | None:
        """What the record was made into; None for one that is not known."""

    def new_among(self, keys: Iterable[bytes]) -> Container[bytes]:
        """Those of `keys` of which there is nothing to recall."""

    def note(self, key: bytes, past: Past) -> None:
        """Remember it, in place of what was known before."""

    def note_first(
        self, key: bytes, version: int, scheme: str, value: str, made: Sequence[tuple[str, str, int]]
    ) -> None:
        """Remember the first version of a record that is not known, and the traces, sorted, that it was `made` into."""

    def keep(self) -> None:
        """Make what was noted outlive the process. Called before the events are handed on."""


class OfOneFile:
    """Remembers while a file is read: the versions of a record that one file holds."""

    def __init__(self) -> None:
        self._known: dict[bytes, Past] = {}

    def ahead(self, keys: Iterable[bytes]) -> None:
        """All is known at once."""

    def recall(self, key: bytes) -> Past | None:
        """What the record was made into."""
        return self._known.get(key)

    def new_among(self, keys: Iterable[bytes]) -> Container[bytes]:
        """Those that are not known."""
        return {key for key in keys if key not in self._known}

    def note(self, key: bytes, past: Past) -> None:
        """Remember it."""
        self._known[key] = past

    def note_first(
        self, key: bytes, version: int, scheme: str, value: str, made: Sequence[tuple[str, str, int]]
    ) -> None:
        """Remember a record that is not known."""
        traces = frozenset(Trace(*each) for each in made)
        self._known[key] = Past(version, traces, traces, scheme, value)

    def keep(self) -> None:
        """Nothing outlives the process."""


class OnDisk:
    """Remembers in a SQLite file (mode 0600). `tables` hold records, the last of them those that are noted.

    Notes are held until `keep` writes them in one transaction. Another process of the source may write meanwhile: what
    it says of other records is seen, and of the same record only one of the two is kept (`keep`).
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, tables: Sequence[str]) -> None:
        self._connection = connection
        self._unusable = partial(_unusable, path)
        self._tables = tables
        self._ahead: dict[bytes, bytes | None] = {}
        """What stands in the file of records that were asked for last; null: nothing."""
        self._noted: dict[bytes, tuple[bytes, bytes | None]] = {}
        """Notes that are not in the file, as it will have them, and what stood there when the record was recalled."""
        self._version = self._data_version()

    def ahead(self, keys: Iterable[bytes]) -> None:
        """Read what stands of `keys`. Raises `SourceError`."""
        self._ahead = self._stands([key for key in keys if key not in self._noted])

    def recall(self, key: bytes) -> Past | None:
        """What the record was made into. Raises `SourceError`."""
        noted = self._noted.get(key)
        written = noted[0] if noted is not None else self._stood(key)
        return None if written is None else _read(written)

    def new_among(self, keys: Iterable[bytes]) -> Container[bytes]:
        """Those of which nothing is noted, and nothing stands in the file. Raises `SourceError`."""
        self.ahead(keys)
        return {key for key, stands in self._ahead.items() if stands is None}

    def note(self, key: bytes, past: Past) -> None:
        """Remember it. Raises `SourceError`."""
        noted = self._noted.get(key)
        self._noted[key] = _written(past), noted[1] if noted is not None else self._stood(key)

    def note_first(
        self, key: bytes, version: int, scheme: str, value: str, made: Sequence[tuple[str, str, int]]
    ) -> None:
        """Remember a record of which nothing stands in the file."""
        self._noted[key] = _compact([version, scheme, value, made, []]), None

    def keep(self) -> None:
        """Write all notes, durably. Raises `SourceError`, with nothing written, where another process was first.

        That is so where it has noted one of the same records since this one recalled it: then each knows of the record
        only what it has seen itself, and what the other made could not be taken back any more.
        """
        if not self._noted:
            return
        with mapped(self._unusable):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                if (version := self._data_version()) != self._version:
                    self._require_unchanged()
                # In the order of the keys one page of the file after the other is written, and none twice.
                rows = sorted((key, written) for key, (written, _) in self._noted.items())
                self._connection.executemany(_NOTE, rows)
                self._connection.commit()
            finally:
                self._connection.rollback()
            self._version = version
        self._noted.clear()
        self._ahead.clear()

    def _require_unchanged(self) -> None:
        for key, written in self._stands(list(self._noted)).items():
            if written != self._noted[key][1]:
                raise SourceError(
                    "Another process publishes records of this source, of which one is the same.",
                    "Publish these files again when it is done: event ids repeat.",
                )

    def _stood(self, key: bytes) -> bytes | None:
        return self._ahead[key] if key in self._ahead else self._stands([key])[key]

    def _stands(self, keys: list[bytes]) -> dict[bytes, bytes | None]:
        found: dict[bytes, bytes | None] = dict.fromkeys(keys)
        with mapped(self._unusable):
            for start in range(0, len(keys), _ASKED):
                some = keys[start : start + _ASKED]
                marks = ",".join("?" * len(some))
                for table in self._tables:
                    ask = f"SELECT key, past FROM {table} WHERE key IN ({marks})"  # noqa: S608 - nothing of a source
                    found.update(self._connection.execute(ask, some))
        return found

    def _data_version(self) -> int:
        with mapped(self._unusable):
            return int(self._connection.execute("PRAGMA data_version").fetchone()[0])


@contextmanager
def memory_at(path: Path, *, keeps: bool = True) -> Iterator[Memory]:
    """The memory in `path`, made where there is none. Raises `SourceError` where the file is none.

    With `keeps` false, for a dry run, nothing is made or written there, and what is noted lies in a nameless file that
    is gone in the end.
    """
    connection = None
    try:
        if keeps:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
        connection = sqlite3.connect(path if keeps else "", timeout=WAIT_SECONDS, isolation_level=None)
        tables = ["main.record"]
        if keeps:
            connection.execute("PRAGMA journal_mode = WAL")
            # Not NORMAL: in write-ahead mode the last commits may be gone after a power loss then.
            connection.execute("PRAGMA synchronous = FULL")
        else:
            connection.execute(
                "PRAGMA journal_mode = OFF"
            )  # In memory it takes what the transaction touches, some 60 MB.
            connection.execute("PRAGMA synchronous = OFF")
        if not keeps and path.exists():
            connection.execute("ATTACH ? AS kept", (str(path),))
            if connection.execute("SELECT 1 FROM kept.sqlite_master WHERE name = 'record'").fetchone():
                tables.insert(0, "kept.record")
        connection.execute(_MAKE)
    except (sqlite3.Error, OSError) as error:
        if connection is not None:
            connection.close()
        raise _unusable(path, error) from None
    try:
        yield OnDisk(connection, path, tables)
    finally:
        connection.close()


def _unusable(path: Path, error: Exception) -> SourceError:
    return SourceError(
        f"Cannot use {path}, which remembers what was sent: {error}.",
        "It tells what corrected panels and deletions take back: restore it, or move it away and know that it is lost.",
    )


def _written(past: Past) -> bytes:
    now, gone = (list(map(list, sorted(each))) for each in (past.now, past.ever - past.now))
    return _compact([past.version, past.scheme, past.value, now, gone])


def _compact(parts: Sequence[object]) -> bytes:
    """`parts` as JSON. What orjson gives takes up to 4 KiB, however short it is: a copy takes its own length."""
    return bytes(memoryview(orjson.dumps(parts)))


def _read(written: bytes) -> Past:
    version, scheme, value, now, gone = orjson.loads(written)
    alive = _traces(now)
    return Past(version, alive, alive | _traces(gone), scheme, value)


def _traces(found: Iterable[Iterable[object]]) -> frozenset[Trace]:
    return frozenset(Trace(*each) for each in found)  # type: ignore[arg-type]
