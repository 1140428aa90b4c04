"""What every schema must keep, beyond what parsing it needs: one envelope, docs, tags, units and forms everywhere."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final

from biokeel.contracts.columns import arrow_type, named_types, without_null
from biokeel.contracts.compatibility import Refusal
from biokeel.contracts.forms import FORM, RANGE, CodesOf, Values
from biokeel.contracts.schema import ENVELOPE_FIELDS, EventSchema, Field, Tag
from biokeel.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_NUMBERS: Final = {"int", "long", "float", "double"}
_SAME: Final = ("name", "type", "unit", "default", "confluent:tags", FORM, RANGE)
"""What of an envelope field must be the same in every schema; `doc` says what the event's own times mean."""


SHORTER_THAN: Final = 10**11
"""No number from here on crosses: twelve digits and more are as long as a registration number."""
EARLIEST: Final = dt.datetime(1900, 1, 1, tzinfo=dt.UTC)
LATEST: Final = dt.datetime(2100, 12, 31, 23, 59, 59, 999_000, tzinfo=dt.UTC)
"""Between them lies every time that an event may speak of."""


def lint(schemas: Iterable[EventSchema]) -> list[Refusal]:
    """Every rule that the schemas break; the first of them says what the envelope is."""
    everything = list(schemas)
    found = [fault for schema in everything for fault in _lint_one(schema)]
    return found + [fault for schema in everything[1:] for fault in _other_envelope(everything[0], schema)]


def _lint_one(schema: EventSchema) -> Iterator[Refusal]:
    event = str(schema.event)
    if not schema.doc:
        yield Refusal(event, "the record has no doc.", "Say what one event is.")
    yield from form_faults(schema)
    for field in schema.avro["fields"]:
        yield from _lint_field(field, f"{event}.{field['name']}")
        try:
            arrow_type(field["type"])
        except SchemaError as error:
            yield Refusal(f"{event}.{field['name']}", error.what, error.todo)


def form_faults(schema: EventSchema) -> Iterator[Refusal]:
    """Kept fields without a form or a range, and forms and ranges that cannot hold."""
    fields = {field.name: field for field in schema.fields}
    for field in schema.fields:
        where = f"{schema.event}.{field.name}"
        if field.tag is Tag.NONE:
            yield from _kept_faults(field, where, fields)
        elif field.form or field.range:
            yield Refusal(where, f"a form or range on a field that is dropped ({field.tag}).", "Remove it.")


def _kept_faults(field: Field, where: str, fields: dict[str, Field]) -> Iterator[Refusal]:
    if field.is_text:
        if field.form is None:
            todo = "Name its values, its code system or a pattern; or give it a tag that drops it."
            yield Refusal(where, f"a kept text without {FORM}.", todo)
        elif isinstance(field.form, CodesOf):
            yield from _beside_faults(field.form, where, fields)
    elif field.is_number or field.is_time:
        yield from _range_faults(field, where)
    elif field.kind not in ("boolean", "enum"):
        todo = "Keep texts, numbers, times and truth values; or give it a tag that drops it."
        yield Refusal(where, f"a kept field of type {field.kind} has no form.", todo)
    if field.form and not field.is_text:
        yield Refusal(where, f"{FORM} is for texts.", f"Write {RANGE} for a number or a time.")
    if field.range and not (field.is_number or field.is_time):
        yield Refusal(where, f"{RANGE} is for numbers and times.", f"Write {FORM} for a text.")


def _beside_faults(form: CodesOf, where: str, fields: dict[str, Field]) -> Iterator[Refusal]:
    other = fields.get(form.codes_of)
    known = other.form.values if other is not None and isinstance(other.form, Values) else ()
    if strange := sorted(set(form.systems) - set(known)):
        what = f"{form.codes_of} cannot name {', '.join(strange)}."
        yield Refusal(where, what, f"Let {form.codes_of} be a kept text whose values name every system.")


def _range_faults(field: Field, where: str) -> Iterator[Refusal]:
    if field.range is None:
        what = f"a kept {'time' if field.is_time else 'number'} without {RANGE}."
        yield Refusal(where, what, "Write the least and the greatest that is technically possible.")
        return
    least, greatest = field.range.least, field.range.greatest
    if isinstance(least, dt.datetime) or isinstance(greatest, dt.datetime):
        if not (isinstance(least, dt.datetime) and isinstance(greatest, dt.datetime)):
            return
        if least < EARLIEST or greatest > LATEST:
            yield Refusal(where, f"{RANGE} goes beyond 1900 to 2100.", "No event speaks of such a time.")
    elif not field.counts_bytes_or_bases and max(abs(least), abs(greatest)) >= SHORTER_THAN:
        todo = "Only what counts bytes (By) or bases ({bp}) may; store the number in a larger unit."
        yield Refusal(where, f"{RANGE} lets numbers of twelve digits through, as registration numbers are.", todo)


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
    return any(kind == number or (isinstance(kind, dict) and kind["type"] == number) for number in _NUMBERS)
