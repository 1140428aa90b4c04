"""`biokeel lake`: the tables in object storage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from biokeel.cli.tidy import tidy

if TYPE_CHECKING:
    from biokeel.land.lake import Lake


def register(app: typer.Typer) -> None:
    """Add the commands of this group."""
    group = typer.Typer(help="The tables in object storage.", no_args_is_help=True)
    group.command("tables")(tables)
    group.command("refresh")(refresh)
    group.command("optimize")(optimize)
    group.command("tidy")(tidy)
    app.add_typer(group, name="lake")


def tables() -> None:
    """List the tables with their versions, rows and addresses."""
    from rich.table import Table

    from biokeel.cli.terminal import terminal
    from biokeel.contracts.topics import event_type
    from biokeel.land.books import CURATED, LakeReader

    reader = LakeReader(_lake())
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

    rows = refresh_participants(_lake(), from_snapshots)
    print("The participants table is up to date." if rows is None else f"The participants table has {rows:,} persons.")


def optimize() -> None:
    """Rewrite the tables' small files as few, the curated ones ordered by participant."""
    from biokeel.contracts.topics import event_type
    from biokeel.land.books import CURATED, LakeReader
    from biokeel.land.maintenance import compact

    lake = _lake()
    for event, name in LakeReader(lake).table_versions():
        kind = event_type(event)
        uri = lake.curated(kind) if name == CURATED else lake.quarantine(kind)
        done = compact(lake, uri, by_participant=name == CURATED)
        counts = "1 file" if done.before == 1 else f"{done.before:,} files"
        became = "left as is" if done.after == done.before else f"now {done.after:,}"
        print(f"{event} {name}: {counts}, {became}.")


def _lake() -> Lake:
    from biokeel.contracts.topics import Zone
    from biokeel.land.lake import Lake
    from biokeel.observe.reach import require_store
    from biokeel.settings import Settings

    settings = Settings.load(Zone.RESEARCH)
    require_store(settings)
    return Lake.of(settings)
