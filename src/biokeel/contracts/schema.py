"""The schemas in `schemas/`: their fields with docs, units and privacy tags, and the rules they keep."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from biokeel.contracts.topics import EVENTS, EventType
from biokeel.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ENVELOPE_FIELDS = (
    "event_id",
    "source_id",
    "subject_scheme",
    "subject_id",
    "occurred_at",
    "occurred_offset_minutes",
    "recorded_at",
)
"""What every raw event begins with, in this order."""


class Tag(StrEnum):
    """What a field says about a person; `biokeel.pseudonymise.policy` says what is done about it."""

    DIRECT = "DIRECT"
    LINK = "LINK"
    QUASI = "QUASI"
    FREE_TEXT = "FREE_TEXT"
    NONE = "NONE"


class Coarsening(StrEnum):
    """What a QUASI field is made into (`biokeel:coarsen` in the schema)."""

    YEAR = "year"
    PROVINCE = "province"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Field:
    """One top-level field of a raw event. `avro` is its type as Avro writes it, `unit` UCUM or None."""

    name: str
    avro: Any  # Avro types are strings, lists and objects, as JSON has them
    doc: str
    tag: Tag
    unit: str | None = None
    coarsen: Coarsening | None = None

    @property
    def nullable(self) -> bool:
        """Whether the field may be null."""
        return isinstance(self.avro, list) and "null" in self.avro

    @property
    def base(self) -> Any:
        """The Avro type without null."""
        return next(kind for kind in self.avro if kind != "null") if isinstance(self.avro, list) else self.avro

    @property
    def kind(self) -> str:
        """The name of the base type: its logical type where it has one, else the primitive's or `array`, `record`."""
        base = self.base
        return str(base.get("logicalType", base["type"])) if isinstance(base, dict) else str(base)


@dataclass(frozen=True, slots=True)
class EventSchema:
    """The schema of one event type: `fields` in order, the envelope's first; `avro` is the whole Avro schema."""

    event: EventType
    doc: str
    fields: tuple[Field, ...]
    avro: Mapping[str, Any]

    @property
    def payload(self) -> tuple[Field, ...]:
        """The fields after the envelope."""
        return self.fields[len(ENVELOPE_FIELDS) :]

    def kept(self) -> tuple[Field, ...]:
        """The payload fields that pass the privacy wall as they are (tag NONE)."""
        return tuple(field for field in self.payload if field.tag is Tag.NONE)

    @property
    def text(self) -> str:
        """The schema as one line of JSON, in the file's own order of keys."""
        return json.dumps(self.avro, ensure_ascii=False, separators=(",", ":"))


def schema_path(root: Path, event: EventType) -> Path:
    """Where the current schema of `event` lies below the catalogue directory `root`."""
    return root / event.domain / f"{event.name}.avsc"


def parse_schema(event: EventType, avro: Mapping[str, Any]) -> EventSchema:
    """The schema of `event` from its Avro form. Raises `SchemaError` where a field has no doc or no known tag."""
    fields = []
    for raw in avro.get("fields", ()):
        name = raw.get("name", "?")
        where = f"Schema {event}, field {name}:"
        tags = raw.get("confluent:tags")
        if not raw.get("doc"):
            raise SchemaError(f"{where} no doc.", "Say what the field holds, with its unit.")
        if not isinstance(tags, list) or len(tags) != 1 or tags[0] not in set(Tag):
            raise SchemaError(f"{where} no privacy tag.", f"Set confluent:tags to one of {', '.join(Tag)}.")
        coarsen = raw.get("biokeel:coarsen")
        if tags[0] == Tag.QUASI and coarsen not in set(Coarsening):
            raise SchemaError(f"{where} QUASI without a coarsening.", f"biokeel:coarsen: {', '.join(Coarsening)}.")
        fields.append(
            Field(
                name, raw["type"], raw["doc"], Tag(tags[0]), raw.get("unit"), Coarsening(coarsen) if coarsen else None
            )
        )
    names = tuple(field.name for field in fields[: len(ENVELOPE_FIELDS)])
    if names != ENVELOPE_FIELDS:
        raise SchemaError(
            f"Schema {event} does not begin with the envelope.", f"Begin with {', '.join(ENVELOPE_FIELDS)}."
        )
    return EventSchema(event, str(avro.get("doc", "")), tuple(fields), avro)


def load_schema(root: Path, event: EventType) -> EventSchema:
    """The current schema of `event` below `root`. Raises `SchemaError` naming the file."""
    path = schema_path(root, event)
    try:
        avro = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SchemaError(f"Cannot read {path}: {error.strerror}.", "Set BIOKEEL_SCHEMAS_DIR.") from None
    except json.JSONDecodeError as error:
        raise SchemaError(f"{path} is not JSON: line {error.lineno}, {error.msg}.") from None
    return parse_schema(event, avro)


def load_schemas(root: Path) -> dict[EventType, EventSchema]:
    """The current schema of every event type below `root`."""
    return {event: load_schema(root, event) for event in EVENTS}
