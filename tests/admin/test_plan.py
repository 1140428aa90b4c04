"""The plan: what Kafka must have for a register, in an order that never gives too much."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biokeel.admin.plan import (
    AddPartitions,
    CreateTopic,
    Held,
    MakeUser,
    RemoveUser,
    SetQuota,
    Topic,
    make_plan,
    quota_of,
    rights_of,
)
from biokeel.admin.rights import Right
from biokeel.admin.topics import CONFIG
from biokeel.admin.users import RIGHTS, User
from biokeel.contracts.sources import RESERVED, Register, Source
from biokeel.contracts.topics import event_type, receipts_topic
from biokeel.errors import AdminError
from tests.admin.modelled import after, may_read, may_write
from tests.event_types import EVENTS, LANDED_EVENTS

IDS = ("hospital-a", "hospital-ab", "lab", "b")
PATTERNS = ("clinical.*", "clinical.glucose", "clinical.diagnosis", "lifestyle.sleep", "person.merge")
GLUCOSE = event_type("clinical.glucose")
PEOPLE = frozenset(RIGHTS)


def source(source_id: str = "hospital-a", **changes: object) -> Source:
    content = {
        "id": source_id,
        "name": "A",
        "contact": "a",
        "events": ["clinical.*"],
        "schemes": ["KR_RRN"],
        "time_zone": "Asia/Seoul",
        "cadence_seconds": 60,
        "partitions": 2,
    }
    return Source.model_validate(content | changes)


sources = st.builds(
    lambda source_id, events, partitions, rate: source(
        source_id, events=events, partitions=partitions, quota={"produce_bytes_per_second": rate}
    ),
    st.sampled_from(IDS),
    st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=3),
    st.integers(1, 3),
    st.sampled_from([1000, 2000]),
)
registers = st.lists(sources, max_size=3, unique_by=lambda each: each.id).map(Register)


def carried_out(held: Held, register: Register, steps: int | None = None) -> Held:
    """What Kafka holds after the first `steps` of the plan (all of them by default)."""
    for step in make_plan(register, EVENTS, 2, held).steps[:steps]:
        held = after(held, step)
    return held


def sentences(register: Register, held: Held) -> list[str]:
    return list(map(str, make_plan(register, EVENTS, 2, held).steps))


def granted(register: Register) -> set[tuple[str, str]]:
    return {
        (each.id, event.raw_topic(each.id)) for each in register.values() for event in EVENTS if each.may_send(event)
    }


def writable(held: Held, *, logged_in: bool) -> set[tuple[str, str]]:
    return {
        (user, topic)
        for user in IDS
        for topic in held.topics
        if (user in held.users or not logged_in) and may_write(held, user, topic)
    }


@given(registers)
def test_a_plan_carried_out_leaves_nothing_to_do(register: Register) -> None:
    held = carried_out(Held(rights=PEOPLE), register)
    assert not make_plan(register, EVENTS, 2, held).steps
    assert held.users == set(register)
    assert held.rights >= PEOPLE


@given(registers, registers, st.integers(0, 60), st.integers(0, 60))
def test_a_plan_that_died_after_any_step_is_completed_by_the_next_and_never_gave_too_much(
    first: Register, second: Register, died: int, died_again: int
) -> None:
    before = carried_out(Held(rights=PEOPLE), first, died)
    assert writable(before, logged_in=False) <= granted(first)
    begun = carried_out(before, second, died_again)
    # Who had the right before may have it until it is taken; nobody gains what neither register grants.
    assert writable(begun, logged_in=False) <= granted(first) | granted(second)
    done = carried_out(begun, second)
    assert not make_plan(second, EVENTS, 2, done).steps
    assert writable(done, logged_in=True) == granted(second)
    assert done.users == set(second)


@given(registers, registers)
def test_after_a_change_of_the_register_each_source_may_do_what_it_says_and_no_topic_is_gone(
    first: Register, second: Register
) -> None:
    before = carried_out(Held(rights=PEOPLE), first)
    held = carried_out(before, second)
    assert writable(held, logged_in=False) == granted(second)
    assert set(held.topics) >= set(before.topics)
    for user in IDS:
        readable = {topic for topic in held.topics if may_read(held, user, topic)}
        assert readable == ({receipts_topic(user)} if user in second else set())
    assert set(held.quotas) == set(second)
    again = carried_out(carried_out(held, first), second)
    assert writable(again, logged_in=False) == granted(second)


@given(registers, registers)
def test_what_a_source_loses_is_taken_before_anything_is_given(first: Register, second: Register) -> None:
    held = carried_out(Held(), first)
    lost = granted(first) - granted(second)
    for step in make_plan(second, EVENTS, 2, held).steps:
        if isinstance(step, CreateTopic | MakeUser):
            assert not lost & writable(held, logged_in=False)
        held = after(held, step)


def test_the_steps_of_a_new_source_create_bound_grant_and_let_it_log_in_last() -> None:
    plan = make_plan(Register([source(events=["clinical.glucose"], partitions=3)]), [GLUCOSE], 4, Held())
    assert list(map(str, plan.steps)) == [
        "create topic pseudo.clinical.glucose, 4 partitions",
        "create topic raw.hospital-a.clinical.glucose, 3 partitions",
        "create topic receipts.hospital-a, 1 partition",
        "set the quota of hospital-a to 10,000,000 bytes a second and 25 % of a thread",
        "let hospital-a write topics raw.hospital-a.*",
        "let hospital-a read topic receipts.hospital-a",
        "let hospital-a read as groups hospital-a.*",
        "let hospital-a write in transactions hospital-a.*",
        "make the user hospital-a (SCRAM-SHA-512), its password written into its credentials' file",
    ]
    assert not plan.stays


def test_raw_topics_keep_everything_and_receipts_a_year() -> None:
    steps = make_plan(Register([source()]), EVENTS, 2, Held()).steps
    topics = {step.name: step.topic for step in steps if isinstance(step, CreateTopic)}
    assert {topics[name].config["retention.ms"] for name in topics if name.startswith("raw.")} == {"-1"}
    assert topics["receipts.hospital-a"] == Topic(1, topics["receipts.hospital-a"].config)
    assert int(topics["receipts.hospital-a"].config["retention.ms"]) == 365 * 86_400_000


def test_partitions_are_raised_and_never_lowered() -> None:
    held = carried_out(Held(), Register([source(partitions=2)]))
    more = make_plan(Register([source(partitions=4)]), EVENTS, 2, held)
    assert "raise partitions of raw.hospital-a.clinical.glucose from 2 to 4" in map(str, more.steps)
    assert {type(step) for step in more.steps} == {AddPartitions}
    fewer = make_plan(Register([source(partitions=1)]), EVENTS, 2, held)
    assert not fewer.steps
    assert "topic raw.hospital-a.clinical.glucose has 2 partitions, not 1; it stays so." in fewer.stays


def test_pseudo_topics_are_created_and_never_changed() -> None:
    register = Register([source()])
    held = carried_out(Held(), register)
    plan = make_plan(register, EVENTS, 8, held)
    assert not plan.steps
    assert f"topic {LANDED_EVENTS[0].pseudo_topic} has 2 partitions, not 8; it stays so." in plan.stays


def test_a_topic_whose_configuration_somebody_changed_is_named_and_stays() -> None:
    register = Register([source()])
    held = carried_out(Held(), register)
    name = "raw.hospital-a.clinical.glucose"
    held.topics[name] = Topic(2, CONFIG | {"retention.ms": "86400000"})  # type: ignore[index]
    plan = make_plan(register, EVENTS, 2, held)
    assert not plan.steps
    assert plan.stays == (f"topic {name} has retention.ms=86400000, not -1; it stays so.",)


def test_a_changed_quota_is_set_and_one_that_somebody_set_besides_is_not_touched() -> None:
    held = carried_out(Held(), Register([source()]))
    held.quotas["hospital-a"]["consumer_byte_rate"] = 5.0  # type: ignore[index]
    register = Register([source(quota={"produce_bytes_per_second": 7})])
    (step,) = make_plan(register, EVENTS, 2, held).steps
    assert step == SetQuota("hospital-a", {"producer_byte_rate": 7.0})
    assert after(held, step).quotas["hospital-a"] == quota_of(register["hospital-a"]) | {"consumer_byte_rate": 5.0}


def test_an_event_that_a_source_may_send_no_longer_is_refused_its_topic_and_the_topic_stays() -> None:
    held = carried_out(Held(), Register([source()]))
    register = Register([source(events=["clinical.glucose"])])
    plan = make_plan(register, EVENTS, 2, held)
    assert (
        "take from hospital-a the right to write raw.hospital-a.clinical.diagnosis: it may send that no longer"
        in map(str, plan.steps)
    )
    assert (
        "topic raw.hospital-a.clinical.diagnosis stays, with what it holds: hospital-a may send that no longer."
        in plan.stays
    )
    done = carried_out(held, register)
    assert not may_write(done, "hospital-a", "raw.hospital-a.clinical.diagnosis")
    assert may_write(done, "hospital-a", "raw.hospital-a.clinical.glucose")
    back = sentences(Register([source()]), done)
    assert "let hospital-a write raw.hospital-a.clinical.diagnosis again" in back


def test_a_source_that_is_registered_no_longer_loses_its_rights_first_and_its_topics_stay() -> None:
    held = carried_out(Held(rights=PEOPLE), Register([source(), source("lab")]))
    plan = make_plan(Register([source()]), EVENTS, 2, held)
    assert list(map(str, plan.steps)) == [
        "take from lab all its rights: it is registered no longer",
        "remove the user lab: it is registered no longer",
        "remove the quotas of lab: it is registered no longer",
    ]
    assert "topic raw.lab.clinical.glucose stays, with what it holds: lab is registered no longer." in plan.stays
    assert "topic receipts.lab stays, with what it holds: lab is registered no longer." in plan.stays
    assert not [sentence for sentence in plan.stays if "hospital-a" in sentence]


def test_a_part_of_the_register_takes_nothing_from_others_and_makes_only_what_it_needs() -> None:
    held = carried_out(Held(), Register([source("lab")]))
    plan = make_plan(Register([source(events=["lifestyle.sleep"])]), EVENTS, 2, held, part=True)
    names = [step.name for step in plan.steps if isinstance(step, CreateTopic)]
    assert names == ["raw.hospital-a.lifestyle.sleep", "receipts.hospital-a"]
    assert not [step for step in plan.steps if isinstance(step, RemoveUser)]
    fresh = make_plan(Register([source(events=["lifestyle.sleep"])]), EVENTS, 2, Held(), part=True)
    assert [step.name for step in fresh.steps if isinstance(step, CreateTopic)][:1] == ["pseudo.lifestyle.sleep"]


def test_a_user_that_no_plan_has_made_is_not_taken_over() -> None:
    with pytest.raises(AdminError, match="has a user hospital-a already"):
        make_plan(Register([source()]), EVENTS, 2, Held(users=frozenset({"hospital-a"})))


def test_no_source_is_called_as_a_user_of_the_programmes_own() -> None:
    assert {user.value for user in User} <= RESERVED
    for name in RESERVED:
        with pytest.raises(ValueError, match="id"):
            source(name)


def test_a_right_beside_the_registers_is_named_and_one_within_is_taken() -> None:
    register = Register([source()])
    held = carried_out(Held(), register)
    beside = Right("hospital-a", "TOPIC", "pseudo.", "READ", prefixed=True)
    within = Right("hospital-a", "TOPIC", "raw.hospital-a.", "READ", prefixed=True)
    plan = make_plan(register, EVENTS, 2, Held(held.topics, held.rights | {beside, within}, held.users, held.quotas))
    assert list(map(str, plan.steps)) == [
        "take from hospital-a the right to READ TOPIC raw.hospital-a.: no plan gives that"
    ]
    assert plan.stays == (
        "hospital-a has a right that is not the register's: READ TOPIC pseudo.*; it stays. See that it is meant.",
    )


def test_no_right_of_a_source_covers_anything_of_a_source_whose_id_begins_alike() -> None:
    held = Held(rights=frozenset(right for step in rights_of("hospital-a") for right in step.rights))
    for other in ("hospital-ab", "hospital", "hospital-a-b"):
        assert not may_write(held, "hospital-a", f"raw.{other}.clinical.glucose")
        assert not may_read(held, "hospital-a", f"receipts.{other}")
        for right in held.rights:
            assert not f"{other}.".startswith(right.name) or not right.prefixed


def test_topics_of_another_form_are_nobodys() -> None:
    strange = ("raw.clinical.glucose", "raw.a.b.c.d", "receipts.", "receipts.a.b", "raw.A.clinical.glucose", "raw.x")
    held = Held(topics=dict.fromkeys(strange, Topic(1)))
    assert not make_plan(Register([]), [], 2, held).steps
    assert not make_plan(Register([]), [], 2, held).stays


@given(registers)
def test_like_steps_stand_together_so_that_each_kind_is_one_call(register: Register) -> None:
    steps = make_plan(register, EVENTS, 2, Held()).steps
    changes = [(one, other) for one, other in pairwise(map(type, steps)) if one is not other]
    assert len(changes) == len({one for one, _ in changes})
