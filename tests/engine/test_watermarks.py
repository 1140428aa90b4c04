"""What is asked of the broker until the deadline, and what is an error at once."""

import uuid
from time import monotonic
from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import NewTopic

from biokeel.contracts.topics import Zone
from biokeel.engine.kafka import watermarks

AT = ("raw.test", 0)


class Client:
    """Answers with each of `errors`, then with offset 7."""

    def __init__(self, *errors):
        self.errors = list(errors)

    def offsets_for_times(self, asked, **_how):
        error = KafkaError(self.errors.pop(0)) if self.errors else None
        return [SimpleNamespace(topic=at.topic, partition=at.partition, offset=7, error=error) for at in asked]


def offsets(client, seconds=10):
    return watermarks._offsets(client, [AT], watermarks._LATEST, monotonic() + seconds)


def test_a_broker_that_hung_and_has_an_older_epoch_than_the_client_is_asked_again():
    client = Client(KafkaError.UNKNOWN_LEADER_EPOCH, KafkaError.FENCED_LEADER_EPOCH, KafkaError.OFFSET_NOT_AVAILABLE)
    assert offsets(client) == {AT: 7}


def test_it_is_not_asked_again_after_the_deadline():
    with pytest.raises(KafkaException):
        offsets(Client(KafkaError.UNKNOWN_LEADER_EPOCH), seconds=-1)


def test_a_refusal_is_an_error_at_once():
    client = Client(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    with pytest.raises(KafkaException):
        offsets(client)


@pytest.mark.integration
def test_a_topic_ends_where_its_first_open_transaction_begins(stack):
    settings, topic = stack.settings(Zone.VAULT), f"test.ends.{uuid.uuid4().hex}"
    admin = stack.admin()  # its futures end with it
    admin.create_topics([NewTopic(topic, 2, 1)])[topic].result(30)
    producer = Producer(settings.kafka_client() | {"transactional.id": topic})
    producer.init_transactions(30)
    places = [(topic, 0), (topic, 1)]
    producer.begin_transaction()
    producer.produce(topic, b"1", partition=0)
    producer.commit_transaction(30)
    producer.begin_transaction()
    for partition in (0, 1):
        producer.produce(topic, b"2", partition=partition)
    producer.flush(30)
    assert watermarks.ends(settings, places) == dict(zip(places, [2, 0], strict=True))
    producer.commit_transaction(30)
    assert watermarks.ends(settings, places) == dict(zip(places, [4, 2], strict=True))
    assert watermarks.beginnings(settings, places) == dict.fromkeys(places, 0)
