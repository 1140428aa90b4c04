"""`biokeel suite shadow`: a draft beside the version in force, on events that come live, without effect."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Annotated

import typer

from biokeel.cli.suite_backtest import drafted
from biokeel.cli.suite_book import Desk, Event, KeyFile, Reason
from biokeel.cli.terminal import say, terminal

if TYPE_CHECKING:
    from rich.table import Table

    from biokeel.rules.shadow import Counted, Running, Shadows


def register(group: typer.Typer) -> None:
    """Add `biokeel suite shadow`."""
    shadow = typer.Typer(no_args_is_help=True, help="Run a draft beside the version in force, without effect.")
    shadow.command("start")(start)
    shadow.command("list")(list_shadows)
    shadow.command("show")(show)
    shadow.command("stop")(stop)
    group.add_typer(shadow, name="shadow")


def start(
    draft: Annotated[str, typer.Argument(help="A suite's file, or an event type, for its draft.")],
    lasts: Annotated[str, typer.Option("--for", help="How long: 30m, 12h, 7d.")] = "7d",
    reason: Reason = "",
    key_file: KeyFile = None,
) -> None:
    """Let a draft run beside the version in force on what lands from now on: it is counted, and has no effect.

    It ends by itself. biokeel worker windows does the counting, which is in nobody's way.
    """
    from biokeel.rules.shadow import Wanted
    from biokeel.validate.durations import seconds_of

    seconds = seconds_of(lasts)
    if seconds is None:
        raise typer.BadParameter("Write 30m, 12h or 7d.", param_hint="--for")
    desk = Desk.open()
    event, written = drafted(desk, draft)
    running = _shadows(desk).start(event, Wanted(written.text, reason, seconds), desk.key(key_file), _now())
    say(
        f"{event}: shadow {running.digest[:12]} runs until {_time(running.until)}. "
        f"See: biokeel suite shadow show {event}"
    )
    for rule in written.windows:
        say(f"  {rule} judges no row: it is not counted.")


def list_shadows() -> None:
    """List the shadows of all event types, newest first: who, until when, rows counted, and what they cost."""
    from biokeel.cli.files_of_a_source import table

    shadows = _shadows(Desk.open())
    made = table("Shadows", "event type", "shadow", "of", "state", "rows", "newly quarantined", "released", "µs a row")
    for running in shadows.all():
        counted = shadows.counted(running)
        told = _sums(counted)
        made.add_row(running.page.event, running.digest[:12], running.page.author, _state(running, counted), *told)
    terminal().print(made)


def show(
    event: Event,
    as_json: Annotated[bool, typer.Option("--json", help="Print all counts as one JSON object.")] = False,
) -> None:
    """Show what the newest shadow of an event type has counted, by rule and source, and what it costs."""
    from biokeel.errors import SuiteError

    desk = Desk.open()
    shadows = _shadows(desk)
    running = next(iter(shadows.all(desk.event(event))), None)
    if running is None:
        raise SuiteError(f"There is no shadow of {event}.", f"Start one: biokeel suite shadow start {event}")
    counted = shadows.counted(running)
    if as_json:
        page = running.page.model_dump(mode="json", include={"event", "author", "reason", "at"})
        about = page | {"shadow": running.digest, "until": running.until.isoformat(), "state": _state(running, counted)}
        say(json.dumps(about | (counted.as_dict() if counted else {}), ensure_ascii=False, indent=2), lines=True)
        return
    say(f"{event}: shadow {running.digest[:12]} of {running.page.author}, {running.page.at}: {running.page.reason}")
    say(f"  {_state(running, counted)}")
    if counted is not None:
        _say_counted(counted)


def stop(event: Event, key_file: KeyFile = None) -> None:
    """End the shadow of an event type now; what landed until now is still counted."""
    desk = Desk.open()
    kind = desk.event(event)
    running = _shadows(desk).stop(kind, desk.key(key_file), _now())
    say(f"{event}: shadow {running.digest[:12]} ended.")


def _shadows(desk: Desk) -> Shadows:
    from biokeel.rules.shadow import Shadows

    return Shadows(desk.lake)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _time(at: dt.datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _state(running: Running, counted: Counted | None) -> str:
    if counted is not None and counted.over:
        return f"ended {_time(running.until)}: {counted.over}"
    until = f"{'until' if not running.is_over(_now()) else 'ended'} {_time(running.until)}"
    if counted is None:
        return f"{until}; nobody has counted yet: biokeel worker windows does"
    return f"{until}; counted up to {_time(dt.datetime.fromtimestamp(counted.at, dt.UTC))}"


def _sums(counted: Counted | None) -> list[str]:
    if counted is None:
        return ["-"] * 4
    told = counted.as_dict()
    sums = [f"{told[name]:,}" for name in ("rows", "newly_quarantined", "released")]
    return [*sums, f"{counted.microseconds_a_row:.2f}"]


def _say_counted(counted: Counted) -> None:
    told = counted.as_dict()
    say(
        f"  {counted.rows:,} rows: newly quarantined {told['newly_quarantined']:,}, released {told['released']:,}. "
        f"It took {counted.cpu_seconds:.2f} s of CPU beside the stream, {counted.microseconds_a_row:.2f} µs a row."
    )
    console = terminal()
    if counted.changes:
        console.print(_changes(counted))
    if counted.sources:
        console.print(_sources(counted))
    for why, rows in sorted(counted.aside.items()):
        say(f"  Not judged: {rows:,} rows, {why}.")
    for version, rows in sorted(counted.versions.items()):
        say(f"  {rows:,} rows were judged by version {version or '(none)'}.")
    if counted.lost:
        say(f"  {counted.lost:,} rows were vacuumed before they were counted.")
    if counted.gaps:
        say(f"  {counted.gaps} times a table was not the one that was read: what landed meanwhile is not counted.")


def _changes(counted: Counted) -> Table:
    from biokeel.cli.files_of_a_source import table

    made = table("By rule and source", "rule", "source", "change", "rows")
    for (rule, change, source), rows in sorted(counted.changes.items()):
        made.add_row(rule, source, str(change), f"{rows:,}")
    return made


def _sources(counted: Counted) -> Table:
    from biokeel.cli.files_of_a_source import table

    made = table("By source", "source", "rows", "newly quarantined", "released")
    for source, counts in sorted(counted.sources.items()):
        made.add_row(source, *(f"{rows:,}" for rows in counts))
    return made
