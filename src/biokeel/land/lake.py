"""Where everything lies in the lake bucket, and the options with which delta-rs and polars open it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from biokeel.contracts.catalogue import landed_events
from biokeel.land.objects import DirectoryObjects, Objects, S3Objects
from biokeel.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from biokeel.contracts.topics import EventType


DELTA_ONLY: Final = {"retry_timeout": "10s", "connect_timeout": "5s"}
"""How long delta-rs asks a store that does not answer (by itself three minutes); `checkpoint` tries six times, so a
store may be away for a minute. polars has its own."""


@dataclass(frozen=True, slots=True)
class Lake:
    """A lake: `root` (`s3://bucket` or a folder), its plain `objects`, and the `options` delta-rs opens it with.

    `schemas` is the catalogue directory that says which event types land.
    """

    root: str
    objects: Objects = field(repr=False)
    schemas: Path = field(repr=False)
    options: dict[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, settings: Settings) -> Lake:
        """The lake bucket of `settings`. Raises `SettingsError` where the store is not set."""
        settings.require("s3_endpoint", "s3_access_key", "s3_secret_key", "lake_bucket")
        options = {
            "aws_endpoint_url": settings.s3_endpoint,
            "aws_region": settings.s3_region,
            "aws_access_key_id": settings.s3_access_key,
            "aws_secret_access_key": settings.s3_secret_key.get_secret_value(),
            "aws_virtual_hosted_style_request": "false",
            # A commit is a PUT that must not replace; that is all delta-rs needs, and no DynamoDB.
            "aws_conditional_put": "etag",
            "aws_allow_http": str(settings.s3_endpoint.startswith("http://")).lower(),
            **DELTA_ONLY,
        }
        return cls(
            f"s3://{settings.lake_bucket}", S3Objects(settings, settings.lake_bucket), settings.schemas_dir, options
        )

    @classmethod
    def local(cls, folder: Path) -> Lake:
        """A lake in a folder: a copy to read, or a test's."""
        return cls(str(folder), DirectoryObjects(folder), Settings.load().schemas_dir)

    def events(self) -> tuple[EventType, ...]:
        """The event types that land, as they are locked now. Raises `SchemaError`."""
        return landed_events(self.schemas)

    @property
    def reading_options(self) -> dict[str, str] | None:
        """The options with which polars opens the lake."""
        return {name: value for name, value in self.options.items() if name not in DELTA_ONLY} or None

    def curated(self, event: EventType) -> str:
        """URI of the curated table of `event`."""
        return f"{self.root}/curated/{event.domain}/{event.name}"

    def quarantine(self, event: EventType) -> str:
        """URI of the quarantine table of `event`."""
        return f"{self.root}/quarantine/{event.domain}/{event.name}"

    def history(self, event: EventType) -> str:
        """URI of the table of what `tidy` took out of the curated table of `event`."""
        return f"{self.root}/history/{event.domain}/{event.name}"

    @property
    def participants(self) -> str:
        """URI of the participants table."""
        return f"{self.root}/participants"

    def key(self, uri: str) -> str:
        """Where in `objects` the table at `uri` lies: the prefix of the keys of its files and of its log."""
        return uri.removeprefix(self.root + "/")
