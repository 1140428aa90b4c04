"""The stack on the real parts."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError
from confluent_kafka.admin import AdminClient

from biokeel.admin.users import User
from biokeel.contracts.sources import Register
from biokeel.contracts.topics import EVENTS, LANDED_EVENTS, Zone
from biokeel.settings import Settings
from biokeel.stack import objectstore
from biokeel.stack.stack import Stack

pytestmark = pytest.mark.integration


def test_every_topic_of_the_register_exists_with_the_partitions_that_it_says(stack: Stack) -> None:
    settings = stack.settings(Zone.VAULT)
    topics = AdminClient(settings.kafka_client()).list_topics(timeout=10).topics
    wanted = {event.pseudo_topic: settings.pseudo_partitions for event in LANDED_EVENTS}
    for source in Register.load(Settings().sources_dir).values():
        wanted |= {event.raw_topic(source.id): source.partitions for event in EVENTS if source.may_send(event)}
    assert len(set(wanted.values())) > 1
    assert {name: len(topics[name].partitions) for name in wanted} == wanted


def test_the_store_refuses_a_second_conditional_put(stack: Stack) -> None:
    settings = stack.settings(Zone.RESEARCH)
    s3 = objectstore.client(stack.state, User.RESEARCH)
    s3.put_object(Bucket=settings.lake_bucket, Key="once", Body=b"first", IfNoneMatch="*")
    with pytest.raises(ClientError) as refusal:
        s3.put_object(Bucket=settings.lake_bucket, Key="once", Body=b"second", IfNoneMatch="*")
    assert refusal.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412
    assert s3.get_object(Bucket=settings.lake_bucket, Key="once")["Body"].read() == b"first"
