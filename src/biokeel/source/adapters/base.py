"""What an adapter is: a function that turns one file into ready records, and reports what it could not turn.

A ready record is a dictionary with the fields of an event's schema; what is absent is null. Timestamps are integers
(milliseconds since 1970 in UTC), dates integers (days since 1970): as Avro has them.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeAlias

import orjson
import polars as pl

from biokeel.contracts.topics import EventType
from biokeel.source.adapters.stated import NOTHING, Stated
from biokeel.source.ids import EventIds
from biokeel.source.memory import Memory
from biokeel.source.schemes import Schemes
from biokeel.source.times import Moment
from biokeel.vault.identifiers import normalise

Record: TypeAlias = dict[str, Any]
"""One ready record; Any because its values are those of an Avro record."""


class Batch(NamedTuple):
    """Some events of one type: ready records, or a frame with the schema's columns.

    `places` says of each where in its file it stands ("line 3", "entry 7"), never what is there.
    """

    event: EventType
    rows: list[Record] | pl.DataFrame
    places: Sequence[str]


BATCH_ROWS: Final = 20_000
"""Most records that an adapter holds before it hands them on: a long file must not fill the memory."""
_ROUNDED: Final = re.compile(r"[0-9]+(?:\.[0-9]+[eE][+-]?|[eE]\+)[0-9]+")
"""What a spreadsheet makes of a long number: 1.23457E+09."""
_FRACTION: Final = re.compile(r"[0-9]+\.0+")
"""What a data frame with empty cells makes of a whole number: 7.0, which would be somebody else than 7."""


@dataclass(frozen=True, slots=True, repr=False)
class Subject:
    """One identifier of a person: scheme, and value under it. Never printed."""

    scheme: str
    value: str

    def __repr__(self) -> str:
        return f"Subject({self.scheme}, ...)"


@dataclass(frozen=True, slots=True)
class Context:
    """What a file does not say of itself.

    `site` names the hospital, centre or vendor in subject schemes. `subject` is the person of files that name nobody.
    `zone` is the time zone of times without one: null reads them as UTC and leaves the offset null.
    `day_month` is the order of dates like 4/5/2024 (mdy or dmy) where the source says it, null where it does not.
    `schemes` says which identifier systems and FHIR servers are which subject schemes.
    `changed_at` (ms) is the file's own time of change; see `recorded_at`. `memory` knows what records of earlier files
    were made into. `stated` is what the caller says of this file: of a report that names no sample, no pipeline or no
    time.
    """

    source_id: str
    site: str
    ids: EventIds
    changed_at: int
    subject: Subject | None = None
    zone: tzinfo | None = None
    schemes: Schemes = field(default_factory=Schemes)
    day_month: str | None = None
    memory: Memory | None = None
    stated: Stated = NOTHING

    @property
    def recorded_at(self) -> int:
        """What stands where a record does not say when it was written down: the file's own time of change.

        So the same file gives the same events. Raises `Unusable` where it cannot be: archives give files the date 1980,
        and a clock that is wrong any date.
        """
        if self.changed_at < _NO_EARLIER:
            raise Unusable(f"{_NOTHING_SAYS}, which lies before the year 2000, {_SET_IT}")
        if self.changed_at > (time.time() + _CLOCKS_DIFFER) * 1000:
            raise Unusable(f"{_NOTHING_SAYS}, which lies in the future, {_SET_IT}")
        return self.changed_at


_NO_EARLIER: Final = 946_684_800_000
"""2000-01-01, in milliseconds: no file of a source is older."""
_CLOCKS_DIFFER: Final = 86_400.0
"""Seconds by which the clock of the machine that wrote a file may be ahead of ours."""
_NOTHING_SAYS: Final = "nothing says when it was written down: not the file's time of change"
_SET_IT: Final = "set that to when it was exported"
BEFORE_IT_HAPPENED: Final = f"{_NOTHING_SAYS}, which lies before it happened, {_SET_IT}"


def stated_times(occurred: Moment, written: Moment | None, context: Context) -> Record:
    """The times of an envelope: when it happened, as exactly as the source says, and when it was written down.

    `written` is null where the source does not say; then the file's time of change stands for it. Raises `Unusable`
    where that is impossible: nothing is written down before it happens.
    """
    recorded = written.at if written is not None else context.recorded_at
    if written is None and recorded < occurred.at:
        raise Unusable(BEFORE_IT_HAPPENED)
    return {
        "occurred_at": occurred.at,
        "occurred_offset_minutes": occurred.offset_minutes,
        "occurred_precision": occurred.precision,
        "recorded_at": recorded,
    }


def ending(begun: Moment, ended: Moment, name: str) -> int:
    """`ended` in ms; `name` says where it stands. Raises `Unusable` where it lies before the beginning."""
    if ended.at < begun.at:
        raise Unusable(f"{name} lies before the beginning")
    return ended.at


@dataclass(frozen=True, slots=True)
class Problem:
    """A part of a file that no event was made of. `position` is a line or an entry; neither text holds a value."""

    position: str
    reason: str


MOST_PROBLEMS: Final = 1_000
"""Problems of one file that are held with their places; all are counted, and `Report.told` hears of each."""
_MOST_REASONS: Final = 1_000
_FURTHER: Final = "further kinds, not told apart"


class Told(Protocol):
    """Hears of each part of a file that became no event."""

    def __call__(self, kind: Literal["problems", "left_out"], position: str, what: str) -> None:
        """Take one in: under which word of the report, where, and the reason or type."""


@dataclass(slots=True)
class Report:
    """What became of one file, filled while an adapter reads it.

    `problems` are what should have become an event, or a field of one, and did not: the first of them with their
    places, and in `reasons` how many of each. `left_out` counts, by type or reason, what is well formed and not sent:
    what is no event of ours (an encounter), and identifiers that the source does not speak of. There is nothing to
    mend. `bytes_read` is told how many more bytes of the file, as it lies, were read; `told` hears of every place.
    """

    problems: list[Problem] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    bytes_read: Callable[[int], None] = field(default=lambda _: None, repr=False)
    told: Told | None = field(default=None, repr=False)

    def problem(self, position: str, reason: str) -> None:
        """Note a part of the file that should have become an event and did not."""
        is_new = _count(self.reasons, reason)
        if is_new or len(self.problems) < MOST_PROBLEMS:
            self.problems.append(Problem(position, reason))
        if self.told is not None:
            self.told("problems", position, reason)

    def leave_out(self, position: str, what: str) -> None:
        """Note a part of the file that is well formed and no event of ours; `what` is its type or the reason."""
        _count(self.left_out, what)
        if self.told is not None:
            self.told("left_out", position, what)


def _count(counts: Counter[str], what: str) -> bool:
    """Count one more `what`, and say whether it is the first; a file may not fill the memory with names."""
    if what not in counts and len(counts) >= _MOST_REASONS:
        what = _FURTHER
    counts[what] += 1
    return counts[what] == 1


class Held:
    """Records of a file with their places, by event type, until there are enough of them to hand on."""

    def __init__(self) -> None:
        self._batches: dict[EventType, tuple[list[Record], list[str]]] = {}
        self._frames: dict[EventType, list[Batch]] = {}
        self._count = 0

    @property
    def full(self) -> bool:
        """Whether it is time to hand on what is here."""
        return self._count >= BATCH_ROWS

    def add(self, event: EventType, record: Record, place: str) -> None:
        """Hold one more record."""
        records, places = self._batches.setdefault(event, ([], []))
        records.append(record)
        places.append(place)
        self._count += 1

    def add_frame(self, batch: Batch) -> None:
        """Hold the rows of a frame, whose columns may be some of the schema's."""
        self._frames.setdefault(batch.event, []).append(batch)
        self._count += len(batch.places)

    def hand_on(self) -> list[Batch]:
        """Everything, enrolments first: one may stand behind its person's events, and spares them the parking."""
        batches, frames = self._batches, self._frames
        self._batches, self._frames, self._count = {}, {}, 0
        made = [Batch(event, records, places) for event, (records, places) in batches.items()]
        made += [_joined(event, some) for event, some in frames.items()]
        return sorted(made, key=lambda batch: not batch.event.is_person)


def _joined(event: EventType, some: Sequence[Batch]) -> Batch:
    frames = [each.rows for each in some if isinstance(each.rows, pl.DataFrame)]
    return Batch(event, pl.concat(frames, how="diagonal_relaxed"), [place for each in some for place in each.places])


class Unusable(Exception):  # noqa: N818 - never leaves an adapter: it becomes a problem of the report
    """A record that should have become an event and cannot; says which element is at fault, never its value."""


MALFORMED: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RecursionError)
"""What code raises on a record that has another structure than its standard says; messages of these quote values."""


def subject_text(value: object, name: str) -> str:
    """`value` where it can be one person's identifier; `name` says where it stands. Raises `Unusable`.

    What is no text is not made into one, and what masks or rounds an identifier is the same for many people.
    """
    if not isinstance(value, str):
        raise Unusable(f"{name} is no text")
    if not value.strip():
        raise Unusable(f"{name} is empty")
    if "**" in value:
        raise Unusable(f"{name} is masked")
    if _ROUNDED.fullmatch(value.strip()):
        raise Unusable(f"{name} is a number that a spreadsheet has rounded")
    if _FRACTION.fullmatch(value.strip()):
        raise Unusable(f"{name} is a whole number with a fraction, as a data frame writes it")
    return value


def subject_of(scheme: str, value: object, name: str) -> Subject:
    """The subject `value` under `scheme`. Raises `Unusable` like `subject_text`, and where the scheme forbids it."""
    text = subject_text(value, name)
    if normalise(scheme, text) is None:
        raise Unusable(f"{name} has not the form of its scheme")
    return Subject(scheme, text)


known_subject = lru_cache(maxsize=65_536)(subject_of)
"""`subject_of` of a person who has many records, which name them one after the other."""


class Adapter(Protocol):
    """Reads one format. A whole file that cannot be read raises `AdapterError`; a bad part of it is reported."""

    def __call__(self, path: Path, context: Context, report: Report) -> Iterator[Batch]:
        """Yield the file's events in its own order; `report` is complete when the iterator has ended."""
        ...


def content_key(document: Any) -> str:
    """A key for a record that has none: the SHA-256 of its JSON, whatever the order of its keys."""
    return sha256(orjson.dumps(document, option=orjson.OPT_SORT_KEYS)).hexdigest()
