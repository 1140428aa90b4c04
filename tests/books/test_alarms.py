import pytest
from hypothesis import given
from hypothesis import strategies as st

from biokeel.books.alarms import DAYS, HOUR, KEPT_HOURS, KINDS, History, Hour, SeenClient, alarms
from biokeel.books.places import Place
from biokeel.contracts.clients import Client
from tests.registers import source

NOW = 500_000 * HOUR + 1_800.0
THIS = 500_000


def history(hours, moved=NOW - 60, since=NOW - 8 * 24 * HOUR, ahead=(0.0, 0.0)):
    """`hours`: how many hours ago → what was counted."""
    return History(since, moved, 0, {THIS - ago: Hour(*counts) for ago, counts in hours.items()}, ahead)


def every_hour(*counts):
    return dict.fromkeys(range(KEPT_HOURS), counts)


def told(found, cadence=3600, software=(), clients=()):
    registered = source("hospital-a", cadence_seconds=cadence, software=software)
    return alarms(registered, found, NOW, clients)


def kinds(found, cadence=3600):
    return [alarm.kind for alarm in told(found, cadence)]


def test_a_source_that_does_as_always_raises_no_alarm():
    assert kinds(history(every_hour(1_000, 1_000, 10))) == []
    assert kinds(history({})) == []


def test_a_source_is_silent_once_nothing_came_for_longer_than_its_cadence():
    assert kinds(history({}, moved=NOW - 3_600)) == []
    (alarm,) = told(history({}, moved=NOW - 7_200), 3_600)
    assert alarm.kind == "silent"
    assert alarm.sentence.startswith(
        "hospital-a has sent nothing for 2 hours, and is expected to every 60 minutes: ask"
    )


@pytest.mark.parametrize(("came", "known_days", "is_burst"), [(5_000, 8, False), (5_001, 8, True), (5_001, 2, False)])
def test_a_burst_is_many_times_the_busiest_hour_before(came, known_days, is_burst):
    found = history(every_hour(1_000, 0, 0) | {0: (came, 0, 0)}, since=NOW - known_days * 24 * HOUR)
    assert ("burst" in kinds(found)) == is_burst


def test_a_few_events_after_hardly_any_are_no_burst():
    assert kinds(history(every_hour(1, 0, 0) | {0: (400, 0, 0)})) == []


@pytest.mark.parametrize(("came", "is_drop"), [(100, False), (99, True), (0, True)])
def test_a_drop_is_held_against_the_same_time_of_the_days_before(came, is_drop):
    by_night = dict.fromkeys(range(KEPT_HOURS), (0, 0, 0))
    by_day = dict.fromkeys(range(1, KEPT_HOURS, 24), (1000, 0, 0))
    assert kinds(history(by_night | by_day | {1: (came, 0, 0)})) == (["drop"] if is_drop else [])
    assert kinds(history(by_night | {1: (came, 0, 0)})) == []


def test_what_is_known_for_too_short_a_time_is_not_usual():
    days = dict.fromkeys(range(25, 24 * DAYS, 24), (1000, 0, 0))
    assert kinds(history(days | {1: (0, 0, 0)}, since=NOW - DAYS * 24 * HOUR)) == []


@pytest.mark.parametrize(("rejected", "is_jump"), [(100, False), (101, True)])
def test_rejects_jump_against_what_was_usual(rejected, is_jump):
    found = history(every_hour(1_000, 1_000, 10) | {0: (1_000, 1_000, rejected), 1: (1_000, 1_000, 0)})
    assert ("rejects" in kinds(found)) == is_jump


def test_a_clock_that_is_ahead_is_told_for_two_hours():
    assert kinds(history({}, ahead=(301.0, NOW - HOUR))) == ["clock"]
    assert kinds(history({}, ahead=(301.0, NOW - 3 * HOUR))) == []
    assert kinds(history({}, ahead=(300.0, NOW))) == []


@pytest.mark.parametrize(
    ("client", "ago", "is_told"),
    [
        (Client("biokeel-python", "0.1.9"), 0, True),
        (Client("biokeel-python", "0.2"), 0, False),
        (Client("biokeel-python", "0.10"), 0, False),
        (Client("biokeel-python", ""), 0, True),
        (Client("export", ""), 0, False),
        (Client("", ""), 0, True),
        (Client("", ""), 25 * HOUR, False),
    ],
)
def test_a_client_that_is_old_or_not_registered_is_told_for_a_day(client, ago, is_told):
    found = told(history({}), software=("biokeel-python/0.2", "export"), clients=[SeenClient(client, NOW - ago)])
    assert [alarm.kind for alarm in found] == (["client"] if is_told else [])


def test_a_source_that_may_use_any_client_raises_no_alarm_by_one():
    assert told(history({}), clients=[SeenClient(Client("", ""), NOW)]) == []


def test_each_alarm_says_what_to_do():
    strange = history(
        every_hour(1_000, 1_000, 1) | {0: (99_999, 9_999, 9_999), 1: (0, 0, 0)}, NOW - HOUR * 9, ahead=(1e9, NOW)
    )
    found = told(strange, 60, ("export/2",), [SeenClient(Client("export", "1"), NOW)])
    assert tuple(alarm.kind for alarm in found) == KINDS
    assert all(alarm.sentence.startswith("hospital-a ") and alarm.sentence.endswith(".") for alarm in found)


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 50), st.sampled_from(Place)), max_size=30))
def test_counting_goes_by_the_hour_and_is_saved(life):
    now, high = NOW, 0
    found = History(NOW, NOW, 0)
    for hours, events, place in life:
        now += hours * HOUR
        high += events
        found.came(high, now)
        found.judged(place, events, now)
    assert len(found.hours) <= KEPT_HOURS
    assert found.high == high
    assert History.from_json(found.as_json()) == found
    if life and life[-1][1]:
        assert found.moved == now
