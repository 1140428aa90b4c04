"""`biokeel publish`: files of a source into its raw topics."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer.core import TyperGroup

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
    count_of_files,
    files_in,
    progress_over,
    require_registered,
    show_problems,
    source_of,
    table,
)
from biokeel.cli.publish_genome import publish_genome

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from rich.console import Console
    from rich.table import Table

    from biokeel.settings import Settings
    from biokeel.source.enrol import Enroller
    from biokeel.source.files import FileResult, Sink, Source
    from biokeel.source.submission import Submission
    from biokeel.source.told import Places


class ReportForm(StrEnum):
    """How a report for programs is written."""

    JSON = "json"


NAME: Final = "genome"
FILES: Final = "PATHS"
"""The command that stands for itself: its name is never written."""


class _Group(TyperGroup):
    """`publish genome FILE --sample …`; anything else is `publish FILES`, a folder named genome too."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # typer keeps the type of its context to itself
        """Put the name of the command in front where it is left out."""
        named = args[:1] == [NAME] and (not Path(NAME).exists() or any(each.startswith("--sample") for each in args))
        return super().parse_args(ctx, args if named else [FILES, *args])


def register(app: typer.Typer) -> None:
    """Add `publish` and `publish genome`."""
    group = typer.Typer(cls=_Group, help=publish.__doc__)
    group.command(FILES)(publish)
    group.command(NAME)(publish_genome)
    app.add_typer(group, name="publish")


def publish(
    paths: Paths,
    *,
    source_id: SourceId,
    site: Site = "",
    subject: SubjectText = "",
    zone: Zone = "",
    day_month: DayMonth = "",
    identifiers: Identifiers = None,
    mapping: Mappings = None,
    reports: Reports = None,
    occurred_at: OccurredAt = "",
    enrol: Annotated[bool, typer.Option("--enrol", help="Enrol every subject that the files do not enrol.")] = False,
    consent: Annotated[
        str,
        typer.Option(help="With --enrol: what these people consented to, for example genome,clinical,lifestyle."),
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and encode everything, send nothing.")] = False,
    key_file: KeyFile = None,
    report: Annotated[
        ReportForm | None,
        typer.Option(help="json: print what became of every file, with every place, as one JSON object."),
    ] = None,
    submission: Annotated[
        Path | None,
        typer.Option(
            help="Note in this file what was sent and where it stands; biokeel receipts --submission reads it."
        ),
    ] = None,
    rejected_of: Annotated[
        Path | None,
        typer.Option(help="A submission: send of these files what was rejected of it, or never arrived, no more."),
    ] = None,
) -> None:
    """Publish files, each in a format that docs/sources.md lists, or JSON lines of ready records.

    A file that is sent again gives events with the same ids. Exit status 0: everything was used; 2: parts of files
    that should have become events did not; 1: a file could not be used, or the command could not be run.
    """
    from biokeel.cli.terminal import say, terminal
    from biokeel.contracts.registry import open_catalogue
    from biokeel.errors import SourceError
    from biokeel.observe.reach import require_kafka
    from biokeel.settings import Settings, side_of
    from biokeel.source.client import Publisher
    from biokeel.source.enrol import Enroller
    from biokeel.source.files import DryRun, status_of
    from biokeel.source.memory import memory_at
    from biokeel.source.submission import submission_at
    from biokeel.source.told import Places, Stopped

    consented = _consent(consent)
    if consented is not None and not enrol:
        raise typer.BadParameter("--consent says what people consented to whom --enrol enrols: name both.")
    if submission is not None and dry_run:
        raise typer.BadParameter("--submission notes what is sent, and --dry-run sends nothing: name one.")
    settings = Settings.load(side_of(source_id))
    source = source_of(
        settings,
        source_id,
        site=site,
        subject=subject,
        zone=zone,
        day_month=day_month,
        identifiers=identifiers,
        key_file=key_file,
        mappings=mapping,
        make_key=not dry_run,
        reports=reports,
        occurred_at=occurred_at,
    )
    require_registered(settings, source_id)
    files = files_in(paths, reports)
    if not dry_run or rejected_of:
        require_kafka(settings)
    catalogue = open_catalogue(settings.schemas_dir, settings.schema_registry_url)
    console = terminal(stderr=report is not None)
    places = Places() if report else None
    enroller = Enroller(consented) if enrol else None
    only = _rejected(settings, rejected_of) if rejected_of else None
    with memory_at(settings.state_dir / "records.sqlite", keeps=not dry_run) as memory:
        source = replace(source, memory=memory)
        run = _Run(files, source, enroller, console, places, only=only)
        if dry_run:
            run.send(DryRun(catalogue, settings.max_event_bytes))
        else:
            noted = submission_at(submission, source_id, makes=True) if submission else nullcontext()
            with noted as kept:
                publisher = Publisher(settings, catalogue, kept.placed if kept else None)
                try:
                    with publisher:
                        run.send(publisher, kept)
                except SourceError as error:
                    if places is not None:
                        stopped = Stopped(error, publisher.give_up())
                        for line in places.lines(source_id, run.cut_short(), dry_run=False, stopped=stopped):
                            say(line)
                    raise
    results = run.results
    _show(results, console, dry_run)
    if places is not None:
        for line in places.lines(source_id, results, dry_run=dry_run):
            say(line)
    if status := status_of(results):
        raise typer.Exit(status)


def _rejected(settings: Settings, path: Path) -> Container[tuple[str, str]]:
    """Event types and ids of what is to be sent again of the submission in `path`, by the receipts that there are."""
    from biokeel.source.receipts import Follower, gather
    from biokeel.source.submission import submission_at

    with submission_at(path, settings.source_id, makes=False) as submission:
        return submission.rejected(gather(Follower(settings), submission.places(), on=False))


def _consent(words: str) -> list[str] | None:
    """The domains that `words` names, None for no word at all."""
    from biokeel.source.enrol import CONSENT_WORDS

    said = [word.strip() for word in words.split(",")] if words.strip() else []
    if not set(said) <= set(CONSENT_WORDS):
        raise typer.BadParameter(f"--consent wants one or more of {', '.join(CONSENT_WORDS)}, with commas between.")
    return said or None


class _Run:
    """Files on their way; `results` are those that were begun, as far as they are."""

    def __init__(
        self,
        files: Sequence[Path],
        source: Source,
        enroller: Enroller | None,
        console: Console,
        places: Places | None,
        *,
        only: Container[tuple[str, str]] | None,
    ) -> None:
        self.results: list[FileResult] = []
        self._files, self._source, self._enroller = files, source, enroller
        self._console, self._places = console, places
        self._only = only
        self._done: set[Path] = set()
        self._events = 0

    def send(self, sink: Sink, submission: Submission | None = None) -> None:
        """Publish to `sink`, and note it in `submission`. Raises `SourceError`."""
        from biokeel.source.files import publish_files

        with progress_over(self._console, "{task.fields[events]:,} events") as progress:
            bar = Progressing(progress, self._files, self._sent)

            def begun(result: FileResult) -> None:
                self.results.append(result)
                bar.begun(result)
                if self._places is not None:
                    result.report.told = self._places.of(result.path)

            def done(result: FileResult) -> None:
                self._done.add(result.path)
                bar.done(result)

            publish_files(
                self._files,
                self._source,
                sink,
                self._enroller,
                done,
                begun=begun,
                submission=submission,
                only=self._only,
            )

    def cut_short(self) -> list[FileResult]:
        """What became of every file, where the run has ended early."""
        from biokeel.source.told import cut_short

        return cut_short(self.results, self._done, self._files)

    def _sent(self, result: FileResult | None) -> dict[str, int]:
        self._events += result.sent.total() if result else 0
        return {"events": self._events}


def _show(results: Sequence[FileResult], console: Console, dry_run: bool) -> None:
    console.print(_sent(results, dry_run) or "No event was found.")
    show_problems(results, console)
    if alone := sum(result.left_alone for result in results):
        console.print(
            f"Left alone: {alone:,} events, since by the submission and its receipts they need not be sent again."
        )
    silent = sum(not r.sent and not r.left_alone and not r.unused and not r.failure for r in results)
    if silent:
        what = "Without an event of a person (lists of hospitals or practitioners, for example)"
        console.print(f"{what}: {count_of_files(silent)}.")
    if without := sum(result.without_consent for result in results):
        console.print(_without_consent(without))
    console.print(f"{count_of_files(len(results))} read; {_verdict(results)}.")


def _verdict(results: Sequence[FileResult]) -> str:
    failed = sum(bool(result.failure) for result in results)
    unused = sum(result.unused for result in results)
    said = [
        *([f"{failed:,} of them could not be used"] if failed else []),
        *(["1 part that should have become an event did not"] if unused == 1 else []),
        *([f"{unused:,} parts that should have become events, or fields of them, did not"] if unused > 1 else []),
    ]
    return "; ".join(said) or "all could be used"


def _without_consent(count: int) -> str:
    people = "1 enrolment states" if count == 1 else f"{count:,} enrolments state"
    return (
        f"{people} no consent. Events of people who have given none are sealed (privacy.no_consent). To state one: "
        "publish person.consent_change, or name with --enrol --consent what all of them consented to; then send these "
        "files again."
    )


def _sent(results: Sequence[FileResult], dry_run: bool) -> Table | None:
    from biokeel.source.files import summary

    found = table("Would be published" if dry_run else "Published", "event type")
    found.add_column("events", justify="right")
    for event, count in summary(results):
        found.add_row(event, f"{count:,}")
    return found if found.row_count else None
