"""The biokeel command, a file for each command group.

Each module in `GROUPS` has a function `register(app)` that adds its commands. Modules import what is heavy inside
their commands, so that `biokeel --help` answers at once.
"""

from __future__ import annotations

import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from biokeel import __version__
from biokeel.errors import BiokeelError

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
    """Run the command line; an error is one sentence and exit status 1, never a traceback.

    Of an error that is not ours only the type and the place are told, for its message may hold a value.
    """
    try:
        build()()
    except BiokeelError as error:
        print(f"biokeel: {error}", file=sys.stderr)
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 - the last place
        print(f"biokeel: {_unexpected(error)}", file=sys.stderr)
        sys.exit(1)


def _unexpected(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(Path(__file__).parents[1])]
    place = ours[-1] if ours else frames[-1]
    return (
        f"An error that was not foreseen: {type(error).__name__} at {Path(place.filename).name}:{place.lineno} "
        f"({place.name}); its message is withheld, because it may hold a value. Please report this line."
    )
