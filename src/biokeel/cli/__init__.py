"""The biokeel command, a file for each command group.

Each module in `GROUPS` has a function `register(app)` that adds its commands. Modules import what is heavy inside
their commands, so that `biokeel --help` answers at once.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Annotated

import typer

from biokeel import __version__
from biokeel.errors import BiokeelError, describe

GROUPS: tuple[str, ...] = (
    "stack",
    "worker",
    "topic",
    "publish",
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
        print(f"biokeel {__version__}")
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

    Of any other only its type and place are told: its message may quote an event's value.
    """
    try:
        build()()
    except BiokeelError as error:
        print(f"biokeel: {error}", file=sys.stderr)
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 - the last place; what it holds must not be printed
        print(f"biokeel: A defect of Biokeel: {describe(error)}", file=sys.stderr)
        sys.exit(1)
