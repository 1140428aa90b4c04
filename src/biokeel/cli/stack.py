"""`biokeel stack up|down|status` and `biokeel topics create`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from biokeel.cli.terminal import say

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
    topics = typer.Typer(name="topics", help="Kafka's topics.", no_args_is_help=True)
    topics.command()(create)
    app.add_typer(topics)


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


def create(state_dir: StateDir = None) -> None:
    """Create the raw and pseudo topics that are missing; what is there stays as it is."""
    from biokeel.admin.topics import admin_client, create_topics, wanted
    from biokeel.observe.reach import require_kafka
    from biokeel.settings import OPERATOR, Settings

    settings = Settings.load(OPERATOR, state_dir=state_dir)
    require_kafka(settings)
    created = create_topics(admin_client(settings), settings)
    say(f"{len(created)} topics created, {len(wanted(settings)) - len(created)} were there.")


def _folder(state_dir: Path | None) -> Path:
    from biokeel.settings import Settings

    return state_dir or Settings.load().state_dir
