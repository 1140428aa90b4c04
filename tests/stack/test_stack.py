"""The stack on the real parts."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError
from confluent_kafka.admin import AdminClient

from biokeel.admin.plan import topics_wanted
from biokeel.admin.users import User
from biokeel.contracts.sources import Register
from biokeel.contracts.topics import Zone
from biokeel.settings import Settings, side_of
from biokeel.stack import objectstore
from biokeel.stack.stack import Stack
from biokeel.stack.state import SOURCES
from tests.event_types import EVENTS, LANDED_EVENTS

pytestmark = pytest.mark.integration


def test_every_source_of_the_register_has_its_topics_and_a_file_that_leads_in(stack: Stack) -> None:
    settings = stack.settings(User.ADMIN)
    register = Register.load(settings.sources_dir)
    topics = AdminClient(settings.kafka_client()).list_topics(timeout=10).topics
    wanted = topics_wanted(register, EVENTS, settings.pseudo_partitions)
    assert {name: len(topics[name].partitions) for name in wanted} == {
        name: topic.partitions for name, topic in wanted.items()
    }
    assert {event.pseudo_topic for event in LANDED_EVENTS} <= set(wanted)
    for source_id in register:
        file = stack.state_dir / "sources" / f"{source_id}.env"
        assert file.stat().st_mode & 0o777 == 0o600
        own = Settings.load(side_of(source_id), state_dir=stack.state_dir)
        assert own == stack.source(source_id)
        assert (own.source_id, own.kafka_username) == (source_id, source_id)
        assert own.s3_access_key == stack.state.key_pairs[SOURCES].access
        seen = AdminClient(own.kafka_client()).list_topics(timeout=10).topics
        assert f"receipts.{source_id}" in seen


def test_the_store_refuses_a_second_conditional_put(stack: Stack) -> None:
    settings = stack.settings(Zone.RESEARCH)
    s3 = objectstore.client(stack.state, User.RESEARCH)
    s3.put_object(Bucket=settings.lake_bucket, Key="once", Body=b"first", IfNoneMatch="*")
    with pytest.raises(ClientError) as refusal:
        s3.put_object(Bucket=settings.lake_bucket, Key="once", Body=b"second", IfNoneMatch="*")
    assert refusal.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412
    assert s3.get_object(Bucket=settings.lake_bucket, Key="once")["Body"].read() == b"first"
