"""`biokeel verify` on the real Kafka, the real object store and the real vault."""

import json
import os
import subprocess
import sys

import polars as pl
import pytest
from confluent_kafka import Producer

from biokeel.books.bookkeeper import LANDED_COLUMNS, Bookkeeper
from biokeel.contracts.topics import Zone, event_type
from biokeel.engine.kafka.newest import newest
from biokeel.engine.kafka.watermarks import raw_watermarks
from biokeel.errors import TransportError
from biokeel.land.lake import Lake
from biokeel.stack.stack import Stack
from tests.event_types import EVENTS

pytestmark = pytest.mark.integration

SLEEP = event_type("lifestyle.sleep")
DIET = event_type("lifestyle.diet")


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
        producer.produce(event.raw_topic, partition=partition, value=f"event {number}".encode())
    assert producer.flush(30) == 0


def land(stack, kind, event, partition, offsets, stream="raw"):
    lake = Lake.of(stack.settings(Zone.RESEARCH))
    rows = pl.DataFrame(
        {
            "first_partition": partition,
            "first_offset": offsets,
            "stream": stream,
            "raw_partition": partition,
            "raw_offset": offsets,
            "reason": "rule.failed",
        },
        schema_overrides=LANDED_COLUMNS | {"raw_partition": pl.Int32()},
    )
    rows.write_delta(getattr(lake, kind)(event), mode="append", storage_options=lake.options)


def biokeel(stack, *arguments):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BIOKEEL_")}
    environment["BIOKEEL_STATE_DIR"] = str(stack.state_dir)
    environment["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, sys.path))
    command = [sys.executable, "-m", "biokeel", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, env=environment, timeout=120)


def test_verify_proves_names_and_counts_in_the_order_in_which_events_arrive(own_stack):
    nothing_landed = biokeel(own_stack, "verify", "--json")
    assert nothing_landed.returncode == 1
    books = json.loads(nothing_landed.stdout)
    assert (books["totals"]["raw"], books["totals"]["missing"]) == (500, 500)
    assert books["missing"][:2] == ["raw.lifestyle.sleep/0@0", "raw.lifestyle.sleep/0@1"]
    assert len(books["missing"]) == 20
    assert "raw.lifestyle.sleep/0@2 and 497 more" in nothing_landed.stderr
    assert "0@3" not in nothing_landed.stderr
    assert "Traceback" not in nothing_landed.stderr

    land(own_stack, "curated", SLEEP, 0, range(300))
    land(own_stack, "quarantine", SLEEP, 1, range(199))
    one_missing = biokeel(own_stack, "verify", "--wait", "0.5")
    assert one_missing.returncode == 1
    assert "1 missing: raw.lifestyle.sleep/1@199." in one_missing.stderr

    land(own_stack, "curated", SLEEP, 1, [199])
    balanced = biokeel(own_stack, "verify", "--wait", "5")
    assert balanced.returncode == 0, balanced.stderr
    assert "The books balance" in balanced.stdout

    land(own_stack, "curated", SLEEP, 1, [7])
    doubled = biokeel(own_stack, "verify", "--json")
    assert doubled.returncode == 1
    assert json.loads(doubled.stdout)["doubled"] == ["raw.lifestyle.sleep/1@7"]
    assert json.loads(doubled.stdout)["events"]["lifestyle.sleep"]["quarantined"] == 199


def test_watermarks_name_every_partition_of_every_raw_topic(own_stack):
    settings = own_stack.settings(Zone.VAULT)
    marks = raw_watermarks(settings)
    assert set(marks) == set(EVENTS)
    assert {len(partitions) for partitions in marks.values()} == {settings.raw_partitions}
    assert marks[SLEEP][0] == (0, 300)
    assert marks[DIET][0] == (0, 0)


def test_a_kafka_that_is_not_there_is_one_sentence(own_stack):
    settings = own_stack.settings(Zone.VAULT).model_copy(update={"kafka_bootstrap": "127.0.0.1:1"})
    with pytest.raises(TransportError, match=r"Kafka does not answer at 127\.0\.0\.1:1\."):
        raw_watermarks(settings)


def test_the_newest_messages_come_in_order_and_no_more_than_asked_for(own_stack):
    settings = own_stack.settings(Zone.VAULT)
    found = newest(settings, SLEEP.raw_topic, 5)
    assert len(found) == 5
    assert found == sorted(found)
    assert newest(settings, DIET.raw_topic, 5) == []


def test_topic_cat_shows_what_does_not_decode_as_its_reason_and_size_only(own_stack):
    shown = biokeel(own_stack, "topic", "cat", "raw.lifestyle.sleep", "--limit", "3")
    assert shown.returncode == 0, shown.stderr
    lines = [json.loads(line) for line in shown.stdout.splitlines()]
    assert len(lines) == 3
    assert all(line["rejected"] == "wire.not_framed" and line["bytes"] > 0 for line in lines)
    assert "event 1" not in shown.stdout


@pytest.mark.parametrize("topic", ["raw.lifestyle.naps", "pseudo.person.enrolment", "lifestyle.sleep"])
def test_topic_cat_names_a_topic_that_is_none(own_stack, topic):
    refused = biokeel(own_stack, "topic", "cat", topic)
    assert refused.returncode == 1
    assert topic in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.browser
def test_the_console_shows_the_figures_that_verify_proves(own_stack, chromium):
    proved = Bookkeeper.of(own_stack.state_dir).look().as_json()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("BIOKEEL_", "PYTEST"))}
    environment["BIOKEEL_STATE_DIR"] = str(own_stack.state_dir)
    environment["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, sys.path))
    command = [sys.executable, "-m", "biokeel", "console", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as console:
        try:
            page = chromium.new_page()
            page.goto(console.stdout.readline().split()[-1])
            page.get_by_test_id("books-time").wait_for(timeout=60_000)
            for column, count in proved["totals"].items():
                assert page.get_by_test_id(f"books-total-{column}").text_content() == f"{count:,}"
            page.close()
        finally:
            console.terminate()
