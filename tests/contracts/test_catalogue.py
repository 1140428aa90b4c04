"""The directory catalogue: ids come from a committed lock file, and nothing changes behind its back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from biokeel.contracts.catalogue import LOCK_FILE, DirectoryCatalogue, Registered, fingerprint, history_path, read_lock
from biokeel.contracts.lock import lock
from biokeel.contracts.schema import schema_path
from biokeel.contracts.topics import event_type
from biokeel.errors import SchemaError, UnknownSchema
from tests.event_types import EVENTS

SLEEP = event_type("lifestyle.sleep")


@pytest.fixture
def root(tmp_path: Path, schemas_root: Path) -> Path:
    return Path(shutil.copytree(schemas_root, tmp_path / "schemas"))


def edit(path: Path, **changes: object) -> dict:
    avro = json.loads(path.read_text("utf-8"))
    avro |= changes
    path.write_text(json.dumps(avro), encoding="utf-8")
    return avro


def test_every_event_type_has_a_reader_that_is_found_by_its_id_too(catalogue: DirectoryCatalogue) -> None:
    for event in EVENTS:
        reader = catalogue.reader(event)
        assert reader.subject == event.subject
        assert catalogue.by_id(reader.id) == Registered((event.subject,), reader.id, reader.schema.avro)
        assert catalogue.id_of(event) == reader.id
        assert reader in catalogue.versions(event)


def test_an_id_that_nobody_locked_is_unknown(catalogue: DirectoryCatalogue) -> None:
    with pytest.raises(UnknownSchema, match="99999"):
        catalogue.by_id(99_999)


def test_a_changed_schema_without_a_lock_entry_is_an_error_that_says_what_to_do(root: Path) -> None:
    edit(schema_path(root, SLEEP), doc="Another doc.")
    with pytest.raises(SchemaError, match=r"sleep\.avsc.*biokeel schema lock"):
        DirectoryCatalogue(root)


def test_locking_keeps_old_versions_and_their_ids(root: Path) -> None:
    before = DirectoryCatalogue(root).reader(SLEEP)
    edit(schema_path(root, SLEEP), doc="Another doc.")
    (entry,) = lock(root)
    after = DirectoryCatalogue(root)
    assert after.by_id(before.id).avro == before.schema.avro
    assert after.reader(SLEEP).schema.doc == "Another doc."
    assert (after.reader(SLEEP).version, after.reader(SLEEP).id) == (before.version + 1, entry.id)
    assert [registered.version for registered in after.versions(SLEEP)] == [*range(1, before.version + 2)]


def test_locking_twice_changes_nothing(root: Path) -> None:
    text = (root / LOCK_FILE).read_text("utf-8")
    assert lock(root) == []
    assert (root / LOCK_FILE).read_text("utf-8") == text


def test_a_process_that_died_before_the_lock_file_was_replaced_locks_the_same_again(root: Path) -> None:
    text = (root / LOCK_FILE).read_text("utf-8")
    edit(schema_path(root, SLEEP), doc="Another doc.")
    first = lock(root)
    (root / LOCK_FILE).write_text(text, encoding="utf-8")
    assert lock(root) == first
    DirectoryCatalogue(root)


def test_an_empty_directory_of_locks_starts_with_version_and_id_one(root: Path) -> None:
    (root / LOCK_FILE).unlink()
    entries = lock(root)
    assert [entry.id for entry in entries] == list(range(1, len(EVENTS) + 1))
    assert {entry.version for entry in entries} == {1}


@pytest.mark.parametrize("harm", ["edited", "gone"])
def test_a_locked_version_that_was_touched_is_an_error(root: Path, harm: str) -> None:
    path = history_path(root, SLEEP, 1)
    if harm == "edited":
        edit(path, doc="Another doc.")
    else:
        path.unlink()
    with pytest.raises(SchemaError, match=r"1\.avsc"):
        DirectoryCatalogue(root)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda lock: lock["schemas"].append(lock["schemas"][0]),
        lambda lock: lock["schemas"][3].update(subject="raw.clinical.nothing-value"),
        lambda lock: lock["schemas"][3].update(version=2),
        lambda lock: lock["schemas"][3].pop("id"),
        lambda lock: lock.pop("schemas"),
    ],
    ids=["id twice", "unknown subject", "version missing", "no id", "no list"],
)
def test_a_broken_lock_file_is_an_error_that_names_it(root: Path, spoil: object) -> None:
    content = json.loads((root / LOCK_FILE).read_text("utf-8"))
    spoil(content)
    (root / LOCK_FILE).write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(SchemaError, match="lock"):
        read_lock(root)


def test_the_fingerprint_ignores_layout_and_sees_docs_and_tags() -> None:
    avro = {"type": "record", "name": "X", "fields": [{"name": "a", "type": "int", "doc": "d", "unit": "s"}]}
    turned = json.loads(json.dumps(avro, indent=3, sort_keys=True))
    assert fingerprint(avro) == fingerprint(turned)
    turned["fields"][0]["doc"] = "e"
    assert fingerprint(avro) != fingerprint(turned)
