"""What a source sends again is found by key and content, within a window that never grows past its bound."""

from __future__ import annotations

from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biokeel.batch import PseudonymisedBatch
from biokeel.contracts.topics import event_type
from biokeel.link.repeats import GATHERED, IDENTITY, Window, identified, remembered, sent_again
from biokeel.link.state import PersonState, Snapshot, from_bytes, to_bytes
from biokeel.reasons import Reason

EVENT = event_type("clinical.glucose")
WIDE = 10_000
SENT = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 2)), max_size=60)
CUTS = st.lists(st.integers(0, 60), max_size=5).map(sorted)


def batch(sent, first=0, partition=0, **columns):
    """Rows of (event, value), by default all recorded at once; the coordinates tell them apart."""
    count = len(sent)
    rows = {
        "pseudo_partition": pl.Series([partition] * count, dtype=pl.Int32),
        "participant": [7] * count,
        "event_id": [f"{event:032x}" for event, _ in sent],
        "source_id": ["hospital-a"] * count,
        "recorded_at": pl.Series([0] * count, dtype=pl.Int64).cast(pl.Datetime("ms", "UTC")),
        "first_offset": list(range(first, first + count)),
        "raw_offset": list(range(first, first + count)),
        "birth_year": [1980] * count,
        "value": [float(value) for _, value in sent],
        "status": ["final"] * count,
    }
    texts = dict.fromkeys(("event_id", "source_id", "status"), pl.String)
    numbers = dict.fromkeys(("participant", "first_offset", "raw_offset", "birth_year"), pl.Int64)
    types = {**texts, **numbers, "value": pl.Float64}
    return PseudonymisedBatch(EVENT, pl.DataFrame(rows | columns, schema_overrides=types))


def read(window, rows, limit=WIDE, decided=None):
    """The values of the reasons of what was set aside, the events that went on, and the window after."""
    found = sent_again(rows, {0: window}, decided)
    after = remembered({0: window}, (found.rest.frame, found.withdrawals), limit)
    return found.aside["reason"].to_list(), found.rest.frame["first_offset"].to_list(), after[0]


def repeated(window, rows):
    """Which of `rows` the window knows for repeats."""
    return window.repeated(*(identified(rows.frame)[name].to_numpy() for name in IDENTITY)).tolist()


def times(*ms):
    return pl.Series(ms, dtype=pl.Int64).cast(pl.Datetime("ms", "UTC"))


@given(SENT, CUTS)
def test_whatever_way_a_partition_is_cut_a_row_that_says_what_the_last_of_its_key_said_is_a_repeat(sent, cuts):
    window, went_on = Window(), []
    edges = [0, *(at for at in cuts if at < len(sent)), len(sent)]
    for start, end in pairwise(edges):
        _, offsets, window = read(window, batch(sent[start:end], start))
        went_on += offsets
    last, expected = {}, []
    for offset, (event, value) in enumerate(sent):
        if last.get(event) != value:
            expected.append(offset)
        last[event] = value
    assert went_on == expected


@given(st.lists(SENT, min_size=1, max_size=4), st.lists(SENT, min_size=4, max_size=4))
def test_partitions_that_are_asked_in_one_call_know_each_only_its_own(known, sent):
    windows = {partition: read(Window(), batch(before), 5)[2] for partition, before in enumerate(known)}
    alone = {partition: read(window, batch(sent[partition]), 5) for partition, window in windows.items()}
    order = sorted(windows, reverse=True)
    whole = pl.concat([batch(sent[partition], partition=partition).frame for partition in order])
    found = sent_again(PseudonymisedBatch(EVENT, whole), windows)
    after = remembered(windows, (found.rest.frame, found.withdrawals), 5)
    assert found.aside["reason"].to_list() == [reason for p in order for reason in alone[p][0]]
    assert found.rest.frame["first_offset"].to_list() == [offset for p in order for offset in alone[p][1]]
    for partition, window in after.items():
        assert repeated(window, batch(sent[0])) == repeated(alone[partition][2], batch(sent[0]))


@given(SENT, st.integers(1, 24))
def test_a_window_holds_its_limit_at_least_and_twice_that_and_a_batch_and_what_gathers_at_most(sent, limit):
    window, order = Window(), []
    for offset, each in enumerate(sent):
        _, went_on, window = read(window, batch([each], offset), limit)
        if went_on:
            order = [key for key in order if key != each[0]] + [each[0]]
        assert len(window) <= 2 * limit + 1 + 2 * (limit // GATHERED)
        newest = batch([(key, dict(sent[: offset + 1])[key]) for key in order[-limit:]])
        reasons, _, _ = read(window, newest)
        assert reasons == [Reason.REPEATED] * newest.frame.height


@given(SENT, st.integers(1, 24))
def test_a_restart_remembers_what_the_snapshot_remembered(sent, limit):
    window = Window()
    for offset, each in enumerate(sent):
        _, _, window = read(window, batch([each], offset), limit)
    back = from_bytes(to_bytes(Snapshot(3, PersonState(), {}, window))).repeats
    assert repeated(back, batch(sent)) == repeated(window, batch(sent))
    assert len(back) <= len(window)


def test_hashes_of_another_polars_are_forgotten(monkeypatch):
    _, _, window = read(Window(), batch([(1, 1)]))
    stored = window.to_bytes()
    monkeypatch.setattr(pl, "__version__", "0.0.1")
    assert len(Window.from_bytes(stored)) == 0


@pytest.mark.parametrize(
    ("column", "values", "repeated"),
    [
        ("birth_year", [1980, 1981], True),
        ("recorded_at", times(0, 9), True),
        ("source_id", ["hospital-a", "hospital-b"], False),
        ("participant", [7, 8], False),
        ("status", ["final", "amended"], False),
        ("value", [0.0, None], False),
    ],
)
def test_content_is_what_the_source_says_and_of_whom(column, values, repeated):
    reasons, _, _ = read(Window(), batch([(1, 0), (1, 0)], **{column: values}))
    assert reasons == ([Reason.REPEATED] if repeated else [])


def test_items_of_a_list_in_another_order_are_another_content():
    reasons, _, _ = read(Window(), batch([(1, 0), (1, 0)], sample_names=[["a", "b"], ["b", "a"]]))
    assert reasons == []


def test_the_newest_version_is_remembered_even_if_an_older_one_comes_late():
    _, _, window = read(Window(), batch([(1, 5), (1, 4)], recorded_at=times(20, 10)))
    reasons, _, window = read(window, batch([(1, 5)], recorded_at=times(20)))
    assert reasons == [Reason.REPEATED]
    # Also where the newest is in the older generation by now.
    _, _, window = read(window, batch([(key, 0) for key in range(10, 20)], recorded_at=times(*[0] * 10)), limit=10)
    _, _, window = read(window, batch([(1, 4)], recorded_at=times(10)), limit=10)
    assert read(window, batch([(1, 5)], recorded_at=times(20)))[0] == [Reason.REPEATED]


def test_a_withdrawal_is_set_aside_unjudged_and_what_it_withdrew_is_no_repeat_of_it():
    _, _, window = read(Window(), batch([(1, 5)]))
    reasons, went_on, window = read(window, batch([(1, 5), (1, 5)], status=["entered-in-error"] * 2))
    assert (reasons, went_on) == ([Reason.RETRACTED, Reason.REPEATED], [])
    assert read(window, batch([(1, 5)]))[0] == []


def test_a_diagnosis_is_withdrawn_by_its_verification_status():
    rows = batch([(1, 5)], verification_status=["entered-in-error"])
    rows = PseudonymisedBatch(EVENT, rows.frame.drop("status"))
    assert read(Window(), rows)[0] == [Reason.RETRACTED]


def test_a_row_that_the_first_commit_let_in_goes_on_whatever_the_window_says():
    _, _, window = read(Window(), batch([(1, 0), (2, 0), (3, 0)]))
    decided = pl.Series([True, False, None])
    reasons, went_on, _ = read(window, batch([(1, 0), (2, 0), (3, 0)]), decided=decided)
    assert (reasons, went_on) == ([Reason.REPEATED] * 2, [0])


def test_what_does_not_land_is_not_remembered():
    window = Window()
    found = sent_again(batch([(1, 0), (2, 0)]), {0: window})
    window = remembered({0: window}, (found.rest.frame.head(1),), WIDE)[0]
    assert read(window, batch([(1, 0), (2, 0)], 10))[1] == [11]
