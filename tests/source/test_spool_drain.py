"""What is in the spool reaches Kafka, in order, once, whatever Kafka says and whenever the process dies."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import defaultdict
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from biokeel.source.spool import drain as draining
from biokeel.source.spool import index
from biokeel.source.spool.drain import Drain, Kind, Refusal
from tests.examples import examples
from tests.source.spool_world import HASHES, TOPIC, Transport, World, append, drain, make, newest, run, some

OTHER = "test.other"


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(draining, "FIRST_PAUSE", 0.0)
    monkeypatch.setattr(draining, "LONGEST_PAUSE", 0.0)
    monkeypatch.setattr(draining, "LONGEST_AWAY", 0.0)
    monkeypatch.setattr(draining, "SAVE_SECONDS", 0.0)


@pytest.fixture
def world():
    return World()


@pytest.fixture
def spool(tmp_path):
    with make(tmp_path) as spool:
        yield spool


def expected(values, partitions):
    """What each partition must hold of `values`, in order."""
    found = {partition: [] for partition in range(partitions)}
    for value in values:
        found[value[-1] % HASHES % partitions].append(value)
    return found


def test_every_event_arrives_once_in_its_partition_and_in_order(spool, world):
    for start in range(0, 300, 30):
        append(spool, some(30, start))
        append(spool, some(1, 1000 + start))
    drain(spool, world)
    values = [value for start in range(0, 300, 30) for value in (*some(30, start), *some(1, 1000 + start))]
    assert world.log() == expected(values, 3)
    assert spool.cursor.low == spool.next_number


def test_the_first_hours_of_an_outage_are_kept_from_the_first_event_on(tmp_path, world):
    world.away = True
    for life in range(3):  # and the process starts anew in between
        with make(tmp_path) as spool:
            going = Drain(spool, Transport(world))
            for start in range(0, 100, 10):
                append(spool, some(10, 100 * life + start))
                going.step(0.0)
            assert "does not answer" in going.away
    assert world.values() == []
    world.away = False
    with make(tmp_path) as spool:
        assert drain(spool, world).away == ""
    assert world.log() == expected(some(300), 3)


def test_a_topic_that_is_refused_waits_and_the_others_go_on(spool, world):
    world.forbidden.add(TOPIC)
    append(spool, some(10))
    append(spool, some(10), topic=OTHER)
    append(spool, some(10, 10))
    append(spool, some(10, 10), topic=OTHER)
    going = Drain(spool, Transport(world))
    run(going, spool, 50)
    assert world.log(OTHER) == expected(some(20), 3)
    assert world.values() == []
    assert going.held == {TOPIC: "TOPIC_AUTHORIZATION_FAILED"}
    assert going.is_blocked(spool.next_number)
    assert spool.cursor.low == 0
    world.forbidden.clear()
    run(going, spool)
    assert world.log() == expected(some(20), 3)
    assert world.log(OTHER) == expected(some(20), 3)
    assert going.held == {}
    going.close()


def test_a_refused_topic_is_tried_with_one_event_only(spool, world):
    world.forbidden.add(TOPIC)
    append(spool, some(1000))
    transport = Transport(world)
    going = Drain(spool, transport)
    run(going, spool, 50)
    assert 5 < transport.sent <= 50
    going.close()


def test_a_topic_that_does_not_exist_yet_waits_for_it(spool, world):
    world.missing.add(TOPIC)
    append(spool, some(10))
    append(spool, some(10), topic=OTHER)
    going = Drain(spool, Transport(world))
    run(going, spool, 50)
    assert world.log(OTHER) == expected(some(10), 3)
    assert going.held == {TOPIC: f"Kafka has no topic {TOPIC}."}
    world.missing.clear()
    append(spool, some(10, 10))
    run(going, spool)
    assert world.log() == expected(some(20), 3)
    going.close()


def test_rights_that_are_taken_away_on_the_way_hold_the_topic_and_lose_and_repeat_nothing(spool, world):
    transport = Transport(world, slow=2)
    going = Drain(spool, transport)
    for start in range(0, 400, 40):
        append(spool, some(40, start))
        going.step(0.0)
    world.forbidden.add(TOPIC)
    for _ in range(10):
        going.step(0.0)
    assert going.held
    world.forbidden.clear()
    run(going, spool)
    assert world.log() == expected(some(400), 3)
    going.close()


def test_an_event_that_kafka_never_takes_is_put_aside_and_the_others_arrive(spool, world):
    world.largest = 50
    large = b"x" * 50 + b"7"
    values = [*some(20), large, *some(20, 20)]
    append(spool, values[:10])
    append(spool, values[10:])
    going = drain(spool, world)
    assert world.log() == expected([value for value in values if value != large], 3)
    assert spool.cursor.low == spool.next_number
    (said,) = going.refused
    assert "MSG_SIZE_TOO_LARGE" in said
    assert [path.read_bytes() for path in (spool.folder / "refused").iterdir()] == [large]


def test_a_topic_that_takes_small_batches_only_gets_small_ones(spool, world):
    world.batch_bytes = 200
    append(spool, some(500))
    going = drain(spool, world, steps=2000)
    assert world.log() == expected(some(500), 3)
    assert going.refused == []


def test_a_producer_that_has_ended_is_replaced_and_what_it_held_is_sent_again_in_order(spool, world):
    transport = Transport(world, slow=1)
    going = Drain(spool, transport)
    append(spool, some(5))
    run(going, spool, 5)
    append(spool, some(100, 5))
    going.step(0.0)
    transport.end = Refusal(Kind.PRODUCER, "OUT_OF_ORDER_SEQUENCE_NUMBER")
    transport.waiting = []
    run(going, spool)
    assert world.log() == expected(some(105), 3)
    going.close()


def test_a_user_who_may_write_nothing_at_all_is_told_and_the_events_wait(spool, world):
    transport = Transport(world)
    going = Drain(spool, transport)
    append(spool, some(5))
    going.step(0.0)
    transport.end = Refusal(Kind.TOPIC, "CLUSTER_AUTHORIZATION_FAILED")
    transport.waiting = []
    going.step(0.0)
    assert going.held == {TOPIC: "CLUSTER_AUTHORIZATION_FAILED"} or going.away == "CLUSTER_AUTHORIZATION_FAILED"
    run(going, spool)
    assert world.log() == expected(some(5), 3)
    going.close()


def test_answers_that_are_lost_with_the_process_cost_repeats_with_the_same_bytes_and_nothing_else(tmp_path, world):
    with make(tmp_path) as spool:
        transport = Transport(world, slow=0)
        going = Drain(spool, transport)
        append(spool, some(1))
        transport.slow = 100
        run(going, spool, 5)
        transport.slow = 0
        append(spool, some(50, 1))
        going.step(0.0)
        transport.take_without_an_answer()
    with make(tmp_path) as spool:
        drain(spool, world)
    for partition, values in world.log().items():
        assert values == expected(some(51), 3)[partition] + expected(some(50, 1), 3)[partition]


def test_a_topic_that_gains_partitions_between_two_starts_repeats_nothing(tmp_path):
    world = World(partitions=2)
    with make(tmp_path) as spool:
        transport = Transport(world)
        going = Drain(spool, transport)
        append(spool, some(10))
        run(going, spool, 10)
        append(spool, [value for value in some(40, 10) if value[-1] % 2])
        append(spool, some(40, 10))
        transport.slow = 1  # one partition is quicker than the other
        for _ in range(2):
            going.step(0.0)
    world.partitions_of[TOPIC] = 4
    with make(tmp_path) as spool:
        drain(spool, world)
    odd = [value for value in some(40, 10) if value[-1] % 2]
    assert sorted(world.values()) == sorted([*some(50), *odd])


def test_where_kafka_put_an_event_is_remembered_by_few_entries(spool, world):
    append(spool, some(3))
    drain(spool, world)
    append(spool, some(3000, 3))
    drain(spool, world)
    (segment,) = spool.segments
    entries = index.read(segment.index)
    assert sum(entry.events for entry in entries) == 3003
    assert len(entries) < 12
    for entry in entries:
        assert entry.partitions == 3
        held = world.log()[entry.partition][entry.offset : entry.offset + entry.events]
        of_it = [v for v in some(3003) if v[-1] % HASHES % 3 == entry.partition]
        assert held == [value for value in of_it if entry.first <= int(value) <= entry.last]


def test_offsets_that_others_wrote_between_ours_are_remembered_as_they_are(spool, world):
    append(spool, some(1))
    run(going := Drain(spool, Transport(world)), spool)
    real = Transport._answer

    class Interleaved(Transport):
        def _answer(self, topic, partition, values, answers):
            real(self, topic, partition, values[:2], answers)
            self.world.logs[topic, partition].append(b"another's")
            real(self, topic, partition, values[2:], answers)

    going.close()
    append(spool, some(60, 1))
    drain(spool, world, transport=Interleaved(world))
    (segment,) = spool.segments
    for entry in index.read(segment.index):
        for at in range(entry.events):
            assert world.log()[entry.partition][entry.offset + at] != b"another's"


class SpoolModel(RuleBasedStateMachine):
    """A spool and its drain against a plain list: `promised` is what `append` returned for.

    A dead process loses its memory; a dead machine loses what was not synced, from any byte on.
    """

    topics = (TOPIC, OTHER)

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="spool-"))
        self.world = World(partitions=2)
        self.promised = defaultdict(list)
        self.synced = {}
        self.count = 0
        self.crashes = 0

    @initialize(segment=st.sampled_from([200, 1000, 100_000]), keep=st.sampled_from([0, 500, 10_000]))
    def begin(self, segment, keep):
        self.how = {"segment_bytes": segment, "keep_bytes": keep}
        self.spool = make(self.folder, **self.how)
        self.transport = Transport(self.world)
        self.drain = Drain(self.spool, self.transport)

    def teardown(self):
        if hasattr(self, "spool"):
            self.world.away = False
            self.world.forbidden.clear()
            self.transport.slow = 1000
            for _ in range(500):
                self.drain.step(0.0)
            self.check(whole=True)
            self.drain.close()
            self.spool.close()
        shutil.rmtree(self.folder)

    @rule(count=st.integers(1, 12), topic=st.sampled_from(topics), size=st.integers(8, 60))
    def append(self, count, topic, size):
        values = some(count, self.count, size)
        self.count += count
        append(self.spool, values, topic=topic)
        self.promised[topic] += values

    @rule()
    def sync(self):
        self.spool.flush()
        self.synced = {path: path.stat().st_size for path in self.folder.glob("*.log")}
        self.safe = {topic: len(values) for topic, values in self.promised.items()}

    @rule(steps=st.integers(1, 4), slow=st.integers(0, 3))
    def go_on(self, steps, slow):
        self.transport.slow = slow
        for _ in range(steps):
            self.drain.step(0.0)

    @rule(away=st.booleans())
    def network(self, away):
        self.world.away = away

    @rule(topic=st.sampled_from(topics), allowed=st.booleans())
    def rights(self, topic, allowed):
        (self.world.forbidden.discard if allowed else self.world.forbidden.add)(topic)

    @rule()
    def end_of_the_producer(self):
        self.transport.take_without_an_answer()
        self.crashes += 1
        self.transport.end = Refusal(Kind.PRODUCER, "UNKNOWN_PRODUCER_ID")

    @rule(taken=st.booleans())
    def process_dies(self, taken):
        if taken:
            self.transport.take_without_an_answer()
        self._reopen()

    @precondition(lambda self: self.synced)
    @rule(data=st.data())
    def machine_dies(self, data):
        """The newest segment loses what was not synced; older ones were synced when they were full."""
        path = newest(self.folder)
        size = path.stat().st_size
        kept = data.draw(st.integers(min(self.synced.get(path, 0), size), size))
        self._reopen(lambda: os.truncate(path, kept))
        reader_end = self.spool.next_number
        # What is gone was never synced: of each topic only the newest events, and none that the list says is safe.
        held = defaultdict(set)
        from biokeel.source.spool.log import Reader

        reader = Reader(self.spool, 0)
        while events := reader.read(1000):
            for each in events:
                held[each.topic] |= set(each.values)
        reader.close()
        assert reader.number <= reader_end
        for topic, values in self.promised.items():
            arrived = set(self.world.values(topic))
            kept_values = [value for value in values if value in held[topic] or value in arrived]
            assert kept_values[: self.safe.get(topic, 0)] == values[: self.safe.get(topic, 0)]
            self.promised[topic] = kept_values

    def _reopen(self, between=lambda: None):
        self.crashes += 1
        self.drain.close()
        self.spool.close()
        between()
        self.spool = make(self.folder, **self.how)
        self.transport = Transport(self.world)
        self.drain = Drain(self.spool, self.transport)

    @invariant()
    def check(self, whole=False):
        for topic, values in self.promised.items():
            wanted = expected(values, 2)
            for partition, arrived in self.world.log(topic).items():
                first = list(dict.fromkeys(arrived))
                # In order, without gaps, whenever one looks: repeats come of lost answers only.
                assert first == wanted[partition][: len(first)]
                if whole:
                    assert first == wanted[partition]
                if not self.crashes:
                    assert arrived == first


SpoolModel.TestCase.settings = settings(max_examples=examples(50), stateful_step_count=40, deadline=None)
TestSpoolModel = SpoolModel.TestCase
