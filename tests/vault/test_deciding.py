"""Deciding several partitions at once: all of it or nothing."""

import pytest

from biokeel.batch import SealedRejection
from biokeel.contracts.topics import event_type
from biokeel.reasons import Reason
from biokeel.vault.identifiers import Identifier
from biokeel.vault.parking import ToPark
from biokeel.vault.store import Snapshot
from tests.pseudonymise.conftest import World, world

__all__ = ["world"]

EVENT = event_type("clinical.glucose")


def decide(vault, snapshot, last):
    """Decide up to `last`, with an event parked and one sealed in each partition."""
    return vault.decide(
        EVENT,
        snapshot,
        last,
        parked=[ToPark((each, 0), Identifier("app/demo", "somebody"), b"x") for each in last],
        sealed=[SealedRejection(each, 1, Reason.LEAK, "code", b"y") for each in last],
    )


def test_a_snapshot_knows_each_partition_that_was_asked_for(world: World):
    vault = world.vault()
    assert decide(vault, vault.snapshot(EVENT, [1, 4]), {1: 5, 4: 1})
    assert vault.snapshot(EVENT, [0, 1, 4]) == Snapshot(0, {0: -1, 1: 5, 4: 1})
    assert vault.settled(EVENT, {1: (0, 5), 4: (1, 9), 0: (0, 9)}) == {(1, 0), (1, 1), (4, 1)}


@pytest.mark.parametrize("taken", [0, 1, 2])
def test_where_another_worker_decided_on_one_of_the_partitions_nothing_is_written_of_any(world: World, taken):
    vault, other = world.vault(), world.vault()
    snapshot = vault.snapshot(EVENT, [0, 1, 2])
    assert other.decide(EVENT, other.snapshot(EVENT, [taken]), {taken: 0}, parked=[], sealed=[])
    assert not decide(vault, snapshot, {0: 3, 1: 3, 2: 3})
    assert vault.snapshot(EVENT, [0, 1, 2]).decided == {0: -1, 1: -1, 2: -1} | {taken: 0}
    assert vault.settled(EVENT, dict.fromkeys(range(3), (0, 9))) == set()


def test_another_partition_is_no_reason_to_start_over_and_a_replay_takes_nothing_back(world: World):
    vault, other = world.vault(), world.vault()
    snapshot = vault.snapshot(EVENT, [0, 1])
    assert other.decide(EVENT, other.snapshot(EVENT, [2]), {2: 7}, parked=[], sealed=[])
    assert decide(vault, snapshot, {0: 3, 1: 3})
    assert vault.decide(EVENT, vault.snapshot(EVENT, [0, 2]), {0: 1, 2: 9}, parked=[], sealed=[])
    assert vault.snapshot(EVENT, [0, 1, 2]).decided == {0: 3, 1: 3, 2: 9}
