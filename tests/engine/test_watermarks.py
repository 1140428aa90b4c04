"""What is asked of the broker until the deadline, and what is an error at once."""

from concurrent.futures import Future
from time import monotonic
from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from biokeel.engine.kafka import watermarks

AT = TopicPartition("raw.test", 0)


class Admin:
    """Answers with each of `errors`, then with offset 7."""

    def __init__(self, *errors):
        self.errors = list(errors)

    def list_offsets(self, asked, **_how):
        answer = Future()
        if self.errors:
            answer.set_exception(KafkaException(KafkaError(self.errors.pop(0))))
        else:
            answer.set_result(SimpleNamespace(offset=7))
        return dict.fromkeys(asked, answer)


def offsets(admin, seconds=10):
    return watermarks._offsets(admin, [AT], watermarks._LATEST, monotonic() + seconds)


def test_a_broker_that_hung_and_has_an_older_epoch_than_the_client_is_asked_again():
    admin = Admin(KafkaError.UNKNOWN_LEADER_EPOCH, KafkaError.FENCED_LEADER_EPOCH, KafkaError.OFFSET_NOT_AVAILABLE)
    assert offsets(admin) == {("raw.test", 0): 7}


def test_it_is_not_asked_again_after_the_deadline():
    with pytest.raises(KafkaException):
        offsets(Admin(KafkaError.UNKNOWN_LEADER_EPOCH), seconds=-1)


def test_a_refusal_is_an_error_at_once():
    admin = Admin(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    with pytest.raises(KafkaException):
        offsets(admin)
