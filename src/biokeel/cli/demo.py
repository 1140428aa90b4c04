"""`biokeel demo`: the whole way of an event on real parts, from generated people to tables that balance."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    import polars as pl
    from rich.console import Console
    from rich.progress import Progress

    from biokeel.contracts.receipts import Receipt
    from biokeel.contracts.topics import EventType
    from biokeel.demo import DemoCorpus
    from biokeel.demo.programme import Publishers
    from biokeel.land.lake import Lake
    from biokeel.source.client import Publisher
    from biokeel.stack.stack import Stack

STATE_DIR: Final = Path(".biokeel-demo")
PATIENCE_SECONDS: Final = 60.0
"""How long nothing may move before the demo says that events are missing."""
WORKER_SETTINGS: Final = {"BIOKEEL_FLUSH_SECONDS": "2"}
"""Land often, so that a person sees something; 30 s is for a day's work."""
PROGRESS_ROWS: Final = 2_000
"""Events handed over between two moves of the progress bar."""


def register(app: typer.Typer) -> None:
    """Add `demo`."""
    app.command()(demo)


def demo(
    people: Annotated[int, typer.Option(help="How many participants to make up.", min=1)] = 300,
    seed: Annotated[int, typer.Option(help="The same seed makes the same people and events.")] = 7,
    defects: Annotated[float, typer.Option(help="Share of events with a known defect.", min=0, max=0.5)] = 0.02,
    data: Annotated[
        list[Path] | None,
        typer.Option(help="Real files to publish, too, of people who consented to all of it: a folder; repeatable."),
    ] = None,
    state_dir: Annotated[Path, typer.Option(help="Emptied at the start; kept in the end.")] = STATE_DIR,
) -> None:
    """Show the whole way: start the stack, publish people's events, land them, prove the books, and stop.

    Ends with status 0 only if every event is accounted for and every known defect got the verdict it should get.
    """
    from biokeel.books.bookkeeper import Bookkeeper
    from biokeel.cli.participant import print_tables
    from biokeel.cli.receipts import line_of
    from biokeel.cli.terminal import terminal
    from biokeel.cli.verify import books_table, complain, waited
    from biokeel.contracts.sources import Register
    from biokeel.contracts.topics import Zone
    from biokeel.demo.programme import DEMO, SILENT, write_register
    from biokeel.demo.screens import (
        farewell,
        show_participant,
        show_quarantined,
        show_receipts,
        show_silent,
        show_verdicts,
    )
    from biokeel.land.lake import Lake
    from biokeel.settings import Settings
    from biokeel.stack.stack import Stack

    console = terminal()
    state_dir = state_dir.resolve()
    os.environ.update(WORKER_SETTINGS)
    os.environ["BIOKEEL_STATE_DIR"] = str(state_dir)
    _empty(state_dir)
    (state_dir / "stack").mkdir(mode=0o700, parents=True)  # what `_empty` knows a demo's folder by
    register = state_dir / "register"
    write_register(register, *([Register.load(Settings.load().sources_dir)[DEMO]] if data else []))
    os.environ["BIOKEEL_SOURCES_DIR"] = str(register)
    os.environ["BIOKEEL_VARIANT_FILES"] = "believe"  # made-up people have no genomes in the landing bucket
    console.rule("1 · Starting a real Kafka, a real S3 server and the three workers")
    with Stack.start(state_dir, workers=1, console=True, say=console.print) as stack:
        console.print(f"Watch it: {stack.state.console_address}", soft_wrap=True)
        console.rule("2 · Publishing")
        began = time.monotonic()
        corpus, broken = _publish(stack, console, people=people, seed=seed, defects=defects, data=data or [])
        console.rule("3 · Landing, and the books")
        books = waited(Bookkeeper.of(state_dir), PATIENCE_SECONDS)
        console.print(books_table(books))
        complain(books)
        seconds = time.monotonic() - began
        console.print(
            f"{books.total('raw'):,} events, each in exactly one place {seconds:.0f} s after the first was published."
        )
        settings = stack.settings(Zone.RESEARCH)
        lake = Lake.of(settings)
        console.rule("4 · Every known defect and its verdict")
        show_verdicts(corpus, broken, lake, stack.settings(Zone.VAULT), console)
        console.rule("5 · One participant across the three domains")
        show_participant(lake, books.total("curated"), console, print_tables)
        console.rule("6 · Quarantined events and why")
        show_quarantined(lake, settings, console)
        console.rule("7 · What one source hears of its events, and one that is silent")
        hears = max(books.sources, key=lambda source: books.sources[source].figures()["quarantined"])
        show_receipts(stack.source(hears), books.sources[hears].raw, console, line_of)
        show_silent(lake, SILENT, console)
        console.rule("8 · A steward's day: a wrong limit, and the way back")
        _stewards_day(stack, corpus, lake, console)
    farewell(state_dir, console)


def _empty(state_dir: Path) -> None:
    """Remove an earlier demo's data. Refuses a folder that no stack has written."""
    if state_dir.exists() and any(state_dir.iterdir()):
        if not (state_dir / "stack").is_dir():
            raise typer.BadParameter(f"{state_dir} is no demo's folder; name an empty one.", param_hint="--state-dir")
        from biokeel.stack.processes import Ledger

        Ledger(state_dir / "stack" / "processes.json").end_leftovers()
        shutil.rmtree(state_dir)


def _publish(
    stack: Stack, console: Console, *, people: int, seed: int, defects: float, data: list[Path]
) -> tuple[DemoCorpus, int]:
    """Publish enrolments, events, broken messages and real files, then the late enrolments, which release what waits.

    Returns the corpus and how many of the messages were broken in their bytes.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from biokeel.contracts.registry import open_catalogue
    from biokeel.contracts.sources import Register
    from biokeel.contracts.topics import Zone
    from biokeel.demo import ENROLMENT, demo_corpus
    from biokeel.demo.programme import DEMO, Publishers
    from biokeel.settings import Settings

    base = stack.settings(Zone.RESEARCH)
    settings = {source: stack.source(source) for source in Register.load(Settings.load().sources_dir)}
    with console.status(f"Making up {people} people (seed {seed})"):
        corpus = demo_corpus(people, seed, defects)
    columns = (TextColumn("{task.description:<28}"), BarColumn(), MofNCompleteColumn())
    catalogue = open_catalogue(base.schemas_dir, base.schema_registry_url)
    with Publishers(settings, catalogue) as publishers, Progress(*columns, console=console) as progress:
        for event, frame in ((ENROLMENT, corpus.enrolments), *corpus.events.items()):
            _send(publishers, progress, str(event), event, frame)
        broken = corpus.raw_defects(publishers.codec)
        for message in progress.track(broken, description="broken messages"):
            publishers[corpus.sender(message.event)].publish_raw(message.event, [message.value])
        if data:
            _publish_files(publishers[DEMO], data, base.state_dir, progress)
        publishers.flush()
        _send(publishers, progress, "person.enrolment (late)", ENROLMENT, corpus.late_enrolments)
    return corpus, len(broken)


def _stewards_day(stack: Stack, corpus: DemoCorpus, lake: Lake, console: Console) -> None:
    """Let two made-up stewards make a mistake and mend it, while events flow."""
    from biokeel.books.bookkeeper import Bookkeeper
    from biokeel.cli.suite_backtest import show_briefly
    from biokeel.cli.verify import waited
    from biokeel.contracts.catalogue import DirectoryCatalogue, Schemas
    from biokeel.contracts.ids import encode_ids
    from biokeel.contracts.registry import open_catalogue
    from biokeel.contracts.sources import Register
    from biokeel.contracts.topics import Zone
    from biokeel.demo.programme import Publishers
    from biokeel.demo.steward_day import PRESSURE, Around, show_stewards_day
    from biokeel.settings import Settings
    from biokeel.source.receipts import Follower, told
    from biokeel.vault.store import Vault

    base = stack.settings(Zone.RESEARCH)
    senders = sorted(set(corpus.events[PRESSURE]["source_id"]) & set(Register.load(Settings.load().sources_dir)))
    settings = {source: stack.source(source) for source in senders}
    bookkeeper = Bookkeeper.of(stack.state_dir)

    def send(event: EventType, rows: pl.DataFrame) -> None:
        publishers.publish(event, rows)
        publishers.flush()

    def stopped() -> str:
        vault = Vault.open(stack.settings(Zone.VAULT))
        try:
            return "\n".join(encode_ids(vault.stopped(PRESSURE.domain)))
        finally:
            vault.close()

    def heard() -> Iterator[Receipt]:
        for each in settings.values():
            yield from told(Follower(each), on=False)

    around = Around(send, lambda: waited(bookkeeper, PATIENCE_SECONDS), stopped, heard, show_briefly)
    schemas = Schemas(DirectoryCatalogue(base.schemas_dir), landed=True)
    with Publishers(settings, open_catalogue(base.schemas_dir, base.schema_registry_url)) as publishers:
        show_stewards_day(corpus, lake, schemas, around, console)


def _send(publishers: Publishers, progress: Progress, text: str, event: EventType, frame: pl.DataFrame) -> None:
    bar = progress.add_task(text, total=frame.height)
    for part in frame.iter_slices(PROGRESS_ROWS):
        progress.update(bar, advance=publishers.publish(event, part))


def _publish_files(publisher: Publisher, data: list[Path], state_dir: Path, progress: Progress) -> None:
    """Everything in the folders that some adapter knows; subjects whom no file enrols are enrolled.

    The demo shows what lands, so it states for all of them that they consented to everything.
    """
    from biokeel.demo.programme import DEMO
    from biokeel.source.enrol import CONSENT_WORDS, Enroller
    from biokeel.source.files import Source, find_files, publish_files
    from biokeel.source.ids import source_key

    files = find_files(data)
    bar = progress.add_task("real files", total=len(files))
    source = Source(DEMO, source_key(state_dir / "source.key"))
    results = publish_files(files, source, publisher, Enroller(CONSENT_WORDS), lambda _result: progress.advance(bar))
    progress.console.print(
        f"{len(files)} real files: {sum(result.sent.total() for result in results):,} events, "
        f"{sum(result.unused for result in results):,} parts that became no event, or no field of one, "
        f"{sum(bool(result.failure) for result in results)} files that could not be used "
        "(biokeel publish --dry-run FOLDER says which and why)."
    )
