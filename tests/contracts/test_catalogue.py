"""The directory catalogue: ids come from a committed lock file, and nothing changes behind its back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from biokeel.contracts.catalogue import (
    LOCK_FILE,
    DirectoryCatalogue,
    Registered,
    Schemas,
    fingerprint,
    history_path,
    landed_events,
    locked_events,
    read_lock,
)
from biokeel.contracts.lock import lock
from biokeel.contracts.schema import event_types, schema_path
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


WAIST = event_type("clinical.waist")


def put_waist(root: Path) -> None:
    """A schema of an event type that is not there yet."""
    avro = json.loads(schema_path(root, event_type("clinical.vital_sign")).read_text("utf-8"))
    schema_path(root, WAIST).write_text(json.dumps(avro | {"name": "Waist", "doc": "One waist."}), encoding="utf-8")


def test_an_event_type_is_there_once_it_is_locked_and_a_running_process_takes_it_up(root: Path) -> None:
    running = DirectoryCatalogue(root)
    put_waist(root)
    assert running.events() == DirectoryCatalogue(root).events() == EVENTS, "a draft is nothing yet"
    with pytest.raises(UnknownSchema, match=r"clinical\.waist"):
        running.reader(WAIST)
    (entry,) = lock(root)
    assert running.by_id(entry.id).subjects == (WAIST.subject,)
    assert running.events() == (*EVENTS, WAIST) == locked_events(root)
    assert running.reader(WAIST).schema.doc == "One waist."
    assert Schemas(running, landed=True).keys() == set(landed_events(root))


def test_a_newer_version_of_an_event_type_is_not_taken_up_while_the_process_lives(root: Path) -> None:
    running = DirectoryCatalogue(root)
    before = running.reader(SLEEP)
    edit(schema_path(root, SLEEP), doc="Another doc.")
    put_waist(root)
    lock(root)
    assert WAIST in running.events()
    assert running.reader(SLEEP) == before


@pytest.mark.parametrize(
    "harm", [lambda root: (root / LOCK_FILE).write_text("{"), lambda root: (root / LOCK_FILE).unlink()]
)
def test_a_lock_file_that_breaks_while_the_process_lives_changes_nothing_and_is_told_once(
    root: Path, harm: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    running = DirectoryCatalogue(root)
    harm(root)
    for _ in range(3):
        assert running.events() == EVENTS
    assert len(caplog.records) == 1
    assert LOCK_FILE in caplog.text


def test_an_event_type_whose_locked_text_is_gone_is_not_taken_up(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    running = DirectoryCatalogue(root)
    put_waist(root)
    lock(root)
    history_path(root, WAIST, 1).unlink()
    assert running.events() == EVENTS
    assert "1.avsc" in caplog.text


def test_a_catalogue_without_a_person_event_does_not_open(root: Path) -> None:
    content = json.loads((root / LOCK_FILE).read_text("utf-8"))
    content["schemas"] = [each for each in content["schemas"] if "person.merge" not in each["subject"]]
    (root / LOCK_FILE).write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(SchemaError, match=r"lacks person\.merge"):
        DirectoryCatalogue(root)


@pytest.mark.parametrize("name", ["Waist", "waist-line", "1waist", "w.aist", "w" * 61])
def test_a_schema_file_that_is_named_after_no_event_type_is_an_error(root: Path, name: str) -> None:
    (root / "clinical" / f"{name}.avsc").write_text("{}")
    with pytest.raises(SchemaError, match="a-z"):
        event_types(root)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "clinical",
        "clinical.",
        ".glucose",
        "dental.caries",
        "clinical.Glucose",
        "clinical.a.b",
        "person.birth",
        "person.*",
    ],
)
def test_a_text_that_can_be_no_event_type_is_none(text: str) -> None:
    with pytest.raises(KeyError):
        event_type(text)
