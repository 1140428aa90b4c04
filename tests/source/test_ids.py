from __future__ import annotations

import re
from pathlib import Path

import pytest

from biokeel.contracts.topics import event_type
from biokeel.errors import SourceError
from biokeel.source.ids import EventIds, source_key

GLUCOSE, SLEEP = event_type("clinical.glucose"), event_type("lifestyle.sleep")


def test_the_same_record_always_has_the_same_id_and_another_source_key_or_type_another() -> None:
    ids = EventIds("a", b"k")
    assert ids.of(GLUCOSE, "1") == EventIds("a", b"k").of(GLUCOSE, "1")
    others = [
        ids.of(GLUCOSE, "2"),
        ids.of(SLEEP, "1"),
        EventIds("b", b"k").of(GLUCOSE, "1"),
        EventIds("a", b"l").of(GLUCOSE, "1"),
    ]
    assert len({ids.of(GLUCOSE, "1"), *others}) == 5
    assert re.fullmatch("[0-9a-f]{32}", ids.of(GLUCOSE, "1"))


def test_the_key_file_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "source.key"
    key = source_key(path)
    assert len(key) == 32
    assert source_key(path) == key
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_broken_key_file_is_an_error_and_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "source.key"
    path.write_text("abc")
    with pytest.raises(SourceError, match="64 hexadecimal digits"):
        source_key(path)
    assert path.read_text() == "abc"


def test_many_ids_are_those_of_each() -> None:
    ids, event = EventIds("clinic", b"key"), event_type("clinical.glucose")
    keys = ["", "1", "a\x1fb", "환자"]
    assert ids.of_many(event, keys) == [ids.of(event, key) for key in keys]
