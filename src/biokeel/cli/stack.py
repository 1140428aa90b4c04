"""`biokeel stack up|down|status`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

StateDir = Annotated[
    Path | None, typer.Option("--state-dir", help="Where the stack keeps everything; BIOKEEL_STATE_DIR or .biokeel.")
]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    stack = typer.Typer(
        name="stack", help="The local stack: Kafka, object store, workers, console.", no_args_is_help=True
    )
    stack.command()(up)
    stack.command()(down)
    stack.command()(status)
    app.add_typer(stack)


def up(
    workers: Annotated[int, typer.Option(help="Workers of each kind (pseudonymise, curate).", min=0)] = 1,
    console: Annotated[bool, typer.Option(help="Whether to start the console.")] = True,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return when it runs; stop it with biokeel stack down.")
    ] = False,
    describe: Annotated[
        bool, typer.Option(hidden=True, help="Off for what --detach starts: its output is a log.")
    ] = True,
    state_dir: StateDir = None,
) -> None:
    """Start everything, and stop it on Ctrl-C."""
    from biokeel.stack import command

    command.up(_folder(state_dir), workers=workers, console=console, detach=detach, describe=describe)


def down(state_dir: StateDir = None) -> None:
    """Stop a stack that was started with --detach or in another terminal; the data stay."""
    from biokeel.stack import command

    command.down(_folder(state_dir))


def status(state_dir: StateDir = None) -> None:
    """Show which processes of the stack run, with their memory and logs, and the address that opens the console."""
    from biokeel.stack import command

    command.status(_folder(state_dir))


def _folder(state_dir: Path | None) -> Path:
    from biokeel.settings import Settings

    return state_dir or Settings.load().state_dir
