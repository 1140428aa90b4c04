"""The vault's decisions in the order of their commits, so that who follows them reads only what is new.

A row says of a run of offsets of one raw partition where its events lie from that transaction on (`parked`, `sealed`,
`applied`; `released`: in the vault no more; `void`: no event stands there), and replaces what earlier rows said.
It is written in the transaction that makes it so, with the next numbers.

**Numbers are seen in their order**: whoever reads a number has seen, or sees with it, every lower one. SQLite has one
writer at a time. On PostgreSQL several decide side by side, so the number is taken under a lock that is held until the
commit; `write` is called as late in a transaction as can be. Waiting for gaps instead would not do: a number whose
transaction was rolled back never comes.
"""

from __future__ import annotations

import secrets
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from biokeel.vault.tables import DECISION

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from biokeel.batch import At
    from biokeel.contracts.topics import EventType
    from biokeel.vault.database import Database

PARKED: Final = "parked"
SEALED: Final = "sealed"
APPLIED: Final = "applied"
RELEASED: Final = "released"
VOID: Final = "void"


def write(
    connection: sa.Connection, database: Database, event: EventType, place: str, events: Iterable[tuple[At, str]]
) -> None:
    """Write down that `events`, each with its reason (empty for none), lie in `place` from this transaction on."""
    write_runs(connection, database, event, place, list(_runs(events)))


def write_runs(
    connection: sa.Connection, database: Database, event: EventType, place: str, runs: Sequence[dict[str, Any]]
) -> None:
    """The same of runs: `source`, `partition`, `first`, `last` and `reason` of each."""
    if not runs:
        return
    database.lock_decisions(connection)
    last = connection.execute(sa.select(sa.func.max(DECISION.c.number))).scalar()
    first = 0 if last is None else int(last) + 1
    rows: list[dict[str, Any]] = [
        {"number": number, "mark": secrets.randbits(62), "event": str(event), "place": place, **run}
        for number, run in enumerate(runs, first)
    ]
    connection.execute(sa.insert(DECISION), rows)


def _runs(events: Iterable[tuple[At, str]]) -> Iterator[dict[str, Any]]:
    """Runs of offsets that follow each other in one raw partition, with one reason."""

    def run(numbered: tuple[int, tuple[At, str]]) -> tuple[str, int, str, int]:
        number, (at, reason) = numbered
        return at.source, at.partition, reason, at.offset - number

    ordered = sorted(set(events), key=lambda each: (each[0].source, each[0].partition, each[1], each[0].offset))
    for (source, partition, reason, _), some in groupby(enumerate(ordered), run):
        offsets = [at.offset for _, (at, _) in some]
        yield {"source": source, "partition": partition, "reason": reason, "first": offsets[0], "last": offsets[-1]}
