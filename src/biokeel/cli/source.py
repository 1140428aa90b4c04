"""`biokeel source`: what an institution needs before it publishes."""

from __future__ import annotations

import typer

from biokeel.cli.dry_run import dry_run


def register(app: typer.Typer) -> None:
    """Add `biokeel source`."""
    group = typer.Typer(no_args_is_help=True, help="Sources: try their files before they are sent.")
    group.callback()(lambda: None)  # with one command alone, typer would make the group that command
    group.command("dry-run")(dry_run)
    app.add_typer(group, name="source")
