"""`biokeel source dry-run`: what would become of files, on the machine of who would send them."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from biokeel.cli.files_of_a_source import (
    DayMonth,
    Identifiers,
    KeyFile,
    Mappings,
    OccurredAt,
    Paths,
    Progressing,
    Reports,
    Site,
    SourceId,
    SubjectText,
    Zone,
    files_in,
    progress_over,
    require_registered,
    show_problems,
    source_of,
    table,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from biokeel.contracts.sources import Register
    from biokeel.rules.dry_run import Judge
    from biokeel.rules.findings import DryRunReport, Fate, Finding, Kind
    from biokeel.settings import Settings
    from biokeel.source.files import Source

NOT_ALL_WOULD_LAND: Final = 2
"""Exit status."""
_MOST_PLACES: Final = 3
"""Places of one finding that the table shows."""


def dry_run(
    paths: Paths,
    *,
    source_id: SourceId = "",
    registered: Annotated[
        str,
        typer.Option(
            "--source",
            help="The registered source: its id, or its file (hospital-a.toml); what it was granted counts then.",
        ),
    ] = "",
    site: Site = "",
    subject: SubjectText = "",
    zone: Zone = "",
    day_month: DayMonth = "",
    identifiers: Identifiers = None,
    mapping: Mappings = None,
    reports: Reports = None,
    occurred_at: OccurredAt = "",
    key_file: KeyFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")] = False,
) -> None:
    """Say what would become of files if they were published: what lands, what does not and why. Nothing is sent.

    Needs the schemas and the suites, and no Kafka. Exit status 0 where all would land, 2 where something would not.
    """
    from biokeel.cli.terminal import say, terminal
    from biokeel.contracts.catalogue import DirectoryCatalogue, Schemas
    from biokeel.rules.dry_run import Judge
    from biokeel.settings import Settings
    from biokeel.validate.suites import SuiteStore

    settings = Settings.load()
    register = _register(settings, registered, source_id)
    (granted,) = register.values()
    source = source_of(
        settings,
        granted.id,
        site=site,
        subject=subject,
        zone=zone,
        day_month=day_month,
        identifiers=identifiers,
        key_file=key_file,
        mappings=mapping,
        make_key=False,
        reports=reports,
        occurred_at=occurred_at,
    )
    files = files_in(paths, reports)
    catalogue = DirectoryCatalogue(settings.schemas_dir)
    suites = SuiteStore(settings.expectations_dir, Schemas(catalogue, landed=True))
    judge = Judge(
        catalogue,
        suites,
        granted.id,
        register,
        max_event_bytes=settings.max_event_bytes,
        remembered_events=settings.remembered_events,
    )
    console = terminal(stderr=as_json)
    report = _run(files, source, judge, console)
    if as_json:
        say(json.dumps(report.as_dict(), ensure_ascii=False, indent=2), lines=True)
    else:
        _show(report, console)
    if not report.all_would_land:
        raise typer.Exit(NOT_ALL_WOULD_LAND)


def _register(settings: Settings, registered: str, source_id: str) -> Register:
    """A register of the one source whose files these are.

    Raises `typer.BadParameter` where nobody is named, or two are, and `ContractError` for a file that does not hold.
    """
    from biokeel.contracts.grammars import SOURCE_ID
    from biokeel.contracts.sources import Register, Source, file_of, read_file
    from biokeel.errors import ContractError
    from biokeel.rules.assumed import unlimited

    if not registered:
        if not re.fullmatch(SOURCE_ID, source_id):
            raise typer.BadParameter("Name --source, or --source-id with lower-case letters, digits and '-'.")
        require_registered(settings, source_id)
        return unlimited(source_id)
    path = Path(registered) if registered.endswith(".toml") else file_of(settings.sources_dir, registered)
    found = read_file(path)
    if not isinstance(found, Source):
        raise ContractError(" ".join(map(str, found)))
    if source_id and source_id != found.id:
        raise typer.BadParameter(f"--source is {found.id}, and --source-id another.")
    return Register([found])


def _run(files: Sequence[Path], source: Source, judge: Judge, console: Console) -> DryRunReport:
    from biokeel.rules.dry_run import dry_run as run

    with progress_over(console) as progress:
        bar = Progressing(progress, files)
        return run(files, source, judge, bar.done, begun=bar.begun)


def _show(report: DryRunReport, console: Console) -> None:
    from biokeel.rules.findings import Fate

    events = table("What would become of the events", "event type")
    for fate in Fate:
        events.add_column(_words(fate), justify="right")
    for event, counts in sorted(report.fates.items()):
        events.add_row(event, *(f"{counts[fate]:,}" for fate in Fate))
    console.print(events if events.row_count else "No event was found.")
    if report.findings:
        found = table("Why", "outcome", "event type", "what", "times", "first at", "why")
        for each in report.findings:
            found.add_row(*_row(each))
        console.print(found)
    show_problems(report.files, console)
    console.print(f"Not looked at: {', '.join(report.not_looked_at)}, and what was sent before.")
    console.print(_verdict(report))


def _row(finding: Finding) -> tuple[str, ...]:
    what = ": ".join(part for part in (finding.reason, finding.what) if part)
    by_file: dict[str, list[str]] = {}
    for place in finding.places[:_MOST_PLACES]:
        by_file.setdefault(place.file.name, []).append(place.position)
    places = "\n".join(f"{name}: {', '.join(positions)}" for name, positions in by_file.items())
    return _words(finding.kind), finding.event, what, f"{finding.count:,}", places, finding.why


def _verdict(report: DryRunReport) -> str:
    from biokeel.rules.findings import Fate

    total: Counter[Fate] = sum(report.fates.values(), Counter())
    fates = ", ".join(f"{total[fate]:,} {_words(fate)}" for fate in Fate if total[fate]) or "none"
    unusable = f"; {report.unusable:,} files or parts of files could not be used" if report.unusable else ""
    verdict = "All would land" if report.all_would_land else "Not all would land"
    return f"{verdict}. Events: {fates}{unusable}."


def _words(word: Fate | Kind) -> str:
    return word.value.replace("_", " ")
