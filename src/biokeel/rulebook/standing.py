"""What is in force of an event type: the newest version that holds, that may be in force here, and that compiles."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import polars as pl

from biokeel.errors import BookBroken, SuiteError, where_raised
from biokeel.rulebook.book import Book, Chain, Page, first_version
from biokeel.validate.lint import read_suite
from biokeel.validate.suites import read_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from biokeel.contracts.schema import EventSchema
    from biokeel.contracts.topics import EventType
    from biokeel.validate.rules import CompiledSuite


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

    `read_suite` raises nothing and has tried what it gives. If it did raise, that would be a defect of ours, and no
    reason to stop a stream.
    """
    try:
        reading = read_suite(text, schema)
    except (Exception, pl.exceptions.PanicException) as error:  # noqa: BLE001 - the version before is kept
        return f"cannot be read by this release ({where_raised(error)})"
    return " | ".join(map(str, reading.findings)) if reading.suite is None else reading.suite


class Reader:
    """Reads what is in force of event types. See `biokeel.rulebook.follow.FollowedBook` for `begin` and `four_eyes`."""

    def __init__(
        self, book: Book, schemas: Mapping[EventType, EventSchema], *, four_eyes: bool, begin: Path | None = None
    ) -> None:
        self.book = book
        self._schemas = schemas
        self._begin = begin
        self._four_eyes = four_eyes

    def first(self, event: EventType) -> Standing:
        """What is in force, read anew; the book is begun where it is empty. Raises `SuiteError` where nothing is."""
        chain = self.book.chain(event)
        if not chain.pages and not chain.fault and self._begin is not None:
            text = read_text(self._begin, event)
            suite = compiled(text, self._schemas[event])
            if isinstance(suite, str):
                raise SuiteError(f"The suite that {event} begins with: {suite}", "`biokeel suite check` says more.")
            # Of two workers that begin at once one is refused, and both read what the other has written.
            if self.book.add(event, first_version(event, text, now())):
                self.book.point_at(event, 1)
            chain = self.book.chain(event)
        return self._standing(event, chain)

    def later(self, event: EventType, held: Standing) -> Standing:
        """`held` with what came since, `held` itself where nothing did; whatever is there, its version stays."""
        chain = self.book.chain(event) if held.chain.fault else self._grown(event, held.chain)
        if len(chain.pages) < len(held.chain.pages):
            return replace(held, fault=f"{chain.fault} Version {held.page.stamp} stays in force.")
        return held if chain == held.chain and not held.fault else self._standing(event, chain, held)

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

    def _grown(self, event: EventType, chain: Chain) -> Chain:
        pages = list(chain.pages)
        try:
            while (page := self.book.after(event, pages[-1])) is not None:
                pages.append(page)
        except BookBroken as error:
            return Chain(tuple(pages), str(error))
        return Chain(tuple(pages)) if len(pages) > len(chain.pages) else chain


def now() -> str:
    """The time as pages hold it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
