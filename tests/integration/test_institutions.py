"""Three institutions and an intruder: each is believed only as itself, and hears exactly what became of its own events.

Each connects by what its credentials' file says and by nothing else. The hospital uses the SDK, the sequencing centre
`Publisher`, the app vendor a Kafka client of its own.
"""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import confluent_kafka as kafka
import polars as pl
import pytest

from biokeel.books.bookkeeper import Bookkeeper
from biokeel.contracts.catalogue import DirectoryCatalogue
from biokeel.contracts.codec import Codec
from biokeel.contracts.columns import frame_schema
from biokeel.contracts.receipts import Outcome
from biokeel.contracts.sources import file_of, written
from biokeel.contracts.topics import Zone, event_type, receipts_topic
from biokeel.observe.stats import collect
from biokeel.settings import PROJECT_ROOT
from biokeel.source.client import Publisher
from biokeel.source.models import Enrolment, Glucose
from biokeel.source.receipts import Follower, told
from biokeel.source.sdk import SourceClient
from biokeel.stack.stack import Stack
from tests.books.test_bookkeeper import environment
from tests.registers import source

pytestmark = [pytest.mark.integration, pytest.mark.long]

NOW = dt.datetime(2026, 3, 1, 7, 30, tzinfo=dt.UTC)
GLUCOSE, QC, SLEEP, MERGE, WITHDRAWAL = map(
    event_type,
    ("clinical.glucose", "genome.qc_metrics", "lifestyle.sleep", "person.merge", "person.withdrawal"),
)
HOSPITAL, CENTRE, APP = "hospital-a", "centre-a", "app-a"
REGISTERED = (
    source(HOSPITAL, events=("clinical.glucose", "person.enrolment", "person.merge"), schemes=("hospital/a", "app/a")),
    source(CENTRE, events=("genome.qc_metrics",), schemes=("sample/a",)),
    source(APP, events=("lifestyle.sleep",), schemes=("app/a",)),
)
PEOPLE = 20
BAD = 4
SLEEPS = 40
CATALOGUE = DirectoryCatalogue(PROJECT_ROOT / "schemas")
SECONDS = 180.0


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    register = tmp_path_factory.mktemp("register")
    for each in REGISTERED:
        file_of(register, each.id).write_text(written(each.model_copy(update={"partitions": 2})))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BIOKEEL_SOURCES_DIR", str(register))
        patch.setenv("BIOKEEL_FLUSH_SECONDS", "1")
        with Stack.start(tmp_path_factory.mktemp("institutions"), workers=1) as running:
            yield running


def credentials(stack, source_id):
    return stack.state_dir / "sources" / f"{source_id}.env"


def envelope(source_id, number, scheme, subject):
    return {
        "event_id": f"{number:032x}",
        "source_id": source_id,
        "subject_scheme": scheme,
        "subject_id": subject,
        "occurred_at": NOW,
        "occurred_offset_minutes": 540,
        "recorded_at": NOW + dt.timedelta(hours=1),
    }


def sleep(number, subject, **more):
    slept = {"ended_at": NOW + dt.timedelta(hours=7), "minutes_asleep": 400.0, "status": "final"}
    return envelope(APP, number, "app/a", subject) | slept | more


def encoded(event, rows):
    frame = pl.DataFrame(rows, schema=frame_schema(CATALOGUE.reader(event).schema.avro), orient="row")
    return Codec(CATALOGUE, 1 << 20).encode(event, frame).to_pylist()


def own_client(stack, source_id):
    """A plain Kafka client that knows a credentials' file and nothing of Biokeel."""
    lines = credentials(stack, source_id).read_text().splitlines()
    settings = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    known = {name.removeprefix("BIOKEEL_KAFKA_"): value.strip("'") for name, value in settings.items()}
    return {
        "bootstrap.servers": known["BOOTSTRAP"],
        "security.protocol": known["SECURITY_PROTOCOL"],
        "sasl.mechanism": known["SASL_MECHANISM"],
        "sasl.username": known["USERNAME"],
        "sasl.password": known["PASSWORD"],
        "log_level": 0,
    }


def refusal(client, topic, value=b"x"):
    """Why Kafka did not take a message; None where it did."""
    errors = []
    producer = kafka.Producer(client | {"message.timeout.ms": 8_000})
    producer.produce(topic, value, on_delivery=lambda error, _message: errors.append(error))
    producer.flush(30)
    return errors[0].name() if errors and errors[0] is not None else None


@pytest.fixture(scope="module")
def sent(stack):
    """Everything that the three sent, and what the app tried in others' names; the books once they balance."""
    folder = Path(stack.state_dir)
    with SourceClient.from_file(credentials(stack, HOSPITAL), folder / "spool") as hospital:
        common = {"occurred_at": NOW, "occurred_offset_minutes": 540, "recorded_at": NOW}
        hospital.send_many(
            [
                Enrolment(
                    record_key=f"p-{number}",
                    subject=("hospital/a", f"P-{number}"),
                    identifiers=[{"scheme": "app/a", "value": f"u-{number}"}],
                    sex="female",
                    consent_scope=["clinical", "genome", "lifestyle"],
                    consent_stated=True,
                    **common,
                )
                for number in range(PEOPLE)
            ]
        )
        good = [
            Glucose(
                record_key=f"g-{number}",
                subject=("hospital/a", f"P-{number}"),
                code="2339-0",
                value=90.0,
                value_unit="mg/dL",
                status="final",
                **common,
            )
            for number in range(PEOPLE)
        ]
        # What a model would refuse: a unit that no rule knows, and a status that cannot cross.
        bad = [
            {
                "record_key": f"b-{number}",
                "subject_scheme": "hospital/a",
                "subject_id": f"P-{number}",
                "code": "2339-0",
                "value": 90.0,
                "value_unit": "mg/L" if number else "mg/dL",
                "status": "final" if number else "somebody's name",
                **dict.fromkeys(("occurred_at", "recorded_at"), round(NOW.timestamp() * 1000)),
            }
            for number in range(BAD)
        ]
        ids = [*hospital.send_many(good), *hospital.send_many(bad, GLUCOSE)]
        assert hospital.flush(60).events == 0
        landed = hospital.wait_landed(ids, SECONDS)
    with Publisher(stack.source(CENTRE), CATALOGUE) as centre:
        unknown = [envelope(CENTRE, 100 + number, "sample/a", f"S-{number}") for number in range(5)]
        centre.publish(QC, pl.DataFrame(unknown, schema=frame_schema(CATALOGUE.reader(QC).schema.avro), orient="row"))
    mine = [sleep(number, f"u-{number % PEOPLE}") for number in range(SLEEPS)]
    borrowed = sleep(900, "u-1", source_id=HOSPITAL)
    foreign = sleep(901, "P-1", subject_scheme="hospital/a")
    values = [*encoded(SLEEP, [*mine, borrowed, foreign]), b"no event"]
    producer = kafka.Producer(own_client(stack, APP))
    for value in values:
        producer.produce(SLEEP.raw_topic(APP), value, partition=0)
    assert producer.flush(60) == 0
    bookkeeper = Bookkeeper.of(stack.state_dir)
    raw = PEOPLE + len(ids) + 5 + len(values)
    deadline = time.monotonic() + SECONDS
    while not (books := bookkeeper.look()).balanced or books.total("raw") != raw:
        assert time.monotonic() < deadline, books.as_json()
        time.sleep(1)
    return ids, landed, bookkeeper, books


def heard(stack, source_id, events):
    """By event type, partition and offset the newest receipt of a source, once there is one about `events` events."""
    deadline = time.monotonic() + SECONDS
    while True:
        newest = {
            (each.event, each.partition, offset): each
            for each in told(Follower(stack.source(source_id)), on=False)
            for first, last in each.offsets
            for offset in range(first, last + 1)
        }
        if len(newest) >= events or time.monotonic() > deadline:
            return newest
        time.sleep(1)


def test_the_intruder_is_refused_in_every_way(stack, sent):
    del sent
    app = own_client(stack, APP)
    for topic in (GLUCOSE.raw_topic(HOSPITAL), MERGE.raw_topic(HOSPITAL), "raw.app-ab.lifestyle.sleep"):
        assert refusal(app, topic) in ("TOPIC_AUTHORIZATION_FAILED", "_UNKNOWN_TOPIC"), topic
    assert refusal(app, SLEEP.pseudo_topic) == "TOPIC_AUTHORIZATION_FAILED"
    assert refusal(app | {"sasl.password": "guessed"}, SLEEP.raw_topic(APP)) is not None
    for topic in (receipts_topic(HOSPITAL), SLEEP.raw_topic(APP), SLEEP.pseudo_topic):
        consumer = kafka.Consumer(app | {"group.id": f"{APP}.spy", "auto.offset.reset": "earliest"})
        consumer.assign([kafka.TopicPartition(topic, 0, 0)])
        # Of a topic that it may not even describe there is no word at all.
        given = [message for message in consumer.consume(10, 5) if message.error() is None]
        assert given == [], topic
        consumer.close()


def test_what_was_said_in_the_name_of_another_or_about_a_patient_of_another_is_sealed_by_name(stack, sent):
    del sent
    receipts = heard(stack, APP, SLEEPS + 3)
    reasons = Counter(each.reason for each in receipts.values() if each.outcome is Outcome.SEALED)
    assert reasons == {"source.not_its_own": 1, "source.scheme_not_granted": 1, "wire.not_framed": 1}


def test_each_hears_of_its_own_events_and_that_is_what_reading_everything_says(stack, sent):
    *_, bookkeeper, books = sent
    full, differences = bookkeeper.full(lambda _what: None)
    assert (full.balanced, differences) == (True, [])
    words = {Outcome.LANDED: "curated"}
    for source_id, sums in books.sources.items():
        receipts = heard(stack, source_id, sums.raw)
        for part, state in bookkeeper._follower.state.parts.items():
            if part.source != source_id:
                continue
            for label, lies in state.within(0, 1 << 40).lies.items():
                for first, last in lies.runs():
                    for offset in range(first, last + 1):
                        receipt = receipts.pop((part.event, part.partition, offset))
                        assert words.get(receipt.outcome, str(receipt.outcome)) == str(label.place)
                        assert (receipt.reason, ",".join(receipt.fields)) == (label.reason, label.withheld)
        assert receipts == {}


def test_the_sdk_says_what_became_of_each_by_its_id(sent):
    ids, landed, *_ = sent
    assert set(landed) == set(ids)
    outcomes = Counter(str(receipt.outcome) for receipt in landed.values())
    assert outcomes == {"landed": PEOPLE, "quarantined": BAD}


def test_rejects_are_the_same_number_in_counters_books_and_receipts(stack, sent):
    *_, books = sent
    counted = Counter()
    for (_event, reason), number in collect(stack.state_dir).rejected.items():
        counted[str(reason)] += number
    told_of = Counter()
    for source_id, sums in books.sources.items():
        for receipt in heard(stack, source_id, sums.raw).values():
            if receipt.outcome in (Outcome.SEALED, Outcome.QUARANTINED):
                told_of[receipt.reason] += 1
    assert counted == told_of
    assert sum(told_of.values()) == books.total("sealed") + books.total("quarantined")


def test_the_command_tells_a_source_the_same(stack, sent):
    *_, books = sent
    command = [sys.executable, "-m", "biokeel", "receipts", "--source", CENTRE, "--json"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment(stack), timeout=120)
    assert done.returncode == 0, done.stderr
    parked = [json.loads(line) for line in done.stdout.splitlines()]
    assert {each["outcome"] for each in parked} == {"parked"}
    assert sum(last - first + 1 for each in parked for first, last in each["offsets"]) == books.sources[CENTRE].raw


def test_what_became_of_a_file_is_told_by_its_lines_and_only_what_was_rejected_is_sent_again(stack, sent, tmp_path):
    del sent
    noted, path = tmp_path / "june.sqlite", tmp_path / "sleeps.jsonl"

    def command(*arguments):
        done = subprocess.run(
            [sys.executable, "-m", "biokeel", *arguments],
            check=False,
            capture_output=True,
            text=True,
            env=environment(stack),
            timeout=180,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def write(minutes):
        slept = {"event": str(SLEEP), "subject_scheme": "app/a", "status": "final"}
        slept |= {"occurred_at": "2026-03-01T23:00:00+09:00", "ended_at": "2026-03-02T06:00:00+09:00"}
        lines = (
            slept | {"record_key": f"file-{number}", "subject_id": f"u-{number}", "minutes_asleep": each}
            for number, each in enumerate(minutes)
        )
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))

    def became():
        done = command("receipts", "--source", APP, "--submission", str(noted), "--follow", "--json")
        found = {
            stands["place"]: (told["outcome"], told["rules"])
            for told in map(json.loads, done.stdout.splitlines())
            for stands in told["stands"]
        }
        return done.returncode, found

    write([400.0, 4_000.0, 410.0])
    published = command("publish", str(path), "--source-id", APP, "--site", "a", "--submission", str(noted))
    assert published.returncode == 0, published.stdout + published.stderr
    status, found = became()
    assert status == 2
    assert {place: outcome for place, (outcome, _) in found.items()} == {
        "line 1": "landed",
        "line 2": "quarantined",
        "line 3": "landed",
    }
    words = command("receipts", "--source", APP, "--submission", str(noted)).stdout
    assert f"line 2: {SLEEP} quarantined because rule.failed by {', '.join(found['line 2'][1])} of suite" in words
    write([400.0, 405.0, 410.0])
    again = command("publish", str(path), "--source-id", APP, "--rejected-of", str(noted), "--submission", str(noted))
    assert again.returncode == 0, again.stdout + again.stderr
    assert "Left alone: 2 events" in again.stdout
    assert became() == (0, dict.fromkeys(("line 1", "line 2", "line 3"), ("landed", [])))


def test_the_zones_stay_apart(stack):
    research = stack.settings(Zone.RESEARCH).kafka_client()
    assert refusal(research, SLEEP.raw_topic(APP)) == "TOPIC_AUTHORIZATION_FAILED"
