"""`biokeel demo`: the whole way of an event on real parts, from generated people to tables that balance."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from biokeel.errors import BooksDoNotBalance

if TYPE_CHECKING:
    import polars as pl
    from rich.console import Console
    from rich.progress import Progress

    from biokeel.contracts.topics import EventType
    from biokeel.land.lake import Lake
    from biokeel.source.client import Publisher
    from biokeel.source.demo import DemoCorpus, Verdict
    from biokeel.stack.stack import Stack

STATE_DIR: Final = Path(".biokeel-demo")
PATIENCE_SECONDS: Final = 60.0
"""How long nothing may move before the demo says that events are missing."""
WORKER_SETTINGS: Final = {"BIOKEEL_FLUSH_SECONDS": "2"}
"""Land often, so that a person sees something; 30 s is for a day's work."""
EXAMPLES: Final = 3
PROGRESS_ROWS: Final = 2_000
"""Events handed over between two moves of the progress bar."""


def register(app: typer.Typer) -> None:
    """Add `demo`."""
    app.command()(demo)


def demo(
    people: Annotated[int, typer.Option(help="How many participants to make up.", min=1)] = 300,
    seed: Annotated[int, typer.Option(help="The same seed makes the same people and events.")] = 7,
    defects: Annotated[float, typer.Option(help="Share of events with a known defect.", min=0, max=0.5)] = 0.02,
    data: Annotated[Path | None, typer.Option(help="A folder with real files to publish, too.", exists=True)] = None,
    state_dir: Annotated[Path, typer.Option(help="Emptied at the start; kept in the end.")] = STATE_DIR,
) -> None:
    """Show the whole way: start the stack, publish people's events, land them, prove the books, and stop.

    Ends with status 0 only if every event is accounted for and every known defect got the verdict it should get.
    """
    from biokeel.cli.terminal import terminal
    from biokeel.cli.verify import books_table, complain, waited
    from biokeel.console.books import Bookkeeper
    from biokeel.contracts.topics import Zone
    from biokeel.land.lake import Lake
    from biokeel.stack.stack import Stack

    console = terminal()
    state_dir = state_dir.resolve()
    os.environ.update(WORKER_SETTINGS)
    os.environ["BIOKEEL_STATE_DIR"] = str(state_dir)
    _empty(state_dir)
    console.rule("1 · Starting a real Kafka, a real S3 server and both workers")
    with Stack.start(state_dir, workers=1, console=True, say=console.print) as stack:
        console.rule("2 · Publishing")
        corpus, broken = _publish(stack, console, people=people, seed=seed, defects=defects, data=data)
        console.rule("3 · Landing, and the books")
        books = waited(Bookkeeper.of(state_dir), PATIENCE_SECONDS)
        console.print(books_table(books))
        complain(books)
        lake = Lake.of(stack.settings(Zone.RESEARCH))
        console.rule("4 · Every known defect and its verdict")
        _check_verdicts(corpus, broken, lake, console)
        console.rule("5 · One participant across the three domains")
        _show_participant(lake, console)
        console.rule("6 · Quarantined events and why")
        _show_quarantined(lake, console)
    _farewell(state_dir, console)


def _empty(state_dir: Path) -> None:
    """Remove an earlier demo's data. Refuses a folder that no stack has written."""
    if state_dir.exists() and any(state_dir.iterdir()):
        if not (state_dir / "stack").is_dir():
            raise typer.BadParameter(f"{state_dir} is no demo's folder; name an empty one.", param_hint="--state-dir")
        from biokeel.stack.ledger import Ledger

        Ledger(state_dir / "stack" / "processes.json").end_leftovers()
        shutil.rmtree(state_dir)


def _publish(
    stack: Stack, console: Console, *, people: int, seed: int, defects: float, data: Path | None
) -> tuple[DemoCorpus, int]:
    """Publish enrolments, events, broken messages and real files, then the late enrolments, which release what waits.

    Returns the corpus and how many of the messages were broken in their bytes.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from biokeel.contracts.catalogue import DirectoryCatalogue
    from biokeel.source.client import Publisher
    from biokeel.source.demo import ENROLMENT, demo_corpus
    from biokeel.stack.users import User

    settings = stack.settings(User.SOURCE)
    with console.status(f"Making up {people} people (seed {seed})"):
        corpus = demo_corpus(people, seed, defects)
    columns = (TextColumn("{task.description:<28}"), BarColumn(), MofNCompleteColumn())
    with (
        Publisher(settings, DirectoryCatalogue(settings.schemas_dir)) as publisher,
        Progress(*columns, console=console) as progress,
    ):
        for event, frame in ((ENROLMENT, corpus.enrolments), *corpus.events.items()):
            _send(publisher, progress, str(event), event, frame)
        broken = corpus.raw_defects(publisher.codec)
        for message in progress.track(broken, description="broken messages"):
            publisher.publish_raw(message.event, [message.value])
        if data is not None:
            _publish_files(publisher, data, settings.state_dir, progress)
        publisher.flush()
        _send(publisher, progress, "person.enrolment (late)", ENROLMENT, corpus.late_enrolments)
    return corpus, len(broken)


def _send(publisher: Publisher, progress: Progress, text: str, event: EventType, frame: pl.DataFrame) -> None:
    bar = progress.add_task(text, total=frame.height)
    for part in frame.iter_slices(PROGRESS_ROWS):
        progress.update(bar, advance=publisher.publish(event, part))


def _publish_files(publisher: Publisher, data: Path, state_dir: Path, progress: Progress) -> None:
    """Everything in the folder that some adapter knows; subjects whom no file enrols are enrolled."""
    from biokeel.source.enrol import Enroller
    from biokeel.source.files import Source, find_files, publish_files
    from biokeel.source.ids import source_key

    files = find_files([data])
    bar = progress.add_task("real files", total=len(files))
    source = Source("demo-files", source_key(state_dir / "source.key"))
    results = publish_files(files, source, publisher, Enroller(), lambda _result: progress.advance(bar))
    progress.console.print(
        f"{len(files)} real files: {sum(result.sent.total() for result in results):,} events, "
        f"{sum(len(result.report.problems) for result in results):,} records that no event can be made of, "
        f"{sum(result.failed_wholly for result in results)} files that could not be used "
        "(biokeel publish --dry-run FOLDER says which and why)."
    )


def _check_verdicts(corpus: DemoCorpus, broken: int, lake: Lake, console: Console) -> None:
    """Compare each event's verdict with its label. Raises `BooksDoNotBalance` where one differs.

    Tables are compared by event id; what stays in the vault zone can only be seen from outside as being in no table.
    """
    import polars as pl
    from rich.table import Table

    from biokeel.land.books import CURATED, LakeReader
    from biokeel.source.demo import Verdict

    landed = pl.concat(
        _ids(lake, uri, Verdict.CURATED if name == CURATED else Verdict.QUARANTINED)
        for name, uri in LakeReader(lake).tables()
    )
    labels = corpus.labels.filter(pl.col("verdict") != Verdict.APPLIED)
    found = labels.join(landed, on="event_id", how="left", maintain_order="left").with_columns(
        right=pl.when(pl.col("verdict").is_in([Verdict.CURATED, Verdict.QUARANTINED]))
        .then(pl.col("found").eq_missing(pl.col("verdict")))
        .otherwise(pl.col("found").is_null())
    )
    table = Table("what was done to the event", "verdict", "why", title="Known defects")
    table.add_column("events", justify="right")
    table.add_column("as it should be", justify="right")
    fates = found.group_by("defect", "verdict", "reason").agg(pl.len(), pl.col("right").sum())
    for defect, verdict, reason, count, right in fates.sort("verdict", "reason", "defect").iter_rows():
        table.add_row(defect or "nothing", verdict, reason or "", f"{count:,}", f"{right:,}")
    table.add_row("broken in its bytes", Verdict.SEALED, "wire.*", f"{broken:,}", "see the books")
    console.print(table)
    if wrong := int((~found["right"]).sum()):
        raise BooksDoNotBalance(f"{wrong} of {found.height} known events did not get the verdict they should get.")


def _ids(lake: Lake, uri: str, verdict: Verdict) -> pl.DataFrame:
    import polars as pl

    from biokeel.land.reading import scan

    return scan(uri, lake).select("event_id", pl.lit(str(verdict)).alias("found")).collect()


def _show_participant(lake: Lake, console: Console) -> None:
    """The participant with the fewest events among those who have all three domains: a record that fits a screen."""
    from biokeel.cli.participant import print_tables
    from biokeel.land import person
    from biokeel.land.maintenance import refresh_participants
    from biokeel.land.reading import scan
    from biokeel.link.participants import from_snapshots

    with console.status("Making the participants table"):
        refresh_participants(lake, from_snapshots)
    whole = scan(lake.participants, lake).filter("has_genome", "has_clinical", "has_lifestyle")
    chosen = whole.sort("events", "participant_id").select("participant_id").head(1).collect()["participant_id"]
    if chosen.is_empty():
        console.print("Nobody has events of all three domains; try more people.")
        return
    print_tables(chosen[0], person.timeline(lake, chosen[0]), person.summary(lake, chosen[0]), console)


def _show_quarantined(lake: Lake, console: Console) -> None:
    from rich.table import Table

    from biokeel.contracts.topics import LANDED_EVENTS
    from biokeel.land.reading import scan

    table = Table("event", "participant", "failed rules", "came from", title="Quarantined")
    columns = ("participant_id", "failed_rules", "first_partition", "first_offset")
    shown = 0
    for event in LANDED_EVENTS:
        rows = scan(lake.quarantine(event), lake).select(columns).head(1).collect()
        for participant, rules, partition, offset in rows.iter_rows():
            if shown < EXAMPLES:
                table.add_row(str(event), participant, ", ".join(rules), f"{event.raw_topic}/{partition}@{offset}")
                shown += 1
    console.print(table)


def _farewell(state_dir: Path, console: Console) -> None:
    lake = state_dir / "objects" / "data" / "biokeel-lake"
    console.rule("Done: every event is accounted for")
    console.print(f"The tables stay in {lake}. Read one with polars:", soft_wrap=True)
    console.print(f"  pl.read_delta('{lake}/curated/clinical/blood_pressure')", soft_wrap=True, highlight=False)
    console.print("Look around with the stack running again:")
    console.print(f"  BIOKEEL_STATE_DIR={state_dir} {Path(sys.executable).parent}/biokeel stack up", soft_wrap=True)
