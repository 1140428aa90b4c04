"""`biokeel publish`: files of a source into its raw topics."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from biokeel.source.adapters.base import Subject
    from biokeel.source.enrol import Enroller
    from biokeel.source.files import FileResult, Sink, Source

_SOURCE_ID: Final = re.compile(r"[a-z0-9][a-z0-9./-]*")
_SITE: Final = re.compile(r"[a-z0-9][a-z0-9.-]*")
_MOST_PROBLEMS: Final = 20
"""Kinds of problem that the closing table shows; the rest is counted."""


def register(app: typer.Typer) -> None:
    """Add `publish`."""
    app.command()(publish)


def publish(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders (walked).", show_default=False)],
    *,
    source_id: Annotated[str, typer.Option(help="The publishing system, as agreed with the programme.")],
    site: Annotated[str, typer.Option(help="Hospital, centre or vendor in subject schemes; else the source id.")] = "",
    subject: Annotated[str, typer.Option(help="SCHEME=VALUE: the person of files that name nobody.")] = "",
    zone: Annotated[str, typer.Option(help="Time zone of times without one, for example Asia/Seoul.")] = "",
    enrol: Annotated[bool, typer.Option("--enrol", help="Enrol every subject that the files do not enrol.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and encode everything, send nothing.")] = False,
    key_file: Annotated[
        Path | None, typer.Option(help="The source's secret for event ids; made where there is none.")
    ] = None,
) -> None:
    """Publish files: FHIR R4, Open mHealth, Fitbit CSV, GA4GH WGS-QC, or JSON lines of ready records.

    A file that is sent again gives events with the same ids. Ends with status 1 if a file could not be used at all.
    """
    from biokeel.cli.terminal import terminal
    from biokeel.contracts.registry import open_catalogue
    from biokeel.settings import Settings
    from biokeel.source.client import Publisher
    from biokeel.source.enrol import Enroller
    from biokeel.source.files import DryRun, Source, find_files
    from biokeel.source.ids import source_key

    _check(source_id, _SOURCE_ID, "--source-id")
    if site:
        _check(site, _SITE, "--site")
    settings = Settings.load("source")
    source = Source(
        source_id,
        source_key(key_file or settings.state_dir / "source.key"),
        site or None,
        _subject(subject),
        _zone(zone),
    )
    files = find_files(paths)
    catalogue = open_catalogue(settings.schemas_dir, settings.schema_registry_url)
    console = terminal()
    enroller = Enroller() if enrol else None
    if dry_run:
        results = _run(files, source, DryRun(catalogue, settings.max_event_bytes), enroller, console)
    else:
        with Publisher(settings, catalogue) as publisher:
            results = _run(files, source, publisher, enroller, console)
    _show(results, console, dry_run)
    if any(result.failed_wholly for result in results):
        raise typer.Exit(1)


def _check(text: str, pattern: re.Pattern[str], option: str) -> None:
    if not pattern.fullmatch(text):
        raise typer.BadParameter(f"{option} wants lower-case letters, digits, '-' and '.'.")


def _subject(text: str) -> Subject | None:
    from biokeel.source.adapters.base import Subject

    scheme, _, value = text.partition("=")
    if text and not (scheme and value):
        raise typer.BadParameter("--subject wants SCHEME=VALUE, for example app/fitbit=ABC123.")
    return Subject(scheme, value) if text else None


def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError):
        raise typer.BadParameter("--zone wants a name of the IANA time zone database.") from None


def _run(
    files: Sequence[Path], source: Source, sink: Sink, enroller: Enroller | None, console: Console
) -> list[FileResult]:
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from biokeel.source.files import publish_files

    columns = (BarColumn(), DownloadColumn(), MofNCompleteColumn(), TextColumn("{task.fields[events]:,} events"))
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress:
        task = progress.add_task("", total=sum(path.stat().st_size for path in files), events=0)
        events = 0

        def done(result: FileResult) -> None:
            nonlocal events
            events += result.sent.total()
            progress.update(task, advance=result.path.stat().st_size, events=events)

        return publish_files(files, source, sink, enroller, done)


def _show(results: Sequence[FileResult], console: Console, dry_run: bool) -> None:
    from collections import Counter

    from rich.table import Table

    from biokeel.source.files import summary

    table = Table(title="Would be published" if dry_run else "Published")
    table.add_column("event type")
    table.add_column("events", justify="right")
    for event, count in summary(results):
        table.add_row(event, f"{count:,}")
    console.print(table)

    problems = Counter((result.path.name, problem.reason) for result in results for problem in result.report.problems)
    first = {(r.path.name, p.reason): p.position for r in reversed(results) for p in reversed(r.report.problems)}
    failures = [(result.path.name, result.failure) for result in results if result.failure]
    if problems or failures:
        faults = Table(title="Problems")
        for heading in ("file", "first at", "times", "problem"):
            faults.add_column(heading, overflow="fold")
        for name, failure in failures[:_MOST_PROBLEMS]:
            faults.add_row(name, "the whole file", "1", failure)
        for (name, reason), count in problems.most_common(_MOST_PROBLEMS):
            faults.add_row(name, first[name, reason], str(count), reason)
        console.print(faults)
        hidden = max(0, len(problems) - _MOST_PROBLEMS) + max(0, len(failures) - _MOST_PROBLEMS)
        if hidden:
            console.print(f"{hidden} further kinds of problem are not shown; publish those files alone to see them.")
    left_out: Counter[str] = Counter()
    for result in results:
        left_out += result.report.left_out
    if left_out:
        console.print(
            "Left out, because they are no event type: " + ", ".join(f"{k} {n}" for k, n in left_out.most_common())
        )
    silent = sum(not r.sent and not r.report.problems and not r.failure for r in results)
    if silent:
        console.print(f"{silent} files hold no event of a person (for example lists of hospitals or practitioners).")
    console.print(f"{len(results)} files, {sum(r.failed_wholly for r in results)} of them could not be used.")
