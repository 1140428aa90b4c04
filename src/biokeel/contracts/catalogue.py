"""Schema ids: which Avro schema a framed datum was written with, and which one we read it into.

The embedded set-up keeps its catalogue in the directory `schemas/`: the current schema of each event type in
`<domain>/<event>.avsc`, every version that was ever locked in `history/<domain>/<event>/<version>.avsc`, and
`catalogue.lock.json`, which gives each version its id and its fingerprint. The lock file is committed, so ids are the
same on every machine; `biokeel schema lock` is the only thing that writes it. In production a schema registry gives
the ids (`biokeel.contracts.registry`). What may pass, and in which form, the locked schemas say in either set-up.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from biokeel.contracts.schema import EventSchema, parse_schema, schema_path
from biokeel.contracts.topics import PERSON_EVENTS, RAW, EventType, event_type
from biokeel.errors import SchemaError, UnknownSchema

if TYPE_CHECKING:
    from pathlib import Path

LOCK_FILE = "catalogue.lock.json"
HISTORY = "history"

_LOG: Final = logging.getLogger(__name__)
_SUBJECT_END: Final = "-value"


@dataclass(frozen=True, slots=True)
class Locked:
    """One version of an event type's schema that the programme has locked.

    `version` counts from 1 within `subject`; `id` is the one that the lock file gives; `fingerprint` is 32 hexadecimal
    digits over the whole schema, docs and tags included.
    """

    subject: str
    version: int
    id: int
    fingerprint: str
    schema: EventSchema


@dataclass(frozen=True, slots=True)
class Registered:
    """What an id stands for: how datums with it in their frame are written, and under which of our subjects it is.

    `avro` is what somebody registered: it may be no Avro schema at all, and its docs and tags are nobody's promise.
    """

    subjects: tuple[str, ...]
    id: int
    avro: Any


class Catalogue(Protocol):
    """Where the codec asks for schemas. Implementations cache: the codec asks once for each id and batch."""

    def by_id(self, schema_id: int) -> Registered:
        """What this id stands for. Raises `UnknownSchema` if nothing, `ContractError` if nobody can tell."""

    def events(self) -> tuple[EventType, ...]:
        """The event types that there are now, in the order in which they were locked; none ever goes again."""

    def reader(self, event: EventType) -> Locked:
        """The newest locked schema of `event`, which all its datums are read into; the same while a process lives.

        Raises `UnknownSchema` for an event type that is not there.
        """

    def id_of(self, event: EventType) -> int:
        """The id that datums written with the reader's schema carry. Raises `UnknownSchema` if it has none."""


@dataclass(frozen=True, slots=True, order=True)
class LockEntry:
    """One line of the lock file."""

    id: int
    subject: str
    version: int
    fingerprint: str


class DirectoryCatalogue:
    """The catalogue in a directory, checked against its lock file when it is opened.

    An event type that is locked later is taken up while the process lives. A newer version of one that is there is not:
    what a datum is read into is the same while a process lives.

    Raises `SchemaError` where the lock file is missing or broken, where a schema file changed without a new lock
    entry, and where a locked old version was edited or is gone.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._by_id: dict[int, Locked] = {}
        self._reader: dict[EventType, Locked] = {}
        self._seen = self._stamp()
        self._take_up(read_lock(root))
        if missing := [str(event) for event in PERSON_EVENTS if event not in self._reader]:
            raise SchemaError(f"{root / LOCK_FILE} lacks {', '.join(missing)}.", "Add them with: biokeel schema lock.")

    def events(self) -> tuple[EventType, ...]:
        """The event types that there are now; one `stat` where the lock file has not changed.

        A lock file or schema that does not hold changes nothing, and is told in the log once.
        """
        if (stamp := self._stamp()) != self._seen:
            self._seen = stamp
            try:
                self._take_up(read_lock(self._root))
            except SchemaError as error:
                _LOG.error("The catalogue stays as it was: %s", error)
        return tuple(self._reader)

    def _stamp(self) -> tuple[int, int, int] | None:
        """What tells one state of the lock file from the next, as it is replaced in one step; None where it is gone."""
        try:
            status = (self._root / LOCK_FILE).stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size

    def _take_up(self, entries: list[LockEntry]) -> None:
        """Add the event types of `entries` that are new, all or none of them."""
        by_id, reader = dict(self._by_id), dict(self._reader)
        for entry in sorted(entries):
            event = subject_event(entry.subject)
            if event not in self._reader:
                by_id[entry.id] = reader[event] = _load_locked(self._root, event, entry)
        for event in reader.keys() - self._reader.keys():
            self._check_current(reader[event], event)
        # In one step each: another thread reads them.
        self._by_id, self._reader = by_id, reader

    def by_id(self, schema_id: int) -> Registered:
        """What this id stands for. Raises `UnknownSchema`."""
        if schema_id not in self._by_id:
            self.events()  # an event type may have been locked since
        try:
            locked = self._by_id[schema_id]
        except KeyError:
            raise UnknownSchema(
                f"Schema id {schema_id} is not in {LOCK_FILE}.", "Lock the schema (biokeel schema lock) and deploy it."
            ) from None
        return Registered((locked.subject,), locked.id, locked.schema.avro)

    def reader(self, event: EventType) -> Locked:
        """The newest locked schema of `event`. Raises `UnknownSchema`."""
        if event not in self._reader:
            self.events()
        try:
            return self._reader[event]
        except KeyError:
            raise UnknownSchema(
                f"There is no event type {event}.", "biokeel schema list names those that there are."
            ) from None

    def id_of(self, event: EventType) -> int:
        """The id of the reader's schema."""
        return self.reader(event).id

    def versions(self, event: EventType) -> tuple[Locked, ...]:
        """Every locked version of `event`, oldest first."""
        return tuple(locked for locked in self._by_id.values() if locked.subject == event.subject)

    def _check_current(self, locked: Locked, event: EventType) -> None:
        path = schema_path(self._root, event)
        avro = read_avro(path)
        if fingerprint(avro) != locked.fingerprint:
            raise SchemaError(
                f"{path} is not what {LOCK_FILE} holds as version {locked.version}.",
                f"Make it version {locked.version + 1} with: biokeel schema lock; or put the file back.",
            )


class Schemas(Mapping[EventType, EventSchema]):
    """The newest locked schema of each event type of a catalogue, as it grows; `landed`: of those that land only."""

    def __init__(self, catalogue: Catalogue, *, landed: bool = False) -> None:
        self._catalogue = catalogue
        self._landed = landed

    def __getitem__(self, event: EventType) -> EventSchema:
        try:
            return self._catalogue.reader(event).schema
        except UnknownSchema:
            raise KeyError(event) from None

    def __iter__(self) -> Iterator[EventType]:
        return (event for event in self._catalogue.events() if not (self._landed and event.is_person))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def locked_events(root: Path) -> tuple[EventType, ...]:
    """The event types that are locked below `root`, in the order of their ids. Raises `SchemaError`."""
    return tuple(dict.fromkeys(subject_event(entry.subject) for entry in sorted(read_lock(root))))


def landed_events(root: Path) -> tuple[EventType, ...]:
    """Those of `locked_events` that land in tables."""
    return tuple(event for event in locked_events(root) if not event.is_person)


def subject_event(subject: str) -> EventType:
    """The event type whose schemas are under `subject`. Raises `KeyError` for what is no subject of ours."""
    if not (subject.startswith(RAW) and subject.endswith(_SUBJECT_END)):
        raise KeyError(subject)
    return event_type(subject[len(RAW) : -len(_SUBJECT_END)])


def fingerprint(avro: Mapping[str, Any]) -> str:
    """32 hexadecimal digits over the whole schema, whatever its layout and order of keys.

    Unlike Avro's own fingerprint it covers docs, units and privacy tags: a change of those is a change of the contract.
    """
    text = json.dumps(avro, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def history_path(root: Path, event: EventType, version: int) -> Path:
    """Where the text of a locked version lies; the current version has one too, beside its working file."""
    return root / HISTORY / event.domain / event.name / f"{version}.avsc"


def read_avro(path: Path) -> dict[str, Any]:
    """The Avro schema in `path`. Raises `SchemaError` naming the file."""
    try:
        avro = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SchemaError(f"Cannot read {path}: {error.strerror}.", "Set BIOKEEL_SCHEMAS_DIR.") from None
    except ValueError:
        raise SchemaError(f"{path} is not JSON.") from None
    if not isinstance(avro, dict):
        raise SchemaError(f"{path} is not an Avro record.")
    return avro


def read_lock(root: Path) -> list[LockEntry]:
    """The entries of the lock file below `root`. Raises `SchemaError` where it is missing, broken or contradictory."""
    path = root / LOCK_FILE
    todo = f"Put {LOCK_FILE} back from version control; it is written by biokeel schema lock only."
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        entries = [LockEntry(**item) for item in raw["schemas"]]
    except OSError as error:
        raise SchemaError(f"Cannot read {path}: {error.strerror}.", todo) from None
    except (ValueError, TypeError, KeyError):
        raise SchemaError(f"{path} is not a lock file.", todo) from None
    subjects = sorted({entry.subject for entry in entries})
    if unknown := [subject for subject in subjects if not _is_subject(subject)]:
        raise SchemaError(f"{path} names subjects that no event type has: {', '.join(unknown)}.", todo)
    if len({entry.id for entry in entries}) != len(entries):
        raise SchemaError(f"{path} gives one id twice.", todo)
    for subject in subjects:
        versions = [entry.version for entry in sorted(entries) if entry.subject == subject]
        if versions != list(range(1, len(versions) + 1)):
            raise SchemaError(f"{path}: versions of {subject} do not count 1, 2, 3 with rising ids.", todo)
    return entries


def _is_subject(subject: str) -> bool:
    try:
        subject_event(subject)
    except KeyError:
        return False
    return True


def _load_locked(root: Path, event: EventType, entry: LockEntry) -> Locked:
    path = history_path(root, event, entry.version)
    avro = read_avro(path)
    if fingerprint(avro) != entry.fingerprint:
        raise SchemaError(
            f"{path} was changed after it was locked.",
            "Put it back from version control; a locked version never changes, because datums written with it exist.",
        )
    return Locked(entry.subject, entry.version, entry.id, entry.fingerprint, parse_schema(event, avro))
