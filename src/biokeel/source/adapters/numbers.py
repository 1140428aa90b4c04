"""Numbers as sources mean them, or refused: what looks like a number to a lenient reader may be another one."""

from __future__ import annotations

import math
import re
from typing import Final

from biokeel.source.adapters.base import Unusable

_EXACT: Final = 2**53
"""Beyond it a double does not hold every whole number."""
_DIGITS: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")


def number(value: object, name: str) -> float:
    """`value` where it is a number of JSON; `name` says where it stands. Raises `Unusable`.

    No truth value, no text, nothing that is not finite.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unusable(f"{name} is no number")
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise Unusable(f"{name} is no finite number")
    return found


def whole(value: object, name: str) -> int:
    """`value` where it is a whole number of JSON (`9000.0` is one). Raises `Unusable` like `number`, too large too."""
    found = number(value, name)
    if not found.is_integer():
        raise Unusable(f"{name} is no whole number")
    if abs(found) > _EXACT:
        raise Unusable(f"{name} is larger than a whole number can be told")
    return int(found)


def number_of_text(text: str, name: str, decimal: str = ".", grouping: str = "") -> float:
    """The number that `text` writes in ASCII digits. Raises `Unusable`.

    `decimal` and `grouping` are what the source declares: without it `9,5`, `9.000,5` and `9 000` are refused, and
    so are `9_000`, `nan`, `inf`, hexadecimal and full-width digits. Spaces around are no part of it.
    """
    written = text.strip()
    if grouping:
        digits = re.escape(grouping)
        # A group has three digits; a separator elsewhere belongs to another locale.
        if not re.fullmatch(
            rf"[+-]?[0-9]{{1,3}}(?:{digits}[0-9]{{3}})+(?:[^0-9{digits}][^{digits}]*)?|[^{digits}]*", written
        ):
            raise Unusable(f"{name} is no number")
        written = written.replace(grouping, "")
    if decimal != ".":
        if "." in written:
            raise Unusable(f"{name} is no number")
        written = written.replace(decimal, ".", 1)
    if not _DIGITS.fullmatch(written):
        raise Unusable(f"{name} is no number")
    return number(float(written), name)


def whole_of_text(text: str, name: str, decimal: str = ".", grouping: str = "") -> int:
    """The whole number that `text` writes. Raises `Unusable` like `number_of_text`."""
    return whole(number_of_text(text, name, decimal, grouping), name)
