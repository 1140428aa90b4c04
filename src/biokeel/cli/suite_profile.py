"""`biokeel suite profile`: rules suggested from what has landed, to be kept or dropped one by one."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from biokeel.cli.suite_backtest import moment
from biokeel.cli.suite_book import Desk
from biokeel.cli.terminal import say

if TYPE_CHECKING:
    from biokeel.rules.profile import Profile, Suggestion


def register(group: typer.Typer) -> None:
    """Add the commands of this file to `biokeel suite`."""
    group.command("profile")(profile)


def profile(
    event: Annotated[str, typer.Argument(help="Event type, such as clinical.blood_pressure.")],
    *,
    to: Annotated[Path | None, typer.Option(help="The draft's file; EVENT.profiled.json here if not given.")] = None,
    last: Annotated[int, typer.Option(min=1, help="How many rows to look at: those recorded last.")] = 1_000_000,
    since: Annotated[str, typer.Option(help="Only rows recorded since: 2026-11-01, yesterday (UTC).")] = "",
    people: Annotated[int, typer.Option(min=10, help="Tell nothing that fewer people stand behind than this.")] = 10,
    yes: Annotated[bool, typer.Option("--yes", help="Keep all that the suite in force does not say in kind.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the suggestions as JSON, and write no draft.")] = False,
) -> None:
    """Suggest rules from landed rows, each with what speaks for it, and write those that are kept as a draft.

    The draft is the suite in force with the suggestions behind its rules, as warnings. How data are says nothing about
    how they should be: write into each rule's notes which guideline says so.
    """
    from biokeel.errors import SuiteError
    from biokeel.rules import profile as profiles
    from biokeel.rules.backtest_rows import Scope
    from biokeel.rules.of_the_book import versions_of

    file = to or Path(f"{event}.profiled.json")
    if not as_json and file.exists():
        raise SuiteError(f"{file} is there already.", "Name another with --to: a draft is not written over.")
    desk = Desk.open()
    kind = desk.event(event)
    schema, standing = desk.schemas[kind], desk.review.standing(kind)
    force = versions_of(standing, schema)[standing.page.stamp]
    found = profiles.profile(desk.lake, schema, force, scope=Scope(moment(since), last), least=people)
    if as_json:
        say(json.dumps(asdict(found), ensure_ascii=False, indent=2), lines=True)
        return
    say(f"{event}: {found.rows:,} landed rows of {found.people:,} people; {len(found.suggestions)} suggestions.")
    kept = _kept(found, ask=not yes)
    if not kept:
        say("Nothing was kept, and no draft written.")
        return
    file.write_text(profiles.draft_of(schema, force.text, kept), "utf-8")
    say(f"{file}: the suite in force and {len(kept)} rules more. Try it: biokeel suite backtest {file}")
    say(f"To submit it, put it in the place of the file that biokeel suite draft {event} makes.")


def _kept(found: Profile, *, ask: bool) -> list[Suggestion]:
    """The suggestions that are kept: those that the steward says yes to, or all that are new in kind."""
    kept = []
    for number, each in enumerate(found.suggestions, start=1):
        say(f"\n{number} of {len(found.suggestions)}: {_told(each)}", lines=True)
        is_new = not each.in_force
        if typer.confirm("Keep it?", default=is_new) if ask else is_new:
            kept.append(each)
    return kept


def _told(each: Suggestion) -> str:
    """A suggestion with what speaks for it."""
    arguments = json.dumps(each.expectation["kwargs"], ensure_ascii=False)
    evidence = each.evidence
    would_fail = f"{evidence.failing:,} ({evidence.share:.3%}) would fail"
    lines = [
        f"{each.rule} ({each.expectation['type']})",
        f"  {arguments}",
        f"  {evidence.rows:,} rows of {evidence.people:,} people; {would_fail}",
    ]
    if evidence.quantiles:
        quantiles = "  ".join(f"{name}: {value:g}" for name, value in evidence.quantiles.items())
        lines.append(f"  quantiles  {quantiles}")
    if evidence.left_out:
        lines.append(f"  {evidence.left_out}")
    if each.in_force:
        lines.append(f"  in force already, of this kind: {', '.join(each.in_force)}")
    return "\n".join(lines)
