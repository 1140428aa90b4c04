import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from biokeel.rows import Rows

NUMBERS = st.integers(-(2**63), 2**63 - 1)


@given(st.lists(st.lists(NUMBERS | st.integers(0, 40), unique=True, max_size=300), max_size=5), NUMBERS)
def test_a_key_keeps_its_row_whatever_comes_after_it(parts, other):
    rows = Rows(np.empty(0, np.int64))
    given_: dict[int, int] = {}
    for part in parts:
        new = [key for key in part if key not in given_]
        rows.append(np.array(new, np.int64))
        given_ |= {key: len(given_) + place for place, key in enumerate(new, 1)}
        assert rows.find(np.array([*given_], np.int64)).tolist() == list(given_.values())
    assert rows.find(np.array([other], np.int64)).tolist() == [given_.get(other, 0)]
    assert rows.last == len(given_)
