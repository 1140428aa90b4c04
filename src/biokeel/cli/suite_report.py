"""`biokeel suite report`: what is new about failures."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from biokeel.cli.suite_backtest import moment
from biokeel.cli.suite_book import Desk

if TYPE_CHECKING:
    from biokeel.contracts.topics import EventType
    from biokeel.rules.backtest_suites import Written
    from biokeel.rules.report_pages import Page

Events = Annotated[list[str] | None, typer.Argument(help="Event types; all that land where none is named.")]


def register(group: typer.Typer) -> None:
    """Add the commands of this file to `biokeel suite`."""
    group.command("report")(report)


def report(
    events: Events = None,
    *,
    since: Annotated[
        str, typer.Option(help="What landed since: yesterday, today, 2026-11-01, a time with its zone (UTC).")
    ] = "yesterday",
    markdown: Annotated[Path | None, typer.Option(help="Write it as Markdown to this file.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write it as an HTML page to this file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as one JSON object.")] = False,
) -> None:
    """Say which failures are new, came back, go on or are gone, by rule and source, of what landed since a time.

    And which rules no row ever failed, which always fail together, and what share was withheld. Never a value.
    """
    from biokeel.cli.terminal import say
    from biokeel.errors import NothingLanded
    from biokeel.rules import report_pages
    from biokeel.rules.report import EventReport, report_on

    begin, now = moment(since), dt.datetime.now(dt.UTC)
    if begin is None or begin > now:
        raise typer.BadParameter("--since is a time that has been.")
    desk = Desk.open()
    reports: list[EventReport] = []
    silent = []
    for event in [desk.event(name) for name in events] if events else desk.schemas:
        try:
            reports.append(report_on(desk.lake, event, _force(desk, event), begin, now))
        except NothingLanded:
            silent.append(str(event))
    page = report_pages.page_of(reports, silent, begin, now)
    if markdown:
        markdown.write_text(report_pages.markdown(page), "utf-8")
    if html:
        html.write_text(report_pages.html(page), "utf-8")
    if as_json:
        told = {"since": begin, "now": now, "events": [asdict(each) for each in reports], "nothing_landed": silent}
        say(json.dumps(told, ensure_ascii=False, indent=2, default=str), lines=True)
    elif not markdown and not html:
        _show(page)


def _force(desk: Desk, event: EventType) -> Written | str:
    """The suite in force, or why it cannot be read: what stands on rows is told all the same."""
    from biokeel.errors import SuiteError
    from biokeel.rules.of_the_book import versions_of

    try:
        standing = desk.review.standing(event)
        return versions_of(standing, desk.schemas[event])[standing.page.stamp]
    except SuiteError as error:
        return str(error)


def _show(page: Page) -> None:
    from biokeel.cli.files_of_a_source import table
    from biokeel.cli.terminal import terminal

    console = terminal()
    console.print(f"{page.title}\n{page.summary}", highlight=False, soft_wrap=True)
    for section in page.sections:
        console.print(f"\n{section.title}", style="bold", highlight=False)
        for sentence in section.sentences:
            console.print(sentence, highlight=False, soft_wrap=True)
        for each in section.tables:
            # The notes are in the pages: beside seven columns there is no room for them.
            shown = [at for at, heading in enumerate(each.headings) if heading != "notes"]
            made = table(each.title, *(each.headings[at] for at in shown))
            for row in each.rows:
                made.add_row(*(row[at] for at in shown))
            console.print(made)
