"""The wall as the broker holds it."""

from __future__ import annotations

import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from biokeel.admin.users import User
from biokeel.contracts.topics import Zone
from biokeel.settings import Settings
from biokeel.stack.stack import Stack
from tests.event_types import LANDED_EVENTS
from tests.kafka_rights import REFUSED, consume, produce, refusal

pytestmark = pytest.mark.integration

EVENT = LANDED_EVENTS[0]
SOURCE = "hospital-one"
RAW_TOPIC = EVENT.raw_topic(SOURCE)


def settings_of(stack: Stack, who: str) -> Settings:
    """Those of a user of the programme's own, or of a source."""
    return stack.source(who) if who == SOURCE else stack.settings(User(who))


def test_the_vault_reads_what_a_source_wrote(stack: Stack) -> None:
    assert produce(stack.source(SOURCE), RAW_TOPIC) is None
    assert consume(stack.settings(Zone.VAULT), RAW_TOPIC) == b"x"


def test_research_reads_what_the_vault_wrote(stack: Stack) -> None:
    assert produce(stack.settings(Zone.VAULT), EVENT.pseudo_topic) is None
    assert consume(stack.settings(Zone.RESEARCH), EVENT.pseudo_topic) == b"x"


def test_research_cannot_read_a_raw_topic(stack: Stack) -> None:
    assert produce(stack.source(SOURCE), RAW_TOPIC) is None
    settings = stack.settings(Zone.RESEARCH)
    code = refusal(consume, settings, RAW_TOPIC, "biokeel-curate-test")
    assert code == KafkaError.TOPIC_AUTHORIZATION_FAILED


@pytest.mark.parametrize("group", ["biokeel-pseudonymise", f"{SOURCE}.receipts"])
def test_research_cannot_join_the_group_of_the_vault_or_of_a_source(stack: Stack, group) -> None:
    settings = stack.settings(Zone.RESEARCH)
    code = refusal(consume, settings, EVENT.pseudo_topic, group)
    assert code == KafkaError.GROUP_AUTHORIZATION_FAILED


@pytest.mark.parametrize("user", [Zone.RESEARCH, User.OPERATOR])
@pytest.mark.parametrize("topic", [RAW_TOPIC, EVENT.pseudo_topic])
def test_neither_research_nor_operators_can_write(stack: Stack, user, topic) -> None:
    error = produce(settings_of(stack, user), topic)
    assert error is not None
    assert error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED


def test_a_source_can_only_write_its_raw_topics(stack: Stack) -> None:
    settings = stack.source(SOURCE)
    assert refusal(consume, settings, RAW_TOPIC) in REFUSED
    assert refusal(consume, settings, EVENT.pseudo_topic) in REFUSED
    for topic in (EVENT.pseudo_topic, EVENT.raw_topic("canary")):
        error = produce(settings, topic)
        assert error is not None
        assert error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED


def test_an_operator_sees_positions_of_raw_topics_but_no_event(stack: Stack) -> None:
    settings = stack.settings(User.OPERATOR)
    consumer = Consumer(settings.kafka_client() | {"group.id": "test-operator"})
    low, high = consumer.get_watermark_offsets(TopicPartition(RAW_TOPIC, 0), timeout=10)
    consumer.close()
    assert low <= high
    assert refusal(consume, settings, RAW_TOPIC) in REFUSED


def test_nobody_but_an_administrator_can_create_a_topic(stack: Stack) -> None:
    for user in (User.VAULT, User.RESEARCH, User.OPERATOR, SOURCE):
        admin = AdminClient(settings_of(stack, user).kafka_client())
        new = NewTopic("raw.clinical.other", 1, 1)
        code = refusal(admin.create_topics([new])["raw.clinical.other"].result)
        assert code == KafkaError.TOPIC_AUTHORIZATION_FAILED


def test_each_user_sees_its_own_topics_only(stack: Stack) -> None:
    seen = {
        user: {
            name.partition(".")[0] for name in AdminClient(settings_of(stack, user).kafka_client()).list_topics().topics
        }
        - {"test", "__consumer_offsets", "__transaction_state"}
        for user in (SOURCE, User.RESEARCH, User.VAULT, User.OPERATOR)
    }
    both = {"raw", "pseudo"}
    assert seen.pop(User.OPERATOR) >= both
    assert seen == {SOURCE: {"raw", "receipts"}, User.RESEARCH: {"pseudo"}, User.VAULT: both}


@pytest.mark.parametrize("user", [SOURCE, User.RESEARCH, User.VAULT, User.OPERATOR])
def test_nobody_can_delete_or_change_a_topic_or_give_rights(stack: Stack, user: User) -> None:
    admin = AdminClient(settings_of(stack, user).kafka_client())
    for topic in (RAW_TOPIC, EVENT.pseudo_topic):
        assert refusal(admin.delete_topics([topic])[topic].result) == KafkaError.TOPIC_AUTHORIZATION_FAILED
        entry = ConfigEntry("retention.ms", "1", incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[entry])
        answer = admin.incremental_alter_configs([resource])[resource]
        assert refusal(answer.result) == KafkaError.TOPIC_AUTHORIZATION_FAILED
    everything = AclBinding(
        ResourceType.TOPIC,
        "raw.",
        ResourcePatternType.PREFIXED,
        f"User:{user}",
        "*",
        AclOperation.ALL,
        AclPermissionType.ALLOW,
    )
    assert refusal(admin.create_acls([everything])[everything].result) == KafkaError.CLUSTER_AUTHORIZATION_FAILED


@pytest.mark.parametrize("user", [SOURCE, User.OPERATOR])
@pytest.mark.parametrize("group", ["biokeel-pseudonymise", "biokeel-curate", "test-any"])
def test_neither_a_source_nor_an_operator_can_join_a_group_or_move_its_offsets(stack: Stack, user, group) -> None:
    admin = AdminClient(settings_of(stack, user).kafka_client())
    moved = ConsumerGroupTopicPartitions(group, [TopicPartition(EVENT.pseudo_topic, 0, 0)])
    answer = admin.alter_consumer_group_offsets([moved], request_timeout=15)[group]

    def move() -> None:
        (place,) = answer.result().topic_partitions
        if place.error:
            raise KafkaException(place.error)

    assert refusal(move) in REFUSED
    assert refusal(consume, settings_of(stack, user), EVENT.pseudo_topic, group) in REFUSED


def test_a_wrong_password_is_refused(stack: Stack) -> None:
    config = stack.settings(Zone.RESEARCH).kafka_client() | {"sasl.username": "vault"}
    with pytest.raises(KafkaException):
        AdminClient(config).list_topics(timeout=3)
