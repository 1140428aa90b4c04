"""The rules in force for those who only show them: console and `biokeel status`, with an operator's rights."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from biokeel.contracts.catalogue import DirectoryCatalogue, Schemas
from biokeel.contracts.topics import EventType
from biokeel.errors import BiokeelError, SuiteError
from biokeel.land.lake import Lake
from biokeel.observe.reach import require_store
from biokeel.rulebook.follow import FollowedBook
from biokeel.settings import OPERATOR, Settings

if TYPE_CHECKING:
    from pathlib import Path


class ShownWaiver(NamedTuple):
    """A rule that does not stop rows of a source that were recorded up to the end of a day (ISO 8601, UTC)."""

    rule: str
    source: str
    until: str
    reason: str

    def told(self) -> str:
        """As people read it, and whether it is over."""
        over = "; that is over" if dt.date.fromisoformat(self.until) < dt.datetime.now(dt.UTC).date() else ""
        return f"{self.rule} is waived for {self.source} until {self.until}: {self.reason}{over}"


class ShownVersion(NamedTuple):
    """The version in force of an event type: its stamp, who wrote and approved it, since when (ISO 8601).

    `waivers` are those that the version has. `fault` says what is wrong with the book or with
    later versions. Where nothing is in force only that is said.
    """

    version: str = ""
    author: str = ""
    approver: str = ""
    at: str = ""
    fault: str = ""
    waivers: tuple[ShownWaiver, ...] = ()


Rules = Mapping[EventType, ShownVersion] | str
"""What is in force of each event type, or in words why that is not known."""


class ShownRules:
    """What is in force of every event type that lands, asked for again and again: a look costs two small GETs."""

    def __init__(self, state_dir: Path | None = None) -> None:
        self._state_dir = state_dir
        self._book: FollowedBook | None = None
        self._schemas: Schemas | None = None

    def look(self) -> Rules:
        """What is in force now, or in words why that is not known. Not for several threads at once."""
        try:
            if self._book is None or self._schemas is None:
                settings = Settings.load(OPERATOR, state_dir=self._state_dir)
                require_store(settings)
                self._schemas = Schemas(DirectoryCatalogue(settings.schemas_dir), landed=True)
                self._book = FollowedBook(Lake.of(settings).objects, self._schemas, four_eyes=settings.four_eyes)
            else:
                self._book.look()
            return {event: self._of(self._book, event) for event in self._schemas}
        except BiokeelError as error:
            return str(error)

    def _of(self, book: FollowedBook, event: EventType) -> ShownVersion:
        try:
            standing = book.standing(event)
        except SuiteError as error:
            return ShownVersion(fault=str(error))
        version = standing.page.version
        waivers = tuple(
            ShownWaiver(rule, each.source, each.until.isoformat(), each.reason)
            for rule, some in standing.suite.waivers.items()
            for each in some
        )
        stamp, author = standing.page.stamp, version.submitted.author
        return ShownVersion(stamp, author, version.approver, version.at, standing.fault, waivers)
