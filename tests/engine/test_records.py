"""Fetched records as columns: the same that aiokafka unpacks record by record, cut into micro-batches."""

import asyncio
import tracemalloc

import numpy as np
import pytest
from aiokafka.codec import snappy_encode
from aiokafka.consumer import fetcher as driver
from aiokafka.consumer.fetcher import READ_COMMITTED, READ_UNCOMMITTED, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from biokeel.batch import Refusal
from biokeel.engine.kafka import records as module
from biokeel.engine.kafka import unpack
from biokeel.engine.kafka.records import Fetcher, MicroBatches, Records
from biokeel.errors import OversizedBatch
from biokeel.reasons import Reason
from tests.engine.record_batches import ABORT, CODECS, COMMIT, COMPRESSED, HEADER, UNREADABLE, batch, plain

AT = TopicPartition("raw.demo-one.clinical.glucose", 0)
SIZE = 1 << 20
"""Of a micro-batch."""


def fetched(data, offset=0, aborted=(), isolation=READ_UNCOMMITTED):
    return PartitionRecords(AT, MemoryRecords(data), list(aborted), offset, None, None, True, isolation)


def columns(given, *, headers=True):
    return [
        (offset, value, [tuple(each) for each in records.headers[row]] if headers else None)
        for records in given
        for row, (offset, value) in enumerate(zip(records.offsets.tolist(), records.values, strict=True))
    ]


def objects(given):
    return [(record.offset, record.value, [tuple(each) for each in record.headers]) for record in given]


record_lists = st.lists(
    st.tuples(
        st.integers(0, 3),  # offsets left out before it: compacted away
        st.none() | st.binary(max_size=30),
        st.lists(st.tuples(st.text(max_size=3), st.binary(max_size=3)), max_size=2),
    ),
    min_size=1,
    max_size=8,
)


@st.composite
def responses(draw):
    """A response's bytes, its aborted transactions, its end, and an offset within its first batch.

    Batches are plain or transactional, with markers; a broker answers from the batch on that holds the wanted offset.
    """
    data, aborted, base, within = b"", [], 0, 0
    for _ in range(draw(st.integers(0, 5))):
        kind = draw(st.sampled_from(["plain", "aborted", "committed"]))
        delta, records = -1, []
        for gap, value, headers in draw(record_lists):
            delta += 1 + gap
            records.append((delta, value, headers))
        producer = draw(st.integers(1, 2))
        transactional = kind != "plain"
        codec = draw(st.sampled_from(sorted(CODECS)))
        data += batch(base, records, codec, producer=producer, transactional=transactional)
        if kind == "aborted":
            aborted.append((producer, base))
        if not base:
            within = draw(st.integers(0, delta))
        base += delta + 1
        if transactional:
            marker = [(0, ABORT if kind == "aborted" else COMMIT, [])]
            data += batch(base, marker, "none", producer=producer, transactional=True, control=True)
            base += 1
    return data, aborted, base, within


@given(response=responses(), rows=st.integers(1, 12), isolation=st.sampled_from([READ_COMMITTED, READ_UNCOMMITTED]))
def test_columns_hold_what_aiokafka_unpacks_and_no_more_rows_than_allowed(response, rows, isolation):
    data, aborted, end, offset = response
    expected = fetched(data, offset, aborted, isolation)
    ours = MicroBatches(fetched(data, offset, aborted, isolation), rows, SIZE, headers=True)
    given_out = list(ours)
    assert columns(given_out) == objects(expected)
    assert ours.next_fetch_offset == expected.next_fetch_offset == end
    assert all(len(records) <= rows for records in given_out)
    assert all(len(records) == rows for records in given_out[:-1])


def test_what_the_first_record_of_each_batch_says_of_its_client_goes_with_the_micro_batches():
    stated = [[("software", b"export/1")], [("software", b"other/2"), ("trace", b"x")], [("software", b"late/3")]]
    data = batch(0, [(0, b"a", stated[0]), (1, b"b", stated[2])]) + batch(2, [(0, b"c", stated[1]), (1, b"d", [])])
    one, two = MicroBatches(fetched(data), 3, SIZE, headers=False)
    assert one.clients == {b"export/1", b"other/2"}
    assert two.clients <= one.clients
    (plain_one,) = MicroBatches(fetched(batch(0, plain([b"a"]))), 3, SIZE, headers=False)
    assert not plain_one.clients


@given(response=responses(), rows=st.integers(1, 12))
def test_what_is_given_out_covers_the_whole_response_and_says_where_nothing_stands(response, rows):
    data, aborted, end, offset = response
    there = {record.offset for record in fetched(data, offset, aborted, READ_COMMITTED)}
    given_out = list(MicroBatches(fetched(data, offset, aborted, READ_COMMITTED), rows, SIZE, headers=True))
    assert [each.begin for each in given_out] + [end] == [offset] + [each.end for each in given_out]
    void = [each for records in given_out for span in records.void() for each in range(span[0], span[1] + 1)]
    assert void == sorted(set(range(offset, end)) - there)
    assert all(len(each.headers) == len(each.values) == len(each) for each in given_out)


@given(response=responses(), rows=st.integers(1, 12))
def test_fetching_on_from_behind_what_was_given_out_gives_the_rest(response, rows):
    data, aborted, *_ = response
    whole = objects(fetched(data, 0, aborted, READ_COMMITTED))
    ours = MicroBatches(fetched(data, 0, aborted, READ_COMMITTED), rows, SIZE, headers=True)
    seen = []
    for records in ours:
        seen += columns([records])
        assert seen + [each for each in whole if each[0] >= ours.next_fetch_offset] == whole


@given(response=responses(), rows=st.integers(1, 12))
def test_it_is_exhausted_as_soon_as_nothing_is_left(response, rows):
    data, aborted, end, _ = response
    ours = MicroBatches(fetched(data, 0, aborted, READ_COMMITTED), rows, SIZE, headers=False)
    for _ in ours:
        if ours.exhausted:
            assert ours.next_fetch_offset == end
            assert next(ours, None) is None
            break
    assert ours.exhausted


@pytest.mark.parametrize("codec", sorted(CODECS))
def test_a_message_of_ten_megabytes_comes_through(codec):
    big = bytes(range(256)) * 40_960
    given_out = list(MicroBatches(fetched(batch(7, plain([big, None]), codec), 7), 100, SIZE, headers=False))
    assert columns(given_out, headers=False) == [(7, big, None), (8, None, None)]


def test_a_damaged_batch_is_an_error_after_what_came_before_it():
    whole = batch(0, plain([b"first"]), "none")
    damaged = bytearray(batch(1, plain([b"second"]), "none"))
    damaged[-3] ^= 1
    ours = MicroBatches(fetched(whole + bytes(damaged)), 1, SIZE, headers=False)
    assert next(ours).values == [b"first"]
    with pytest.raises(CorruptRecordException, match="Invalid CRC"):
        next(ours)


def test_headers_are_left_alone_where_nobody_wants_them():
    data = batch(0, [(0, b"value", [("name", b"text")])])
    (with_headers,) = MicroBatches(fetched(data), 10, SIZE, headers=True)
    (without,) = MicroBatches(fetched(data), 10, SIZE, headers=False)
    assert with_headers.headers == [[("name", b"text")]]
    assert without.headers is None
    assert without.timestamp == 1_700_000_000_000


@given(st.data())
def test_rows_from_an_offset_on_are_those_at_it_and_above(data):
    offsets = sorted(data.draw(st.sets(st.integers(0, 50), min_size=1)))
    joined = Records.joined([_records([offset]) for offset in offsets])
    wanted = data.draw(st.integers(0, 51))
    assert joined.since(wanted).offsets.tolist() == [offset for offset in offsets if offset >= wanted]
    assert len(joined.since(wanted).values) == len(joined.since(wanted).headers) == len(joined.since(wanted))


@given(st.data())
def test_from_an_offset_on_as_much_is_covered_as_was_and_no_more(data):
    offsets = sorted(data.draw(st.sets(st.integers(3, 20))))
    begin, end = (
        data.draw(st.integers(0, min(offsets, default=20))),
        data.draw(st.integers(max(offsets, default=20), 25)) + 1,
    )
    whole = Records(np.array(offsets, dtype=np.int64), [b"x"] * len(offsets), None, 0, covers=(begin, end))
    wanted = data.draw(st.integers(0, end))
    rest = whole.since(wanted)
    assert (rest.begin, rest.end) == (max(wanted, begin), end)
    void = [each for first, last in rest.void() for each in range(first, last + 1)]
    assert sorted([*rest.offsets.tolist(), *void]) == list(range(rest.begin, end))


def marker(base, producer, which):
    return batch(base, [(0, which, [])], "none", producer=producer, transactional=True, control=True)


def sent(base, values, producer, **more):
    return batch(base, plain(values), producer=producer, transactional=True, **more)


def committed(data, aborted, offset=0):
    return list(MicroBatches(fetched(data, offset, aborted, READ_COMMITTED), 100, SIZE, headers=False))


def test_of_two_producers_in_turns_only_the_one_that_aborts_was_never_there():
    data = sent(0, [b"a", b"b"], 1) + sent(2, [b"c"], 2) + sent(3, [b"d"], 1) + marker(4, 1, ABORT) + sent(5, [b"e"], 2)
    data += sent(6, [b"f"], 1) + marker(7, 2, COMMIT) + marker(8, 1, COMMIT)
    (given_out,) = committed(data, [(1, 0)])
    assert dict(zip(given_out.offsets.tolist(), given_out.values, strict=True)) == {2: b"c", 5: b"e", 6: b"f"}
    assert given_out.void() == [(0, 1), (3, 4), (7, 8)]


def test_a_transaction_that_began_before_what_is_fetched_is_left_out_to_its_marker():
    data = sent(7, [b"a"], 1) + marker(8, 1, ABORT) + sent(9, [b"b"], 1) + marker(10, 1, COMMIT)
    (given_out,) = committed(data, [(1, 2)], offset=7)
    assert (given_out.values, given_out.void()) == ([b"b"], [(7, 8), (10, 10)])


def test_each_aborted_transaction_of_a_producer_is_left_out_and_what_it_commits_between_comes():
    data = b"".join(
        sent(base, [b"%d" % base], 1) + marker(base + 1, 1, COMMIT if base == 4 else ABORT) for base in range(0, 10, 2)
    )
    (given_out,) = committed(data, [(1, 8), (1, 0), (1, 2), (1, 6)])  # a broker need not sort them
    assert given_out.offsets.tolist() == [4]


def test_a_marker_that_was_compacted_away_is_nothing():
    empty = batch(3, [], "none", producer=1, transactional=True, control=True)
    (given_out,) = committed(batch(0, plain([b"a"])) + empty + batch(4, plain([b"b"])), [])
    assert given_out.values == [b"a", b"b"]


@pytest.fixture
def most(monkeypatch):
    """A batch may unpack to a megabyte, and a micro-batch may hold as much."""
    monkeypatch.setattr(unpack, "MOST_BYTES", SIZE)
    return SIZE


def bomb(base, records=5, codec="gzip", size=8 << 20):
    """A batch that unpacks to `size` bytes."""
    return batch(base, plain([bytes(size // records)] * records), codec)


@pytest.mark.parametrize("codec", COMPRESSED)
def test_a_bomb_is_refused_offset_for_offset_and_its_neighbours_come_through(most, codec):
    data = batch(3, plain([b"before", b"it"]), codec) + bomb(5, codec=codec) + batch(10, plain([b"behind"]), codec)
    ours = MicroBatches(fetched(data, 3), 3, SIZE, headers=True)
    before, first, second, behind = ours
    assert (columns([before]), columns([behind])) == ([(3, b"before", []), (4, b"it", [])], [(10, b"behind", [])])
    assert (before.refused, behind.refused) == (None, None)
    assert columns([first, second]) == [(5, first.values[0], []), *((each, None, []) for each in range(6, 10))]
    assert first.values[0] in data
    why = f"in a batch of {len(first.values[0])} bytes that unpacks to more than {most}"
    assert first.refused == second.refused == Refusal(Reason.TOO_LARGE, why)
    assert ours.exhausted
    assert ours.next_fetch_offset == 11


@pytest.mark.parametrize("codec", COMPRESSED)
def test_a_bomb_is_never_held(most, codec):
    data = bomb(0, codec=codec, size=64 << 20)
    list(MicroBatches(fetched(batch(0, plain([b"an ordinary one"]), codec)), 10, SIZE, headers=False))
    tracemalloc.start()
    try:
        list(MicroBatches(fetched(data), 10, SIZE, headers=False))
        assert tracemalloc.get_traced_memory()[1] < 3 * most + 2 * len(data)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("codec", COMPRESSED)
def test_what_comes_to_just_the_bound_is_unpacked(monkeypatch, codec):
    data = batch(0, plain([bytes(1000)] * 3), codec)
    size = len(batch(0, plain([bytes(1000)] * 3), "none")) - HEADER
    monkeypatch.setattr(unpack, "MOST_BYTES", size)
    assert [each.refused for each in MicroBatches(fetched(data), 10, SIZE, headers=False)] == [None]
    monkeypatch.setattr(unpack, "MOST_BYTES", size - 1)
    assert [bool(each.refused) for each in MicroBatches(fetched(data), 10, SIZE, headers=False)] == [True]


@pytest.mark.usefixtures("most")
def test_a_bomb_in_the_middle_of_which_fetching_begins_is_refused_from_there_on():
    (given_out,) = MicroBatches(fetched(bomb(0), 3), 10, SIZE, headers=False)
    assert given_out.offsets.tolist() == [3, 4]


@pytest.mark.usefixtures("most")
def test_of_a_compacted_bomb_every_offset_is_refused_for_which_are_left_nobody_has_looked():
    data = batch(0, [(0, bytes(2 << 20), []), (4, b"the last", [])], "zstd")
    (given_out,) = MicroBatches(fetched(data), 10, SIZE, headers=False)
    assert given_out.offsets.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.usefixtures("most")
def test_a_bomb_of_an_aborted_transaction_is_no_event():
    data = batch(0, plain([bytes(2 << 20)]), "gzip", producer=1, transactional=True)
    data += batch(1, [(0, ABORT, [])], "none", producer=1, transactional=True, control=True)
    (nothing,) = MicroBatches(fetched(data, 0, [(1, 0)], READ_COMMITTED), 10, SIZE, headers=False)
    assert (columns([nothing], headers=False), nothing.covers, nothing.void()) == ([], (0, 2), [(0, 1)])


def old_batch(magic, codec, offsets, value):
    """The bytes of a batch in a format from before Kafka 0.11; the broker gives it the offset of its last record."""
    builder = LegacyRecordBatchBuilder(magic, CODECS[codec], 16 << 20)
    for offset in offsets:
        assert builder.append(offset, timestamp=1_700_000_000_000, key=None, value=value) is not None
    return offsets[-1].to_bytes(8, "big") + bytes(builder.build())[8:]


@pytest.mark.usefixtures("most")
@pytest.mark.parametrize("magic", [0, 1])
@pytest.mark.parametrize("codec", ["gzip", "snappy"])
def test_a_bomb_of_an_old_format_is_refused_from_where_the_batch_before_it_ended(magic, codec):
    data = old_batch(magic, codec, [0, 1], b"an event") + old_batch(magic, codec, [2, 3, 4], bytes(1 << 20))
    before, refused = MicroBatches(fetched(data, 0), 10, SIZE, headers=False)
    assert columns([before], headers=False) == [(0, b"an event", None), (1, b"an event", None)]
    assert refused.offsets.tolist() == [2, 3, 4]
    assert refused.refused


@pytest.mark.parametrize("unreadable", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_batch_that_cannot_be_read_is_refused_and_its_neighbours_come_through(unreadable):
    data = batch(0, plain([b"before"])) + unreadable + batch(3, plain([b"behind"]))
    before, refused, behind = MicroBatches(fetched(data), 10, SIZE, headers=False)
    assert (before.values, behind.values) == ([b"before"], [b"behind"])
    assert columns([refused], headers=False) == [(1, None, None), (2, None, None)]
    assert refused.refused.reason is Reason.MALFORMED
    assert refused.refused.why.startswith("in a batch that cannot be read (")


def test_a_lack_of_memory_is_no_fault_of_the_batch(monkeypatch):
    def lacking(*_arguments, **_more):
        raise MemoryError

    monkeypatch.setattr(module, "_columns", lacking)
    with pytest.raises(MemoryError):
        list(MicroBatches(fetched(batch(0, plain([b"good"]))), 10, SIZE, headers=False))


def test_a_micro_batch_has_so_many_bytes_and_no_more():
    data = b"".join(batch(number, plain([bytes(400 << 10)]), "lz4") for number in range(5))
    given_out = list(MicroBatches(fetched(data), 100, SIZE, headers=False))
    assert [each.offsets.tolist() for each in given_out] == [[0, 1], [2, 3], [4]]


def test_partitions_are_not_gathered_past_the_bound_though_they_have_few_records(monkeypatch):
    fetcher = Fetcher.__new__(Fetcher)
    fetcher._records, fetcher._size = {}, SIZE
    for number in range(5):
        result = driver.FetchResult.__new__(driver.FetchResult)
        result._partition_records = MicroBatches(fetched(batch(0, plain([bytes(SIZE // 2)]))), 10, SIZE, headers=False)
        fetcher._records[TopicPartition(AT.topic, number)] = result

    async def one(_self, ready, _timeout, _records):
        at = min(ready)
        return {at: [next(fetcher._records[at]._partition_records)]}

    monkeypatch.setattr(driver.Fetcher, "fetched_records", one)
    monkeypatch.setattr(Fetcher, "_fetch_on", lambda *_: None)
    assert len(asyncio.run(fetcher.fetched_records(fetcher._records.keys(), 0, 20_000))) == 2


@pytest.mark.parametrize(
    ("in_hand", "busy", "asks"),
    [
        ({}, {1}, (4096, 800)),
        ({AT: "records"}, {1}, (4096, 200)),
        ({}, set(), (1, 3000)),
        ({AT: 1}, set(), (4096, 200)),
    ],
    ids=["nothing in hand", "records in hand", "nothing came", "records in hand and nothing more"],
)
def test_the_broker_gathers_shortly_with_records_in_hand_and_long_but_for_one_byte_where_nothing_came(
    in_hand, busy, asks
):
    fetcher = Fetcher.__new__(Fetcher)
    fetcher._records, fetcher._busy = in_hand, busy
    fetcher._fetch_min_bytes, fetcher._fetch_max_wait_ms = 4096, 800
    fetcher._fetch_max_bytes, fetcher._max_partition_fetch_bytes, fetcher._isolation_level = SIZE, SIZE, 1
    bounds = fetcher._bounds()
    assert (bounds.least, bounds.wait_ms) == asks


def test_a_broker_is_busy_from_an_answer_with_records_to_one_without(monkeypatch):
    fetcher = Fetcher.__new__(Fetcher)
    fetcher._records, fetcher._busy = {}, set()
    answers = iter([True, False])

    async def answered(_self, _assignment, _node_id, _request):
        return next(answers)

    monkeypatch.setattr(driver.Fetcher, "_proc_fetch_request", answered)
    asyncio.run(fetcher._proc_fetch_request(None, 7, None))
    assert fetcher._busy == {7}
    asyncio.run(fetcher._proc_fetch_request(None, 7, None))
    assert fetcher._busy == set()


def test_snappy_without_a_library_that_cuts_it_into_blocks_is_bounded_too(most):
    assert unpack.snappy(snappy_encode(b"x" * most, xerial_compatible=False)) == b"x" * most
    with pytest.raises(OversizedBatch):
        unpack.snappy(snappy_encode(bytes(most + 1), xerial_compatible=False))


def _records(offsets):
    return Records(np.array(offsets), [b"x"] * len(offsets), [[]] * len(offsets), 0)
