import time

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biokeel.batch import RawPartition
from biokeel.books.balance import Place, balance
from biokeel.books.bookkeeper import LANDED_COLUMNS, PLACED_COLUMNS
from biokeel.contracts.topics import event_type

GLUCOSE = event_type("clinical.glucose")
ORIGIN = RawPartition("demo-one", 0)


def rows(*offsets, stream="raw"):
    return pl.DataFrame(
        {
            "source_id": [ORIGIN.source] * len(offsets),
            "first_partition": [ORIGIN.partition] * len(offsets),
            "first_offset": list(offsets),
            "stream": [stream] * len(offsets),
        },
        schema=LANDED_COLUMNS,
    )


def vault(**places):
    pairs = [(offset, place) for place, offsets in places.items() for offset in offsets]
    return pl.DataFrame(pairs, schema={"offset": pl.Int64, "place": pl.String}, orient="row")


def beside(**places):
    pairs = [(*ORIGIN, offset, place) for place, offsets in places.items() for offset in offsets]
    return pl.DataFrame(pairs, schema=PLACED_COLUMNS, orient="row")


def books(curated=None, quarantined=None, in_vault=None, low=0, high=6, aside=None):
    nothing = rows()
    return balance(
        GLUCOSE,
        ORIGIN,
        (low, high),
        curated=nothing if curated is None else curated,
        quarantined=nothing if quarantined is None else quarantined,
        beside=beside() if aside is None else aside,
        vault=vault() if in_vault is None else in_vault,
    )


def test_events_that_lie_in_one_place_each_balance():
    found = books(rows(0, 3), rows(1), vault(parked=[2], sealed=[4], applied=[5]))
    assert found.raw == 6
    places = {"curated": 2, "quarantined": 1, "parked": 1, "sealed": 1, "applied": 1}
    assert {place: count for place, count in found.places.items() if count} == places
    assert found.missing.tolist() == []
    assert found.doubled.tolist() == []


def test_what_was_sent_again_corrected_or_taken_back_lies_in_a_place_of_its_own():
    found = books(rows(0), aside=beside(repeated=[1], superseded=[2, 3], withdrawn=[4, 5]))
    assert (len(found.missing), len(found.doubled)) == (0, 0)
    assert [found.places[place] for place in (Place.REPEATED, Place.SUPERSEDED, Place.WITHDRAWN)] == [1, 2, 2]
    assert books(rows(0), aside=beside(superseded=[0]), high=1).doubled.tolist() == [0]


def test_an_event_that_lies_nowhere_is_missing():
    assert books(rows(0, 1, 3, 4)).missing.tolist() == [2, 5]


@pytest.mark.parametrize(
    ("curated", "quarantined", "in_vault"),
    [
        (rows(0, 0), rows(), vault()),
        (rows(0), rows(0), vault()),
        (rows(), rows(0, 0), vault()),
        (rows(0), rows(), vault(parked=[0])),
        (rows(), rows(0), vault(sealed=[0])),
        (rows(), rows(), vault(parked=[0], sealed=[0])),
        (pl.concat([rows(0), rows(0, stream="parking")]), rows(), vault(released=[0])),
        (rows(0, 0, stream="quarantine"), rows(0), vault()),
    ],
)
def test_an_event_that_lies_in_two_places_or_twice_in_one_is_doubled(curated, quarantined, in_vault):
    assert books(curated, quarantined, in_vault, high=1).doubled.tolist() == [0]


def test_a_released_event_must_be_found_in_a_table():
    assert books(
        rows(0, stream="parking"), rows(1, stream="parking"), vault(released=[0, 1, 2]), high=3
    ).missing.tolist() == [2]


def test_a_quarantined_event_that_was_let_in_again_counts_as_curated_only():
    found = books(rows(0, stream="quarantine"), rows(0, 1), high=2)
    assert (found.places[Place.CURATED], found.places[Place.QUARANTINED]) == (1, 1)
    assert found.doubled.tolist() == []


def test_a_quarantined_event_that_failed_again_is_one_event_in_quarantine():
    found = books(quarantined=pl.concat([rows(0), rows(0, stream="quarantine")]), high=1)
    assert found.places[Place.QUARANTINED] == 1
    assert found.doubled.tolist() == []


def test_what_is_past_retention_or_came_after_the_look_does_not_count():
    found = books(rows(1, 4, 5, 9), low=4, high=6)
    assert (found.raw, found.places[Place.CURATED]) == (2, 2)
    assert found.missing.tolist() == []


def test_an_empty_partition_balances():
    found = books(low=7, high=7)
    assert (found.raw, len(found.missing), len(found.doubled)) == (0, 0, 0)


@given(st.lists(st.sets(st.sampled_from(["curated", "quarantined", "parked", "sealed", "applied"])), max_size=40))
def test_of_any_books_exactly_the_offsets_in_no_place_are_missing_and_those_in_several_doubled(lies):
    def where(place):
        return [offset for offset, places in enumerate(lies) if place in places]

    found = books(
        rows(*where("curated")),
        rows(*where("quarantined")),
        vault(parked=where("parked"), sealed=where("sealed"), applied=where("applied")),
        high=len(lies),
    )
    assert found.missing.tolist() == [offset for offset, places in enumerate(lies) if not places]
    assert found.doubled.tolist() == [offset for offset, places in enumerate(lies) if len(places) > 1]
    assert found.places == {place: len(where(place.value)) for place in Place}


def test_ten_million_coordinates_balance_in_seconds():
    n = 10_000_000
    order = np.random.default_rng(7).permutation(n)
    frame = pl.DataFrame(
        {"first_offset": np.delete(order, 5), "stream": pl.Series(["raw"]).new_from_index(0, n - 1)},
    )
    began = time.perf_counter()
    found = balance(GLUCOSE, ORIGIN, (0, n), curated=frame, quarantined=rows(), beside=beside(), vault=vault())
    seconds = time.perf_counter() - began
    assert found.missing.tolist() == [order[5]]
    assert seconds < 10
