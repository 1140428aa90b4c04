"""The suites in force, one for each landed event type, followed in the book of rules while the stream runs.

A version takes effect with the next batch after a look found it. Every row is judged by exactly one version, as a batch
takes its suite once, and a row that was already committed keeps its verdict (`decided`, see `biokeel.validate.stage`).
What is in force stays in force whatever happens to the book: a store that is away, a page that does not hold, a version
that this release cannot compile. It is in the book, so it also outlives the process.

A look costs two small GETs, however many event types there are: `rules/newest`, and the next number of one event type
in its turn, which finds a version whose writer died before it could say so there.
"""

from __future__ import annotations

import logging
from threading import Lock
from typing import TYPE_CHECKING, Final

from biokeel.errors import BiokeelError, SuiteError
from biokeel.rulebook.book import Book
from biokeel.rulebook.standing import Reader

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from biokeel.contracts.schema import EventSchema
    from biokeel.contracts.topics import EventType
    from biokeel.land.objects import Objects
    from biokeel.rulebook.standing import Standing
    from biokeel.validate.rules import CompiledSuite

_LOG = logging.getLogger(__name__)
LOOK_SECONDS: Final = 5.0
"""Between two looks of a worker."""


class FollowedBook:
    """The suites in force, for everybody who judges or shows them.

    `begin` is the folder of suites that event types begin with which the book does not know yet; None for readers, who
    write nothing. `four_eyes`: a version that its author approved alone is not in force here, whatever it says.

    `current` may be called from any thread; what is held of an event type is replaced as a whole.
    """

    def __init__(
        self,
        objects: Objects,
        schemas: Mapping[EventType, EventSchema],
        *,
        begin: Path | None = None,
        four_eyes: bool = True,
    ) -> None:
        self._book = Book(objects)
        self._reader = Reader(self._book, schemas, four_eyes=four_eyes, begin=begin)
        self._schemas = schemas
        self._held: dict[EventType, Standing] = {}
        self._told: dict[EventType | None, str] = {}
        self._newest: bytes | None = None
        self._turn = 0
        self._reading = Lock()

    def events(self) -> tuple[EventType, ...]:
        """The event types with a version in force, as far as the last look found them; only the first call looks.

        Raises `StoreUnavailable` where the first call cannot read the book.
        """
        if not self._held:
            self._take_up()
        return tuple(event for event in self._schemas if event in self._held)

    def current(self, event: EventType) -> CompiledSuite:
        """The suite of `event` in force; call it once for each batch. It reads the book only the first time.

        Raises `SuiteError` where no version is in force, `LandingError` where the book cannot be read.
        """
        return self.standing(event).suite

    def standing(self, event: EventType) -> Standing:
        """What is known of `event`; see `current`."""
        held = self._held.get(event)
        if held is None:
            with self._reading:
                held = self._held[event] = self._reader.first(event)
            _LOG.info("suite %s: version %s is in force", event, held.page.stamp)
            self._tell(event, held.fault)
        return held

    def look(self) -> None:
        """Take up what is new in the book, and begin it for new event types; call it every `LOOK_SECONDS`.

        It may take as long as the store lets it wait, and raises none of our errors.
        """
        try:
            with self._reading:
                newest = self._book.newest()
                for event in self._due(newest):
                    self._advance(event)
                self._newest = newest
            self._take_up()
        except BiokeelError as error:
            self._tell(None, f"The book of rules cannot be read, the versions in force stay: {error}")
        else:
            self._told.pop(None, None)

    def _due(self, newest: bytes | None) -> list[EventType]:
        """All event types that are held where the hint has changed, else the one whose turn it is."""
        events = list(self._held)
        self._turn += 1
        return events if newest != self._newest or not events else [events[self._turn % len(events)]]

    def _take_up(self) -> None:
        """Read the book of event types that are not held yet; what is wrong with one is logged once."""
        for event in self._schemas:
            try:
                self.standing(event)
            except SuiteError as error:
                self._tell(event, f"{event} is not taken up: {error}", logging.ERROR)

    def _advance(self, event: EventType) -> None:
        """Take up the versions of `event` that came since; what does not hold is told, and changes nothing."""
        held = self._held[event]
        after = self._held[event] = self._reader.later(event, held)
        if after.page != held.page:
            _LOG.info("suite %s: version %s is in force", event, after.page.stamp)
        self._tell(event, after.fault)

    def _tell(self, event: EventType | None, what: str, level: int = logging.WARNING) -> None:
        """Log `what` is wrong about an event type, or about the whole book, once."""
        if what and self._told.get(event) != what:
            _LOG.log(level, "%s%s", f"{event}: " if event and str(event) not in what else "", what)
        self._told[event] = what
