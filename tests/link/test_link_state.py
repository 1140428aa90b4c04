"""Every version of a state says what counting one by one gives, whoever has gone on from it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from biokeel.link.state import PersonState, Run
from biokeel.link.table import Table
from tests.link.test_link_stage import link_one, validated

SCATTER = 0x9E3779B97F4A7C15
BACK = pow(SCATTER, -1, 2**64)


def crowded(number):
    """A participant whose search in the index begins where that of every other of these does."""
    return int(np.uint64(number * BACK % 2**64).astype(np.int64))


SPREAD = st.integers(0, 2**60 - 1)
NEAR = st.integers(0, 20)
CROWD = st.integers(0, 300).map(crowded)
PERSONS = st.one_of(st.lists(st.one_of(SPREAD, NEAR, CROWD), max_size=20), st.integers(0, 300).map(range))
STEPS = st.lists(st.tuples(st.integers(0, 9), PERSONS, st.sampled_from([int, crowded])), max_size=8)


def counted(known, events):
    """The records after `events`, one by one."""
    after = dict(known)
    for person, time in events:
        count, _, first, last = after.get(person, (0, None, time, time))
        after[person] = (count + 1, time, min(first, time), max(last, time))
    return after


def run_of(known):
    persons = sorted(known)
    return persons, [list(known[person]) for person in persons]


@given(STEPS, st.randoms(use_true_random=False))
def test_every_version_says_what_counting_gives_whatever_was_linked_after_it(steps, random):
    versions = [(PersonState(), {})]
    for back, persons, number in steps:
        state, known = versions[-1 - back % len(versions)]
        events = [(number(person), random.randint(-(10**12), 10**12)) for person in persons]
        linked, after = link_one(validated(events), state)
        versions.append((after, counted(known, events)))
        assert linked.frame["sequence"].to_list() == [
            counted(known, events[: place + 1])[person][0] for place, (person, _) in enumerate(events)
        ]
    for state, known in versions:
        persons, records = run_of(known)
        whole = state.whole()
        assert len(state) == len(persons)
        assert (whole.participants.tolist(), whole.values.tolist()) == (persons, records)
        asked = [*persons, 2**61]
        assert state.records(np.array(asked)).tolist() == [*records, [0, 0, 0, 0]]


@given(st.lists(st.lists(st.integers(-(2**63), 2**63 - 1) | CROWD, max_size=200), max_size=6))
def test_a_participant_keeps_its_row_while_the_table_grows(lists):
    table, rows = Table(np.empty(0, np.int64), np.empty((0, 4), np.int64)), {}
    for participants in lists:
        new = [each for each in dict.fromkeys(participants) if each not in rows]
        table.append(np.array(new, dtype=np.int64))
        rows |= {each: len(rows) + 1 + place for place, each in enumerate(new)}
        asked = np.array([*rows, *range(50)], dtype=np.int64)
        assert table.find(asked).tolist() == [rows.get(each, 0) for each in asked.tolist()]


def test_a_version_that_is_read_in_one_thread_stands_still_while_another_goes_on_from_it():
    random = np.random.default_rng(5)
    _, held = link_one(validated([(person, person) for person in range(20_000)]), PersonState())
    batches = [validated([(int(person), 1) for person in random.integers(0, 40_000, 2000)]) for _ in range(20)]
    expected = held.whole()
    with ThreadPoolExecutor(1) as pool:
        reads = [pool.submit(held.whole) for _ in range(20)]
        state = held
        for batch in batches:
            _, state = link_one(batch, state)
    for read in reads:
        assert np.array_equal(read.result().participants, expected.participants)
        assert np.array_equal(read.result().values, expected.values)
    assert state.whole().values[:, 0].sum() == 20_000 + 20 * 2000


def test_a_state_begins_with_the_records_it_is_given():
    run = Run(np.array([3, 2**60 - 1]), np.array([[2, 7, 5, 9], [1, 4, 4, 4]]))
    linked, after = link_one(validated([(3, 6)]), PersonState(run))
    assert linked.frame["sequence"].to_list() == [3]
    assert after.whole().values.tolist() == [[3, 6, 5, 9], [1, 4, 4, 4]]
