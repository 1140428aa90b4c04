"""Text from outside, fit for a terminal: shown, never obeyed.

A file's name, a field's name or a text in a file may hold characters that move the cursor, clear the screen, set the
window's title, or turn the order of what follows around (`U+202E`), and words in brackets that rich takes for a style.
Whoever reads a report must see what is there. `biokeel.observe.screen` is a console that does this to all it prints.
"""

from __future__ import annotations

import json
from typing import Final
from unicodedata import category

_SPACES: Final = "Zs"
"""Spaces of all widths: Python calls none but the ASCII one printable, and a Korean file name may hold a wide one."""


def visible(text: str, *, keep: str = "") -> str:
    r"""`text` with each character that a terminal would obey in place of showing it written as JSON does: `\\u001b`.

    So text that is JSON stays the same JSON. `keep`: characters that may stay, such as a report's own line ends.
    """
    if text.isprintable():
        return text
    return "".join(char if _is_shown(char) or char in keep else json.dumps(char)[1:-1] for char in text)


def _is_shown(char: str) -> bool:
    return char.isprintable() or category(char) == _SPACES
