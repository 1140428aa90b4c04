"""`biokeel verify`, the follower and receipts on the real Kafka, the real object store and the real vault."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import polars as pl
import pytest
from confluent_kafka import Producer

from biokeel.batch import RawPartition
from biokeel.books.bookkeeper import Bookkeeper
from biokeel.books.published import Published
from biokeel.books.saved import SavedBooks
from biokeel.books.state import differences
from biokeel.contracts.receipts import decode
from biokeel.contracts.topics import Zone, event_type
from biokeel.engine.kafka.newest import newest
from biokeel.engine.kafka.watermarks import RawWatermarks, raw_watermarks
from biokeel.errors import TransportError
from biokeel.land.lake import Lake
from biokeel.settings import BOOKS, Settings
from biokeel.stack.stack import Stack
from tests import commands
from tests.event_types import EVENTS

pytestmark = pytest.mark.integration

SLEEP = event_type("lifestyle.sleep")
DIET = event_type("lifestyle.diet")
SOURCE = "hospital-one"
POINTS = ("books.looked", "books.saved", "books.sent")


@pytest.fixture(scope="module")
def own_stack(tmp_path_factory):
    """A stack that nobody else publishes to, for the books are about everything in it."""
    with Stack.start(tmp_path_factory.mktemp("books")) as running:
        publish(running, SLEEP, 0, 300)
        publish(running, SLEEP, 1, 200)
        yield running


def publish(stack, event, partition, n):
    producer = Producer(stack.settings(Zone.VAULT).kafka_client())
    for number in range(n):
        producer.produce(event.raw_topic(SOURCE), partition=partition, value=f"event {number}".encode())
    assert producer.flush(30) == 0


def land(stack, kind, event, partition, offsets, stream="raw"):
    lake = Lake.of(stack.settings(Zone.RESEARCH))
    rows = pl.DataFrame(
        {
            "source_id": SOURCE,
            "first_partition": partition,
            "first_offset": offsets,
            "stream": stream,
            "raw_partition": partition,
            "raw_offset": offsets,
            "reason": "rule.failed",
            "failed_rules": [["too_long"]] * len(offsets),
            "suite_version": "3",
            "withheld": None,
        },
        schema_overrides={
            "first_partition": pl.Int32,
            "first_offset": pl.Int64,
            "raw_partition": pl.Int32,
            "withheld": pl.String,
        },
    )
    rows.write_delta(getattr(lake, kind)(event), mode="append", storage_options=lake.options)


def environment(stack, **more):
    register = os.environ["BIOKEEL_SOURCES_DIR"]
    return commands.environment(BIOKEEL_STATE_DIR=str(stack.state_dir), BIOKEEL_SOURCES_DIR=register, **more)


def biokeel(stack, *arguments):
    return commands.biokeel(*arguments, given=environment(stack))


@contextmanager
def follower(stack, crash_at=""):
    """`biokeel worker books`, made to die at `crash_at` where that names a point."""
    command = [sys.executable, "-m", "biokeel", "worker", "books"]
    with subprocess.Popen(command, env=environment(stack, BIOKEEL_CRASH_AT=crash_at)) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(60)


def eventually(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return found


def test_verify_proves_names_and_counts_in_the_order_in_which_events_arrive(own_stack):
    nothing_landed = biokeel(own_stack, "verify", "--json")
    assert nothing_landed.returncode == 1, nothing_landed.stderr
    books = json.loads(nothing_landed.stdout)
    assert (books["totals"]["raw"], books["totals"]["missing"]) == (500, 500)
    assert books["missing"][:2] == ["raw.hospital-one.lifestyle.sleep/0@0", "raw.hospital-one.lifestyle.sleep/0@1"]
    assert len(books["missing"]) == 20
    assert "raw.hospital-one.lifestyle.sleep/0@2 and 497 more" in nothing_landed.stderr
    assert "0@3" not in nothing_landed.stderr
    assert "Traceback" not in nothing_landed.stderr

    land(own_stack, "curated", SLEEP, 0, range(300))
    land(own_stack, "quarantine", SLEEP, 1, range(199))
    one_missing = biokeel(own_stack, "verify", "--wait", "0.5")
    assert one_missing.returncode == 1
    assert "1 missing: raw.hospital-one.lifestyle.sleep/1@199." in one_missing.stderr

    land(own_stack, "curated", SLEEP, 1, [199])
    balanced = biokeel(own_stack, "verify", "--wait", "5")
    assert balanced.returncode == 0, balanced.stderr
    assert "The books balance" in balanced.stdout


def test_the_follower_killed_at_each_step_tells_the_source_everything_once_in_order(own_stack):
    objects = Lake.of(own_stack.settings(Zone.RESEARCH)).objects
    for number, point in enumerate(POINTS):
        publish(own_stack, DIET, 0, 10)
        with follower(own_stack, point) as process:
            land(own_stack, "curated", DIET, 0, range(10 * number, 10 * number + 10))
            assert process.wait(120) == -signal.SIGKILL, point
    began = time.time()
    with follower(own_stack) as process:

        def balanced():
            seen = Published.read(objects)
            return seen if seen is not None and seen.books.taken_at > began and seen.books.balanced else None

        assert eventually(balanced).books.total("quarantined") == 199
        process.terminate()
        assert process.wait(60) == 0
    read = biokeel(own_stack, "receipts", "--source", SOURCE, "--json")
    assert read.returncode == 0, read.stderr
    receipts = [decode(line.encode()) for line in read.stdout.splitlines()]
    numbers = [receipt.number for receipt in receipts]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    known = {
        (receipt.event, receipt.partition, offset): receipt.outcome.value
        for receipt in receipts
        for first, last in receipt.offsets
        for offset in range(first, last + 1)
    }
    assert not any(receipt.amends for receipt in receipts)
    assert known == {
        **{("lifestyle.sleep", 0, offset): "landed" for offset in range(300)},
        **{("lifestyle.sleep", 1, offset): "quarantined" for offset in range(199)},
        ("lifestyle.sleep", 1, 199): "landed",
        **{("lifestyle.diet", 0, offset): "landed" for offset in range(30)},
    }
    words = biokeel(own_stack, "receipts", "--source", SOURCE).stdout
    assert "lifestyle.sleep/1 @0-198 (199) quarantined because rule.failed by too_long of suite 3" in words
    _, saved = SavedBooks(objects).newest()
    bookkeeper = Bookkeeper.of(own_stack.state_dir)
    bookkeeper.look()
    assert differences(saved.state, bookkeeper._follower.state) == []


def test_reading_everything_agrees_with_the_books_and_says_where_it_does_not(own_stack):
    full = biokeel(own_stack, "verify", "--full", "--json")
    assert full.returncode == 0, full.stderr
    books = json.loads(full.stdout)
    assert (books["balanced"], books["differences"], books["totals"]["raw"]) == (True, [], 530)
    assert books["saved_at"] is not None
    assert books["sources"][SOURCE]["raw"] == 530


def test_a_row_too_many_is_doubled_at_the_next_look(own_stack):
    land(own_stack, "curated", SLEEP, 1, [7])
    doubled = biokeel(own_stack, "verify", "--json")
    assert doubled.returncode == 1
    assert json.loads(doubled.stdout)["doubled"] == ["raw.hospital-one.lifestyle.sleep/1@7"]
    assert json.loads(doubled.stdout)["events"]["lifestyle.sleep"]["quarantined"] == 199


def test_watermarks_name_every_partition_of_every_raw_topic(own_stack):
    settings = own_stack.settings(Zone.VAULT)
    marks = raw_watermarks(settings)
    assert set(marks) == set(EVENTS)
    assert marks[SLEEP][RawPartition(SOURCE, 0)] == (0, 300)
    watching = RawWatermarks(Settings.load(BOOKS, state_dir=own_stack.state_dir))
    assert watching.look() == marks
    publish(own_stack, SLEEP, 1, 5)
    assert watching.look()[SLEEP][RawPartition(SOURCE, 1)] == (0, 205)


def test_a_kafka_that_is_not_there_is_one_sentence(own_stack):
    settings = own_stack.settings(Zone.VAULT).model_copy(update={"kafka_bootstrap": "127.0.0.1:1"})
    with pytest.raises(TransportError, match=r"Kafka does not answer at 127\.0\.0\.1:1\."):
        raw_watermarks(settings)


def test_the_newest_messages_come_in_order_and_no_more_than_asked_for(own_stack):
    settings = own_stack.settings(Zone.VAULT)
    found = newest(settings, SLEEP.raw_topic(SOURCE), 5)
    assert len(found) == 5
    assert found == sorted(found)


def test_topic_cat_shows_what_does_not_decode_as_its_reason_and_size_only(own_stack):
    shown = biokeel(own_stack, "topic", "cat", "raw.hospital-one.lifestyle.sleep", "--limit", "3")
    assert shown.returncode == 0, shown.stderr
    lines = [json.loads(line) for line in shown.stdout.splitlines()]
    assert len(lines) == 3
    assert all(line["rejected"] == "wire.not_framed" and line["bytes"] > 0 for line in lines)
    assert "event 1" not in shown.stdout


@pytest.mark.parametrize(
    "topic", ["raw.hospital-one.lifestyle.naps", "raw.lifestyle.sleep", "pseudo.person.enrolment", "lifestyle.sleep"]
)
def test_topic_cat_names_a_topic_that_is_none(own_stack, topic):
    refused = biokeel(own_stack, "topic", "cat", topic)
    assert refused.returncode == 1
    assert topic in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.browser
def test_the_console_shows_the_figures_that_verify_proves(own_stack, chromium):
    proved = Bookkeeper.of(own_stack.state_dir).look().as_json()
    command = [sys.executable, "-m", "biokeel", "console", "--port", "0"]
    with (
        follower(own_stack),
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment(own_stack)) as console,
    ):
        try:
            page = chromium.new_page()
            page.goto(console.stdout.readline().split()[-1])
            page.get_by_test_id("books-total-raw").get_by_text(f"{proved['totals']['raw']:,}").wait_for(timeout=60_000)
            for column, count in proved["totals"].items():
                assert page.get_by_test_id(f"books-total-{column}").text_content() == f"{count:,}"
            page.close()
        finally:
            console.terminate()
