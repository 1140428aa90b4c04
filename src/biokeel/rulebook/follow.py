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
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from threading import Lock
from typing import TYPE_CHECKING, Final

import polars as pl

from biokeel.errors import BookBroken, LandingError, SuiteError, where_raised
from biokeel.rulebook.book import Book, Chain, Page, first_version
from biokeel.validate.lint import read_suite
from biokeel.validate.suites import read_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from biokeel.contracts.schema import EventSchema
    from biokeel.contracts.topics import EventType
    from biokeel.land.objects import Objects
    from biokeel.validate.rules import CompiledSuite

_LOG = logging.getLogger(__name__)
LOOK_SECONDS: Final = 5.0
"""Between two looks of a worker."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of an event type: its versions that hold, and the one in force, compiled.

    `fault` says what is wrong with the book, or with versions above the one in force; empty where all is well.
    """

    chain: Chain
    page: Page
    suite: CompiledSuite
    fault: str


def compiled(text: str, schema: EventSchema) -> CompiledSuite | str:
    """The suite in `text`, or in words why this release cannot run it.

    It is tried on one row without values: what polars refuses about an expression, it refuses there. An error that is
    no finding is a defect of ours, and no reason to stop a stream.
    """
    try:
        reading = read_suite(text, schema)
        if reading.suite is None:
            return " | ".join(map(str, reading.findings))
        suite = reading.suite
        stored = {name: kind for name, kind in suite.columns.types.items() if name not in suite.columns.derived}
        suite.view(pl.DataFrame({name: [None] for name in stored}, schema=stored)).select(suite.unexpected)
    except Exception as error:  # noqa: BLE001 - whatever it is, the version before is kept
        return f"cannot be read by this release ({where_raised(error)})"
    return suite


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
        self._schemas = schemas
        self._begin = begin
        self._four_eyes = four_eyes
        self._held: dict[EventType, Standing] = {}
        self._told: dict[EventType | None, str] = {}
        self._newest: bytes | None = None
        self._turn = 0
        self._reading = Lock()

    def events(self) -> tuple[EventType, ...]:
        """The event types with a version in force. Of others the book is read, and begun where it is empty.

        What is wrong with one is logged once. Raises `StoreUnavailable` only where nothing is known yet.
        """
        for event in self._schemas:
            try:
                self.current(event)
            except SuiteError as error:
                self._tell(event, f"{event} is not taken up: {error}", logging.ERROR)
            except LandingError as error:
                if not self._held:
                    raise
                self._tell(event, f"The rules of {event} cannot be read yet: {error}")
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
                held = self._held[event] = self._first(event)
            _LOG.info("suite %s: version %s is in force", event, held.page.stamp)
            self._tell(event, held.fault)
        return held

    def look(self) -> None:
        """Take up what is new in the book; call it every `LOOK_SECONDS`. Raises nothing that the store may answer."""
        try:
            with self._reading:
                newest = self._book.newest()
                events = list(self._held)
                self._turn += 1
                for event in events if newest != self._newest else [events[self._turn % len(events)]] if events else []:
                    self._advance(event)
                self._newest = newest
        except LandingError as error:
            self._tell(None, f"The book of rules cannot be read, the versions in force stay: {error}")
        else:
            self._told.pop(None, None)

    def _first(self, event: EventType) -> Standing:
        chain = self._book.chain(event)
        if not chain.pages and not chain.fault and self._begin is not None:
            text = read_text(self._begin, event)
            suite = compiled(text, self._schemas[event])
            if isinstance(suite, str):
                raise SuiteError(f"The suite that {event} begins with: {suite}", "`biokeel suite check` says more.")
            # Of two workers that begin at once one is refused, and both read what the other has written.
            if self._book.add(event, first_version(event, text, now())):
                self._book.point_at(event, 1)
            chain = self._book.chain(event)
        return self._standing(event, chain)

    def _standing(self, event: EventType, chain: Chain, held: Standing | None = None) -> Standing:
        """The newest version of `chain` that may be in force. Raises `SuiteError` where there is none."""
        faults = [chain.fault] if chain.fault else []
        for page in reversed(chain.pages):
            suite = held.suite if held is not None and page == held.page else self._in_force(event, page)
            if not isinstance(suite, str):
                stays = f"Version {page.stamp} stays in force."
                return Standing(chain, page, suite, " ".join([*faults, stays]) if faults else "")
            faults.append(suite)
        nothing = f"The book of rules has no version of {event} yet: a curate worker begins it when it starts."
        raise SuiteError(" ".join(faults) or nothing)

    def _in_force(self, event: EventType, page: Page) -> CompiledSuite | str:
        """The suite of `page`, stamped as its rows will be, or why it is not in force here."""
        if self._four_eyes and page.is_alone:
            return f"Version {page.number} was approved by its author alone, and BIOKEEL_FOUR_EYES is on."
        suite = compiled(page.version.submitted.suite, self._schemas[event])
        if isinstance(suite, str):
            return f"Version {page.number} {suite}."
        return replace(suite, version=page.stamp)

    def _advance(self, event: EventType) -> None:
        """Take up the versions of `event` that came since; what does not hold is told, and changes nothing."""
        held = self._held[event]
        chain = self._book.chain(event) if held.chain.fault else self._grown(event, held.chain)
        if len(chain.pages) < len(held.chain.pages):
            self._tell(event, f"{chain.fault} Version {held.page.stamp} stays in force.")
            return
        if chain == held.chain:
            return
        after = self._standing(event, chain, held)
        self._held[event] = after
        if after.page != held.page:
            _LOG.info("suite %s: version %s is in force", event, after.page.stamp)
        self._tell(event, after.fault)

    def _grown(self, event: EventType, chain: Chain) -> Chain:
        pages = list(chain.pages)
        try:
            while (page := self._book.after(event, pages[-1])) is not None:
                pages.append(page)
        except BookBroken as error:
            return Chain(tuple(pages), str(error))
        return Chain(tuple(pages)) if len(pages) > len(chain.pages) else chain

    def _tell(self, event: EventType | None, what: str, level: int = logging.WARNING) -> None:
        """Log `what` is wrong about an event type, or about the whole book, once."""
        if what and self._told.get(event) != what:
            _LOG.log(level, "%s%s", f"{event}: " if event and str(event) not in what else "", what)
        self._told[event] = what


def standings(book: FollowedBook, events: Iterable[EventType]) -> dict[EventType, Standing | str]:
    """What is in force of each of `events`, or why nothing is."""
    found: dict[EventType, Standing | str] = {}
    for event in events:
        try:
            found[event] = book.standing(event)
        except SuiteError as error:
            found[event] = str(error)
    return found


def now() -> str:
    """The time as pages hold it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
