"""A mapping proposed from a table's header and its first lines, to be decided by whoever knows the table.

What names and forms tell is filled in; everything else is a question, `"?"`, and a file with a question is refused.
Of the file's content only names of columns are written: no value, nor the file's own name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import polars as pl

from biokeel.contracts.grammars import GRAMMARS
from biokeel.contracts.schema import EventSchema, Field
from biokeel.contracts.topics import event_type
from biokeel.errors import AdapterError
from biokeel.source.adapters.envelope import open_bytes
from biokeel.source.mappings import cells
from biokeel.source.mappings.contract import MADE, TIME, unit_field, units_of
from biokeel.source.mappings.load import UNDECIDED, Schemas
from biokeel.source.mappings.model import EPOCH_MS, EPOCH_S, ISO, FileRules
from biokeel.source.mappings.run import first_lines
from biokeel.source.mappings.table import Header, column, header_names, read_pieces
from biokeel.source.mappings.units import factor

SAMPLE: Final = 2_000
"""Lines that are looked at."""
_DELIMITERS: Final = ",;\t|"
_ORDERS: Final = ("%Y{0}%m{0}%d", "%d{0}%m{0}%Y", "%m{0}%d{0}%Y")
_CLOCKS: Final = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S%.f", " %I:%M %p", " %I:%M:%S %p")
_FORMS: Final = (
    ISO,
    EPOCH_MS,
    EPOCH_S,
    "%Y%m%d",
    "%Y%m%d%H%M",
    "%Y%m%d%H%M%S",
    "%Y년 %m월 %d일",
    *(order.format(mark) + clock for mark in "-/." for order in _ORDERS for clock in _CLOCKS),
)
_UNIT_IN_NAME: Final = re.compile(r"[(\[]([^()\[\]]+)[)\]]\s*$|_(kg|cm|mg|g|kcal|min|bpm|mmhg|ms|km)$", re.IGNORECASE)
_UCUM: Final = {
    "mmhg": "mm[Hg]",
    "bpm": "/min",
    "mg/dl": "mg/dL",
    "mmol/l": "mmol/L",
    "℃": "Cel",
    "°c": "Cel",
}
"""How names write units that UCUM writes otherwise."""
_PERSON: Final = re.compile(
    r"patient|subject|person|participant|member|user|mrn|chart|환자|대상자|참여자|연구번호|등록번호|병록번호",
    re.IGNORECASE,
)
_UNIT_COLUMN: Final = re.compile(r"^units?$|unit$|단위", re.IGNORECASE)
_TOPICS: Final[tuple[tuple[str, dict[str, str]], ...]] = (
    # An event type, and which names of columns tell its fields; the first two must be there, or the only one.
    (
        "clinical.blood_pressure",
        {"systolic": r"systol|sbp|수축기", "diastolic": r"diastol|dbp|이완기", "heart_rate": r"pulse|맥박"},
    ),
    ("clinical.glucose", {"value": r"glucose|혈당|bgl"}),
    (
        "lifestyle.diet",
        {
            "food_name": r"food|음식|식품명",
            "energy": r"kcal|calor|열량",
            "meal": r"meal|끼니|식사",
            "carbohydrate": r"carb|탄수화물",
            "protein": r"protein|단백질",
            "fat": r"^fat|지방",
            "sodium": r"sodium|나트륨",
        },
    ),
    (
        "lifestyle.exercise",
        {"steps": r"step|걸음", "distance": r"distance|거리", "energy": r"kcal|calor|열량"},
    ),
    ("lifestyle.sleep", {"minutes_asleep": r"asleep|sleep.*(min|dur)|수면"}),
    ("clinical.diagnosis", {"code": r"diagnos|icd|kcd|상병|진단"}),
    ("clinical.medication", {"code": r"drug|medic|atc|약품|처방"}),
    ("clinical.lab_result", {"code": r"loinc|test.*code|검사.*코드", "value": r"result|value|결과"}),
)


@dataclass(frozen=True)
class Profile:
    """What can be said of a column without saying what stands in it. `own` is the name that the mapping gives it."""

    own: str
    name: str
    forms: tuple[str, ...]
    is_number: bool
    has_comma: bool
    is_unique: bool
    is_empty: bool
    codes: tuple[str, ...]

    @property
    def unit(self) -> str | None:
        """The unit that its name says."""
        found = _UNIT_IN_NAME.search(self.name)
        said = (found[1] or found[2]).strip() if found else None
        return _UCUM.get(said.lower(), said) if said else None


def propose(path: Path, schemas: Schemas) -> str:
    """A mapping file for the table at `path`, with questions. Raises `AdapterError` where it has no header."""
    delimiter, header = _header(path)
    rules = FileRules(delimiter=delimiter)
    sample = _sample(path, header, rules)
    profiles = list(_profiles(header, sample))
    return "\n".join(_lines(profiles, rules, schemas)) + "\n"


def _header(path: Path) -> tuple[str, Header]:
    """The first line that names columns, and what parts them: most cells, none empty, none twice, none a value."""
    found: list[tuple[int, int, str, Header]] = []
    for number, line in enumerate(first_lines(path), 1):
        for delimiter in _DELIMITERS:
            names = header_names(line, delimiter)
            if len(names) > 1 and all(names) and len(set(names)) == len(names) and not any(map(_is_value, names)):
                found.append((len(names), -number, delimiter, Header(names, number)))
    if not found:
        raise AdapterError(
            f"{path.name} has no line that names its columns.",
            "A mapping goes by the names of columns: write them in the first line.",
        )
    _, _, delimiter, header = max(found, key=lambda each: each[:2])
    return delimiter, header


def _is_value(name: str) -> bool:
    """Whether a cell of what should be a header is a value: a number, a time, an address or an identifier."""
    digits = sum(char.isdigit() for char in name)
    return "@" in name or digits > len(name) / 3 or not any(char.isalpha() for char in name)


def _sample(path: Path, header: Header, rules: FileRules) -> pl.DataFrame:
    with open_bytes(path) as file:
        pieces = list(islice(read_pieces(file, path, header, rules, lambda _place, _why: None), 1))
    if not pieces:
        raise AdapterError(f"{path.name} has no line after its header.", "Name a file with some lines.")
    return pieces[0].cells.head(SAMPLE)


def _profiles(header: Header, sample: pl.DataFrame) -> Iterator[Profile]:
    taken: set[str] = set()
    for index, name in enumerate(header.names):
        own = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:30]
        if not re.match("[a-z]", own) or own in taken:
            own = f"column_{index + 1}"
        taken.add(own)
        texts = sample[column(index)].drop_nulls()
        comma = FileRules(decimal=",")
        point = len(texts) > 0 and not cells.numbers(texts, FileRules(), {}).bad.any()
        with_comma = len(texts) > 0 and not point and not cells.numbers(texts, comma, {}).bad.any()
        forms = tuple(form for form in _FORMS if len(texts) and not cells.moments(texts, (form,), None).bad.any())
        if point or with_comma:
            forms = tuple(form for form in forms if form not in (ISO, "%Y"))
        codes = tuple(key for key in ("loinc", "snomed-ct", "kd") if len(texts) and GRAMMARS[key].fits(texts).all())
        yield Profile(
            own=own,
            name=name,
            forms=forms,
            is_number=point or with_comma,
            has_comma=with_comma,
            is_unique=len(texts) == sample.height and texts.n_unique() == len(texts),
            is_empty=not len(texts),
            codes=codes,
        )


def _lines(profiles: Sequence[Profile], rules: FileRules, schemas: Schemas) -> Iterator[str]:
    yield "# Proposed from the names and forms of a table's columns; it holds no value of the table."
    yield f'# Answer every "{UNDECIDED}": until then the file is refused. See docs/mapping.md.'
    yield f'name: "{UNDECIDED}"  # short, and for good: all event ids follow from it'
    commas = [each.name for each in profiles if each.has_comma]
    yield "file:"
    yield f"  delimiter: {_quoted(rules.delimiter)}"
    if commas:
        yield f'  decimal: ","  # columns with a comma in their numbers: {_listed(commas)}'
        yield '  # grouping: "."  # if thousands are parted'
    yield "columns:"
    for each in profiles:
        yield f"  {each.own}: {_quoted(each.name)}{'  # empty in the first lines' if each.is_empty else ''}"
    people = [each for each in profiles if _PERSON.search(each.name)]
    yield "subject:"
    yield f'  scheme: "{UNDECIDED}"  # hospital, app or sample (with --site), KR_RRN or KR_FRN: whose numbers are they?'
    yield f"  column: {_choice(people, profiles)}"
    times = [each for each in profiles if each.forms]
    yield "times:"
    yield f"  formats: {_forms(times)}"
    yield "  zone: source  # the zone that --zone names; or an IANA name"
    keys = [each for each in profiles if each.is_unique]
    yield f"record_key: {_key(keys, people, times)}"
    topic = _topic(profiles)
    yield "events:"
    yield from _event(topic, profiles, times, schemas)


def _choice(likely: Sequence[Profile], profiles: Sequence[Profile]) -> str:
    if len(likely) == 1:
        return f"{likely[0].own}  # by its name"
    some = likely or profiles
    return f'"{UNDECIDED}"  # one of {_listed(each.own for each in some)}; without a column it is whom --subject names'


def _forms(times: Sequence[Profile]) -> str:
    if not times:
        return f'"{UNDECIDED}"  # no column has a form of times that is known; write one, such as "%Y-%m-%d %H:%M"'
    common = [form for form in times[0].forms if all(form in each.forms for each in times)]
    if len(common) == 1 or ISO in common:
        return f"{_quoted(common[0])}  # columns {_listed(each.own for each in times)}"
    fit = dict.fromkeys(form for each in times for form in each.forms)
    return f'"{UNDECIDED}"  # the first lines of {_listed(each.own for each in times)} fit {_listed(map(_quoted, fit))}'


def _key(keys: Sequence[Profile], people: Sequence[Profile], times: Sequence[Profile]) -> str:
    named = [each.own for each in keys if re.search(r"id$|_id|번호|key", each.name, re.IGNORECASE)]
    some = named or [each.own for each in (*people, *times)]
    why = "names that tell one record from all others, also in next month's file"
    return f'["{UNDECIDED}"]  # {why}; perhaps {_listed(some) or "several columns together"}'


def _topic(profiles: Sequence[Profile]) -> tuple[str, dict[str, Profile]] | None:
    for event, patterns in _TOPICS:
        found = {
            field: next((each for each in profiles if re.search(pattern, each.name, re.IGNORECASE)), None)
            for field, pattern in patterns.items()
        }
        told = {field: each for field, each in found.items() if each is not None}
        if all(field in told for field in list(patterns)[:2]):
            return event, told
    if coded := next((each for each in profiles if "loinc" in each.codes), None):
        numbers = [each for each in profiles if each.is_number]
        return "clinical.lab_result", {"code": coded, **({"value": numbers[0]} if len(numbers) == 1 else {})}
    return None


def _event(
    topic: tuple[str, dict[str, Profile]] | None,
    profiles: Sequence[Profile],
    times: Sequence[Profile],
    schemas: Schemas,
) -> Iterator[str]:
    if topic is None:
        yield f'  - event: "{UNDECIDED}"  # one of {_listed(map(str, schemas))}'
        yield "    fields:"
        yield f"      occurred_at: {{column: {times[0].own if len(times) == 1 else _quoted(UNDECIDED)}}}"
        return
    event, told = topic
    schema = schemas[event_type(event)]
    yield f"  - event: {event}  # by the names of its columns: is it so?"
    yield "    fields:"
    when = times[0].own if len(times) == 1 else f'"{UNDECIDED}"'
    yield f"      occurred_at: {{column: {when}}}{_one_of(times)}"
    units = next((each.own for each in profiles if _UNIT_COLUMN.search(each.name)), None)
    fields = {field.name: field for field in schema.fields}
    for name, each in told.items():
        yield f"      {name}: {_rule(fields[name], each, units, fields)}"
    yield from _missing(schema, told)


def _one_of(times: Sequence[Profile]) -> str:
    return "" if len(times) == 1 else f"  # one of {_listed(each.own for each in times)}"


def _rule(field: Field, each: Profile, units: str | None, fields: dict[str, Field]) -> str:
    if not field.is_number:
        closed = units_of(field)
        if closed:
            question = _quoted(UNDECIDED)
            return f"{{column: {each.own}, map: {{{question}: {question}}}}}  # words of the column: {field.demand}"
        return f"{{column: {each.own}}}"
    if not field.unit:
        return f"{{column: {each.own}}}"
    beside = unit_field(field)
    known = units_of(fields[beside]) if beside else frozenset({field.unit})
    said = each.unit
    if said and known is not None and (said in known or any(factor(said, one) is not None for one in known)):
        return f"{{column: {each.own}, unit: {_quoted(said)}}}  # by its name"
    if beside and units:
        return f"{{column: {each.own}, unit: {{column: {units}}}}}  # in UCUM; say by a map what is written otherwise"
    wants = f"such as {_listed(sorted(known)[:4])}" if known and len(known) > 1 else f"it becomes {field.unit}"
    return f'{{column: {each.own}, unit: "{UNDECIDED}"}}  # the unit of the column; {wants}'


def _missing(schema: EventSchema, told: dict[str, Profile]) -> Iterator[str]:
    """Required fields that no name tells."""
    beside = {unit_field(field) for field in schema.fields if field.name in told}
    defaults = {raw["name"] for raw in schema.avro["fields"] if raw.get("default") is not None}
    for field in schema.fields:
        if field.nullable or field.name in {*told, *beside, *defaults, *MADE, "occurred_at", "recorded_at"}:
            continue
        if field.kind != TIME:
            yield f'      {field.name}: {{constant: "{UNDECIDED}"}}  # or a column; {field.demand or field.kind}'


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _listed(words: Iterable[str]) -> str:
    return ", ".join(words)
