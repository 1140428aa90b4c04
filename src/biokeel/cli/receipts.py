"""`biokeel receipts`: what became of a source's events."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from biokeel.cli.terminal import say

if TYPE_CHECKING:
    from biokeel.contracts.receipts import Receipt
    from biokeel.settings import Settings
    from biokeel.source.submission import Handed

_MOST_LINES: Final = 20
"""Events that did not come through that are printed one by one."""


def register(app: typer.Typer) -> None:
    """Add `receipts`."""
    app.command()(receipts)


def receipts(
    source: Annotated[str, typer.Option("--source", help="Id of the source, whose credentials are used.")],
    *,
    follow: Annotated[bool, typer.Option("--follow", help="Stay and print what comes, until Ctrl-C.")] = False,
    above: Annotated[int, typer.Option(min=-1, help="Only receipts with a higher number.")] = -1,
    json: Annotated[bool, typer.Option("--json", help="Print the records as they are, a JSON line each.")] = False,
    manifest: Annotated[
        Path | None,
        typer.Option(help="Write them into this folder as the status manifest of HL7's Bulk Data, and print none."),
    ] = None,
    submission: Annotated[
        Path | None,
        typer.Option(
            help="Say by file and line what became of what `publish --submission` noted in this file; with --follow "
            "once all of it has come to an end. Exit status 2 where some of it did not come through."
        ),
    ] = None,
) -> None:
    """Print what became of a source's events, by partition and offsets; a later line about an event holds."""
    from biokeel.contracts.receipts import encode
    from biokeel.observe.reach import require_kafka
    from biokeel.settings import Settings, side_of
    from biokeel.source.bulk import MANIFEST, write_manifest
    from biokeel.source.receipts import Follower, told

    settings = Settings.load(side_of(source))
    require_kafka(settings)
    if submission is not None:
        if manifest is not None or above >= 0:
            raise typer.BadParameter("--submission says how its own events are now: leave --manifest and --above out.")
        if not _of_submission(settings, submission, follow=follow, json=json):
            raise typer.Exit(2)
        return
    if manifest is not None:
        if follow:
            raise typer.BadParameter("--manifest says how things are now: leave --follow out.")
        counts = write_manifest(manifest, source, told(Follower(settings, above), on=False), dt.datetime.now(dt.UTC))
        ends = ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(counts.items())) or "no event"
        say(f"{manifest / MANIFEST}: {ends}")
        return
    try:
        for receipt in told(Follower(settings, above), on=follow):
            say(encode(receipt).decode() if json else line_of(receipt))
    except KeyboardInterrupt:
        return


def _of_submission(settings: Settings, path: Path, *, follow: bool, json: bool) -> bool:
    """Whether all of it came through."""
    from biokeel.cli.files_of_a_source import table
    from biokeel.cli.terminal import terminal
    from biokeel.source.receipts import Follower, gather
    from biokeel.source.submission import as_json, submission_at

    outcomes: Counter[str] = Counter()
    bad = 0
    console = terminal(stderr=json)
    with submission_at(path, settings.source_id, makes=False) as submission:
        for each in submission.told(gather(Follower(settings), submission.places(), on=follow)):
            outcomes[each.outcome] += 1
            if json:
                say(as_json(each))
            if not each.came_through:
                bad += 1
                if bad <= _MOST_LINES and not json:
                    console.print(_line_of_handed(each), soft_wrap=True, markup=False, highlight=False)
    if bad > _MOST_LINES and not json:
        console.print(f"… and {bad - _MOST_LINES:,} more; --json prints all.")
    found = table(f"Submission {path.name}", "what became of them")
    found.add_column("events", justify="right")
    for outcome, count in outcomes.most_common():
        found.add_row(outcome, f"{count:,}")
    console.print(found if outcomes else "It holds no event.")
    return not bad


def _line_of_handed(handed: Handed) -> str:
    """`obs.ndjson, line 7: clinical.glucose quarantined because rule.failed by glucose.value.range of suite 3`."""
    origin = handed.origins[0]
    others = f" and {len(handed.origins) - 1:,} more" if len(handed.origins) > 1 else ""
    words = [f"{origin.file}, {origin.place}{others}: {handed.event} {handed.outcome}"]
    if not handed.places:
        words.append("(publish the files again)")
    return " ".join(words + (_why(handed.receipt) if handed.receipt is not None else []))


def line_of(receipt: Receipt) -> str:
    """A receipt in words: `1764513443001 2026-01-31T12:00:00Z clinical.glucose/3 @0-19999 (20,000) landed`."""
    runs = ",".join(str(first) if first == last else f"{first}-{last}" for first, last in receipt.offsets)
    words = [
        f"{receipt.number} {receipt.at:%Y-%m-%dT%H:%M:%SZ} {receipt.event}/{receipt.partition} @{runs}",
        f"({len(receipt):,}) {'now ' if receipt.amends else ''}{receipt.outcome}",
    ]
    return " ".join(words + _why(receipt))


def _why(receipt: Receipt) -> list[str]:
    return [
        *([f"because {receipt.reason}"] if receipt.reason else []),
        *([f"by {', '.join(receipt.rules)} of suite {receipt.suite}"] if receipt.rules else []),
        *([f"without {', '.join(receipt.fields)}"] if receipt.fields else []),
    ]
