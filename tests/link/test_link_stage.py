"""Linking follows the order of the partition, whatever way it is cut into batches."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from itertools import pairwise

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from biokeel.batch import COORDINATES, ENVELOPE, ROW, PseudonymisedBatch, ValidatedBatch
from biokeel.contracts.topics import event_type
from biokeel.link.stage import drop_repeats, link
from biokeel.link.state import PersonState, Snapshot, from_bytes, to_bytes

EVENT = event_type("clinical.glucose")
EVENTS = st.lists(st.tuples(st.integers(0, 6), st.integers(-(10**12), 10**12)), max_size=60)
CUTS = st.lists(st.integers(0, 60), max_size=5).map(sorted)


def validated(events, enrolled=dt.date(2020, 1, 1), birth_year=1980, offset=None, partition=0):
    frame = pl.DataFrame(
        {
            "pseudo_partition": pl.Series([partition] * len(events), dtype=pl.Int32),
            "participant": pl.Series([person for person, _ in events], dtype=pl.Int64),
            "occurred_at": pl.Series([time for _, time in events], dtype=pl.Int64).cast(pl.Datetime("ms", "UTC")),
            "occurred_offset_minutes": pl.Series([offset] * len(events), dtype=pl.Int32),
            "birth_year": pl.Series([birth_year] * len(events), dtype=pl.Int32),
            "enrolled_on": pl.Series([enrolled] * len(events), dtype=pl.Date),
        }
    )
    return ValidatedBatch(EVENT, frame)


def link_one(batch, state):
    """`link` of a batch of one partition."""
    linked, states = link(batch, {0: state})
    return linked, states[0]


def cut(events, cuts):
    edges = [0, *(at for at in cuts if at < len(events)), len(events)]
    return [events[start:end] for start, end in pairwise(edges)]


@given(EVENTS, CUTS)
def test_sequence_and_time_since_previous_are_what_counting_one_by_one_gives(events, cuts):
    state, frames = PersonState(), []
    for part in cut(events, cuts):
        linked, state = link_one(validated(part), state)
        frames.append(linked.frame)
    got = pl.concat(frames).select("sequence", "seconds_since_previous").rows()

    seen, expected = defaultdict(list), []
    for person, time in events:
        before = seen[person]
        expected.append((len(before) + 1, (time - before[-1]) / 1000 if before else None))
        before.append(time)
    assert got == expected
    persons = np.array(sorted(seen), dtype=np.int64)
    records = state.records(persons)
    of = [seen[person] for person in persons]
    assert records.tolist() == [[len(times), times[-1], min(times), max(times)] for times in of]


@given(st.lists(EVENTS, min_size=1, max_size=4), st.lists(EVENTS, min_size=4, max_size=4))
def test_partitions_that_are_linked_in_one_call_get_what_each_gets_by_itself(known, events):
    """Even where a participant is in several of them, as none is in Kafka."""
    states = {partition: link_one(validated(before), PersonState())[1] for partition, before in enumerate(known)}
    alone = {p: link(validated(events[p], partition=p), {p: state}) for p, state in states.items()}
    order = sorted(states, reverse=True)
    whole = pl.concat([validated(events[p], partition=p).frame for p in order])
    linked, after = link(ValidatedBatch(EVENT, whole), states | {9: PersonState()})
    assert_frame_equal(linked.frame, pl.concat([alone[p][0].frame for p in order]))
    assert after == {p: alone[p][1][p] for p in states} | {9: PersonState()}


@given(EVENTS, CUTS, CUTS)
def test_how_a_partition_is_cut_into_batches_changes_neither_rows_nor_state(events, cuts, others):
    ends = []
    for way in (cuts, others):
        state, frames = PersonState(), []
        for part in cut(events, way):
            linked, state = link_one(validated(part), state)
            frames.append(linked.frame)
        ends.append((pl.concat(frames), state))
    assert_frame_equal(ends[0][0], ends[1][0])
    assert ends[0][1] == ends[1][1]


def test_a_state_that_somebody_holds_is_not_changed_by_what_is_linked_after():
    _, held = link_one(validated([(1, 10), (2, 20)]), PersonState())
    before = held.records(np.array([1, 2, 3])).copy()
    link_one(validated([(1, 30), (3, 40)]), held)
    assert np.array_equal(held.records(np.array([1, 2, 3])), before)


def test_an_event_that_comes_late_counts_by_arrival_and_has_a_negative_time():
    linked, state = link_one(validated([(1, 5000), (1, 2000)]), PersonState())
    assert linked.frame["sequence"].to_list() == [1, 2]
    assert linked.frame["seconds_since_previous"].to_list() == [None, -3.0]
    assert state.records(np.array([1]))[0].tolist() == [2, 2000, 2000, 5000]


def test_age_and_days_count_in_the_local_time_of_the_source():
    new_year_in_korea = int(dt.datetime(2023, 12, 31, 20, tzinfo=dt.UTC).timestamp() * 1000)
    korean, _ = link_one(validated([(1, new_year_in_korea)], dt.date(2024, 1, 2), offset=540), PersonState())
    unknown, _ = link_one(validated([(1, new_year_in_korea)], dt.date(2024, 1, 2)), PersonState())
    columns = ["age_at_event", "days_since_enrolment"]
    assert korean.frame.select(columns).row(0) == (44, -1)
    assert unknown.frame.select(columns).row(0) == (43, -2)


def test_a_person_of_unknown_birth_year_and_enrolment_has_no_age_and_no_days():
    linked, _ = link_one(validated([(1, 0)], enrolled=None, birth_year=None), PersonState())
    assert linked.frame.select("age_at_event", "days_since_enrolment").row(0) == (None, None)


def test_a_batch_without_rows_has_the_columns_and_changes_nothing():
    full, _ = link_one(validated([(1, 0)]), PersonState())
    linked, state = link_one(validated([]), PersonState())
    assert linked.frame.schema == full.frame.schema
    assert len(state) == 0


COORDINATE = st.tuples(
    st.integers(0, 2),
    st.sampled_from(["raw", "parking", "quarantine"]),
    st.sampled_from(["app-a", "app-b"]),
    st.integers(0, 2),
    st.integers(0, 20),
)
MARKS = st.dictionaries(st.tuples(st.just("raw"), st.just("app-a"), st.integers(0, 2)), st.integers(0, 9))


@given(st.lists(COORDINATE, max_size=40), st.fixed_dictionaries(dict.fromkeys(range(3), MARKS)))
def test_what_stays_is_what_is_above_everything_seen_of_its_partitions_and_stream(coordinates, marks):
    frame = pl.DataFrame(
        coordinates,
        schema={"pseudo_partition": pl.Int32} | {name: (ENVELOPE | COORDINATES)[name] for name in ROW},
        orient="row",
    )
    given_marks = {partition: dict(known) for partition, known in marks.items()}
    batch, after, repeats = drop_repeats(PseudonymisedBatch(EVENT, frame), marks)

    highest, expected = {partition: dict(known) for partition, known in marks.items()}, []
    for pseudo, *place, offset in coordinates:
        if offset > highest[pseudo].get(tuple(place), -1):
            highest[pseudo][tuple(place)] = offset
            expected.append((pseudo, *place, offset))
    assert batch.frame.rows() == expected
    assert (after, repeats) == (highest, len(coordinates) - len(expected))
    assert marks == given_marks
    assert len(drop_repeats(PseudonymisedBatch(EVENT, frame), after)[0]) == 0


@given(
    EVENTS,
    st.dictionaries(
        st.tuples(st.sampled_from(["raw", "parking"]), st.sampled_from(["app-a", "a-0"]), st.integers(0, 300)),
        st.integers(-1, 2**60),
    ),
)
def test_a_snapshot_comes_back_as_it_was(events, marks):
    _, state = link_one(validated(events), PersonState())
    back = from_bytes(to_bytes(Snapshot(41, state, marks)))
    assert (back.offset, back.state, back.marks) == (41, state, marks)


def test_no_snapshot_is_the_beginning():
    beginning = from_bytes(None)
    assert (beginning.offset, len(beginning.state), beginning.marks) == (-1, 0, {})
