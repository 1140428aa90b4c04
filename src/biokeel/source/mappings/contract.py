"""A mapping held against the contracts: event types, fields, units, words and code systems must be there."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from collections.abc import Mapping as AnyMapping
from typing import Final, NamedTuple

import polars as pl

from biokeel.contracts.forms import Values
from biokeel.contracts.grammars import GRAMMARS
from biokeel.contracts.schema import ENVELOPE_FIELDS, EventSchema, Field
from biokeel.contracts.topics import EventType, event_type
from biokeel.source.mappings.model import Constant, EventRule, Mapping, Test, UnitColumn, When
from biokeel.source.mappings.units import factor

TIME: Final = "timestamp-millis"
DATE: Final = "date"
SEE: Final = "see "
"""How a field's unit begins that stands in another field: `see value_unit`."""
MADE: Final = frozenset((*ENVELOPE_FIELDS, "occurred_precision", "onset_precision")) - {"occurred_at", "recorded_at"}
"""Fields that the engine fills: from the subject, the record key, and how the time was written."""
Place = tuple[str | int, ...]


class Fault(NamedTuple):
    """What is wrong with a mapping: where in it, what, what to do."""

    place: Place
    what: str
    todo: str


def held_against(mapping: Mapping, schemas: AnyMapping[EventType, EventSchema]) -> list[Fault]:
    """Everything in `mapping` that the contracts, or the mapping itself, do not have."""
    return list(_faults(mapping, schemas))


def unit_field(field: Field) -> str | None:
    """The field that holds the unit of `field`, where it is none of its own."""
    return field.unit.removeprefix(SEE) if field.unit and field.unit.startswith(SEE) else None


def units_of(field: Field) -> frozenset[str] | None:
    """The words that a unit's field may hold; null for one without a closed set."""
    return frozenset(field.form.values) if isinstance(field.form, Values) else None


def _faults(mapping: Mapping, schemas: AnyMapping[EventType, EventSchema]) -> Iterator[Fault]:
    names = Counter(name for column in mapping.columns.values() for name in column.names)
    for own, column in mapping.columns.items():
        for name in column.names:
            if names[name] > 1:
                yield Fault(("columns", own), f"the header's {name} stands under two names.", "Keep one.")
            if name in mapping.ignored:
                yield Fault(("ignored", name), f"{name} is read under columns.", "Take it from one of the two.")
    yield from _columns(("subject", "column"), [mapping.subject.column], mapping)
    yield from _columns(("times", "offset"), [mapping.times.offset], mapping)
    yield from _columns(("record_key",), mapping.record_key, mapping)
    if mapping.times.decide is not None:
        yield from _columns(("times", "decide", "column"), [mapping.times.decide.column], mapping)
        for index, forms in enumerate(mapping.times.decide.among):
            yield from _same_order(("times", "decide", "among", index), forms)
    yield from _same_order(("times", "formats"), mapping.times.formats)
    if mapping.events and not mapping.record_key:
        yield Fault(("events",), "record_key is missing.", "Name the columns that tell one record from all others.")
    if not mapping.events and not mapping.leave_out:
        yield Fault((), "it neither makes events nor leaves anything out.", "Say under events what rows become.")
    for key, rules in (("leave_out", mapping.leave_out), ("refuse", mapping.refuse)):
        for index, out in enumerate(rules):
            yield from _when((key, index, "when"), out.when, mapping)
    parts = Counter((rule.event, rule.part) for rule in mapping.events)
    types = Counter(rule.event for rule in mapping.events)
    for index, rule in enumerate(mapping.events):
        place: Place = ("events", index)
        if types[rule.event] > 1 and rule.part is None:
            yield Fault(place, f"{rule.event} stands here more than once.", "Give each of them a part, its short name.")
        elif parts[rule.event, rule.part] > 1 and any(not other.when for other in mapping.events):
            yield Fault(place, "two events of one type and part.", "Give each a part of its own, or a when.")
        schema = _schema(rule.event, schemas)
        if schema is None:
            todo = f"Known are {', '.join(sorted(map(str, schemas)))}."
            yield Fault((*place, "event"), f"{rule.event} is no event type of the programme.", todo)
            continue
        yield from _when((*place, "when"), rule.when, mapping)
        yield from _columns((*place, "together"), rule.together, mapping)
        yield from _event(place, rule, schema, mapping)


def _schema(name: str, schemas: AnyMapping[EventType, EventSchema]) -> EventSchema | None:
    try:
        return schemas.get(event_type(name))
    except KeyError:
        return None


def _columns(place: Place, names: Iterable[str | None], mapping: Mapping) -> Iterator[Fault]:
    for name in names:
        if name is not None and name not in mapping.columns:
            yield Fault(place, f"{name} stands not under columns.", "Add it there, with its name in the header.")


def _when(place: Place, when: When, mapping: Mapping) -> Iterator[Fault]:
    yield from _columns(place, when, mapping)
    for name, test in when.items():
        if test == Test():
            yield Fault((*place, name), "the test is empty.", "Write a word, a list, or not, is, code or matches.")
        for code in (test.code, test.not_code):
            if code is not None and code not in GRAMMARS:
                yield Fault((*place, name), f"{code} is no code system.", f"Known are {', '.join(GRAMMARS)}.")
        if not all(map(_is_pattern, filter(None, (test.matches, test.not_matches)))):
            yield Fault((*place, name), "it is no regular expression.", "Write one of Rust's regex.")


def _is_pattern(text: str) -> bool:
    try:
        pl.Series([""]).str.contains(text, strict=True)
        re.compile(text)
    except (pl.exceptions.PolarsError, re.error):
        return False
    return True


def _same_order(place: Place, forms: Iterable[str]) -> Iterator[Fault]:
    """Forms of which one reads a day where another reads a month: nobody could tell."""
    shapes: dict[str, str] = {}
    for form in forms:
        shape = form.replace("%d", "#").replace("%m", "#")
        if shapes.setdefault(shape, form) != form:
            yield Fault(place, "day and month are read both ways.", "Keep one, or put the two under times, decide.")


def _event(place: Place, rule: EventRule, schema: EventSchema, mapping: Mapping) -> Iterator[Fault]:
    fields = {field.name: field for field in schema.fields}
    companions = {unit_field(fields[name]) for name in rule.fields if name in fields}
    for name in rule.fields:
        here = (*place, "fields", name)
        if name in MADE:
            yield Fault(here, f"{name} is filled by Biokeel itself.", "Take it out.")
        elif name not in fields:
            known = ", ".join(field for field in fields if field not in MADE)
            yield Fault(here, f"{rule.event} has no field {name}.", f"It has {known}.")
        else:
            yield from _field(here, name, rule, fields, mapping)
    filled = {*rule.fields, *companions, *MADE, "recorded_at"}
    said = {raw["name"] for raw in schema.avro["fields"] if raw.get("default") is not None}
    missing = [name for name, field in fields.items() if not field.nullable and name not in filled | said]
    if missing:
        yield Fault((*place, "fields"), f"{rule.event} wants {', '.join(missing)}.", "Say where they come from.")


def _field(
    place: Place, name: str, rule: EventRule, fields: AnyMapping[str, Field], mapping: Mapping
) -> Iterator[Fault]:
    made, field = rule.fields[name], fields[name]
    yield from _columns((*place, "column"), made.column, mapping)
    yield from _columns((*place, "clock"), [made.clock], mapping)
    if made.clock is not None and field.kind != TIME:
        yield Fault((*place, "clock"), f"{field.name} is no time.", "A clock goes with a time.")
    yield from _when((*place, "when"), made.when, mapping)
    if made.when and not rule.together:
        yield Fault((*place, "when"), "a field has a when only where several rows are one event.", "Say together.")
    words = [made.constant, made.otherwise, made.empty, made.present, *(made.map or {}).values()]
    for word in words:
        if word is not None and (why := _unfit(word, field)):
            yield Fault(place, f"{field.name}: {why}.", f"It may hold: {field.demand or field.kind}.")
    if made.same_as is not None and field.kind != TIME:
        yield Fault(place, f"{field.name} is no time.", "same_as is for occurred_at.")
    if field.kind == TIME and bool(made.column) and made.formats:
        yield from _same_order((*place, "formats"), made.formats)
    if field.kind == "boolean" and bool(made.column) and made.map is None and made.present is None:
        yield Fault(place, f"{field.name} is true or false.", "Say by a map which words are which.")
    if bool(made.column) and field.kind in ("array", "record"):
        yield Fault(place, f"{field.name} is a list.", "A mapping can only give a constant list.")
    from_number = bool(made.column) and made.map is None and made.present is None
    if field.is_number and from_number and field.unit:
        yield from _unit(place, name, rule, fields, mapping)
    elif made.unit is not None:
        yield Fault((*place, "unit"), f"{field.name} is no number with a unit.", "Take the unit out.")
    if made.bounds and not field.is_number:
        yield Fault((*place, "bounds"), f"{field.name} is no number.", "Use a map.")


def _unit(
    place: Place, name: str, rule: EventRule, fields: AnyMapping[str, Field], mapping: Mapping
) -> Iterator[Fault]:
    """The unit must be said, and be one that the contract has or that can be converted."""
    made, field = rule.fields[name], fields[name]
    beside = unit_field(field)
    if made.unit is None:
        shared = any(
            other.unit and unit_field(fields[its]) == beside for its, other in rule.fields.items() if its in fields
        )
        if beside is None or (beside not in rule.fields and not shared):
            wants = f"one of the words of {beside}" if beside else field.unit
            yield Fault(
                place, f"the unit of {field.name} is not said.", f"Say unit: the column's unit; it wants {wants}."
            )
        return
    if beside is not None and beside in rule.fields:
        yield Fault(place, f"the unit of {field.name} is said twice.", f"Take out {beside}.")
        return
    if isinstance(made.unit, UnitColumn):
        yield from _columns((*place, "unit"), [made.unit.column], mapping)
        said = set(made.unit.map.values())
    else:
        said = {made.unit}
    known = units_of(fields[beside]) if beside else frozenset({field.unit or ""})
    for unit in sorted(said):
        if known is not None and unit not in known and all(factor(unit, each) is None for each in known):
            some = ", ".join(sorted(known)[:12])
            yield Fault((*place, "unit"), f"{unit} is no unit that {field.name} can have.", f"UCUM, such as {some}.")


def _unfit(word: Constant, field: Field) -> str | None:
    """Why a constant cannot stand in `field`."""
    kinds: dict[str, tuple[type, ...]] = {
        "string": (str,),
        "boolean": (bool,),
        "double": (int, float),
        "long": (int,),
        "int": (int,),
        "array": (list,),
    }
    wanted = kinds.get(field.kind)
    if wanted is None:
        return "a mapping cannot give it a constant"
    if not isinstance(word, wanted) or (isinstance(word, bool) and field.kind != "boolean"):
        return f"{field.kind} is wanted"
    form = field.form if isinstance(word, str) else None
    if form is not None and form.beside is None and not form.fits(pl.Series([word])).all():
        return "it has not the field's form"
    return None
