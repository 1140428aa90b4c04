"""Parked events and dead letters: what stops before the wall, sealed, and how parked events come out again.

A parked event goes `waiting` → `numbered` (its person was enrolled: in that very transaction it gets its release
number) → `offered` (judged and handed to the worker) → `released` (in Kafka, sealed bytes gone). Death in between:

| the process dies | the row is | the next process |
| --- | --- | --- |
| before it is numbered | waiting | numbers it with the enrolment, which did not happen either |
| before it is offered | numbered | judges and offers it |
| between offering and the mark | offered | offers it with the same number; curate drops a repeat |

A dead letter that can be read by now becomes `numbered` in one transaction, and goes the same way from there. Whose
event it is shows only then: if its person is not enrolled, it goes back to `waiting`; if it is refused again, it is a
dead letter again.

An event that claims a file waits for its check in the same way, `waiting` → `numbered` in the transaction that writes
the verdict (`biokeel.vault.files`); if it turns out to need one only when its person has come, it goes back to
`waiting`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from biokeel.batch import At, RawPartition
from biokeel.contracts.topics import PERSON_EVENTS, event_type
from biokeel.vault import decision_log
from biokeel.vault.database import chunks
from biokeel.vault.tables import APPLIED, COORDINATES, DEAD_LETTER, PARKED, RELEASE_COUNTER, Parked, place, within

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from biokeel.batch import SealedRejection
    from biokeel.contracts.topics import EventType
    from biokeel.reasons import Reason
    from biokeel.vault.database import Database
    from biokeel.vault.identifiers import Identifier
    from biokeel.vault.keys import Key
    from biokeel.vault.seal import Sealer
    from biokeel.vault.tables import Spans


READY_BYTES: Final = 32 << 20
"""Bytes of the parked events that are taken out at a time: a thousand people may have left a megabyte each."""
_FETCHED: Final = 100
_NOBODY: Final = b""
"""In place of a digest: whom the event waits for is not known, since it was not read yet."""
FILE: Final = b"file"
"""In place of a digest: the event waits until its file is checked. No digest is as short."""
_PERSON_EVENTS: Final = (
    sa.select(PARKED.c.event)
    .where(PARKED.c.state == Parked.NUMBERED, PARKED.c.event.in_([str(event) for event in PERSON_EVENTS]))
    .limit(1)
)


@dataclass(frozen=True, slots=True, repr=False)
class ToPark:
    """An event that waits for `identifier` to be enrolled, or, without one, for the check of its file.

    `payload` is its framed datum.
    """

    at: At
    identifier: Identifier | None
    payload: bytes

    def digest(self, key: Key) -> bytes:
        """What it is found by when it need wait no longer."""
        return FILE if self.identifier is None else self.identifier.digest(key)


@dataclass(frozen=True, slots=True, repr=False)
class ParkedEvent:
    """A parked event that has its release number, opened."""

    at: At
    release_number: int
    offered: bool
    payload: bytes


def now_ms() -> int:
    """Milliseconds since 1970: when a row of the vault was written, for operators only."""
    return time.time_ns() // 1_000_000


class Parking:
    """Reads and writes the parked and the dead; its callers hold the transaction."""

    def __init__(self, database: Database, sealer: Sealer, keys: tuple[Key, ...]) -> None:
        self._database = database
        self._sealer = sealer
        self._keys = keys

    def park(self, connection: sa.Connection, event: EventType, events: Iterable[ToPark]) -> None:
        """Park `events`; the caller has looked in this very transaction that nobody is enrolled under them."""
        since = now_ms()
        waiting = list(events)
        self._database.insert_new(
            connection,
            PARKED,
            [
                {
                    **place(event, each.at),
                    "digest": each.digest(self._keys[0]),
                    "state": Parked.WAITING,
                    "release_number": None,
                    "sealed": self._sealer.seal(each.payload, event, each.at),
                    "since": since,
                }
                for each in waiting
            ],
        )
        self._note(connection, event, decision_log.PARKED, [(each.at, "") for each in waiting])

    def bury(self, connection: sa.Connection, event: EventType, rejections: Iterable[SealedRejection]) -> None:
        """Seal `rejections` as dead letters; one that was parked is parked no more."""
        since = now_ms()
        dead = list(rejections)
        rows = [
            {
                **place(event, each.at),
                "reason": each.reason,
                "detail": each.detail[:256],
                "size": len(each.payload),
                "sealed": self._sealer.seal(each.payload, event, each.at),
                "since": since,
            }
            for each in dead
        ]
        self._database.insert_new(connection, DEAD_LETTER, rows)
        self._note(connection, event, decision_log.SEALED, [(each.at, each.reason.value) for each in dead])

    def apply(self, connection: sa.Connection, event: EventType, events: Sequence[At]) -> None:
        """Write down that these person events were applied."""
        self._database.insert_new(connection, APPLIED, [place(event, at) for at in events])
        self._note(connection, event, decision_log.APPLIED, [(at, "") for at in events])

    def _note(self, connection: sa.Connection, event: EventType, where: str, events: list[tuple[At, str]]) -> None:
        decision_log.write(connection, self._database, event, where, events)

    def unpark(self, connection: sa.Connection, event: EventType, events: Iterable[At]) -> None:
        """Take events out of parking, because they stand elsewhere from this transaction on."""
        for where in _each(PARKED, event, events):
            connection.execute(sa.delete(PARKED).where(*where))

    def number(self, connection: sa.Connection, identifiers: Sequence[Identifier]) -> int:
        """Give the events that wait for `identifiers` their release numbers; how many there were.

        The caller's transaction is exclusive and binds these identifiers: so numbers grow in the order of commits, and
        nobody can park an event for them that this look would miss.
        """
        digests = [identifier.digest(key) for key in self._keys for identifier in identifiers]
        waiting: list[tuple[str, At]] = []
        where = sa.select(*_where_it_stands(PARKED)).where(PARKED.c.state == Parked.WAITING)
        for some in chunks(digests):
            found = connection.execute(where.where(PARKED.c.digest.in_(some)))
            waiting += [(event, At(*at)) for event, *at in found]
        self.give_numbers(connection, waiting)
        return len(waiting)

    def waits_for_files(self, connection: sa.Connection, limit: int) -> list[tuple[EventType, At]]:
        """Up to `limit` events that wait for the check of their file, those that wait longest first."""
        mine = PARKED.c.state == Parked.WAITING, PARKED.c.digest == FILE
        query = sa.select(*_where_it_stands(PARKED)).where(*mine).order_by(PARKED.c.since).limit(limit)
        return [(event_type(event), At(*at)) for event, *at in connection.execute(query)]

    def of_file(self, connection: sa.Connection, event: EventType, at: At) -> bytes | None:
        """The event itself, null where it does not wait for its file (any more)."""
        mine = *within(PARKED, event, at.origin), PARKED.c.offset == at.offset
        query = sa.select(PARKED.c.sealed).where(*mine, PARKED.c.state == Parked.WAITING, PARKED.c.digest == FILE)
        sealed = connection.execute(query).scalar()
        return None if sealed is None else self._sealer.open(sealed, event, at)

    def newest_dead(self, connection: sa.Connection, event: EventType, reason: Reason) -> int:
        """When the newest dead letter of `reason` was written (ms since 1970); -1 where there is none."""
        mine = (DEAD_LETTER.c.event == str(event), DEAD_LETTER.c.reason == reason)
        found = connection.execute(sa.select(sa.func.max(DEAD_LETTER.c.since)).where(*mine)).scalar()
        return -1 if found is None else int(found)

    def redrive(self, connection: sa.Connection, event: EventType, reason: Reason, limit: int, up_to: int) -> int:
        """Give up to `limit` dead letters of `reason`, written until `up_to`, the next release numbers; how many.

        The caller's transaction is exclusive, as for `number`.
        """
        _, *order = _where_it_stands(DEAD_LETTER)
        mine = (DEAD_LETTER.c.event == str(event), DEAD_LETTER.c.reason == reason, DEAD_LETTER.c.since <= up_to)
        found = connection.execute(sa.select(*order).where(*mine).order_by(*order).limit(limit))
        dead = [At(*at) for at in found]
        copied = sa.select(
            *_where_it_stands(DEAD_LETTER),
            DEAD_LETTER.c.sealed,
            DEAD_LETTER.c.since,
            sa.literal(_NOBODY, sa.LargeBinary),
            sa.literal(str(Parked.NUMBERED)),
        )
        columns = [*COORDINATES, "sealed", "since", "digest", "state"]
        for where in _each(DEAD_LETTER, event, dead):
            connection.execute(sa.insert(PARKED).from_select(columns, copied.where(*where)))
            connection.execute(sa.delete(DEAD_LETTER).where(*where))
        self.give_numbers(connection, [(str(event), at) for at in dead])
        self._note(connection, event, decision_log.PARKED, [(at, "") for at in dead])
        return len(dead)

    def wait(self, connection: sa.Connection, event: EventType, events: Iterable[ToPark]) -> None:
        """Let numbered `events` wait for what they turn out to need; they lose their numbers."""
        for each in events:
            connection.execute(
                sa.update(PARKED)
                .where(*within(PARKED, event, each.at.origin), PARKED.c.offset == each.at.offset)
                .where(PARKED.c.state == Parked.NUMBERED)
                .values(state=Parked.WAITING, release_number=None, digest=each.digest(self._keys[0]))
            )

    def give_numbers(self, connection: sa.Connection, events: Iterable[tuple[str, At]]) -> None:
        """Give parked events (their type, and where they stand) the next release numbers of their partitions.

        The caller's transaction is exclusive, as for `number`.
        """
        rows = connection.execute(sa.select(RELEASE_COUNTER))
        last = {(row.event, row.source, row.partition): row.last for row in rows}
        updates: list[dict[str, Any]] = []
        for event, (source, partition, offset) in sorted(events):
            counter = event, source, partition
            last[counter] = last.get(counter, -1) + 1
            updates.append({"e": event, "s": source, "p": partition, "o": offset, "n": last[counter]})
        if updates:
            columns = PARKED.c
            connection.execute(
                sa.update(PARKED)
                .where(
                    columns.event == sa.bindparam("e"),
                    columns.source == sa.bindparam("s"),
                    columns.partition == sa.bindparam("p"),
                    columns.offset == sa.bindparam("o"),
                )
                .values(state=Parked.NUMBERED, release_number=sa.bindparam("n")),
                updates,
            )
            counters = [
                {"event": event, "source": source, "partition": partition, "last": number}
                for (event, source, partition), number in last.items()
            ]
            self._database.upsert(connection, RELEASE_COUNTER, counters)

    def ready(
        self, connection: sa.Connection, event: EventType, limit: int, origin: RawPartition | None = None
    ) -> list[ParkedEvent]:
        """Opened events with a release number that are not released, lowest numbers first (of any partition if None).

        At most `limit` of them, and no more once they come to `READY_BYTES`. Raises `SealError` where one was tampered
        with.
        """
        query = (
            sa.select(PARKED)
            .where(PARKED.c.event == str(event), PARKED.c.state.in_((Parked.NUMBERED, Parked.OFFERED)))
            .order_by(PARKED.c.source, PARKED.c.partition, PARKED.c.release_number)
            .limit(limit)
        )
        if origin is not None:
            query = query.where(*within(PARKED, event, origin))
        events: list[ParkedEvent] = []
        size = 0
        with connection.execute(query, execution_options={"yield_per": _FETCHED}) as rows:
            for row in rows:
                at = At(row.source, row.partition, row.offset)
                payload = self._sealer.open(row.sealed, event, at)
                events.append(ParkedEvent(at, row.release_number, row.state == Parked.OFFERED, payload))
                size += len(payload)
                if size >= READY_BYTES:
                    break
        return events

    def ready_at(self, connection: sa.Connection) -> set[tuple[EventType, RawPartition]]:
        """The event types and raw partitions that have events for `ready`."""
        query = sa.select(PARKED.c.event, PARKED.c.source, PARKED.c.partition).where(
            PARKED.c.state.in_((Parked.NUMBERED, Parked.OFFERED))
        )
        return {(event_type(event), RawPartition(*origin)) for event, *origin in connection.execute(query.distinct())}

    def holds_people(self, connection: sa.Connection) -> bool:
        """Whether there are person events whose person has come, and which are not applied yet."""
        return connection.execute(_PERSON_EVENTS).first() is not None

    def waiting(self, connection: sa.Connection) -> dict[EventType, int]:
        """How many events of each type are parked and not released; a type without any is left out."""
        held = (Parked.WAITING, Parked.NUMBERED, Parked.OFFERED)
        query = sa.select(PARKED.c.event, sa.func.count()).where(PARKED.c.state.in_(held)).group_by(PARKED.c.event)
        return {event_type(event): int(number) for event, number in connection.execute(query)}

    def numbered(self, connection: sa.Connection, event: EventType, events: Iterable[At]) -> set[At]:
        """Which of `events` have their number and were not offered yet."""
        query = sa.select(PARKED.c.source, PARKED.c.partition, PARKED.c.offset).where(PARKED.c.state == Parked.NUMBERED)
        return {At(*at) for where in _each(PARKED, event, events) for at in connection.execute(query.where(*where))}

    def offer(self, connection: sa.Connection, event: EventType, origin: RawPartition, offsets: Sequence[int]) -> None:
        """Write down that these events were judged good, before anybody else sees them."""
        for some in chunks(offsets):
            connection.execute(
                sa.update(PARKED)
                .where(*within(PARKED, event, origin), PARKED.c.offset.in_(some), PARKED.c.state == Parked.NUMBERED)
                .values(state=Parked.OFFERED)
            )

    def release(self, connection: sa.Connection, event: EventType, origin: RawPartition, up_to: int) -> None:
        """Mark offered events as released and drop their sealed bytes."""
        offered = *within(PARKED, event, origin), PARKED.c.state == Parked.OFFERED, PARKED.c.release_number <= up_to
        offsets = connection.execute(sa.select(PARKED.c.offset).where(*offered)).scalars().all()
        connection.execute(sa.update(PARKED).where(*offered).values(state=Parked.RELEASED, sealed=None))
        self._note(connection, event, decision_log.RELEASED, [(At(*origin, offset), "") for offset in offsets])

    def settled(self, connection: sa.Connection, event: EventType, spans: Spans) -> set[At]:
        """What of `spans` was parked, sealed or applied before."""
        return {
            At(*origin, offset)
            for table in (PARKED, DEAD_LETTER, APPLIED)
            for origin, (first, last) in spans.items()
            for (offset,) in connection.execute(
                sa.select(table.c.offset).where(*within(table, event, origin), table.c.offset.between(first, last))
            )
        }


def _where_it_stands(table: sa.Table) -> tuple[sa.Column[Any], ...]:
    return tuple(table.c[name] for name in COORDINATES)


def _each(table: sa.Table, event: EventType, events: Iterable[At]) -> Iterator[tuple[sa.ColumnElement[bool], ...]]:
    """Conditions that find `events` in `table`: some for each raw partition."""
    offsets: dict[RawPartition, list[int]] = {}
    for at in events:
        offsets.setdefault(at.origin, []).append(at.offset)
    for origin, those in offsets.items():
        for some in chunks(those):
            yield *within(table, event, origin), table.c.offset.in_(some)
