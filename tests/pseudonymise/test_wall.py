import datetime as dt
from dataclasses import replace

import numpy as np
import pytest
import sqlalchemy as sa

from biokeel.batch import COORDINATES, ENVELOPE, At, RawBatch, Refusal
from biokeel.contracts.codec import Codec
from biokeel.contracts.topics import event_type
from biokeel.errors import PoisonBatch
from biokeel.pseudonymise import stage
from biokeel.pseudonymise.leaks import Leak
from biokeel.reasons import Reason
from biokeel.vault.tables import DEAD_LETTER
from tests.pseudonymise.conftest import CATALOGUE, GLUCOSE, START, World, drain, numbers, offsets, origin, together

pytestmark = pytest.mark.usefixtures("each_database")


def places(wall, event=GLUCOSE, partition=0):
    return {
        row["offset"]: row["reason"] or row["place"] for row in wall._vault.books(event, origin(partition)).to_dicts()
    }


def test_an_enrolled_persons_events_pass_with_exactly_the_promised_columns(world):
    wall = world.wall()
    world.enrol(wall, "P-000001")
    result = wall.process(world.glucose("P-000001"))
    kept = [field.name for field in world.schemas[GLUCOSE].kept()]
    frame = result.batch.frame
    assert frame.columns == [*ENVELOPE, *COORDINATES, *kept]
    assert dict(frame.schema) | ENVELOPE | COORDINATES == dict(frame.schema)
    row = frame.row(0, named=True)
    assert (row["enrolled_on"], row["birth_year"], row["sex"]) == (START.date(), 1980, "female")
    assert (row["stream"], row["raw_partition"], row["raw_offset"], row["first_offset"]) == ("raw", 0, 0, 0)


def test_a_year_of_birth_is_one_where_no_date_is_known(world):
    wall = world.wall()
    world.enrol(wall, "P-000001", birth_date=None, birth_year=1985)
    assert wall.process(world.glucose("P-000001")).batch.frame["birth_year"].to_list() == [1985]
    world.enrol(wall, "P-000002", birth_year=1985)
    assert wall.process(world.glucose("P-000002")).batch.frame["birth_year"].to_list() == [1980]
    refused = world.enrol(wall, "P-000003", birth_date=None, birth_year=85)
    assert refused.counts == {Reason.PERSON_INVALID: 1}


def test_partitions_of_one_batch_are_decided_together_and_each_event_by_its_own_coordinates(world):
    wall = world.wall()
    world.enrol(wall, "P-000001")
    batch = together(
        world.glucose("P-000001", "P-9", partition=3),
        world.batch(GLUCOSE, [{"subject_id": "P-000001", "code": "a@b.example"}, {"subject_id": "P-000001"}], 0),
        world.glucose("P-8", "P-000001", partition=2),
    )
    result = wall.process(batch)
    frame = result.batch.frame
    assert list(zip(numbers(frame), frame["raw_offset"], strict=True)) == [(3, 0), (0, 1), (2, 1)]
    assert frame.select("raw_partition", "raw_offset").rows() == frame.select("first_partition", "first_offset").rows()
    assert (dict(result.counts), result.parked) == ({Reason.LEAK: 1}, 2)
    assert [places(wall, GLUCOSE, each) for each in (3, 0, 2)] == [{1: "parked"}, {0: Reason.LEAK}, {0: "parked"}]
    assert wall._vault.snapshot(GLUCOSE, map(origin, range(4))).decided == dict(
        zip(map(origin, range(4)), (1, -1, 1, 1), strict=True)
    )
    world.enrol(wall, "P-8", "P-9")
    assert [drain(wall, each) for each in (3, 0, 2)] == [[1], [], [0]]


def test_a_replay_may_hold_other_partitions_and_newer_events_than_the_first_time(world):
    wall = world.wall()
    world.enrol(wall, "P-1")
    first = [world.glucose("P-1", "P-9", partition=each) for each in (0, 1)]
    newer = [world.glucose("P-1", "P-9", partition=each) for each in (1, 2)]
    assert offsets(wall.process(together(*first)).batch) == [0, 0]
    whole = RawBatch.of(GLUCOSE, [(origin(1), np.arange(4), [*first[1].values, *newer[0].values])])
    result = world.wall().process(together(whole, newer[1]))
    assert list(zip(numbers(result.batch.frame), offsets(result.batch), strict=True)) == [(1, 0), (1, 2), (2, 0)]
    assert result.parked == 2
    assert places(wall, GLUCOSE, 1) == {1: "parked", 3: "parked"}


def test_person_events_of_several_partitions_are_applied_once_each(world):
    wall = world.wall()
    enrolment = event_type("person.enrolment")
    batch = together(
        *(
            world.batch(enrolment, [{"subject_id": f"P-{each}"}, {"subject_id": "P-0", "sex": "?"}], each)
            for each in (0, 2)
        )
    )
    result = wall.process(batch)
    assert (result.applied, dict(result.counts)) == (2, {Reason.PERSON_INVALID: 2})
    assert world.wall().process(batch).applied == 0
    for each in (0, 2):
        assert places(wall, enrolment, each) == {0: "applied", 1: Reason.PERSON_INVALID}
    assert wall._vault.status().audit_entries == 2


def test_the_same_person_has_one_number_under_every_identifier_and_writing(world):
    wall = world.wall()
    further = [{"scheme": "KR_RRN", "value": "850101-1234567"}, {"scheme": "app/band", "value": "u-1"}]
    world.enrol(wall, "P-000001", identifiers=further)
    rows = [
        {"subject_scheme": "hospital/one", "subject_id": " P-000001 "},
        {"subject_scheme": "KR_RRN", "subject_id": "８５０１０１ １２３４５６７"},
        {"subject_scheme": "KR_FRN", "subject_id": "850101.1234567"},
        {"subject_scheme": "app/band", "subject_id": "u-1"},
    ]
    frame = wall.process(world.batch(GLUCOSE, rows)).batch.frame
    assert frame.height == 4
    assert frame["participant"].n_unique() == 1


def test_parked_events_are_released_once_in_order_with_increasing_numbers(world):
    wall = world.wall()
    result = wall.process(world.glucose("P-1", "P-2", "P-1"))
    assert (result.batch, result.parked) == (None, 3)
    world.enrol(wall, "P-1")
    first = wall.releases(GLUCOSE, origin(0), 10).batch
    assert first.frame["stream"].unique().to_list() == ["parking"]
    assert (offsets(first), first.frame["first_offset"].to_list()) == ([0, 1], [0, 2])
    assert offsets(wall.releases(GLUCOSE, origin(0), 10).batch) == [0, 1], (
        "not marked, they come again with the same numbers"
    )
    wall.released(GLUCOSE, origin(0), 1)
    world.enrol(wall, "P-2")
    assert offsets(wall.releases(GLUCOSE, origin(0), 10).batch) == [2]
    wall.released(GLUCOSE, origin(0), 2)
    assert wall.releases(GLUCOSE, origin(0), 10).batch is None
    assert places(wall) == dict.fromkeys(range(3), "released")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"event_id": "850101-1234567"}, Reason.ENVELOPE),
        ({"event_id": "A" * 32}, Reason.ENVELOPE),
        ({"source_id": "Hospital One"}, Reason.NOT_ITS_OWN),
        ({"occurred_offset_minutes": 2000}, Reason.ENVELOPE),
        ({"subject_scheme": "SSN"}, Reason.SUBJECT),
        ({"subject_scheme": "KR_RRN", "subject_id": "12"}, Reason.SUBJECT),
        ({"occurred_at": dt.datetime(1800, 1, 1, tzinfo=dt.UTC)}, Reason.TIME_RANGE),
        ({"occurred_at": dt.datetime(2190, 1, 1, tzinfo=dt.UTC)}, Reason.TIME_RANGE),
        ({"recorded_at": dt.datetime(1899, 12, 31, 23, tzinfo=dt.UTC)}, Reason.TIME_RANGE),
        ({"recorded_at": dt.datetime(2101, 1, 1, tzinfo=dt.UTC)}, Reason.TIME_RANGE),
        ({"specimen": "call 010-1234-5678"}, Reason.LEAK),
        ({"code": "of P-000001"}, Reason.LEAK),
    ],
)
def test_what_breaks_a_rule_is_sealed_with_its_reason_and_takes_no_neighbour_along(world, change, reason):
    wall = world.wall()
    world.enrol(wall, "P-000001")
    batch = world.batch(GLUCOSE, [{"subject_id": "P-000001"}, {"subject_id": "P-000001", **change}])
    result = wall.process(batch)
    assert offsets(result.batch) == [0]
    assert result.counts == {reason: 1}
    assert places(wall) == {1: reason}


WHY = "in a batch of 9 bytes that unpacks to more than 8"


def refused(event, first, end, partition=0):
    """What is had of a batch that was not unpacked: offsets, and with the first of them the batch as it was packed."""
    values = [b"a packed batch", *[None] * (end - first - 1)]
    return RawBatch.of(event, [(origin(partition), np.arange(first, end), values)], [Refusal(Reason.TOO_LARGE, WHY)])


@pytest.mark.parametrize("event", [GLUCOSE, event_type("person.enrolment")])
def test_a_batch_that_was_not_unpacked_is_sealed_whole_and_once(world, event):
    wall = world.wall()
    result = wall.process(refused(event, 0, 3))
    assert (result.batch, dict(result.counts)) == (None, {Reason.TOO_LARGE: 3})
    assert dict(world.wall().process(refused(event, 1, 5)).counts) == {Reason.TOO_LARGE: 2}
    assert places(wall, event) == dict.fromkeys(range(5), Reason.TOO_LARGE)
    with wall._vault._database.read() as connection:
        letters = connection.execute(sa.select(DEAD_LETTER).order_by(DEAD_LETTER.c.offset)).all()
    assert [(each.size, each.detail) for each in letters] == [(14, WHY), *[(0, WHY)] * 4]
    opened = wall._vault._parking._sealer.open(letters[0].sealed, event, At(*origin(0), 0))
    assert opened == b"a packed batch"


def test_a_batch_that_was_not_unpacked_takes_no_other_partition_along(world):
    wall = world.wall()
    world.enrol(wall, "P-1")
    good = world.glucose("P-1")
    bomb = (origin(1), np.arange(5, 8), [b"a packed batch", None, None])
    result = wall.process(
        RawBatch.of(GLUCOSE, [(origin(0), good.offsets, good.values), bomb], [None, Refusal(Reason.TOO_LARGE, WHY)])
    )
    assert dict(result.counts) == {Reason.TOO_LARGE: 3}
    assert offsets(result.batch) == good.offsets.tolist()
    assert places(wall, partition=1) == dict.fromkeys(range(5, 8), Reason.TOO_LARGE)


def test_years_1900_and_2100_are_inside(world):
    wall = world.wall()
    world.enrol(wall, "P-1")
    times = (dt.datetime(1900, 1, 1, tzinfo=dt.UTC), dt.datetime(2100, 12, 31, 23, 59, tzinfo=dt.UTC))
    assert len(wall.process(world.batch(GLUCOSE, [{"subject_id": "P-1", "occurred_at": t} for t in times])).batch) == 2


def test_bytes_that_are_no_event_are_sealed_and_replayed_without_a_second_seal(world):
    wall = world.wall()
    good = world.glucose("P-1", "P-1")
    batch = replace(good, values=[b"junk", good.values[1]])
    assert wall.process(batch).counts == {Reason.NOT_FRAMED: 1}
    again = wall.process(batch)
    assert (again.batch, dict(again.counts), again.parked) == (None, {}, 0)


def test_no_consent_for_the_domain_and_withdrawal_stop_events_also_from_a_warm_cache_of_another_process(world):
    wall, other = world.wall(), world.wall()
    world.enrol(wall, "P-1", consent_scope=["genome", "clinical"])
    assert len(other.process(world.glucose("P-1")).batch) == 1
    world.person(wall, "consent_change", {"subject_id": "P-1", "consent_scope": ["genome"]})
    assert other.process(world.glucose("P-1")).counts == {Reason.NO_CONSENT: 1}
    later = {"occurred_at": START + dt.timedelta(days=2)}
    world.person(wall, "consent_change", {"subject_id": "P-1", "consent_scope": ["clinical"], **later})
    assert len(other.process(world.glucose("P-1")).batch) == 1
    world.person(wall, "consent_change", {"subject_id": "P-1", "consent_scope": []})
    assert len(other.process(world.glucose("P-1")).batch) == 1, "an older decision does not undo a newer one"
    world.person(wall, "withdrawal", {"subject_id": "P-1"})
    assert other.process(world.glucose("P-1")).counts == {Reason.WITHDRAWN: 1}


def test_parked_events_of_a_person_without_consent_are_sealed_instead_of_released(world):
    wall = world.wall()
    wall.process(world.glucose("P-1", "P-2"))
    world.enrol(wall, "P-1", consent_scope=["lifestyle"])
    world.enrol(wall, "P-2")
    assert drain(wall) == [1]
    assert places(wall) == {0: Reason.NO_CONSENT, 1: "released"}


def test_what_was_let_through_or_offered_before_a_withdrawal_is_let_through_again_by_a_replay(world):
    wall = world.wall()
    wall.process(parked := world.glucose("P-1"))
    world.enrol(wall, "P-1")
    assert len(wall.process(through := world.glucose("P-1")).batch) == 1
    assert offsets(wall.releases(GLUCOSE, origin(0), 10).batch) == [0]
    world.person(wall, "withdrawal", {"subject_id": "P-1"})
    fresh = world.wall()
    assert offsets(fresh.process(through).batch) == [1]
    assert fresh.process(parked).batch is None
    assert offsets(fresh.releases(GLUCOSE, origin(0), 10).batch) == [0]


def test_merge_gives_both_histories_one_participant_from_then_on(world):
    wall, other = world.wall(), world.wall()
    world.enrol(wall, "P-1", "P-2")
    before = other.process(world.glucose("P-1", "P-2")).batch.frame["participant"].to_list()
    world.person(wall, "merge", {"subject_id": "P-1", "merged_id": "P-2"})
    after = other.process(world.glucose("P-1", "P-2")).batch.frame["participant"].to_list()
    assert before[0] != before[1]
    assert after == [before[0]] * 2
    assert wall._vault.status().participants == 1


def test_person_events_of_several_partitions_that_waited_are_applied_when_their_person_comes(world):
    wall = world.wall()
    link = event_type("person.identifier_link")
    waits = [
        world.batch(link, [{"subject_id": "P-1", "identifiers": [{"scheme": "app/band", "value": f"u-{each}"}]}], each)
        for each in (0, 3)
    ]
    assert wall.process(together(*waits)).parked == 2
    assert world.enrol(wall, "P-1").applied == 3
    assert [places(wall, link, each) for each in (0, 3)] == [{0: "applied"}] * 2


@pytest.mark.parametrize("partitions", [(0, 1), (0, 0)])
def test_a_link_that_waits_for_a_later_one_of_its_batch_is_applied_with_it(world, partitions):
    wall = world.wall()
    world.enrol(wall, "P-1")
    wall.process(parked := world.batch(GLUCOSE, [{"subject_scheme": "app/band", "subject_id": "u-1"}]))
    link = event_type("person.identifier_link")
    names = [{"scheme": "hospital/two", "value": "L-1"}, {"scheme": "app/band", "value": "u-1"}]
    second = world.batch(
        link, [{"subject_scheme": "hospital/two", "subject_id": "L-1", "identifiers": names[1:]}], partitions[0]
    )
    first = world.batch(link, [{"subject_id": "P-1", "identifiers": names[:1]}], partitions[1])
    assert wall.process(together(second, first)).applied == 2
    assert drain(wall) == parked.offsets.tolist()


def test_person_events_that_come_before_the_enrolment_wait_for_it_and_are_applied_then(world):
    wall = world.wall()
    link = {"subject_id": "P-1", "identifiers": [{"scheme": "app/band", "value": "u-1"}]}
    assert world.person(wall, "identifier_link", link).parked == 1
    assert world.person(wall, "withdrawal", {"subject_id": "P-2"}).parked == 1
    wall.process(world.batch(GLUCOSE, [{"subject_scheme": "app/band", "subject_id": "u-1"}]))
    assert world.enrol(wall, "P-1", "P-2").applied == 4
    assert drain(wall) == [0]
    assert wall.process(world.glucose("P-2")).counts == {Reason.WITHDRAWN: 1}
    assert places(wall, event_type("person.identifier_link")) == {0: "applied"}


def test_conflicting_and_invalid_person_events_are_sealed_and_change_nothing(world):
    wall = world.wall()
    world.enrol(wall, "P-1", "P-2")
    before = wall._vault.status()
    other = [{"scheme": "hospital/one", "value": "P-2"}]
    assert world.enrol(wall, "P-1", identifiers=other).counts == {Reason.PERSON_CONFLICT: 1}
    conflict = world.person(wall, "identifier_link", {"subject_id": "P-1", "identifiers": other})
    assert conflict.counts == {Reason.PERSON_CONFLICT: 1}
    assert world.enrol(wall, "P-3", consent_scope=["everything"]).counts == {Reason.PERSON_INVALID: 1}
    assert world.enrol(wall, "P-3", sex="850101-1234567").counts == {Reason.PERSON_INVALID: 1}
    bad = [{"scheme": "SSN", "value": "1"}]
    assert world.enrol(wall, "P-3", identifiers=bad).counts == {Reason.PERSON_INVALID: 1}
    assert world.person(wall, "withdrawal", {"subject_id": "P-1", "scope": "maybe"}).counts == {
        Reason.PERSON_INVALID: 1
    }
    after = wall._vault.status()
    assert (after.participants, after.identifiers, after.audit_entries) == (2, 2, before.audit_entries)


def test_a_replayed_person_event_is_applied_once(world):
    wall = world.wall()
    batch = world.batch(event_type("person.enrolment"), [{"subject_id": "P-1"}, {"subject_id": "P-2"}])
    assert wall.process(batch).applied == 2
    assert world.wall().process(batch).applied == 0
    assert wall._vault.status().audit_entries == 2


def test_policy_create_makes_one_participant_for_an_unknown_person_and_enrolment_finds_it(tmp_path):
    world = World(tmp_path, unstated_consent="clinical")
    wall = world.wall("create")
    frame = wall.process(world.glucose("P-1", "P-1", "P-2")).batch.frame
    assert (frame.height, frame["participant"].n_unique(), frame["enrolled_on"].null_count()) == (3, 2, 3)
    world.enrol(wall, "P-1")
    again = wall.process(world.glucose("P-1")).batch.frame
    assert again["participant"][0] == frame["participant"][0]
    assert again["enrolled_on"][0] == START.date()


def test_after_key_rotation_people_are_found_reindexed_and_parked_events_released(world: World):
    from biokeel.vault.keys import rotate_key_file

    wall = world.wall()
    world.enrol(wall, "P-1")
    before = wall.process(world.glucose("P-1", "P-2")).batch.frame["participant"][0]
    rotate_key_file(world.folder / "vault.keys")
    rotated = world.wall()
    assert rotated._vault.status().identifiers == 1
    assert rotated.process(world.glucose("P-1")).batch.frame["participant"][0] == before
    assert rotated._vault.status().identifiers == 2
    world.enrol(rotated, "P-2")
    assert drain(rotated) == [1]
    assert rotated._vault.verify_audit().faults == ()


def test_a_full_cache_forgets_and_still_answers_rightly(world):
    from biokeel.vault.people import People

    wall = world.wall()
    names = [f"P-{n}" for n in range(40)]
    world.enrol(wall, *names)
    want = wall.process(world.glucose(*names)).batch.frame["participant"].to_list()
    vault = wall._vault
    vault._people = People(vault._database, vault._keys.lookup, cache_entries=7)
    for start in range(0, 40, 3):
        some = names[start : start + 3] + names[max(0, start - 5) : start]
        got = wall.process(world.glucose(*some)).batch.frame["participant"].to_list()
        assert got == [want[names.index(name)] for name in some]
    assert wall.process(world.glucose(*names)).batch.frame["participant"].to_list() == want


@pytest.fixture
def stricter(monkeypatch):
    """Call it, and every row holds what is a leak by the rules of a later release."""

    def leak(_suspects, subjects, *_more):
        return [Leak("code", "a new pattern", np.ones(len(subjects), dtype=bool))]

    return lambda: monkeypatch.setattr(stage, "find_leaks", leak)


def test_what_was_let_through_or_offered_before_rules_became_stricter_is_let_through_again(world, stricter):
    wall = world.wall()
    parked = world.glucose("P-1", partition=1)
    wall.process(parked)
    world.enrol(wall, "P-1")
    assert wall.releases(GLUCOSE, origin(1), 10).batch is not None
    batch = world.glucose("P-1", "P-1")
    wall.process(batch)
    stricter()
    newer = world.glucose("P-1")
    assert offsets(wall.process(batch).batch) == [0, 1]
    assert drain(wall, partition=1) == [0]
    assert dict(wall.process(newer).counts) == {Reason.LEAK: 1}
    assert places(wall) == {2: Reason.LEAK}


def test_an_event_that_went_on_before_the_size_limit_was_lowered_ends_the_worker_and_is_not_sealed(world):
    wall = world.wall()
    world.enrol(wall, "P-1")
    batch = world.glucose("P-1", "P-1")
    wall.process(batch)
    world.codec = Codec(CATALOGUE, 16)
    with pytest.raises(PoisonBatch, match=r"/0@0 .* went on before: wire.too_large .* as 1 more do"):
        world.wall().process(batch)
    assert places(wall) == {}


def test_what_an_older_backup_has_forgotten_is_judged_as_a_new_event(world, stricter):
    wall = world.wall()
    world.enrol(wall, "P-1")
    wall.process(world.glucose("P-1"))
    lost = world.glucose("P-1", "P-1")
    wall._vault.accept({(GLUCOSE.raw_topic(origin(0).source), 0): 3})
    stricter()
    assert dict(wall.process(lost).counts) == {Reason.LEAK: 2}
    assert dict(wall.process(lost).counts) == {}, "sealed once"
    assert places(wall) == {1: Reason.LEAK, 2: Reason.LEAK}


def test_what_was_forgotten_and_let_through_anew_is_let_through_again_like_any_other(world, stricter):
    wall = world.wall()
    world.enrol(wall, "P-1")
    wall.process(world.glucose("P-1"))
    first, second = world.glucose("P-1", "P-1"), world.glucose("P-1", "P-1")
    wall._vault.accept({(GLUCOSE.raw_topic(origin(0).source), 0): 5})
    assert offsets(wall.process(first).batch) == [1, 2]
    stricter()
    assert offsets(wall.process(first).batch) == [1, 2]
    assert dict(wall.process(second).counts) == {Reason.LEAK: 2}
    assert wall._vault.forgotten(GLUCOSE, [0]) == []
