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
    register = FollowedRegister(sources.folder)
    wall = Wall(world.codec, world.vault(), world.schemas, register.current)
    worker = PseudonymiseWorker(sources.settings, WorkerMetrics("pseudonymise"), wall, CATALOGUE, kafka, signer=SIGNER)
    what = replace(consumption(sources.settings, register.current, CATALOGUE.events), group=f"test-{uuid.uuid4().hex}")
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
