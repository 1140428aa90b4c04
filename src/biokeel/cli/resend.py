"""`biokeel resend`: a source sends again what was rejected."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from biokeel.cli.terminal import say


def register(app: typer.Typer) -> None:
    """Add `resend`."""
    app.command()(resend)


def resend(
    credentials: Annotated[Path, typer.Argument(help="The source's credentials' file, <id>.env.")],
    *,
    spool: Annotated[Path, typer.Option(help="The folder of the source's spool; no other process may have it.")],
    receipt: Annotated[
        list[int] | None, typer.Option(help="Number of a receipt whose events are sent again; may be repeated.")
    ] = None,
    rejected: Annotated[
        bool, typer.Option("--rejected", help="Send again all that was rejected for a reason that is the source's.")
    ] = False,
    seconds: Annotated[float, typer.Option(help="How long to wait for Kafka.")] = 60.0,
) -> None:
    """Send events again, as the spool still holds them: same bytes, same ids."""
    from biokeel.source.receipts import rejected_places
    from biokeel.source.sdk import SourceClient

    if bool(receipt) == rejected:
        raise typer.BadParameter("Name either --receipt or --rejected.")
    with SourceClient.from_file(credentials, spool) as client:
        wanted = rejected_places(client.receipts(), set(receipt or ()))
        sent = client.resend(wanted)
        say(f"Sent again: {sent:,} of {sum(map(len, wanted.values())):,} events; what is missing is not in the spool.")
        if waits := client.flush(seconds).events:
            say(f"{waits:,} of them wait in the spool for Kafka; whoever opens it next sends them.")
