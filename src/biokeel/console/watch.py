"""What the console's pages show, kept fresh beside them: reading never holds a page up."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from biokeel.books.published import NOBODY, OLD
from biokeel.errors import BiokeelError
from biokeel.observe.report import edge_rates
from biokeel.observe.stats import Snapshot, collect
from biokeel.rulebook.follow import LOOK_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from biokeel.books.alarms import Alarm
    from biokeel.books.balance import Books
    from biokeel.books.published import Published
    from biokeel.observe.metrics import Edge
    from biokeel.rulebook.shown import Rules, ShownRules
    from biokeel.rules.beside_seen import Seen

STATS_EVERY: Final = 1.5
"""Seconds between two snapshots of the workers."""

BOOKS_EVERY: Final = 2.0
"""Seconds between two looks at what the follower of the books has seen."""

SELDOM: Final = 60.0
"""Both while nobody has a page open: for the plot's past. Whoever opens one waits no longer than a look takes."""

KEPT: Final = 80
"""Snapshots that the plot shows: two minutes."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Events a second by edge, at `at` (seconds since 1970)."""

    at: float
    rates: dict[Edge, float]


@dataclass(slots=True)
class View:
    """Everything a page shows. `trouble` says why the books cannot be read, where they cannot."""

    snapshot: Snapshot
    moments: deque[Moment] = field(default_factory=lambda: deque(maxlen=KEPT))
    books: Books | None = None
    published: float = 0.0
    """Events a second that sources published, between the last two looks at the books."""
    alarms: tuple[Alarm, ...] = ()
    trouble: str = ""
    rules: Rules = "not read yet"
    beside: Seen | None = None
    """What is counted beside the stream; None where nobody counted yet, or it cannot be read."""
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when somebody opens a page."""

    async def rest(self, seconds: float, watched: Callable[[], bool]) -> None:
        """Wait `seconds` where a page is `watched`, else until one is opened, `SELDOM` at most."""
        if watched():
            await asyncio.sleep(seconds)
            return
        self.opened.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self.opened.wait(), SELDOM)

    def see(self, snapshot: Snapshot) -> None:
        """Take a new snapshot in."""
        if self.snapshot.workers:
            self.moments.append(Moment(snapshot.taken_at, edge_rates(self.snapshot, snapshot)))
        self.snapshot = snapshot

    def see_books(self, seen: Published | None, now: float) -> None:
        """Take in what the follower of the books has seen; None where it never ran."""
        if seen is None:
            self.trouble = NOBODY
            return
        books = seen.books
        if self.books is not None and books.taken_at > self.books.taken_at:
            more = books.total("raw") - self.books.total("raw")
            self.published = max(more, 0) / (books.taken_at - self.books.taken_at)
        self.books, self.alarms, self.trouble = books, seen.alarms, OLD if seen.is_stale(now) else ""


async def watch_workers(state_dir: Path, view: View, watched: Callable[[], bool]) -> None:
    """Keep `view` fresh with the workers' figures, for ever; `watched` says whether anybody has a page open."""
    while True:
        view.see(await asyncio.to_thread(collect, state_dir))
        await view.rest(STATS_EVERY, watched)


async def watch_books(read: Callable[[], Published | None], view: View, watched: Callable[[], bool]) -> None:
    """Keep `view` fresh with the books, for ever; what stands in the way is shown, and tried again."""
    while True:
        try:
            view.see_books(await asyncio.to_thread(read), time.time())
        except BiokeelError as error:
            view.trouble = str(error)
        await view.rest(BOOKS_EVERY, watched)


async def watch_beside(read: Callable[[], Seen | None], view: View, watched: Callable[[], bool]) -> None:
    """Keep `view` fresh with what is counted beside the stream, for ever."""
    while True:
        try:
            view.beside = await asyncio.to_thread(read)
        except BiokeelError:
            view.beside = None  # the books say that the store is away
        await view.rest(BOOKS_EVERY, watched)


async def watch_rules(rules: ShownRules, view: View, watched: Callable[[], bool]) -> None:
    """Keep `view` fresh with the versions of suites in force, for ever."""
    while True:
        view.rules = await asyncio.to_thread(rules.look)
        await view.rest(LOOK_SECONDS, watched)
