"""What a worker does while something outside is away: it waits, says so, and holds what it has.

To end and come back would bring neither the store nor the vault nor the schema registry back; it would only read again
what is held already. So an outage is waited out in place: a line in the log and a gauge at every try, the watchdog is
told that the worker is no less well than before, and reading stops by itself, because nothing is taken while what was
taken cannot go on.

Each try must end by itself, as those of all three do: one that hangs is not excused, and the watchdog ends the worker.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import contextmanager, suppress
from time import monotonic
from typing import TYPE_CHECKING, Final

from biokeel.errors import RegistryUnavailable, StoreUnavailable, VaultUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from biokeel.engine.kafka.deliveries import Ledger
    from biokeel.observe.metrics import WorkerMetrics

log = logging.getLogger(__name__)

Away = StoreUnavailable | VaultUnavailable | RegistryUnavailable
AWAY: Final = (StoreUnavailable, VaultUnavailable, RegistryUnavailable)
"""Errors that are waited out."""
PAUSE_SECONDS: Final = 5.0
"""Between two tries; a try of the store takes up to a minute itself."""


class Outage:
    """What is away from one worker, and since when. For the event loop's thread."""

    def __init__(self, metrics: WorkerMetrics, ledger: Ledger) -> None:
        self._metrics = metrics
        self._ledger = ledger
        self._since: dict[str, float] = {}
        self._hurry = asyncio.Event()
        self._hurries = 0

    async def wait(self, who: str, error: Away) -> None:
        """Say that something is away, and pause before `who` tries it again; no longer than until `hurried`.

        `who` does one thing at a time and calls `over` when it no longer waits: what is away for one may answer
        another (a vault on a full disk can be read).
        """
        now = monotonic()
        since = self._since.setdefault(who, now)
        log.warning("Waits since %.0f s: %s Nothing is lost; nothing more is taken.", now - since, error)
        self._metrics.waiting(max(now - min(self._since.values()), PAUSE_SECONDS))
        self._metrics.beat()
        self._ledger.excuse()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._hurry.wait(), PAUSE_SECONDS)

    def over(self, who: str) -> None:
        """`who`, which may have waited, has got its answer or given up."""
        since = self._since.pop(who, None)
        if since is not None and not self._since:
            log.warning("Goes on after %.0f s of waiting.", monotonic() - since)
            self._metrics.waiting(0.0)

    @contextmanager
    def hurried(self) -> Iterator[None]:
        """Within it nobody waits: partitions are to be given up, or the process is to end."""
        self._hurries += 1
        self._hurry.set()
        try:
            yield
        finally:
            self._hurries -= 1
            if not self._hurries:
                self._hurry.clear()

    @property
    def in_a_hurry(self) -> bool:
        """Whether this is no time to wait: give up what cannot be done now; whoever comes next does it."""
        return self._hurry.is_set()
