"""Fetched records as columns, not objects.

aiokafka makes a Python object with twelve fields for each record, in pure Python, so that it holds the interpreter's
lock while the stages want it. `Fetcher` is its fetcher with one thing changed: what it unpacks of a response are
whole micro-batches. Which batches count is as Kafka's own consumer has it: what a transaction aborted never exists,
its markers are nobody's events, and what follows a transaction that is still open waits until that is over. The
offsets of aborted records and of markers hold no event, and are said to (`Records.covers`): a partition is read to its
end though nothing stands there.

Micro-batches have at most so many records and bytes of values; of one batch of Kafka's they may be more. A compressed
batch that comes to more than `unpack.MOST_BYTES` is refused, and so is one that the broker took and we cannot read: its
records come as offsets without values (`Records.refused`). Which offsets it has its header says, which is not
compressed.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from aiokafka.consumer import fetcher as driver
from aiokafka.errors import CorruptRecordException

from biokeel.batch import Refusal
from biokeel.contracts.clients import HEADER
from biokeel.contracts.topics import event_of
from biokeel.engine.kafka.sessions import AskingClient, Bounds
from biokeel.errors import OversizedBatch
from biokeel.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from collections.abc import Set as AbstractSet

    import numpy.typing as npt

Headers = list[tuple[str, bytes]]

_NOBODY: Final = -1
"""What the protocol has for the leader of a partition while there is none."""

BUSY_SECONDS: Final = 0.2
"""Half of what the 8 MiB in hand of one partition last at full speed."""
IDLE_SECONDS: Final = 3.0
"""How long the broker may wait for a first byte after it had nothing to give.

Not longer, because what a rebalance asks of the broker waits behind such a request.
"""


@dataclass(frozen=True, slots=True, eq=False)
class Records:
    """Some records of one partition, oldest first, one entry a record in each column; perhaps none.

    `offsets` (int64) increase. `headers` is None where nobody wanted them. `timestamp` is the last record's, in
    milliseconds since 1970. `refused` says why the records were not read, and is None where they were. Of refused ones
    the first of a batch has for its value the batch as it was packed, where that can be had; the others have none.
    `covers`: the first offset, and the one behind the last, of which these are all the records that there will ever be:
    the others were aborted or compacted away, or hold a transaction's marker. None: from the first record to the last.
    `clients` is what the first record of each batch of Kafka's says of the software that sent it.
    """

    offsets: npt.NDArray[np.int64]
    values: Sequence[bytes | None]
    headers: Sequence[Headers] | None
    timestamp: int
    refused: Refusal | None = None
    covers: tuple[int, int] | None = None
    clients: frozenset[bytes] = frozenset()

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def begin(self) -> int:
        """The first offset of what is covered."""
        return self.covers[0] if self.covers else int(self.offsets[0])

    @property
    def end(self) -> int:
        """The offset behind what is covered."""
        return self.covers[1] if self.covers else int(self.offsets[-1]) + 1

    @property
    def size(self) -> int:
        """Bytes of all values."""
        return sum(map(len, filter(None, self.values)))

    def void(self) -> list[tuple[int, int]]:
        """The first and the last offset of each run that is covered and holds no record."""
        if self.end - self.begin == len(self):
            return []
        edges = np.concatenate([[self.begin - 1], self.offsets, [self.end]])
        gaps = np.flatnonzero(np.diff(edges) > 1)
        return list(zip((edges[gaps] + 1).tolist(), (edges[gaps + 1] - 1).tolist(), strict=True))

    def since(self, offset: int) -> Records:
        """What is at `offset` and above."""
        if offset <= self.begin:
            return self
        rest = self.rows(int(np.searchsorted(self.offsets, offset)), len(self))
        return replace(rest, covers=(offset, max(offset, self.end)))

    def rows(self, first: int, end: int) -> Records:
        """The rows from `first` up to, but not with, `end`, and none of what is void before or behind them.

        `timestamp` stays, though it may be a later record's.
        """
        if (first, end) == (0, len(self)):
            return self
        headers = None if self.headers is None else self.headers[first:end]
        return Records(
            self.offsets[first:end], self.values[first:end], headers, self.timestamp, self.refused, clients=self.clients
        )

    def emptied(self) -> Records:
        """The same places without what stands there."""
        return Records(self.offsets, [None] * len(self), None, self.timestamp, self.refused, self.covers)

    @staticmethod
    def joined(parts: Sequence[Records]) -> Records:
        """All rows of `parts`, at least one and none refused, in their order; headers as the first one's."""
        if len(parts) == 1:
            return parts[0]
        headers = None if parts[0].headers is None else [each for part in parts for each in part.headers or ()]
        values = [value for part in parts for value in part.values]
        offsets = np.concatenate([part.offsets for part in parts])
        clients = frozenset().union(*(part.clients for part in parts))
        return Records(offsets, values, headers, parts[-1].timestamp, clients=clients)


class MicroBatches(driver.PartitionRecords):  # type: ignore[misc]  # aiokafka has no types
    """What one response holds of one partition: gives `Records` in place of single records.

    They have at most `rows` records, and at most `size` bytes of values unless one batch of Kafka's has more. Together
    they cover all that the response does, without a gap: where it ends with what is no event, the last has no records.
    `next_fetch_offset` stands just behind what was given out, whenever something is.
    """

    next_fetch_offset: int

    def __init__(self, fetched: driver.PartitionRecords, rows: int, size: int, *, headers: bool) -> None:
        super().__init__(
            fetched._tp,
            fetched._records,
            fetched._aborted_transactions,
            fetched.next_fetch_offset,
            None,
            None,
            fetched._check_crcs,
            fetched._isolation_level,
        )
        self._rows = rows
        self._size = size
        self._headers = headers
        self._waiting: list[Records] = []
        self._waiting_bytes = 0
        self._read_to = self.next_fetch_offset
        self._timestamp = -1

    @property
    def exhausted(self) -> bool:
        """Whether everything was given out."""
        return self.next_fetch_offset == self._read_to and not self._records.has_next()

    def _unpack_records(self) -> Iterator[Records]:
        while self._records.has_next():
            batch = self._records.next_batch()
            if self._check_crcs and not batch.validate_crc():
                raise CorruptRecordException(f"Invalid CRC - {self._tp}")
            # Not the last record's: records at a batch's end may have been compacted away.
            begin, self._read_to = self._read_to, batch.next_offset
            self._timestamp = getattr(batch, "max_timestamp", self._timestamp)  # legacy batches have none
            if self._counts(batch):
                yield from self._take(batch, begin)
        if self.next_fetch_offset < self._read_to:
            yield self._give(self._rows, self._read_to)

    def _take(self, batch: Any, begin: int) -> Iterator[Records]:
        """Let the records of `batch` wait, and give out what are too many of them; `begin` is where it begins."""
        try:
            # A batch comes whole: those below the offset that was asked for are not wanted.
            records = _columns(batch, headers=self._headers)
            records = records.rows(int(np.searchsorted(records.offsets, self.next_fetch_offset)), len(records))
        except MemoryError:
            raise
        except OversizedBatch as error:
            yield from self._refuse(begin, batch, Refusal(Reason.TOO_LARGE, error.what), error.packed)
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, the next fetch would bring the same
            why = f"in a batch that cannot be read ({type(error).__name__}); it stays in Kafka"
            yield from self._refuse(begin, batch, Refusal(Reason.MALFORMED, why), None)
            return
        size = records.size
        if self._waiting and self._waiting_bytes + size > self._size:
            yield self._give(self._rows, begin)
        if len(records):
            self._waiting.append(records)
            self._waiting_bytes += size
        while sum(map(len, self._waiting)) >= self._rows:
            yield self._give(self._rows, self._read_to)

    def _refuse(self, begin: int, batch: Any, why: Refusal, value: bytes | None) -> Iterator[Records]:
        """What waits, and then the offsets of `batch`, which is not read; `value` goes with the first of them.

        There may be very many, so they are never made all at once.
        """
        if self._waiting:
            yield self._give(self._rows, begin)
        # One of an old format does not say where it begins, but it begins no earlier than where the last one ended.
        first = max(getattr(batch, "base_offset", begin), begin)
        for start in range(first, batch.next_offset, self._rows):
            offsets = np.arange(start, min(start + self._rows, batch.next_offset))
            values = [value, *[None] * (len(offsets) - 1)]
            headers: list[Headers] | None = [[] for _ in values] if self._headers else None
            covers = self.next_fetch_offset, int(offsets[-1]) + 1
            self.next_fetch_offset = covers[1]
            yield Records(offsets, values, headers, self._timestamp, why, covers)
            value = None

    def _counts(self, batch: Any) -> bool:
        """Whether the records of `batch` are events: not a marker, and not of a transaction that was aborted."""
        if self._isolation_level == driver.READ_COMMITTED and batch.producer_id is not None:
            self._consume_aborted_up_to(batch.next_offset - 1)
            if batch.is_control_batch and _aborts(batch):
                self._aborted_producers.discard(batch.producer_id)
            if batch.is_transactional and batch.producer_id in self._aborted_producers:
                return False
        return not batch.is_control_batch

    def _give(self, rows: int, end: int) -> Records:
        """The first `rows` of what waits, which may be none; where nothing is left, all is covered up to `end`."""
        waiting = Records.joined(self._waiting) if self._waiting else self._nothing()
        given, rest = waiting.rows(0, rows), waiting.rows(rows, len(waiting))
        self._waiting = [rest] if len(rest) else []
        self._waiting_bytes = rest.size
        covers = self.next_fetch_offset, rest.begin if len(rest) else end
        self.next_fetch_offset = covers[1]
        return replace(given, covers=covers)

    def _nothing(self) -> Records:
        return Records(np.array([], dtype=np.int64), [], [] if self._headers else None, self._timestamp)


def _aborts(batch: Any) -> bool:
    """Whether `batch`, a control batch, ends a transaction that was aborted. One may be empty: its marker was compacted
    away.
    """
    marker = next(batch, None)
    return marker is not None and driver.ControlRecord.parse(marker.key) == driver.ABORT_MARKER


def _columns(batch: Any, *, headers: bool) -> Records:
    """The records of one batch of aiokafka's, which decompresses it. In one loop, so that each is freed at once."""
    offsets: list[int] = []
    values: list[bytes | None] = []
    kept: list[Headers] | None = [] if headers else None
    record = None
    clients: frozenset[bytes] = frozenset()
    for record in batch:
        if not offsets and record.headers:
            clients = frozenset(value for key, value in record.headers if key == HEADER and value is not None)
        offsets.append(record.offset)
        values.append(record.value)
        if kept is not None:
            kept.append(record.headers)
    timestamp = -1 if record is None else record.timestamp
    return Records(np.array(offsets, dtype=np.int64), values, kept, timestamp, clients=clients)


class Fetcher(driver.Fetcher):  # type: ignore[misc]  # aiokafka has no types
    """aiokafka's fetcher, giving micro-batches and asking in sessions. Make one with `adopt`."""

    _client: AskingClient
    _fetch_max_wait_ms: int
    _fetch_min_bytes: int
    _rows: int
    _size: int
    _headers: bool
    _busy: set[int]
    """The brokers whose last answer brought something."""
    _asked_of: Any
    """The assignment of which was asked last."""

    @classmethod
    def adopt(
        cls, consumer: Any, *, headers: bool, take_bytes: int, answer_bytes: int, least_bytes: int, wait_seconds: float
    ) -> None:
        """Let `consumer`, which has not fetched yet, give micro-batches of at most its `max_poll_records` records.

        It reads what is committed, and takes for a topic's end where the first transaction that is open begins.
        The other bounds are those of `biokeel.engine.kafka.transport.Consumption`.
        aiokafka's consumer makes its fetcher itself and has no place for another class, Faust none for bytes and time.
        """
        fetcher = consumer._fetcher
        fetcher.__class__ = cls
        fetcher._client, fetcher._asked_of = AskingClient(fetcher._client), None
        fetcher._isolation_level = driver.READ_COMMITTED
        fetcher._rows, fetcher._size, fetcher._headers = consumer._max_poll_records, take_bytes, headers
        fetcher._fetch_max_bytes = answer_bytes
        fetcher._fetch_min_bytes, fetcher._fetch_max_wait_ms = least_bytes, int(1000 * wait_seconds)
        fetcher._busy = set()

    def _get_actions_per_node(self, assignment: Any) -> Any:
        """What to ask of which broker now, and when to look again where nothing happens: as aiokafka's.

        It differs in that it asks in a session, and that it looks at a partition of which records are in hand for
        nothing but them. Of 1,620 partitions aiokafka's takes 5 ms each time.
        """
        if assignment is not self._asked_of:
            self._client.begin_anew()
            self._asked_of = assignment
        wanted: defaultdict[int, dict[Any, int]] = defaultdict(dict)
        lost: defaultdict[int, list[Any]] = defaultdict(list)
        resumed, leaderless = [], False
        leader_of = self._client.cluster.leader_for_partition
        for tp in assignment.tps:
            if tp in self._records or (leader := leader_of(tp)) in self._in_flight:
                continue
            state = assignment.state_value(tp)
            if leader is None or leader == _NOBODY:
                leaderless = True
            elif not state.has_valid_position:
                lost[leader].append(tp)
            elif state.paused:
                resumed.append(state.resume_fut)
            else:
                wanted[leader][tp] = state.position
        pauses: defaultdict[int, float] = defaultdict(float)
        for tp, result in self._records.items():
            if pause := result.calculate_backoff():
                pauses[leader_of(tp)] = max(pause, pauses[leader_of(tp)])
        bounds = self._bounds()
        questions = [
            (node_id, self._client.session(node_id).ask(some, bounds))
            for node_id, some in wanted.items()
            if node_id not in pauses and node_id not in lost
        ]
        return questions, lost, min(pauses.values(), default=IDLE_SECONDS), leaderless, resumed

    def _bounds(self) -> Bounds:
        """How long the broker is to gather how much: while records are in hand, for `BUSY_SECONDS` only.

        A broker is asked one thing at a time. Partitions that have nothing new would hold its answer back until the
        others, of which there is enough, have run out: with three idle partitions and one full one, half of the time.

        And where nothing comes it is not asked again and again: it answers with the first byte that does.
        """
        least, wait = self._fetch_min_bytes, self._fetch_max_wait_ms
        if self._records:
            wait = min(wait, int(1000 * BUSY_SECONDS))
        elif not self._busy:
            least, wait = 1, max(wait, int(1000 * IDLE_SECONDS))
        return Bounds(wait, least, self._fetch_max_bytes, self._max_partition_fetch_bytes, self._isolation_level)

    async def _proc_fetch_request(self, assignment: Any, node_id: Any, request: Any) -> bool:
        news: bool = await super()._proc_fetch_request(assignment, node_id, request)
        (self._busy.add if news else self._busy.discard)(node_id)
        # Nothing else ran since the response was taken in, so nobody has seen it yet.
        for result in self._records.values():
            if isinstance(result, driver.FetchResult) and type(result._partition_records) is driver.PartitionRecords:
                fetched = result._partition_records
                result._partition_records = MicroBatches(fetched, self._rows, self._size, headers=self._headers)
        return news

    async def fetched_records(
        self,
        partitions: AbstractSet[Any],
        timeout: float = 0,  # noqa: ASYNC109 - aiokafka's own
        max_records: int | None = None,
    ) -> dict[Any, Records]:
        """A micro-batch of each of `partitions` that has one, until they hold `max_records` records or `take_bytes`.

        Those of one event type come together, as far as they are there: they are worked on in one go.
        """
        found: dict[Any, Records] = {}
        ready = set(partitions)
        size = 0
        while ready and size < self._size and (max_records is None or sum(map(len, found.values())) < max_records):
            some = await super().fetched_records(ready, 0 if found else timeout, 1)
            if not some:
                break
            size += sum(records.size for (records,) in some.values())
            found |= {tp: records for tp, (records,) in some.items()}
            for tp in some:
                self._fetch_on(tp)
            # Errors of other partitions wait until nothing is in hand that they would lose.
            ready = {tp for tp, each in self._records.items() if isinstance(each, driver.FetchResult)}
            ready &= partitions - found.keys()
            events = {event_of(tp.topic) for tp in some}
            ready = {tp for tp in ready if event_of(tp.topic) in events} or ready
        return found

    def _fetch_on(self, tp: Any) -> None:
        """Let the next request go out now if `tp` has nothing more, and not when it is asked again and has nothing."""
        result = self._records.get(tp)
        if isinstance(result, driver.FetchResult) and result._partition_records.exhausted:
            del self._records[tp]
            self._notify(self._wait_consume_future)
