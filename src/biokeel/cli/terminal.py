"""Where commands print: as wide as the terminal, and wide enough for our tables where there is none (a log, a pipe)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.console import Console

LOG_WIDTH: Final = 132


def terminal(*, stderr: bool = False) -> Console:
    """The console that a command prints to."""
    from rich.console import Console

    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=LOG_WIDTH)
