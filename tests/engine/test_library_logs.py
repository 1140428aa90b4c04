"""What is kept out of a worker's log, and what is not."""

import logging

import pytest

from biokeel.engine.library_logs import _OUTAGE, PATIENCE_SECONDS, _Seldom, quieten
from biokeel.settings import Settings

COORDINATOR = "Group Coordinator Request failed: %s"


@pytest.fixture
def quiet():
    """Takes the filters off again: loggers outlive a test."""
    loggers = [logging.getLogger(name) for name in ("aiokafka.conn", *_OUTAGE)]
    before = [list(logger.filters) for logger in loggers]
    yield quieten
    for logger, filters in zip(loggers, before, strict=True):
        logger.filters[:] = filters


def settings(bootstrap, protocol="SASL_PLAINTEXT"):
    return Settings(kafka_bootstrap=bootstrap, kafka_security_protocol=protocol)


def test_a_password_in_clear_is_told_once_and_only_where_it_leaves_the_machine(quiet, caplog):
    quiet(settings("127.0.0.1:9092, localhost:9093"))
    logging.getLogger("aiokafka.conn").warning("Sending username and password in the clear")
    assert not caplog.records
    quiet(settings("localhost:9092,kafka.example:9092", "SASL_SSL"))
    assert not caplog.records
    quiet(settings("localhost:9092,kafka.example:9092"))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "SASL_SSL" in caplog.text


def test_other_trouble_of_the_same_loggers_still_shows(quiet, caplog):
    quiet(settings("localhost:9092"))
    logging.getLogger("aiokafka.conn").warning("Failed to authenticate")
    logging.getLogger("aiokafka.consumer.group_coordinator").error("LeaveGroup request failed")
    assert len(caplog.records) == 2


def test_a_missing_coordinator_is_told_when_it_lasts_and_then_only_now_and_then():
    now = [100.0]
    lasting = _Seldom("Group Coordinator Request failed", lasting=True, clock=lambda: now[0])
    record = logging.LogRecord("aiokafka", logging.ERROR, "", 0, COORDINATOR, ("[Error 15]",), None)
    told = []
    for tenth in range(int(PATIENCE_SECONDS * 25)):
        now[0] = 100.0 + tenth / 10
        told += [now[0]] if lasting.filter(record) else []
    assert told == pytest.approx([100.0 + PATIENCE_SECONDS, 100.0 + 2 * PATIENCE_SECONDS])
    now[0] += 60.0
    assert not lasting.filter(record), "a new outage begins its patience anew"


def test_while_a_broker_is_away_each_trouble_is_told_at_once_and_then_now_and_then():
    now = [100.0]
    seldom = _Seldom("Unable connect", clock=lambda: now[0])
    record = logging.LogRecord("aiokafka", logging.ERROR, "", 0, "Unable connect to node with id 1", (), None)
    told = []
    for tenth in range(int(PATIENCE_SECONDS * 15)):
        now[0] = 100.0 + tenth / 10
        told += [now[0]] if seldom.filter(record) else []
    assert told == pytest.approx([100.0, 100.0 + PATIENCE_SECONDS])
