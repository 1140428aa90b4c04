"""The batched transport on a real Kafka: every record once and in order, and no commit past what is not settled."""

import asyncio
import contextlib
import uuid
from types import SimpleNamespace

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import GroupAuthorizationFailedError
from aiokafka.protocol.produce import ProduceRequest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import NewTopic
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from biokeel.contracts.topics import Zone, event_type
from biokeel.engine.app import serve
from biokeel.engine.kafka import transport
from biokeel.engine.kafka.deliveries import Ledger, Partition
from biokeel.engine.kafka.transport import Consumption
from biokeel.engine.worker import Worker
from biokeel.errors import Stuck, TransportError
from biokeel.observe.metrics import WorkerMetrics
from tests.engine.record_batches import UNREADABLE

pytestmark = pytest.mark.integration

GLUCOSE = event_type("clinical.glucose")
RECORDS = 3000
PARTITIONS = 3


class Recorder(Worker):
    """Keeps what it is given; settles what `settles` says; goes on from `places`."""

    def __init__(self, settings, settles=lambda _delivery: True, places=None):
        super().__init__(settings, WorkerMetrics("pseudonymise"))
        self.deliveries = []
        self.settles = settles
        self.places = places or {}
        self.assignments = []

    async def take(self, deliveries):
        self.deliveries += deliveries
        for delivery in deliveries:
            if self.settles(delivery):
                self.settle(delivery)

    async def assigned(self, partitions):
        self.assignments.append(set(partitions))
        return {at: offset for at, offset in self.places.items() if at in partitions}

    async def revoked(self, partitions):
        pass

    async def run(self):
        await asyncio.Event().wait()

    async def drain(self):
        pass

    def offsets(self):
        found = {}
        for delivery in self.deliveries:
            found.setdefault(delivery.at, []).extend(delivery.records.offsets.tolist())
        return found

    def count(self):
        return sum(len(delivery) for delivery in self.deliveries)


@pytest.fixture(scope="session")
def vault_settings(stack):
    return stack.settings(Zone.VAULT)


@pytest.fixture
def topic(stack, vault_settings):
    name = GLUCOSE.raw_topic(f"test-{uuid.uuid4().hex}")
    admin = stack.admin()  # its futures end with it
    admin.create_topics([NewTopic(name, PARTITIONS, 1)])[name].result(30)
    publish(vault_settings, name)
    return name


def publish(settings, topic):
    producer = Producer(settings.kafka_client() | {"compression.type": "lz4"})
    for number in range(RECORDS):
        producer.produce(topic, str(number).encode(), partition=number % PARTITIONS)
    producer.flush()


def consumption(topic, group=None, poll_records=500):
    return Consumption(group or f"test-{uuid.uuid4().hex}", lambda: (topic,), poll_records, 1 << 20)


def committed(settings, group, topic):
    consumer = Consumer(settings.kafka_client() | {"group.id": group})
    try:
        found = consumer.committed([TopicPartition(topic, number) for number in range(PARTITIONS)], 20)
        return [max(tp.offset, -1) for tp in found]
    finally:
        consumer.close()


@contextlib.asynccontextmanager
async def running(settings, what, worker):
    stop = asyncio.Event()
    task = asyncio.create_task(serve(settings, what, worker, stop))
    try:
        yield task
    finally:
        stop.set()
        await task


async def until(condition, seconds=40):
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - several parts change it
            await asyncio.sleep(0.02)


def test_every_record_arrives_once_and_in_order_and_is_committed(vault_settings, topic):
    what = consumption(topic)

    async def scenario():
        worker = Recorder(vault_settings)
        async with running(vault_settings, what, worker):
            await until(lambda: worker.count() >= RECORDS)
        return worker

    worker = asyncio.run(scenario())
    size = RECORDS // PARTITIONS
    assert worker.offsets() == {Partition(topic, number): list(range(size)) for number in range(PARTITIONS)}
    assert max(len(delivery) for delivery in worker.deliveries) > 50
    assert committed(vault_settings, what.group, topic) == [size] * PARTITIONS


def test_faust_keeps_no_list_of_offsets_that_would_grow_with_every_micro_batch(vault_settings, topic, monkeypatch):
    noted = []
    monkeypatch.setattr("intervaltree.IntervalTree.addi", lambda _self, *interval: noted.append(interval))

    async def scenario():
        worker = Recorder(vault_settings)
        async with running(vault_settings, consumption(topic, poll_records=100), worker):
            await until(lambda: worker.count() >= RECORDS)
        return worker

    worker = asyncio.run(scenario())
    assert len(worker.deliveries) > PARTITIONS
    assert noted == []


def test_a_full_queue_leaves_no_partition_out():
    """Faust would, and lets it in again when others have come to their end."""
    at = TP("raw.test-one.clinical.glucose", 0)
    consumer = transport.Consumer.__new__(transport.Consumer)
    consumer.app = SimpleNamespace(in_recovery=False)
    consumer._active_partitions, consumer._buffered_partitions = {at}, set()
    consumer.on_buffer_full(at)
    assert consumer._active_partitions == {at}
    driver.Consumer.on_buffer_full(consumer, at)
    assert consumer._active_partitions == set(), "Faust does so no more: ours need not keep it from it"


def test_what_is_not_settled_is_never_committed_and_comes_again(vault_settings, topic):
    what = consumption(topic, poll_records=100)

    async def scenario(worker):
        async with running(vault_settings, what, worker):
            await until(lambda: worker.count() >= RECORDS)
            await asyncio.sleep(2.5)  # two commit intervals
        return worker

    worker = asyncio.run(scenario(Recorder(vault_settings, settles=lambda delivery: delivery.first != 0)))
    assert committed(vault_settings, what.group, topic) == [-1] * PARTITIONS
    again = asyncio.run(scenario(Recorder(vault_settings)))
    assert again.offsets() == worker.offsets()


def test_a_worker_that_fails_commits_nothing_although_faust_acknowledges(vault_settings, topic):
    what = consumption(topic)

    class Failing(Recorder):
        take = Worker.take

        async def process(self, event, deliveries):
            self.deliveries += deliveries
            raise ValueError("900101-1234567")

    async def scenario(worker):
        async with running(vault_settings, what, worker) as task:
            await asyncio.wait([task])

    with pytest.raises(ValueError, match="900101"):
        asyncio.run(scenario(Failing(vault_settings)))
    assert committed(vault_settings, what.group, topic) == [-1] * PARTITIONS


def test_after_an_assignment_each_partition_goes_on_where_the_worker_says(vault_settings, topic):
    what = consumption(topic)
    places = {Partition(topic, 0): 990, Partition(topic, 1): 0}

    async def scenario(worker, wanted):
        async with running(vault_settings, what, worker):
            await until(lambda: worker.count() >= wanted)
        return worker

    asyncio.run(scenario(Recorder(vault_settings), RECORDS))  # Kafka's own offsets stand at the end now
    worker = asyncio.run(scenario(Recorder(vault_settings, places=places), 1010))
    assert worker.offsets() == {Partition(topic, 0): list(range(990, 1000)), Partition(topic, 1): list(range(1000))}


def test_records_that_retention_took_before_they_landed_end_the_worker(stack, vault_settings, topic):
    admin = stack.admin()  # its futures end with it
    for future in admin.delete_records([TopicPartition(topic, 0, 100)]).values():
        future.result(30)

    async def scenario():
        worker = Recorder(vault_settings, places={Partition(topic, 0): 50})
        async with running(vault_settings, consumption(topic), worker) as task:
            await asyncio.wait([task])

    with pytest.raises(TransportError, match="begins at offset 100"):
        asyncio.run(scenario())


@pytest.mark.parametrize("is_told", [True, False], ids=["by the worker", "by Kafka's committed offset"])
def test_a_place_beyond_the_end_of_its_topic_ends_the_worker(vault_settings, topic, is_told):
    """As after a power cut of the only broker: new events there would be dropped as known."""
    what = consumption(topic)
    size = RECORDS // PARTITIONS
    at = Partition(topic, 0)
    if not is_told:
        consumer = Consumer(vault_settings.kafka_client() | {"group.id": what.group})
        consumer.commit(offsets=[TopicPartition(*at, size + 1)], asynchronous=False)
        consumer.close()
    worker = Recorder(vault_settings, places={at: size + 1} if is_told else {})
    with pytest.raises(TransportError, match=f"{topic}/0 ends at offset {size}, but is to go on from {size + 1}"):
        ends(vault_settings, what, worker)
    assert worker.count() == 0


def test_a_topic_that_ends_before_where_a_running_worker_stands_ends_it(vault_settings, topic):
    size = RECORDS // PARTITIONS
    at = Partition(topic, 0)

    async def scenario():
        worker = Recorder(vault_settings)
        async with running(vault_settings, consumption(topic), worker) as task:
            await until(lambda: worker.count() >= RECORDS)
            worker.ledger.rewind(at, 2 * size)  # the other way round: not the topic shrinks, the worker is ahead
            await asyncio.wait([task], timeout=40)

    with pytest.raises(TransportError, match=f"{topic}/0 ends at offset {size}, but is to go on from {2 * size}"):
        asyncio.run(scenario())


async def produced(settings, topic, *batches):
    """Give the broker `batches` as they are; what it says to each."""
    client = AIOKafkaClient(
        bootstrap_servers=settings.kafka_bootstrap,
        security_protocol=settings.kafka_security_protocol,
        sasl_mechanism="PLAIN",
        sasl_plain_username=settings.kafka_username,
        sasl_plain_password=settings.kafka_password.get_secret_value(),
    )
    await client.bootstrap()
    try:
        codes = []
        for data in batches:
            request = ProduceRequest(
                transactional_id=None, required_acks=-1, timeout=10_000, topics=[(topic, [(0, bytes(8) + data[8:])])]
            )
            response = await client.send(client.get_random_node(), request)
            codes += [partition[1] for _topic, partitions in response.topics for partition in partitions]
        return codes
    finally:
        await client.close()


def test_batches_that_a_broker_takes_and_nobody_can_read_stop_nothing(vault_settings, topic):
    async def scenario():
        assert await produced(vault_settings, topic, *UNREADABLE.values()) == [0] * len(UNREADABLE)
        await asyncio.to_thread(publish, vault_settings, topic)
        worker = Recorder(vault_settings)
        async with running(vault_settings, consumption(topic), worker):
            await until(lambda: worker.count() >= 2 * RECORDS + 2 * len(UNREADABLE))
        return worker

    worker = asyncio.run(scenario())
    size = RECORDS // PARTITIONS
    assert worker.offsets()[Partition(topic, 0)] == list(range(2 * size + 2 * len(UNREADABLE)))
    refused = [delivery.records.offsets.tolist() for delivery in worker.deliveries if delivery.records.refused]
    assert refused == [[size + 2 * number, size + 2 * number + 1] for number in range(len(UNREADABLE))]


def test_a_rebalance_loses_nothing_and_hands_out_nothing_of_a_revoked_partition(vault_settings, topic):
    what = consumption(topic, poll_records=60)

    class Slow(Recorder):
        async def take(self, deliveries):
            await asyncio.sleep(0.05)
            await super().take([delivery for delivery in deliveries if self.ledger.is_current(delivery)])

    async def scenario():
        first, second = Slow(vault_settings), Slow(vault_settings)
        async with running(vault_settings, what, first):
            await until(lambda: first.count() > 300)
            async with running(vault_settings, what, second):
                await until(lambda: bool(second.assignments))
                publish(
                    vault_settings, topic
                )  # so that there is something left for the second, however quick the first
                await until(lambda: covered(first, second) == 2 * RECORDS)
        return first, second

    def covered(*workers):
        return len(
            {(at, offset) for worker in workers for at, offsets in worker.offsets().items() for offset in offsets}
        )

    first, second = asyncio.run(scenario())
    assert len(first.assignments) >= 2
    assert not first.assignments[-1] & second.assignments[-1]
    assert second.count() > 0
    assert committed(vault_settings, what.group, topic) == [2 * RECORDS // PARTITIONS] * PARTITIONS
    for worker in (first, second):
        for at in worker.offsets():
            per_epoch = {}
            for delivery in worker.deliveries:
                if delivery.at == at:
                    per_epoch.setdefault(delivery.epoch, []).extend(delivery.records.offsets.tolist())
            for offsets in per_epoch.values():
                assert offsets == list(range(offsets[0], offsets[-1] + 1))


def test_a_worker_that_goes_back_is_given_everything_from_there_again_although_nothing_new_comes(vault_settings, topic):
    """As after a conflict: its position moves within the assignment, while the consumer stands at the topic's end."""
    what = consumption(topic)
    at = Partition(topic, 1)

    async def scenario():
        worker = Recorder(vault_settings)
        async with running(vault_settings, what, worker):
            await until(lambda: worker.count() >= RECORDS)
            await asyncio.sleep(1.5)  # longer than a fetch waits: the consumer is idle
            worker.ledger.rewind(at, 400)
            await until(lambda: worker.count() >= RECORDS + 600)
        return worker

    worker = asyncio.run(scenario())
    size = RECORDS // PARTITIONS
    assert worker.offsets()[at] == [*range(size), *range(400, size)]
    assert len(worker.assignments) == 1
    assert committed(vault_settings, what.group, topic) == [size] * PARTITIONS


def test_a_position_that_a_worker_goes_back_to_is_fetched_again_each_time():
    """As after two conflicts without a snapshot between: each time a later fetch is still on its way."""

    async def earliest(at):
        return {at: 0}

    ledger, at = Ledger(), Partition("raw.test-one.clinical.glucose", 1)
    ledger.assign(at, 400)
    consumer = SimpleNamespace(_ledger=ledger, _thread=SimpleNamespace(earliest_offsets=earliest), _rewind=set())

    def jumps(first):
        return asyncio.run(transport.Consumer._jumps(consumer, at, first))

    for _ in range(2):
        ledger.rewind(at, 400)
        assert jumps(900)
        assert consumer._rewind == {at}
        consumer._rewind.clear()
        assert not jumps(400)


def ends(settings, what, worker):
    """Run `worker` until it ends by itself."""

    async def scenario():
        async with running(settings, what, worker) as task:
            await asyncio.wait([task], timeout=40)

    asyncio.run(scenario())


def test_a_worker_whose_part_in_the_group_dies_ends_and_says_so(vault_settings, topic, monkeypatch):
    """As when a broker that has just come back names no broker at all: aiokafka's task ends by an assertion."""

    async def dies(*_arguments):
        raise AssertionError("Did we not perform bootstrap?")

    monkeypatch.setattr("aiokafka.client.AIOKafkaClient.coordinator_lookup", dies)
    what = consumption(topic)
    with pytest.raises(TransportError, match=f"The consumer group {what.group} is lost by AssertionError"):
        ends(vault_settings, what, Recorder(vault_settings))


def test_a_worker_that_the_group_refuses_ends_and_says_so(vault_settings, topic, monkeypatch):
    async def refused(*_arguments):
        raise GroupAuthorizationFailedError

    monkeypatch.setattr("aiokafka.client.AIOKafkaClient.coordinator_lookup", refused)
    with pytest.raises(TransportError, match="is lost by GroupAuthorizationFailedError"):
        ends(vault_settings, consumption(topic), Recorder(vault_settings))


def test_of_two_workers_under_one_name_the_first_ends_and_the_second_goes_on(vault_settings, topic):
    settings = vault_settings.model_copy(update={"worker_name": "twin"})
    what = consumption(topic, poll_records=60)

    async def scenario():
        first, second = Recorder(settings), Recorder(settings)
        elder = asyncio.create_task(serve(settings, what, first, asyncio.Event()))
        await until(lambda: first.count() >= RECORDS)
        async with running(settings, what, second):
            with pytest.raises(TransportError, match="has begun under the name of this one, twin"):
                await asyncio.wait_for(elder, 40)
            publish(settings, topic)
            await until(lambda: second.count() >= RECORDS)
            assert len(second.assignments) == 1
        return second

    second = asyncio.run(scenario())
    assert len(second.offsets()) == PARTITIONS


def test_a_worker_whose_offsets_do_not_move_is_ended_by_the_watchdog(vault_settings, topic):
    settings = vault_settings.model_copy(update={"stuck_seconds": 1.0})
    what = consumption(topic)
    with pytest.raises(Stuck, match="Offsets have not moved for"):
        ends(settings, what, Recorder(settings, settles=lambda _delivery: False))
    assert committed(vault_settings, what.group, topic) == [-1] * PARTITIONS


class Transactional:
    """A producer of transactions, and what it said in each: what it commits is to arrive, and nothing else."""

    def __init__(self, settings, topic, name, timeout_ms=60_000):
        own = {"transactional.id": f"test.{name}.{topic}", "transaction.timeout.ms": timeout_ms, "linger.ms": 0}
        self.producer = Producer(settings.kafka_client() | own)
        self.producer.init_transactions(30)
        self.topic = topic

    def begin(self, *values, partition=0):
        self.producer.begin_transaction()
        self.say(*values, partition=partition)

    def say(self, *values, partition=0):
        for value in values:
            self.producer.produce(self.topic, value, partition=partition)
        self.producer.flush()

    def commit(self):
        self.producer.commit_transaction(30)

    def abort(self):
        self.producer.abort_transaction(30)


def log_ends(settings, topic):
    """The offset behind the last record or marker of each partition, as the lag of a group is counted from it."""
    consumer = Consumer(settings.kafka_client() | {"group.id": "nobody", "isolation.level": "read_uncommitted"})
    try:
        return [consumer.get_watermark_offsets(TopicPartition(topic, each), 20)[1] for each in range(PARTITIONS)]
    finally:
        consumer.close()


def test_what_was_aborted_was_never_there_and_the_group_has_no_lag(stack, vault_settings):
    topic = f"raw.test-{uuid.uuid4().hex}.clinical.glucose"
    admin = stack.admin()  # its futures end with it
    admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(30)
    what = consumption(topic)
    first, second = (Transactional(vault_settings, topic, name) for name in ("first", "second"))
    hangs = Transactional(vault_settings, topic, "hangs", timeout_ms=1000)

    def values(worker, partition):
        mine = [each for each in worker.deliveries if each.partition == partition]
        return [value for each in mine for value in each.records.values]

    async def scenario():
        worker = Recorder(vault_settings)
        async with running(vault_settings, what, worker):
            await asyncio.to_thread(first.begin, b"a1", b"a2")
            await asyncio.to_thread(second.begin, b"b1")
            await asyncio.to_thread(first.say, b"a3")
            await asyncio.to_thread(second.say, b"b2")
            await asyncio.to_thread(first.abort)
            await asyncio.to_thread(first.begin, b"c1")
            await asyncio.to_thread(first.commit)
            await asyncio.sleep(
                1.5
            )  # c1 is committed, and would be here by now: a fetch is answered when something is there
            assert values(worker, 0) == [], "the second one is open, and holds back what was committed behind it"
            await asyncio.to_thread(second.commit)
            await until(lambda: values(worker, 0) == [b"b1", b"b2", b"c1"])
            # A topic that ends with what was aborted, by its producer or, some seconds later, by the broker.
            await asyncio.to_thread(first.begin, b"d1", partition=1)
            await asyncio.to_thread(first.abort)
            await asyncio.to_thread(hangs.begin, b"e1", partition=2)
            await asyncio.to_thread(second.begin, b"f1", partition=2)
            await asyncio.to_thread(second.commit)
            await until(lambda: values(worker, 2) == [b"f1"])
            await asyncio.to_thread(second.begin, b"g1")
            await asyncio.to_thread(second.abort)
            ends = await asyncio.to_thread(log_ends, vault_settings, topic)
            await until(lambda: [worker.ledger.position(Partition(topic, each)) for each in range(PARTITIONS)] == ends)
        return worker, ends

    worker, ends = asyncio.run(scenario())
    assert ends == [11, 2, 4]
    assert values(worker, 1) == []
    assert committed(vault_settings, what.group, topic) == ends
    for partition, end in enumerate(ends):
        mine = [each for each in worker.deliveries if each.partition == partition]
        assert [0, *(each.last + 1 for each in mine)] == [*(each.first for each in mine), end]
        void = sum(last - first + 1 for each in mine for first, last in each.records.void())
        assert void + sum(map(len, mine)) == end
