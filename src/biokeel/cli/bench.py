"""`biokeel bench`: how fast this machine is, by the benchmarks of the checkout."""

from __future__ import annotations

import subprocess
import sys

import typer

ANYTHING = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def register(app: typer.Typer) -> None:
    """Add `bench`."""
    app.command(context_settings=ANYTHING)(bench)


def bench(context: typer.Context) -> None:
    """Measure how fast events go through, on a stack of its own; `biokeel bench --help` lists parts and sizes."""
    from biokeel.errors import SettingsError
    from biokeel.settings import PROJECT_ROOT

    if not (PROJECT_ROOT / "bench" / "__main__.py").is_file():
        raise SettingsError("The benchmarks are not installed with the package.", "Run it in a checkout: make bench.")
    # Its own process, as by `make bench`: the folder is no part of the package.
    command = [sys.executable, "-m", "bench", *context.args]
    raise typer.Exit(subprocess.run(command, cwd=PROJECT_ROOT, check=False).returncode)  # noqa: S603 - our own command
