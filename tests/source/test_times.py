from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biokeel.source.times import Moment, day, moment


def ms(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp() * 1000)  # type: ignore[misc, arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2010-11-05T15:43:56.033-07:00", Moment(ms(2010, 11, 5, 22, 43, 56) + 33, -420)),
        ("2013-02-05T07:25:00Z", Moment(ms(2013, 2, 5, 7, 25), 0)),
        ("2023-02-02", Moment(ms(2023, 2, 2), None)),
        ("2023-02", Moment(ms(2023, 2, 1), None)),
        ("2023", Moment(ms(2023, 1, 1), None)),
        ("2023-02-02T10:00:00", Moment(ms(2023, 2, 2, 10), None)),
        ("1890-01-01", Moment(ms(1890, 1, 1), None)),
    ],
)
def test_a_time_keeps_its_offset_and_a_date_is_its_beginning(text: str, expected: Moment) -> None:
    assert moment(text, None) == expected


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2023-13-01", "2023-02-30", "20230202", "10:00", None, 5, "2023-02-02 10:00"]
)
def test_what_is_no_time_is_none(text: object) -> None:
    assert moment(text, None) is None


def test_a_time_without_offset_is_read_in_the_zone_that_the_caller_names() -> None:
    assert moment("2023-02-02", ZoneInfo("Asia/Seoul")) == Moment(ms(2023, 2, 1, 15), 540)


@given(st.integers(-(70 * 365) * 86_400_000, 130 * 365 * 86_400_000), st.integers(-12 * 60, 14 * 60))
def test_a_written_moment_is_read_back_to_the_millisecond(at: int, offset: int) -> None:
    zone = timezone(timedelta(minutes=offset))
    written = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at)).astimezone(zone)
    assert moment(written.isoformat(timespec="milliseconds"), None) == Moment(at, offset)


def test_a_birth_year_alone_is_no_date() -> None:
    assert day("1974") is None
    assert day("1974-12-25") == 1819
