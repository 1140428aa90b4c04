"""The books of the consumer: what may be committed, whatever the order in which batches are settled."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from biokeel.engine.kafka.deliveries import Ledger, Partition
from biokeel.engine.kafka.records import Records

AT = Partition("raw.demo-one.clinical.glucose", 0)


def records(first, last):
    return Records(np.arange(first, last + 1), [b""] * (last + 1 - first), None, 0)


def test_nothing_is_committed_past_a_batch_that_is_not_settled():
    ledger = Ledger()
    ledger.assign(AT, 0)
    first, second = ledger.deliver(AT, records(0, 9)), ledger.deliver(AT, records(10, 19))
    ledger.settle(second)
    assert ledger.committable() == {}
    ledger.settle(first)
    assert ledger.committable() == {AT: 20}


def test_what_was_committed_is_not_committed_again():
    ledger = Ledger()
    ledger.assign(AT, 0)
    ledger.settle(ledger.deliver(AT, records(0, 4)))
    ledger.committed(ledger.committable())
    assert ledger.committable() == {}


def test_a_commit_that_failed_is_offered_again():
    ledger = Ledger()
    ledger.assign(AT, 0)
    ledger.settle(ledger.deliver(AT, records(0, 4)))
    assert ledger.committable() == ledger.committable() == {AT: 5}


def test_a_batch_of_an_earlier_assignment_cannot_be_settled():
    ledger = Ledger()
    ledger.assign(AT, 0)
    stale = ledger.deliver(AT, records(0, 4))
    ledger.revoke([AT])
    assert not ledger.settle(stale)
    ledger.assign(AT, 0)
    assert not ledger.is_current(stale)
    assert not ledger.settle(stale)
    assert ledger.committable() == {}


def test_records_below_the_position_are_not_handed_out_again():
    ledger = Ledger()
    ledger.assign(AT, 3)
    delivery = ledger.deliver(AT, records(0, 5))
    assert (delivery.first, delivery.last) == (3, 5)
    assert ledger.deliver(AT, records(0, 5)) is None


def test_a_partition_that_is_not_assigned_hands_out_nothing():
    assert Ledger().deliver(AT, records(0, 5)) is None


def test_a_stall_is_counted_from_the_last_movement_and_ends_when_nothing_waits():
    now = [0.0]
    ledger = Ledger(clock=lambda: now[0])
    ledger.assign(AT, 0)
    now[0] = 50.0
    assert ledger.longest_stall() == 0.0
    delivery = ledger.deliver(AT, records(0, 4))
    now[0] = 80.0
    assert ledger.longest_stall() == 30.0
    ledger.settle(delivery)
    assert ledger.longest_stall() == 0.0


@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=12), data=st.data())
def test_the_offset_to_commit_is_the_end_of_the_unbroken_settled_run(sizes, data):
    ledger = Ledger()
    ledger.assign(AT, 0)
    deliveries, start = [], 0
    for size in sizes:
        deliveries.append(ledger.deliver(AT, records(start, start + size - 1)))
        start += size
    order = data.draw(st.permutations(range(len(sizes))))
    settled = set()
    for index in order[: data.draw(st.integers(0, len(order)))]:
        ledger.settle(deliveries[index])
        settled.add(index)
        unbroken = next((i for i in range(len(sizes)) if i not in settled), len(sizes))
        expected = {AT: sum(sizes[:unbroken])} if unbroken else {}
        assert ledger.committable() == expected


def test_an_outage_begins_the_time_of_a_stall_anew():
    now = [0.0]
    ledger = Ledger(lambda: now[0])
    ledger.assign(AT, 0)
    ledger.deliver(AT, records(0, 1))
    now[0] = 200.0
    ledger.excuse()
    now[0] = 250.0
    assert ledger.longest_stall() == 50.0


def test_going_back_makes_everything_before_stale_and_is_told_once():
    ledger = Ledger()
    ledger.assign(AT, 0)
    first = ledger.deliver(AT, records(0, 2))
    ledger.rewind(AT, 1)
    assert not ledger.settle(first)
    assert (ledger.position(AT), ledger.rewound(), ledger.rewound()) == (1, {AT}, set())
    assert ledger.deliver(AT, records(1, 2)).first == 1


def test_an_emptied_delivery_keeps_its_places_only_and_is_settled_as_before():
    ledger = Ledger()
    ledger.assign(AT, 0)
    delivery = ledger.deliver(AT, Records(np.arange(3), [b"x"] * 3, [[]] * 3, 7))
    delivery.empty()
    assert delivery.records.values == [None] * 3
    assert (delivery.first, delivery.last, delivery.records.timestamp) == (0, 2, 7)
    assert ledger.settle(delivery)
    assert ledger.committable() == {AT: 3}


def test_what_holds_no_record_moves_the_position_and_the_offset_to_commit():
    ledger = Ledger()
    ledger.assign(AT, 0)
    first = ledger.deliver(AT, replace(records(2, 4), covers=(0, 7)))
    assert (first.first, first.last, len(first), ledger.position(AT)) == (0, 6, 3, 7)
    nothing = ledger.deliver(AT, Records(np.array([], dtype=np.int64), [], None, 0, covers=(5, 20)))
    assert (nothing.first, nothing.last, len(nothing)) == (7, 19, 0)
    ledger.settle(nothing)
    assert ledger.committable() == {}
    ledger.settle(first)
    assert ledger.committable() == {AT: 20}
    assert ledger.deliver(AT, Records(np.array([], dtype=np.int64), [], None, 0, covers=(5, 20))) is None
