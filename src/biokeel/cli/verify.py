"""`biokeel verify`: nothing lost, nothing doubled."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table
    from rich.text import Text

    from biokeel.books.balance import Books
    from biokeel.books.bookkeeper import Bookkeeper

SHOWN: Final = 20
"""How many differences are printed; the rest is counted."""


def register(app: typer.Typer) -> None:
    """Add `verify`."""
    app.command()(verify)


def verify(
    wait: Annotated[
        float | None,
        typer.Option(min=0, metavar="SECONDS", help="Wait until all has landed, or nothing moved for SECONDS."),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Read everything once more, and hold the books against it: seldom.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the books as JSON.")] = False,
) -> None:
    """Prove that every raw event lies in exactly one place: curated, quarantined, parked, sealed, applied; or
    set aside, because its source sent it again (repeated), corrected it (superseded) or took it back (withdrawn).

    Goes on from the books that the follower (biokeel worker books) saved last, and reads what came since; without any
    it reads everything. Exit status 1 where an event is missing (on its way still, or lost: see --wait) or doubled, or
    where --full finds what the books do not say.
    """
    from biokeel.books.bookkeeper import Bookkeeper
    from biokeel.cli.terminal import terminal
    from biokeel.observe.reach import require_kafka, require_store
    from biokeel.settings import OPERATOR, Settings

    settings = Settings.load(OPERATOR)
    require_kafka(settings)
    require_store(settings)
    bookkeeper = Bookkeeper.of(settings.state_dir)
    books = bookkeeper.look() if wait is None else waited(bookkeeper, wait)
    differences: Sequence[str] = ()
    if full:
        books, differences = _full(bookkeeper)
    if json:
        more = {"differences": differences} if full else {}
        terminal().print_json(data=books.as_json() | more, ensure_ascii=True)
    else:
        terminal().print(books_table(books))
        for left_out in books.aside:
            terminal().print(f"Put aside: {left_out}", highlight=False)
        for difference in differences[:SHOWN]:
            terminal().print(f"Not so: {difference}", highlight=False, soft_wrap=True)
    complain(books)
    _complain_of(differences)


def complain(books: Books) -> None:
    """Raise `BooksDoNotBalance`, naming the first missing and doubled coordinates, unless the books balance."""
    from biokeel.errors import BooksDoNotBalance

    if books.balanced:
        return
    faults = [
        f"{count:,} {column}: {books.named(column)}."
        for column in ("missing", "doubled")
        if (count := books.total(column))
    ]
    raise BooksDoNotBalance(
        "The books do not balance. " + " ".join(faults),
        "Missing events may be on their way: biokeel verify --wait 60; then see docs/operations.md.",
    )


def _complain_of(differences: Sequence[str]) -> None:
    from biokeel.errors import BooksDoNotBalance

    if differences:
        raise BooksDoNotBalance(
            f"The books say otherwise than tables and vault in {len(differences):,} ways, the first: {differences[0]}",
            "Stop biokeel worker books, delete what lies under state/books/ in the lake bucket, and start it again: "
            "the books are made anew. Then look for who changed tables or vault behind their back.",
        )


def _full(bookkeeper: Bookkeeper) -> tuple[Books, list[str]]:
    """Read everything, saying what is read meanwhile."""
    from biokeel.cli.terminal import terminal

    with terminal(stderr=True).status("Reading everything …") as status:
        return bookkeeper.full(lambda what: status.update(f"Reading {what} …"))


def waited(bookkeeper: Bookkeeper, patience: float) -> Books:
    """The books once all has landed, or once nothing moved for `patience` seconds; shows the progress meanwhile."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from biokeel.books.waiting import wait_until_landed
    from biokeel.cli.terminal import terminal

    columns = (TextColumn("Arrived"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=terminal(stderr=True), transient=True) as progress:
        bar = progress.add_task("Arrived", total=None)

        def seen(books: Books) -> None:
            raw = books.total("raw")
            progress.update(bar, total=raw, completed=raw - books.total("missing"))

        return wait_until_landed(bookkeeper, patience, seen)


def books_table(books: Books) -> Table:
    """The books as a table, a row for each event type.

    What sources sent again, corrected or took back has a column only where there is some, so that the rest fits.
    """
    from rich.table import Table
    from rich.text import Text

    from biokeel.books.places import Place

    verdict = ("balance", "green") if books.balanced else ("do not balance", "bold red")
    since = "" if books.saved_at is None else f" on from {datetime.fromtimestamp(books.saved_at, UTC):%H:%M:%S} UTC"
    table = Table(
        title=Text.assemble("The books ", verdict),
        caption=f"read in {books.seconds:.1f} s{since}; replays: rows read again and dropped since the workers began",
    )
    seldom = {Place.REPEATED.value, Place.SUPERSEDED.value, Place.WITHDRAWN.value}
    columns = [name for name in books.events[0].figures() if name not in seldom or books.total(name)]
    table.add_column("event type")
    for column in columns:
        table.add_column(column, justify="right")
    for event in books.events:
        figures = event.figures()
        table.add_row(
            str(event.event),
            *(_cell(column, figures[column]) for column in columns),
            style="" if event.raw else "dim",
        )
    table.add_section()
    table.add_row("all", *(_cell(column, books.total(column)) for column in columns), style="bold")
    return table


def _cell(column: str, count: int) -> Text:
    from rich.text import Text

    return Text(f"{count:,}", "bold red" if count and column in {"missing", "doubled"} else "")
