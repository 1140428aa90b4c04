"""The registry's ids, with the real client against a small server that answers as a registry does.

Any client may register there, so what a registration can do is tested from both sides: the datums written with it, and
everything else.
"""

from __future__ import annotations

import copy
import io
import json
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import fastavro
import numpy as np
import polars as pl
import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient, header_schema_id_serializer
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from polars.testing import assert_frame_equal
from typer.testing import CliRunner

from biokeel import cli
from biokeel.batch import RawBatch, RawPartition
from biokeel.contracts.catalogue import DirectoryCatalogue
from biokeel.contracts.codec import Codec
from biokeel.contracts.framing import frame as frame_bytes
from biokeel.contracts.registry import RegistryCatalogue, open_catalogue
from biokeel.contracts.topics import event_type
from biokeel.errors import ContractError, RegistryUnavailable, UnknownSchema
from biokeel.reasons import Reason
from biokeel.testing.events import random_frame
from tests.contracts.registry_server import Registry

EVENT = event_type("clinical.glucose")
NAME = "Gil-dong Hong"
LIMIT = 1 << 20


@pytest.fixture
def registry(catalogue: DirectoryCatalogue) -> Iterator[Registry]:
    with Registry(catalogue, EVENT) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def now() -> list[float]:
    return [1000.0]


@pytest.fixture
def ours(registry: Registry, catalogue: DirectoryCatalogue, now: list[float]) -> RegistryCatalogue:
    return RegistryCatalogue({"url": registry.url, "max.retries": 0}, catalogue, clock=lambda: now[0])


def newer(catalogue: DirectoryCatalogue, *fields: dict[str, Any], plain: bool = False) -> dict[str, Any]:
    """What a client registers after ours: our fields, and `fields`; `plain` without any doc, unit or tag of ours."""
    avro = copy.deepcopy(dict(catalogue.reader(EVENT).schema.avro))
    avro["fields"] += fields
    if plain:
        avro["fields"] = [
            {key: part for key, part in field.items() if key in ("name", "type", "default")} for field in avro["fields"]
        ]
    return avro


def written(avro: dict[str, Any], schema_id: int, catalogue: DirectoryCatalogue, **more: Any) -> bytes:
    """One event as a client writes it with its own schema."""
    row = random_frame(catalogue.reader(EVENT).schema, 1).row(0, named=True)
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, fastavro.parse_schema(avro), row | more)
    return frame_bytes(schema_id) + buffer.getvalue()


def decode(codec: Codec, *datums: bytes):
    return codec.decode(RawBatch.of(EVENT, [(RawPartition("demo-one", 0), np.arange(len(datums)), list(datums))]))


def test_events_are_read_into_the_locked_schema_and_written_under_the_registrys_id_for_it(
    ours: RegistryCatalogue, catalogue: DirectoryCatalogue, registry: Registry
) -> None:
    assert ours.reader(EVENT) == catalogue.reader(EVENT)
    assert registry.asked == 0
    ids = [item.id for item in registry.stored]
    assert ours.id_of(EVENT) == ids[-1] != catalogue.reader(EVENT).id
    rows = random_frame(catalogue.reader(EVENT).schema, 5)
    codec = Codec(ours, LIMIT)
    datums = codec.encode(EVENT, rows).to_pylist()
    assert {datum[:5] for datum in datums} == {frame_bytes(ids[-1])}
    assert_frame_equal(decode(codec, *datums).accepted.frame, rows)
    assert ours.by_id(ids[0]).avro == catalogue.versions(EVENT)[0].schema.avro


@pytest.mark.parametrize("plain", [False, True], ids=["tagged NONE", "without doc or tag"])
def test_a_field_that_only_the_registry_knows_goes_nowhere_whatever_its_tag_says(
    ours: RegistryCatalogue, catalogue: DirectoryCatalogue, registry: Registry, plain: bool
) -> None:
    name = {"name": "patient_name", "type": "string", "doc": "A name.", "confluent:tags": ["NONE"]}
    avro = newer(catalogue, name, plain=plain)
    schema_id = registry.take(EVENT.subject, json.dumps(avro))
    outcome = decode(Codec(ours, LIMIT), written(avro, schema_id, catalogue, patient_name=NAME))
    assert outcome.rejected == []
    assert outcome.accepted.frame.columns == [field.name for field in catalogue.reader(EVENT).schema.fields]
    assert NAME not in str(outcome.accepted.frame.rows())


def test_no_registration_changes_what_is_read_kept_or_published(
    ours: RegistryCatalogue, catalogue: DirectoryCatalogue, registry: Registry, now: list[float]
) -> None:
    schema_id = ours.id_of(EVENT)
    weak = newer(catalogue)
    for field in weak["fields"]:
        field["confluent:tags"] = ["NONE"]
    registry.take(EVENT.subject, json.dumps(weak))
    registry.take(EVENT.subject, "no schema at all")
    now[0] += 3600
    restarted = open_catalogue_of(registry, catalogue)
    for each in (ours, restarted):
        assert each.reader(EVENT) == catalogue.reader(EVENT)
        assert each.id_of(EVENT) == schema_id


def open_catalogue_of(registry: Registry, catalogue: DirectoryCatalogue) -> RegistryCatalogue:
    return RegistryCatalogue({"url": registry.url, "max.retries": 0}, catalogue)


TREE = {"type": "record", "name": "Tree", "fields": [{"name": "below", "type": {"type": "array", "items": "Tree"}}]}


def nested(depth: int) -> Any:
    return {"type": "array", "items": nested(depth - 1) if depth else "string"}


def with_field(kind: Any) -> Callable[[dict[str, Any]], object]:
    return lambda avro: avro["fields"].append({"name": "extra", "type": kind})


def with_part(name: str, **parts: Any) -> Callable[[dict[str, Any]], object]:
    return lambda avro: next(field for field in avro["fields"] if field["name"] == name).update(parts)


UNUSABLE: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "no text": (lambda _: "", "no Avro"),
    "no JSON": (lambda _: "{", "no Avro"),
    "null": (lambda _: "null", "no Avro"),
    "a type that nobody knows": (with_field("Unheard"), "no Avro"),
    "a type of another file": (with_field("kr.hospital.Person"), "no Avro"),
    "a JSON schema": (lambda _: '{"type": "object", "properties": {}}', "no Avro"),
    "fields that are no list": (lambda avro: avro.update(fields={"a": 1}), "no Avro"),
    "a field without type": (lambda avro: avro["fields"].append({"name": "extra"}), "no Avro"),
    "a field twice": (lambda avro: avro["fields"].append(avro["fields"][0]), "a field twice"),
    "an enum without symbols": (with_field({"type": "enum", "name": "E"}), "no Avro"),
    "deep types": (with_field(nested(300)), "too deep"),
    "deeper than can be read": (lambda _: "[" * 100_000, "no Avro"),
    "no record": (lambda _: '"string"', "no record"),
    "another record": (lambda avro: avro.update(name="Other"), "another name"),
    "a type inside itself": (with_field(TREE), "holds itself"),
    "values of no bytes": (with_field({"type": "array", "items": "null"}), "no bytes"),
    "records of nothing": (
        with_field({"type": "array", "items": {"type": "record", "name": "N", "fields": []}}),
        "no bytes",
    ),
    "fixed of no bytes": (
        with_field({"type": "array", "items": {"type": "fixed", "name": "F", "size": 0}}),
        "no bytes",
    ),
    "no event_id": (lambda avro: avro["fields"].pop(0), "event_id is missing"),
    "no time": (
        lambda avro: avro.update(fields=[each for each in avro["fields"] if each["name"] != "occurred_at"]),
        "occurred_at is missing",
    ),
    "a number as text": (with_part("value", type=["null", "string"]), "value has another type"),
    "microseconds": (
        with_part("occurred_at", type={"type": "long", "logicalType": "timestamp-micros"}),
        "occurred_at has another type",
    ),
    "another unit": (with_part("occurred_at", unit="s"), "occurred_at has another unit"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_a_schema_that_no_event_can_be_read_with_seals_its_own_events_by_name_and_no_other(
    ours: RegistryCatalogue, catalogue: DirectoryCatalogue, registry: Registry, case: str
) -> None:
    spoil, what = UNUSABLE[case]
    avro = newer(catalogue)
    text = spoil(avro)
    schema_id = registry.take(EVENT.subject, text if isinstance(text, str) else json.dumps(avro))
    codec = Codec(ours, LIMIT)
    good = codec.encode(EVENT, random_frame(catalogue.reader(EVENT).schema, 2)).to_pylist()
    bad = frame_bytes(schema_id) + good[0][5:]
    for _ in range(2):
        outcome = decode(codec, good[0], bad, good[1])
        assert [(each.at.offset, each.reason) for each in outcome.rejected] == [(1, Reason.UNUSABLE_SCHEMA)]
        assert outcome.rejected[0].detail.startswith(f"schema id {schema_id}: ")
        assert what in outcome.rejected[0].detail
        assert len(outcome.accepted) == 2


def test_the_detail_of_an_unusable_schema_names_nothing_of_it(
    ours: RegistryCatalogue, catalogue: DirectoryCatalogue, registry: Registry
) -> None:
    avro = newer(catalogue, {"name": "Gildong", "type": "GildongHong"})
    schema_id = registry.take(EVENT.subject, json.dumps(avro))
    (rejected,) = decode(Codec(ours, LIMIT), frame_bytes(schema_id) + b"x").rejected
    assert "ildong" not in rejected.detail


@pytest.mark.parametrize(
    "kind",
    [
        nested(25),
        ["null", "string", "int"],
        {"type": "map", "values": {"type": "array", "items": ["null", "bytes"]}},
        {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
        {"type": "string", "logicalType": "of-their-own"},
        {"type": "enum", "name": "E", "symbols": ["A"], "default": "A"},
    ],
    ids=["deep", "union", "nested", "decimal", "own logical type", "enum"],
)
def test_a_further_field_of_any_type_is_read_over(
    ours: RegistryCatalogue, catalogue: DirectoryCatalogue, registry: Registry, kind: Any
) -> None:
    values: dict[str, Any] = {"enum": "A", "bytes": Decimal("1.50"), "string": "x", "map": {}, "array": []}
    value = None if isinstance(kind, list) else values[kind["type"]]
    avro = newer(catalogue, {"name": "extra", "type": kind}, plain=True)
    schema_id = registry.take(EVENT.subject, json.dumps(avro))
    outcome = decode(Codec(ours, LIMIT), written(avro, schema_id, catalogue, extra=value))
    assert (len(outcome.accepted), outcome.rejected) == (1, [])


def test_a_schema_that_stands_under_a_subject_of_ours_too_by_mistake_is_still_that_of_its_event(
    ours: RegistryCatalogue, catalogue: DirectoryCatalogue, registry: Registry
) -> None:
    registry.take(event_type("clinical.blood_pressure").subject, catalogue.reader(EVENT).schema.text)
    codec = Codec(ours, LIMIT)
    rows = random_frame(catalogue.reader(EVENT).schema, 1)
    assert decode(codec, *codec.encode(EVENT, rows).to_pylist()).rejected == []


def test_a_schema_of_another_event_and_one_of_nobody_we_know_are_told_apart(
    ours: RegistryCatalogue, catalogue: DirectoryCatalogue, registry: Registry
) -> None:
    sleep = event_type("lifestyle.sleep")
    other = registry.take(sleep.subject, catalogue.reader(sleep).schema.text)
    foreign = registry.take("payroll-value", '"string"')
    outcome = decode(Codec(ours, LIMIT), frame_bytes(other), frame_bytes(foreign))
    assert [each.reason for each in outcome.rejected] == [Reason.WRONG_SUBJECT, Reason.UNKNOWN_SCHEMA]


def test_confluents_serializer_that_puts_the_id_into_a_header_is_told_that_nobody_reads_it_there(
    catalogue: DirectoryCatalogue, registry: Registry
) -> None:
    writer = catalogue.reader(EVENT).schema
    own = {
        "auto.register.schemas": False,
        "subject.name.strategy": lambda _context, _record: EVENT.subject,  # one subject for the topics of all sources
        "schema.id.serializer": header_schema_id_serializer,
    }
    serializer = AvroSerializer(SchemaRegistryClient({"url": registry.url}), writer.text, conf=own)
    row = random_frame(writer, 1).with_columns(pl.lit("0f" * 16).alias("event_id")).row(0, named=True)
    context = SerializationContext(EVENT.raw_topic("hospital-a"), MessageField.VALUE, headers=[])
    value = serializer(row, context)
    ((name, guid),) = context.headers
    assert (name, guid[0], len(guid)) == ("__value_schema_id", 1, 17)
    batch = RawBatch.of(EVENT, [(RawPartition("hospital-a", 0), np.arange(2), [value, b"{}"])])
    bare, other = Codec(catalogue, 1 << 20).decode(batch).rejected
    assert (bare.reason, other.reason) == (Reason.NOT_FRAMED, Reason.NOT_FRAMED)
    assert "a schema id in a header (__value_schema_id) is not read" in bare.detail
    assert other.detail == "no frame at byte 0"


def test_a_known_id_is_asked_for_once(ours: RegistryCatalogue, registry: Registry) -> None:
    ours.by_id(registry.stored[0].id)
    asked = registry.asked
    ours.by_id(registry.stored[0].id)
    assert registry.asked == asked


def test_an_unknown_id_is_asked_about_again_after_a_minute(
    ours: RegistryCatalogue, registry: Registry, now: list[float]
) -> None:
    registered = registry.stored.pop()
    for _ in range(2):
        with pytest.raises(UnknownSchema):
            ours.by_id(registered.id)
    assert registry.asked == 1
    registry.stored.append(registered)
    now[0] += 61
    assert ours.by_id(registered.id).avro == json.loads(registered.text)


def test_what_is_not_registered_cannot_be_published_and_the_error_says_how_to_mend_that(
    ours: RegistryCatalogue, catalogue: DirectoryCatalogue
) -> None:
    sleep = event_type("lifestyle.sleep")
    with pytest.raises(UnknownSchema, match=r"lifestyle\.sleep.*biokeel schema register"):
        Codec(ours, LIMIT).encode(sleep, random_frame(catalogue.reader(sleep).schema, 1))


def test_registering_puts_every_locked_version_there_and_a_second_time_changes_nothing(
    catalogue: DirectoryCatalogue, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BIOKEEL_SCHEMA_REGISTRY_URL", registry.url)
    first = CliRunner().invoke(cli.build(), ["schema", "register"])
    stored = list(registry.stored)
    assert first.exit_code == 0
    assert CliRunner().invoke(cli.build(), ["schema", "register"]).output == first.output
    assert registry.stored == stored
    sleep = event_type("lifestyle.sleep")
    assert f"has id {open_catalogue_of(registry, catalogue).id_of(sleep)}" in first.output


def test_a_registry_that_refuses_a_schema_is_named_with_its_answer(
    ours: RegistryCatalogue, catalogue: DirectoryCatalogue, registry: Registry
) -> None:
    registry.refusing = True
    with pytest.raises(ContractError, match="HTTP 409"):
        ours.register(catalogue.reader(EVENT))


def test_a_registry_that_is_down_is_no_reason_to_reject_events(ours: RegistryCatalogue, registry: Registry) -> None:
    registry.down = True
    with pytest.raises(RegistryUnavailable, match="HTTP 500"):
        ours.by_id(1)
    with pytest.raises(RegistryUnavailable, match="HTTP 500"):
        decode(Codec(ours, LIMIT), frame_bytes(1) + b"x")


def test_what_is_known_goes_on_while_the_registry_is_down(
    ours: RegistryCatalogue, catalogue: DirectoryCatalogue, registry: Registry, now: list[float]
) -> None:
    codec = Codec(ours, LIMIT)
    datums = codec.encode(EVENT, random_frame(catalogue.reader(EVENT).schema, 2)).to_pylist()
    decode(codec, *datums)
    registry.down = True
    now[0] += 3600
    assert len(decode(codec, *datums).accepted) == 2


def test_a_server_that_is_not_there_is_away(catalogue: DirectoryCatalogue) -> None:
    gone = RegistryCatalogue({"url": "http://127.0.0.1:9", "max.retries": 0}, catalogue)
    with pytest.raises(RegistryUnavailable, match="does not answer"):
        gone.id_of(EVENT)


def test_a_setup_without_a_registry_has_the_ids_of_the_lock_file(
    schemas_root: Any, catalogue: DirectoryCatalogue
) -> None:
    assert open_catalogue(schemas_root).id_of(EVENT) == catalogue.reader(EVENT).id
    assert isinstance(open_catalogue(schemas_root, "http://127.0.0.1:9"), RegistryCatalogue)
