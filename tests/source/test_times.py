from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biokeel.source.times import Moment, Precision, day, may_be_seconds, moment, order_of_day_and_month, year


def ms(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp() * 1000)  # type: ignore[misc, arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2010-11-05T15:43:56.033-07:00", Moment(ms(2010, 11, 5, 22, 43, 56) + 33, -420, Precision.MILLISECOND)),
        ("2013-02-05T07:25:00Z", Moment(ms(2013, 2, 5, 7, 25), 0, Precision.SECOND)),
        ("2023-02-02", Moment(ms(2023, 2, 2), None, Precision.DAY)),
        ("2023-02", Moment(ms(2023, 2, 1), None, Precision.MONTH)),
        ("2023", Moment(ms(2023, 1, 1), None, Precision.YEAR)),
        ("2023-02-02T10:00:00", Moment(ms(2023, 2, 2, 10), None, Precision.SECOND)),
        ("2024-05-01T09:00+09:00", Moment(ms(2024, 5, 1, 0), 540, Precision.MINUTE)),
        ("2024-05-01T09:00:00-00:00", Moment(ms(2024, 5, 1, 9), None, Precision.SECOND)),
        ("2016-12-31T23:59:60Z", Moment(ms(2016, 12, 31, 23, 59, 59), 0, Precision.SECOND)),
        ("2017-01-01T08:59:60.5+09:00", Moment(ms(2016, 12, 31, 23, 59, 59), 540, Precision.MILLISECOND)),
        ("2024-05-01T09:00:00.123456789Z", Moment(ms(2024, 5, 1, 9) + 123, 0, Precision.MILLISECOND)),
        ("1890-01-01", Moment(ms(1890, 1, 1), None, Precision.DAY)),
    ],
)
def test_a_time_keeps_its_offset_and_a_date_is_its_beginning(text: str, expected: Moment) -> None:
    assert moment(text, None) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2023-13-01",
        "2023-02-30",
        "20230202",
        "10:00",
        None,
        5,
        "2023-02-02 10:00",
        "2023-02-02T10",
        "2023-02-02T24:00:00",
        "2023-W05-4T10:00:00",
        "２０２３-02-02",
        "2023-02-02T10:00:61Z",
        "0000",
    ],
)
def test_what_is_no_time_is_none(text: object) -> None:
    assert moment(text, None) is None


def test_a_time_without_offset_is_read_in_the_zone_that_the_caller_names() -> None:
    assert moment("2023-02-02", ZoneInfo("Asia/Seoul")) == Moment(ms(2023, 2, 1, 15), 540, Precision.DAY)


@given(st.integers(-(70 * 365) * 86_400_000, 130 * 365 * 86_400_000), st.integers(-12 * 60, 14 * 60))
def test_a_written_moment_is_read_back_to_the_millisecond(at: int, offset: int) -> None:
    zone = timezone(timedelta(minutes=offset))
    written = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at)).astimezone(zone)
    assert moment(written.isoformat(timespec="milliseconds"), None) == Moment(at, offset, Precision.MILLISECOND)


def test_a_birth_year_alone_is_no_date() -> None:
    assert day("1974") is None
    assert day("1974-12-25") == 1819


@pytest.mark.parametrize(
    ("text", "found"), [("1974", 1974), ("1974-12", 1974), ("1974-12-25", 1974), ("74", None), (1974, None)]
)
def test_a_year_of_birth_is_read_from_any_date(text: object, found: int | None) -> None:
    assert year(text) == found


@given(st.datetimes(datetime(1971, 1, 1), datetime(2050, 1, 1)))  # noqa: DTZ001
def test_seconds_are_not_taken_for_milliseconds(time: datetime) -> None:
    seconds = round(time.replace(tzinfo=UTC).timestamp())
    assert may_be_seconds(seconds)
    assert not may_be_seconds(seconds * 1000)


@pytest.mark.parametrize(
    ("texts", "order"),
    [
        (["4/12/2016", "4/13/2016 12:00:00 AM"], "mdy"),
        (["4.12.2016", "13.12.2016"], "dmy"),
        (["4/12/2016", "5/6/2016"], None),
        (["13/12/2016", "12/13/2016"], None),
        (["2016-04-13", "30"], None),
        ([], None),
    ],
)
def test_the_order_of_day_and_month_is_told_or_it_is_not(texts: list[str], order: str | None) -> None:
    assert order_of_day_and_month(texts) == order


@given(st.lists(st.dates(), min_size=1), st.sampled_from(["mdy", "dmy"]))
def test_an_order_that_is_told_is_the_one_that_was_written(days: list[date], order: str) -> None:
    pattern = "{0.month}/{0.day}/{0.year:04}" if order == "mdy" else "{0.day}/{0.month}/{0.year:04}"
    assert order_of_day_and_month(pattern.format(each) for each in days) in {order, None}
