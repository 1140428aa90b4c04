"""The wall with a stage that raises on some events: those are sealed, the others go on, whatever dies and replays."""

import polars as pl
import pytest

from biokeel.contracts.topics import event_type
from biokeel.errors import PoisonBatch, VaultUnavailable
from biokeel.pseudonymise import wall as module
from biokeel.reasons import Reason
from tests.poison_switch import PoisonSwitch
from tests.pseudonymise.conftest import GLUCOSE, SOURCES, drain, offsets, origin

POISON = "2339-0"
"""A code on which the stage of these tests raises."""
ENROLMENT = event_type("person.enrolment")


@pytest.fixture(autouse=True)
def turned_on(monkeypatch):
    """Stages raise on poison; `with turned_on(False)` they do not, as in the release before."""
    switch = PoisonSwitch(monkeypatch)
    stage, persons = module.pseudonymise, module.read_persons

    def pseudonymise(batch, *more):
        if switch.raises and (batch.frame["code"] == POISON).any():
            raise pl.exceptions.PanicException("850101-1234567")
        return stage(batch, *more)

    def read_persons(batch, *more):
        if switch.raises and batch.frame["subject_id"].str.contains("poison").any():
            raise ValueError("850101-1234567")
        return persons(batch, *more)

    monkeypatch.setattr(module, "pseudonymise", pseudonymise)
    monkeypatch.setattr(module, "read_persons", read_persons)
    return switch.turned_on


def places(wall, event=GLUCOSE, partition=0):
    return {
        row["offset"]: row["reason"] or row["place"] for row in wall._vault.books(event, origin(partition)).to_dicts()
    }


def glucose(world, *subjects):
    """Events of `subjects`; of one whose name ends with an exclamation mark, a poisonous one."""
    rows = [{"subject_id": each.rstrip("!"), "code": POISON if "!" in each else "2345-7"} for each in subjects]
    return world.batch(GLUCOSE, rows)


def test_poison_is_sealed_and_the_others_pass_in_order_or_are_parked(world, caplog):
    wall = world.wall()
    world.enrol(wall, "P-1", "P-2")
    result = wall.process(glucose(world, "P-1", "P-2!", "P-2", "P-9", "P-9!", "P-1"))
    assert offsets(result.batch) == [0, 2, 5]
    assert (dict(result.counts), result.parked) == ({Reason.STAGE_FAILED: 2}, 1)
    assert places(wall) == {1: Reason.STAGE_FAILED, 3: "parked", 4: Reason.STAGE_FAILED}
    assert "raw.hospital-one.clinical.glucose/0@1 is set aside: PanicException" in caplog.text
    assert "850101" not in caplog.text


def test_a_batch_of_nothing_but_poison_is_sealed_whole(world):
    wall = world.wall()
    result = wall.process(glucose(world, "P-1!", "P-2!"))
    assert result.batch is None
    assert places(wall) == dict.fromkeys(range(2), Reason.STAGE_FAILED)


def test_a_replay_finds_the_sealed_poison_and_lets_the_same_rows_through(world):
    wall = world.wall()
    world.enrol(wall, "P-1")
    batch = glucose(world, "P-1", "P-1!", "P-1")
    first, second = wall.process(batch), world.wall().process(batch)
    assert offsets(first.batch) == offsets(second.batch) == [0, 2]
    assert dict(second.counts) == {}


def test_an_event_that_went_on_before_is_never_sealed(world, turned_on):
    wall = world.wall()
    world.enrol(wall, "P-1")
    batch = glucose(world, "P-1", "P-1!")
    with turned_on(False):
        assert offsets(wall.process(batch).batch) == [0, 1]
    with pytest.raises(PoisonBatch, match="@1 fails on an event that went on before"):
        wall.process(batch)
    assert places(wall) == {}


def test_poison_among_parked_events_is_sealed_when_its_person_comes_and_the_others_are_released(world, turned_on):
    wall = world.wall()
    with turned_on(False):
        assert wall.process(glucose(world, "P-1", "P-1!", "P-1")).parked == 3
    world.enrol(wall, "P-1")
    assert drain(wall) == [0, 2]
    assert places(wall) == {0: "released", 1: Reason.STAGE_FAILED, 2: "released"}


def test_a_parked_event_that_was_offered_before_is_never_sealed(world, turned_on):
    wall = world.wall()
    with turned_on(False):
        wall.process(glucose(world, "P-1!"))
        world.enrol(wall, "P-1")
        assert offsets(wall.releases(GLUCOSE, origin(0), 10).batch) == [0]
    with pytest.raises(PoisonBatch, match="went on before"):
        wall.releases(GLUCOSE, origin(0), 10)
    assert places(wall) == {0: "parked"}


def test_a_poisonous_person_event_is_sealed_and_the_others_are_applied(world):
    wall = world.wall()
    result = world.enrol(wall, "P-1", "poison", "P-2")
    assert (result.applied, dict(result.counts)) == (2, {Reason.STAGE_FAILED: 1})
    assert places(wall, ENROLMENT) == {0: "applied", 1: Reason.STAGE_FAILED, 2: "applied"}
    assert offsets(wall.process(glucose(world, "P-1", "P-2")).batch) == [0, 1]


def test_a_vault_that_is_away_is_no_poison(world, monkeypatch):
    wall = world.wall()
    batch = glucose(world, "P-1")

    def away(*_arguments):
        raise VaultUnavailable("The vault's database does not answer.")

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(wall._vault, "look_up", away)
        with pytest.raises(VaultUnavailable):
            wall.process(batch)
    assert wall.process(batch).parked == 1


def test_more_poison_than_the_setting_allows_ends_the_worker_with_nothing_decided(world):
    wall = module.Wall(world.codec, world.vault(), world.schemas, SOURCES, set_aside=1)
    with pytest.raises(PoisonBatch, match="BIOKEEL_SET_ASIDE_EVENTS"):
        wall.process(glucose(world, "P-1!", "P-1!", "P-1"))
    assert places(wall) == {}
    assert drain(wall) == []
