"""`biokeel publish`: files of a source into its raw topics."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from rich.table import Table

    from biokeel.source.adapters.base import Subject
    from biokeel.source.enrol import Enroller
    from biokeel.source.files import FileResult, Sink, Source

_SITE: Final = re.compile(r"[a-z0-9][a-z0-9.-]*")
_MOST_PROBLEMS: Final = 20
"""Kinds of problem that the closing table shows; the rest is counted."""
_MOST_NAMES: Final = 5
"""Files of one kind of problem that it names."""


def register(app: typer.Typer) -> None:
    """Add `publish`."""
    app.command()(publish)


def publish(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders (walked).", show_default=False)],
    *,
    source_id: Annotated[str, typer.Option(help="The publishing system, as agreed with the programme.")],
    site: Annotated[str, typer.Option(help="Hospital, centre or vendor in subject schemes; else the source id.")] = "",
    subject: Annotated[
        str,
        typer.Option(
            help="SCHEME=VALUE: the person of files that name nobody; - reads it from standard input, unseen."
        ),
    ] = "",
    zone: Annotated[str, typer.Option(help="Time zone of times without one, for example Asia/Seoul.")] = "",
    identifiers: Annotated[
        Path | None,
        typer.Option(help="Table of identifier systems and FHIR servers, TOML or JSON; else BIOKEEL_IDENTIFIERS."),
    ] = None,
    enrol: Annotated[bool, typer.Option("--enrol", help="Enrol every subject that the files do not enrol.")] = False,
    consent: Annotated[
        str,
        typer.Option(help="With --enrol: what these people consented to, for example genome,clinical,lifestyle."),
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and encode everything, send nothing.")] = False,
    key_file: Annotated[
        Path | None, typer.Option(help="The source's secret for event ids; made where there is none.")
    ] = None,
) -> None:
    """Publish files: FHIR R4, Open mHealth, Fitbit CSV, GA4GH WGS-QC, or JSON lines of ready records.

    A file that is sent again gives events with the same ids. Ends with status 1 if a file could not be used at all.
    """
    from biokeel.cli.terminal import terminal
    from biokeel.contracts.grammars import SOURCE_ID
    from biokeel.contracts.registry import open_catalogue
    from biokeel.errors import AdapterError, SettingsError
    from biokeel.observe.reach import require_kafka
    from biokeel.settings import Settings, side_of
    from biokeel.source.client import Publisher
    from biokeel.source.enrol import Enroller
    from biokeel.source.files import DryRun, Source, find_files
    from biokeel.source.ids import source_key
    from biokeel.source.schemes import load_schemes

    _check(source_id, re.compile(SOURCE_ID), "--source-id")
    if site:
        _check(site, _SITE, "--site")
    consented = _consent(consent)
    if consented is not None and not enrol:
        raise typer.BadParameter("--consent says what people consented to whom --enrol enrols: name both.")
    settings = Settings.load(side_of(source_id))
    if settings.source_id and settings.source_id != source_id:
        raise SettingsError(
            f"These are the settings of {settings.source_id}, and not of {source_id}: its events would be sealed.",
            f"Name --source-id {settings.source_id}, or unset BIOKEEL_SOURCE_ID and what belongs to it.",
        )
    schemes = load_schemes(identifiers or settings.identifiers)
    source = Source(
        source_id,
        source_key(key_file or settings.state_dir / "source.key", make=not dry_run),
        site or None,
        _subject(subject),
        _zone(zone),
        schemes,
    )
    files = find_files(paths)
    if not files:
        raise AdapterError("There is no file in what was named.", "Hidden files are left out.")
    if not dry_run:
        require_kafka(settings)
    catalogue = open_catalogue(settings.schemas_dir, settings.schema_registry_url)
    console = terminal()
    enroller = Enroller(consented) if enrol else None
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
        raise typer.BadParameter(f"{option} wants lower-case letters, digits and '-'.")


def _subject(text: str) -> Subject | None:
    from biokeel.source.adapters.base import Unusable, subject_of

    # Whoever is on the machine sees a command line, and the shell keeps it.
    text = sys.stdin.readline().strip() if text == "-" else text
    scheme, _, value = text.partition("=")
    if not text:
        return None
    try:
        return subject_of(scheme, value, "VALUE")
    except Unusable:
        raise typer.BadParameter("--subject wants SCHEME=VALUE, for example app/fitbit=ABC123.") from None


def _consent(words: str) -> list[str] | None:
    """The domains that `words` names, None for no word at all."""
    from biokeel.source.enrol import CONSENT_WORDS

    said = [word.strip() for word in words.split(",")] if words.strip() else []
    if not set(said) <= set(CONSENT_WORDS):
        raise typer.BadParameter(f"--consent wants one or more of {', '.join(CONSENT_WORDS)}, with commas between.")
    return said or None


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
    bar = Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal)
    with bar as progress:
        task = progress.add_task("", total=sum(path.stat().st_size for path in files), events=0)
        events = 0

        def done(result: FileResult) -> None:
            nonlocal events
            events += result.sent.total()
            progress.update(task, advance=result.path.stat().st_size, events=events)

        return publish_files(files, source, sink, enroller, done)


def _show(results: Sequence[FileResult], console: Console, dry_run: bool) -> None:
    from collections import Counter

    console.print(_sent(results, dry_run) or "No event was found.")
    problems = _problems(results)
    if problems:
        faults = _table("Problems", "file", "first at", "times", "problem")
        for row in problems[:_MOST_PROBLEMS]:
            faults.add_row(*row)
        console.print(faults)
    if (hidden := len(problems) - _MOST_PROBLEMS) > 0:
        console.print(f"{hidden} further kinds of problem are not shown; publish fewer files at once to see them.")
    left_out: Counter[str] = Counter()
    for result in results:
        left_out += result.report.left_out
    if left_out:
        console.print("Left out: " + ", ".join(f"{what} {count:,}" for what, count in left_out.most_common()) + ".")
    silent = sum(not r.sent and not r.report.problems and not r.failure for r in results)
    if silent:
        console.print(
            f"Without an event of a person (lists of hospitals or practitioners, for example): {_files(silent)}."
        )
    if without := sum(result.without_consent for result in results):
        console.print(_without_consent(without))
    unusable = sum(result.failed_wholly for result in results)
    verdict = f"{unusable} of them could not be used" if unusable else "all could be used"
    console.print(f"{_files(len(results))} read; {verdict}.")


def _without_consent(count: int) -> str:
    people = "1 enrolment states" if count == 1 else f"{count:,} enrolments state"
    return (
        f"{people} no consent. Events of people who have given none are sealed (privacy.no_consent). To state one: "
        "publish person.consent_change, or name with --enrol --consent what all of them consented to; then send these "
        "files again."
    )


def _sent(results: Sequence[FileResult], dry_run: bool) -> Table | None:
    from biokeel.source.files import summary

    table = _table("Would be published" if dry_run else "Published", "event type")
    table.add_column("events", justify="right")
    for event, count in summary(results):
        table.add_row(event, f"{count:,}")
    return table if table.row_count else None


def _problems(results: Sequence[FileResult]) -> list[tuple[str, str, str, str]]:
    """File, first place, times and reason of each problem: whole files by reason first, then places by file."""
    from collections import Counter

    whole: dict[str, list[str]] = {}
    for result in results:
        if result.failure:  # It begins with the file's name, which has a column of its own.
            reason = result.failure.removeprefix(result.path.name).strip()
            whole.setdefault(reason, []).append(result.path.name)
    rows = [(_names(names), "the whole file", str(len(names)), reason) for reason, names in whole.items()]
    places = Counter((result.path.name, problem.reason) for result in results for problem in result.report.problems)
    first = {(r.path.name, p.reason): p.position for r in reversed(results) for p in reversed(r.report.problems)}
    return rows + [(name, first[name, reason], str(count), reason) for (name, reason), count in places.most_common()]


def _names(names: Sequence[str]) -> str:
    from biokeel.observe.visible import visible

    more = len(names) - _MOST_NAMES
    return "\n".join(map(visible, names[:_MOST_NAMES])) + (f"\nand {more} more" if more > 0 else "")


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count:,} files"


def _table(title: str, *headings: str) -> Table:
    from rich.table import Table

    table = Table(title=title)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table
