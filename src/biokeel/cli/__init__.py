"""The biokeel command, a file for each command group.

Each module in `GROUPS` has a function `register(app)` that adds its commands. Modules import what is heavy inside
their commands, so that `biokeel --help` answers at once.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Annotated

import typer
from typer.exceptions import TyperException

from biokeel import __version__
from biokeel.cli.terminal import say
from biokeel.errors import BiokeelError, describe
from biokeel.observe.visible import visible

GROUPS: tuple[str, ...] = (
    "stack",
    "worker",
    "topic",
    "publish",
    "source",
    "receipts",
    "resend",
    "demo_data",
    "schema",
    "suite",
    "vault",
    "participant",
    "lake",
    "status",
    "verify",
    "console",
    "demo",
    "bench",
)
"""Modules of this package, in the order in which `biokeel --help` lists their commands."""


def _say_version(wanted: bool) -> None:
    if wanted:
        say(f"biokeel {__version__}")
        raise typer.Exit


def build() -> typer.Typer:
    """The whole command line."""
    app = typer.Typer(
        name="biokeel",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(_top)
    for name in GROUPS:
        import_module(f"biokeel.cli.{name}").register(app)
    return app


def _top(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_say_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """Biokeel: the ingestion and data-quality backbone of a national bio-big-data programme."""
    del version


def main() -> None:
    """Run the command line; an error of ours is one sentence and exit status 1, never a traceback.

    Names that come from outside are shown in it and never obeyed (`biokeel.observe.visible`).

    Of any other only its type and place are told: its message may quote an event's value.
    """
    # polars counts requests to a store in a task that wakes up a thousand times a second, for ever after the first one:
    # some 2 % of a core of each process that has read a table. It is asked when polars is loaded, which is later.
    os.environ.setdefault("POLARS_DISABLE_HTTP_RATE_LIMIT", "1")
    try:
        status = build()(standalone_mode=False)
    except TyperException as error:
        from typer.rich_utils import rich_format_error

        # It quotes the command line, which may hold a file's name (`biokeel publish *`).
        error.message = visible(error.message)
        rich_format_error(error)  # type: ignore[arg-type]  # each is a ClickException, which typer keeps to itself
        sys.exit(error.exit_code)
    except typer.Abort:
        say("Aborted.", stderr=True)
        sys.exit(1)
    except BiokeelError as error:
        say(f"biokeel: {error}", stderr=True)
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 - the last place; what it holds must not be printed
        say(f"biokeel: A defect of Biokeel: {describe(error)}", stderr=True)
        sys.exit(1)
    sys.exit(status or 0)
