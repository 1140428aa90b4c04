import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biokeel.books.balance import balance
from biokeel.books.intervals import Bag, Intervals
from biokeel.books.places import EVENT_PLACES, Place
from biokeel.books.state import PartState
from tests.books.telling import GLUCOSE, aside, bag, curated, history, listed, quarantined, vault

PARKED, SEALED, APPLIED, VOID = (vault(p) for p in (Place.PARKED, Place.SEALED, Place.APPLIED, Place.VOID))


def books(labels, low=0, high=6):
    state = PartState({label: bag(*values) for label, values in labels.items()})
    return balance(GLUCOSE, state, (low, high))


def faults(found):
    return listed(found.missing), listed(found.doubled)


def test_events_that_lie_in_one_place_each_balance():
    found = books({curated(): [0, 3], quarantined(): [1], PARKED: [2], SEALED: [4], APPLIED: [5]})
    assert found.raw == 6
    places = {"curated": 2, "quarantined": 1, "parked": 1, "sealed": 1, "applied": 1}
    assert {place: count for place, count in found.places.items() if count} == places
    assert faults(found) == ([], [])


def test_what_was_sent_again_corrected_or_taken_back_lies_in_a_place_of_its_own():
    labels = {
        curated(): [0],
        aside(Place.REPEATED): [1],
        history(Place.SUPERSEDED): [2, 3],
        aside(Place.WITHDRAWN): [4],
        history(Place.WITHDRAWN): [5],
    }
    found = books(labels)
    assert faults(found) == ([], [])
    assert [found.places[place] for place in (Place.REPEATED, Place.SUPERSEDED, Place.WITHDRAWN)] == [1, 2, 2]


def test_a_row_on_its_way_to_the_history_counts_once_as_curated():
    found = books({curated(): [0], history(Place.SUPERSEDED): [0]}, high=1)
    assert (found.places[Place.CURATED], faults(found)) == (1, ([], []))
    as_another_row = books({curated("parking"): [0], history(Place.SUPERSEDED): [0]}, high=1)
    assert faults(as_another_row) == ([], [0])


def test_where_no_event_stands_none_is_missing_and_none_is_counted():
    found = books({curated(): [0, 3], VOID: [1, 1, 2, 5, 9]})
    assert (found.raw, *faults(found)) == (3, [4], [])


def test_an_event_that_was_decided_before_it_was_compacted_away_is_one_event():
    found = books({curated(): [0], SEALED: [1], VOID: [0, 1]}, high=2)
    assert (found.raw, *faults(found)) == (2, [], [])


def test_an_event_that_lies_nowhere_is_missing():
    assert faults(books({curated(): [0, 1, 3, 4]})) == ([2, 5], [])


@pytest.mark.parametrize(
    "labels",
    [
        {curated(): [0, 0]},
        {curated(): [0], curated(withheld="status"): [0]},
        {curated(): [0], quarantined(): [0]},
        {quarantined(): [0, 0]},
        {curated(): [0], PARKED: [0]},
        {quarantined(): [0], SEALED: [0]},
        {PARKED: [0], SEALED: [0]},
        {curated(): [0], curated("parking"): [0]},
        {curated("quarantine", operation="1"): [0, 0], quarantined(): [0]},
        {curated("quarantine", operation="1"): [0], quarantined("quarantine", operation="1"): [0]},
    ],
)
def test_an_event_that_lies_in_two_places_or_twice_in_one_is_doubled(labels):
    assert faults(books(labels, high=1)) == ([], [0])


def test_a_released_event_must_be_found_in_a_table():
    assert faults(books({curated("parking"): [0], quarantined("parking"): [1]}, high=3)) == ([2], [])


def test_a_released_event_that_landed_before_the_vault_says_so_has_left_parking():
    found = books({curated("parking"): [0], history(Place.REPEATED, "parking"): [1], PARKED: [0, 1, 2]}, high=3)
    assert (found.places[Place.PARKED], faults(found)) == (1, ([], []))


def test_a_quarantined_event_that_was_let_in_again_counts_as_curated_only():
    found = books({curated("quarantine", operation="1"): [0], quarantined(): [0, 1]}, high=2)
    assert (found.places[Place.CURATED], found.places[Place.QUARANTINED]) == (1, 1)
    assert faults(found) == ([], [])


def test_one_that_was_let_in_again_and_corrected_since_is_history_only():
    found = books({history(Place.SUPERSEDED, "quarantine", "1"): [0], quarantined(): [0]}, high=1)
    assert (found.places[Place.SUPERSEDED], found.places[Place.QUARANTINED], faults(found)) == (1, 0, ([], []))


@pytest.mark.parametrize("deleted", [True, False])
def test_an_event_that_operations_move_to_and_fro_lies_where_the_latest_one_brought_it(deleted):
    """Quarantined, released by the ninth, taken back by the tenth, brought back by the eleventh, superseded since."""
    steps = [
        ({quarantined(): [0]}, Place.QUARANTINED),
        ({curated("quarantine", operation="9"): [0]}, Place.CURATED),
        ({quarantined("quarantine", operation="10"): [0]}, Place.QUARANTINED),
        ({curated("quarantine", operation="11"): [0]}, Place.CURATED),
        ({history(Place.SUPERSEDED, "quarantine", "11"): [0]}, Place.SUPERSEDED),
    ]
    lies = {}
    for labels, place in steps:
        if deleted:  # from the curated table, after it stood elsewhere
            lies = {label: those for label, those in lies.items() if label.place is not Place.CURATED}
        lies |= labels
        found = books(lies, high=1)
        still = place is Place.SUPERSEDED and not deleted
        assert (found.places[Place.CURATED if still else place], faults(found)) == (1, ([], []))


def test_an_event_that_moves_to_quarantine_has_moved_as_soon_as_it_stands_there():
    found = books({curated(): [0], quarantined(operation="2"): [0], history(Place.REPEATED): [0]}, high=1)
    assert (found.places[Place.QUARANTINED], faults(found)) == (1, ([], []))


def test_what_is_past_retention_or_came_after_the_look_does_not_count():
    found = books({curated(): [1, 4, 5, 9]}, low=4, high=6)
    assert (found.raw, found.places[Place.CURATED]) == (2, 2)
    assert faults(found) == ([], [])


def test_an_empty_partition_balances():
    found = books({}, low=7, high=7)
    assert (found.raw, faults(found)) == (0, ([], []))


@given(st.lists(st.sets(st.sampled_from(["curated", "quarantined", "parked", "sealed", "applied"])), max_size=40))
def test_of_any_books_exactly_the_offsets_in_no_place_are_missing_and_those_in_several_doubled(lies):
    labels = {"curated": curated(), "quarantined": quarantined(), "parked": PARKED, "sealed": SEALED}
    labels["applied"] = APPLIED
    where = {name: [offset for offset, places in enumerate(lies) if name in places] for name in labels}
    found = books({labels[name]: values for name, values in where.items()}, high=len(lies))
    assert listed(found.missing) == [offset for offset, places in enumerate(lies) if not places]
    assert listed(found.doubled) == [offset for offset, places in enumerate(lies) if len(places) > 1]
    assert found.places == {place: len(where.get(place.value, [])) for place in EVENT_PLACES}


def test_a_hundred_million_coordinates_with_a_million_exceptions_balance():
    n, every = 100_000_000, 100
    stopped = np.arange(50, n, every, dtype=np.int64)
    bad = Intervals(stopped, stopped + 1)
    gone = Intervals.span(777, 778)
    state = PartState(
        {curated(): Bag.once(Intervals.span(0, n) - bad - gone), quarantined(): Bag.once(bad), SEALED: bag(50)}
    )
    found = balance(GLUCOSE, state, (0, n))
    assert faults(found) == ([777], [50])
    assert found.places[Place.QUARANTINED] == n // every
