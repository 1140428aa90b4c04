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
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from biokeel.contracts.topics import PERSON_EVENTS
from biokeel.vault.database import chunks
from biokeel.vault.tables import APPLIED, DEAD_LETTER, PARKED, RELEASE_COUNTER, Parked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from biokeel.batch import At, SealedRejection
    from biokeel.reasons import Reason
    from biokeel.vault.database import Database
    from biokeel.vault.identifiers import Identifier
    from biokeel.vault.keys import Key
    from biokeel.vault.seal import Sealer

READY_BYTES: Final = 32 << 20
"""Bytes of the parked events that are taken out at a time: a thousand people may have left a megabyte each."""
_FETCHED: Final = 100
_NOBODY: Final = b""
"""In place of a digest: whom the event waits for is not known, since it was not read yet."""
_PERSON_EVENTS: Final = (
    sa.select(PARKED.c.topic)
    .where(PARKED.c.state == Parked.NUMBERED, PARKED.c.topic.in_([event.raw_topic for event in PERSON_EVENTS]))
    .limit(1)
)


@dataclass(frozen=True, slots=True, repr=False)
class ToPark:
    """An event that waits for `identifier` to be enrolled; `payload` is its framed datum."""

    at: At
    identifier: Identifier
    payload: bytes


@dataclass(frozen=True, slots=True, repr=False)
class ParkedEvent:
    """A parked event that has its release number, opened."""

    partition: int
    offset: int
    release_number: int
    offered: bool
    payload: bytes

    @property
    def at(self) -> At:
        """Where the event stands."""
        return self.partition, self.offset


def now_ms() -> int:
    """Milliseconds since 1970: when a row of the vault was written, for operators only."""
    return time.time_ns() // 1_000_000


class Parking:
    """Reads and writes the parked and the dead; its callers hold the transaction."""

    def __init__(self, database: Database, sealer: Sealer, keys: tuple[Key, ...]) -> None:
        self._database = database
        self._sealer = sealer
        self._keys = keys

    def park(self, connection: sa.Connection, topic: str, events: Iterable[ToPark]) -> None:
        """Park `events`; the caller has looked in this very transaction that nobody is enrolled under them."""
        since = now_ms()
        self._database.insert_new(
            connection,
            PARKED,
            [
                {
                    "topic": topic,
                    "partition": event.at[0],
                    "offset": event.at[1],
                    "digest": event.identifier.digest(self._keys[0]),
                    "state": Parked.WAITING,
                    "release_number": None,
                    "sealed": self._sealer.seal(event.payload, topic, *event.at),
                    "since": since,
                }
                for event in events
            ],
        )

    def bury(self, connection: sa.Connection, topic: str, rejections: Iterable[SealedRejection]) -> None:
        """Seal `rejections` as dead letters; one that was parked is parked no more."""
        since = now_ms()
        rows = [
            {
                "topic": topic,
                "partition": each.partition,
                "offset": each.offset,
                "reason": each.reason,
                "detail": each.detail[:256],
                "size": len(each.payload),
                "sealed": self._sealer.seal(each.payload, topic, each.partition, each.offset),
                "since": since,
            }
            for each in rejections
        ]
        self._database.insert_new(connection, DEAD_LETTER, rows)

    def unpark(self, connection: sa.Connection, topic: str, events: Iterable[At]) -> None:
        """Take events out of parking, because they stand elsewhere from this transaction on."""
        for where in _each(PARKED, topic, events):
            connection.execute(sa.delete(PARKED).where(*where))

    def number(self, connection: sa.Connection, identifiers: Sequence[Identifier]) -> int:
        """Give the events that wait for `identifiers` their release numbers; how many there were.

        The caller's transaction is exclusive and binds these identifiers: so numbers grow in the order of commits, and
        nobody can park an event for them that this look would miss.
        """
        digests = [identifier.digest(key) for key in self._keys for identifier in identifiers]
        waiting: list[tuple[str, int, int]] = []
        where = sa.select(PARKED.c.topic, PARKED.c.partition, PARKED.c.offset).where(PARKED.c.state == Parked.WAITING)
        for some in chunks(digests):
            waiting += [tuple(row) for row in connection.execute(where.where(PARKED.c.digest.in_(some)))]
        self._give_numbers(connection, waiting)
        return len(waiting)

    def newest_dead(self, connection: sa.Connection, topic: str, reason: Reason) -> int:
        """When the newest dead letter of `reason` was written (ms since 1970); -1 where there is none."""
        query = sa.select(sa.func.max(DEAD_LETTER.c.since))
        found = connection.execute(query.where(DEAD_LETTER.c.topic == topic, DEAD_LETTER.c.reason == reason)).scalar()
        return -1 if found is None else int(found)

    def redrive(self, connection: sa.Connection, topic: str, reason: Reason, limit: int, up_to: int) -> int:
        """Give up to `limit` dead letters of `reason`, written until `up_to`, the next release numbers; how many.

        The caller's transaction is exclusive, as for `number`.
        """
        query = sa.select(DEAD_LETTER.c.partition, DEAD_LETTER.c.offset)
        mine = (DEAD_LETTER.c.topic == topic, DEAD_LETTER.c.reason == reason, DEAD_LETTER.c.since <= up_to)
        order = (DEAD_LETTER.c.partition, DEAD_LETTER.c.offset)
        dead = [tuple(row) for row in connection.execute(query.where(*mine).order_by(*order).limit(limit))]
        copied = sa.select(
            *(DEAD_LETTER.c[name] for name in ("topic", "partition", "offset", "sealed", "since")),
            sa.literal(_NOBODY, sa.LargeBinary),
            sa.literal(str(Parked.NUMBERED)),
        )
        columns = ["topic", "partition", "offset", "sealed", "since", "digest", "state"]
        for where in _each(DEAD_LETTER, topic, dead):
            connection.execute(sa.insert(PARKED).from_select(columns, copied.where(*where)))
            connection.execute(sa.delete(DEAD_LETTER).where(*where))
        self._give_numbers(connection, [(topic, *at) for at in dead])
        return len(dead)

    def wait(self, connection: sa.Connection, topic: str, events: Iterable[ToPark]) -> None:
        """Let numbered `events` wait for the enrolment that they turn out to need; they lose their numbers."""
        for event in events:
            connection.execute(
                sa.update(PARKED)
                .where(*_at(PARKED, topic, event.at[0]), PARKED.c.offset == event.at[1])
                .where(PARKED.c.state == Parked.NUMBERED)
                .values(state=Parked.WAITING, release_number=None, digest=event.identifier.digest(self._keys[0]))
            )

    def _give_numbers(self, connection: sa.Connection, events: Iterable[tuple[str, int, int]]) -> None:
        """Give parked events (topic, partition, offset) the next release numbers of their partitions, in order."""
        last = {(row.topic, row.partition): row.last for row in connection.execute(sa.select(RELEASE_COUNTER))}
        updates: list[dict[str, Any]] = []
        for topic, partition, offset in sorted(events):
            last[topic, partition] = last.get((topic, partition), -1) + 1
            updates.append({"t": topic, "p": partition, "o": offset, "n": last[topic, partition]})
        if updates:
            columns = PARKED.c
            connection.execute(
                sa.update(PARKED)
                .where(
                    columns.topic == sa.bindparam("t"),
                    columns.partition == sa.bindparam("p"),
                    columns.offset == sa.bindparam("o"),
                )
                .values(state=Parked.NUMBERED, release_number=sa.bindparam("n")),
                updates,
            )
            counters = [{"topic": t, "partition": p, "last": number} for (t, p), number in last.items()]
            self._database.upsert(connection, RELEASE_COUNTER, counters)

    def ready(
        self, connection: sa.Connection, topic: str, limit: int, partition: int | None = None
    ) -> list[ParkedEvent]:
        """Opened events with a release number that are not released, lowest numbers first (of any partition if None).

        At most `limit` of them, and no more once they come to `READY_BYTES`. Raises `SealError` where one was tampered
        with.
        """
        query = (
            sa.select(PARKED)
            .where(PARKED.c.topic == topic, PARKED.c.state.in_((Parked.NUMBERED, Parked.OFFERED)))
            .order_by(PARKED.c.partition, PARKED.c.release_number)
            .limit(limit)
        )
        if partition is not None:
            query = query.where(PARKED.c.partition == partition)
        events: list[ParkedEvent] = []
        size = 0
        with connection.execute(query, execution_options={"yield_per": _FETCHED}) as rows:
            for row in rows:
                payload = self._sealer.open(row.sealed, topic, row.partition, row.offset)
                offered = row.state == Parked.OFFERED
                events.append(ParkedEvent(row.partition, row.offset, row.release_number, offered, payload))
                size += len(payload)
                if size >= READY_BYTES:
                    break
        return events

    def ready_at(self, connection: sa.Connection) -> set[tuple[str, int]]:
        """The raw topics and partitions that have events for `ready`."""
        query = sa.select(PARKED.c.topic, PARKED.c.partition).where(
            PARKED.c.state.in_((Parked.NUMBERED, Parked.OFFERED))
        )
        return {(topic, partition) for topic, partition in connection.execute(query.distinct())}

    def holds_people(self, connection: sa.Connection) -> bool:
        """Whether there are person events whose person has come, and which are not applied yet."""
        return connection.execute(_PERSON_EVENTS).first() is not None

    def waiting(self, connection: sa.Connection) -> dict[str, int]:
        """By raw topic, how many events are parked and not released."""
        held = (Parked.WAITING, Parked.NUMBERED, Parked.OFFERED)
        query = sa.select(PARKED.c.topic, sa.func.count()).where(PARKED.c.state.in_(held)).group_by(PARKED.c.topic)
        return {topic: int(number) for topic, number in connection.execute(query)}

    def numbered(self, connection: sa.Connection, topic: str, events: Iterable[At]) -> set[At]:
        """Which of `events` have their number and were not offered yet."""
        query = sa.select(PARKED.c.partition, PARKED.c.offset).where(PARKED.c.state == Parked.NUMBERED)
        return {
            (partition, offset)
            for where in _each(PARKED, topic, events)
            for partition, offset in connection.execute(query.where(*where))
        }

    def offer(self, connection: sa.Connection, topic: str, partition: int, offsets: Sequence[int]) -> None:
        """Write down that these events were judged good, before anybody else sees them."""
        for some in chunks(offsets):
            connection.execute(
                sa.update(PARKED)
                .where(*_at(PARKED, topic, partition), PARKED.c.offset.in_(some), PARKED.c.state == Parked.NUMBERED)
                .values(state=Parked.OFFERED)
            )

    def release(self, connection: sa.Connection, topic: str, partition: int, up_to: int) -> None:
        """Mark offered events as released and drop their sealed bytes."""
        connection.execute(
            sa.update(PARKED)
            .where(*_at(PARKED, topic, partition), PARKED.c.state == Parked.OFFERED, PARKED.c.release_number <= up_to)
            .values(state=Parked.RELEASED, sealed=None)
        )

    def settled(self, connection: sa.Connection, topic: str, spans: Mapping[int, tuple[int, int]]) -> set[At]:
        """What of `spans` (by partition its first and last offset) was parked, sealed or applied before."""
        return {
            (partition, offset)
            for table in (PARKED, DEAD_LETTER, APPLIED)
            for partition, (first, last) in spans.items()
            for (offset,) in connection.execute(
                sa.select(table.c.offset).where(*_at(table, topic, partition), table.c.offset.between(first, last))
            )
        }


def _each(table: sa.Table, topic: str, events: Iterable[At]) -> Iterator[tuple[sa.ColumnElement[bool], ...]]:
    """Conditions that find `events` in `table`: some for each partition."""
    offsets: dict[int, list[int]] = {}
    for partition, offset in events:
        offsets.setdefault(partition, []).append(offset)
    for partition, those in offsets.items():
        for some in chunks(those):
            yield *_at(table, topic, partition), table.c.offset.in_(some)


def _at(table: sa.Table, topic: str, partition: int) -> tuple[sa.ColumnElement[bool], ...]:
    return table.c.topic == topic, table.c.partition == partition
