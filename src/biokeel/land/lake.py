"""Where everything lies in the lake bucket."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from biokeel.contracts.topics import EventType
from biokeel.settings import Settings


@dataclass(frozen=True, slots=True)
class Lake:
    """A lake: `root` (`s3://bucket` or a folder) and the options with which delta-rs and polars open it."""

    root: str
    options: dict[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, settings: Settings) -> Lake:
        """The lake bucket of `settings`."""
        raise NotImplementedError

    @classmethod
    def local(cls, folder: Path) -> Lake:
        """A lake in a folder, for tests and for reading a copy."""
        raise NotImplementedError

    def curated(self, event: EventType) -> str:
        """URI of the curated table of `event`."""
        return f"{self.root}/curated/{event.domain}/{event.name}"

    def quarantine(self, event: EventType) -> str:
        """URI of the quarantine table of `event`."""
        return f"{self.root}/quarantine/{event.domain}/{event.name}"

    @property
    def participants(self) -> str:
        """URI of the participants table."""
        return f"{self.root}/participants"
