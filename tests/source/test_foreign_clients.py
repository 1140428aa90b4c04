"""Clients that are not ours: what the page for sources says of them, each example run as it stands there."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from confluent_kafka import Consumer, Message, TopicPartition

from biokeel.batch import RawBatch, RawPartition
from biokeel.contracts.catalogue import DirectoryCatalogue
from biokeel.contracts.codec import Codec
from biokeel.contracts.topics import Zone, event_type
from biokeel.settings import PROJECT_ROOT
from biokeel.source.partition import normalise, partitions_of, stable_hash
from biokeel.stack.stack import Stack
from tests.source import java_jars

EVENT = event_type("clinical.glucose")
TOPIC = f"raw.hospital-a.{EVENT}"
PARTITIONS = 2
"""Of tests/sources/hospital-a.toml."""
PAGE = (PROJECT_ROOT / "docs" / "sources.md").read_text("utf-8").split("\n## With a client of your own\n", 1)[1]


def example(language: str) -> str:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)[0]


def vectors() -> list[tuple[str, ...]]:
    return re.findall(r"^\| `(.+?)` \| `(.+?)` \| `(.+?)` \| (\d+) \| (\d+) \| (\d+) \|$", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("scheme", "identifier", "joined", "crc", "of_4", "of_12"), vectors())
def test_a_person_has_the_partition_that_the_page_says(scheme, identifier, joined, crc, of_4, of_12) -> None:
    assert f"{'KR' if scheme.startswith('KR_') else scheme} {normalise(scheme, identifier)}" == joined
    hashed = stable_hash(scheme, identifier)
    assert (hashed, hashed % 4, hashed % 12) == (int(crc), int(of_4), int(of_12))


def test_the_page_has_vectors_of_every_rule() -> None:
    assert {scheme.split("/")[0] for scheme, *_ in vectors()} == {"app", "hospital", "sample", "KR_RRN", "KR_FRN"}
    assert any(
        joined != f"{scheme} {identifier}" and "KR" not in joined for scheme, identifier, joined, *_ in vectors()
    )


@pytest.fixture(scope="module")
def sent(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Message]]:
    """What each example sends, with the source's credentials."""
    folder, mine = tmp_path_factory.mktemp("clients"), stack.source("hospital-a")
    credentials = {
        "BIOKEEL_KAFKA_BOOTSTRAP": mine.kafka_bootstrap,
        "BIOKEEL_KAFKA_SECURITY_PROTOCOL": mine.kafka_security_protocol,
        "BIOKEEL_KAFKA_SASL_MECHANISM": mine.kafka_sasl_mechanism,
        "BIOKEEL_KAFKA_USERNAME": mine.kafka_username,
        "BIOKEEL_KAFKA_PASSWORD": mine.kafka_password.get_secret_value(),
        "EVENT_ID_SECRET": "only for tests",
    }
    consumer = Consumer(stack.settings(Zone.VAULT).kafka_client() | {"group.id": "nobody", "enable.auto.commit": False})

    def in_java() -> None:
        java = folder / "SendGlucose.java"
        java.write_text(example("java"), "utf-8")
        java_jars.run(java, **credentials)

    def in_python() -> None:
        command = [sys.executable, "-c", example("python")]
        subprocess.run(command, env=credentials, cwd=PROJECT_ROOT, timeout=60, check=True)

    try:
        yield {"java": only_one(consumer, in_java), "python": only_one(consumer, in_python)}
    finally:
        consumer.close()


def only_one(consumer: Consumer, send: Callable[[], None]) -> Message:
    """The one message that `send` sends."""
    begins = [
        TopicPartition(TOPIC, each, consumer.get_watermark_offsets(TopicPartition(TOPIC, each), 30)[1])
        for each in consumer.list_topics(TOPIC, timeout=30).topics[TOPIC].partitions
    ]
    send()
    consumer.assign(begins)
    message = consumer.poll(30)
    assert message is not None
    assert message.error() is None
    ends = [consumer.get_watermark_offsets(each, 30)[1] for each in begins]
    assert sum(ends) - sum(each.offset for each in begins) == 1
    return message


@pytest.mark.integration
@pytest.mark.parametrize("language", ["java", "python"])
def test_the_example_sends_an_event_that_is_read_and_stands_where_the_sdk_would_put_it(
    language: str, sent: dict[str, Message], catalogue: DirectoryCatalogue
) -> None:
    message = sent[language]
    value = message.value()
    assert message.key() is None
    assert value[:5] == b"\0" + catalogue.reader(EVENT).id.to_bytes(4, "big")
    batch = RawBatch.of(
        EVENT, [(RawPartition("hospital-a", message.partition()), np.array([message.offset()]), [value])]
    )
    codec = Codec(catalogue, 1 << 20)
    outcome = codec.decode(batch)
    assert outcome.rejected == []
    frame = outcome.accepted.frame
    assert codec.encode(EVENT, frame).to_pylist() == [value]
    assert partitions_of(frame, PARTITIONS).tolist() == [message.partition()]
    (row,) = frame.rows(named=True)
    assert re.fullmatch("[0-9a-f]{32}", row["event_id"])
    assert row["occurred_at"].isoformat() == "2024-04-30T23:30:00+00:00"
    assert (row["subject_scheme"], row["value"], row["specimen"]) == ("hospital/seoul-1", 98.0, None)


@pytest.mark.integration
def test_both_examples_send_the_same_event_to_the_byte(sent: dict[str, Message]) -> None:
    assert sent["java"].value() == sent["python"].value()
