"""Schemas made for tests: the envelope with any fields behind it, in a catalogue of their own."""

from __future__ import annotations

from typing import Any

from biokeel.contracts.catalogue import Locked, Registered, fingerprint
from biokeel.contracts.schema import parse_schema
from biokeel.contracts.topics import EventType, event_type
from biokeel.errors import UnknownSchema

GLUCOSE = event_type("clinical.glucose")
TIMESTAMP = {"type": "long", "logicalType": "timestamp-millis"}
ENVELOPE = [
    ("event_id", "string"),
    ("source_id", "string"),
    ("subject_scheme", "string"),
    ("subject_id", "string"),
    ("occurred_at", TIMESTAMP),
    ("occurred_offset_minutes", ["null", "int"]),
    ("recorded_at", TIMESTAMP),
]

FAST_TYPES = {
    "an_int": "int",
    "a_long": ["null", "long"],
    "a_float": "float",
    "a_flag": ["null", "boolean"],
    "a_date": ["null", {"type": "int", "logicalType": "date"}],
    "a_micro": {"type": "long", "logicalType": "timestamp-micros"},
    "an_enum": {"type": "enum", "name": "Colour", "symbols": ["RED", "GREEN"]},
    "a_long_enum": {"type": "enum", "name": "Many", "symbols": [f"S{number}" for number in range(70)]},
    "null_last": ["string", "null"],
    "texts": {"type": "array", "items": "string"},
    "maybe_texts": ["null", {"type": "array", "items": ["null", "string"]}],
    "a_map": {"type": "map", "values": "long"},
    "records": {
        "type": "array",
        "items": {
            "type": "record",
            "name": "Part",
            "fields": [{"name": "code", "type": "string"}, {"name": "at", "type": ["null", TIMESTAMP]}],
        },
    },
}
"""What pyruhvro reads and writes."""

SLOW_TYPES = {
    "bytes": ["null", "bytes"],
    "fixed": {"type": "fixed", "name": "Sha", "size": 4},
    "decimal": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
    "uuid": {"type": "string", "logicalType": "uuid"},
    "time": ["null", {"type": "int", "logicalType": "time-millis"}],
    "micro_time": {"type": "long", "logicalType": "time-micros"},
    "local": {"type": "long", "logicalType": "local-timestamp-millis"},
    "map_of_bytes": {"type": "map", "values": "bytes"},
    "records": {
        "type": "array",
        "items": {
            "type": "record",
            "name": "Piece",
            "fields": [
                {"name": "sum", "type": "bytes"},
                {"name": "on", "type": {"type": "int", "logicalType": "date"}},
            ],
        },
    },
}
"""What only the general way reads and writes."""


def field(name: str, kind: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, "doc": "For a test.", "confluent:tags": ["NONE"], **more}


def avro(*fields: dict[str, Any]) -> dict[str, Any]:
    envelope = [field(name, kind, **({"default": None} if isinstance(kind, list) else {})) for name, kind in ENVELOPE]
    return {"type": "record", "name": "Made", "namespace": "biokeel.test", "fields": [*envelope, *fields]}


def typed(types: dict[str, Any]) -> dict[str, Any]:
    return avro(*(field(name, kind) for name, kind in types.items()))


class Versions:
    """A catalogue that holds versions of one event type, the last of them the current one."""

    def __init__(self, *versions: dict[str, Any], event: EventType = GLUCOSE, first_id: int = 7) -> None:
        self.registered = [
            Locked(event.subject, number, first_id + number - 1, fingerprint(text), parse_schema(event, text))
            for number, text in enumerate(versions, 1)
        ]

    def by_id(self, schema_id: int) -> Registered:
        for locked in self.registered:
            if locked.id == schema_id:
                return Registered((locked.subject,), schema_id, locked.schema.avro)
        raise UnknownSchema(f"Schema id {schema_id} is not here.")

    def reader(self, event: EventType) -> Locked:
        assert event.subject == self.registered[-1].subject
        return self.registered[-1]

    def id_of(self, event: EventType) -> int:
        return self.reader(event).id

    def upto(self, version: int) -> Versions:
        """The same catalogue before the later versions were registered."""
        earlier = Versions.__new__(Versions)
        earlier.registered = self.registered[:version]
        return earlier
