"""`biokeel verify`: nothing lost, nothing doubled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from biokeel.books.balance import Books
    from biokeel.books.bookkeeper import Bookkeeper


def register(app: typer.Typer) -> None:
    """Add `verify`."""
    app.command()(verify)


def verify(
    wait: Annotated[
        float | None,
        typer.Option(min=0, metavar="SECONDS", help="Wait until all has landed, or nothing moved for SECONDS."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the books as JSON.")] = False,
) -> None:
    """Prove that every raw event lies in exactly one place: curated, quarantined, parked, sealed, applied; or
    set aside, because its source sent it again (repeated), corrected it (superseded) or took it back (withdrawn).

    Reads Kafka's watermarks, the tables and the vault themselves. Exit status 1 where an event is missing (on its
    way still, or lost: see --wait) or doubled.
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
    if json:
        terminal().print_json(data=books.as_json(), ensure_ascii=True)
    else:
        terminal().print(books_table(books))
        for left_out in books.aside:
            terminal().print(f"Put aside: {left_out}", highlight=False)
    complain(books)


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


def waited(bookkeeper: Bookkeeper, patience: float) -> Books:
    """The books once all has landed, or once nothing moved for `patience` seconds; shows the progress meanwhile."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from biokeel.cli.terminal import terminal
    from biokeel.console.waiting import wait_until_landed

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

    from biokeel.books.balance import Place

    verdict = ("balance", "green") if books.balanced else ("do not balance", "bold red")
    table = Table(
        title=Text.assemble("The books ", verdict),
        caption=f"read in {books.seconds:.1f} s; replays: rows read again and dropped since the workers began",
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
