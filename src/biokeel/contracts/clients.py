"""Which client software a source states with its messages, and whether the register lets it.

The header `software` of a message holds `<name>/<version>`, as `biokeel-python/0.1.0`. It is free text of the source's,
so no more of it is ever kept than a name that the register has for this source, and the numbers of a version.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from biokeel.contracts.grammars import VERSION_NUMBERS

if TYPE_CHECKING:
    from collections.abc import Sequence

HEADER: Final = "software"
"""The header in which a client states itself, on the first message of each batch at least."""
_STATED: Final = re.compile(rf"([^/\s]{{1,64}})(?:/({VERSION_NUMBERS})(?![0-9]).*)?", re.ASCII)


class Client(NamedTuple):
    """What a source stated. `name` is empty where the register has none such for it, `version` where it states none."""

    name: str
    version: str


def client_of(stated: bytes | str, registered: Sequence[str]) -> Client:
    """What `stated`, a header's value, comes to for a source of which the register has `registered`."""
    text = stated.decode("ascii", "replace") if isinstance(stated, bytes) else stated
    found = _STATED.fullmatch(text)
    if found is None or found[1] not in _oldest(registered):
        return Client("", "")
    return Client(found[1], found[2] or "")


def complaint(client: Client, registered: Sequence[str]) -> str:
    """What is wrong with `client`, after the name of its source; empty where the register lets it."""
    if not registered:
        return ""
    oldest = _oldest(registered).get(client.name)
    if oldest is None:
        return f"states client software that it may not: {', '.join(registered)} is what it may."
    if oldest and _numbers(client.version) < _numbers(oldest):
        return f"sends with {client.name} {client.version or 'of no stated version'}, older than {oldest}."
    return ""


def _oldest(registered: Sequence[str]) -> dict[str, str]:
    """By name the oldest version that a source may have; empty for any."""
    return {name: version for name, _, version in (each.partition("/") for each in registered)}


def _numbers(version: str) -> tuple[int, ...]:
    numbers = tuple(map(int, filter(None, version.split("."))))
    return numbers + (0,) * (4 - len(numbers)) if numbers else ()
