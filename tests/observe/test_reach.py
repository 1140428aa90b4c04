"""A service that is not there is one sentence, at once."""

import socket
import time

import pytest

from biokeel.errors import SettingsError, StoreUnavailable, TransportError
from biokeel.observe.reach import require_kafka, require_store
from biokeel.settings import Settings


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_service_that_is_not_there_is_named_with_its_address_at_once():
    address = f"127.0.0.1:{closed_port()}"
    settings = Settings(kafka_bootstrap=address, s3_endpoint=f"http://{address}")
    began = time.monotonic()
    with pytest.raises(TransportError, match=f"Kafka does not answer at {address}") as kafka:
        require_kafka(settings)
    with pytest.raises(StoreUnavailable, match=f"store does not answer at http://{address}"):
        require_store(settings)
    assert time.monotonic() - began < 2
    assert "biokeel stack up" in kafka.value.todo


def test_one_bootstrap_server_of_several_is_enough():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        require_kafka(Settings(kafka_bootstrap=f"127.0.0.1:{closed_port()}, 127.0.0.1:{port}"))
        require_store(Settings(s3_endpoint=f"http://127.0.0.1:{port}"))


@pytest.mark.parametrize("wrong", ["127.0.0.1:port", "no-such-host.invalid:9092"])
def test_an_address_that_is_none_is_nobody_who_answers(wrong):
    with pytest.raises(TransportError, match="Kafka does not answer at"):
        require_kafka(Settings(kafka_bootstrap=wrong))


def test_without_an_address_the_setting_is_named():
    with pytest.raises(SettingsError, match="BIOKEEL_KAFKA_BOOTSTRAP"):
        require_kafka(Settings(kafka_bootstrap=""))
