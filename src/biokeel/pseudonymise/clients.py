"""Which software sources send with, as their messages state it: kept in the vault for the alarms of the books.

It is noted once a day, so that who looks knows what is still in use, and costs nothing between. What a process has
noted it forgets when it dies; the next one notes it again.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Protocol

from biokeel.contracts.clients import Client, client_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from biokeel.contracts.sources import Register

NOTED_SECONDS: Final = 6 * 3600.0
"""How long it is not noted again that a source sends with a client: a fraction of the day that alarms look back."""


class Notes(Protocol):
    """What is needed of `biokeel.vault.store.Vault`."""

    def heard(self, source: str, clients: Iterable[Client]) -> None:
        """Note that `source` sends with `clients`."""
        ...


class Clients:
    """What one worker has heard. `register` gives the sources as they are registered now."""

    def __init__(self, vault: Notes, register: Callable[[], Register]) -> None:
        self._vault = vault
        self._register = register
        self._noted: dict[tuple[str, Client], float] = {}

    def heard(self, source: str, stated: Iterable[bytes]) -> None:
        """Note what `source` stated in headers. Nothing is noted of a source that may use any software.

        Raises `VaultUnavailable`; then nothing was noted.
        """
        registered = self._register().get(source)
        if registered is None or not registered.software:
            return
        now = time.monotonic()
        clients = {client_of(each, registered.software) for each in stated}
        due = [each for each in clients if now - self._noted.get((source, each), -NOTED_SECONDS) >= NOTED_SECONDS]
        if due:
            self._vault.heard(source, due)
            self._noted |= {(source, each): now for each in due}
