"""`biokeel status`: what the workers do right now."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from biokeel.books.published import Published
    from biokeel.observe.stats import Snapshot
    from biokeel.rulebook.shown import Rules
    from biokeel.rules.beside_seen import Seen

MOST_WITHHELD: Final = 20
"""Fields with withheld values that are shown."""
_BETWEEN: Final = 1.0
"""Seconds between the two snapshots that give events a second."""


def register(app: typer.Typer) -> None:
    """Add `status`."""
    app.command()(status)


def status(
    watch: Annotated[bool, typer.Option("--watch", help="Stay and update every second, until Ctrl-C.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one report as JSON.")] = False,
) -> None:
    """Show events a second, lag, the books, what is strange about sources, rejects by reason, and table versions."""
    from rich.live import Live

    from biokeel.books.published import seen_last
    from biokeel.cli.terminal import terminal
    from biokeel.observe.report import report
    from biokeel.observe.stats import collect
    from biokeel.rulebook.shown import ShownRules
    from biokeel.rules import beside_seen
    from biokeel.settings import Settings

    state_dir = Settings.load().state_dir
    before = collect(state_dir)
    time.sleep(_BETWEEN)
    after = collect(state_dir)
    seen, shown = seen_last(), ShownRules()
    rules, beside = shown.look(), beside_seen.seen_last()
    if json:
        told = report(before, after) | _told(seen) | _told_rules(rules) | _told_beside(beside)
        terminal().print_json(data=told, ensure_ascii=True)
        return
    if not watch:
        terminal().print(screen(before, after, seen, rules, beside))
        return
    with Live(screen(before, after, seen, rules, beside), console=terminal(), screen=True, auto_refresh=False) as live:
        try:
            while True:
                time.sleep(_BETWEEN)
                before, after = after, collect(state_dir)
                now = seen_last(), shown.look(), beside_seen.seen_last()
                live.update(screen(before, after, *now), refresh=True)
        except KeyboardInterrupt:
            return


def _told(seen: Published | str) -> dict[str, object]:
    if isinstance(seen, str):
        return {"books": None, "alarms": []}
    return {"books": seen.books.as_json(), "alarms": [alarm._asdict() for alarm in seen.alarms]}


def _told_rules(rules: Rules) -> dict[str, object]:
    if isinstance(rules, str):
        return {"rules": None}
    told = {
        event: rule._asdict() | {"waivers": [each._asdict() for each in rule.waivers]} for event, rule in rules.items()
    }
    return {"rules": {str(event): each for event, each in told.items()}}


def _told_beside(beside: Seen | str) -> dict[str, object]:
    return {"beside": None if isinstance(beside, str) else asdict(beside)}


def screen(before: Snapshot, after: Snapshot, seen: Published | str, rules: Rules, beside: Seen | str) -> Group:
    """Everything that `status` shows in a terminal."""
    from rich.console import Group

    if not after.workers:
        return Group("No worker runs. Start the stack (biokeel stack up) or a worker (biokeel worker curate).")
    return Group(
        _workers(after),
        _flow(before, after),
        _books(seen),
        _rejects(after),
        _withheld(after),
        _versions(after),
        _rules(rules),
        _beside(beside),
    )


def _beside(beside: Seen | str) -> Text:
    """What is counted beside the stream, and what is strange there; nothing where nobody asked for anything."""
    from rich.text import Text

    from biokeel.rules.beside_seen import OLD

    if isinstance(beside, str):
        return Text(f"Beside the stream: {beside}")
    counts = [f"{beside.shadows} shadows", *(f"{count} rules {outcome}" for outcome, count in beside.windows)]
    old = f". {OLD}" if beside.is_stale(time.time()) else ""
    lines = [f"Beside the stream: {', '.join(counts)}{old}", *(f"Strange: {alarm}" for alarm in beside.alarms)]
    lines += [f"{event}: the threshold of {rule} has expired." for event, rule in beside.expired]
    return Text("\n".join(lines))


def _rules(rules: Rules) -> Text:
    """One line for all suites that are as the installation began, one for each other, and what is wrong."""
    from rich.text import Text

    if isinstance(rules, str):
        return Text(f"Rules: not known. {rules}")
    began = [event for event, rule in rules.items() if rule.version.startswith("1+")]
    lines = [f"Rules: {len(rules)} event types, {len(began)} by the version that the installation began with"]
    for event, rule in rules.items():
        if rule.version and event not in began:
            lines.append(f"{event}: version {rule.version} of {rule.author}, approved by {rule.approver}, {rule.at}")
        lines += [f"{event}: {waiver.told()}" for waiver in rule.waivers]
        if rule.fault:
            lines.append(f"{event}: {rule.fault}")
    return Text("\n".join(lines))


def _workers(after: Snapshot) -> Text:
    from rich.text import Text

    colours = {"ok": "green", "stuck": "yellow", "silent": "red"}
    told = (
        Text.assemble(f"{run.worker} {run.pid} ", (health, colours[health])) for run, health in after.workers.items()
    )
    return Text("Workers: ").append_text(Text(", ").join(told))


def _flow(before: Snapshot, after: Snapshot) -> Table:
    from rich.table import Table

    from biokeel.observe.metrics import Edge
    from biokeel.observe.stats import Lag, rates

    shown = (Edge.READ_RAW, Edge.PSEUDONYMISED, Edge.PARKED, Edge.SEALED, Edge.APPLIED, Edge.CURATED, Edge.QUARANTINED)
    by_event = rates(before, after)
    table = Table(title="Events a second, and what waits")
    for column in ("event type", *(edge.outcome for edge in shown), "raw lag", "pseudo lag", "behind"):
        table.add_column(column, justify="left" if column == "event type" else "right")
    for event in after.types:
        lags = [after.lags.get((worker, event), Lag(0, 0.0)) for worker in ("pseudonymise", "curate")]
        figures = [by_event.get((event, edge), 0.0) for edge in shown]
        busy = any(figures) or any(lag.events for lag in lags)
        table.add_row(
            str(event),
            *(f"{figure:,.0f}" for figure in figures),
            f"{lags[0].events:,}",
            f"{lags[1].events:,}",
            f"{max(lag.seconds for lag in lags):,.1f} s",
            style="" if busy else "dim",
        )
    return table


def _books(seen: Published | str) -> Text:
    from rich.text import Text

    from biokeel.books.published import OLD

    if isinstance(seen, str):
        return Text(f"Books: {seen}")
    books = seen.books
    counts = ", ".join(f"{books.total(name):,} {name}" for name in ("raw", "missing", "doubled"))
    words = "balance" if books.balanced else "do not balance (yet)"
    lines = [f"Books: {words}, {counts}" + (f". {OLD}" if seen.is_stale(time.time()) else "")]
    return Text("\n".join([*lines, *(f"Strange: {alarm.sentence}" for alarm in seen.alarms)]))


def _rejects(after: Snapshot) -> Table | str:
    from rich.table import Table

    rejects = after.by_reason()
    if not rejects:
        return "Rejects: none since the workers started."
    table = Table(title="Rejects since the workers started")
    for column in ("reason", "events", "whose job", "meaning"):
        table.add_column(column, justify="right" if column == "events" else "left")
    for reason, count in rejects.items():
        table.add_row(str(reason), f"{count:,}", str(reason.owner), reason.meaning)
    return table


def _withheld(after: Snapshot) -> Table | str:
    from rich.table import Table

    if not after.withheld:
        return "Withheld values: none since the workers started."
    table = Table(title="Values without the form of their field, since the workers started")
    for column in ("source", "event type", "field", "values"):
        table.add_column(column, justify="right" if column == "values" else "left")
    for of, count in after.most_withheld(MOST_WITHHELD).items():
        table.add_row(of.source, str(of.event), of.name, f"{count:,}")
    if (more := len(after.withheld) - MOST_WITHHELD) > 0:
        table.caption = f"and {more} more (--json names all)"
    return table


def _versions(after: Snapshot) -> Table | str:
    from rich.table import Table

    if not after.versions:
        return "Tables: none landed since the workers started."
    table = Table(title="Tables")
    for column in ("event type", "curated version", "quarantine version"):
        table.add_column(column, justify="left" if column == "event type" else "right")
    for event in sorted({event for event, _ in after.versions}):
        versions = (after.versions.get((event, kind)) for kind in ("curated", "quarantine"))
        table.add_row(str(event), *("-" if version is None else str(version) for version in versions))
    return table
