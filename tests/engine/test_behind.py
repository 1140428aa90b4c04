"""A vault that is older than what was published, on the real Kafka; under a consumer group of the test's own."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import NewTopic

from biokeel.batch import PseudonymisedBatch
from biokeel.contracts.blocks import split_blocks
from biokeel.contracts.topics import Zone, event_type
from biokeel.engine import behind as module
from biokeel.engine.behind import behind, committed, read_persons_again, require_current
from biokeel.engine.groups import members
from biokeel.errors import VaultError
from biokeel.vault.keys import create_key_file
from biokeel.vault.store import Vault
from tests.conformance.landing_world import rows

pytestmark = pytest.mark.integration

GROUP = "biokeel-test-behind"
GLUCOSE = (event_type("clinical.glucose").raw_topic, 1)
ENROLMENT = (event_type("person.enrolment").raw_topic, 2)


def commit(settings, places):
    consumer = Consumer(settings.kafka_client() | {"group.id": GROUP})
    consumer.commit(offsets=[TopicPartition(*place, offset) for place, offset in places.items()], asynchronous=False)
    consumer.close()


@pytest.fixture
def world(stack, tmp_path, monkeypatch):
    """Settings of the vault zone and a new vault; Kafka says that 5 measurements and 3 enrolments were taken in."""
    monkeypatch.setattr(module, "GROUP", GROUP)
    # What other tests have published on this stack is none of this vault's.
    monkeypatch.setattr(module, "_published", lambda _settings: {})
    create_key_file(tmp_path / "keys")
    settings = stack.settings(Zone.VAULT).model_copy(
        update={"vault_url": f"sqlite:///{tmp_path / 'vault.db'}", "vault_key_file": tmp_path / "keys"}
    )
    commit(settings, {GLUCOSE: 5, ENROLMENT: 3})
    vault = Vault.open(settings)
    yield settings, vault
    vault.close()


def test_a_vault_that_knows_less_than_kafka_is_refused_and_the_sentence_says_how_much(world):
    settings, vault = world
    assert behind(settings, vault) == {GLUCOSE: 5, ENROLMENT: 3}
    with pytest.raises(VaultError, match=r"it lacks 8 events, 5 of them of raw\.clinical\.glucose/1"):
        require_current(settings, vault)


def test_a_vault_that_knows_all_is_not_refused(world):
    settings, vault = world
    event = event_type("clinical.glucose")
    vault.decide(event, vault.snapshot(event, [1]), {1: 4}, parked=[], sealed=[])
    assert behind(settings, vault) == {ENROLMENT: 3}
    commit(settings, {ENROLMENT: 0})
    require_current(settings, vault)


def test_what_was_accepted_is_gone_on_with_and_person_events_come_again(world):
    settings, vault = world
    read_persons_again(settings, vault)
    vault.accept(committed(settings))
    assert committed(settings)[ENROLMENT] == 0
    require_current(settings, vault)
    # Once it has caught up, being behind is news again.
    assert not vault.may_be_behind()
    commit(settings, {GLUCOSE: 6})
    with pytest.raises(VaultError):
        require_current(settings, vault)


def test_the_newest_blocks_tell_it_where_the_consumer_group_is_lost(stack, world, monkeypatch):
    settings, vault = world
    topic, raw_topic = "test.behind", "raw.clinical.glucose"
    event = SimpleNamespace(pseudo_topic=topic, raw_topic=raw_topic)
    admin = stack.admin()  # held until the answer is there
    admin.create_topics([NewTopic(topic, 1)])[topic].result(30)
    batch = PseudonymisedBatch(event_type("clinical.glucose"), rows([1, 2, 3], [7, 8, 11], raw_partition=3))
    (block,) = split_blocks(batch, 1, "print")
    producer = Producer(settings.kafka_client())
    producer.produce(topic, block.value, partition=0, headers=block.headers)
    assert producer.flush(20) == 0
    monkeypatch.undo()
    monkeypatch.setattr(module, "GROUP", "biokeel-test-lost")
    monkeypatch.setattr(module, "LANDED_EVENTS", (event,))
    monkeypatch.setattr(module, "event_type", lambda _topic: event)
    assert behind(settings, vault) == {(raw_topic, 3): 12}


def test_a_group_that_is_not_there_has_no_member(world):
    settings, _ = world
    assert members(settings, "biokeel-curate-nobody") == 0
