"""How far a vault knows, and going on with one that knows less than was published: an older backup.

A sound vault is never behind Kafka: what it decides is durable before anything is published, and offsets are committed
after that. One that is behind was restored from a backup from before. It does not know the participants who were
enrolled since, and would give them new random IDs: their events would land a second time under another name. So a
worker refuses to start on it (`biokeel.engine.consistency`) until an operator says that he accepts the loss (`accept`):

- what was let through since the backup is in the lake and stays, under IDs that the vault does not know;
- what was parked or sealed since is gone: `biokeel verify` names the coordinates, and sources can publish it again;
- enrolments since are applied again; people who were new then have another ID from now on;
- should Kafka give one of those events once more, it is judged as a new one (`forgotten`): which were let through and
  which were stopped is not known any more, and one that held a leak must not go on.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from biokeel.batch import RawPartition
from biokeel.contracts.topics import event_type, raw_of
from biokeel.vault.audit import Audit, Entry
from biokeel.vault.tables import APPLIED, DEAD_LETTER, FORGOTTEN, META, PARKED, PROGRESS, RELEASE_COUNTER, VOID, within

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from biokeel.contracts.topics import EventType
    from biokeel.vault.database import Database
    from biokeel.vault.tables import Spans

Place = tuple[str, int]
"""Raw topic and partition."""
_WITH_OFFSETS: Final = (
    (PROGRESS, PROGRESS.c.decided),
    *((table, table.c.offset) for table in (PARKED, DEAD_LETTER, APPLIED)),
    (VOID, VOID.c.last),
)
_ACCEPTED: Final = "accepted"
_LEAP: Final = 1 << 32
"""Release numbers are left out so widely that none is given a second time, whatever was released since the backup."""


def known(connection: sa.Connection, places: Iterable[Place]) -> dict[Place, int]:
    """The last offset of each of `places` that the vault knows of, -1 for none."""
    return {place: max(_last(connection, table, column, place) for table, column in _WITH_OFFSETS) for place in places}


def _last(connection: sa.Connection, table: sa.Table, column: sa.Column[int], place: Place) -> int:
    # One partition at a time the primary key answers at once, however many rows there are.
    last = connection.execute(_newest_of(table, column), _columns(place)).scalar()
    return -1 if last is None else int(last)


@cache
def _newest_of(table: sa.Table, column: sa.Column[int]) -> sa.Select[Any]:
    """Made once a table: to make it for each of 1,620 partitions took ten times as long as to run it."""
    return sa.select(sa.func.max(column)).where(
        *(table.c[name] == sa.bindparam(name) for name in ("event", "source", "partition"))
    )


def forgotten(
    connection: sa.Connection, event: EventType, origins: Iterable[RawPartition]
) -> list[tuple[RawPartition, int, int]]:
    """Spans (raw partition, first and last offset) of which it is not known what was decided."""
    wanted = frozenset(origins)
    rows = connection.execute(sa.select(FORGOTTEN).where(FORGOTTEN.c.event == str(event)))
    spans = [(RawPartition(row.source, row.partition), int(row.first), int(row.last)) for row in rows]
    return [span for span in spans if span[0] in wanted]


def decided_anew(connection: sa.Connection, event: EventType, spans: Spans) -> None:
    """What lies in `spans` is decided once more: forget that it was forgotten.

    Of a span that begins before, nothing: Kafka gives offsets in order, so that is the middle of one that comes again.
    """
    for origin, (first, last) in spans.items():
        mine = *within(FORGOTTEN, event, origin), FORGOTTEN.c.first >= first
        connection.execute(sa.delete(FORGOTTEN).where(*mine, FORGOTTEN.c.last <= last))
        connection.execute(sa.update(FORGOTTEN).where(*mine, FORGOTTEN.c.first <= last).values(first=last + 1))


def is_accepted(connection: sa.Connection) -> bool:
    """Whether an operator has accepted that this vault is behind."""
    return connection.execute(sa.select(META.c.value).where(META.c.name == _ACCEPTED)).scalar() is not None


def forget_acceptance(connection: sa.Connection) -> None:
    """The vault has caught up, or was restored: being behind is news again."""
    connection.execute(sa.delete(META).where(META.c.name == _ACCEPTED))


def accept(connection: sa.Connection, database: Database, audit: Audit, goes_on: Mapping[Place, int]) -> None:
    """Go on from `goes_on` (every raw partition → the offset that Kafka gives next); in an exclusive transaction.

    Person events are left as they are, since Kafka gives them again after those that the vault knows; but for those
    that retention took before that. What it took counts as decided: else a quiet partition would leave the vault behind
    for good, and it would stay accepted that it is.
    """
    here = known(connection, goes_on)
    landed = {place for place in goes_on if not raw_of(place[0])[1].is_person}
    ahead = {
        place: next_ - 1
        for place, next_ in goes_on.items()
        if next_ > 0 and (place in landed or next_ - 1 > here[place])
    }
    database.upsert(
        connection,
        PROGRESS,
        [{**_columns(place), "decided": max(last, here[place])} for place, last in ahead.items()],
    )
    gaps = [
        {**_columns(place), "first": here[place] + 1, "last": last}
        for place, last in ahead.items()
        if last > here[place]
    ]
    database.upsert(connection, FORGOTTEN, gaps)
    rows = connection.execute(sa.select(RELEASE_COUNTER))
    counters = {_place(row.event, row.source, row.partition): row.last for row in rows}
    database.upsert(
        connection,
        RELEASE_COUNTER,
        [{**_columns(place), "last": counters.get(place, -1) + _LEAP} for place in sorted(counters.keys() | landed)],
    )
    database.upsert(connection, META, [{"name": _ACCEPTED, "value": "1"}])
    lost = sum(max(0, last - here[place]) for place, last in ahead.items())
    audit.append(connection, [Entry("accept_older_vault", None, {"events": lost})])


def _known_as(place: Place) -> tuple[EventType, RawPartition]:
    """A place as the vault's tables have it."""
    source, event = raw_of(place[0])
    return event, RawPartition(source, place[1])


def _columns(place: Place) -> dict[str, str | int]:
    event, (source, partition) = _known_as(place)
    return {"event": str(event), "source": source, "partition": partition}


def _place(event: str, source: str, partition: int) -> Place:
    return event_type(event).raw_topic(source), partition
