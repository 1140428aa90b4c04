"""A vault side's worker on the real Kafka, while sources come: it reads them from then on, and was not started anew."""

import asyncio
import uuid
from dataclasses import replace

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import NewTopic

from biokeel.contracts.sources import FollowedRegister, file_of, written
from biokeel.contracts.topics import Zone
from biokeel.engine.pseudonymise import PseudonymiseWorker, consumption
from biokeel.observe.metrics import WorkerMetrics
from biokeel.pseudonymise.wall import Wall
from tests.engine.test_pseudonymise_worker import Kafka, rows
from tests.engine.test_transport import running, until
from tests.pseudonymise.conftest import CATALOGUE, GLUCOSE, world
from tests.registers import source
from tests.signing import SIGNER

pytestmark = pytest.mark.integration
__all__ = ["world"]


class Sources:
    """Sources of the test's own: their files, topics of one partition, and events."""

    def __init__(self, stack, world, folder):
        self.settings, self.admin = stack.settings(Zone.VAULT), stack.admin()
        self.world, self.folder = world, folder
        folder.mkdir()

    def with_topic(self):
        """A new source that is not registered yet."""
        source_id = f"test-{uuid.uuid4().hex}"
        topic = GLUCOSE.raw_topic(source_id)
        self.admin.create_topics([NewTopic(topic, 1)])[topic].result(30)
        return source_id

    def register(self, source_id):
        text = written(source(source_id, schemes=("hospital/one",)))
        file_of(self.folder, source_id).write_text(text, encoding="utf-8")

    def worker(self, kafka, group):
        """What a worker of `group` reads, and the worker."""
        register = FollowedRegister(self.folder)
        wall = Wall(self.world.codec, self.world.vault(), self.world.schemas, register.current)
        metrics = WorkerMetrics("pseudonymise")
        made = PseudonymiseWorker(self.settings, metrics, wall, CATALOGUE, kafka, signer=SIGNER)
        return replace(consumption(self.settings, register.current, CATALOGUE.events), group=group), made

    def publish(self, source_id):
        (value,) = self.world.glucose("P-1", source_id=source_id).values
        producer = Producer(self.settings.kafka_client())
        producer.produce(GLUCOSE.raw_topic(source_id), value, partition=0)
        assert producer.flush(20) == 0


def test_a_running_worker_takes_up_a_new_sources_topic_and_reads_nobody_elses(stack, world, tmp_path, monkeypatch):
    monkeypatch.setattr("biokeel.engine.app.FOLLOW_SECONDS", 0.2)
    monkeypatch.setattr("biokeel.contracts.sources.LOOK_SECONDS", 0.1)
    world.enrol(world.wall(), "P-1")
    sources, kafka = Sources(stack, world, tmp_path / "register"), Kafka()
    what, worker = sources.worker(kafka, f"test-{uuid.uuid4().hex}")
    stranger = sources.with_topic()
    sources.publish(stranger)
    seen = []

    async def read(source_id, offset):
        await asyncio.to_thread(sources.publish, source_id)
        seen.append(f"{source_id}/0:{offset}-{offset}")
        await until(lambda: len(kafka.sent) >= len(seen))

    async def scenario():
        async with running(sources.settings, what, worker) as task:
            await asyncio.sleep(1)  # it looks several times, and there is nobody
            assert not task.done()
            first, second = sources.with_topic(), sources.with_topic()
            sources.register(first)
            await read(first, 0)
            sources.register(second)
            await read(second, 0)
            await read(first, 1)
            await read(second, 1)
        worker.check()

    asyncio.run(scenario())
    assert rows(kafka) == seen, "each once, whatever was assigned anew meanwhile"


def test_a_worker_that_comes_back_under_its_name_reads_a_topic_that_came_meanwhile(stack, world, tmp_path, monkeypatch):
    """Kafka gives it back what it had, and deals out nothing anew."""
    monkeypatch.setattr("biokeel.engine.app.FOLLOW_SECONDS", 0.5)
    monkeypatch.setattr("biokeel.engine.app.UNREAD_LOOKS", 2)
    world.enrol(world.wall(), "P-1")
    sources, kafka, group = Sources(stack, world, tmp_path / "register"), Kafka(), f"test-{uuid.uuid4().hex}"
    sources.settings = sources.settings.model_copy(update={"worker_name": f"test-{uuid.uuid4().hex}"})
    first, second = sources.with_topic(), sources.with_topic()
    sources.register(first)

    async def lives(source_id):
        what, worker = sources.worker(kafka, group)
        sent = len(kafka.sent)
        async with running(sources.settings, what, worker):
            await asyncio.to_thread(sources.publish, source_id)
            await until(lambda: len(kafka.sent) > sent)
        worker.check()

    asyncio.run(lives(first))
    sources.register(second)
    asyncio.run(lives(second))
    assert rows(kafka) == [f"{first}/0:0-0", f"{second}/0:0-0"]
