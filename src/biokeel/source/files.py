"""Files and folders into events: find, detect, read, enrol, hand on, and say what became of each file."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import tzinfo
from enum import IntEnum
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, Protocol, TypeAlias, TypeVar

import polars as pl

from biokeel.contracts.catalogue import Catalogue
from biokeel.contracts.topics import EventType
from biokeel.errors import (
    AdapterError,
    BiokeelError,
    DeliveryError,
    NoTopic,
    OversizedEvent,
    SourceError,
    UnknownSchema,
    where_raised,
)
from biokeel.source.adapters.base import BATCH_ROWS, MALFORMED, Batch, Context, Record, Report, Subject, Unusable
from biokeel.source.adapters.detect import RECORDS, detect
from biokeel.source.adapters.records import Message, read_raw
from biokeel.source.adapters.stated import NOTHING, Stated
from biokeel.source.encoding import Encoder, Withheld
from biokeel.source.enrol import Enroller, states_no_consent
from biokeel.source.ids import EventIds
from biokeel.source.mappings.library import Library
from biokeel.source.memory import Memory
from biokeel.source.schemes import Schemes
from biokeel.source.submission import Origin, Submission

T = TypeVar("T")
Rows: TypeAlias = pl.DataFrame | Sequence[Record]

GATHERED: Final = 5_000
"""Records of files that wait for those of the next."""


_COLLECTED: Final = 200_000
"""Objects more than were given back, after which Python looks for circles (its own: 700)."""


class Sink(Protocol):
    """Where events go: `Publisher`, or `DryRun`."""

    def publish(self, event: EventType, rows: pl.DataFrame | Sequence[Record], withheld: Withheld | None = None) -> int:
        """Take `rows` and return how many; `withheld` is told of what of them will not cross the privacy wall.

        Raises `SourceError` where a row does not fit the schema.
        """

    def publish_raw(self, event: EventType, values: Sequence[bytes | None], partition: int = 0) -> list[int]:
        """Take messages as they are and return their offsets."""


class DryRun:
    """Does all that publishing does, encoding too, and sends nothing."""

    def __init__(self, catalogue: Catalogue, max_event_bytes: int) -> None:
        self._encoder = Encoder(catalogue, max_event_bytes)

    def publish(self, event: EventType, rows: pl.DataFrame | Sequence[Record], withheld: Withheld | None = None) -> int:
        """Encode `rows` and return how many; tells `withheld`, and raises `SourceError`, as `Publisher` does."""
        frame, _ = self._encoder.many(event, rows)
        if withheld is not None:
            self._encoder.tell_withheld(event, frame, withheld)
        return frame.height

    def publish_raw(self, event: EventType, values: Sequence[bytes | None], partition: int = 0) -> list[int]:
        """Nothing can be wrong with what is sent as it is."""
        del event, partition
        return list(range(len(values)))


@dataclass(frozen=True, slots=True)
class Source:
    """Who publishes. `site` names hospital, centre or vendor; None leaves it to the format, then to the source id.

    `schemes` is the source's table of identifier systems and FHIR servers (`biokeel.source.schemes.load_schemes`);
    `tables` are its mappings of tables (`biokeel.source.mappings.library.Library`), None for the shipped ones.
    `memory` knows what earlier files were made into (`biokeel.source.memory.memory_at`).
    `reports` says of some files what they do not say themselves (`biokeel.source.qc_sheet`), `stated` of all others.
    `day_month` is the order of its dates like 4/5/2024: mdy, dmy, or null where each file must tell.
    """

    source_id: str
    key: bytes = field(repr=False)
    site: str | None = None
    subject: Subject | None = None
    zone: tzinfo | None = None
    schemes: Schemes = field(default_factory=Schemes)
    day_month: str | None = None
    tables: Library | None = None
    memory: Memory | None = None
    reports: Mapping[Path, Stated] = field(default_factory=dict)
    stated: Stated = NOTHING

    def context(self, path: Path, format_site: str | None) -> Context:
        """The context of one file."""
        site = self.site or format_site or self.source_id.replace("/", "-")
        return Context(
            self.source_id,
            site,
            EventIds(self.source_id, self.key),
            changed_at=int(path.stat().st_mtime * 1000),
            subject=self.subject,
            zone=self.zone,
            day_month=self.day_month,
            schemes=self.schemes,
            memory=self.memory,
            stated=self.reports.get(path.resolve(), self.stated),
        )


@dataclass(slots=True)
class FileResult:
    """What became of one file. `failure` says why nothing could be read of it.

    `without_consent` counts enrolments that state no consent, `left_alone` events that need not be sent again.
    """

    path: Path
    format: str = ""
    sent: Counter[str] = field(default_factory=Counter)
    report: Report = field(default_factory=Report)
    failure: str = ""
    without_consent: int = 0
    left_alone: int = 0

    @property
    def unused(self) -> int:
        """Parts of the file that should have become an event, or a field of one, and did not."""
        return self.report.reasons.total()


class Status(IntEnum):
    """What a command that reads files says in its exit status."""

    ALL_USED = 0
    """Every file was read to its end, and whatever should have become an event did."""
    FILE_FAILED = 1
    """A file could not be used, or not to its end. (Also where the command itself could not be run.)"""
    PARTS_UNUSED = 2
    """All files were read; parts of them that should have become an event did not."""


def status_of(results: Iterable[FileResult]) -> Status:
    """The status of a run, the worst of its files."""
    found = Status.ALL_USED
    for result in results:
        if result.failure:
            return Status.FILE_FAILED
        if result.unused:
            found = Status.PARTS_UNUSED
    return found


def find_files(paths: Iterable[Path]) -> list[Path]:
    """`paths`, folders walked, in a stable order; hidden files are left out. Raises `AdapterError` for what is not."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = (file for file in path.rglob("*") if file.is_file())
            found += sorted(file for file in inside if not any(p.startswith(".") for p in file.relative_to(path).parts))
        elif path.is_file():
            found.append(path)
        else:
            raise AdapterError(f"There is no file or folder {path}.")
    return list(dict.fromkeys(found))


def publish_files(
    paths: Sequence[Path],
    source: Source,
    sink: Sink,
    enroller: Enroller | None = None,
    done: Callable[[FileResult], None] = lambda _: None,
    *,
    begun: Callable[[FileResult], None] = lambda _: None,
    submission: Submission | None = None,
    only: Container[tuple[str, str]] | None = None,
) -> list[FileResult]:
    """Publish every file and say what became of it; `done` is called after each. Raises `DeliveryError`, and
    `SourceError` of the source's memory.

    `begun` is called before a file is read, and may set what its report tells. One bad file does not stop the others.
    `submission` keeps where events stand. Where `only` is given, the events in it (event type, id) are sent alone.
    If the process dies in between, publish the same files again.
    """
    results: list[FileResult] = []
    waiting = Waiting(sink, source.memory, submission, only)
    told = 0
    with few_collections():
        for number, path in enumerate(paths, 1):
            result = FileResult(path)
            begun(result)
            _publish_file(result, source, waiting, enroller)
            results.append(result)
            if waiting.rows >= GATHERED or number == len(paths):
                waiting.send()
            if not waiting.rows:
                for each in results[told:]:
                    done(each)
                told = len(results)
    return results


@contextmanager
def few_collections() -> Iterator[None]:
    """Let Python look for circles of objects less often, and not in what the process has loaded.

    Documents are trees, which go without being looked for; to go through some ten thousand of them that wait, and all
    that is loaded, again and again, takes two fifths of the time that reading takes.
    """
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(_COLLECTED, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def batches_of(result: FileResult, source: Source) -> Iterator[tuple[Batch, Context]]:
    """Read the file of `result`: its events and what its adapter was told; `result` says what became of the rest.

    Whatever an adapter raises is a failure of its file and of no other.
    """
    try:
        found = detect(result.path, source.tables)
        result.format = found.name
        context = source.context(result.path, found.site)
        for batch in found.read(result.path, context, result.report):
            yield batch, context
    except SourceError as error:
        result.failure = str(error)
    except Unusable as fault:
        result.failure = f"{result.path.name}: {fault}."
    except OSError as error:
        result.failure = f"Cannot read {result.path.name}: {error.strerror or type(error).__name__}."
    except (Exception, pl.exceptions.PanicException) as error:  # noqa: BLE001 - whatever it is, the other files go on
        result.failure = (
            f"{result.path.name} cannot be read to its end: {where_raised(error)}. "
            "That is a defect of Biokeel: report this line; it holds nothing of the file."
        )


def messages_of(result: FileResult) -> list[Message]:
    """The messages of a file of ready records that are to be sent as they are; none of any other."""
    if result.format != RECORDS.name or result.failure:
        return []
    try:
        return read_raw(result.path)
    except AdapterError as error:
        result.failure = str(error)
        return []


def refused(send: Callable[[Sequence[T]], object], some: Sequence[T]) -> Iterator[tuple[T, BiokeelError]]:
    """Hand `some` to `send`, in halves where it refuses a record; yield each that it refuses alone, and why.

    So is each refused where there is no such event type (`UnknownSchema`), or none for this source (`NoTopic`).

    Any other `DeliveryError` is no fault of a record, so it goes on, but for `OversizedEvent`: nothing was sent then.
    """
    error: BiokeelError
    try:
        send(some)
    except OversizedEvent as raised:
        error = raised
    except (UnknownSchema, NoTopic) as raised:
        yield from ((each, raised) for each in some)
        return
    except DeliveryError:
        raise
    except SourceError as raised:
        error = raised
    except (*MALFORMED, pl.exceptions.PolarsError) as raised:
        error = SourceError(f"A value cannot be written: {where_raised(raised)}.")
    else:
        return
    if len(some) == 1:
        yield some[0], error
        return
    half = len(some) // 2
    yield from refused(send, some[:half])
    yield from refused(send, some[half:])


def _publish_file(result: FileResult, source: Source, waiting: Waiting, enroller: Enroller | None) -> None:
    for (event, rows, places), context in batches_of(result, source):
        batches = [(event, rows)] if enroller is None else enroller.before(event, rows, context)
        for kind, records in batches:
            # An enrolment that was added stands nowhere in the file.
            of_it = places if kind == event else [f"enrolment of {places[0]}"] * len(records)
            wanted, of_them = waiting.wanted(kind, records, of_it)
            result.left_alone += len(records) - len(wanted)
            result.without_consent += states_no_consent(kind, wanted)
            waiting.add(result, kind, wanted, of_them)
    messages: dict[EventType, list[Message]] = {}
    for message in messages_of(result):
        messages.setdefault(message.event, []).append(message)
    for event, some in messages.items():
        for message, error in refused(partial(waiting.send_messages, result, event), some):
            result.report.problem(message.place, str(error))


class _Record(NamedTuple):
    """A ready record that waits, with the file and the place that it came from."""

    result: FileResult
    place: str
    content: Record


class Waiting:
    """Ready records of several files that are sent together, each with the file that it came from.

    To encode and send some costs 2 ms an event type, however few they are, and a FHIR bundle has some hundred of six.
    """

    def __init__(
        self,
        sink: Sink,
        memory: Memory | None,
        submission: Submission | None = None,
        only: Container[tuple[str, str]] | None = None,
    ) -> None:
        self._sink = sink
        self._memory = memory
        self._submission = submission
        self._only = only
        self.rows = 0
        self._records: dict[EventType, list[_Record]] = {}

    def wanted(self, event: EventType, rows: Rows, places: Sequence[str]) -> tuple[Rows, Sequence[str]]:
        """Those of `rows`, and their places, that are to be sent."""
        if self._only is None:
            return rows, places
        which = [index for index, event_id in enumerate(_ids(rows)) if (str(event), event_id) in self._only]
        kept = rows[which] if isinstance(rows, pl.DataFrame) else [rows[index] for index in which]
        return kept, [places[index] for index in which]

    def add(self, result: FileResult, event: EventType, rows: Rows, places: Sequence[str]) -> None:
        """Let `rows` of a file wait; a frame, before which all else is sent, goes at once."""
        if isinstance(rows, pl.DataFrame):
            self.send()
            self._handing(event, rows, ((result, place) for place in places))
            for index, error in refused(partial(self._send_rows, result, event, rows, places), range(rows.height)):
                self._refused(result, event, places[index], rows[index], error)
            return
        some = [_Record(result, place, record) for place, record in zip(places, rows, strict=True)]
        if some:
            self._records.setdefault(event, []).extend(some)
            self.rows += len(some)
        if self.rows >= BATCH_ROWS:
            self.send()

    def send(self) -> None:
        """Send what waits, enrolments first: events of people who are enrolled need not be parked.

        What the source remembers of their records is on the disk before. Raises `SourceError`.
        """
        if self._memory is not None:
            self._memory.keep()
        records, self._records, self.rows = self._records, {}, 0
        for event in sorted(records, key=lambda each: not each.is_person):
            # Where one does not fit the schema the others are sent.
            some = records[event]
            self._handing(event, [each.content for each in some], ((each.result, each.place) for each in some))
            for (result, place, record), error in refused(partial(self._send_records, event), some):
                self._refused(result, event, place, [record], error)

    def send_messages(self, result: FileResult, event: EventType, some: Sequence[Message]) -> None:
        """Send messages as they are, whose ids nobody knows: they are not noted."""
        result.sent[str(event)] += len(self._sink.publish_raw(event, [each.value for each in some]))

    def _handing(self, event: EventType, rows: Rows, stand: Iterable[tuple[FileResult, str]]) -> None:
        if self._submission is not None:
            origins = (Origin(str(result.path), place) for result, place in stand)
            self._submission.handing(event, zip(_ids(rows), origins, strict=True))

    def _refused(self, result: FileResult, event: EventType, place: str, row: Rows, error: BiokeelError) -> None:
        result.report.problem(place, str(error))
        if self._submission is not None:
            (event_id,) = _ids(row)
            self._submission.refused(event, event_id, Origin(str(result.path), place))

    def _send_rows(
        self, result: FileResult, event: EventType, rows: pl.DataFrame, places: Sequence[str], some: Sequence[int]
    ) -> None:
        def withheld(row: int, what: str) -> None:
            result.report.problem(places[some[row]], what)

        result.sent[str(event)] += self._sink.publish(event, rows[some[0] : some[-1] + 1], withheld) if some else 0

    def _send_records(self, event: EventType, some: Sequence[_Record]) -> None:
        def withheld(row: int, what: str) -> None:
            some[row].result.report.problem(some[row].place, what)

        self._sink.publish(event, [each.content for each in some], withheld)
        for result, _, _ in some:
            result.sent[str(event)] += 1


def _ids(rows: Rows) -> list[str]:
    """The event id of each row, as far as it has one."""
    return rows["event_id"].to_list() if isinstance(rows, pl.DataFrame) else [str(row.get("event_id")) for row in rows]


def summary(results: Iterable[FileResult]) -> Iterator[tuple[str, int]]:
    """Events sent per type, over all files, most first."""
    total: Counter[str] = Counter()
    for result in results:
        total += result.sent
    yield from total.most_common()
