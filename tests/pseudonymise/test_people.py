"""The index of people in memory: whatever it holds, answers are those of SQL."""

from __future__ import annotations

import pytest

from biokeel.vault import people
from biokeel.vault.keys import rotate_key_file
from biokeel.vault.people import People
from biokeel.vault.store import Vault
from tests.pseudonymise.conftest import World


@pytest.fixture(autouse=True)
def _always_loads(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(people, "LEAST_TO_LOAD", 0)


def of(vault: Vault, world: World, *subjects: str) -> list[int | None]:
    frame = world.codec.decode(world.glucose(*subjects)).accepted.frame
    generation = vault.snapshot(world.codec.decode(world.glucose("x")).accepted.event, [0]).generation
    return vault.look_up(frame["subject_scheme"], frame["subject_id"], generation)["participant"].to_list()


def test_whom_another_worker_enrols_after_the_index_was_loaded_is_found(world):
    wall, other = world.wall(), world.vault()
    world.enrol(wall, "P-1", "P-2")
    first, second = of(other, world, "P-1", "P-2")
    assert (len(other._people._index), len({first, second})) == (2, 2)
    world.enrol(wall, "P-3")
    third, again, nobody = of(other, world, "P-3", "P-1", "P-4")
    assert third is not None
    assert (again, nobody) == (first, None)


def test_what_another_worker_changes_is_seen_though_the_index_was_loaded_before(world):
    wall, other = world.wall(), world.wall()
    names = [f"P-{n}" for n in range(8)]
    world.enrol(wall, *names)
    assert len(other.process(world.glucose(*names)).batch) == 8
    world.person(wall, "consent_change", {"subject_id": "P-0", "consent_scope": ["genome"]})
    world.person(wall, "merge", {"subject_id": "P-2", "merged_id": "P-3"})
    world.person(wall, "withdrawal", {"subject_id": "P-4"})
    seen = other.process(world.glucose(*names)).batch.frame
    assert len(seen) == 6
    assert seen["participant"][1] == seen["participant"][2]


def test_of_a_vault_that_is_larger_than_the_index_sql_finds_the_rest(world):
    wall, small, large = world.wall(), world.vault(), world.vault()
    names = [f"P-{n}" for n in range(40)]
    world.enrol(wall, *names)
    small._people = People(small._database, small._keys.lookup, index_entries=7)
    assert of(small, world, *names) == of(large, world, *names)
    assert (len(small._people._index), len(large._people._index)) == (7, 40)


def test_whom_only_an_older_key_knows_is_found_beside_an_index_and_indexed_anew(world):
    world.enrol(world.wall(), "P-1", "P-2")
    rotate_key_file(world.folder / "vault.keys")
    rotated = world.vault()
    before = of(rotated, world, "P-1", "P-2")
    assert rotated.status().identifiers == 4
    assert None not in before
    assert of(world.vault(), world, "P-1", "P-2") == before


def test_the_index_is_loaded_anew_once_sql_found_a_quarter_as_many_as_it_holds(world):
    wall, other = world.wall(), world.vault()
    world.enrol(wall, *(f"P-{n}" for n in range(8)))
    of(other, world, "P-0")
    new = [f"Q-{n}" for n in range(4)]
    world.enrol(wall, *new)
    of(other, world, *new[:3])
    assert len(other._people._index) == 8
    of(other, world, new[3])
    assert len(other._people._index) == 12


def test_every_writing_of_a_number_finds_its_person_in_the_index(world):
    wall, other = world.wall(), world.vault()
    world.enrol(wall, "850517-2234567", subject_scheme="KR_RRN")
    of(other, world, "P-1")
    written = ("8505172234567", "850517-2234567", "850517 2234567", "８５０５１７－２２３４５６７")
    frame = world.codec.decode(world.glucose(*written, subject_scheme="KR_FRN")).accepted.frame
    found = other.look_up(frame["subject_scheme"], frame["subject_id"], 0)
    assert found["participant"].n_unique() == 1
    assert found["sex"].to_list() == ["female"] * 4
