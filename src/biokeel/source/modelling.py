"""Writes `biokeel.source.models`: a typed model in Python for each event type, from its newest locked schema.

The text depends on the schemas alone, and is laid out as ruff lays it out. What a model holds a field to is what the
schema says of it: its type, the words of a closed set, a code's or a pattern's shape, a range. A code's check digit,
and a code that depends on another field, are seen by `biokeel source dry-run` and by the wall.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from biokeel.contracts.columns import is_nullable, without_null
from biokeel.contracts.forms import VERSION, Codes, Form, Pattern, Range, Values
from biokeel.contracts.grammars import GRAMMARS
from biokeel.contracts.schema import EventSchema
from biokeel.errors import SchemaError
from biokeel.source.model import EventModel

WIDTH: Final = 120
_OWN: Final = ("event_id", "source_id", "subject_scheme", "subject_id")
"""Of the envelope, what every model has from its base."""
_PLAIN: Final = {"boolean": "bool", "float": "float", "double": "float", "string": "str", "bytes": "bytes"}
_WHOLE: Final = {"int": 31, "long": 63}
_AS_NUMBER: Final = re.compile(r" (?:Milliseconds|Days) since 1970-01-01(?:T00:00:00Z)?\.")
"""What a schema says of a time on the wire."""
_HEAD: Final = '''"""Typed events, one model for each event type. Written by `biokeel schema models`; not to be edited.

Times need a time zone. Units are UCUM. See `biokeel.source.model` for what all of them share.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, ClassVar, Literal

from pydantic import AwareDatetime, Field, StringConstraints

from biokeel.source.model import EventModel, Part
'''


def models_of(schemas: Iterable[EventSchema]) -> str:
    """The module's text. Raises `SchemaError` for a field that no model can have."""
    return _Writer([*schemas]).text()


class _Writer:
    """Gathers the types that fields share, each under the name that it got first."""

    def __init__(self, schemas: Sequence[EventSchema]) -> None:
        self._schemas = schemas
        self._names = Counter(str(schema.avro["name"]) for schema in schemas)
        self._types: dict[str, str] = {}
        """Texts of types, and their names."""

    def text(self) -> str:
        classes = [self._class(schema) for schema in self._schemas]
        types = "\n".join(f"{name} = {written}" for written, name in self._types.items())
        return "\n\n".join([f"{_HEAD}\n{types}\n", *classes])

    def _class(self, schema: EventSchema) -> str:
        name = str(schema.avro["name"])
        if self._names[name] > 1:
            name = f"{schema.event.domain.capitalize()}{name}"
        parts: list[str] = []
        lines = [
            f"class {name}(EventModel):",
            *_doc(schema.doc),
            "",
            f'    event_type: ClassVar[str] = "{schema.event}"',
        ]
        for field, raw in zip(schema.fields, schema.avro["fields"], strict=True):
            if field.name in _OWN:
                continue
            if field.name in EventModel.model_fields or hasattr(EventModel, field.name):
                raise SchemaError(f"{schema.event}.{field.name}: a model has that name already.", "Name it otherwise.")
            where = f"{schema.event}.{field.name}"
            kind = self._kind(field.avro, name, field.name, field.form, field.range, where=where, parts=parts)
            lines += ["", *_field(raw, kind, field.unit, field.demand)]
        return "\n\n".join(part + "\n" for part in [*parts, "\n".join(lines)])

    def _part(self, avro: Mapping[str, Any], name: str, where: str, parts: list[str]) -> str:
        """A record within an event, as a class that stands before the event's."""
        lines = [f"class {name}(Part):", *_doc(str(avro.get("doc") or f"A part of {where}."))]
        for raw in avro["fields"]:
            kind = self._kind(raw["type"], name, raw["name"], where=f"{where}.{raw['name']}", parts=parts)
            lines += ["", *_field(raw, kind, raw.get("unit"), "")]
        parts.append("\n".join(lines))
        return name

    def _kind(
        self,
        avro: Any,
        owner: str,
        field: str,
        form: Form | None = None,
        limits: Range | None = None,
        *,
        where: str,
        parts: list[str],
    ) -> str:
        """The annotation of a field."""
        base = without_null(avro)
        kind = (
            base
            if isinstance(base, str)
            else str(base.get("logicalType") or base["type"])
            if isinstance(base, dict)
            else ""
        )
        named = owner + _camel(field)
        if kind == "array":
            inner = self._kind(base["items"], owner, field, form, limits, where=where, parts=parts)
            written = f"list[{inner}]"
        elif kind == "record":
            written = self._part(base, owner + base["name"].rpartition(".")[2], where, parts)
        elif kind == "enum":
            written = self._named(named, _literal(base["symbols"]))
        elif kind == "timestamp-millis":
            written = self._named("Moment", _limited("AwareDatetime", limits)) if limits else "AwareDatetime"
        elif kind == "date":
            written = self._named("Day", _limited("dt.date", limits)) if limits else "dt.date"
        elif kind in _WHOLE:
            whole = limits or Range(least=-(2 ** _WHOLE[kind]), greatest=2 ** _WHOLE[kind] - 1)
            written = f"Annotated[int, {_field_of(whole)}]"
        elif kind == "string" and form is not None:
            written = self._text(form, named)
        elif kind in _PLAIN:
            written = f"Annotated[{_PLAIN[kind]}, {_field_of(limits)}]" if limits else _PLAIN[kind]
        else:
            raise SchemaError(f"{where}: no model has a field of type {kind or 'several types'}.", "Use another type.")
        return f"{written} | None" if is_nullable(avro) else written

    def _text(self, form: Form, named: str) -> str:
        """The annotation of a text with a form."""
        if isinstance(form, Values) and not form.versions:
            return self._named(named, _literal(form.values))
        if isinstance(form, Values):
            return self._named(named, _matching(f"^(?:{'|'.join(map(re.escape, form.values))}){VERSION}$"))
        if isinstance(form, Codes):
            shapes = [GRAMMARS[code].shape for code in form.codes]
            shape = shapes[0] if len(shapes) == 1 else f"^(?:{'|'.join(each[1:-1] for each in shapes)})$"
            return self._named("".join(map(_camel, form.codes)) + "Code", _matching(shape))
        return self._named(named, _matching(form.pattern)) if isinstance(form, Pattern) else "str"

    def _named(self, name: str, written: str) -> str:
        """The name of a type, `name` if it has none yet; with a number where another has that name."""
        if written not in self._types:
            taken = set(self._types.values())
            number = next(number for number in range(1, len(taken) + 2) if name + _number(number) not in taken)
            self._types[written] = name + _number(number)
        return self._types[written]


def _number(number: int) -> str:
    return "" if number == 1 else str(number)


def _camel(name: str) -> str:
    return "".join(word.capitalize() for word in re.split(r"[_\-]", name))


def _field(raw: Mapping[str, Any], kind: str, unit: str | None, demand: str) -> list[str]:
    """The lines of a field: its annotation, its default, its doc."""
    written = f"    {raw['name']}: {kind}"
    if "default" in raw or is_nullable(raw["type"]):
        default = raw.get("default")
        written += f" = {_quoted(default) if isinstance(default, str) else repr(default)}"
    if len(written) > WIDTH:
        raise SchemaError(f"Field {raw['name']}: its line is longer than {WIDTH}.", "Give it a shorter name.")
    doc = _AS_NUMBER.sub("", str(raw["doc"])).rstrip(".")
    more = [f"Unit: {unit}"] if unit and doc + "." == raw["doc"] else []
    more += [f"A {demand}"] if demand and "Annotated" not in kind and kind.startswith("str") else []
    return [written, *_doc(". ".join([doc, *more]) + ".", closed=False)]


def _doc(text: str, *, closed: bool = True) -> list[str]:
    """A docstring of a class (`closed`: several lines end with one of quotes alone) or of a field."""
    text = text.replace("\\", "\\\\").replace('"""', "'''").strip()
    text = text if text.endswith(".") else f"{text}."
    if len(text) + 10 <= WIDTH:
        return [f'    """{text}"""']
    lines = textwrap.wrap(text, WIDTH - 4 - (0 if closed else 3), initial_indent='"""')
    return [f"    {line}" for line in ([*lines, '"""'] if closed else [*lines[:-1], lines[-1] + '"""'])]


def _literal(values: Iterable[str]) -> str:
    words = [_quoted(value) for value in values]
    return (
        f"Literal[{words[0]}]"
        if len(words) == 1
        else "\n    ".join(["Literal[", *(f"{word}," for word in words)]) + "\n]"
    )


def _matching(pattern: str) -> str:
    quote = "'" if '"' in pattern else '"'
    line = f"        pattern=r{quote}{pattern}{quote},"
    line += "  # noqa: E501" if len(line) > WIDTH else ""
    return f"Annotated[\n    str,\n    StringConstraints(\n{line}\n    ),\n]"


def _limited(kind: str, limits: Range) -> str:
    ends = f"        ge={_end(limits.least)},\n        le={_end(limits.greatest)},"
    return f"Annotated[\n    {kind},\n    Field(\n{ends}\n    ),\n]"


def _field_of(limits: Range) -> str:
    return f"Field(ge={_end(limits.least)}, le={_end(limits.greatest)})"


def _end(end: Any) -> str:
    if not isinstance(end, dt.datetime):
        return repr(end)
    utc = end.astimezone(dt.UTC)
    parts = [utc.year, utc.month, utc.day, utc.hour, utc.minute, utc.second, utc.microsecond]
    while len(parts) > 3 and not parts[-1]:
        parts.pop()
    return f"dt.datetime({', '.join(map(str, parts))}, tzinfo=dt.UTC)"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False) if '"' not in text else repr(text)
