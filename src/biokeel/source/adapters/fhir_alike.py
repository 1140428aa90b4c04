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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import orjson
import polars as pl

from biokeel.contracts.topics import EventType
from biokeel.source.adapters.base import Batch, Context, Record, Report, Unusable, known_subject
from biokeel.source.adapters.fhir_common import Case, Made
from biokeel.source.adapters.fhir_references import Resource, absolute, has_absolute_reference, relative
from biokeel.source.adapters.units import convert
from biokeel.source.moments import moments_of

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


_Shape: TypeAlias = tuple[bytes, int]
"""The rest of an Observation's JSON, and which elements were taken out of it: no two forms are written alike."""


class _Own(NamedTuple):
    """What an Observation has of its own: id, person, times, and the numbers of its quantities, in their order."""

    id: str
    person: str
    occurred: str
    issued: str | None
    updated: str | None
    numbers: tuple[float, ...]


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
    """An Observation of a known form, which waits; `document` is read by itself where it must be."""

    form: _Form
    place: str
    document: Resource
    own: _Own


class Read(NamedTuple):
    """What came of an Observation that was read by itself."""

    case: Case
    made: Sequence[Made]
    report: Report


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

    def add(self, place: str, document: Resource) -> bool:
        """Whether `document` has a known form, and waits; else it is to be read by itself."""
        if self._looked >= _TRIED and self._hit * 2 < self._looked:
            return False
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
            self._forms[shape] = self._form(place, document, own)
        form = self._forms[shape]
        if form is None:
            return False
        self._hit += 1
        self._waiting.append(Row(form, place, document, own))
        return True

    def take(self) -> tuple[list[Batch], list[Row]]:
        """The events of what waits, noted in the memory, and the rows that must be read by themselves."""
        rows, self._waiting = self._waiting, []
        if not rows:
            return [], []
        at, offset, precision, timed = moments_of([row.own.occurred for row in rows], self._context.zone)
        recorded, dated = self._recorded(rows)
        keys = [row.form.key + row.own.id for row in rows]
        plain = pl.DataFrame({"id": [row.own.id for row in rows], "person": [row.own.person for row in rows]})
        fits = plain.select((pl.col("id").str.contains(_IS_ID) & pl.col("person").str.contains(_IS_ID)).alias("fits"))
        good = timed & dated & fits["fits"].to_numpy()
        of_file = np.array([row.form.written is not None for row in rows], np.bool_)
        good &= ~of_file | (at <= recorded)
        good &= self._are_new(keys)
        good &= np.array([_is_somebody(row) for row in rows], np.bool_)
        chosen = np.flatnonzero(good).tolist()
        batches = [*self._batches(rows, chosen, keys, at, offset, precision, recorded)]
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

    def _are_new(self, keys: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Which records come the first time: here, and as far as the memory goes."""
        new = np.ones(len(keys), np.bool_)
        if len(set(keys)) < len(keys):
            times = Counter(keys)
            new &= np.array([times[key] == 1 for key in keys], np.bool_)
        if (memory := self._context.memory) is not None:
            digests = self._context.ids.digests("fhir", keys)
            memory.ahead(digests)
            new &= np.array([not memory.knows(each) for each in digests], np.bool_)
        return new

    def _batches(  # noqa: PLR0917 - columns of one table
        self,
        rows: Sequence[Row],
        chosen: Sequence[int],
        keys: Sequence[str],
        at: npt.NDArray[np.int64],
        offset: pl.Series,
        precision: pl.Series,
        recorded: npt.NDArray[np.int64],
    ) -> Iterator[Batch]:
        by_event: dict[EventType, list[tuple[int, _Event]]] = {}
        for index in chosen:
            for each in rows[index].form.events:
                by_event.setdefault(each.event, []).append((index, each))
        traces: dict[int, list[tuple[str, str]]] = {}
        for event, found in by_event.items():
            which = [index for index, _ in found]
            ids = self._context.ids.of_many(event, [keys[index] + each.part for index, each in found])
            if self._context.memory is not None:
                name = str(event)
                for index, event_id in zip(which, ids, strict=True):
                    traces.setdefault(index, []).append((name, event_id))
            frame = self._constants[event].frame()[[each.constants for _, each in found]]
            own = [rows[index].own for index in which]
            frame = frame.with_columns(
                pl.Series("event_id", ids, pl.String),
                pl.lit(self._context.source_id).alias("source_id"),
                pl.Series("subject_id", [each.person for each in own], pl.String),
                pl.Series("occurred_at", at[which]),
                offset[which].alias("occurred_offset_minutes"),
                precision[which].alias("occurred_precision"),
                pl.Series("recorded_at", recorded[which]),
                *_values(found, own, frame),
            )
            yield Batch(event, frame, [rows[index].place for index in which])
        if (memory := self._context.memory) is not None:
            made = sorted(traces)
            digests = self._context.ids.digests("fhir", [keys[index] for index in made])
            for index, digest in zip(made, digests, strict=True):
                row, when = rows[index], int(at[index])
                of_it = [(event, event_id, when) for event, event_id in sorted(traces[index])]
                memory.note_first(digest, int(recorded[index]), row.form.scheme, row.own.person, of_it)

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
        places = {id(holder): place for place, (_, holder, _) in enumerate(_numbers_in(document))}
        used = [places.get(id(each.holder), -1) for made in read.made for each in made.numbers]
        if read.made and sorted(used) != list(range(len(own.numbers))):
            return None  # A number that is in no field, or in two, may say something else.
        events = tuple(self._event(made, places) for made in read.made)
        return _Form(key[: -len(own.id)], subject.scheme, written, events, tuple(read.report.left_out.elements()))

    def _event(self, made: Made, places: dict[int, int]) -> _Event:
        numbers = tuple(_Number(each.name, places[id(each.holder)], each.unit, each.wanted) for each in made.numbers)
        leave = _OF_ITS_OWN | {each.name for each in numbers}
        record = {name: value for name, value in made.record.items() if name not in leave}
        constants = self._constants.setdefault(made.event, _Constants()).add(record)
        return _Event(made.event, made.part, constants, numbers)


def _values(found: Sequence[tuple[int, _Event]], own: Sequence[_Own], frame: pl.DataFrame) -> Iterator[pl.Series]:
    """The fields of events that are numbers of their Observations; where a form has none, its constant stands."""
    names = sorted({number.name for _, each in found for number in each.numbers})
    for name in names:
        values = [
            next((_value(number, of_row.numbers) for number in each.numbers if number.name == name), None)
            for (_, each), of_row in zip(found, own, strict=True)
        ]
        made = pl.Series(name, values, pl.Float64)
        yield made.zip_with(made.is_not_null(), frame[name].cast(pl.Float64)) if name in frame.columns else made


def _value(number: _Number, numbers: Sequence[float]) -> float | None:
    value = float(numbers[number.place])
    return value if number.unit == number.wanted else convert(value, number.unit, number.wanted)


def _is_somebody(row: Row) -> bool:
    try:
        known_subject(row.form.scheme, row.own.person, "subject")
    except Unusable:
        return False
    return True


def _split(document: Resource) -> tuple[_Shape, _Own] | None:
    """The form of an Observation, and what it has of its own; null where it is none that can be alike another."""
    if document.get("resourceType") != "Observation" or not document.keys() <= _KNOWN:
        return None
    own_id, subject, taken = document.get("id"), document.get("subject"), 0
    if type(own_id) is not str or not isinstance(subject, dict) or not subject.keys() <= {"reference", "display"}:
        return None
    reference = subject.get("reference")
    if type(reference) is not str:
        return None
    server, _, person = reference.rpartition("/")
    occurred, instant = document.get("effectiveDateTime"), document.get("effectiveInstant")
    if occurred is None:
        occurred, instant, taken = instant, None, 1
    issued = document.get("issued")
    if type(occurred) is not str or instant is not None or (issued is not None and type(issued) is not str):
        return None
    rest = document | {"id": None, "subject": server, "effectiveDateTime": None, "effectiveInstant": None}
    if issued is not None:
        rest["issued"], taken = None, taken | 2
    meta, updated = document.get("meta"), None
    if isinstance(meta, dict):
        updated = meta.get("lastUpdated")
        if updated is not None and type(updated) is not str:
            return None
        rest["meta"] = meta | {"lastUpdated": None, "versionId": None}
        taken |= 0 if updated is None else 4
    found = _numbers_in(document)
    if found:
        taken |= sum(8 << place for place, _, _ in found)
        _take_out(rest, found)
    if not document.keys().isdisjoint(_UNREAD) and not _leave_unread(rest, document):
        return None
    try:
        own = _Own(own_id, person, occurred, issued, updated, tuple(value for _, _, value in found))
        return (orjson.dumps(rest), taken), own
    except TypeError:  # Nested too deep.
        return None


def _numbers_in(document: Resource) -> list[tuple[int, Resource, float]]:
    """The numbers of its quantity, and of its components': where (0, then by component), what holds it, the number."""
    found = []
    components = document.get("component")
    holders = [document, *components] if isinstance(components, list) else [document]
    for place, holder in enumerate(holders):
        quantity = holder.get("valueQuantity") if isinstance(holder, dict) else None
        value = quantity.get("value") if isinstance(quantity, dict) else None
        if type(value) is float or type(value) is int:
            found.append((place, holder, value))
    return found


def _take_out(rest: Resource, found: Sequence[tuple[int, Resource, float]]) -> None:
    """Put the same where `rest` has the numbers that were `found`; what it shares with the document stays as it is."""
    parts = None
    for place, holder, _ in found:
        quantity = holder["valueQuantity"] | {"value": None}
        if not place:
            rest["valueQuantity"] = quantity
            continue
        if parts is None:
            parts = rest["component"] = [*rest["component"]]
        parts[place - 1] = holder | {"valueQuantity": quantity}


def _leave_unread(rest: Resource, document: Resource) -> bool:
    """Put the same where `rest` has what nobody reads; false where it speaks of another server, which is read."""
    unread = {name: document[name] for name in document.keys() & _UNREAD}
    rest.update(dict.fromkeys(unread))
    text = unread.get("text")
    if isinstance(text, dict) and text.keys() <= {"status", "div"} and isinstance(text.get("div"), str):
        unread["text"] = None  # Mostly the longest of all.
    try:
        return not has_absolute_reference(unread)
    except TypeError:  # Nested too deep.
        return False
