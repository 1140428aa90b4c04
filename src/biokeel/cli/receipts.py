"""`biokeel receipts`: what became of a source's events."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from biokeel.cli.terminal import say

if TYPE_CHECKING:
    from biokeel.contracts.receipts import Receipt


def register(app: typer.Typer) -> None:
    """Add `receipts`."""
    app.command()(receipts)


def receipts(
    source: Annotated[str, typer.Option("--source", help="Id of the source, whose credentials are used.")],
    follow: Annotated[bool, typer.Option("--follow", help="Stay and print what comes, until Ctrl-C.")] = False,
    above: Annotated[int, typer.Option(min=-1, help="Only receipts with a higher number.")] = -1,
    json: Annotated[bool, typer.Option("--json", help="Print the records as they are, a JSON line each.")] = False,
    manifest: Annotated[
        Path | None,
        typer.Option(help="Write them into this folder as the status manifest of HL7's Bulk Data, and print none."),
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


def line_of(receipt: Receipt) -> str:
    """A receipt in words: `1764513443001 2026-01-31T12:00:00Z clinical.glucose/3 @0-19999 (20,000) landed`."""
    runs = ",".join(str(first) if first == last else f"{first}-{last}" for first, last in receipt.offsets)
    words = [
        f"{receipt.number} {receipt.at:%Y-%m-%dT%H:%M:%SZ} {receipt.event}/{receipt.partition} @{runs}",
        f"({len(receipt):,}) {'now ' if receipt.amends else ''}{receipt.outcome}",
    ]
    if receipt.reason:
        words.append(f"because {receipt.reason}")
    if receipt.rules:
        words.append(f"by {', '.join(receipt.rules)} of suite {receipt.suite}")
    if receipt.fields:
        words.append(f"without {', '.join(receipt.fields)}")
    return " ".join(words)
