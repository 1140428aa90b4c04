"""The console that everything of ours prints to."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from biokeel.observe.visible import visible


class Screen(Console):
    """A console that takes every string as it is: no markup, no emoji codes, no character that is not shown.

    What is to have a style is a `Text`, or a table's row or column with one.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(markup=False, emoji=False, **settings)

    def render_str(self, text: str, **how: Any) -> Text:
        """See `rich.console.Console`: every string that is printed comes by here, a table's cells too."""
        return super().render_str(visible(text, keep="\n"), **how)
