"""A vault and a Kafka that do not fit together, on the real Kafka; under a consumer group of the test's own."""

from __future__ import annotations

import uuid
from types import SimpleNamespace

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import NewTopic

from biokeel.batch import PseudonymisedBatch, RawPartition
from biokeel.contracts.blocks import split_blocks
from biokeel.contracts.signatures import PublicKeys
from biokeel.contracts.topics import Zone, event_type
from biokeel.engine import consistency as module
from biokeel.engine.consistency import behind, place_group, require_current, taken_up_to
from biokeel.engine.kafka.groups import members
from biokeel.errors import TransportError, VaultError
from biokeel.vault.keys import create_key_file
from biokeel.vault.store import Vault
from tests.conformance.landing_world import rows
from tests.signing import OTHER, signed

pytestmark = pytest.mark.integration

GROUP = "biokeel-test-behind"
SOURCE = "demo-one"
GLUCOSE = (event_type("clinical.glucose").raw_topic(SOURCE), 1)
ENROLMENT = (event_type("person.enrolment").raw_topic(SOURCE), 2)


def commit(settings, places):
    consumer = Consumer(settings.kafka_client() | {"group.id": module.GROUP})
    consumer.commit(offsets=[TopicPartition(*place, offset) for place, offset in places.items()], asynchronous=False)
    consumer.close()


def committed(settings):
    """Where the group goes on, of the raw partitions in which it has an offset."""
    return {place: offset for place, offset in module._group(settings).items() if offset >= 0}


@pytest.fixture
def world(stack, tmp_path, monkeypatch):
    """Settings of the vault zone and a new vault; Kafka says that 5 measurements and 3 enrolments were taken in."""
    monkeypatch.setattr(module, "GROUP", GROUP)
    # What other tests have published on this stack, or taken away again, is none of this vault's.
    monkeypatch.setattr(module.TopicNames, "raw", lambda _self: [GLUCOSE[0], ENROLMENT[0]])
    monkeypatch.setattr(module, "_published", lambda _settings, _keys: {})
    monkeypatch.setattr(module, "ends", lambda _settings, places: dict.fromkeys(places, 5))
    settings = vault_settings(stack, tmp_path)
    commit(settings, {GLUCOSE: 5, ENROLMENT: 3})
    vault = Vault.open(settings)
    yield settings, vault
    vault.close()


def vault_settings(stack, folder):
    create_key_file(folder / "keys")
    return stack.settings(Zone.VAULT).model_copy(
        update={"vault_url": f"sqlite:///{folder / 'vault.db'}", "vault_key_file": folder / "keys"}
    )


class Raw:
    """A raw topic of one partition of a source of the test's own, which is the only one that there is."""

    def __init__(self, admin, settings, vault, event):
        self.admin, self.settings, self.vault, self.event = admin, settings, vault, event
        self.origin = RawPartition(f"test-{uuid.uuid4().hex}", 0)
        self.topic = event.raw_topic(self.origin.source)
        self.place = self.topic, 0
        admin.create_topics([NewTopic(self.topic, 1)])[self.topic].result(30)

    def publish(self, count):
        producer = Producer(self.settings.kafka_client())
        for _ in range(count):
            producer.produce(self.topic, b"event", partition=0)
        assert producer.flush(20) == 0

    def delete_below(self, offset):
        for future in self.admin.delete_records([TopicPartition(*self.place, offset)]).values():
            future.result(30)

    def decide(self, last):
        snapshot = self.vault.snapshot(self.event, [self.origin])
        self.vault.decide(self.event, snapshot, {self.origin: last}, parked=[], sealed=[])

    def require_current(self):
        require_current(self.settings, self.vault)

    def accept(self):
        self.vault.accept(place_group(self.settings, self.vault, taken_up_to(self.settings, self.vault.block_keys)))


@pytest.fixture
def raw(request, stack, tmp_path, monkeypatch):
    """A raw topic, of glucose unless the test says otherwise, with a new vault and no consumer group."""
    settings = vault_settings(stack, tmp_path)
    vault = Vault.open(settings)
    raw = Raw(stack.admin(), settings, vault, event_type(getattr(request, "param", "clinical.glucose")))
    monkeypatch.setattr(module, "GROUP", f"biokeel-test-{uuid.uuid4().hex}")
    monkeypatch.setattr(module.TopicNames, "raw", lambda _self: [raw.topic])
    monkeypatch.setattr(module, "_published", lambda _settings, _keys: {})
    yield raw
    vault.close()


def test_a_vault_that_knows_less_than_kafka_is_refused_and_the_sentence_says_how_much(world):
    settings, vault = world
    assert behind(settings, vault) == {GLUCOSE: 5, ENROLMENT: 3}
    with pytest.raises(VaultError, match=r"it lacks 8 events, 5 of them of raw\.demo-one\.clinical\.glucose/1"):
        require_current(settings, vault)


def test_a_vault_that_knows_all_is_not_refused(world):
    settings, vault = world
    event = event_type("clinical.glucose")
    origin = RawPartition(SOURCE, 1)
    vault.decide(event, vault.snapshot(event, [origin]), {origin: 4}, parked=[], sealed=[])
    assert behind(settings, vault) == {ENROLMENT: 3}
    commit(settings, {ENROLMENT: 0})
    require_current(settings, vault)


def test_what_was_accepted_is_gone_on_with_and_person_events_come_again(world):
    settings, vault = world
    taken = taken_up_to(settings, vault.block_keys)
    assert {place: offset for place, offset in taken.items() if offset} == {GLUCOSE: 5, ENROLMENT: 3}
    vault.accept(place_group(settings, vault, taken))
    assert (committed(settings)[ENROLMENT], committed(settings)[GLUCOSE]) == (0, 5)
    require_current(settings, vault)
    # Once it has caught up, being behind is news again.
    assert not vault.may_be_behind()
    commit(settings, {GLUCOSE: 6})
    with pytest.raises(VaultError):
        require_current(settings, vault)


def test_the_newest_blocks_tell_it_where_the_consumer_group_is_lost(stack, world, monkeypatch):
    settings, vault = world
    topic, raw_topic = "test.behind", GLUCOSE[0]
    event = SimpleNamespace(pseudo_topic=topic, raw_topic=event_type("clinical.glucose").raw_topic)
    admin = stack.admin()  # held until the answer is there
    admin.create_topics([NewTopic(topic, 1)])[topic].result(30)
    held = rows([1, 2, 3], [7, 8, 11], source=SOURCE, raw_partition=3)
    batch = PseudonymisedBatch(event_type("clinical.glucose"), held)
    (block,) = split_blocks(batch, 1, "print", vault.signer)
    headers = signed(topic, 0, block.headers, vault.signer)
    producer = Producer(settings.kafka_client())
    producer.produce(topic, block.value, partition=0, headers=headers)
    assert producer.flush(20) == 0
    monkeypatch.undo()
    monkeypatch.setattr(module, "GROUP", "biokeel-test-lost")
    monkeypatch.setattr(module, "landed_events", lambda _root: (event,))
    monkeypatch.setattr(module, "event_of", lambda _topic: event)
    assert behind(settings, vault) == {(raw_topic, 3): 12}
    assert taken_up_to(settings, vault.block_keys)[raw_topic, 3] == 12
    # Whoever writes behind it can neither hide it nor make the vault look older than it is.
    far = dict(headers) | {"biokeel-rows": b"demo-one/3:0-999999"}
    for number in range(70):
        mine = [list(far.items()), [], [("biokeel-rows", b"850101-1234567")], [*far.items(), ("x", None)]][number % 4]
        producer.produce(topic, b"forged", partition=0, headers=mine)
    assert producer.flush(20) == 0
    assert behind(settings, vault) == {(raw_topic, 3): 12}
    assert taken_up_to(settings, PublicKeys([OTHER.public])).get((raw_topic, 3), 0) == 0


def test_a_group_that_is_not_there_has_no_member(world):
    settings, _ = world
    assert members(settings, "biokeel-curate-nobody") == 0


def test_a_kafka_that_holds_less_than_the_vault_knows_is_refused(raw):
    raw.publish(3)
    raw.decide(4)
    commit(raw.settings, {raw.place: 5})
    with pytest.raises(VaultError, match=rf"knows {raw.place[0]}/0 up to offset 4, but Kafka's ends at 3: "):
        raw.require_current()
    raw.vault.accept({})
    with pytest.raises(VaultError, match="but Kafka's ends at 3: "):
        raw.require_current()


def test_a_kafka_that_holds_just_what_the_vault_knows_is_asked_for_its_ends_only(raw, monkeypatch):
    monkeypatch.setattr(module, "beginnings", None)
    raw.publish(5)
    raw.decide(4)
    commit(raw.settings, {raw.place: 5})
    raw.require_current()


def test_a_new_vault_needs_nothing_that_retention_took_before(raw):
    raw.require_current()
    raw.publish(5)
    raw.delete_below(4)
    raw.require_current()


def test_a_lost_consumer_group_is_no_loss_while_the_topic_holds_all_that_the_vault_does_not_know(raw):
    raw.publish(6)
    raw.decide(2)
    raw.require_current()
    raw.delete_below(3)
    raw.require_current()


def test_what_retention_took_behind_a_lost_consumer_group_is_refused_until_the_loss_is_accepted(raw):
    raw.publish(6)
    raw.decide(2)
    raw.delete_below(5)
    with pytest.raises(TransportError, match=rf"{raw.place[0]}/0 begins at offset 5, but is to go on from 3\."):
        raw.require_current()
    # As docs/operations.md says: the group is put at the beginning, then the loss is accepted.
    commit(raw.settings, {raw.place: 5})
    with pytest.raises(VaultError, match="it lacks 2 events"):
        raw.require_current()
    raw.accept()
    raw.require_current()


@pytest.mark.parametrize("raw", ["person.enrolment"], indirect=True)
def test_person_events_that_retention_took_are_not_asked_for_again(raw):
    raw.publish(6)
    raw.delete_below(5)
    commit(raw.settings, {raw.place: 6})
    raw.accept()
    assert committed(raw.settings) == {raw.place: 5}
    raw.require_current()


@pytest.mark.parametrize("raw", ["clinical.glucose", "person.enrolment"], indirect=True)
def test_once_a_loss_is_accepted_no_quiet_partition_that_retention_emptied_keeps_the_vault_behind(raw):
    """Else it would stay accepted for good that the vault is behind, of whatever backup is restored next."""
    raw.publish(6)
    raw.delete_below(6)
    raw.accept()
    raw.require_current()
    assert not raw.vault.may_be_behind()
