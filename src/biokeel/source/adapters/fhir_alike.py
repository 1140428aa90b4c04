"""Observations, one a line, that differ only in what each has of its own: read once, and then many together.

A bulk export holds millions of Observations of some hundred forms. Of two with one form all is the same but the id, the
person, the times, the numbers, and what nobody reads (the text for people, the visit, who did it). So the second of a
form is read as any other (`fhir_observations`), and what came of it holds for all that follow, with their own id,
person, times and numbers put in. Nothing is guessed: the form is all the rest of the JSON, to the byte, and what does
not fit (an element that is not listed here, a person who stands in the file, a problem of any kind, a record that came
before) is read by itself, as every Observation is that stands in a bundle. A test holds the law: many lines give what
each of them gives alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import orjson
import polars as pl

from biokeel.contracts.topics import EventType
from biokeel.source.adapters.base import Batch, Context, Record, Report, Unusable, known_subject
from biokeel.source.adapters.fhir_common import Case, Made
from biokeel.source.adapters.fhir_observations import are_several_of_one_code, parts_of
from biokeel.source.adapters.fhir_references import Resource, absolute, has_absolute_reference, relative
from biokeel.source.adapters.units import convert
from biokeel.source.moments import Moments, moments_of

TOGETHER: Final = 4_096
"""Rows that wait for one another: the work by columns costs some milliseconds, however few they are."""
_MOST_FORMS: Final = 4_096
"""Forms that are kept; a file in which every Observation has its own is read one by one."""
_TRIED: Final = 2_000
"""Observations after which it is known whether a file has forms."""
_READ: Final = frozenset(
    {
        "resourceType", "id", "meta", "status", "category", "code", "subject", "effectiveDateTime", "effectiveInstant",
        "issued", "valueQuantity", "valueCodeableConcept", "valueString", "valueBoolean", "valueInteger", "valueRange",
        "valueRatio", "dataAbsentReason", "interpretation", "referenceRange", "component",
    }
)  # fmt: skip
"""Elements whose content is the form, but for what each Observation has of its own in them."""
_UNREAD: Final = frozenset(
    {
        "text", "identifier", "encounter", "performer", "specimen", "note", "basedOn", "partOf", "device", "bodySite",
        "method", "language",
    }
)  # fmt: skip
"""Elements whose content no event is made from; a reference to another server in them says whose the file is."""
_KNOWN: Final = _READ | _UNREAD
_OF_ITS_OWN: Final = frozenset(
    {"event_id", "subject_id", "occurred_at", "occurred_offset_minutes", "occurred_precision", "recorded_at"}
)
_IS_ID: Final = r"\A[!-\".0->@-~$-,-]+\z"
"""`fhir_references.is_id`, as polars has it."""


_NUMBERS: Final = (float, int)
_Shape: TypeAlias = tuple[bytes, int, str]
"""The rest of an Observation's JSON, which elements were taken out of it, and what its subject begins with."""


class _Own(NamedTuple):
    """What an Observation has of its own: id, person, times, and the numbers of its quantities, in their order."""

    id: str
    person: str
    occurred: str
    issued: str | None
    updated: str | None
    numbers: Sequence[float]


class _Number(NamedTuple):
    """A field that is the number of a quantity: which of them, its unit, and the unit of the field."""

    name: str
    place: int
    unit: str
    wanted: str


@dataclass(frozen=True, slots=True)
class _Event:
    """An event that a form comes to: the part of its resource, where its constants stand, and its numbers."""

    event: EventType
    part: str
    constants: int
    numbers: tuple[_Number, ...]


@dataclass(frozen=True, slots=True)
class _Form:
    """What an Observation of a form comes to. `key` begins its key, which its id ends; `scheme` is its subject's.

    `written` says when it was written down where it does not say so itself (ms), null where it does.
    """

    key: str
    scheme: str
    written: int | None
    events: tuple[_Event, ...]
    left_out: tuple[str, ...]


class Row(NamedTuple):
    """An Observation of a known form, the `number` of its file; `text` is read by itself where it must be."""

    number: int
    form: _Form
    place: str
    text: bytes
    own: _Own


class Read(NamedTuple):
    """What came of an Observation that was read by itself."""

    case: Case
    made: Sequence[Made]
    report: Report


class _Columns(NamedTuple):
    """What is known of some rows: their keys, those as the memory has them, when they occurred and were recorded."""

    rows: Sequence[Row]
    keys: Sequence[str]
    digests: Sequence[bytes]
    occurred: Moments
    recorded: npt.NDArray[np.int64]


@dataclass
class _Constants:
    """What is the same in all events of a form, by event type: rows of a frame that the events gather."""

    rows: list[Record] = field(default_factory=list)
    _frame: pl.DataFrame | None = None

    def add(self, record: Record) -> int:
        self.rows.append(record)
        return len(self.rows) - 1

    def frame(self) -> pl.DataFrame:
        if self._frame is None or self._frame.height < len(self.rows):
            self._frame = pl.DataFrame(self.rows, infer_schema_length=None)
        return self._frame


class Alike:
    """The forms of one file, and the rows of it that wait. `read` reads an Observation by itself, for its form."""

    def __init__(self, context: Context, report: Report, read: Callable[[str, Resource], Read | None]) -> None:
        self._context = context
        self._report = report
        self._read = read
        self._once: set[_Shape] = set()
        self._forms: dict[_Shape, _Form | None] = {}
        """Null where an Observation of that form must be read by itself."""
        self._constants: dict[EventType, _Constants] = {}
        self._waiting: list[Row] = []
        self._looked = self._hit = 0

    @property
    def full(self) -> bool:
        """Whether it is time for `take`."""
        return len(self._waiting) >= TOGETHER

    @property
    def is_tried(self) -> bool:
        """Whether it is worth while to ask for a form: a file may have none."""
        return self._looked < _TRIED or self._hit * 2 >= self._looked

    def add(self, number: int, place: str, document: Resource, text: bytes) -> bool:
        """Whether `document` is of a known form, and waits; else it is to be read by itself, from its `text`.

        It is used up: nobody is to read it afterwards.
        """
        self._looked += 1
        found = _split(document)
        if found is None:
            return False
        shape, own = found
        if shape not in self._forms:
            if shape not in self._once:
                if len(self._once) < _MOST_FORMS:
                    self._once.add(shape)
                return False
            self._forms[shape] = self._form(place, orjson.loads(text), own)
        form = self._forms[shape]
        if form is None:
            return False
        self._hit += 1
        self._waiting.append(Row(number, form, place, text, own))
        return True

    def take(self, others: Container[bytes]) -> tuple[list[Batch], list[Row]]:
        """The events of what waits, noted in the memory, and the rows that must be read by themselves.

        `others` are the records, as the memory knows them, of what waits beside it: the order of versions counts.
        """
        rows, self._waiting = self._waiting, []
        if not rows:
            return [], []
        occurred = moments_of([row.own.occurred for row in rows], self._context.zone)
        recorded, dated = self._recorded(rows)
        keys = [row.form.key + row.own.id for row in rows]
        digests = self._context.ids.digests("fhir", keys)
        written = pl.DataFrame({"id": [row.own.id for row in rows], "person": [row.own.person for row in rows]})
        fits = written.select(pl.all_horizontal(pl.all().str.contains(_IS_ID))).to_series()
        good = occurred.known & dated & fits.to_numpy() & self._are_new(digests, others)
        good &= np.fromiter((row.form.written is None for row in rows), np.bool_) | (occurred.at <= recorded)
        good &= np.fromiter((_is_somebody(row.form.scheme, row.own.person) for row in rows), np.bool_)
        chosen = np.flatnonzero(good).tolist()
        columns = _Columns(rows, keys, digests, occurred, recorded)
        batches = [*self._batches(columns, chosen)]
        for index in chosen:
            for what in rows[index].form.left_out:
                self._report.leave_out(rows[index].place, what)
        return batches, [rows[index] for index in np.flatnonzero(~good).tolist()]

    def _recorded(self, rows: Sequence[Row]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """When each row was written down (ms): the latest of its times, else the file's; and whether that is known."""
        said = [index for index, row in enumerate(rows) if row.form.written is None]
        recorded = np.array([row.form.written or 0 for row in rows], np.int64)
        recorded[said] = np.iinfo(np.int64).min
        dated = np.ones(len(rows), np.bool_)
        for name in ("issued", "updated"):
            texts = [(index, getattr(row.own, name)) for index, row in enumerate(rows)]
            there = [index for index, text in texts if text is not None]
            if not there:
                continue
            at, _, _, known = moments_of([text for _, text in texts if text is not None], self._context.zone)
            recorded[there] = np.maximum(recorded[there], at)
            dated[there] &= known
        return recorded, dated

    def _are_new(self, digests: Sequence[bytes], others: Container[bytes]) -> npt.NDArray[np.bool_]:
        """Which records come the first time: here, and as far as the memory goes."""
        times = Counter(digests)
        memory = self._context.memory
        new = times.keys() if memory is None else memory.new_among(times)
        return np.fromiter((times[each] == 1 and each in new and each not in others for each in digests), np.bool_)

    def _batches(self, columns: _Columns, chosen: Sequence[int]) -> Iterator[Batch]:
        """The events of some rows, which are noted."""
        rows, ids = columns.rows, self._context.ids
        by_event: dict[EventType, list[tuple[int, _Event]]] = {}
        for index in chosen:
            for each in rows[index].form.events:
                by_event.setdefault(each.event, []).append((index, each))
        made: dict[int, list[tuple[str, str, int]]] = {}
        at = columns.occurred.at.tolist()
        for event, found in by_event.items():
            name = str(event)
            which = [index for index, _ in found]
            event_ids = ids.of_many(event, [columns.keys[index] + each.part for index, each in found])
            for index, event_id in zip(which, event_ids, strict=True):
                made.setdefault(index, []).append((name, event_id, at[index]))
            frame = self._constants[event].frame()[[each.constants for _, each in found]]
            frame = frame.with_columns(
                pl.Series("event_id", event_ids, pl.String),
                pl.lit(self._context.source_id).alias("source_id"),
                pl.Series("subject_id", [rows[index].own.person for index in which], pl.String),
                pl.Series("occurred_at", columns.occurred.at[which]),
                columns.occurred.offset[which].alias("occurred_offset_minutes"),
                columns.occurred.precision[which].alias("occurred_precision"),
                pl.Series("recorded_at", columns.recorded[which]),
                *_values(frame, found, rows),
            )
            yield Batch(event, frame, [rows[index].place for index in which])
        if (memory := self._context.memory) is not None:
            version = columns.recorded.tolist()
            for index, traces in made.items():
                form, own = rows[index].form, rows[index].own
                memory.note_first(columns.digests[index], version[index], form.scheme, own.person, sorted(traces))

    def _form(self, place: str, document: Resource, own: _Own) -> _Form | None:
        """What `document` and all like it come to; null where it takes more than this to tell."""
        read = self._read(place, document)
        if read is None or read.report.reasons:
            return None
        try:
            key, subject = read.case.key, read.case.subject
            written = None if own.issued is not None or own.updated is not None else read.case.recorded_at
        except Unusable:
            return None
        address = absolute(key) or relative(key, "")
        if address is None or address.id != own.id or subject.value != own.person or not key.endswith(own.id):
            return None  # Its key is made of more than its id, or its person has another identifier.
        if are_several_of_one_code(parts_of(document, "component")):
            return None  # Several of one code are told by their contents, so by their numbers.
        places = {id(quantity): place for place, (_, quantity, _) in enumerate(_numbers_in(document))}
        used = [places.get(id(each.quantity), -1) for made in read.made for each in made.numbers]
        if read.made and sorted(used) != list(range(len(own.numbers))):
            return None  # A number that is in no field, or in two, may say something else.
        events = tuple(self._event(made, places) for made in read.made)
        return _Form(key[: -len(own.id)], subject.scheme, written, events, tuple(read.report.left_out.elements()))

    def _event(self, made: Made, places: dict[int, int]) -> _Event:
        numbers = tuple(_Number(each.name, places[id(each.quantity)], each.unit, each.wanted) for each in made.numbers)
        leave = _OF_ITS_OWN | {each.name for each in numbers}
        record = {name: value for name, value in made.record.items() if name not in leave}
        constants = self._constants.setdefault(made.event, _Constants()).add(record)
        return _Event(made.event, made.part, constants, numbers)


def _values(frame: pl.DataFrame, found: Sequence[tuple[int, _Event]], rows: Sequence[Row]) -> Iterator[pl.Series]:
    """The fields of events that are numbers of their Observations; where a form has none, its constant stands."""
    values: dict[str, list[float | None]] = {}
    for place, (index, each) in enumerate(found):
        for name, which, unit, wanted in each.numbers:
            number = float(rows[index].own.numbers[which])
            if name not in values:
                values[name] = [None] * len(found)
            values[name][place] = number if unit == wanted else convert(number, unit, wanted)
    for name, numbers in values.items():
        made = pl.Series(name, numbers, pl.Float64)
        yield made.zip_with(made.is_not_null(), frame[name].cast(pl.Float64)) if name in frame.columns else made


def _is_somebody(scheme: str, person: str) -> bool:
    try:
        known_subject(scheme, person, "subject")
    except Unusable:
        return False
    return True


def _split(document: Resource) -> tuple[_Shape, _Own] | None:
    """The form of an Observation, and what it has of its own; null where it is none that can be alike another.

    `document` is used up: its own is taken out of it, and what is left is its form.
    """
    if document.get("resourceType") != "Observation" or not document.keys() <= _KNOWN:
        return None
    take = document.pop
    own_id, subject = take("id", None), take("subject", None)
    if type(own_id) is not str or not isinstance(subject, dict) or not subject.keys() <= {"reference", "display"}:
        return None
    reference = subject.get("reference")
    if type(reference) is not str:
        return None
    server, _, person = reference.rpartition("/")
    occurred, instant, issued = take("effectiveDateTime", None), take("effectiveInstant", None), take("issued", None)
    taken = 1
    if occurred is None:
        occurred, instant, taken = instant, None, 0
    if type(occurred) is not str or instant is not None or (issued is not None and type(issued) is not str):
        return None
    meta, updated = document.get("meta"), None
    if isinstance(meta, dict):
        meta.pop("versionId", None)
        updated = meta.pop("lastUpdated", None)
        if updated is not None and type(updated) is not str:
            return None
    taken |= (issued is not None) << 1 | (updated is not None) << 2
    numbers = []
    for place, quantity, value in _numbers_in(document):
        quantity["value"] = None
        taken |= 8 << place
        numbers.append(value)
    try:
        if not document.keys().isdisjoint(_UNREAD) and _speaks_of_a_server(document):
            return None
        return (orjson.dumps(document), taken, server), _Own(own_id, person, occurred, issued, updated, numbers)
    except TypeError:  # Nested too deep.
        return None


def _numbers_in(document: Resource) -> list[tuple[int, Resource, Any]]:
    """The numbers of its quantity (place 0), and of its components': their places, what holds them, and they."""
    quantity, components = document.get("valueQuantity"), document.get("component")
    found = []
    if isinstance(quantity, dict) and type(value := quantity.get("value")) in _NUMBERS:
        found.append((0, quantity, value))
    for place, each in enumerate(components if isinstance(components, list) else (), 1):
        quantity = each.get("valueQuantity") if isinstance(each, dict) else None
        if isinstance(quantity, dict) and type(value := quantity.get("value")) in _NUMBERS:
            found.append((place, quantity, value))
    return found


def _speaks_of_a_server(document: Resource) -> bool:
    """Take out what nobody reads, and say whether it speaks of a server, which is read. Raises `TypeError`."""
    unread = {name: document.pop(name) for name in document.keys() & _UNREAD}
    text = unread.get("text")
    if isinstance(text, dict) and text.keys() <= {"status", "div"} and isinstance(text.get("div"), str):
        del unread["text"]  # Mostly the longest of all.
    return bool(unread) and has_absolute_reference(unread)
