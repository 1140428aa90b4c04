"""Lengths of time as stewards write them: `30m`, `12h`, `7d`."""

from __future__ import annotations

import re
from typing import Final

_UNITS: Final = {"m": 60, "h": 3_600, "d": 86_400}
_LENGTH: Final = re.compile(r"([1-9][0-9]{0,3})([mhd])", re.ASCII)


def seconds_of(text: object) -> int | None:
    """The seconds of `30m`, `12h` or `7d`; None for anything else."""
    found = _LENGTH.fullmatch(text) if isinstance(text, str) else None
    return int(found[1]) * _UNITS[found[2]] if found else None


def duration(seconds: int) -> str:
    """The same as text, in the largest unit that divides it: `7d`, `36h`."""
    unit = next(unit for unit in reversed(_UNITS) if seconds % _UNITS[unit] == 0)
    return f"{seconds // _UNITS[unit]}{unit}"
