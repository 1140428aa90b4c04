"""The suites in force, one for each landed event type, followed in the book of rules while the stream runs.

A version takes effect with the next batch after a look found it. Every row is judged by exactly one version, as a batch
takes its suite once, and a row that was already committed keeps its verdict (`decided`, see `biokeel.validate.stage`).
What is in force stays in force whatever happens to the book: a store that is away, a page that does not hold, a version
that this release cannot compile. It is in the book, so it also outlives the process.

Stewards' operations (`biokeel.rulebook.operations`) are followed with it.

A look costs two small GETs, however many event types there are: `rules/newest`, and the next version or the next
operation of one event type in its turn, which finds one whose writer died before it could say so there.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING, Final

from biokeel.errors import BiokeelError, SuiteError
from biokeel.rulebook.book import Book
from biokeel.rulebook.operations import OperationBook, Operations
from biokeel.rulebook.standing import Reader, compiled

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from biokeel.contracts.schema import EventSchema
    from biokeel.contracts.topics import EventType
    from biokeel.land.objects import Objects
    from biokeel.rulebook.operations import Operation
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
        self._operation_book = OperationBook(objects, self._book, four_eyes=four_eyes)
        self._operations: dict[EventType, Operations] = {}
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

    def operations(self, event: EventType) -> tuple[Operation, ...]:
        """The operations of `event` in order, as far as the last look found them."""
        return self._operations.get(event, Operations()).found

    def version(self, event: EventType, stamp: str) -> CompiledSuite | None:
        """The suite of the version of `event` with `stamp`; None where the book has none that this release can run."""
        pages = {page.stamp: page.version.submitted.suite for page in self.standing(event).chain.pages}
        suite = compiled(pages[stamp], self._schemas[event]) if stamp in pages else ""
        return None if isinstance(suite, str) else replace(suite, version=stamp)

    def look(self) -> None:
        """Take up what is new in the book, and begin it for new event types; call it every `LOOK_SECONDS`.

        It may take as long as the store lets it wait, and raises none of our errors.
        """
        try:
            with self._reading:
                newest = self._book.newest()
                told, events = newest != self._newest, list(self._held)
                self._turn += 1
                which, versions = divmod(self._turn, 2)
                due = events if told or not events else [events[which % len(events)]]
                for event in due:
                    if told or versions:
                        self._advance(event)
                    if told or not versions:
                        self._find_operations(event)
                self._newest = newest
            self._take_up()
            for event in [each for each in self._held if each not in self._operations]:
                self._find_operations(event)
        except BiokeelError as error:
            self._tell(None, f"The book of rules cannot be read, the versions in force stay: {error}")
        else:
            self._told.pop(None, None)

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

    def _find_operations(self, event: EventType) -> None:
        """Take up the operations that came since; one that does not hold is told, and nothing after it is done."""
        known = self._operations.get(event, Operations())
        found = self._operations[event] = self._operation_book.grown(event, known)
        if len(found.found) > len(known.found):
            self._advance(event)  # the versions by which they judge were in force before
        if found.fault and found.fault != known.fault:
            _LOG.error("%s: %s", event, found.fault)

    def _tell(self, event: EventType | None, what: str, level: int = logging.WARNING) -> None:
        """Log `what` is wrong about an event type, or about the whole book, once."""
        if what and self._told.get(event) != what:
            _LOG.log(level, "%s%s", f"{event}: " if event and str(event) not in what else "", what)
        self._told[event] = what
