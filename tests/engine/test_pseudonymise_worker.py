"""The vault side's worker without a broker: what it does while the vault is away, and what it holds."""

import asyncio
from concurrent.futures import Future

import numpy as np
import pytest

from biokeel.contracts.clients import Client
from biokeel.contracts.sources import Register
from biokeel.engine import outage
from biokeel.engine.kafka.deliveries import Partition
from biokeel.engine.kafka.records import Records
from biokeel.engine.pseudonymise import WINDOW, PseudonymiseWorker
from biokeel.errors import RegistryUnavailable, TransportError, VaultUnavailable
from biokeel.observe.metrics import WorkerMetrics
from biokeel.pseudonymise.wall import Wall
from biokeel.settings import Settings
from biokeel.vault.database import Database
from biokeel.vault.decisions import Decisions
from tests.pseudonymise.conftest import CATALOGUE, GLUCOSE, SOURCES, World, world
from tests.registers import source
from tests.signing import SIGNER

__all__ = ["world"]

AT, OTHER = (Partition(GLUCOSE.raw_topic(each), 0) for each in SOURCES)
"""The same partition of two sources (`origin` 0 and 1)."""


class Kafka:
    """Takes blocks, and acknowledges them when it is told to."""

    def __init__(self, *, answers: bool = True):
        self.answers = answers
        self.sent = []
        self.pending = []

    def partitions(self, _topic):
        return 1

    def send(self, _topic, blocks):
        self.sent += blocks
        done: Future[None] = Future()
        self.pending.append(done)
        if self.answers:
            done.set_result(None)
        return done

    def close(self):
        pass


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch):
    monkeypatch.setattr(outage, "PAUSE_SECONDS", 0.02)


def made_worker(world: World, kafka):
    metrics = WorkerMetrics("pseudonymise")
    worker = PseudonymiseWorker(Settings(), metrics, world.wall(), CATALOGUE, kafka, signer=SIGNER)
    worker._held = {AT, OTHER}
    for at in worker._held:
        worker.ledger.assign(at, 0)
    return worker


def delivered(worker, batch):
    (origin,) = batch.origins
    at = Partition(GLUCOSE.raw_topic(origin.source), origin.partition)
    return worker.ledger.deliver(at, Records(batch.offsets, batch.values, None, 0))


def rows(kafka):
    """What the headers of the blocks name, one block after the other."""
    return [dict(block.headers)["biokeel-rows"].decode() for block in kafka.sent]


def waiting(worker):
    return worker.runner.metrics.registry.get_sample_value("biokeel_waiting_seconds", {"worker": "pseudonymise"})


async def until(condition, seconds=20):
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - several parts change it
            await asyncio.sleep(0.01)


def test_a_vault_that_is_away_is_waited_for_and_then_everything_goes_on_in_order(world, monkeypatch, caplog):
    kafka = Kafka()
    worker = made_worker(world, kafka)
    world.enrol(world.wall(), "P-1")
    gone = [True]
    snapshot = worker._wall._vault.snapshot

    def away(*arguments):
        if gone:
            raise VaultUnavailable("The vault's database does not answer.")
        return snapshot(*arguments)

    monkeypatch.setattr(worker._wall._vault, "snapshot", away)

    async def scenario():
        running = asyncio.create_task(worker.run())
        for _ in range(2 * WINDOW):
            taking = asyncio.create_task(worker.take([delivered(worker, world.glucose("P-1", "P-1"))]))
            await until(lambda task=taking: task.done() or waiting(worker))
            if gone:
                assert not taking.done(), "nothing more is fetched"
                gone.clear()
            await taking
        await worker._arrived()
        assert not running.done()
        running.cancel()

    asyncio.run(scenario())
    worker.check()
    assert "The vault's database does not answer." in caplog.text
    assert waiting(worker) == 0
    assert rows(kafka) == [f"hospital-one/0:{2 * number}-{2 * number + 1}" for number in range(2 * WINDOW)]
    assert worker.ledger.committable() == {AT: 4 * WINDOW}


def test_a_schema_registry_that_is_away_is_waited_for(world, monkeypatch, caplog):
    kafka = Kafka()
    worker = made_worker(world, kafka)
    world.enrol(world.wall(), "P-1")
    decode, tries = world.codec.decode, []

    def away_once(batch):
        tries.append(len(batch))
        if len(tries) == 1:
            raise RegistryUnavailable("The schema registry does not answer.")
        return decode(batch)

    monkeypatch.setattr(world.codec, "decode", away_once)

    async def scenario():
        await worker.take([delivered(worker, world.glucose("P-1"))])
        await worker._arrived()

    asyncio.run(scenario())
    worker.check()
    assert "Waits since 0 s: The schema registry does not answer." in caplog.text
    assert tries == [1, 1]
    assert rows(kafka) == ["hospital-one/0:0-0"]


def test_a_pseudo_topic_that_grows_spreads_nobody_anew_and_one_that_shrinks_ends_the_worker(world, monkeypatch):
    """A replay after it would come to another partition, where nothing knows that it is one."""
    world.enrol(world.wall(), *(f"P-{number}" for number in range(40)))
    batch = world.glucose(*(f"P-{number}" for number in range(40)))

    def spread(partitions):
        kafka = Kafka()
        monkeypatch.setattr(kafka, "partitions", lambda _topic: partitions)
        worker = made_worker(world, kafka)

        async def scenario():
            await worker.take([delivered(worker, batch)])
            await worker._arrived()

        asyncio.run(scenario())
        worker.check()
        return {block.partition: dict(block.headers)["biokeel-rows"] for block in kafka.sent}

    first = spread(3)
    assert set(first) == {0, 1, 2}
    assert spread(8) == first
    with pytest.raises(TransportError, match=r"pseudo\.clinical\.glucose has 2 partitions, .* spread over 3"):
        spread(2)


def test_a_vault_that_can_only_be_read_is_away_until_it_can_be_written_too(world, monkeypatch, caplog):
    """As on a full disk: the looks for what is to be released go on and must not end the waiting."""
    worker = made_worker(world, Kafka())
    full, looks, shown = [True], [0], []
    decide, look = worker._wall._vault.decide, worker._wall.ready_at

    def written(*arguments, **more):
        if full:
            raise VaultUnavailable("The vault's disk is full.")
        return decide(*arguments, **more)

    def counted():
        looks[0] += 1
        return look()

    for pause in ("RELEASE_SECONDS", "REST_SECONDS"):
        monkeypatch.setattr(f"biokeel.engine.pseudonymise.{pause}", 0.01)
    monkeypatch.setattr(worker._wall._vault, "decide", written)
    monkeypatch.setattr(worker._wall, "ready_at", counted)

    async def scenario():
        running = asyncio.create_task(worker.run())
        taking = asyncio.create_task(worker.take([delivered(worker, world.glucose("P-1"))]))
        await until(lambda: waiting(worker))
        enough = looks[0] + 5
        await until(lambda: shown.append(waiting(worker)) or looks[0] >= enough)
        assert "Goes on" not in caplog.text
        full.clear()
        await taking
        running.cancel()

    asyncio.run(scenario())
    assert min(shown) > 0
    assert waiting(worker) == 0
    assert caplog.text.count("Goes on") == 1


def test_parked_events_whose_vault_is_away_are_released_when_it_is_back(world, monkeypatch):
    kafka = Kafka()
    worker = made_worker(world, kafka)
    wall = world.wall()
    wall.process(world.glucose("P-1", "P-1"))
    world.enrol(wall, "P-1")
    gone = [True]
    ready_at = worker._wall._vault.ready_at

    def away():
        if gone:
            raise VaultUnavailable("The vault's database does not answer.")
        return ready_at()

    monkeypatch.setattr(worker._wall._vault, "ready_at", away)

    async def scenario():
        running = asyncio.create_task(worker.run())
        await until(lambda: waiting(worker))
        gone.clear()
        await until(lambda: kafka.sent and waiting(worker) == 0)
        running.cancel()

    asyncio.run(scenario())


def test_no_more_than_a_few_micro_batches_are_on_their_way_while_kafka_acknowledges_none(world):
    kafka = Kafka(answers=False)
    worker = made_worker(world, kafka)
    world.enrol(world.wall(), "P-1")

    async def scenario():
        taking = []
        for _ in range(WINDOW + 2):
            taking.append(asyncio.create_task(worker.take([delivered(worker, world.glucose("P-1"))])))
            await asyncio.sleep(0.1)
        await until(lambda: len(kafka.sent) == WINDOW)
        await asyncio.sleep(0.3)
        assert len(kafka.sent) == WINDOW
        assert worker.ledger.committable() == {}
        kafka.answers = True
        for done in kafka.pending:
            done.set_result(None)
        await asyncio.gather(*taking)
        await worker._arrived()

    asyncio.run(scenario())
    worker.check()
    assert worker.ledger.committable() == {AT: WINDOW + 2}


def test_big_parked_events_are_released_in_pieces_of_bounded_size(world, monkeypatch):
    wall = world.wall()
    wall.process(world.glucose(*["P-1"] * 10))
    monkeypatch.setattr("biokeel.vault.parking.READY_BYTES", 1)
    world.enrol(wall, "P-1")
    kafka = Kafka()
    worker = made_worker(world, kafka)

    async def scenario():
        running = asyncio.create_task(worker.run())
        await until(lambda: len(kafka.sent) == 10)
        running.cancel()

    asyncio.run(scenario())
    assert rows(kafka) == [f"hospital-one/0:{number}-{number}" for number in range(10)]


def test_partitions_of_one_call_make_one_block_and_are_settled_together_when_kafka_has_it(world):
    kafka = Kafka(answers=False)
    worker = made_worker(world, kafka)
    world.enrol(world.wall(), "P-1")

    async def scenario():
        batches = world.glucose("P-1", "P-1"), world.glucose("P-1", partition=1)
        await worker.take([delivered(worker, batch) for batch in batches])
        assert rows(kafka) == ["hospital-one/0:0-1,hospital-two/0:0-0"]
        assert worker.ledger.committable() == {}
        kafka.pending[0].set_result(None)
        await worker._arrived()

    asyncio.run(scenario())
    worker.check()
    assert worker.ledger.committable() == {AT: 2, OTHER: 1}


def test_after_an_outage_of_the_vault_every_partition_of_the_call_is_done_again(world, monkeypatch):
    kafka = Kafka()
    worker = made_worker(world, kafka)
    world.enrol(world.wall(), "P-1")
    decide, tries = worker._wall._vault.decide, []

    def away_once(*arguments, **more):
        tries.append(arguments)
        if len(tries) == 1:
            raise VaultUnavailable("The vault's database does not answer.")
        return decide(*arguments, **more)

    monkeypatch.setattr(worker._wall._vault, "decide", away_once)

    async def scenario():
        batches = world.glucose("P-1", "P-9"), world.glucose("P-1", partition=1)
        await worker.take([delivered(worker, batch) for batch in batches])
        await worker._arrived()

    asyncio.run(scenario())
    worker.check()
    assert len(tries) == 2
    assert rows(kafka) == ["hospital-one/0:0-0,hospital-two/0:0-0"]
    assert worker.ledger.committable() == {AT: 2, OTHER: 1}


def test_of_a_call_whose_one_partition_went_away_meanwhile_only_the_other_is_settled(world):
    kafka = Kafka(answers=False)
    worker = made_worker(world, kafka)
    world.enrol(world.wall(), "P-1")

    async def scenario():
        batches = world.glucose("P-1"), world.glucose("P-1", partition=1)
        await worker.take([delivered(worker, batch) for batch in batches])
        worker.ledger.assign(OTHER, 0)
        kafka.pending[0].set_result(None)
        await worker._arrived()

    asyncio.run(scenario())
    worker.check()
    assert worker.ledger.committable() == {AT: 1}


def test_the_same_partition_and_offset_of_two_sources_are_two_events_wherever_they_go(world):
    world.enrol(world.wall(), "P-1")
    mine, other = world.glucose("P-1", "P-9"), world.glucose("P-1", "P-9", partition=1)

    def published(*batches):
        kafka = Kafka()
        worker = made_worker(world, kafka)

        async def scenario():
            await worker.take([delivered(worker, batch) for batch in batches])
            await worker._arrived()
            await worker._release_ready()

        asyncio.run(scenario())
        worker.check()
        return sorted(rows(kafka)), worker.ledger.committable()

    everything = ["hospital-one/0:0-0,hospital-two/0:0-0"], {AT: 2, OTHER: 2}
    assert published(mine, other) == everything
    assert published(mine, other) == everything, "given once more after a death, as if it were the first time"
    assert world.vault().waiting() == {GLUCOSE: 2}
    world.enrol(world.wall(), "P-9")
    assert published(world.glucose("P-1"))[0] == ["hospital-one/0:0-0", "hospital-one/0:2-2", "hospital-two/0:0-0"]


def test_what_a_client_states_is_noted_with_its_batch(world):
    registered = source(SOURCES[0], software=("export",))
    wall = Wall(world.codec, world.vault(), world.schemas, lambda: Register([registered]))
    worker = PseudonymiseWorker(Settings(), WorkerMetrics("pseudonymise"), wall, CATALOGUE, Kafka(), signer=SIGNER)
    worker.ledger.assign(AT, 0)
    records = Records(np.arange(1), [b"no event"], None, 0, clients=frozenset({b"export/1.2"}))
    delivery = worker.ledger.deliver(AT, records)

    async def scenario():
        await worker.take([delivery])
        await worker._arrived()

    asyncio.run(scenario())
    reader = Decisions(Database(str(world.settings.vault_url), read_only=True))
    assert [(of, client) for of, client, _ in reader.clients()] == [(SOURCES[0], Client("export", "1.2"))]
    reader.close()
