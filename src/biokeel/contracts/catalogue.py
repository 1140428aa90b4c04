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
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from biokeel.contracts.schema import EventSchema, parse_schema, schema_path
from biokeel.contracts.topics import EVENTS, EventType
from biokeel.errors import SchemaError, UnknownSchema

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LOCK_FILE = "catalogue.lock.json"
HISTORY = "history"
_SUBJECTS = {event.subject: event for event in EVENTS}


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

    def reader(self, event: EventType) -> Locked:
        """The newest locked schema of `event`, which all its datums are read into; the same while a process lives."""

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

    Raises `SchemaError` where the lock file is missing or broken, where a schema file changed without a new lock
    entry, and where a locked old version was edited or is gone.
    """

    def __init__(self, root: Path) -> None:
        entries = read_lock(root)
        self._by_id: dict[int, Locked] = {}
        self._reader: dict[EventType, Locked] = {}
        for entry in sorted(entries):
            event = _SUBJECTS[entry.subject]
            self._by_id[entry.id] = self._reader[event] = _load_locked(root, event, entry)
        for event in EVENTS:
            self._check_current(root, event)

    def by_id(self, schema_id: int) -> Registered:
        """What this id stands for. Raises `UnknownSchema`."""
        try:
            locked = self._by_id[schema_id]
        except KeyError:
            raise UnknownSchema(
                f"Schema id {schema_id} is not in {LOCK_FILE}.", "Lock the schema (biokeel schema lock) and deploy it."
            ) from None
        return Registered((locked.subject,), locked.id, locked.schema.avro)

    def reader(self, event: EventType) -> Locked:
        """The newest locked schema of `event`; every event type has one, or the catalogue does not open."""
        return self._reader[event]

    def id_of(self, event: EventType) -> int:
        """The id of the reader's schema."""
        return self._reader[event].id

    def versions(self, event: EventType) -> tuple[Locked, ...]:
        """Every locked version of `event`, oldest first."""
        return tuple(locked for locked in self._by_id.values() if locked.subject == event.subject)

    def _check_current(self, root: Path, event: EventType) -> None:
        path = schema_path(root, event)
        avro = read_avro(path)
        locked = self._reader.get(event)
        if locked is None:
            raise SchemaError(f"{path} has no entry in {LOCK_FILE}.", "Add one with: biokeel schema lock.")
        if fingerprint(avro) != locked.fingerprint:
            raise SchemaError(
                f"{path} is not what {LOCK_FILE} holds as version {locked.version}.",
                f"Make it version {locked.version + 1} with: biokeel schema lock; or put the file back.",
            )


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
    unknown = sorted({entry.subject for entry in entries} - set(_SUBJECTS))
    if unknown:
        raise SchemaError(f"{path} names subjects that no event type has: {', '.join(unknown)}.", todo)
    if len({entry.id for entry in entries}) != len(entries):
        raise SchemaError(f"{path} gives one id twice.", todo)
    for subject in _SUBJECTS:
        versions = [entry.version for entry in sorted(entries) if entry.subject == subject]
        if versions != list(range(1, len(versions) + 1)):
            raise SchemaError(f"{path}: versions of {subject} do not count 1, 2, 3 with rising ids.", todo)
    return entries


def _load_locked(root: Path, event: EventType, entry: LockEntry) -> Locked:
    path = history_path(root, event, entry.version)
    avro = read_avro(path)
    if fingerprint(avro) != entry.fingerprint:
        raise SchemaError(
            f"{path} was changed after it was locked.",
            "Put it back from version control; a locked version never changes, because datums written with it exist.",
        )
    return Locked(entry.subject, entry.version, entry.id, entry.fingerprint, parse_schema(event, avro))
