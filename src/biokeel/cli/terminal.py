"""Where commands print: as wide as the terminal, and wide enough for our tables where there is none (a log, a pipe).

All that is printed goes through `say` or a `terminal`, so that text from outside is shown and never obeyed.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from biokeel.observe.visible import visible

if TYPE_CHECKING:
    from rich.console import Console

LOG_WIDTH: Final = 132


def terminal(*, stderr: bool = False) -> Console:
    """The console that a command prints to."""
    from biokeel.observe.screen import Screen

    console = Screen(stderr=stderr)
    return console if console.is_terminal else Screen(stderr=stderr, width=LOG_WIDTH)


def say(text: str, *, stderr: bool = False, lines: bool = False) -> None:
    """Print `text` as one line, or, if `lines`, as the lines it has."""
    print(visible(text, keep="\n" if lines else ""), file=sys.stderr if stderr else sys.stdout, flush=True)
