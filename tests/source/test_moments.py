"""Many times at once are what each of them is alone."""

from __future__ import annotations

from datetime import tzinfo
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from biokeel.source.moments import moments_of
from biokeel.source.times import Moment, Precision, moment

ODD = [
    "", "2024", "2024-05", "2024-05-01", "2024-05-01T09:00", "2024-05-01T09:00:00", "2024-02-30T09:00:00Z",
    "2024-05-01T24:00:00Z", "2016-12-31T23:59:60Z", "2024-05-01T09:00:00-00:00", "2024-05-01T09:00:00+0900",
    "2024-05-01T09:00:00+09", "2024-05-01T09:00:00,5Z", "2024-05-01T09:00:00.Z", "0000-01-01T00:00:00Z",
    "0900-01-01T00:00:00Z", "2024-05-01T09:00:00+15:00", "2024-05-01T09:00:00+14:59", "2024-05-01T09:00:00Z\n",
    "２024-05-01T09:00:00Z", "2024-05-01 09:00:00Z", "2024-05-01t09:00:00z", "yesterday",
]  # fmt: skip
stated = st.builds(
    "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}{}{}".format,
    st.integers(1890, 2110),
    st.integers(1, 13),
    st.integers(1, 31),
    st.integers(0, 24),
    st.integers(0, 59),
    st.integers(0, 60),
    st.sampled_from(["", ".5", ".123", ".999999", ".123456789", ".1234567890"]),
    st.sampled_from(["Z", "+09:00", "-05:30", "-00:00", "+00:00", "-12:00", "", "+0900"]),
)


@given(
    st.lists(st.one_of(stated, st.sampled_from(ODD)), min_size=1, max_size=20),
    st.sampled_from([None, ZoneInfo("Asia/Seoul")]),
)
def test_many_times_at_once_are_what_each_is_alone(texts: list[str], zone: tzinfo | None) -> None:
    found = moments_of(texts, zone)
    for index, text in enumerate(texts):
        alone = moment(text, zone)
        assert found.known[index] == (alone is not None), text
        if alone is not None:
            precision = Precision(found.precision[index])
            assert Moment(int(found.at[index]), found.offset[index], precision) == alone, text
