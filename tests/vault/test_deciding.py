"""Deciding several partitions at once: all of it or nothing."""

import pytest

from biokeel.batch import At, RawPartition, SealedRejection
from biokeel.contracts.topics import event_type
from biokeel.reasons import Reason
from biokeel.vault.identifiers import Identifier
from biokeel.vault.parking import ToPark
from biokeel.vault.store import Snapshot
from tests.pseudonymise.conftest import World, world

pytestmark = pytest.mark.usefixtures("each_database")

__all__ = ["world"]

EVENT = event_type("clinical.glucose")
A, B, C = RawPartition("hospital-a", 0), RawPartition("app-a", 0), RawPartition("app-a", 1)
"""Partitions of two sources; two have the same number."""


def decide(vault, snapshot, last):
    """Decide up to `last`, with an event parked and one sealed in each partition."""
    return vault.decide(
        EVENT,
        snapshot,
        last,
        parked=[ToPark(At(*each, 0), Identifier("app/demo", "somebody"), b"x") for each in last],
        sealed=[SealedRejection(At(*each, 1), Reason.LEAK, "code", b"y") for each in last],
    )


def test_a_snapshot_knows_each_partition_that_was_asked_for(world: World):
    vault = world.vault()
    assert decide(vault, vault.snapshot(EVENT, [B, C]), {B: 5, C: 1})
    assert vault.snapshot(EVENT, [A, B, C]) == Snapshot(0, {A: -1, B: 5, C: 1})
    assert vault.settled(EVENT, {B: (0, 5), C: (1, 9), A: (0, 9)}) == {(*B, 0), (*B, 1), (*C, 1)}


@pytest.mark.parametrize("taken", [A, B, C])
def test_where_another_worker_decided_on_one_of_the_partitions_nothing_is_written_of_any(world: World, taken):
    vault, other = world.vault(), world.vault()
    snapshot = vault.snapshot(EVENT, [A, B, C])
    assert other.decide(EVENT, other.snapshot(EVENT, [taken]), {taken: 0}, parked=[], sealed=[])
    assert not decide(vault, snapshot, {A: 3, B: 3, C: 3})
    assert vault.snapshot(EVENT, [A, B, C]).decided == {A: -1, B: -1, C: -1} | {taken: 0}
    assert vault.settled(EVENT, dict.fromkeys((A, B, C), (0, 9))) == set()


def test_another_partition_is_no_reason_to_start_over_and_a_replay_takes_nothing_back(world: World):
    vault, other = world.vault(), world.vault()
    snapshot = vault.snapshot(EVENT, [A, B])
    assert other.decide(EVENT, other.snapshot(EVENT, [C]), {C: 7}, parked=[], sealed=[])
    assert decide(vault, snapshot, {A: 3, B: 3})
    assert vault.decide(EVENT, vault.snapshot(EVENT, [A, C]), {A: 1, C: 9}, parked=[], sealed=[])
    assert vault.snapshot(EVENT, [A, B, C]).decided == {A: 3, B: 3, C: 9}
