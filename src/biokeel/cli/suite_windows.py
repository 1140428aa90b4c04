"""`biokeel suite windows`: what windows and thresholds found last, and what is under way."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from biokeel.cli.suite_book import Desk
from biokeel.cli.terminal import say, terminal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from biokeel.contracts.topics import EventType
    from biokeel.rules.beside_seen import Level
    from biokeel.rules.window_results import Result
    from biokeel.rules.window_state import WindowState
    from biokeel.validate.rules import Rule

Events = Annotated[list[str] | None, typer.Argument(help="Event types; all that have windows where none is named.")]


def register(group: typer.Typer) -> None:
    """Add `biokeel suite windows`."""
    group.command("windows")(windows)


def windows(
    events: Events = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as one JSON object.")] = False,
) -> None:
    """Show what the last windows of the suites in force came to, where sources stand at thresholds, and what is open.

    Exit status 1 where a rule fails, or could not be judged.
    """
    from biokeel.errors import SuiteError
    from biokeel.rules.beside_seen import levels
    from biokeel.rules.window_results import Outcome
    from biokeel.rules.window_state import WindowState, store_of

    desk = Desk.open()
    kinds = [desk.event(name) for name in events] if events else list(desk.schemas)
    today = dt.datetime.now(dt.UTC).date()
    told: dict[str, object] = {}
    bad = False
    for event in kinds:
        try:
            suite = desk.review.standing(event).suite
        except SuiteError:
            continue
        _, data = store_of(desk.lake.objects, event).newest()
        state = WindowState() if data is None else WindowState.from_bytes(data)
        asks = [rule for rule in suite.rules if rule.window or rule.threshold]
        if not asks and not state.latest and not events:
            continue
        at = list(levels(suite, state, today))
        latest = [each for each in state.latest if each.rule in {rule.id for rule in asks if rule.window}]
        outcomes = {each.outcome for each in latest} | {level.outcome for level in at}
        bad = bad or bool(outcomes & {Outcome.FAILS, Outcome.NOT_JUDGED})
        found = _Told(asks, state, latest, at)
        if as_json:
            told[str(event)] = found.as_dict()
        else:
            _show(event, found, today)
    if as_json:
        say(json.dumps(told, ensure_ascii=False, indent=2), lines=True)
    if bad:
        raise typer.Exit(1)


class _Told(NamedTuple):
    """What is known of an event type: its rules about many rows, their newest results, where sources stand."""

    asks: Sequence[Rule]
    state: WindowState
    latest: Sequence[Result]
    at: Sequence[Level]

    def as_dict(self) -> dict[str, object]:
        """As JSON has it."""
        return {
            "results": [each.as_dict() | {"share": each.share} for each in self.latest],
            "thresholds": [
                level._asdict() | {"share": level.share.share, "rows": level.share.rows} for level in self.at
            ],
            "open": [
                {"seconds": ends[0], "most_rows": ends[1], "began": each.began, "rows": each.rows}
                for ends, each in self.state.open.items()
            ],
            "due": len(self.state.due),
            "lost": self.state.lost,
            "gaps": self.state.gaps,
        }


def _show(event: EventType, told: _Told, today: dt.date) -> None:
    from biokeel.rules.window_results import page_key, when

    if told.asks:
        say(f"{event}: {len(told.asks)} rules about many rows, {len(told.state.due)} windows wait to be judged")
    else:
        say(f"{event}: no rule in force is about many rows.")
    if told.latest:
        terminal().print(_results(told.latest))
    if told.at:
        terminal().print(_levels(told.at))
    for each in told.state.open.values():
        say(f"  open since {when(each.began)}: {each.rows:,} rows so far")
    for number in sorted({each.number for each in told.latest}):
        say(f"  page of window {number}: {page_key(event, number)} in the lake's bucket")
    judged = {each.rule for each in told.latest}
    for rule in told.asks:
        if rule.threshold is not None:
            expired = "" if rule.threshold.holds(today) else " (expired)"
            say(f"  {rule.id} {rule.threshold}{expired}: {rule.threshold.reason}")
        if rule.window is not None and rule.id not in judged:
            say(f"  {rule.id}: {rule.window}; no window of it is over yet")
    if told.state.lost or told.state.gaps:
        lost, gaps = told.state.lost, told.state.gaps
        say(f"  {lost:,} rows were vacuumed before they were counted; {gaps} times a log was not whole.")


def _results(latest: Sequence[Result]) -> Table:
    from biokeel.cli.files_of_a_source import table
    from biokeel.rules.window_results import told, when

    made = table("Windows", "rule", "source", "outcome", "rows", "found", "landed until")
    for each in latest:
        made.add_row(each.rule, each.source or "all", each.outcome, f"{each.rows:,}", told(each), when(each.ends))
    return made


def _levels(at: Sequence[Level]) -> Table:
    from biokeel.cli.files_of_a_source import table
    from biokeel.rules.window_results import when

    made = table("Thresholds", "rule", "source", "outcome", "rows", "failed", "share", "since")
    for level in at:
        share = level.share
        figures = f"{share.rows:,}", f"{share.failed:,}", f"{share.share:.2%}"
        made.add_row(level.rule, level.source, level.outcome, *figures, when(level.since))
    return made
