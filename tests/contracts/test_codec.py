"""The codec: every valid event comes back as it was, whatever wrote it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import fastavro
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from biokeel.batch import RawBatch, RawPartition
from biokeel.contracts.catalogue import Catalogue, DirectoryCatalogue
from biokeel.contracts.codec import Codec
from biokeel.contracts.columns import frame_schema
from biokeel.contracts.datum import DatumWire
from biokeel.contracts.framing import frame as frame_bytes
from biokeel.contracts.topics import EventType
from biokeel.contracts.wire import fits
from biokeel.errors import ContractError
from biokeel.testing.events import frames, random_frame, raw_batch
from tests.contracts.made_schemas import FAST_TYPES, GLUCOSE, SLOW_TYPES, TIMESTAMP, Versions, avro, field, typed
from tests.event_types import EVENTS

QUICK = settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
LIMIT = 1 << 20
by_event = pytest.mark.parametrize("event", EVENTS, ids=str)


def assert_round_trip(codec: Codec, event: EventType, frame: pl.DataFrame) -> None:
    batch = raw_batch(codec, event, frame, partition=3, first_offset=100)
    outcome = codec.decode(batch)
    assert outcome.rejected == []
    assert_frame_equal(outcome.accepted.frame, frame)
    assert outcome.accepted.raw == batch
    assert set(batch.partitions.tolist()) <= {3}
    assert batch.offsets.tolist() == list(range(100, 100 + frame.height))


def fastavro_datums(catalogue: Catalogue, event: EventType, frame: pl.DataFrame) -> pa.BinaryArray:
    registered = catalogue.reader(event)
    wire = DatumWire(registered.schema.avro, registered.schema.avro, registered.id)
    return wire.encode(frame.to_arrow(compat_level=pl.CompatLevel.newest()))


@by_event
def test_what_is_encoded_decodes_to_the_same_rows_and_is_byte_for_byte_what_fastavro_writes(
    codec: Codec, catalogue: DirectoryCatalogue, event: EventType
) -> None:
    @QUICK
    @given(frames(catalogue.reader(event).schema, min_rows=1))
    def law(frame: pl.DataFrame) -> None:
        assert codec.encode(event, frame).equals(fastavro_datums(catalogue, event, frame))
        assert_round_trip(codec, event, frame)

    law()


@pytest.mark.parametrize(("types", "fast"), [(FAST_TYPES, True), (SLOW_TYPES, False)], ids=["fast", "general"])
@QUICK
@given(data=st.data())
def test_every_avro_type_that_a_column_can_hold_round_trips(types: dict, fast: bool, data: st.DataObject) -> None:
    catalogue = Versions(typed(types))
    schema = catalogue.reader(GLUCOSE).schema
    assert fits(schema.avro) is fast
    assert_round_trip(Codec(catalogue, LIMIT), GLUCOSE, data.draw(frames(schema)))


@QUICK
@given(data=st.data(), schema_id=st.integers(0, 2**32 - 1))
def test_any_schema_id_stands_in_the_frame_as_it_is(data: st.DataObject, schema_id: int) -> None:
    catalogue = Versions(avro(field("value", "double")), first_id=schema_id)
    codec = Codec(catalogue, LIMIT)
    frame = data.draw(frames(catalogue.reader(GLUCOSE).schema, min_rows=1))
    assert codec.encode(GLUCOSE, frame)[0].as_py()[:5] == frame_bytes(schema_id)
    assert_round_trip(codec, GLUCOSE, frame)


@by_event
def test_a_whole_micro_batch_round_trips(codec: Codec, catalogue: DirectoryCatalogue, event: EventType) -> None:
    assert_round_trip(codec, event, random_frame(catalogue.reader(event).schema, 5_000))


def test_random_events_are_the_same_for_the_same_seed_only(catalogue: DirectoryCatalogue) -> None:
    schema = catalogue.reader(GLUCOSE).schema
    assert random_frame(schema, 50, seed=1).equals(random_frame(schema, 50, seed=1))
    assert not random_frame(schema, 50, seed=1).equals(random_frame(schema, 50, seed=2))


OLD = avro(
    field("renamed_since", "int"),
    field("widened", "int"),
    field("to_double", ["null", "float"]),
    field("dropped_since", "string"),
    field("loosened", "string"),
    field("an_enum", {"type": "enum", "name": "Few", "symbols": ["A", "B"]}),
)
NEW = avro(
    field("loosened", ["null", "string"], default=None),
    field("widened", "long"),
    field("to_double", ["null", "double"], default=None),
    field("new_number", "double", default=1.5),
    field("new_text", ["null", "string"], default=None),
    field("renamed", "long", aliases=["renamed_since"]),
    field("an_enum", {"type": "enum", "name": "Few", "symbols": ["A", "B"]}),
)
NEWEST_DEEP = avro(
    *NEW["fields"][7:],
    field("parts", {"type": "array", "items": "string"}, default=["x"]),
    field("when", TIMESTAMP, default=0),
)


@pytest.mark.parametrize("newest", [NEW, NEWEST_DEEP], ids=["by columns", "general way"])
@QUICK
@given(data=st.data())
def test_versions_mix_in_a_batch_and_read_as_fastavro_resolves_them(newest: dict, data: st.DataObject) -> None:
    catalogue = Versions(OLD, newest)
    old, new = (
        raw_batch(Codec(catalogue.upto(version), LIMIT), GLUCOSE, data.draw(frames(registered.schema, min_rows=1)))
        for version, registered in enumerate(catalogue.registered, 1)
    )
    shuffled = data.draw(st.permutations([*old.values, *new.values]))
    batch = RawBatch.of(GLUCOSE, [(RawPartition("demo-one", 0), np.arange(len(shuffled)), shuffled)])
    outcome = Codec(catalogue, LIMIT).decode(batch)
    assert outcome.rejected == []
    assert_frame_equal(outcome.accepted.frame, _resolved_by_fastavro(catalogue, shuffled))


def _resolved_by_fastavro(catalogue: Versions, datums: list[bytes]) -> pl.DataFrame:
    reader = catalogue.registered[-1].schema.avro
    frames = []
    for datum in datums:
        writer = catalogue.by_id(int.from_bytes(datum[1:5], "big")).avro
        table, rows, bad = DatumWire(writer, reader, 0).decode([datum])
        assert (rows, bad) == ([0], [])
        frames.append(pl.from_arrow(table))
    return pl.concat(frames)


def test_longer_encodings_of_the_same_values_are_valid() -> None:
    catalogue = Versions(avro(field("texts", {"type": "array", "items": "string"}), field("count", "int")))
    codec = Codec(catalogue, LIMIT)
    frame = random_frame(catalogue.reader(GLUCOSE).schema, 3).with_columns(
        texts=pl.Series([["a", "b"]] * 3), count=pl.Series([1] * 3, dtype=pl.Int32)
    )
    plain = codec.encode(GLUCOSE, frame).to_pylist()
    tail = b"\x04\x02a\x02b\x00\x02"
    assert all(datum.endswith(tail) for datum in plain)
    blocks_with_sizes = plain[1][: -len(tail)] + b"\x01\x04\x02a\x01\x04\x02b\x00\x02"
    padded_number = plain[2][:-1] + b"\x82\x80\x00"
    outcome = codec.decode(
        RawBatch.of(
            GLUCOSE, [(RawPartition("demo-one", 0), np.arange(3), [plain[0], blocks_with_sizes, padded_number])]
        )
    )
    assert outcome.rejected == []
    assert_frame_equal(outcome.accepted.frame, frame)


def test_what_does_not_decode_is_named_by_its_own_partition_and_what_does_keeps_its_place(
    codec: Codec, catalogue: DirectoryCatalogue
) -> None:
    frame = random_frame(catalogue.reader(GLUCOSE).schema, 4)
    datums = codec.encode(GLUCOSE, frame).to_pylist()
    one, other = RawPartition("demo-one", 5), RawPartition("app-a", 5)
    parts = [(one, np.array([7, 9]), [datums[0], b"junk"]), (other, np.array([7, 8, 9]), [None, *datums[2:]])]
    outcome = codec.decode(RawBatch.of(GLUCOSE, parts))
    assert [rejection.at for rejection in outcome.rejected] == [(*one, 9), (*other, 7)]
    raw = outcome.accepted.raw
    assert [raw.at(row) for row in range(3)] == [(*one, 7), (*other, 8), (*other, 9)]
    assert list(raw.sources) == ["demo-one", "app-a", "app-a"]
    assert list(raw.values) == [datums[0], *datums[2:]]
    assert_frame_equal(outcome.accepted.frame, frame[[0, 2, 3]])


@by_event
def test_an_empty_batch_has_the_columns_of_the_event(
    codec: Codec, catalogue: DirectoryCatalogue, event: EventType
) -> None:
    empty = codec.decode(RawBatch.of(event, [(RawPartition("demo-one", 0), np.arange(0), [])])).accepted
    assert dict(empty.frame.schema) == frame_schema(catalogue.reader(event).schema.avro)
    assert len(empty) == 0
    assert len(codec.encode(event, empty.frame)) == 0


def test_a_batch_of_nothing_but_bad_messages_has_no_rows(codec: Codec) -> None:
    outcome = codec.decode(RawBatch.of(GLUCOSE, [(RawPartition("demo-one", 0), np.arange(3), [None, b"", b"x"])]))
    assert len(outcome.accepted) == 0
    assert [rejection.at.offset for rejection in outcome.rejected] == [0, 1, 2]


def test_a_column_with_a_default_may_be_missing_and_order_does_not_matter(
    codec: Codec, catalogue: DirectoryCatalogue
) -> None:
    registered = catalogue.reader(GLUCOSE)
    frame = random_frame(registered.schema, 10)
    optional = [field["name"] for field in registered.schema.avro["fields"] if "default" in field]
    batch = raw_batch(codec, GLUCOSE, frame.drop(optional).select(reversed(frame.drop(optional).columns)))
    decoded = codec.decode(batch).accepted.frame
    assert decoded.columns == frame.columns
    assert_frame_equal(decoded.drop(optional), frame.drop(optional))
    assert all(decoded[name].null_count() == 10 for name in optional)


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (lambda frame: frame.drop("event_id"), "event_id"),
        (lambda frame: frame.with_columns(shoe_size=pl.lit(43)), "shoe_size"),
        (lambda frame: frame.with_columns(event_id=pl.lit(None, dtype=pl.String)), "event_id"),
        (lambda frame: frame.with_columns(occurred_at=pl.lit(5)), "occurred_at"),
    ],
    ids=["missing", "unknown", "null", "type"],
)
def test_a_frame_that_does_not_fit_is_refused_by_the_name_of_its_column(
    codec: Codec, catalogue: DirectoryCatalogue, spoil: object, word: str
) -> None:
    frame = random_frame(catalogue.reader(GLUCOSE).schema, 3)
    with pytest.raises(ContractError, match=word):
        codec.encode(GLUCOSE, spoil(frame))


def test_a_value_outside_an_enum_is_refused() -> None:
    catalogue = Versions(avro(field("an_enum", {"type": "enum", "name": "Few", "symbols": ["A", "B"]})))
    frame = random_frame(catalogue.reader(GLUCOSE).schema, 2).with_columns(an_enum=pl.lit("secret"))
    with pytest.raises(ContractError) as raised:
        Codec(catalogue, LIMIT).encode(GLUCOSE, frame)
    assert "secret" not in str(raised.value)


def test_datums_of_other_writers_are_read(codec: Codec, catalogue: DirectoryCatalogue) -> None:
    registered = catalogue.reader(GLUCOSE)
    frame = random_frame(registered.schema, 4)
    schema = fastavro.parse_schema(dict(registered.schema.avro))
    datums = []
    for record in frame.to_dicts():
        buffer = io.BytesIO()
        fastavro.schemaless_writer(buffer, schema, record)
        datums.append(frame_bytes(registered.id) + buffer.getvalue())
    outcome = codec.decode(RawBatch.of(GLUCOSE, [(RawPartition("demo-one", 0), np.arange(4), datums)]))
    assert_frame_equal(outcome.accepted.frame, frame)


def test_the_schemas_of_a_running_health_platform_round_trip(shared_data: Path) -> None:
    folder = shared_data / "avro/radar-schemas/commons/connector/fitbit"
    in_one_file = [file for file in sorted(folder.glob("*.avsc")) if '"FitbitSource"' not in file.read_text("utf-8")]
    assert len(in_one_file) > 10
    fast = 0
    for file in in_one_file:
        theirs = json.loads(file.read_text("utf-8"))["fields"]
        catalogue = Versions(avro(*(field(item["name"], item["type"]) for item in theirs)))
        schema = catalogue.reader(GLUCOSE).schema
        fast += fits(schema.avro)
        assert_round_trip(Codec(catalogue, LIMIT), GLUCOSE, random_frame(schema, 50))
    assert fast > 10
