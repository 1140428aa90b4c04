"""`biokeel source map`: a mapping proposed for a table, or what a mapping would make of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from biokeel.cli.files_of_a_source import DayMonth, Site, Zone, show_problems, source_of, table

if TYPE_CHECKING:
    from rich.console import Console

    from biokeel.source.mappings.preview import Preview

PROBLEMS: Final = 2
"""Exit status of a check that found some."""
_NOBODY: Final = "app/check", "nobody"
"""Whose a table is that names nobody, where only its form is looked at."""


def source_map(
    file: Annotated[Path, typer.Argument(help="A table: CSV, or text with another delimiter.", show_default=False)],
    *,
    check: Annotated[
        Path | None, typer.Option(help="A mapping file: say what the first lines of FILE would become by it.")
    ] = None,
    site: Site = "",
    zone: Zone = "",
    day_month: DayMonth = "",
) -> None:
    """Propose a mapping file for a table, to be decided by you; with --check, say what a mapping makes of the table.

    Prints the shipped mapping where Biokeel knows the table. No value of the table is ever printed. Exit status of a
    check: 0 where all its lines can be used, 2 where there are problems.
    """
    from biokeel.cli.terminal import say, terminal
    from biokeel.contracts.schema import load_schemas
    from biokeel.settings import Settings
    from biokeel.source.mappings.library import Library
    from biokeel.source.mappings.propose import propose

    if check is not None:
        found = _checked(file, check, site=site, zone=zone, day_month=day_month)
        _show(found, file, terminal())
        if found.report.problems:
            raise typer.Exit(PROBLEMS)
        return
    schemas = load_schemas(Settings.load().schemas_dir)
    known = Library(schemas).file_for(file)
    if known is not None:
        say("# Biokeel reads this table by this mapping of its own; change a copy to read it otherwise (--mapping).")
        say(known.read_text(encoding="utf-8"), lines=True)
    else:
        say(propose(file, schemas), lines=True)


def _checked(file: Path, mapping: Path, *, site: str, zone: str, day_month: str) -> Preview:
    from biokeel.errors import AdapterError
    from biokeel.settings import Settings
    from biokeel.source.adapters.base import Subject
    from biokeel.source.mappings.preview import preview
    from biokeel.source.mappings.run import Table

    settings, scheme = Settings.load(), "=".join(_NOBODY)
    source = source_of(
        settings,
        "check",
        site=site,
        subject=scheme,
        zone=zone,
        day_month=day_month,
        identifiers=None,
        key_file=None,
        make_key=False,
        mappings=[mapping],
    )
    assert source.tables is not None, "a mapping was named"
    (given,) = source.tables.given
    if not file.is_file():
        raise AdapterError(f"There is no file {file}.")
    context = replace(source.context(file, given.site), subject=Subject(*_NOBODY))
    return preview(Table(given, source.tables.schemas), file, context)


def _show(found: Preview, file: Path, console: Console) -> None:
    from biokeel.source.files import FileResult

    shown = table("What the first lines would become", "event type", "events", "field", "filled in")
    for event, count in found.events.items():
        for index, (name, filled) in enumerate(found.filled[event].items()):
            first = (event, f"{count:,}") if index == 0 else ("", "")
            shown.add_row(*first, name, f"{filled:,}" if filled else "none")
    console.print(shown if shown.row_count else "No event.")
    show_problems([FileResult(file, report=found.report)], console)
