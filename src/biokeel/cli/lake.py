"""`biokeel lake`: the tables in object storage."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Annotated, Final

import typer

from biokeel.cli.terminal import say
from biokeel.cli.tidy import tidy

if TYPE_CHECKING:
    from biokeel.contracts.topics import EventType
    from biokeel.land.lake import Lake
    from biokeel.land.restore import Plan
    from biokeel.settings import Settings

WEEK: Final = 7 * 24
Events = Annotated[list[str] | None, typer.Argument(metavar="[EVENTS]", help="Event types; all where none is named.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this group."""
    group = typer.Typer(help="The tables in object storage.", no_args_is_help=True)
    group.command("tables")(tables)
    group.command("refresh")(refresh)
    group.command("optimize")(optimize)
    group.command("tidy")(tidy)
    group.command("vacuum")(vacuum)
    group.command("verify")(verify)
    group.command("history")(history)
    group.command("restore")(restore)
    app.add_typer(group, name="lake")


def tables() -> None:
    """List the tables with their versions, rows and addresses."""
    from rich.table import Table

    from biokeel.cli.terminal import terminal
    from biokeel.contracts.topics import event_type
    from biokeel.land.contents import CURATED, LakeReader

    reader = LakeReader(_lake(writes=False))
    versions = reader.table_versions()
    shown = Table("event", "table", "version", "rows", "address", title="The lake")
    for event, name, rows in reader.counts().iter_rows():
        lake, kind = reader.lake, event_type(event)
        address = lake.curated(kind) if name == CURATED else lake.quarantine(kind)
        shown.add_row(event, name, str(versions.get((event, name), "-")), f"{rows:,}", address)
    terminal().print(shown)


def refresh() -> None:
    """Make the participants table anew from the newest snapshots of linking state."""
    from biokeel.land.maintenance import refresh_participants
    from biokeel.link.participants import from_snapshots

    rows = refresh_participants(_lake(writes=True), from_snapshots)
    say("The participants table is up to date." if rows is None else f"The participants table has {rows:,} persons.")


def optimize(
    events: Events = None,
    *,
    order: Annotated[
        bool, typer.Option("--order", help="Rewrite curated tables whole, ordered by participant: seldom.")
    ] = False,
) -> None:
    """Rewrite the tables' small files as few, and clear their logs. Safe while workers write; run it hourly."""
    from biokeel.land.contents import CURATED, LakeReader
    from biokeel.land.maintenance import compact

    lake = _lake(writes=True)
    for event, name, uri in LakeReader(lake).with_history(_events(events)):
        done = compact(lake, uri, by_participant=order and name == CURATED)
        became = "left as is" if done.after == done.before else f"now {done.after:,}"
        say(f"{event} {name}: {_count(done.before)}, {became}.")


def vacuum(
    events: Events = None,
    *,
    retention_hours: Annotated[
        int, typer.Option(min=1, help="Keep what versions of so many hours need; restore reaches no further back.")
    ] = WEEK,
    delete: Annotated[bool, typer.Option("--delete", help="Delete; without it they are only counted.")] = False,
) -> None:
    """Count, or delete, files that no version of the last days needs. Safe while workers write."""
    from biokeel.land.contents import LakeReader
    from biokeel.land.maintenance import vacuum as vacuum_table

    lake = _lake(writes=delete)
    verb = "deleted" if delete else "could be deleted"
    found = [
        (f"{event} {name}", vacuum_table(lake, uri, hours=retention_hours, delete=delete))
        for event, name, uri in LakeReader(lake).with_history(_events(events))
    ]
    if not events and LakeReader(lake).has_participants():
        done = vacuum_table(lake, lake.participants, hours=retention_hours, delete=delete)
        found.append(("participants", done))
    for name, done in found:
        say(f"{name}: {_count(done.files)} {verb}, {done.size:,} bytes.")
    files, size = sum(done.files for _, done in found), sum(done.size for _, done in found)
    say(f"In all {_count(files)} {verb}, {size:,} bytes.{'' if delete else ' Add --delete to delete them.'}")


def verify(events: Events = None) -> None:
    """Check the tables: every file is there and readable, no coordinate stands twice, positions agree with the rows.

    Exit status 1 with what is wrong. `biokeel verify` holds the tables against the raw topics besides.
    """
    from biokeel.land.check import faults

    lake = _lake(writes=False)
    wrong = 0
    for event in _events(events):
        for fault in faults(lake, event):
            wrong += 1
            say(str(fault))
    if wrong:
        raise typer.Exit(1)
    say("Files, rows and positions are sound.")


def history(
    event: Annotated[str, typer.Argument(help="An event type.")],
    *,
    quarantine: Annotated[
        bool, typer.Option("--quarantine", help="The quarantine table, not the curated one.")
    ] = False,
    last: Annotated[int, typer.Option(min=1, help="How many versions.")] = 20,
) -> None:
    """Show the versions of a table: when, by what operation, how many rows it brought, how far it came in the topic."""
    from rich.table import Table

    from biokeel.cli.terminal import terminal
    from biokeel.land.log import commits

    (kind,) = _events([event])
    lake = _lake(writes=False)
    uri = lake.quarantine(kind) if quarantine else lake.curated(kind)
    shown = Table("version", "at", "operation", "rows", "files", "positions (partition:offset)", title=uri)
    for commit in commits(lake, uri, last):
        positions = " ".join(f"{partition}:{offset}" for partition, offset in sorted(commit.positions.items()))
        at = commit.at.isoformat(sep=" ", timespec="seconds")
        files = f"+{commit.files_added:,} -{commit.files_removed:,}"
        shown.add_row(str(commit.version), at, commit.operation, f"{commit.rows:,}", files, positions)
    terminal().print(shown)


def restore(
    event: Annotated[str, typer.Argument(help="An event type.")],
    *,
    version: Annotated[int | None, typer.Option(min=0, help="A version of its curated table.")] = None,
    at: Annotated[
        str, typer.Option("--time", help="Or a time, 2026-01-31T12:00:00+09:00: the newest version then.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen, change nothing.")] = False,
) -> None:
    """Put both tables of an event type back to an older version; workers then read again and judge what lay above.

    Refused while curate workers run, and where the pseudo topic no longer holds what must be read again.
    """
    from biokeel.engine.kafka.watermarks import pseudo_watermarks
    from biokeel.land.restore import plan, under_way
    from biokeel.land.restore import restore as put_back
    from biokeel.settings import OPERATOR, Settings

    settings = Settings.load(OPERATOR)
    (kind,) = _events([event])
    lake = _lake(writes=not dry_run)
    marks = pseudo_watermarks(settings, kind)
    begun = under_way(lake, kind)
    wanted = begun or plan(lake, kind, _target(version, at), len(marks))
    if begun and version != begun.curated_version:
        raise typer.BadParameter(f"A restore was begun: finish it first, with --version {begun.curated_version}.")
    _require_topic(kind, wanted, marks)
    say(f"{kind}: curated to version {wanted.curated_version}, quarantine to {wanted.quarantine_version}.")
    for partition, last in sorted(wanted.positions.items()):
        reads = f"workers read again from {wanted.read_from[partition]}"
        say(f"  partition {partition}: from position {wanted.reached[partition]} back to {last}; {reads}.")
    if dry_run:
        say("Nothing was changed.")
        return
    _require_no_worker(settings)
    put_back(lake, kind, wanted)
    say("Restored. Start the workers; biokeel verify --wait 60 tells when all has landed again.")


def _target(version: int | None, at: str) -> int | dt.datetime:
    if (version is None) == (not at):
        raise typer.BadParameter("Name either --version or --time.")
    if version is not None:
        return version
    try:
        found = dt.datetime.fromisoformat(at)
    except ValueError:
        raise typer.BadParameter("--time wants a time like 2026-01-31T12:00:00+09:00.") from None
    if found.tzinfo is None:
        raise typer.BadParameter("--time wants its offset too: 2026-01-31T12:00:00+09:00.")
    return found


def _require_topic(event: EventType, wanted: Plan, marks: dict[int, tuple[int, int]]) -> None:
    """Raise `LandingError` unless the topic holds all that must be read again: it would be lost."""
    from biokeel.errors import LandingError

    for partition, (low, high) in marks.items():
        first, last = wanted.read_from[partition], wanted.reached[partition]
        if last >= first and not low <= first <= last < high:
            raise LandingError(
                f"Offsets {first} to {last} of {event.pseudo_topic}/{partition} would have to be read again, and the "
                f"topic holds {low} to {high - 1}.",
                "Choose a newer version (biokeel lake history): rows that no topic holds would be lost.",
            )


def _require_no_worker(settings: Settings) -> None:
    from biokeel.engine.curate.worker import GROUP
    from biokeel.engine.kafka.groups import members
    from biokeel.errors import LandingError

    if count := members(settings, GROUP):
        raise LandingError(f"{count} curate workers run.", "Stop them (biokeel stack down), then restore again.")


def _events(names: list[str] | None) -> tuple[EventType, ...]:
    """The landed event types that `names` name; all of them for None."""
    from biokeel.contracts.catalogue import landed_events
    from biokeel.settings import Settings

    known = {str(event): event for event in landed_events(Settings.load().schemas_dir)}
    if unknown := [name for name in names or () if name not in known]:
        raise typer.BadParameter(f"No event type with tables: {', '.join(unknown)}. There are {', '.join(known)}.")
    return tuple(known[name] for name in names) if names else tuple(known.values())


def _count(files: int) -> str:
    return "1 file" if files == 1 else f"{files:,} files"


def _lake(*, writes: bool) -> Lake:
    """The lake with the rights that a command needs: an operator's read it, only the research zone's write it."""
    from biokeel.contracts.topics import Zone
    from biokeel.land.lake import Lake
    from biokeel.observe.reach import require_store
    from biokeel.settings import OPERATOR, Settings

    settings = Settings.load(Zone.RESEARCH if writes else OPERATOR)
    require_store(settings)
    return Lake.of(settings)
