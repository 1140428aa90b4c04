"""Putting the two tables of an event type back to an older version, so that nothing is lost or doubled afterwards.

delta-rs restores a table's files and leaves the app transactions of the newest version: the positions would account
for rows that are gone, and no worker would ever land them again. So ours go back with the rows: T to what it was in
that version of the curated table, Q to what it was in the oldest version of the quarantine table that accounts for all
that is in there, and for all that a steward's operation has moved from there. O goes back, too, so what operations did
later is done again. Workers then read again what lies above and judge it anew, by the suite of now.

No commit spans both tables. In between no worker may begin, so a mark says that a restore is under way, and `recover`
refuses while it stands. In steps, and what a crash after each means:

1. **mark**: `state/<domain>/<event>/restoring.json` holds the plan. *After it*: nothing has changed, but no worker
   begins on this event type until somebody asks for the same restore again, which goes on from here.
2. **curated**: one commit, rows and T of the wanted version. *After it*: T lies far below Q.
3. **quarantine**: one commit, rows and Q of the version that goes with it.
4. **state**: linking state that knows more than the table is deleted, and what was put aside above it is looked at
   anew; the participants table forgets which it was made from, so that the next refresh makes it anew.
5. The mark is deleted, and workers begin.

Both commits carry the number of this restore (`<topic>/restores`), which is how a repeated step knows that it is done,
and how a later restore tells the versions before this one from those after it: a curated and a quarantine version go
together only if they have the same number, for the same event may have had different verdicts.

A worker that did not know of all this has positions in mind that are not the tables' any more: its next commit to
either table is refused (`CommitConflict`), and it recovers. `biokeel lake restore` asks besides that none runs, because
one that sleeps through it all and then saves its linking state would put a state beside the table that is not its.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import CommitFailedError
from pydantic import TypeAdapter

from biokeel.errors import CommitConflict, LandingError
from biokeel.land.aside import Aside
from biokeel.land.checkpoint import Mapped, append, noted
from biokeel.land.log import oldest, version_at
from biokeel.land.maintenance import made_from
from biokeel.land.moved import MOVED, MOVING
from biokeel.land.snapshots import Point, Snapshots
from biokeel.land.tidy import begin_again

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

    from biokeel.contracts.topics import EventType
    from biokeel.land.lake import Lake

TRIES: Final = 5
"""How often to try while somebody else commits to the table."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A restore of one event type. `positions` are T, `decided` Q, as they will be; -1 for nothing. `operated` is O.

    `read_from`: where workers will begin to read each pseudo partition, so what its topic must still hold. `reached`:
    how far the curated table is now, so how far the topic must go. `number` counts the restores of this event type.
    """

    curated_version: int
    quarantine_version: int
    number: int
    positions: dict[int, int]
    decided: dict[int, int]
    read_from: dict[int, int]
    reached: dict[int, int]
    operated: dict[int, int]
    keeps_state: bool


_PLANS: Final = TypeAdapter(Plan)


def under_way(lake: Lake, event: EventType) -> Plan | None:
    """The restore of `event` that was begun and not finished, None where there is none."""
    key = _mark(event)
    if key not in lake.objects.keys(key):
        return None
    return _PLANS.validate_json(lake.objects.get(key))


def plan(lake: Lake, event: EventType, to: int | dt.datetime, partitions: int) -> Plan:
    """What restoring `event` to version `to` of its curated table (or the newest at that time) comes to.

    `partitions` is how many its pseudo topic has. Changes nothing. Raises `LandingError` where the log no longer knows
    that version, or no version of the quarantine table goes with it.
    """
    uri = lake.curated(event)
    now = _at(lake, uri, None)
    then = _at(lake, uri, to if isinstance(to, int) else version_at(lake, uri, to))
    positions = _positions(then, event, partitions)
    number = _number(then, event)
    moving = {p: noted(then, f"{event.pseudo_topic}/{p}/{MOVING}") for p in positions}
    quarantine = _partner(lake, event, number, positions, moving)
    # State from after an earlier restore knows other verdicts than the versions before it.
    keeps_state = number == _number(now, event)
    saved = {p: Snapshots(lake).kept(event, p) if keeps_state else [] for p in positions}
    operated = {p: max(0, noted(then, f"{event.pseudo_topic}/{p}/operated")) for p in positions}
    return Plan(
        then.version(),
        quarantine.version(),
        _number(now, event) + 1,
        positions,
        _positions(quarantine, event, partitions),
        {
            p: max((s.offset for s in saved[p] if s.offset <= last and s.operated <= operated[p]), default=-1) + 1
            for p, last in positions.items()
        },
        _positions(now, event, partitions),
        operated,
        keeps_state,
    )


def restore(lake: Lake, event: EventType, wanted: Plan) -> None:
    """Do as `wanted` says; safe to repeat after a crash, with what `under_way` gives.

    Raises `LandingError` where files of the wanted versions were vacuumed (nothing has changed then), `CommitConflict`
    where others commit all the time.
    """
    for uri, version in ((lake.curated(event), wanted.curated_version), _quarantine(lake, event, wanted)):
        _require_files(lake, uri, version)
    lake.objects.put(_mark(event), _PLANS.dump_json(wanted))
    topic = event.pseudo_topic
    for (uri, version), positions, names in (
        ((lake.curated(event), wanted.curated_version), wanted.positions, ["operated", MOVING]),
        (_quarantine(lake, event, wanted), wanted.decided, ["writer", MOVED]),
    ):
        then = _at(lake, uri, version)
        back = {f"{topic}/{partition}": position for partition, position in positions.items()}
        further = [f"{topic}/{partition}/{name}" for partition in positions for name in names]
        back |= {name: noted(then, name) for name in further}
        _put_back(lake, uri, then.version(), back, (f"{topic}/restores", wanted.number))
    for partition, last in wanted.positions.items():
        point = Point(last if wanted.keeps_state else -1, wanted.operated[partition])
        Snapshots(lake).delete_above(event, partition, point)
    Aside(lake).forget_above(event, wanted.positions)
    _forget_participants(lake, event, wanted)
    begin_again(lake, event, wanted.positions)
    lake.objects.delete(_mark(event))


def _put_back(lake: Lake, uri: str, version: int, positions: Mapping[str, int], number: tuple[str, int]) -> None:
    """One commit: the table as it was in `version`, with `positions` and the restore's `number` as app transactions.

    A table that has that number already is left alone.
    """
    transactions = [Transaction(*each) for each in (*positions.items(), number)]
    for _ in range(TRIES):
        with Mapped(uri):
            table = DeltaTable(uri, storage_options=lake.options)
            if noted(table, number[0]) == number[1]:
                return
            try:
                table.restore(version, commit_properties=CommitProperties(app_transactions=transactions))
            except CommitFailedError as error:
                conflict = error
                continue
        return
    raise CommitConflict(
        f"Others commit to the table {uri} all the time.", "Stop the curate workers, then restore again."
    ) from conflict


def _forget_participants(lake: Lake, event: EventType, wanted: Plan) -> None:
    """Let the participants table know that it was made from state that is not so any more."""
    with Mapped(lake.participants):
        if not DeltaTable.is_deltatable(lake.participants, lake.options):
            return
        table = DeltaTable(lake.participants, storage_options=lake.options)
        append(table, None, {made_from(event, partition): -1 for partition in wanted.positions})


def _partner(
    lake: Lake, event: EventType, number: int, positions: Mapping[int, int], moving: Mapping[int, int]
) -> DeltaTable:
    """The oldest version of the quarantine table that decides on all up to `positions`, with the same `number`, and has
    what operations took out of the curated table up to the steps `moving`.

    Restores apart, positions and steps only go forward, so they grow with the versions and can be bisected.
    """

    def covers(version: int) -> bool:
        table = _at(lake, uri, version)
        if (its := _number(table, event)) != number:
            return its > number
        named = ((positions, ""), (moving, f"/{MOVED}"))
        return all(noted(table, f"{event.pseudo_topic}/{p}{name}") >= least[p] for least, name in named for p in least)

    uri = lake.quarantine(event)
    low, high = oldest(lake, uri), _at(lake, uri, None).version()
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if covers(middle) else (middle + 1, high)
    found = _at(lake, uri, low)
    if _number(found, event) != number or not covers(low):
        raise LandingError(
            f"No version of {uri} goes with the wanted one of the curated table.",
            "Its log has been cleared since: choose a newer version (biokeel lake history).",
        )
    return found


def _at(lake: Lake, uri: str, version: int | None) -> DeltaTable:
    """The table at `uri` as it was in `version`, or is. Raises `LandingError` for one that its log does not know."""
    with Mapped(uri):
        table = DeltaTable(uri, storage_options=lake.options)
    if version is None:
        return table
    if not oldest(lake, uri) <= version <= table.version():
        raise LandingError(
            f"The table {uri} has no version {version}: its log knows {oldest(lake, uri)} to {table.version()}.",
            "See biokeel lake history.",
        )
    with Mapped(uri):
        table.load_as_version(version)
    return table


def _require_files(lake: Lake, uri: str, version: int) -> None:
    prefix = lake.key(uri)
    there = lake.objects.sizes(f"{prefix}/")
    paths = pl.DataFrame(_at(lake, uri, version).get_add_actions(flatten=True))["path"]
    if missing := sum(f"{prefix}/{path}" not in there for path in paths):
        raise LandingError(
            f"{missing} files of version {version} of {uri} are gone: vacuum removed them.",
            "Choose a newer version (biokeel lake history), or make the lake anew from the topics: docs/operations.md.",
        )


def _quarantine(lake: Lake, event: EventType, wanted: Plan) -> tuple[str, int]:
    return lake.quarantine(event), wanted.quarantine_version


def _positions(table: DeltaTable, event: EventType, partitions: int) -> dict[int, int]:
    return {p: noted(table, f"{event.pseudo_topic}/{p}") for p in range(partitions)}


def _number(table: DeltaTable, event: EventType) -> int:
    return max(0, noted(table, f"{event.pseudo_topic}/restores"))


def _mark(event: EventType) -> str:
    return f"state/{event.domain}/{event.name}/restoring.json"
