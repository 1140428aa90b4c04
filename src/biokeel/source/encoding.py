"""Ready records, frames and single events as the framed datums that Kafka gets."""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import fastavro
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from biokeel.contracts.catalogue import Catalogue
from biokeel.contracts.codec import Codec
from biokeel.contracts.framing import FRAME_BYTES
from biokeel.contracts.framing import frame as frame_bytes
from biokeel.contracts.misfits import Misfits
from biokeel.contracts.topics import EventType
from biokeel.errors import OversizedEvent, SourceError
from biokeel.source.adapters.base import Record
from biokeel.source.columns import conform, frame_of
from biokeel.source.times import in_zone

Withheld: TypeAlias = Callable[[int, str], None]
"""Hears of each row, by its number, with a field that will not cross the privacy wall, and which, in words."""


class Encoder:
    """Writes events with the newest locked schema of their type; an event may take `max_event_bytes`."""

    def __init__(self, catalogue: Catalogue, max_event_bytes: int) -> None:
        self.codec = Codec(catalogue, max_event_bytes)
        self._catalogue = catalogue
        self._most = max_event_bytes
        self._writers: dict[EventType, tuple[bytes, Any]] = {}
        self._misfits: dict[EventType, Misfits] = {}

    def many(self, event: EventType, rows: pl.DataFrame | Sequence[Record]) -> tuple[pl.DataFrame, pa.BinaryArray]:
        """`rows` with exactly the schema's columns, and the datum of each.

        Raises `SourceError` where a row does not fit the schema, and `OversizedEvent` where an event is too large.
        """
        schema = self._catalogue.reader(event).schema
        frame = conform(schema, rows) if isinstance(rows, pl.DataFrame) else frame_of(schema, rows)
        values = self.codec.encode(event, frame)
        self._require_small(event, pc.max(pc.binary_length(values)).as_py() or 0)
        return frame, values

    def tell_withheld(self, event: EventType, frame: pl.DataFrame, withheld: Withheld) -> None:
        """Tell `withheld` of the rows of `frame`, which `many` gave."""
        if event not in self._misfits:
            self._misfits[event] = Misfits(self._catalogue.reader(event).schema)
        for row, what in self._misfits[event].among(frame):
            withheld(row, what)

    def one(self, event: EventType, record: Mapping[str, Any]) -> bytes:
        """The datum of one event; times may be numbers, as in ready records, or of Python's own kinds.

        Some microseconds, where `many` takes milliseconds before the first row. Raises as `many` does.
        """
        front, avro = self._writer(event)
        datum = io.BytesIO()
        datum.write(front)
        try:
            fastavro.schemaless_writer(datum, avro, record, strict_allow_default=True)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
            # The library's message quotes the value. The slow way says which field it is.
            self.many(event, [{name: _plain(value) for name, value in record.items()}])
            raise SourceError(f"{event}: a value has no place in the schema.") from None
        value = datum.getvalue()
        self._require_small(event, len(value))
        return value

    def _writer(self, event: EventType) -> tuple[bytes, Any]:
        if event not in self._writers:
            avro = self._catalogue.reader(event).schema.avro
            self._writers[event] = frame_bytes(self._catalogue.id_of(event)), fastavro.parse_schema(dict(avro))
        return self._writers[event]

    def _require_small(self, event: EventType, size: int) -> None:
        if size > self._most:
            raise OversizedEvent(
                f"An event of {event} takes {size} bytes; {self._most} are allowed.",
                "Put big files in the landing bucket and send a claim check.",
            )


def event_id_in(value: bytes) -> str:
    """The event id of a datum that an `Encoder` wrote: the envelope's first field, a text of 32 bytes."""
    start = FRAME_BYTES + 1
    return value[start : start + 32].decode("ascii", "replace")


def _plain(value: Any) -> Any:
    """A date or time as the number that Avro has for it."""
    if isinstance(value, dt.datetime):
        return in_zone(value, None).at
    return (value - dt.date(1970, 1, 1)).days if isinstance(value, dt.date) else value
