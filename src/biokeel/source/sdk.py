"""The SDK of a source system: hand events over, and nothing of them is lost.

```python
with SourceClient.from_file("hospital-a.env", spool="spool") as client:
    client.send(Glucose(record_key="obs-17", subject=("hospital/seoul-1", "87"), ...))
```

`send` returns when the event is in the spool (`biokeel.source.spool`): from there a thread of the client's own brings
it to Kafka, now or when Kafka is back, in this process or the next.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from threading import Condition, Event, Thread
from types import TracebackType
from typing import Any, Final, NamedTuple, Self, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from biokeel import __version__
from biokeel.contracts.catalogue import Catalogue
from biokeel.contracts.receipts import Receipt
from biokeel.contracts.registry import open_catalogue
from biokeel.contracts.topics import EventType, event_type
from biokeel.errors import DeliveryError, SettingsError, SourceError, SpoolError, UnknownSchema, describe
from biokeel.settings import Settings
from biokeel.source.adapters.base import Record
from biokeel.source.encoding import Encoder, event_id_in
from biokeel.source.ids import EventIds, source_key
from biokeel.source.model import EventModel
from biokeel.source.partition import hashes_of, stable_hash
from biokeel.source.receipts import Follower, Following, Place, told, wait_for
from biokeel.source.spool import places
from biokeel.source.spool.drain import Drain, Transport
from biokeel.source.spool.frames import columns_of, columns_of_one
from biokeel.source.spool.log import KEEP_BYTES, LIMIT_BYTES, Spool
from biokeel.source.transport import KafkaTransport

log = logging.getLogger(__name__)

SOFTWARE: Final = f"biokeel-python/{__version__}"
CLOSE_SECONDS: Final = 30.0
"""How long leaving a client waits for Kafka."""
_ROWS: Final = 100_000
"""Rows that are encoded at once."""
_FRAME_BYTES: Final = 4 << 20
_FEW: Final = 500
_GATHER_SECONDS: Final = 0.005
"""Fewer events than `_FEW` are left to gather for so long while others are under way."""
_AGE_SECONDS: Final = 1.0
"""How exactly the age of what waits is known."""
_WAKE_SECONDS: Final = 0.5

Rows: TypeAlias = "pl.DataFrame | Sequence[Record] | Sequence[EventModel]"


class Pending(NamedTuple):
    """What waits in the spool: at most so many events, the oldest since so many seconds, and why; empty if it flows.

    What an earlier process left counts from the start of this one.
    """

    events: int
    oldest_seconds: float
    reason: str


class SourceClient:
    """A source's way into the programme. Several threads may share one; leaving it waits a while for Kafka.

    `key` is the secret that event ids are made with, so that they tell nothing of a record's own key.
    """

    def __init__(
        self,
        settings: Settings,
        spool: Path | str,
        key: bytes,
        *,
        limit_bytes: int = LIMIT_BYTES,
        keep_bytes: int = KEEP_BYTES,
        sync: bool = True,
        block: float = 0.0,
        catalogue: Catalogue | None = None,
        transport: Transport | None = None,
    ) -> None:
        """Open the spool and begin to send what is in it. Kafka need not be there.

        `limit_bytes`, `keep_bytes` and `sync` are the spool's; `block`: seconds that `send` waits for room in it.
        `catalogue` and `transport` are those of the settings, unless others are given. Raises `SettingsError` where
        the settings do not say who the source is and where Kafka is, and `SpoolError` where the spool cannot be had.
        """
        settings.require("source_id", "kafka_bootstrap")
        self.source_id = settings.source_id
        self._ids = EventIds(settings.source_id, key)
        catalogue = catalogue or open_catalogue(settings.schemas_dir, settings.schema_registry_url)
        self._encoder = Encoder(catalogue, settings.max_event_bytes)
        self._settings = settings
        self._block = block
        self._spool = Spool(Path(spool), limit_bytes=limit_bytes, keep_bytes=keep_bytes, sync=sync)
        self._drain = Drain(self._spool, transport or KafkaTransport(settings, SOFTWARE))
        self._ages = deque([(self._spool.cursor.low, time.monotonic())])
        """Numbers of events, and when this client knew of them: one a second."""
        self._progress = Condition()
        self._stop = Event()
        self._fault = ""
        """Why the thread could not go on; empty when it has."""
        self._told = 0
        """Of the events that Kafka never takes, how many were reported."""
        for finding in self._spool.damage.findings:
            log.warning("%s", finding)
        self._thread = Thread(target=self._work, name=f"biokeel-{self.source_id}", daemon=True)
        self._thread.start()

    @classmethod
    def from_file(cls, file: Path | str, spool: Path | str, *, key_file: Path | str | None = None, **more: Any) -> Self:
        """A client with the credentials in `file` (`<id>.env`), which the programme gave to the source.

        The secret for event ids is in `key_file`, by default beside `file` with the ending `.key`; it is made where
        there is none. Keep it: without it, records that are sent again have other ids. `more` is what the class takes.
        """
        path = Path(file)
        if path.suffix != ".env" or not path.is_file():
            raise SettingsError(f"There is no credentials' file {path}.", "Name the source's own, <id>.env.")
        settings = Settings.load(path.stem, state_dir=path.parent)
        return cls(settings, spool, source_key(Path(key_file) if key_file else path.with_suffix(".key")), **more)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._end()

    # -- sending

    def send(self, event: EventModel) -> str:
        """Take one event, and return its id when it is in the spool.

        Raises `SourceError` where it has neither `event_id` nor `record_key`, or is another source's; `SpoolFull`
        where there is no room; `DeliveryError` where it is too large, or Kafka refuses its topic. Then it is not taken.
        """
        kind = event_type(event.event_type)
        record = self._completed(kind, event.ready())
        value = self._encoder.one(kind, record)
        columns = columns_of_one(stable_hash(record["subject_scheme"], record["subject_id"]), len(value))
        self._append(kind, 1, columns, value)
        return str(record["event_id"])

    def send_many(self, events: Rows, event: EventType | str | None = None) -> list[str]:
        """Take many events and return their ids, in order, when all of them are in the spool.

        `events` are models, which may be of several types; or a frame or ready records of the type `event`, each with
        an `event_id` or a `record_key`. Raises as `send` does, and then the first of them may have been taken. Send
        all of them again: ids repeat.
        """
        ids: list[str] = []
        for kind, rows in _by_type(events, event):
            for start in range(0, len(rows), _ROWS):
                some = rows[start : start + _ROWS]
                whole = (
                    self._completed_frame(kind, some)
                    if isinstance(some, pl.DataFrame)
                    else [self._completed(kind, dict(record)) for record in some]
                )
                try:
                    frame, values = self._encoder.many(kind, whole)
                except UnknownSchema as error:
                    raise SourceError(error.what, "Name one of the schemas that you have.") from None
                self._append_all(kind, hashes_of(frame), values)
                ids += frame["event_id"].to_list()
        return ids

    def _completed(self, kind: EventType, record: Record) -> Record:
        """`record` with its source and its id."""
        if (record.get("source_id") or self.source_id) != self.source_id:
            raise self._of_another()
        record["source_id"] = self.source_id
        key = record.pop("record_key", None)
        if record.get("event_id") is None:
            if key is None:
                raise SourceError("An event has neither event_id nor record_key.", "Say what you call the record.")
            record["event_id"] = self._ids.of(kind, str(key))
        return record

    def _completed_frame(self, kind: EventType, frame: pl.DataFrame) -> pl.DataFrame:
        """`frame` with its source and its ids."""
        if "source_id" in frame.columns and (frame["source_id"] != self.source_id).any():
            raise self._of_another()
        frame = frame.with_columns(pl.lit(self.source_id).alias("source_id"))
        if "event_id" in frame.columns:
            return frame.drop("record_key", strict=False)
        if "record_key" not in frame.columns or frame["record_key"].null_count():
            raise SourceError("Rows have neither event_id nor record_key.", "Say what you call each record.")
        ids = [self._ids.of(kind, str(key)) for key in frame["record_key"].to_list()]
        return frame.drop("record_key").with_columns(pl.Series("event_id", ids, pl.String))

    def _of_another(self) -> SourceError:
        return SourceError(
            f"An event names another source than {self.source_id}: it would be sealed.", "Leave source_id out."
        )

    def _append_all(self, kind: EventType, hashes: npt.NDArray[np.uint32], values: pa.BinaryArray) -> None:
        """Append in frames of some megabytes."""
        _, places, held = values.buffers()
        assert places is not None
        assert held is not None
        offsets = np.frombuffer(memoryview(places), np.int32)[values.offset : values.offset + len(values) + 1]
        data = memoryview(held)
        start = 0
        while start < len(values):
            end = max(start + 1, int(np.searchsorted(offsets, offsets[start] + _FRAME_BYTES, "right")) - 1)
            lengths = np.diff(offsets[start : end + 1]).astype(np.uint32)
            self._append(kind, end - start, columns_of(hashes[start:end], lengths), data[offsets[start] : offsets[end]])
            start = end

    def _append(self, kind: EventType, count: int, columns: bytes, data: bytes | memoryview) -> None:
        topic = self._topic(kind)
        held = self._drain.held
        if topic in held:
            raise self._refused({topic: held[topic]}, "It was not taken.")
        number = self._spool.append(topic, count, columns, data, self._block)
        now = time.monotonic()
        if now - self._ages[-1][1] > _AGE_SECONDS:
            self._ages.append((number, now))

    def _topic(self, kind: EventType) -> str:
        """The topic that events of this type go to."""
        return kind.raw_topic(self.source_id)

    # -- what became of it

    @property
    def pending(self) -> Pending:
        """What waits for Kafka."""
        low = self._spool.cursor.low
        waiting = self._spool.next_number - low
        while len(self._ages) > 1 and self._ages[1][0] <= low:
            self._ages.popleft()
        age = time.monotonic() - self._ages[0][1] if waiting else 0.0
        return Pending(waiting, age, self._reason())

    def _reason(self) -> str:
        held = self._drain.held
        refused = f"Kafka refuses {', '.join(f'{topic} ({reason})' for topic, reason in sorted(held.items()))}."
        return self._fault or self._drain.away or (refused if held else "")

    def flush(self, timeout: float | None = None) -> Pending:
        """Wait until Kafka has all that was sent so far, for `timeout` seconds at most; returns what waits still.

        Raises `DeliveryError` where nothing is left but what Kafka refuses: topics whose events wait in the spool
        until it takes them, and events that it never takes.
        """
        number = self._spool.next_number
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._progress:
            while self._spool.cursor.low < number:
                if self._drain.is_blocked(number):
                    raise self._refused(self._drain.held, "Their events wait in the spool.")
                left = _WAKE_SECONDS if deadline is None else min(_WAKE_SECONDS, deadline - time.monotonic())
                if left <= 0:
                    break
                self._progress.wait(left)
        self._tell_of_refused()
        return self.pending

    def close(self, timeout: float = CLOSE_SECONDS) -> Pending:
        """`flush`, and give the spool free. What waits still is sent by the next client that opens it."""
        try:
            return self.flush(timeout)
        finally:
            self._end()

    def _tell_of_refused(self) -> None:
        refused = self._drain.refused[self._told :]
        self._told += len(refused)
        if refused:
            raise DeliveryError(" ".join(refused), "Mend them and send them again; the others have arrived.")

    def _refused(self, held: Mapping[str, str], what_of_it: str) -> DeliveryError:
        topics = ", ".join(f"{topic} ({reason})" for topic, reason in sorted(held.items()))
        return DeliveryError(
            f"Kafka does not let {self.source_id} write {topics}. {what_of_it}",
            "Ask the programme what you may send; what waits goes on by itself once Kafka lets it.",
        )

    # -- receipts

    def receipts(self, *, follow: bool = False) -> Iterator[Receipt]:
        """What the programme says became of this source's events, oldest first; with `follow` for ever.

        Raises `DeliveryError` where Kafka does not answer, or shows no receipts.
        """
        return told(self._following(), on=follow)

    def wait_landed(self, ids: Sequence[str], timeout: float) -> dict[str, Receipt]:
        """The receipt of each of `ids` that has come to an end (landed, quarantined, sealed, …) in `timeout` seconds.

        An id that is missing is still on its way, waits for its person's enrolment, or is not in the spool any more
        (`keep_bytes`). Raises as `flush` and `receipts` do.
        """
        deadline = time.monotonic() + timeout
        self.flush(timeout)
        wanted = self._places(ids)
        with closing(self._following()) as following:
            return wait_for(following, wanted, deadline - time.monotonic())

    def resend(self, offsets: Mapping[tuple[str, int], Container[int]]) -> int:
        """Send again what the spool still holds of some places (event type, partition: offsets), and say how many.

        They are the same bytes, with the same ids. Raises as `send` does.
        """
        count = 0
        for kept in places.kept(self._spool):
            wanted = offsets.get((event_in(kept.topic), kept.partition), ())
            for at, offset in enumerate(kept.offsets.tolist()):
                if offset in wanted:
                    value = kept.values[at]
                    columns = columns_of_one(int(kept.hashes[at]), len(value))
                    self._spool.append(kept.topic, 1, columns, value, self._block)
                    count += 1
        return count

    def _following(self) -> Following:
        return Follower(self._settings)

    def _places(self, ids: Sequence[str]) -> dict[str, list[Place]]:
        """Where Kafka put the events with `ids`; those that the spool does not hold have no place."""
        wanted: dict[str, list[Place]] = {name: [] for name in ids}
        for kept in places.kept(self._spool):
            event = event_in(kept.topic)
            for offset, value in zip(kept.offsets.tolist(), kept.values, strict=True):
                found = wanted.get(event_id_in(value))
                if found is not None:
                    found.append((event, kept.partition, offset))
        return wanted

    # -- the thread

    def _end(self) -> None:
        if self._thread.is_alive():
            self._stop.set()
            self._thread.join()
            self._drain.close()
            self._spool.close()

    def _work(self) -> None:
        """Drain the spool until the client is closed. What fails is tried again, and told by `pending`."""
        synced = time.monotonic()
        while not self._stop.is_set():
            try:
                self._go_on()
                if not self._spool.sync and time.monotonic() - synced > _AGE_SECONDS:
                    synced = time.monotonic()
                    self._spool.flush()
                self._fault = ""
            except Exception as error:  # noqa: BLE001 - whatever it is, events must not stay where they are
                if not self._fault:
                    # Not with its traceback, which may hold values.
                    log.error("The spool is not drained: %s", describe(error))  # noqa: TRY400
                self._fault = str(error) if isinstance(error, SpoolError) else describe(error)
                self._stop.wait(_WAKE_SECONDS)
            with self._progress:
                self._progress.notify_all()

    def _go_on(self) -> None:
        """One step, and a pause where there is nothing to do."""
        pause = self._drain.pause
        self._drain.step(min(pause, _WAKE_SECONDS / 10))
        if self._drain.flying:
            if self._spool.next_number - self._drain.next_number < _FEW:
                self._stop.wait(_GATHER_SECONDS)
        elif (pause := self._drain.pause) > 0:
            self._spool.wait_appended(self._drain.next_number, min(pause, _WAKE_SECONDS))
            if self._drain.away:
                self._stop.wait(min(pause, _WAKE_SECONDS))


def event_in(topic: str) -> str:
    """The event type, `<domain>.<event>`, with which the name of a raw topic ends."""
    return ".".join(topic.rsplit(".", 2)[-2:])


def _by_type(events: Rows, event: EventType | str | None) -> Iterator[tuple[EventType, pl.DataFrame | list[Record]]]:
    """The rows by event type; of models, those of one type that follow each other, so that order is kept."""
    if isinstance(events, pl.DataFrame) or (events and not isinstance(events[0], EventModel)):
        if event is None:
            raise SourceError("Rows do not say of which event type they are.", "Name it: send_many(rows, event=…).")
        try:
            kind = event_type(str(event))
        except KeyError:
            what = f"There is no event type {event}."
            raise SourceError(what, "Write <domain>.<event>, as clinical.glucose.") from None
        yield kind, events if isinstance(events, pl.DataFrame) else list(events)  # type: ignore[arg-type]
        return
    start = 0
    for end in range(1, len(events) + 1):
        if end == len(events) or type(events[end]) is not type(events[start]):
            models = [each for each in events[start:end] if isinstance(each, EventModel)]
            yield event_type(models[0].event_type), [model.ready() for model in models]
            start = end
