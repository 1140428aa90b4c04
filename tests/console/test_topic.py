import datetime as dt

import polars as pl
import pytest

from biokeel.batch import COORDINATES, ENVELOPE, PseudonymisedBatch
from biokeel.console.topic import MASK, pseudo_events, raw_events
from biokeel.contracts.blocks import split_blocks
from biokeel.contracts.catalogue import DirectoryCatalogue
from biokeel.contracts.codec import Codec
from biokeel.contracts.ids import encode_id
from biokeel.contracts.schema import Tag
from biokeel.contracts.topics import event_type
from biokeel.engine.kafka.newest import Message
from biokeel.settings import Settings
from biokeel.testing.events import random_frame
from tests.event_types import EVENTS
from tests.signing import KEYS, SIGNER

SLEEP = event_type("lifestyle.sleep")
RAW_SLEEP = SLEEP.raw_topic("demo-one")


@pytest.fixture(scope="module")
def catalogue():
    return DirectoryCatalogue(Settings().schemas_dir)


@pytest.mark.parametrize("event", EVENTS, ids=str)
def test_no_field_of_a_raw_event_that_may_identify_a_person_is_shown_and_none_of_a_person_event(catalogue, event):
    schema = catalogue.reader(event).schema
    frame = random_frame(schema, 5, seed=3)
    values = Codec(catalogue, 1 << 20).encode(event, frame)
    messages = [Message(0, 1, offset, value.as_py(), []) for offset, value in enumerate(values)]
    shown = list(raw_events(event.raw_topic("demo-one"), messages, catalogue, 1 << 20))
    assert [row["offset"] for row in shown] == list(range(5))
    told = {"source", "partition", "offset", "schema_id", "bytes"}
    open_fields = set() if event.is_person else {field.name for field in schema.fields if field.tag is Tag.NONE}
    assert {frozenset(row) for row in shown} == {frozenset(told | open_fields)}
    assert [row["bytes"] for row in shown] == [len(message.value) for message in messages]
    assert {row["schema_id"] for row in shown} == {catalogue.reader(event).id}
    assert event.is_person or {row["event_id"] for row in shown} == set(frame["event_id"])
    text = str(shown)
    assert not any(identifier in text for identifier in frame["subject_id"] if identifier)


def test_a_raw_event_whose_open_fields_hold_the_persons_own_identifier_shows_neither(catalogue):
    frame = random_frame(catalogue.reader(SLEEP).schema, 1, seed=3)
    leaking = frame.with_columns(subject_id=pl.lit("MRN-77310042"), event_id=pl.lit("of MRN-77310042"))
    (value,) = Codec(catalogue, 1 << 20).encode(SLEEP, leaking).to_pylist()
    (shown,) = raw_events(RAW_SLEEP, [Message(0, 1, 0, value, [])], catalogue, 1 << 20)
    assert shown["event_id"] == MASK
    assert "77310042" not in str(shown)


def test_a_message_that_does_not_decode_shows_its_reason_and_size_but_no_byte(catalogue):
    (shown,) = raw_events(RAW_SLEEP, [Message(0, 2, 9, b"900101-1234567", [])], catalogue, 1 << 20)
    assert shown == {
        "source": "demo-one",
        "partition": 2,
        "offset": 9,
        "schema_id": None,
        "bytes": 14,
        "rejected": "wire.not_framed",
    }


def test_the_rows_of_a_block_are_shown_one_by_one_with_the_participant_id_as_text():
    now = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    values = {
        "participant": [5, 7],
        "event_id": ["0" * 32, "1" * 32],
        "source_id": ["demo-one"] * 2,
        "occurred_at": [now, now],
        "stream": ["raw", "raw"],
        "raw_partition": [3, 3],
        "raw_offset": [10, 11],
        "first_partition": [3, 3],
        "first_offset": [10, 11],
    }
    schema = ENVELOPE | COORDINATES
    frame = pl.DataFrame({name: values.get(name, [None, None]) for name in schema}, schema=schema)
    (block,) = split_blocks(PseudonymisedBatch(SLEEP, frame), 1, "f" * 32, SIGNER)
    shown = list(pseudo_events(SLEEP, [Message(0, 0, 4, block.value, block.headers)], KEYS))
    assert [row["participant_id"] for row in shown] == [encode_id(5), encode_id(7)]
    assert [(row["pseudo_offset"], row["first_offset"]) for row in shown] == [(4, 10), (4, 11)]
    assert all("participant" not in row for row in shown)


def test_of_a_message_that_is_not_signed_only_why_and_its_size_are_shown():
    (shown,) = pseudo_events(SLEEP, [Message(0, 2, 9, b"900101-1234567", [("biokeel-format", b"3")])], KEYS)
    assert (shown["pseudo_partition"], shown["pseudo_offset"], shown["bytes"]) == (2, 9, 14)
    assert "not signed" in shown["left out"]
    assert "900101" not in str(shown)
