"""The follower as a process: it may die anywhere, and there may be two of it."""

import datetime as dt
import itertools
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biokeel.batch import RawPartition
from biokeel.books import worker as worker_module
from biokeel.books.follower import Follower
from biokeel.books.metrics import BooksMetrics
from biokeel.books.places import Teller
from biokeel.books.published import KEY, Published
from biokeel.books.saved import SavedBooks
from biokeel.books.state import differences
from biokeel.books.tables import Tables
from biokeel.books.worker import (
    LOOK_SECONDS,
    PAUSES,
    QUIET_LOOKS,
    QUIET_SECONDS,
    SAVE_SECONDS,
    TABLES_EVERY,
    BooksWorker,
)
from biokeel.contracts.clients import Client
from biokeel.contracts.receipts import decode
from biokeel.contracts.sources import Source
from biokeel.errors import CommitConflict, StoreUnavailable, TransportError
from tests.books.lake import GLUCOSE, LocalLake
from tests.event_types import EVENTS

CURATED, QUARANTINE, HISTORY = Teller.CURATED, Teller.QUARANTINE, Teller.HISTORY
ORIGIN = RawPartition("hospital-a", 0)
POINTS = ("books.looked", "books.saved", "books.sent")
REGISTER = {
    "hospital-a": Source(
        id="hospital-a",
        name="A",
        contact="a@a.example",
        events=("clinical.*",),
        schemes=("KR_RRN",),
        time_zone="Asia/Seoul",
        cadence_seconds=60,
        software=("export/2",),
    )
}


class Killed(BaseException):
    """The process is gone."""


class World:
    """A lake, a vault, a Kafka that keeps receipts, and a clock."""

    def __init__(self, folder):
        self.lake = LocalLake(folder)
        self.topic = []
        self.now = 1_764_513_443.0
        self.high = 0
        self.kafka_is_away = 0

    def send(self, records):
        for source, record in records:
            if self.kafka_is_away:
                self.kafka_is_away -= 1
                raise TransportError("Kafka is away.")
            self.topic.append((source, record))

    def marks(self):
        return {event: {ORIGIN: (0, self.high)} if event == GLUCOSE else {} for event in EVENTS}

    def worker(self):
        return BooksWorker(
            Tables(self.lake.lake),
            self.lake.vault,
            self.marks,
            lambda: REGISTER,
            self.send,
            BooksMetrics(),
            clock=lambda: self.now,
        )

    def turn(self, worker):
        self.now += SAVE_SECONDS + 0.1
        worker.turn()

    def land(self, teller, offsets, **told):
        self.high = max(self.high, *(offset + 1 for offset in offsets))
        self.lake.land(teller, offsets, **told)

    def told(self):
        """What the source knows: repeats dropped by their numbers, the newest record about an offset holds."""
        highest, known = 0, {}
        for _, record in self.topic:
            receipt = decode(record)
            if receipt.number <= highest:
                continue
            assert receipt.number == highest + 1 or not highest
            highest = receipt.number
            for first, last in receipt.offsets:
                for offset in range(first, last + 1):
                    assert receipt.amends == (offset in known)
                    known[offset] = (receipt.outcome.value, receipt.rules, receipt.reason)
        return known

    def lies(self):
        return {
            offset: (
                "landed" if label.place == "curated" else label.place.value,
                tuple(label.rules.split(",")) if label.rules else (),
                label.reason,
            )
            for state in self.lake.anew().parts.values()
            for label, those in state.within(0, 1_000).lies.items()
            for first, last in those.runs()
            for offset in range(first, last + 1)
        }


@pytest.fixture
def world(tmp_path):
    return World(tmp_path / "lake")


@pytest.fixture
def looks_at_tables(monkeypatch):
    """One entry for each look of a follower: whether it looked at tables."""
    looks = []
    look = Follower.look

    def counted(self, *, thorough=True, only=None):
        looks.append(only is None or bool(only))
        return look(self, thorough=thorough, only=only)

    monkeypatch.setattr(Follower, "look", counted)
    return looks


@pytest.fixture
def dying(monkeypatch):
    """`dying(point)`: the process dies when it reaches that point the next time."""

    def at(point):
        def reached(passed):
            assert passed in POINTS
            if passed == point:
                monkeypatch.setattr(worker_module, "reached", lambda _: None)
                raise Killed

        monkeypatch.setattr(worker_module, "reached", reached)

    return at


def test_where_all_is_accounted_for_tables_are_looked_at_seldom_and_at_once_when_something_comes(
    world, looks_at_tables
):
    worker = world.worker()
    world.land(CURATED, range(10))
    for _ in range(2 * TABLES_EVERY):
        world.turn(worker)
    assert looks_at_tables.count(True) == 2
    world.high += 1
    looks_at_tables.clear()
    for _ in range(2 * QUIET_LOOKS):  # it is on its way, for as long as it takes
        world.turn(worker)
    assert all(looks_at_tables)
    world.land(QUARANTINE, [10], reason="rule.failed")
    world.turn(worker)
    assert worker._published.books.balanced


def test_what_a_steward_moves_while_nothing_comes_is_seen_within_so_many_looks(world):
    worker = world.worker()
    world.land(CURATED, range(10))
    for _ in range(2 * QUIET_LOOKS):
        world.turn(worker)
    world.lake.delete(CURATED, "raw_offset = 3")
    world.lake.land(HISTORY, [3], why="superseded")
    for _ in range(TABLES_EVERY):
        world.turn(worker)
    assert worker._published.books.total("superseded") == 1


def test_a_source_that_sends_with_an_old_client_raises_an_alarm_and_its_update_ends_it_within_a_day(world):
    worker = world.worker()
    world.lake.vault.heard = [("hospital-a", Client("export", "1"), world.now)]
    world.turn(worker)
    assert "older than 2" in " ".join(alarm.sentence for alarm in worker._published.alarms if alarm.kind == "client")
    world.lake.vault.heard += [("hospital-a", Client("export", "2"), world.now)]
    world.now += 25 * 3600
    world.turn(worker)
    assert not [alarm for alarm in worker._published.alarms if alarm.kind == "client"]


def test_a_source_hears_what_became_of_its_events_and_of_each_change(world):
    worker = world.worker()
    world.turn(worker)
    world.land(CURATED, range(100))
    world.land(QUARANTINE, [100, 101], reason="rule.failed", failed_rules=["a", "b"], suite_version="3")
    world.lake.vault.decide(("hospital-a", 0, 102, 104, "parked", ""))
    world.turn(worker)
    assert world.told() == world.lies()
    assert len(world.topic) == 3
    world.lake.vault.decide(("hospital-a", 0, 103, 103, "released", ""))
    world.land(CURATED, [103], stream="parking", raw=[0])
    world.turn(worker)
    assert world.told() == world.lies()
    last = decode(world.topic[-1][1])
    assert (last.offsets, last.outcome, last.amends, last.table_version) == (((103, 103),), "landed", True, 1)
    count = len(world.topic)
    world.turn(worker)
    assert len(world.topic) == count


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_any_point_nothing_is_lost_and_what_is_sent_twice_is_known_by_its_number(world, dying, point):
    worker = world.worker()
    world.land(CURATED, range(10))
    world.turn(worker)
    world.land(CURATED, range(10, 20))
    world.lake.vault.decide(("hospital-a", 0, 20, 24, "sealed", "wire.empty"))
    dying(point)
    with pytest.raises(Killed):
        world.turn(worker)
    world.land(QUARANTINE, [25], reason="rule.failed", failed_rules=["a"])
    worker = world.worker()
    world.turn(worker)
    world.turn(worker)
    assert world.told() == world.lies()
    _, saved = SavedBooks(world.lake.lake.objects).newest()
    assert differences(saved.state, world.lake.anew()) == []


def test_killed_before_kafka_has_all_of_them_receipts_come_again_in_order(world):
    worker = world.worker()
    world.land(CURATED, range(10))
    world.lake.vault.decide(*[("hospital-a", 0, 10 + n, 10 + n, "sealed", f"wire.r{n}") for n in range(3)])
    world.kafka_is_away = 1
    with pytest.raises(TransportError):
        world.turn(worker)
    assert world.topic == []
    world.turn(worker)
    assert world.told() == world.lies()
    world.land(CURATED, range(13, 20))
    world.kafka_is_away = 1
    with pytest.raises(TransportError):
        world.turn(worker)
    again = world.worker()  # the other was killed while it waited
    world.turn(again)
    assert world.told() == world.lies()


def test_of_two_followers_one_goes_on_and_the_other_begins_from_what_that_one_saved(world):
    one, other = world.worker(), world.worker()
    world.turn(one)
    world.turn(other)
    world.land(CURATED, range(10))
    world.turn(one)
    with pytest.raises(CommitConflict):
        world.turn(other)
    other._follower = None
    world.land(CURATED, range(10, 20))
    world.turn(other)
    with pytest.raises(CommitConflict):
        world.turn(one)
    assert world.told() == world.lies()


def test_books_that_cannot_be_read_are_made_anew_and_receipts_go_on_above(world):
    worker = world.worker()
    world.land(CURATED, range(10))
    world.turn(worker)
    objects = world.lake.lake.objects
    for key in objects.keys("state/books/"):
        objects.put(key, b"torn")
    worker = world.worker()
    world.turn(worker)
    first, again = (decode(record) for _, record in world.topic)
    assert again.number > first.number
    assert (again.offsets, again.outcome) == (first.offsets, first.outcome)


def test_what_was_seen_is_there_for_those_who_show_it_with_alarms(world):
    objects = world.lake.lake.objects
    assert Published.read(objects) is None
    worker = world.worker()
    world.land(CURATED, range(10))
    world.turn(worker)
    found = Published.read(objects)
    assert (found.books.balanced, found.books.total("curated"), found.alarms) == (True, 10, ())
    world.turn(worker)  # it shows when the books were saved
    written = objects.find(KEY)
    world.turn(worker)
    assert objects.find(KEY) == written
    world.now += 61
    world.turn(worker)
    (alarm,) = Published.read(objects).alarms
    assert alarm.sentence.startswith("hospital-a has sent nothing for 76 seconds")
    assert worker.metrics.registry.get_sample_value("biokeel_source_alarm", {"source": "hospital-a", "kind": "silent"})


def test_a_clock_that_is_ahead_is_an_alarm_and_one_that_is_right_is_none(world):
    now = dt.datetime.now(dt.UTC)
    worker, objects = world.worker(), world.lake.lake.objects
    world.land(CURATED, range(5), recorded_at=now - dt.timedelta(days=1))
    world.turn(worker)
    assert Published.read(objects).alarms == ()
    world.land(QUARANTINE, range(5, 9), reason="rule.failed", recorded_at=now + dt.timedelta(hours=9))
    world.turn(worker)
    (alarm,) = Published.read(objects).alarms
    assert (alarm.kind, "up to 9 hours in the future" in alarm.sentence) == ("clock", True)


def test_what_is_on_its_way_is_missing_though_nobody_is_told_of_it(world):
    worker, objects = world.worker(), world.lake.lake.objects
    world.land(CURATED, range(10))
    world.lake.vault.decide(("hospital-a", 0, 10, 11, "parked", ""))
    world.high = 12
    for _ in range(4):
        world.turn(worker)
    world.lake.vault.decide(("hospital-a", 0, 11, 11, "released", ""))
    world.turn(worker)
    assert Published.read(objects).books.missing == ("raw.hospital-a.clinical.glucose/0@11",)
    assert Published.read(objects).books.total("parked") == 1


def test_it_waits_while_the_store_is_away_and_saves_when_it_is_told_to_stop(world, monkeypatch):
    worker, stop, away = world.worker(), threading.Event(), [True, True]
    whole = Tables.whole
    monkeypatch.setattr(worker_module, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(worker_module, "LONGEST_SECONDS", 0.01)
    news = Tables.news

    def look(self, *arguments):
        if away:
            away.pop()
            raise StoreUnavailable("The store is away.")
        stop.set()
        return news(self, *arguments)

    def look_whole(self, *arguments):
        return look(self, *arguments) if away else whole(self, *arguments)

    monkeypatch.setattr(Tables, "whole", look_whole)
    monkeypatch.setattr(Tables, "news", look)
    world.land(CURATED, range(5))
    world.now += SAVE_SECONDS
    worker.run(stop)
    assert away == []
    assert world.told() == world.lies()


@pytest.mark.parametrize(("cpu", "pause"), [(0.01, LOOK_SECONDS), (0.2, 0.2 * PAUSES), (2.0, QUIET_SECONDS)])
def test_a_look_is_followed_by_a_pause_of_many_times_its_cpu_but_the_first_is_not(world, monkeypatch, cpu, pause):
    class Stop:
        """Stops after three looks."""

        def __init__(self):
            self.pauses = []

        def wait(self, seconds):
            self.pauses.append(seconds)
            return len(self.pauses) > 3

    spent = itertools.count()
    monkeypatch.setattr(worker_module.time, "process_time", lambda: cpu * next(spent))
    monkeypatch.setattr(BooksWorker, "save", lambda _: None)
    stop = Stop()
    world.worker().run(stop)
    assert stop.pauses == [LOOK_SECONDS, LOOK_SECONDS, pytest.approx(pause), pytest.approx(pause)]


steps = st.lists(
    st.one_of(
        st.tuples(st.just("land"), st.sampled_from([CURATED, QUARANTINE])),
        st.tuples(st.just("move"), st.just(HISTORY)),
        st.tuples(st.just("park"), st.just(None)),
        st.tuples(st.just("turn"), st.sampled_from([None, *POINTS])),
        st.tuples(st.just("away"), st.just(None)),
    ),
    max_size=14,
)


@settings(max_examples=30, deadline=None)
@given(life=steps)
def test_whenever_it_dies_the_source_hears_the_truth(tmp_path_factory, life):
    world = World(tmp_path_factory.mktemp("lake"))
    worker, offset = world.worker(), 0
    with pytest.MonkeyPatch.context() as patch:
        for what, which in life:
            if what == "land":
                told = {"reason": "rule.failed", "failed_rules": ["a"]} if which is QUARANTINE else {}
                world.land(which, [offset, offset + 1], **told)
                offset += 2
            elif what == "park":
                world.lake.vault.decide(("hospital-a", 0, offset, offset, "parked", ""))
                offset += 1
                world.high = offset
            elif what == "move" and world.lake.lake.objects.sizes("curated/"):
                rows = world.lake.table(CURATED).to_pyarrow_table(columns=["first_offset"]).to_pydict()["first_offset"]
                if rows:
                    world.lake.land(HISTORY, rows[:1], why="superseded")
                    world.lake.delete(CURATED, f"first_offset = {rows[0]}")
            elif what == "away":
                world.kafka_is_away = 1
            elif what == "turn":

                def reached(point, dies=which):
                    if point == dies:
                        raise Killed

                patch.setattr(worker_module, "reached", reached)
                try:
                    world.turn(worker)
                except Killed:
                    worker = world.worker()
                except TransportError:
                    pass
        patch.setattr(worker_module, "reached", lambda _: None)
        world.kafka_is_away = 0
        for _ in range(TABLES_EVERY + 1):  # what a steward moved is seen within so many looks
            world.turn(worker)
    assert world.told() == world.lies()
