"""What would become of files if they were published: the whole way in memory, without Kafka, vault or store.

```
adapter ─▶ encode ─▶ decode ─▶ PSEUDONYMISE ─▶ sent again? ─▶ VALIDATE ─▶ counts and places
```

Each step is the workers' own function, so a dry run says what the programme says. Encoding and decoding are part of it:
what the schema does not have is seen there. What only the vault knows is not looked at (`biokeel.rules.assumed`), nor
what arrived before.

Nothing is kept, so nothing is lost where the process dies: run it again.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import polars as pl

from biokeel.batch import PseudonymisedBatch, RawBatch, RawPartition
from biokeel.contracts.grammars import EVENT_ID
from biokeel.link.repeats import Window, remembered, sent_again
from biokeel.pseudonymise.persons import read_persons
from biokeel.pseudonymise.policy import Policy
from biokeel.pseudonymise.stage import Gate, pseudonymise
from biokeel.reasons import Reason
from biokeel.rules.assumed import AssumedPeople, is_registered
from biokeel.rules.findings import (
    GRANTS,
    MOST_PLACES,
    NOT_LOOKED_AT,
    DryRunReport,
    Fate,
    Finding,
    Findings,
    Kind,
    Place,
)
from biokeel.source.columns import records_of
from biokeel.source.encoding import Encoder
from biokeel.source.files import GATHERED, FileResult, batches_of, messages_of, refused
from biokeel.validate.rules import Severity
from biokeel.validate.stage import validate
from biokeel.vault.event_ids import EventIdCipher
from biokeel.vault.keys import Key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from biokeel.batch import DecodedBatch, SealedRejection
    from biokeel.contracts.catalogue import Catalogue
    from biokeel.contracts.schema import EventSchema
    from biokeel.contracts.sources import Register
    from biokeel.contracts.topics import EventType
    from biokeel.source.adapters.base import Record
    from biokeel.source.files import Source
    from biokeel.validate.rules import CompiledSuite
    from biokeel.validate.suites import Suites

_PARTITION: Final = 0
"""The one partition, raw and pseudo, that all events of a dry run are of; an offset is the number of an event in it."""


class _Waiting(NamedTuple):
    """A ready record, or the bytes of a message, and where it came from."""

    result: FileResult
    position: str
    content: Record | bytes | None


class _Batch:
    """Events of one type that are judged together: an offset is the number of one."""

    def __init__(self, event: EventType, origins: Sequence[_Waiting], decoded: DecodedBatch) -> None:
        self.event = event
        self._origins = origins
        self._ids = dict(zip(decoded.raw.offsets.tolist(), decoded.frame["event_id"], strict=True))

    def place(self, offset: int) -> Place:
        """Where the event stands. An id without its form is not shown: it may be anything."""
        origin, event_id = self._origins[offset], self._ids.get(offset)
        known = event_id is not None and re.search(EVENT_ID, event_id)
        return Place(origin.result.path, origin.position, event_id if known else None)


def dry_run(
    paths: Iterable[Path],
    source: Source,
    judge: Judge,
    done: Callable[[FileResult], None] = lambda _: None,
    *,
    begun: Callable[[FileResult], None] = lambda _: None,
) -> DryRunReport:
    """Read the files at `paths` as `publish_files` does, and say what would become of their events.

    `begun` is called before a file is read, `done` after. One bad file does not stop the others.
    Raises `SuiteError` where an event type has no suite that can be read.
    """
    results: list[FileResult] = []
    waiting: dict[EventType, list[_Waiting]] = {}
    count = 0
    for path in paths:
        result = FileResult(path)
        results.append(result)
        begun(result)
        for event, some in _events(result, source):
            waiting.setdefault(event, []).extend(some)
            count += len(some)
            if count >= GATHERED:
                judge.all_of(waiting)
                waiting, count = {}, 0
        done(result)
    judge.all_of(waiting)
    return judge.report(source.source_id, results)


def _events(result: FileResult, source: Source) -> Iterator[tuple[EventType, list[_Waiting]]]:
    """The records of a file, and its messages that are to be sent as they are."""
    for (event, rows, places), _ in batches_of(result, source):
        yield event, [_Waiting(result, place, each) for place, each in zip(places, records_of(rows), strict=True)]
    for event, value, place in messages_of(result):
        yield event, [_Waiting(result, place, value)]


class Judge:
    """Judges events as both workers would, and keeps what it found. One for each run.

    `source_id` is whose events they are, and `register` says what it was granted. `suites` are those in force.
    `remembered_events` is the setting: how many landed events a repeat is known by.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        suites: Suites,
        source_id: str,
        register: Register,
        *,
        max_event_bytes: int,
        remembered_events: int,
    ) -> None:
        self._catalogue = catalogue
        self._encoder = Encoder(catalogue, max_event_bytes)
        self._codec = self._encoder.codec
        self._suites = suites
        self._remembered = remembered_events
        # Nobody sees the ids of rows: a key of this run will do.
        self._gate = Gate(lambda: register, EventIdCipher(Key.new()))
        self._register = register
        self._origin = RawPartition(source_id, _PARTITION)
        self._people = AssumedPeople()
        self._policies: dict[EventType, Policy] = {}
        self._windows: dict[EventType, Window] = {}
        self._fates: dict[str, Counter[Fate]] = {}
        self._findings = Findings()
        self._versions: dict[str, str] = {}

    def all_of(self, waiting: dict[EventType, list[_Waiting]]) -> None:
        """Judge what waits, enrolments first, as they are sent."""
        for event in sorted(waiting, key=lambda each: not each.is_person):
            self._encoded(event, waiting[event])

    def report(self, source_id: str, results: Sequence[FileResult]) -> DryRunReport:
        """What was found so far."""
        missing = (*NOT_LOOKED_AT, *(() if is_registered(self._register[source_id]) else (GRANTS,)))
        return DryRunReport(source_id, results, self._fates, self._findings.ordered(), self._versions, missing)

    def _encoded(self, event: EventType, some: Sequence[_Waiting]) -> None:
        """Encode the records of `some` and judge them with its messages; what does not fit the schema is a problem."""
        records = [each for each in some if isinstance(each.content, dict)]
        messages = [each for each in some if not isinstance(each.content, dict)]

        values: list[bytes | None] = []
        good: list[_Waiting] = []

        def encode(part: Sequence[_Waiting]) -> None:
            _, encoded = self._encoder.many(event, [each.content for each in part if isinstance(each.content, dict)])
            values.extend(encoded.to_pylist())
            good.extend(part)

        for each, error in refused(encode, records) if records else ():
            each.result.report.problem(each.position, str(error))
        if good:
            self._judge(event, values, good)
        if messages:
            self._judge(event, [each.content for each in messages if not isinstance(each.content, dict)], messages)

    def _judge(self, event: EventType, values: Sequence[bytes | None], origins: Sequence[_Waiting]) -> None:
        raw = RawBatch.of(event, [(self._origin, np.arange(len(values), dtype=np.int64), values)])
        decoded = self._codec.decode(raw)
        batch = _Batch(event, origins, decoded.accepted)
        self._seal(batch, decoded.rejected)
        if event.is_person:
            self._apply(batch, decoded.accepted)
        else:
            self._wall(batch, decoded.accepted)

    def _apply(self, batch: _Batch, decoded: DecodedBatch) -> None:
        event = batch.event
        events, rejected = read_persons(decoded, self._schema(event), self._register)
        self._seal(batch, rejected)
        for person, reason in zip(events, self._people.apply(event.name, events), strict=True):
            if reason is None:
                self._count(batch, Fate.APPLIED, 1)
            else:
                self._stop(batch, Fate.SEALED, reason, [person.at.offset])

    def _wall(self, batch: _Batch, decoded: DecodedBatch) -> None:
        event = batch.event
        people = self._people.look_up(decoded.frame["subject_scheme"], decoded.frame["subject_id"])
        if event not in self._policies:
            self._policies[event] = Policy.of(self._schema(event))
        outcome = pseudonymise(decoded, people, self._policies[event], self._gate).outcome
        self._seal(batch, outcome.rejected)
        if len(outcome.accepted):
            self._withheld(batch, outcome.accepted.frame)
            self._validate(batch, outcome.accepted.frame)

    def _validate(self, batch: _Batch, frame: pl.DataFrame) -> None:
        event = batch.event
        suite = self._suites.current(event)
        self._versions[str(event)] = suite.version
        place = pl.lit(_PARTITION, pl.Int32).alias("pseudo_partition"), pl.lit(0, pl.Int64).alias("pseudo_offset")
        windows = {_PARTITION: self._windows.get(event, Window())}
        found = sent_again(PseudonymisedBatch(event, frame.with_columns(place)), windows)
        outcome = validate(found.rest, suite)
        landed, stopped = outcome.accepted.frame, outcome.rejected.frame
        self._windows |= {event: remembered(windows, (landed, found.withdrawals), self._remembered)[_PARTITION]}
        for (reason,), some in found.aside.group_by("reason", maintain_order=True):
            self._stop(batch, Fate.SET_ASIDE, Reason(reason), some["raw_offset"])
        self._count(batch, Fate.LANDED, landed.height)
        self._count(batch, Fate.QUARANTINED, stopped.height)
        self._rules(batch, suite, Severity.WARNING, landed.select("raw_offset", rule="warnings"))
        self._rules(batch, suite, Severity.CRITICAL, stopped.select("raw_offset", rule="failed_rules"))

    def _rules(self, batch: _Batch, suite: CompiledSuite, severity: Severity, failed: pl.DataFrame) -> None:
        """The rules that rows failed: `raw_offset`, and the ids in a list `rule`."""
        kind = Kind.QUARANTINED if severity is Severity.CRITICAL else Kind.FLAGGED
        reason = Reason.RULE.value if severity is Severity.CRITICAL else ""
        notes = {rule.id: rule.notes for rule in suite.rules}
        for (rule,), some in failed.explode("rule").drop_nulls("rule").group_by("rule", maintain_order=True):
            self._find(batch, kind, some["raw_offset"], what=str(rule), why=notes[str(rule)], reason=reason)

    def _withheld(self, batch: _Batch, frame: pl.DataFrame) -> None:
        demands = {field.name: field.demand for field in self._schema(batch.event).kept()}
        rows = frame.select("raw_offset", field=pl.col("withheld").str.split(",")).explode("field").drop_nulls("field")
        for (name,), some in rows.group_by("field", maintain_order=True):
            why = f"May hold: {demands[str(name)]}."
            self._find(batch, Kind.WITHHELD, some["raw_offset"], what=str(name), why=why)

    def _seal(self, batch: _Batch, rejected: Sequence[SealedRejection]) -> None:
        by_reason: dict[tuple[Reason, str], list[int]] = {}
        for each in rejected:
            by_reason.setdefault((each.reason, each.detail), []).append(each.at.offset)
        for (reason, detail), offsets in by_reason.items():
            self._stop(batch, Fate.SEALED, reason, offsets, detail)

    def _stop(
        self, batch: _Batch, fate: Fate, reason: Reason, offsets: Sequence[int] | pl.Series, what: str = ""
    ) -> None:
        self._count(batch, fate, len(offsets))
        self._find(batch, Kind(fate), offsets, reason=reason.value, what=what, why=reason.meaning)

    def _find(
        self, batch: _Batch, kind: Kind, offsets: Sequence[int] | pl.Series, *, what: str, why: str, reason: str = ""
    ) -> None:
        places = [batch.place(offset) for offset in offsets[:MOST_PLACES]]
        found = Finding(str(batch.event), kind, reason, what, why, len(offsets), places)
        self._findings.add(found)

    def _count(self, batch: _Batch, fate: Fate, count: int) -> None:
        self._fates.setdefault(str(batch.event), Counter())[fate] += count

    def _schema(self, event: EventType) -> EventSchema:
        return self._catalogue.reader(event).schema
