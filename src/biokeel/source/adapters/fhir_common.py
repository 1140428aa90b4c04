"""What the makers of events from FHIR share: the resource at hand, its times, the envelope."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import tzinfo
from functools import lru_cache
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from biokeel.contracts.identity import ENTERED_IN_ERROR
from biokeel.contracts.topics import EventType
from biokeel.source.adapters.base import Context, Record, Report, Subject, Unusable, stated_times
from biokeel.source.adapters.fhir_bundle import Bundle
from biokeel.source.adapters.fhir_codes import codings
from biokeel.source.adapters.fhir_references import Resource
from biokeel.source.times import Moment, Precision, moment


class Singles(Protocol):
    """Takes pressures that stand alone, until the other of the two is found."""

    def add(self, case: Case, code: str, found: tuple[float, Record]) -> None:
        """Take a pressure (mm[Hg]) with its LOINC code and the envelope of the event that it would be alone."""


class OfQuantity(NamedTuple):
    """A field of an event that is the number of a Quantity, in `unit` there and in `wanted` here."""

    name: str
    quantity: Resource
    unit: str
    wanted: str


class Made(NamedTuple):
    """One event that a resource was made into: by which `part` of it, and which `numbers` of it are in its fields."""

    event: EventType
    record: Record
    part: str = ""
    numbers: tuple[OfQuantity, ...] = ()


@dataclass(slots=True)
class Case:
    """One resource while its events are made. `part` begins the names of its parts: it is one itself if contained."""

    resource: Resource
    context: Context
    bundle: Bundle
    position: str
    report: Report
    holder: Resource
    pressures: Singles
    part: str = ""
    _key: str | None = None
    _subject: Subject | None = None
    _recorded_at: int | None = None
    _says_when: bool = False

    @property
    def kind(self) -> str:
        """The type of the resource."""
        return str(self.resource.get("resourceType", "?"))

    def problem(self, reason: str) -> None:
        """Note a part of the resource that cannot be read, while the rest goes on."""
        self.report.problem(self.position, f"{self.kind}: {reason}")

    def leave_out(self, what: str) -> None:
        """Note a part of the resource that is no event of ours."""
        self.report.leave_out(self.position, what)

    @property
    def key(self) -> str:
        """The source's own key of what `part`s are parts of. Raises `Unusable`."""
        if self._key is None:
            self._key = self.bundle.key(self.holder)
        return self._key

    @property
    def subject(self) -> Subject:
        """Whom it is about; what is contained without a subject is about its holder's. Raises `Unusable`."""
        if self._subject is None:
            self._subject = self._told()
        return self._subject

    def _told(self) -> Subject:
        if self.resource is self.holder:
            return self.bundle.subject(self.holder)
        said = self.resource.get("subject")
        of_holder = self.bundle.subject(self.holder)
        if said and self.bundle.subject_at(self.holder, said) != of_holder:
            raise Unusable("a contained resource is about somebody else than what holds it")
        return of_holder

    @property
    def recorded_at(self) -> int:
        """The version: the latest of the times at which it was written down, the file's own without any (ms).

        Raises `Unusable` where that is no time of record.
        """
        if self._recorded_at is None:
            meta = self.resource.get("meta")
            times = [meta.get("lastUpdated") if isinstance(meta, dict) else None]
            times += [self.resource.get(name) for name in ("issued", "recordedDate", "authoredOn", "dateAsserted")]
            read = [_moment(text, self.context.zone) for text in times if text is not None]
            said = max((at.at for at in read if at is not None), default=None)
            self._says_when = said is not None
            self._recorded_at = self.context.recorded_at if said is None else said
        return self._recorded_at

    @property
    def is_withdrawn(self) -> bool:
        """Whether the resource says that it should never have been recorded."""
        if self.resource.get("status") == ENTERED_IN_ERROR:
            return True
        said = self.resource.get("verificationStatus")
        return said is not None and any(each.code == ENTERED_IN_ERROR for each in codings(said))

    def contained(self, resource: Resource, part: str) -> Case:
        """The same for a resource that this one contains."""
        inside = (self.context, self.bundle, self.position, self.report, self.holder, self.pressures)
        return Case(resource, *inside, self.part + part)

    def envelope(self, event: EventType, occurred: Moment, part: str = "") -> Record:
        """The envelope of an event; `part` tells several of one resource apart."""
        subject = self.subject
        recorded = Moment(self.recorded_at, None)
        times = stated_times(occurred, recorded if self._says_when else None, self.context)
        if event.is_person:
            del times["occurred_precision"]  # Person events have none: the vault takes them in.
        return {
            "event_id": self.context.ids.of(event, self.key + self.part + part),
            "source_id": self.context.source_id,
            "subject_scheme": subject.scheme,
            "subject_id": subject.value,
        } | times

    def first_moment(self, *names: str) -> Moment:
        """The first of the elements `names` that holds a time (a Period by its start). Raises `Unusable`."""
        for name in names:
            if (found := time_of(self.resource.get(name), self.context)) is not None:
                return found
        raise Unusable(f"no usable time in {' or '.join(names)}")


Maker: TypeAlias = Callable[[Case], Iterator[Made]]
"""Makes the events of one resource. Raises `Unusable`; yields nothing for what is no event of ours."""


def _moment(text: object, zone: tzinfo | None) -> Moment | None:
    return _read(text, zone) if isinstance(text, str) else None


_read = lru_cache(maxsize=65_536)(moment)
"""The resources of one visit have the same times, and reading one takes longer than all else about it."""


def time_of(found: Any, context: Context) -> Moment | None:
    """The moment of a dateTime, of a Period's start, or of a Timing that names one event."""
    if isinstance(found, dict):
        events = found.get("event")
        found = events[0] if isinstance(events, list) and len(events) == 1 else found.get("start")
    return _moment(found, context.zone)


_LENGTHS: Final = {Precision.YEAR: 366, Precision.MONTH: 31, Precision.DAY: 1}
_DAY: Final = 86_400_000
_ANY_ZONE: Final = 14 * 3_600_000
"""The farthest that a zone is from UTC: a date without one may begin so much earlier or later."""


def end_after(text: object, start: Moment | None, context: Context, name: str) -> tuple[int | None, str | None]:
    """When something ended (ms), not before it began, and how exactly that is said. Raises `Unusable` if it cannot be.

    R4: an end of 2024-05-01 includes that day, and so has 2024-05 that month. The earliest moment that the words allow
    is the end, and of what began within them that is its beginning.
    """
    end = moment(text, context.zone)
    if end is None:
        if text is not None:
            raise Unusable(f"{name} is no time")
        return None, None
    precision = end.precision
    assert precision is not None, "a text states its precision"
    if start is None or end.at >= start.at:
        return end.at, precision
    open_zone = _ANY_ZONE if end.offset_minutes is None else 0
    if end.at + _LENGTHS.get(precision, 0) * _DAY + open_zone <= start.at:
        raise Unusable(f"{name} is before the beginning")
    return start.at, precision
