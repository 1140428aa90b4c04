"""A source is believed only as itself: what it was not granted is sealed, each with a reason of its own."""

import pytest

from biokeel.batch import RawBatch, RawPartition
from biokeel.contracts.sources import Register
from biokeel.contracts.topics import PERSON_EVENTS, event_type
from biokeel.pseudonymise.wall import Wall
from biokeel.reasons import Reason
from tests.pseudonymise.conftest import GLUCOSE, World, together
from tests.registers import source

LINK = event_type("person.identifier_link")
HOSPITAL = source("hospital-one", schemes=("KR_RRN", "hospital/one"))
OTHER = source("hospital-two", schemes=("hospital/two",))
APP = source("app-a", events=("lifestyle.*",), schemes=("app/a",))


@pytest.fixture
def registered():
    """What is registered, by id; a test may change it while the wall runs."""
    return {each.id: each for each in (HOSPITAL, OTHER, APP)}


@pytest.fixture
def wall(world: World, registered):
    return Wall(world.codec, world.vault(), world.schemas, lambda: Register(registered.values()))


def sent_by(owner, world: World, event, *rows, partition=0):
    """`rows` as they stand in a topic of `owner`; they say that they are its own, unless they say otherwise."""
    made = world.batch(event, [{"source_id": owner, **row} for row in rows])
    return RawBatch.of(event, [(RawPartition(owner, partition), made.offsets, made.values)])


def reasons(wall, batch):
    return dict(wall.process(batch).counts)


def test_an_event_in_the_name_of_another_is_sealed_whoever_is_registered(world, wall):
    world.enrol(wall, "P-1")
    for name in ("hospital-two", "nobody", "", "HOSPITAL-ONE"):
        batch = sent_by("hospital-one", world, GLUCOSE, {"subject_id": "P-1", "source_id": name})
        assert reasons(wall, batch) == {Reason.NOT_ITS_OWN: 1}


def test_an_event_about_a_patient_of_another_is_sealed_and_its_neighbours_of_both_sources_go_on(world, wall):
    world.enrol(wall, "P-1")
    mine = sent_by("hospital-one", world, GLUCOSE, {"subject_id": "P-1"}, {"subject_scheme": "hospital/two"} | NOBODY)
    theirs = sent_by("hospital-two", world, GLUCOSE, {"subject_id": "P-1"}, {"subject_scheme": "hospital/two"} | NOBODY)
    result = wall.process(together(mine, theirs))
    assert dict(result.counts) == {Reason.SCHEME_NOT_GRANTED: 2}
    assert result.batch.frame.select("source_id", "raw_partition", "raw_offset").rows() == [("hospital-one", 0, 0)]
    assert result.parked == 1, "whom it may speak of it may speak of before he is enrolled"


NOBODY = {"subject_id": "P-9"}


def test_an_event_type_that_a_source_was_not_granted_is_sealed(world, wall):
    batch = sent_by("app-a", world, GLUCOSE, {"subject_scheme": "app/a", "subject_id": "u-1"})
    assert reasons(wall, batch) == {Reason.EVENT_NOT_GRANTED: 1}


@pytest.mark.parametrize("event", PERSON_EVENTS, ids=str)
def test_a_source_that_was_granted_no_person_event_changes_nobody(world, wall, event):
    world.enrol(wall, "P-1", "P-2")
    more = {"merged_scheme": "hospital/one", "merged_id": "P-2"} if event.name == "merge" else {}
    before = wall._vault.status()
    batch = sent_by("app-a", world, event, {"subject_id": "P-1", **more})
    result = wall.process(batch)
    assert (dict(result.counts), result.applied) == ({Reason.EVENT_NOT_GRANTED: 1}, 0)
    after = wall._vault.status()
    assert (after.participants, after.withdrawn, after.identifiers) == (
        before.participants,
        before.withdrawn,
        before.identifiers,
    )


def test_a_link_or_merge_with_a_number_of_another_is_sealed_though_its_subject_is_the_sources_own(world, wall):
    world.enrol(wall, "P-1")
    others = [{"scheme": "KR_RRN", "value": "850101-1234568"}, {"scheme": "hospital/two", "value": "P-1"}]
    link = sent_by("hospital-one", world, LINK, {"subject_id": "P-1", "identifiers": others})
    assert reasons(wall, link) == {Reason.SCHEME_NOT_GRANTED: 1}
    merge = {"subject_id": "P-1", "merged_scheme": "hospital/two", "merged_id": "P-1"}
    assert reasons(wall, sent_by("hospital-one", world, event_type("person.merge"), merge)) == {
        Reason.SCHEME_NOT_GRANTED: 1
    }


def test_grants_hold_as_they_are_now_and_what_went_on_before_goes_on_again(world, wall, registered):
    world.enrol(wall, "P-1")
    batch = sent_by("hospital-one", world, GLUCOSE, {"subject_id": "P-1"})
    assert len(wall.process(batch).batch) == 1
    registered["hospital-one"] = HOSPITAL.model_copy(update={"schemes": ("KR_RRN",)})
    assert len(wall.process(batch).batch) == 1, "a replay: it may have landed"
    newer = sent_by("hospital-one", world, GLUCOSE, {"subject_id": "P-1"})
    assert reasons(wall, newer) == {Reason.SCHEME_NOT_GRANTED: 1}
    del registered["hospital-one"]
    newest = sent_by("hospital-one", world, GLUCOSE, {"subject_id": "P-1"})
    assert reasons(wall, newest) == {Reason.EVENT_NOT_GRANTED: 1}


def test_a_grant_of_a_hospital_covers_its_servers(world, wall):
    world.enrol(wall, "P-1")
    scheme = "hospital/one." + "0" * 16
    batch = sent_by("hospital-one", world, GLUCOSE, {"subject_scheme": scheme, "subject_id": "P-1"})
    assert wall.process(batch).parked == 1
