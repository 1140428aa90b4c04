"""The privacy wall: raw batches in, pseudonymised batches out, all else sealed in the vault. No Kafka in here.

`process` in steps, and what dying before each means. Until the worker acknowledges, Kafka gives the batch again; a
batch is of one event type, of one raw partition or of several of whichever sources, which are decided together, but may
come again one by one.

| step | died before it |
| --- | --- |
| 1 read the vault's snapshot, drop what was parked or sealed before | nothing has happened |
| 2 decode, look up, judge | nothing has happened (policy `create`: participants may exist; they will be found) |
| 3 `Vault.decide`: park and seal, mark the offsets as decided | nothing has happened; after it, all is durable |
| 4 return; the worker produces and flushes | the replay lets the same rows through again; curate drops repeats |

Where step 2 raises on an event, that event is sealed in step 3 with the others (`biokeel.poison`).

An event that went on before is never sealed: it may be in a table. So a decision stands: a replay lets it through again
whatever the rules and its person say since. Where it cannot be (it is not read any more, say after a setting was
changed), the worker ends and says which it is.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
import polars as pl

from biokeel.batch import COORDINATES, STREAM_PARKING, STREAM_RAW, PseudonymisedBatch, RawBatch, SealedRejection
from biokeel.contracts.topics import PERSON_EVENTS
from biokeel.contracts.variants import READY
from biokeel.errors import PoisonBatch, SettingsError, TransportError, describe
from biokeel.poison import guarded
from biokeel.pseudonymise.claims import Files
from biokeel.pseudonymise.clients import Clients
from biokeel.pseudonymise.persons import read_persons
from biokeel.pseudonymise.policy import Policy
from biokeel.pseudonymise.stage import WAITS, Gate, pseudonymise
from biokeel.reasons import Reason
from biokeel.vault.identifiers import normalise
from biokeel.vault.parking import ToPark
from biokeel.vault.store import Applied

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import numpy.typing as npt

    from biokeel.batch import DecodedBatch, Outcome, RawPartition
    from biokeel.contracts.schema import EventSchema
    from biokeel.contracts.sources import Register
    from biokeel.contracts.topics import EventType
    from biokeel.vault.files import FileVerdict
    from biokeel.vault.parking import ParkedEvent
    from biokeel.vault.store import Snapshot, Vault
    from biokeel.vault.tables import Run

    LetThrough = Callable[[RawBatch], npt.NDArray[np.int64]]
    Span = tuple[RawPartition, int, int]
    """Raw partition, first and last offset."""

_DRAIN: Final = 2_000
"""Parked person events that are applied in one go."""


class Decodes(Protocol):
    """What the wall needs of `biokeel.contracts.codec.Codec`."""

    def decode(self, batch: RawBatch) -> Outcome[DecodedBatch, list[SealedRejection]]:
        """Decode a batch; what cannot be decoded is rejected row by row."""
        ...


@dataclass(frozen=True, slots=True)
class WallResult:
    """What became of a raw batch: `batch` goes on; `counts` of newly sealed events; newly parked; newly applied.

    `withheld` counts by source and field the values of `batch` that did not have their form.
    """

    batch: PseudonymisedBatch | None
    counts: Mapping[Reason, int] = field(default_factory=dict)
    parked: int = 0
    applied: int = 0
    withheld: Mapping[tuple[str, str], int] = field(default_factory=dict)


class Wall:
    """Everything between a raw batch and a pseudonymised one. One for each worker, one thread at a time.

    `unknown_person` is the setting: `park` an event whose person is not enrolled, or `create` a participant for it.
    `set_aside` is one, too: most events of one batch that are sealed because something raises on them. `register` gives
    the sources as they are registered now: what one was not granted is sealed. `landing` is the bucket in which a
    variant file must lie so that its event may wait for its check; empty: claims on files are believed.
    """

    def __init__(
        self,
        codec: Decodes,
        vault: Vault,
        schemas: Mapping[EventType, EventSchema],
        register: Callable[[], Register],
        *,
        unknown_person: str = "park",
        set_aside: int = 1_000,
        landing: str = "",
    ) -> None:
        if unknown_person not in ("park", "create"):
            raise SettingsError("BIOKEEL_UNKNOWN_PERSON makes no sense.", "It is park or create.")
        self._codec = codec
        self._vault = vault
        self._schemas = schemas
        self._policies = {event: Policy.of(schema) for event, schema in schemas.items()}
        """Of the event types that there are at the start, so that a fault is seen then; others follow."""
        self._gate = Gate(register, vault.event_ids, Files(landing))
        self._clients = Clients(vault, register)
        self._creates = unknown_person == "create"
        self._set_aside = set_aside

    def process(self, batch: RawBatch) -> WallResult:
        """Decode, look up, pseudonymise, park and seal; person events are applied (then `batch` is None).

        Whatever does not go on is durable in the vault before this returns, each event once however often it comes.
        Raises `VaultUnavailable` and `RegistryUnavailable` (nothing was decided; try again), and `ContractError` where
        the catalogue refuses.
        """
        if not len(batch):
            return WallResult(None)
        return self._apply(batch) if batch.event.is_person else self._decide(batch)

    def heard(self, source: str, stated: Iterable[bytes]) -> None:
        """Note which software `source` says that it sends with: see `biokeel.pseudonymise.clients`."""
        self._clients.heard(source, stated)

    def leave_out(self, event: EventType, void: Sequence[Run]) -> None:
        """Write down that the offsets of `void` hold no event: see `biokeel.vault.store.Vault.leave_out`."""
        self._vault.leave_out(event, void)

    def partitions(self, event: EventType, found: int) -> int:
        """Over how many partitions the participants of `event` are spread, of the `found` that its pseudo topic has.

        Raises `TransportError` where it has fewer than it began with.
        """
        began = self._vault.partitions(event.pseudo_topic, found)
        if found < began:
            raise TransportError(
                f"{event.pseudo_topic} has {found} partitions, but participants are spread over {began}.",
                f"It was made anew, or this is another cluster: give the topic {began} partitions.",
            )
        return began

    def releases(self, event: EventType, origin: RawPartition, limit: int) -> WallResult:
        """Up to `limit` parked events that have their number, in stream "parking"; no batch when there are none.

        Rows come by increasing release number (`raw_offset`). Call `released` once they are in Kafka, then again.
        What is not marked comes again with the same numbers. For a person event type: applies what can be, gives no
        batch. What is sealed on its way out of parking is counted as anything that is sealed.
        """
        if event.is_person:
            drained = self._drain()
            return WallResult(None, drained.sealed, drained.parked, drained.applied)
        counts: Counter[Reason] = Counter()
        while True:
            snapshot = self._vault.snapshot(event, [origin])
            events = self._vault.ready(event, limit, origin)
            if not events:
                return WallResult(None, counts)
            judged = self._judge_parked(event, events, snapshot)
            if self._creates and self._create(judged.strangers):
                continue
            good = judged.accepted.frame["first_offset"].to_list()
            sealed, strangers = judged.sealed, judged.strangers
            if not self._vault.offer(event, origin, snapshot, good, sealed=sealed, strangers=strangers):
                self._drain()
                continue
            counts.update(each.reason for each in sealed)
            if good:
                return WallResult(judged.accepted, counts, withheld=judged.withheld)

    def ready_at(self) -> set[tuple[EventType, RawPartition]]:
        """The event types and raw partitions for which `releases` has something to do."""
        return self._vault.ready_at()

    def waiting(self) -> dict[EventType, int]:
        """How many events of each type are parked; a type without any is left out."""
        return self._vault.waiting()

    def released(self, event: EventType, origin: RawPartition, up_to_release_number: int) -> None:
        """Mark releases as safely in Kafka (after its flush). Dying before it, they are emitted once more."""
        self._vault.released(event, origin, up_to_release_number)

    # -- events of the three domains

    def _decide(self, batch: RawBatch) -> WallResult:
        event, spans = batch.event, batch.spans()
        while True:
            snapshot = self._vault.snapshot(event, spans)
            fresh, forgotten = self._replayed(batch, spans, snapshot)
            let_through = partial(_let_through, snapshot, forgotten)
            judged = self._judge(fresh, snapshot.generation, STREAM_RAW, let_through, self._gate)
            if self._creates and self._create(judged.strangers):
                continue
            strangers, sealed = judged.strangers, judged.sealed
            last = {origin: reached for origin, (_, reached) in spans.items()}
            anew = {origin: spans[origin] for origin, _, _ in forgotten}
            if self._vault.decide(event, snapshot, last, parked=strangers, sealed=sealed, anew=anew):
                accepted = judged.accepted if len(judged.accepted) else None
                counts = Counter(each.reason for each in sealed)
                return WallResult(accepted, counts, parked=len(strangers), withheld=judged.withheld)
            self._drain()

    def _create(self, strangers: Sequence[ToPark]) -> bool:
        """Make participants of the people whom `strangers` wait for; whether there were any."""
        identifiers = [each.identifier for each in strangers if each.identifier is not None]
        self._vault.create(identifiers)
        return bool(identifiers)

    def _replayed(
        self, batch: RawBatch, spans: Mapping[RawPartition, tuple[int, int]], snapshot: Snapshot
    ) -> tuple[RawBatch, list[Span]]:
        """`batch` without what was parked or sealed before, and the spans of it that are to be decided anew.

        Only partitions with a replay can have either.
        """
        replayed = {each: span for each, span in spans.items() if span[0] <= snapshot.decided[each]}
        if not replayed:
            return batch, []
        settled, forgotten = self._vault.settled(batch.event, replayed), self._vault.forgotten(batch.event, replayed)
        if not settled:
            return batch, forgotten
        keep = [batch.at(row) not in settled for row in range(len(batch))]
        return batch.take(np.flatnonzero(keep)), forgotten

    def _judge(self, batch: RawBatch, generation: int, stream: str, let_through: LetThrough, gate: Gate) -> _Judged:
        """Decode `batch` and judge it; what raises is sealed.

        `let_through` gives the numbers in `stream` of rows that were let through before, -1 for the others.
        Raises `PoisonBatch` where one of those would be sealed.
        """

        def stage(first: int, end: int) -> _Judged:
            return self._judge_rows(batch.rows(first, end), generation, stream, let_through, gate)

        def set_aside(row: int, error: BaseException) -> _Judged:
            return _Judged(_nothing(batch.event), [], [_poison(batch, row, error)])

        judged = _joined(guarded(stage, set_aside, len(batch), partial(_place, batch), self._set_aside))
        _refuse_to_seal_what_went_on(batch, judged.sealed, let_through)
        return judged

    def _judge_rows(
        self, batch: RawBatch, generation: int, stream: str, let_through: LetThrough, gate: Gate
    ) -> _Judged:
        outcome = self._codec.decode(batch)
        decoded = outcome.accepted
        schemes, subjects = decoded.frame["subject_scheme"], decoded.frame["subject_id"]
        people = self._vault.look_up(schemes, subjects, generation)
        numbers = let_through(decoded.raw)
        people = self._vault.as_decided(decoded.raw, stream, people, numbers)
        made = pseudonymise(decoded, people, self._policy(batch.event), gate, numbers >= 0)
        verdict = made.outcome
        sealed = [*outcome.rejected, *(each for each in verdict.rejected if each.reason not in WAITS)]
        return _Judged(verdict.accepted, _strangers(decoded, verdict.rejected), sealed, made.withheld)

    def _judge_parked(self, event: EventType, events: Sequence[ParkedEvent], snapshot: Snapshot) -> _Judged:
        """Judge parked events of one raw partition as they came, and place them in the stream of releases."""
        numbers = {each.at.offset: each.release_number for each in events}
        # What was offered may be in Kafka: it must be offered again, whatever the person decided since.
        offered = {each.at.offset: each.release_number for each in events if each.offered}

        def let_through(rows: RawBatch) -> npt.NDArray[np.int64]:
            return np.array([offered.get(offset, -1) for offset in rows.offsets.tolist()], dtype=np.int64)

        # What was offered was stamped by the verdict that is there still: none is written where nothing waits.
        files = replace(self._gate.files, verdicts=self._verdicts(event, events))
        gate = replace(self._gate, files=files)
        judged = self._judge(_parked(event, events), snapshot.generation, STREAM_PARKING, let_through, gate)
        frame = files.stamped(judged.accepted.frame).with_columns(
            pl.lit(STREAM_PARKING).alias("stream"),
            pl.col("first_offset").replace_strict(numbers, return_dtype=pl.Int64).alias("raw_offset"),
        )
        return replace(judged, accepted=PseudonymisedBatch(event, frame))

    def _verdicts(self, event: EventType, events: Sequence[ParkedEvent]) -> dict[int, FileVerdict]:
        """By offset what is known of the files of parked events of one raw partition."""
        if event != READY or not events:
            return {}
        return self._vault.file_verdicts(event, events[0].at.origin, [each.at.offset for each in events])

    def _policy(self, event: EventType) -> Policy:
        if event not in self._policies:
            self._policies[event] = Policy.of(self._schemas[event])
        return self._policies[event]

    # -- person events

    def _apply(self, batch: RawBatch) -> WallResult:
        result = self._apply_guarded(batch, parked=False)
        result.add(self._drain())
        return WallResult(None, result.sealed, result.parked, result.applied)

    def _apply_guarded(self, batch: RawBatch, *, parked: bool) -> Applied:
        """Apply the events of `batch`, each once; one on which that raises is sealed, unless it was applied before."""

        def set_aside(row: int, error: BaseException) -> Applied:
            return self._vault.apply(batch.event, [], [_poison(batch, row, error)], parked=parked)

        total = Applied()
        for part in guarded(
            lambda first, end: self._apply_decoded(batch.rows(first, end), parked=parked),
            set_aside,
            len(batch),
            partial(_place, batch),
            self._set_aside,
        ):
            total.add(part)
        return total

    def _apply_decoded(self, batch: RawBatch, *, parked: bool) -> Applied:
        outcome = self._codec.decode(batch)
        events, rejected = read_persons(outcome.accepted, self._schemas[batch.event], self._gate.register())
        return self._vault.apply(batch.event, events, [*outcome.rejected, *rejected], parked=parked)

    def _drain(self) -> Applied:
        """Apply the person events that waited for an enrolment which has come since.

        Any worker does so before it decides about an event (`Vault.decide` refuses): one of them may narrow a consent.
        Dying in here leaves the rest to the next call, of any worker: what is applied is no longer parked.
        """
        total = Applied()
        while waited := [(event, some) for event in PERSON_EVENTS if (some := self._vault.ready(event, _DRAIN))]:
            for event, some in waited:
                total.add(self._apply_guarded(_parked(event, some), parked=True))
        return total


@dataclass(frozen=True, slots=True)
class _Judged:
    """A batch after the stage: what goes on, who must wait, what is sealed, and what was withheld of what goes on."""

    accepted: PseudonymisedBatch
    strangers: list[ToPark]
    sealed: list[SealedRejection]
    withheld: Counter[tuple[str, str]] = field(default_factory=Counter)


def _joined(parts: Sequence[_Judged]) -> _Judged:
    """What the parts of one batch come to, in their order."""
    if len(parts) == 1:
        return parts[0]
    event = parts[0].accepted.event
    frames = [part.accepted.frame for part in parts if len(part.accepted)]
    return _Judged(
        PseudonymisedBatch(event, pl.concat(frames)) if frames else _nothing(event),
        [each for part in parts for each in part.strangers],
        [each for part in parts for each in part.sealed],
        sum((part.withheld for part in parts), Counter()),
    )


def _nothing(event: EventType) -> PseudonymisedBatch:
    return PseudonymisedBatch(event, pl.DataFrame(schema=COORDINATES))


def _parked(event: EventType, events: Sequence[ParkedEvent]) -> RawBatch:
    """Parked events as a batch of their own, in the order of their release numbers."""
    numbers = {origin: number for number, origin in enumerate(dict.fromkeys(each.at.origin for each in events))}
    which = np.array([numbers[each.at.origin] for each in events], dtype=np.int32)
    offsets = np.array([each.at.offset for each in events], dtype=np.int64)
    return RawBatch(event, tuple(numbers), which, offsets, [each.payload for each in events])


def _refuse_to_seal_what_went_on(batch: RawBatch, sealed: Sequence[SealedRejection], let_through: LetThrough) -> None:
    """Raise `PoisonBatch` where one of `sealed` is of the rows that `let_through` has a number for."""
    if not sealed:
        return
    before = np.flatnonzero(let_through(batch) >= 0)
    went_on = {batch.at(row) for row in before.tolist()}
    stopped = [each for each in sealed if each.at in went_on]
    if stopped:
        first, more = stopped[0], f", as {len(stopped) - 1} more do" if len(stopped) > 1 else ""
        raise PoisonBatch(
            f"The wall at {first.at.of(batch.event)} fails on an event that went on"
            f" before: {first.reason.value} ({first.detail}){more}.",
            "It cannot be sealed, since it may have landed. Go back to the release, or the setting, that let it through"
            " until the worker has passed it.",
        )


def _let_through(snapshot: Snapshot, forgotten: Sequence[Span], rows: RawBatch) -> npt.NDArray[np.int64]:
    """The offsets of `rows` that were decided upon before `snapshot`, -1 for the others and for `forgotten` ones."""
    decided = np.array([snapshot.decided[origin] for origin in rows.origins], dtype=np.int64)[rows.which]
    numbers = np.where(rows.offsets <= decided, rows.offsets, -1)
    for origin, first, last in forgotten:
        mine = rows.which == rows.origins.index(origin)
        numbers[mine & (rows.offsets >= first) & (rows.offsets <= last)] = -1
    return numbers


def _poison(batch: RawBatch, row: int, error: BaseException) -> SealedRejection:
    return SealedRejection(batch.at(row), Reason.STAGE_FAILED, describe(error), batch.values[row] or b"")


def _place(batch: RawBatch, row: int) -> str:
    return f"The wall at {batch.at(row).of(batch.event)}"


def _strangers(batch: DecodedBatch, rejected: Sequence[SealedRejection]) -> list[ToPark]:
    """The rejected events of `batch` that wait, each with the identifier that it waits for, if it is one."""
    events = {each.at: each for each in rejected if each.reason in WAITS}
    if not events:
        return []
    rows = np.flatnonzero(np.isin(batch.raw.offsets, [at.offset for at in events]))
    columns = batch.frame.select("subject_scheme", "subject_id")[rows].iter_rows()
    to_park = []
    for row, (scheme, text) in zip(rows.tolist(), columns, strict=True):
        at = batch.raw.at(row)
        if at in events and events[at].reason is Reason.FILE_UNCHECKED:
            to_park.append(ToPark(at, None, events[at].payload))
        elif at in events:
            identifier = normalise(scheme, text)
            assert identifier is not None, "the stage rejects what has no form before it asks who it is"
            to_park.append(ToPark(at, identifier, events[at].payload))
    return to_park
