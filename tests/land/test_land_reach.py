"""What of a flush a table accounts for already."""

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from biokeel.land.checkpoint import above, reach

PLACES = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5)))


def frame(places):
    schema = {"pseudo_partition": pl.Int32, "pseudo_offset": pl.Int64}
    return pl.DataFrame(places, schema=schema, orient="row")


@given(PLACES)
def test_the_reach_of_a_partition_is_from_its_least_offset_to_its_greatest_wherever_its_rows_stand(places):
    of = {partition: [offset for p, offset in places if p == partition] for partition, _ in places}
    assert reach(frame(places)) == {partition: (min(mine), max(mine)) for partition, mine in of.items()}


@given(PLACES, st.dictionaries(st.integers(0, 2), st.integers(-1, 5), min_size=1))
def test_rows_above_the_positions_stay_and_no_others(places, positions):
    wanted = [(p, offset) for p, offset in places if p in positions and offset > positions[p]]
    assert above(frame(places), positions).rows() == wanted
