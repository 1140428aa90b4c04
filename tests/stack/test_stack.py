"""The stack on the real parts."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError
from confluent_kafka.admin import AdminClient

from biokeel.admin.users import User
from biokeel.contracts.topics import Zone
from biokeel.stack import objectstore
from biokeel.stack.stack import Stack
from tests.event_types import EVENTS, LANDED_EVENTS

pytestmark = pytest.mark.integration


def test_every_topic_of_the_contracts_exists_with_the_partitions_of_the_settings(stack: Stack) -> None:
    settings = stack.settings(Zone.VAULT)
    topics = AdminClient(settings.kafka_client()).list_topics(timeout=10).topics
    assert {event.raw_topic for event in EVENTS} | {event.pseudo_topic for event in LANDED_EVENTS} <= set(topics)
    assert len(topics[EVENTS[0].raw_topic].partitions) == settings.raw_partitions


def test_the_store_refuses_a_second_conditional_put(stack: Stack) -> None:
    settings = stack.settings(Zone.RESEARCH)
    s3 = objectstore.client(stack.state, User.RESEARCH)
    s3.put_object(Bucket=settings.lake_bucket, Key="once", Body=b"first", IfNoneMatch="*")
    with pytest.raises(ClientError) as refusal:
        s3.put_object(Bucket=settings.lake_bucket, Key="once", Body=b"second", IfNoneMatch="*")
    assert refusal.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412
    assert s3.get_object(Bucket=settings.lake_bucket, Key="once")["Body"].read() == b"first"
