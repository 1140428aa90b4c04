"""Files and folders into events: find, detect, read, enrol, hand on, and say what became of each file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from pathlib import Path
from typing import Final, Protocol, TypeVar

import polars as pl

from biokeel.contracts.catalogue import Catalogue
from biokeel.contracts.codec import Codec
from biokeel.contracts.topics import EventType
from biokeel.errors import AdapterError, BiokeelError, DeliveryError, SourceError, UnknownSchema
from biokeel.source.adapters.base import BATCH_ROWS, Context, Record, Report, Subject
from biokeel.source.adapters.detect import RECORDS, Format, detect
from biokeel.source.adapters.records import read_raw
from biokeel.source.columns import conform, frame_of
from biokeel.source.enrol import Enroller, states_no_consent
from biokeel.source.ids import EventIds
from biokeel.source.schemes import Schemes

T = TypeVar("T")

GATHERED: Final = 5_000
"""Records of files that wait for those of the next."""


class Sink(Protocol):
    """Where events go: `Publisher`, or `DryRun`."""

    def publish(self, event: EventType, rows: pl.DataFrame | Sequence[Record]) -> int:
        """Take `rows` and return how many. Raises `SourceError` where a row does not fit the schema."""

    def publish_raw(self, event: EventType, values: Sequence[bytes | None], partition: int = 0) -> list[int]:
        """Take messages as they are and return their offsets."""


class DryRun:
    """Does all that publishing does, encoding too, and sends nothing."""

    def __init__(self, catalogue: Catalogue, max_event_bytes: int) -> None:
        self._catalogue = catalogue
        self._codec = Codec(catalogue, max_event_bytes)

    def publish(self, event: EventType, rows: pl.DataFrame | Sequence[Record]) -> int:
        """Encode `rows` and return how many."""
        schema = self._catalogue.reader(event).schema
        frame = conform(schema, rows) if isinstance(rows, pl.DataFrame) else frame_of(schema, rows)
        return len(self._codec.encode(event, frame))

    def publish_raw(self, event: EventType, values: Sequence[bytes | None], partition: int = 0) -> list[int]:
        """Nothing can be wrong with what is sent as it is."""
        del event, partition
        return list(range(len(values)))


@dataclass(frozen=True, slots=True)
class Source:
    """Who publishes. `site` names hospital, centre or vendor; None leaves it to the format, then to the source id.

    `schemes` is the source's table of identifier systems and FHIR servers (`biokeel.source.schemes.load_schemes`).
    `day_month` is the order of its dates like 4/5/2024: mdy, dmy, or null where each file must tell.
    """

    source_id: str
    key: bytes = field(repr=False)
    site: str | None = None
    subject: Subject | None = None
    zone: tzinfo | None = None
    schemes: Schemes = field(default_factory=Schemes)
    day_month: str | None = None

    def context(self, path: Path, format_site: str | None) -> Context:
        """The context of one file."""
        site = self.site or format_site or self.source_id.replace("/", "-")
        changed = int(path.stat().st_mtime * 1000)
        ids = EventIds(self.source_id, self.key)
        return Context(self.source_id, site, ids, changed, self.subject, self.zone, self.schemes, self.day_month)


@dataclass(slots=True)
class FileResult:
    """What became of one file. `failure` says why nothing could be read of it.

    `without_consent` counts enrolments that state no consent.
    """

    path: Path
    format: str = ""
    sent: Counter[str] = field(default_factory=Counter)
    report: Report = field(default_factory=Report)
    failure: str = ""
    without_consent: int = 0

    @property
    def failed_wholly(self) -> bool:
        """Whether the file should have given events and gave none."""
        return bool(self.failure) or (not self.sent and bool(self.report.problems))


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
) -> list[FileResult]:
    """Publish every file and say what became of it; `done` is called after each. Raises `DeliveryError`.

    One bad file does not stop the others. If the process dies in between, publish the same files again.
    """
    results: list[FileResult] = []
    waiting = Waiting(sink)
    told = 0
    for number, path in enumerate(paths, 1):
        result = FileResult(path)
        try:
            _publish_file(result, source, waiting, enroller)
        except DeliveryError:
            raise
        except SourceError as error:
            result.failure = str(error)
        results.append(result)
        if waiting.rows >= GATHERED or number == len(paths):
            waiting.send()
        if not waiting.rows:
            for each in results[told:]:
                done(each)
            told = len(results)
    return results


def recognise(result: FileResult, source: Source) -> tuple[Format, Context]:
    """The format of a file, which `result` is told too, and what its adapter needs. Raises `AdapterError`."""
    found = detect(result.path)
    result.format = found.name
    return found, source.context(result.path, found.site)


def refused(send: Callable[[Sequence[T]], object], some: Sequence[T]) -> Iterator[tuple[T, BiokeelError]]:
    """Hand `some` to `send`, in halves where it raises `SourceError`; yield each that it refuses alone, and why.

    So is each refused where there is no such event type (`UnknownSchema`).

    A `DeliveryError` is no fault of a record, so it goes on.
    """
    try:
        send(some)
    except DeliveryError:
        raise
    except UnknownSchema as error:
        yield from ((each, error) for each in some)
    except SourceError as error:
        if len(some) == 1:
            yield some[0], error
            return
        half = len(some) // 2
        yield from refused(send, some[:half])
        yield from refused(send, some[half:])


def _publish_file(result: FileResult, source: Source, waiting: Waiting, enroller: Enroller | None) -> None:
    path = result.path
    found, context = recognise(result, source)
    for event, rows, _ in found.read(path, context, result.report):
        batches = [(event, rows)] if enroller is None else enroller.before(event, rows, context)
        for kind, records in batches:
            result.without_consent += states_no_consent(kind, records)
            waiting.add(result, kind, records)
    if found is RECORDS:
        messages: dict[EventType, list[bytes | None]] = {}
        for event, value, _ in read_raw(path):
            messages.setdefault(event, []).append(value)
        for event, values in messages.items():
            result.sent[str(event)] += len(waiting.sink.publish_raw(event, values))


class Waiting:
    """Ready records of several files that are sent together, each with the file that it came from.

    To encode and send some costs 2 ms an event type, however few they are, and a FHIR bundle has some hundred of six.
    """

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.rows = 0
        self._records: dict[EventType, list[tuple[FileResult, Record]]] = {}

    def add(self, result: FileResult, event: EventType, rows: pl.DataFrame | Sequence[Record]) -> None:
        """Let `rows` of a file wait; a frame, before which all else is sent, goes at once."""
        if isinstance(rows, pl.DataFrame):
            self.send()
            try:
                result.sent[str(event)] += self.sink.publish(event, rows)
            except DeliveryError:
                raise
            except SourceError as error:
                result.report.problem(f"a record of {event}", str(error))
            return
        if rows:
            self._records.setdefault(event, []).extend((result, record) for record in rows)
            self.rows += len(rows)
        if self.rows >= BATCH_ROWS:
            self.send()

    def send(self) -> None:
        """Send what waits, enrolments first: events of people who are enrolled need not be parked."""
        records, self._records, self.rows = self._records, {}, 0
        for event in sorted(records, key=lambda each: not each.is_person):
            self._send(event, records[event])

    def _send(self, event: EventType, some: list[tuple[FileResult, Record]]) -> None:
        """Send `some`; where one does not fit the schema, report it and send the others."""

        def send(part: Sequence[tuple[FileResult, Record]]) -> None:
            self.sink.publish(event, [record for _, record in part])
            for result, _ in part:
                result.sent[str(event)] += 1

        for (result, _), error in refused(send, some):
            result.report.problem(f"a record of {event}", str(error))


def summary(results: Iterable[FileResult]) -> Iterator[tuple[str, int]]:
    """Events sent per type, over all files, most first."""
    total: Counter[str] = Counter()
    for result in results:
        total += result.sent
    yield from total.most_common()
