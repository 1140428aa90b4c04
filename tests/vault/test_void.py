"""Offsets that hold no event: the vault knows them, whoever noted them, in whatever pieces, however often."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biokeel.batch import At, SealedRejection
from biokeel.reasons import Reason
from tests.pseudonymise.conftest import GLUCOSE, World, origin, world

pytestmark = pytest.mark.usefixtures("each_database")

__all__ = ["world"]

runs = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 5)), max_size=8)


def void(vault, partition=0):
    books = vault.books(GLUCOSE, origin(partition))
    return books.filter(books["place"] == "void")["offset"].to_list()


@given(said=st.lists(runs, max_size=4))
def test_every_offset_that_was_said_to_hold_none_is_void_once(tmp_path_factory, said):
    world = World(tmp_path_factory.mktemp("void"))
    try:
        for some in said:
            world.vault().leave_out(GLUCOSE, [(origin(0), first, first + more) for first, more in some])
        expected = {each for some in said for first, more in some for each in range(first, first + more + 1)}
        vault = world.vault()
        assert void(vault) == sorted(expected)
        place = GLUCOSE.raw_topic(origin(0).source), 0
        assert vault.known([place]) == {place: max(expected, default=-1)}
    finally:
        world.close()


def test_a_worker_that_lags_behind_another_takes_nothing_back(world):
    """A zombie is given less at a time, and notes less, than who has the partition by now."""
    vault, late = world.vault(), world.vault()
    vault.leave_out(GLUCOSE, [(origin(0), 10, 20)])
    late.leave_out(GLUCOSE, [(origin(0), 10, 12)])
    assert void(vault) == list(range(10, 21))


def test_partitions_are_apart_and_what_is_sealed_stands_beside(world):
    vault = world.vault()
    vault.leave_out(GLUCOSE, [(origin(0), 1, 2), (origin(1), 0, 0)])
    sealed = SealedRejection(At(*origin(0), 3), Reason.EMPTY, "no bytes", b"")
    snapshot = vault.snapshot(GLUCOSE, [origin(0)])
    assert vault.decide(GLUCOSE, snapshot, {origin(0): 3}, parked=[], sealed=[sealed])
    assert vault.books(GLUCOSE, origin(0)).rows() == [(1, "void", None), (2, "void", None), (3, "sealed", "wire.empty")]
    assert void(vault, 1) == [0]
