"""`biokeel suite release` and its kin: rows that the version in force judges otherwise than an earlier one did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from biokeel.cli.suite_backtest import moment
from biokeel.cli.suite_book import Desk, Event, KeyFile, Reason
from biokeel.cli.terminal import say

if TYPE_CHECKING:
    from biokeel.contracts.topics import EventType
    from biokeel.rulebook.operations import Operation, Request
    from biokeel.rules.reverdict import Filter, Preview, State

Rules = Annotated[list[str] | None, typer.Option("--rule", help="Rows that failed this rule; may be repeated.")]
Source = Annotated[str, typer.Option("--source", help="Rows of this source.")]
Since = Annotated[str, typer.Option("--since", help="Recorded since: 2026-11-01, a time with its zone, yesterday.")]
Until = Annotated[str, typer.Option("--until", help="Recorded before.")]
Without = Annotated[
    Path | None,
    typer.Option(
        "--without", help="Participants to leave out: what biokeel vault stopped wrote.", exists=True, dir_okay=False
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Order it. Without it nothing but the preview is made.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print it as one JSON object.")]


def register(group: typer.Typer) -> None:
    """Add the commands of this file to `biokeel suite`."""
    group.command("release")(release)
    group.command("withdraw")(withdraw)
    group.command("undo")(undo)
    group.command("operations")(operations)


def release(
    event: Event,
    *,
    rule: Rules = None,
    source: Source = "",
    since: Since = "",
    until: Until = "",
    without: Without = None,
    reason: Reason = "",
    yes: Yes = False,
    as_json: AsJson = False,
    key_file: KeyFile = None,
) -> None:
    """Show which quarantined rows pass the version in force, and with --yes let the workers land them, once.

    More rows than a person can look through need a second steward, who approves as with a suite.
    """
    desk = Desk.open()
    kind = desk.event(event)
    wanted = _filter(rule, source, since, until, _left_out(desk, kind, without, yes=yes))
    _ordered(desk, desk.reverdict.preview_release(kind, wanted), reason, key_file, yes=yes, as_json=as_json)


def withdraw(
    event: Event,
    *,
    rule: Rules = None,
    source: Source = "",
    since: Since = "",
    until: Until = "",
    reason: Reason = "",
    yes: Yes = False,
    as_json: AsJson = False,
    key_file: KeyFile = None,
) -> None:
    """Show which landed rows fail the version in force, and with --yes let the workers move them to quarantine.

    They keep their place in each person's history, and an undo brings them back as they were.
    """
    desk = Desk.open()
    preview = desk.reverdict.preview_withdrawal(desk.event(event), _filter(rule, source, since, until, ""))
    _ordered(desk, preview, reason, key_file, yes=yes, as_json=as_json)


def undo(
    event: Event,
    number: Annotated[int, typer.Argument(help="The operation's number: biokeel suite operations EVENT.")],
    *,
    without: Without = None,
    reason: Reason = "",
    yes: Yes = False,
    as_json: AsJson = False,
    key_file: KeyFile = None,
) -> None:
    """Show what an operation has moved and still lies there, and with --yes let the workers move it back.

    That is an operation, too, and can be undone.
    """
    desk = Desk.open()
    kind = desk.event(event)
    preview = desk.reverdict.preview_undo(kind, number)
    if preview.lands:
        preview = desk.reverdict.preview_undo(kind, number, _left_out(desk, kind, without, yes=yes))
    _ordered(desk, preview, reason, key_file, yes=yes, as_json=as_json)


def operations(event: Event, *, as_json: AsJson = False) -> None:
    """Show the operations of an event type: who ordered each and why, how many rows it has moved, where it is open."""
    desk = Desk.open()
    kind = desk.event(event)
    states, waiting = desk.reverdict.states(kind), desk.reverdict.waiting(kind)
    if as_json:
        told = {
            "operations": [_state(each) for each in states],
            "waiting": [{"digest": digest, **_asked(each)} for digest, each in waiting.items()],
        }
        say(json.dumps(told, ensure_ascii=False, indent=2), lines=True)
        return
    if not states and not waiting:
        say(f"{event}: nothing was released or moved.")
    for each in states:
        made = each.operation
        request = made.requested
        eyes = "alone" if made.is_alone else f"approved by {made.approver}"
        say(f"{event}: {request.purpose} {made.number} of {request.author}, {eyes}, {made.at}: {request.reason}")
        state = f"open in partitions {', '.join(map(str, each.open_in))}" if each.open_in else "done"
        what = f"undoes {request.undoes}" if request.undoes else f"by version {request.version}"
        undone = f"; undone by {', '.join(map(str, each.undone_by))}" if each.undone_by else ""
        say(f"  {each.moved:,} of {request.count:,} rows moved, {state}; {what}{undone}")
    say_waiting(event, waiting)


def say_waiting(event: str, waiting: dict[str, Request]) -> None:
    """Print the operations that wait for a second person."""
    for digest, request in waiting.items():
        say(f"{event}: {request.purpose} {digest[:12]} of {request.author}, {request.at}: {request.reason}")
        what = f"undoes {request.undoes}" if request.undoes else f"by version {request.version}"
        say(f"  {request.count:,} rows{_chosen(request)}, {what}")
        say(f"  Another steward: biokeel suite approve {event} {digest[:12]} (or reject)")


def _ordered(desk: Desk, preview: Preview, reason: str, key_file: Path | None, *, yes: bool, as_json: bool) -> None:
    """Print a preview, order it if `yes`, and say what comes next."""
    made = desk.reverdict.order(preview, desk.key(key_file), reason) if yes else None
    if as_json:
        told = {
            "event": str(preview.event),
            "purpose": preview.purpose,
            "version": preview.version,
            "rows": preview.rows,
            "by_rule": dict(preview.by("rules")),
            "by_source": dict(preview.by("source_id")),
            "by_partition": preview.by_partition(),
            "left": dict(preview.left),
            "operation": made.number if made is not None and not isinstance(made, str) else None,
            "waits_as": made if isinstance(made, str) else None,
        }
        say(json.dumps(told, ensure_ascii=False, indent=2), lines=True)
        return
    way = "would land" if preview.lands else "would go to quarantine"
    by = f"by version {preview.version}" if preview.version else f"as before operation {preview.wanted.undoes}"
    say(f"{preview.event}: {preview.rows:,} rows {way}, {by}.")
    for column, title in (("rules", "failed"), ("source_id", "source")):
        for name, rows in preview.by(column):
            say(f"  {title:<8}{name or '-':<44}{rows:>12,}")
    for why, rows in sorted(preview.left.items()):
        say(f"  left where they are, {why}: {rows:,}")
    _say_next(preview, made)


def _say_next(preview: Preview, made: Operation | str | None) -> None:
    if made is None:
        if preview.rows:
            say('Nothing is ordered yet. To order it: --yes --reason "…"')
    elif isinstance(made, str):
        say(f"So many wait for a second person: biokeel suite approve {preview.event} {made[:12]}")
    else:
        say(
            f"Operation {made.number} is ordered; workers begin within seconds. "
            f"See: biokeel suite operations {preview.event}"
        )


def _left_out(desk: Desk, event: EventType, without: Path | None, *, yes: bool) -> str:
    """The list of participants whose rows do not land, kept in the book; without one nothing lands."""
    if without is not None:
        return desk.reverdict.leave_out(event, without.read_text("ascii", "replace"))
    if yes:
        raise typer.BadParameter(
            f"--without: who has withdrawn since, only the vault zone knows. Ask for: biokeel vault stopped {event}"
        )
    return ""


def _filter(rule: list[str] | None, source: str, since: str, until: str, without: str) -> Filter:
    from biokeel.rules.reverdict import Filter

    begin, end = moment(since), moment(until)
    return Filter(
        tuple(rule or ()),
        source,
        "" if begin is None else begin.isoformat(),
        "" if end is None else end.isoformat(),
        without,
    )


def _chosen(request: Request) -> str:
    """What a request chose rows by."""
    parts = [f"rule {', '.join(request.rules)}"] if request.rules else []
    parts += [f"{word} {value}" for word in ("source", "since", "until") if (value := getattr(request, word))]
    return f" ({', '.join(parts)})" if parts else ""


def _asked(request: Request) -> dict[str, object]:
    named = ("purpose", "version", "undoes", "rules", "source", "since", "until", "author", "reason", "at")
    return {name: getattr(request, name) for name in named} | {"rows": request.count}


def _state(state: State) -> dict[str, object]:
    made = state.operation
    return {
        "number": made.number,
        **_asked(made.requested),
        "approver": made.approver,
        "moved": state.moved,
        "open_in": list(state.open_in),
        "undone_by": list(state.undone_by),
    }
