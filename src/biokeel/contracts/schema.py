"""The schemas in `schemas/`: their fields with docs, units and privacy tags, and the rules they keep."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from biokeel.contracts.forms import FORM, RANGE, read_form, read_range
from biokeel.contracts.topics import PERSON_EVENTS, Domain, EventType, event_type
from biokeel.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from biokeel.contracts.forms import Form, Range

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

NUMBERS: Final = ("int", "long", "float", "double")
TIMES: Final = ("date", "timestamp-millis", "timestamp-micros")
BYTES_OR_BASES: Final = ("By", "{bp}")
"""UCUM units of what is counted in numbers as long as a registration number."""


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
    """One top-level field of a raw event. `avro` is its type as Avro writes it, `unit` UCUM or None.

    `form` is what a text may hold, or each text of a list; `range` what a number or a time may be.
    """

    name: str
    avro: Any  # Avro types are strings, lists and objects, as JSON has them
    doc: str
    tag: Tag
    unit: str | None = None
    coarsen: Coarsening | None = None
    form: Form | None = None
    range: Range | None = None

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

    @property
    def is_text(self) -> bool:
        """Whether it is a text, or a list of texts, that its type does not close as an enum does."""
        base = self.base
        return base == "string" or (isinstance(base, dict) and base["type"] == "array" and base["items"] == "string")

    @property
    def is_time(self) -> bool:
        """Whether it is a date or a point in time."""
        return self.kind in TIMES

    @property
    def is_number(self) -> bool:
        """Whether it is a number that stands for itself, no time."""
        return self.kind in NUMBERS

    @property
    def counts_bytes_or_bases(self) -> bool:
        """Whether its numbers may have twelve digits or more, so that they are searched for registration numbers."""
        return self.unit in BYTES_OR_BASES

    @property
    def demand(self) -> str:
        """What it may hold, for people: the form's meaning, or the range."""
        return self.form.meaning if self.form else self.range.meaning if self.range else ""


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

    @property
    def envelope(self) -> tuple[Field, ...]:
        """The fields that every raw event begins with."""
        return self.fields[: len(ENVELOPE_FIELDS)]

    def kept(self) -> tuple[Field, ...]:
        """The payload fields that pass the privacy wall, where they have their form or range (tag NONE)."""
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
        field = Field(
            name, raw["type"], raw["doc"], Tag(tags[0]), raw.get("unit"), Coarsening(coarsen) if coarsen else None
        )
        fields.append(_with_form(field, raw, where))
    names = tuple(field.name for field in fields[: len(ENVELOPE_FIELDS)])
    if names != ENVELOPE_FIELDS:
        raise SchemaError(
            f"Schema {event} does not begin with the envelope.", f"Begin with {', '.join(ENVELOPE_FIELDS)}."
        )
    return EventSchema(event, str(avro.get("doc", "")), tuple(fields), avro)


def _with_form(field: Field, raw: Mapping[str, Any], where: str) -> Field:
    """`field` with the form or range that its raw form declares."""
    form = read_form(raw[FORM], where) if FORM in raw else None
    limits = read_range(raw[RANGE], times=field.is_time, where=where) if RANGE in raw else None
    return replace(field, form=form, range=limits)


def load_schema(root: Path, event: EventType) -> EventSchema:
    """The current schema of `event` below `root`. Raises `SchemaError` naming the file."""
    path = schema_path(root, event)
    try:
        avro = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SchemaError(f"Cannot read {path}: {error.strerror}.", "Set BIOKEEL_SCHEMAS_DIR.") from None
    except json.JSONDecodeError as error:
        raise SchemaError(f"{path} is not JSON: line {error.lineno}, {error.msg}.") from None
    try:
        return parse_schema(event, avro)
    except SchemaError as error:
        raise SchemaError(f"{path}: {error.what}", error.todo) from None


def event_types(root: Path) -> tuple[EventType, ...]:
    """The event types that have a schema below `root`: person events, which must have one, and whatever is there.

    Raises `SchemaError` for a schema whose file has no event type's name.
    """
    landed = []
    for domain in (each for each in Domain if each is not Domain.PERSON):
        for path in sorted((root / domain).glob("*.avsc")):
            try:
                landed.append(event_type(f"{domain}.{path.stem}"))
            except KeyError:
                raise SchemaError(
                    f"{path} is named after no event type.", "Name it with a-z, 0-9 and _, a letter first."
                ) from None
    return (*PERSON_EVENTS, *landed)


def load_schemas(root: Path) -> dict[EventType, EventSchema]:
    """The current schema of every event type below `root`."""
    return {event: load_schema(root, event) for event in event_types(root)}
