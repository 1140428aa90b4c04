"""Writing the lock file: giving a new schema version its number, its id and its place in the history."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from biokeel.contracts.catalogue import (
    LOCK_FILE,
    LockEntry,
    fingerprint,
    history_path,
    read_avro,
    read_lock,
)
from biokeel.contracts.schema import event_types, parse_schema, schema_path

if TYPE_CHECKING:
    from pathlib import Path

    from biokeel.contracts.topics import EventType

NOTE = "Written by `biokeel schema lock`; do not edit. Ids stand in the frames of stored events and never change."


def lock(root: Path) -> list[LockEntry]:
    """Lock every schema below `root` whose file differs from its newest locked version; the new entries.

    The texts are written before the lock file and the lock file is replaced in one step: if the process dies in
    between, the next run writes the same again. Raises `SchemaError` for a schema that cannot be read; whether a
    change is allowed is the evolution gate's question, to be asked first.
    """
    entries = read_lock(root) if (root / LOCK_FILE).exists() else []
    new: list[LockEntry] = []
    for event, avro in changed(root):
        version = 1 + sum(entry.subject == event.subject for entry in entries)
        next_id = 1 + max((entry.id for entry in (*entries, *new)), default=0)
        entry = LockEntry(next_id, event.subject, version, fingerprint(avro))
        text = history_path(root, event, entry.version)
        text.parent.mkdir(parents=True, exist_ok=True)
        text.write_text(json.dumps(avro, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
        new.append(entry)
    if new:
        _write(root, sorted([*entries, *new]))
    return new


def changed(root: Path) -> list[tuple[EventType, dict[str, Any]]]:
    """The event types whose schema file below `root` is not their newest locked version, with the file's schema."""
    entries = read_lock(root) if (root / LOCK_FILE).exists() else []
    newest = {entry.subject: entry.fingerprint for entry in sorted(entries)}
    found = []
    for event in event_types(root):
        avro = read_avro(schema_path(root, event))
        parse_schema(event, avro)
        if newest.get(event.subject) != fingerprint(avro):
            found.append((event, avro))
    return found


def _write(root: Path, entries: list[LockEntry]) -> None:
    schemas = [
        {"id": entry.id, "subject": entry.subject, "version": entry.version, "fingerprint": entry.fingerprint}
        for entry in entries
    ]
    draft = root / f"{LOCK_FILE}.new"
    draft.write_text(json.dumps({"note": NOTE, "schemas": schemas}, indent=2) + "\n", encoding="utf-8")
    draft.replace(root / LOCK_FILE)
