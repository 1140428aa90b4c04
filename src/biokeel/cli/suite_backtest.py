"""`biokeel suite backtest`: what a draft would change of everything that ever came."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from biokeel.cli.suite_book import Desk

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console
    from rich.table import Table

    from biokeel.contracts.topics import EventType
    from biokeel.rulebook.standing import Standing
    from biokeel.rules.backtest import Backtest
    from biokeel.rules.backtest_examples import Example
    from biokeel.rules.backtest_suites import Written
    from biokeel.rules.backtest_sweep import Swept

_BAR: Final = 24
"""Characters of the longest bar."""
_MONTHS: Final = 24
"""Months that the table shows: the newest."""


def register(group: typer.Typer) -> None:
    """Add the commands of this file to `biokeel suite`."""
    group.command("backtest")(backtest)


def backtest(
    draft: Annotated[str, typer.Argument(help="A suite's file, or an event type, for its draft.")],
    *,
    against: Annotated[
        str,
        typer.Option(help="Compare with this version of the book, or this file; the version in force if not given."),
    ] = "",
    last: Annotated[int | None, typer.Option(min=1, help="Only the N events that were recorded last.")] = None,
    since: Annotated[
        str, typer.Option(help="Only events recorded since: 2026-11-01, a time with its zone, today, yesterday (UTC).")
    ] = "",
    source: Annotated[list[str] | None, typer.Option(help="Only events of this source; may be given again.")] = None,
    sweep: Annotated[
        str,
        typer.Option(metavar="RULE.max=A..B[:STEP]", help="Slide a limit: systolic.max=250..320 counts at each value."),
    ] = "",
    anew: Annotated[
        bool, typer.Option("--anew", help="Judge every row by both suites, whatever it is stamped with: slower.")
    ] = False,
    plot: Annotated[Path | None, typer.Option(help="Write the counts as a picture too, a PNG file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all counts as one JSON object.")] = False,
) -> None:
    """Say what a draft would change of all that ever landed or was quarantined: exact counts. Nothing is written.

    By rule, source and month (of occurred_at, UTC). What is stamped on rows is believed, so that only the columns of
    rules that differ are read.
    """
    from biokeel.cli.terminal import say, terminal
    from biokeel.rules.backtest import Comparison
    from biokeel.rules.backtest_rows import Scope
    from biokeel.rules.backtest_sweep import read_sweep
    from biokeel.rules.of_the_book import versions_of

    desk = Desk.open()
    event, wanted = drafted(desk, draft)
    standing, schema = desk.review.standing(event), desk.schemas[event]
    versions = versions_of(standing, schema)
    other = (
        _read(desk, event, Path(against))
        if against and not against.isdigit()
        else _version(standing, versions, against)
    )
    slid = read_sweep(sweep, wanted, schema) if sweep else None
    scope = Scope(moment(since), last, frozenset(source) if source else None)
    stamps = {} if anew else versions
    found = Comparison(desk.lake, schema, wanted, other, scope=scope, stamps=stamps, sweep=slid).run()
    if plot:
        from biokeel.rules.backtest_plot import png_of

        plot.write_bytes(png_of(found))
    if as_json:
        say(json.dumps(found.as_dict(), ensure_ascii=False, indent=2, default=str), lines=True)
    else:
        show(found, terminal())


def drafted(desk: Desk, name: str) -> tuple[EventType, Written]:
    """The suite at the path `name`, or of the event type `name` in the folder of drafts, and its event type.

    Raises `SuiteError` where there is none, or it cannot be read.
    """
    from biokeel.errors import SuiteError
    from biokeel.validate.suites import suite_path

    events = {str(event): event for event in desk.schemas}
    path = suite_path(desk.settings.expectations_dir, events[name]) if name in events else Path(name)
    try:
        document = json.loads(_text(path))
    except json.JSONDecodeError as error:
        raise SuiteError(f"Suite {path}: not JSON: line {error.lineno}, {error.msg}.") from None
    event = events.get(str(document.get("name"))) if isinstance(document, dict) else None
    if event is None:
        raise SuiteError(f"Suite {path}: its name is no event type that lands.", f"There are {', '.join(events)}.")
    return event, _read(desk, event, path)


def _version(standing: Standing, versions: Mapping[str, Written], number: str) -> Written:
    """The version of the book with that number, the one in force where it is empty. Raises `SuiteError`."""
    from biokeel.errors import SuiteError

    pages = [page for page in standing.chain.pages if number and page.number == int(number)]
    written = versions.get(pages[0].stamp if pages else "" if number else standing.page.stamp)
    if written is None:
        raise SuiteError(
            f"The book holds no version {number} that this release can read.", "See biokeel suite history."
        )
    return written


def _read(desk: Desk, event: EventType, path: Path) -> Written:
    from biokeel.rules.backtest_suites import read_written

    return read_written(_text(path), desk.schemas[event], f"Suite {path}")


def _text(path: Path) -> str:
    from biokeel.errors import SuiteError

    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SuiteError(f"Cannot read {path} ({type(error).__name__}).", "Name a suite's file.") from None


def moment(text: str) -> dt.datetime | None:
    """The time that `text` says: a day begins at midnight UTC; None where it is empty.

    Raises `typer.BadParameter`.
    """
    today = dt.datetime.now(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    named = {"": None, "today": today, "yesterday": today - dt.timedelta(days=1)}
    if text in named:
        return named[text]
    try:
        told = dt.datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("Write 2026-11-01, 2026-11-01T09:00:00+09:00, today or yesterday.") from None
    if told.tzinfo is None:
        if told.time() != dt.time():
            raise typer.BadParameter("A time needs its zone: 2026-11-01T09:00:00+09:00.")
        return told.replace(tzinfo=dt.UTC)
    return told


def show(found: Backtest, console: Console) -> None:
    """Print what was found as tables."""
    show_briefly(found, console)
    if _moves_any(found):
        console.print(_moves(found, "month", "By month"))
    if found.swept:
        console.print(_sweep(found.swept))
    if found.examples:
        console.print(_examples(found.examples))
    for line in _notes(found):
        console.print(line, highlight=False, soft_wrap=True)


def show_briefly(found: Backtest, console: Console) -> None:
    """Print what was found by rule and by source."""
    console.print(_head(found), highlight=False, soft_wrap=True)
    if found.rules:
        console.print(_rules(found))
    if _moves_any(found):
        console.print(_moves(found, "source_id", "By source"))


def _moves_any(found: Backtest) -> bool:
    return bool(found.moved(would_stop=True) or found.moved(would_stop=False))


def _head(found: Backtest) -> str:
    since = f" recorded since {found.since:%Y-%m-%d %H:%M:%S} UTC" if found.since else ""
    same = "" if found.rules else " Nothing that judges rows differs."
    return (
        f"{found.event}: draft {found.draft} against {found.against}, {found.judged:,} rows{since}, "
        f"{found.seconds:.1f} s.{same}\n"
        f"Newly quarantined {found.moved(would_stop=True):,}, released {found.moved(would_stop=False):,}."
    )


def _rules(found: Backtest) -> Table:
    from biokeel.cli.files_of_a_source import table
    from biokeel.rules.compared import Change

    newly = found.newly_quarantined()
    most = max((found.counts(each.rule, change) for each in found.rules for change in Change), default=0)
    made = table("Rules that differ", "rule", "what", *(str(change) for change in Change), "newly quarantined", "")
    for each in found.rules:
        counts = [found.counts(each.rule, change) for change in Change]
        cells = [f"{count:,}" for count in (*counts, newly.get(each.rule, 0))]
        made.add_row(each.rule, each.words, *cells, bar(max(counts), most))
    return made


def _moves(found: Backtest, column: str, title: str) -> Table:
    from biokeel.cli.files_of_a_source import table
    from biokeel.rules.backtest import month_name

    rows = found.by(column)
    older = max(rows.height - _MONTHS, 0) if column == "month" else 0
    most = max([*rows["newly_quarantined"], *rows["released"]])
    made = table(
        f"{title}, the newest {_MONTHS} of {rows.height}" if older else title,
        column.removesuffix("_id"),
        *("rows", "newly quarantined", "", "released", ""),
    )
    for name, count, newly, released in rows[older:].iter_rows():
        word = month_name(name) if column == "month" else name
        made.add_row(word, f"{count:,}", f"{newly:,}", bar(newly, most), f"{released:,}", bar(released, most))
    return made


def _sweep(swept: Swept) -> Table:
    from biokeel.cli.files_of_a_source import table

    made = table(
        f"{swept.rule}: {swept.column}, {swept.limit} slid", swept.limit, "failing", "newly quarantined", "released", ""
    )
    most = max(point.failing for point in swept.points)
    for point in swept.points:
        mark = "  ← the draft's" if point.value == swept.now else ""
        cells = (f"{count:,}" for count in (point.failing, point.newly_quarantined, point.released))
        made.add_row(f"{point.value:g}{mark}", *cells, bar(point.failing, most))
    return made


def _examples(examples: tuple[Example, ...]) -> Table:
    from biokeel.cli.files_of_a_source import table

    made = table("Examples", "rule", "change", "lies", "participant", "event", "values")
    for each in examples:
        values = ", ".join(f"{name} {'null' if value is None else value}" for name, value in each.values.items())
        made.add_row(each.rule, each.change, each.lies, each.participant_id, each.place, values)
    return made


def _notes(found: Backtest) -> list[str]:
    """What was not judged, and by what the rest was."""
    notes = [f"Not judged: {rows:,} rows, {why}." for why, rows in sorted(found.aside.items())]
    notes += [f"Judged as null: {rows:,} rows were written without {name}." for name, rows in found.lacking.items()]
    notes += [
        f"{rows:,} rows were judged by version {version or '(none)'}: "
        f"{'their stamps are believed' if version in found.believed else 'judged anew by both suites'}."
        for version, rows in sorted(found.by_version.items())
    ]
    return notes + [f"Not tried: {rule} judges no row." for rule in found.not_tried]


def bar(count: int, most: int) -> str:
    """`count` as a bar, of which the longest stands for `most`; the least count is still seen."""
    eighths: int = -(-count * _BAR * 8 // most) if most else 0
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()
