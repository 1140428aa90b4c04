"""What every schema must keep, beyond what parsing it needs: one envelope, docs, tags and units everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from biokeel.contracts.columns import arrow_type, named_types, without_null
from biokeel.contracts.compatibility import Refusal
from biokeel.contracts.schema import ENVELOPE_FIELDS, EventSchema, Tag
from biokeel.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_NUMBERS: Final = {"int", "long", "float", "double"}
_SAME: Final = ("name", "type", "unit", "default", "confluent:tags")
"""What of an envelope field must be the same in every schema; `doc` says what the event's own times mean."""


def lint(schemas: Iterable[EventSchema]) -> list[Refusal]:
    """Every rule that the schemas break; the first of them says what the envelope is."""
    everything = list(schemas)
    found = [fault for schema in everything for fault in _lint_one(schema)]
    return found + [fault for schema in everything[1:] for fault in _other_envelope(everything[0], schema)]


def _lint_one(schema: EventSchema) -> Iterator[Refusal]:
    event = str(schema.event)
    if not schema.doc:
        yield Refusal(event, "the record has no doc.", "Say what one event is.")
    for field in schema.avro["fields"]:
        yield from _lint_field(field, f"{event}.{field['name']}")
        try:
            arrow_type(field["type"])
        except SchemaError as error:
            yield Refusal(f"{event}.{field['name']}", error.what, error.todo)


def _lint_field(field: dict[str, Any], where: str) -> Iterator[Refusal]:
    if not field.get("doc"):
        yield Refusal(where, "no doc.", "Say what the field holds, with its unit.")
    tags = field.get("confluent:tags")
    if not isinstance(tags, list) or len(tags) != 1 or tags[0] not in set(Tag):
        yield Refusal(where, "no privacy tag.", f"Set confluent:tags to one of {', '.join(Tag)}.")
    if _is_number(field["type"]) and not field.get("unit"):
        yield Refusal(where, "a number without a unit.", 'Set unit to a UCUM unit; "1" for counts and ratios.')
    for record in named_types(without_null(field["type"])).values():
        for part in record.get("fields", ()):
            yield from _lint_field(part, f"{where}.{part['name']}")


def _other_envelope(first: EventSchema, schema: EventSchema) -> Iterator[Refusal]:
    count = len(ENVELOPE_FIELDS)
    for ours, theirs in zip(first.avro["fields"][:count], schema.avro["fields"][:count], strict=True):
        for part in _SAME:
            if ours.get(part) != theirs.get(part):
                where = f"{schema.event}.{theirs['name']}"
                yield Refusal(where, f"{part} is not that of {first.event}.", "The envelope is the same everywhere.")


def _is_number(avro: Any) -> bool:
    kind = without_null(avro)
    return (kind["type"] if isinstance(kind, dict) else kind) in _NUMBERS
