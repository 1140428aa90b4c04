"""The SDK's client: publishes ready records as framed Avro events, one a message, to the raw topics."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

import polars as pl

from biokeel.contracts.topics import EventType
from biokeel.settings import Settings
from biokeel.source.adapters.base import Record


class Publisher:
    """Publishes events to Kafka: idempotent producer, all replicas, explicit partition, no key, no header.

    Use it as a context manager: leaving it flushes. An event counts as delivered when Kafka said so. Not for several
    threads at once.
    """

    def __init__(self, settings: Settings, catalogue: Catalogue) -> None:
        """Connect by `settings.kafka_*`. Raises `SettingsError` where the bootstrap servers are not set."""

    def publish(self, event: EventType, rows: pl.DataFrame | Sequence[Record]) -> int:
        """Queue `rows` (columns or keys of the event's schema) and return how many. Blocks while the queue is full."""

    def publish_raw(self, event: EventType, values: Sequence[bytes | None], partition: int = 0) -> list[int]:
        """Send `values` as they are (tests and the demo send broken ones) and return their offsets."""

    def flush(self) -> int:
        """Wait until Kafka has taken everything; returns events delivered so far. Raises `DeliveryError`."""
