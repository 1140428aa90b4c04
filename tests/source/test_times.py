from __future__ import annotations

from datetime import UTC, datetime
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


@given(st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1), timezones=st.timezones()))
def test_a_written_moment_is_read_back_to_the_millisecond(written: datetime) -> None:
    offset = written.utcoffset()
    assert offset is not None
    if offset.total_seconds() % 60:
        return  # ISO 8601 of such old local times has seconds in the offset, which FHIR has not
    found = moment(written.isoformat(timespec="milliseconds"), None)
    assert found is not None
    assert found.at == (
        written.replace(microsecond=written.microsecond // 1000 * 1000) - datetime(1970, 1, 1, tzinfo=UTC)
    ) // (datetime(1970, 1, 1, 0, 0, 0, 1000) - datetime(1970, 1, 1))


def test_a_birth_year_alone_is_no_date() -> None:
    assert day("1974") is None
    assert day("1974-12-25") == 1819
