from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biokeel.books.intervals import NOTHING, Bag, Intervals, coverage, union

numbers = st.lists(st.integers(0, 40) | st.integers(0, 1 << 61))
small = st.lists(st.integers(0, 30))


def array(values):
    return np.array(list(values), dtype=np.int64)


def made(values):
    return Intervals.of(array(values))


def listed(intervals):
    return [offset for first, last in intervals.runs() for offset in range(first, last + 1)]


def is_canonical(intervals):
    lengths, gaps = intervals.ends - intervals.starts, intervals.starts[1:] - intervals.ends[:-1]
    return bool((lengths > 0).all() and (gaps > 0).all()) and intervals.starts.dtype == np.int64


@given(numbers)
def test_a_set_of_offsets_is_what_a_set_of_python_is(values):
    found = made(values)
    assert is_canonical(found)
    assert listed(found) == sorted(set(values))
    assert len(found) == len(set(values))
    assert bool(found) == bool(values)
    assert all(value in found for value in values)
    assert found.first(5).tolist() == sorted(set(values))[:5]


@given(small, small)
def test_union_intersection_and_difference_are_those_of_sets(one, other):
    a, b, ones, others = made(one), made(other), set(one), set(other)
    for found, wanted in ((a | b, ones | others), (a & b, ones & others), (a - b, ones - others)):
        assert is_canonical(found)
        assert listed(found) == sorted(wanted)
    assert (a == b) == (ones == others)
    assert [value in a for value in range(31)] == [value in ones for value in range(31)]


@given(small, st.integers(0, 31), st.integers(0, 31))
def test_what_lies_within_bounds_is_cut_at_them(values, low, high):
    found = made(values).within(low, high)
    assert is_canonical(found)
    assert listed(found) == sorted(value for value in set(values) if low <= value < high)


@given(st.lists(small, max_size=5))
def test_of_many_sets_it_is_known_what_any_holds_and_what_two_hold(many):
    counts = Counter(value for each in many for value in set(each))
    all_of_them, twice = coverage(map(made, many))
    assert is_canonical(all_of_them)
    assert is_canonical(twice)
    assert listed(all_of_them) == sorted(counts)
    assert listed(twice) == sorted(value for value, count in counts.items() if count > 1)
    assert union(map(made, many)) == all_of_them


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 9))))
def test_runs_may_touch_and_overlap_in_any_order(pairs):
    first, lengths = array(first for first, _ in pairs), array(length for _, length in pairs)
    found = Intervals.of_runs(first, first + lengths)
    assert is_canonical(found)
    assert listed(found) == sorted({offset for first, length in pairs for offset in range(first, first + length + 1)})


@given(numbers)
def test_bytes_hold_the_same_set(values):
    assert Intervals.from_bytes(made(values).to_bytes()) == made(values)


@pytest.mark.parametrize("values", [range(100_000_000, 100_000_100), [0], [(1 << 62) - 1], [0, 1 << 61]])
def test_few_intervals_are_few_bytes(values):
    found = made(values)
    assert len(found.to_bytes()) <= 9 + 8 * (2 * len(found.starts) - 1)
    assert Intervals.from_bytes(found.to_bytes()) == found
    assert Intervals.from_bytes(NOTHING.to_bytes()) == NOTHING


@given(small, small, small)
def test_a_bag_counts_as_a_counter_does(one, more, some):
    bag = Bag.of(array(one)) + Bag.of(array(more))
    counts = Counter(one) + Counter(more)
    assert bag == Bag.of(array(counts.elements()))
    assert len(bag) == counts.total()
    assert listed(bag.all) == sorted(counts)
    assert listed(bag.doubled) == sorted(value for value, count in counts.items() if count > 1)
    assert bag - Bag.of(array(more)) == Bag.of(array(one))
    assert bag - bag == Bag()
    assert bag.without(made(some)) == Bag.of(array(value for value in counts.elements() if value not in some))
    assert bag.within(3, 9) == Bag.of(array(value for value in counts.elements() if 3 <= value < 9))
    assert bag & made(some) == Bag.of(array(value for value in counts.elements() if value in some))


def test_taking_out_what_is_not_there_is_refused():
    with pytest.raises(LookupError, match="1 offsets are not there"):
        Bag.of(array([1, 2, 2])) - Bag.of(array([2, 1, 1]))


def test_a_partition_that_came_in_batches_of_any_order_is_one_interval():
    found = NOTHING
    for start in np.random.default_rng(3).permutation(100):
        found |= made(range(start * 50, start * 50 + 50))
    assert found.runs() == [(0, 4_999)]


def test_a_hundred_million_events_in_two_million_intervals_are_no_work():
    starts = np.arange(0, 100_000_000, 50, dtype=np.int64)
    landed, rest = Intervals(starts, starts + 49), Intervals(starts + 49, starts + 50)
    assert (landed | rest).runs() == [(0, 99_999_999)]
    assert not landed & rest
    assert len(Intervals.span(0, 100_000_000) - landed) == 2_000_000
    assert Intervals.from_bytes(landed.to_bytes()) == landed
