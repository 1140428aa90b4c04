"""What runs of `publish` handed over, and where Kafka put it: by it, receipts tell what became of each line of a file.

A submission is a SQLite file (mode 0600) beside the files that it speaks of. It holds where each event stands in them,
its id and its coordinates, and no value of one.

**Dying.** Where events stand is written down before they are handed to Kafka, where Kafka put them after it has
acknowledged them, each some thousand at a time. Of what lies between nothing is known when the process dies: it is told
as not known to have arrived. Publish the same files again with the same submission: they get the same ids, so what had
arrived is told to be repeated.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import orjson

from biokeel.contracts.receipts import Outcome, Receipt
from biokeel.errors import SourceError
from biokeel.source.receipts import Fates, Place, best, is_the_sources_to_mend
from biokeel.source.sqlite_errors import mapped

if TYPE_CHECKING:
    from biokeel.contracts.topics import EventType

AT_ONCE: Final = 5_000
"""Events that are written down together."""
_WAIT_SECONDS: Final = 60.0
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS source (id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS stands (
    event TEXT, event_id TEXT, file TEXT, place TEXT, PRIMARY KEY (event, event_id, file, place)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sent (
    event TEXT, event_id TEXT, "partition" INTEGER, "offset" INTEGER, PRIMARY KEY (event, "partition", "offset")
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS sent_by_id ON sent (event, event_id);
"""
_FATES: Final = """
SELECT event, event_id, file, place, "partition", "offset" FROM stands LEFT JOIN sent USING (event, event_id)
ORDER BY event, event_id, file, place, "partition", "offset"
"""


class Origin(NamedTuple):
    """Where an event stands in the files of its source."""

    file: str
    place: str


class Handed(NamedTuple):
    """An event that was handed over, perhaps several times.

    `places` are those that Kafka gave it, none where it is not known to have arrived; `receipt` says what became of it,
    None where nothing is known.
    """

    event: str
    event_id: str
    origins: tuple[Origin, ...]
    places: tuple[Place, ...]
    receipt: Receipt | None

    @property
    def outcome(self) -> str:
        """What became of it, in a word or two."""
        if self.receipt is not None:
            return str(self.receipt.outcome)
        return "on its way" if self.places else "not known to have arrived"

    @property
    def came_through(self) -> bool:
        """Whether it has come to an end that is not a rejection."""
        return self.receipt is not None and self.receipt.outcome not in {
            Outcome.SEALED,
            Outcome.QUARANTINED,
            Outcome.PARKED,
        }


class Submission:
    """The file, open. Whatever is wrong with it is raised as `SourceError`."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._unusable = partial(_unusable, path)
        self._placed: list[tuple[str, str, int, int]] = []

    def handing(self, event: EventType, events: Iterable[tuple[str, Origin]]) -> None:
        """Write down where the events that will be handed to Kafka now stand, each with its id."""
        self._write("INSERT OR IGNORE INTO stands VALUES (?, ?, ?, ?)", _rows(event, events))

    def refused(self, event: EventType, event_id: str, origin: Origin) -> None:
        """It was not handed over after all: who publishes was told why."""
        query = "DELETE FROM stands WHERE (event, event_id, file, place) = (?, ?, ?, ?)"
        self._write(query, _rows(event, [(event_id, origin)]))

    def placed(self, event: EventType, partition: int, offset: int, event_id: str) -> None:
        """Kafka has the event at this place."""
        self._placed.append((str(event), event_id, partition, offset))
        if len(self._placed) >= AT_ONCE:
            self.keep()

    def keep(self) -> None:
        """Write down what was placed."""
        # A topic that was made anew gives offsets a second time.
        self._write("INSERT OR REPLACE INTO sent VALUES (?, ?, ?, ?)", self._placed)
        self._placed.clear()

    def places(self) -> Iterator[Place]:
        """Where Kafka has put events."""
        with mapped(self._unusable):
            yield from self._connection.execute('SELECT event, "partition", "offset" FROM sent')

    def told(self, fates: Fates) -> Iterator[Handed]:
        """Each event with what became of it by `fates`, which know its `places`; by event type and id."""
        with mapped(self._unusable):
            rows = self._connection.execute(_FATES)
            for (event, event_id), some in groupby(rows, key=lambda row: row[:2]):
                every = list(some)
                origins = dict.fromkeys(Origin(*row[2:4]) for row in every)
                places = dict.fromkeys((event, *row[4:6]) for row in every if row[4] is not None)
                yield Handed(event, event_id, tuple(origins), tuple(places), best(places, fates))

    def rejected(self, fates: Fates) -> frozenset[tuple[str, str]]:
        """Event type and id of what failed a rule, was sealed for what is the source's to mend, or never arrived."""
        return frozenset(
            (each.event, each.event_id)
            for each in self.told(fates)
            if not each.places or (each.receipt is not None and _can_be_mended(each.receipt))
        )

    def _write(self, query: str, rows: Iterable[tuple[object, ...]]) -> None:
        with mapped(self._unusable), self._connection:
            self._connection.executemany(query, rows)


@contextmanager
def submission_at(path: Path, source: str, *, makes: bool) -> Iterator[Submission]:
    """The submission of `source` in `path`; with `makes` it is made where there is none.

    Raises `SourceError` where there is none, or it is no submission, or another source's.
    """
    if not makes and not path.is_file():
        raise SourceError(f"There is no submission {path}.", "Make one: biokeel publish FILES --submission FILE.")
    connection = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        connection = sqlite3.connect(path, timeout=_WAIT_SECONDS)
        connection.executescript(_TABLES)
        with connection:
            connection.execute("INSERT INTO source SELECT ? WHERE NOT EXISTS (SELECT * FROM source)", (source,))
        ((owner,),) = connection.execute("SELECT id FROM source")
    except (sqlite3.Error, OSError) as error:
        if connection is not None:
            connection.close()
        raise _unusable(path, error) from None
    if owner != source:
        connection.close()
        raise SourceError(
            f"{path} is a submission of {owner}, not of {source}.", "Name its own source, or another file."
        )
    submission = Submission(connection, path)
    try:
        yield submission
    finally:
        # What Kafka has acknowledged before a failure is worth as much as what it has after none.
        try:
            submission.keep()
        finally:
            connection.close()


def _can_be_mended(receipt: Receipt) -> bool:
    return receipt.outcome is Outcome.QUARANTINED or is_the_sources_to_mend(receipt)


def as_json(handed: Handed) -> str:
    """A line for programs: where it stands in files and in Kafka, what became of it and why."""
    receipt = handed.receipt
    found = {
        "event": handed.event,
        "event_id": handed.event_id,
        "stands": [origin._asdict() for origin in handed.origins],
        "sent": [{"partition": partition, "offset": offset} for _, partition, offset in handed.places],
        "outcome": handed.outcome,
        "reason": receipt.reason if receipt else "",
        "rules": list(receipt.rules) if receipt else [],
        "fields": list(receipt.fields) if receipt else [],
    }
    return orjson.dumps(found).decode()


def _rows(event: EventType, events: Iterable[tuple[str, Origin]]) -> Iterator[tuple[str, ...]]:
    return ((str(event), event_id, *origin) for event_id, origin in events)


def _unusable(path: Path, error: Exception) -> SourceError:
    return SourceError(
        f"Cannot use the submission {path}: {error}.",
        "Name another file; events that are sent again have the same ids.",
    )
