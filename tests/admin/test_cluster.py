"""Registered sources on the real broker: what each may do, tried, and an apply that dies between its steps."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from biokeel.admin.cluster import CREDENTIALS_WRITTEN, STEPS_DONE, USERS_MADE, Cluster
from biokeel.admin.credentials import Credentials
from biokeel.admin.plan import BYTES, REQUESTS, MakeUser, Plan, RemoveUser, SetQuota, TakeRights, make_plan, rights_of
from biokeel.admin.private import read_settings
from biokeel.admin.quotas import quotas_held
from biokeel.admin.rights import rights_held
from biokeel.admin.topics import admin_client
from biokeel.admin.users import User
from biokeel.contracts.sources import Register, Source, written
from biokeel.contracts.topics import Zone
from biokeel.errors import AdminError
from biokeel.settings import Settings
from biokeel.stack.stack import Stack
from tests.admin.test_plan import source
from tests.event_types import EVENTS, LANDED_EVENTS
from tests.kafka_rights import REFUSED, consume, produce, refusal

pytestmark = pytest.mark.integration

ONE, OTHER = source("reg-a", partitions=1), source("reg-ab", partitions=1, events=["clinical.*", "person.merge"])
GLUCOSE = "raw.reg-a.clinical.glucose"
DENIED = KafkaError.TOPIC_AUTHORIZATION_FAILED


class Died(BaseException):
    """In place of a process that is killed: nothing of ours catches it."""


@pytest.fixture
def admin(stack: Stack) -> Settings:
    return stack.settings(User.ADMIN)


def apply(admin: Settings, *sources: Source, part: bool = True, new: set[str] = frozenset(), dies_at: int = 0) -> Plan:
    """Apply a part of a register; with `part=False` what is registered no longer is only what these tests made."""
    cluster, credentials = Cluster(admin), Credentials(admin)
    passwords = credentials.unfinished() | new
    plan = make_plan(Register(sources), EVENTS, 4, cluster.held(), part=part, passwords=passwords)
    kept = [
        step for step in plan.steps if not isinstance(step, TakeRights | RemoveUser | SetQuota) or "reg-" in str(step)
    ]
    plan = Plan(tuple(kept), plan.stays)
    left = dies_at

    def passed(point: str) -> None:
        nonlocal left
        left -= point == STEPS_DONE
        if dies_at and not left:
            raise Died

    cluster.carry_out(plan, credentials, new_passwords=new, passed=passed)
    return plan


def of_source(admin: Settings, source_id: str) -> Settings:
    """What a source's credentials' file says."""
    return Settings(**read_settings(Credentials(admin).file(source_id)))


@pytest.fixture
def both(admin: Settings) -> Iterator[tuple[Settings, Settings]]:
    """Two registered sources, one's id the beginning of the other's."""
    apply(admin, ONE, OTHER)
    yield of_source(admin, "reg-a"), of_source(admin, "reg-ab")
    apply(admin, ONE, OTHER)


def test_a_source_writes_its_own_topics_and_no_others(both: tuple[Settings, Settings]) -> None:
    one, other = both
    assert produce(one, GLUCOSE) is None
    assert produce(one, GLUCOSE, **{"enable.idempotence": True}) is None
    for topic in (
        "raw.reg-ab.clinical.glucose",
        "raw.reg-ab.person.merge",
        LANDED_EVENTS[0].pseudo_topic,
        "receipts.reg-a",
        "receipts.reg-ab",
    ):
        error = produce(one, topic)
        assert error is not None, topic
        assert error.code() == DENIED
    error = produce(other, GLUCOSE)
    assert error is not None
    assert error.code() == DENIED


def test_a_source_writes_in_transactions_under_its_own_ids_only(both: tuple[Settings, Settings]) -> None:
    one, _ = both
    producer = Producer(one.kafka_client() | {"transactional.id": "reg-a.1"})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(GLUCOSE, b"x")
    producer.commit_transaction(30)
    stranger = Producer(one.kafka_client() | {"transactional.id": "reg-ab.1"})
    assert refusal(stranger.init_transactions, 30) == KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED


def test_a_source_reads_its_own_receipts_and_nothing_else(stack: Stack, both: tuple[Settings, Settings]) -> None:
    one, other = both
    everything = stack.settings(User.BROKER)
    assert produce(everything, "receipts.reg-a") is None
    assert consume(one, "receipts.reg-a", "reg-a.follower") == b"x"
    for topic in (GLUCOSE, "raw.reg-ab.clinical.glucose", LANDED_EVENTS[0].pseudo_topic, "receipts.reg-ab"):
        assert refusal(consume, one, topic, "reg-a.follower") == DENIED
    assert refusal(consume, other, "receipts.reg-a", "reg-ab.follower") == DENIED


@pytest.mark.parametrize("group", ["reg-ab.follower", "reg-a", "biokeel-pseudonymise", "biokeel-curate", "any"])
def test_a_source_cannot_join_a_group_that_is_not_its_own(both: tuple[Settings, Settings], group: str) -> None:
    one, _ = both
    assert refusal(consume, one, "receipts.reg-a", group) == KafkaError.GROUP_AUTHORIZATION_FAILED


def test_a_source_can_neither_make_a_topic_nor_see_those_of_others(both: tuple[Settings, Settings]) -> None:
    one, _ = both
    client = AdminClient(one.kafka_client())
    for name in ("raw.reg-a.clinical.other", "raw.reg-a.more", "own"):
        assert refusal(client.create_topics([NewTopic(name, 1, 1)])[name].result) == DENIED
    seen = {name for name in client.list_topics(timeout=20).topics if not name.startswith("test.")}
    clinical = {f"raw.reg-a.{event}" for event in EVENTS if event.domain == "clinical"}
    assert seen == clinical | {"receipts.reg-a"}


def test_a_source_can_give_nobody_a_right_a_password_or_a_quota(both: tuple[Settings, Settings]) -> None:
    one, _ = both
    cluster = Cluster(one)
    with pytest.raises(AdminError, match="this user may not"):
        cluster.held()
    for step in (*rights_of("reg-a"), MakeUser("reg-a", there=True), SetQuota("reg-a", {BYTES: 1e12})):
        with pytest.raises(AdminError):
            cluster.carry_out(Plan((step,), ()), Credentials(one))


def test_the_vault_reads_what_a_source_wrote_and_research_does_not(
    stack: Stack, both: tuple[Settings, Settings]
) -> None:
    one, _ = both
    assert produce(one, GLUCOSE) is None
    assert consume(stack.settings(Zone.VAULT), GLUCOSE) == b"x"
    assert refusal(consume, stack.settings(Zone.RESEARCH), GLUCOSE, "biokeel-curate-test") == DENIED
    assert refusal(consume, stack.settings(User.ADMIN), GLUCOSE) in REFUSED


def test_quotas_are_there_as_the_register_says(admin: Settings, both: tuple[Settings, Settings]) -> None:
    assert quotas_held(admin)["reg-a"] == {BYTES: 10e6, REQUESTS: 25.0}
    changed = source("reg-a", partitions=1, quota={"produce_bytes_per_second": 5_000_000})
    assert list(map(str, apply(admin, changed).steps)) == ["set the quota of reg-a to 5,000,000 bytes a second"]
    assert quotas_held(admin)["reg-a"] == {BYTES: 5e6, REQUESTS: 25.0}


def test_what_is_applied_twice_has_nothing_to_do(admin: Settings, both: tuple[Settings, Settings]) -> None:
    assert not apply(admin, ONE, OTHER).steps


def test_an_event_that_is_granted_no_longer_is_refused_and_granted_again_it_is_taken(
    admin: Settings, both: tuple[Settings, Settings]
) -> None:
    one, _ = both
    apply(admin, source("reg-a", partitions=1, events=["clinical.diagnosis"]))
    error = produce(one, GLUCOSE)
    assert error is not None
    assert error.code() == DENIED
    assert produce(one, "raw.reg-a.clinical.diagnosis") is None
    apply(admin, ONE)
    assert produce(one, GLUCOSE) is None


def test_partitions_are_raised(admin: Settings, both: tuple[Settings, Settings]) -> None:
    more = source("reg-ab", partitions=2, events=["clinical.glucose"])
    assert "raise partitions of raw.reg-ab.clinical.glucose from 1 to 2" in map(str, apply(admin, more).steps)
    known = admin_client(admin).list_topics(timeout=20).topics
    assert len(known["raw.reg-ab.clinical.glucose"].partitions) == 2


def test_a_source_that_is_registered_no_longer_logs_in_no_more_and_its_topics_stay(
    admin: Settings, both: tuple[Settings, Settings]
) -> None:
    one, other = both
    assert produce(one, GLUCOSE) is None
    steps = apply(admin, OTHER, part=False).steps
    assert "remove the user reg-a: it is registered no longer" in map(str, steps)
    with pytest.raises(KafkaException):
        AdminClient(one.kafka_client()).list_topics(timeout=3)
    assert produce(other, "raw.reg-ab.clinical.glucose") is None
    held = Cluster(admin).held()
    assert GLUCOSE in held.topics
    assert not [right for right in held.rights if right.user == "reg-a"]
    assert "reg-a" not in held.quotas


def test_a_removal_that_dies_after_any_step_is_completed_by_the_next(
    admin: Settings, both: tuple[Settings, Settings]
) -> None:
    for dies_at in (1, 2, 3):
        apply(admin, ONE, OTHER)
        with pytest.raises(Died):
            apply(admin, OTHER, part=False, dies_at=dies_at)
        assert not [right for right in rights_held(admin_client(admin)) if right.user == "reg-a" and right.allow]
        apply(admin, OTHER, part=False)
        held = Cluster(admin).held()
        assert "reg-a" not in held.users | set(held.quotas)


def test_with_a_new_password_the_old_one_counts_no_longer(admin: Settings, both: tuple[Settings, Settings]) -> None:
    one, _ = both
    apply(admin, ONE, new={"reg-a"})
    new = of_source(admin, "reg-a")
    assert new.kafka_password != one.kafka_password
    assert produce(new, GLUCOSE) is None
    with pytest.raises(KafkaException):
        AdminClient(one.kafka_client()).list_topics(timeout=3)


def test_without_a_new_password_the_credentials_file_stays(admin: Settings, both: tuple[Settings, Settings]) -> None:
    file = Credentials(admin).file("reg-a")
    before = file.read_bytes()
    apply(admin, OTHER, part=False)
    apply(admin, ONE, OTHER)
    assert file.read_bytes() == before
    assert file.stat().st_mode & 0o777 == 0o600
    assert produce(of_source(admin, "reg-a"), GLUCOSE) is None


def test_an_apply_killed_between_any_two_steps_is_completed_by_the_next(
    stack: Stack, admin: Settings, tmp_path: Path
) -> None:
    new = source("reg-killed", partitions=1, events=["clinical.glucose"])
    (tmp_path / "reg-killed.toml").write_text(written(new))

    def add(*, die_at: str = "") -> int:
        return subprocess.run(
            [sys.executable, "-m", "biokeel", "source", "add", "reg-killed", "--yes"],
            env={
                "PATH": "/usr/bin:/bin",
                "BIOKEEL_STATE_DIR": str(stack.state_dir),
                "BIOKEEL_SOURCES_DIR": str(tmp_path),
                "BIOKEEL_CRASH_AT": die_at,
            },
            check=False,
            capture_output=True,
        ).returncode

    wanted = {right for step in rights_of("reg-killed") for right in step.rights}
    credentials = Credentials(admin)
    # Each dies after one more kind of steps: topics, quota, rights; then within and after the making of the user.
    for point in (STEPS_DONE, STEPS_DONE, STEPS_DONE, CREDENTIALS_WRITTEN, USERS_MADE):
        assert add(die_at=point) == -9
        held = Cluster(admin).held()
        assert {right for right in held.rights if right.user == "reg-killed"} <= wanted
        assert not credentials.file("reg-killed").exists()
        if "reg-killed" in held.users:
            assert held.quotas["reg-killed"]
            assert "reg-killed" in credentials.unfinished()
    assert add() == 0
    assert produce(of_source(admin, "reg-killed"), "raw.reg-killed.clinical.glucose") is None
    assert "reg-killed" not in credentials.unfinished()
    assert not make_plan(Register([new]), EVENTS, 4, Cluster(admin).held(), part=True).steps
