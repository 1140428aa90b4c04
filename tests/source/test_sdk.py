"""The client of the SDK, on a Kafka in memory where nothing of Kafka's own is asked."""

from __future__ import annotations

import asyncio
import threading

import polars as pl
import pytest

from biokeel.contracts.topics import event_type
from biokeel.errors import DeliveryError, SettingsError, SourceError, SpoolFull, SpoolTaken
from biokeel.settings import Settings
from biokeel.source import models
from biokeel.source.ids import EventIds
from biokeel.source.partition import stable_hash
from biokeel.source.sdk import SourceClient
from biokeel.source.spool import drain
from tests.source.sdk_world import SOURCE, client_of, id_in, moment
from tests.source.spool_world import Transport, World

GLUCOSE = event_type("clinical.glucose")
TOPIC = "test.sdk.clinical.glucose"
IDS = EventIds(SOURCE, b"k" * 32)
PLACE = {"source_id": SOURCE, "kafka_bootstrap": "127.0.0.1:9"}


def glucose(number=0, person="87", **more):
    given = {
        "record_key": f"obs-{number}",
        "subject": ("hospital/seoul-1", person),
        "occurred_at": moment(number),
        "recorded_at": moment(number),
        "code": "2339-0",
        "value": 90.0,
        "value_unit": "mg/dL",
        "status": "final",
    }
    return models.Glucose(**given | more)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch):
    monkeypatch.setattr(drain, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(drain, "LONGEST_PAUSE", 0.01)
    monkeypatch.setattr(drain, "LONGEST_AWAY", 0.01)


@pytest.fixture
def world():
    return World()


@pytest.fixture
def client(world, tmp_path, catalogue):
    settings = Settings(**PLACE)
    with client_of("test.sdk", settings, tmp_path, sync=False, catalogue=catalogue, transport=Transport(world)) as made:
        yield made


def test_an_event_arrives_with_the_id_of_its_record_in_the_partition_of_its_person(client, world):
    event_id = client.send(glucose(17))
    assert event_id == IDS.of(GLUCOSE, "obs-17")
    assert client.flush(30).events == 0
    (value,) = world.logs[TOPIC, stable_hash("hospital/seoul-1", "87") % 3]
    assert id_in(value) == event_id


@pytest.mark.parametrize("way", ["models", "records", "frame"])
def test_many_events_are_the_same_however_they_are_given(client, world, way):
    events = [glucose(number, str(number % 7)) for number in range(300)]
    singles = [client.send(event) for event in events]
    client.flush(30)
    before = {key: list(values) for key, values in world.logs.items()}
    if way == "models":
        ids = client.send_many(events)
    elif way == "records":
        ids = client.send_many([event.ready() for event in events], "clinical.glucose")
    else:
        rows = pl.DataFrame([event.ready() for event in events], infer_schema_length=None).drop("source_id", "event_id")
        ids = client.send_many(rows, GLUCOSE)
    client.flush(30)
    assert ids == singles
    assert {key: values[len(before[key]) :] for key, values in world.logs.items() if before[key]} == before


def test_events_of_several_types_keep_the_order_of_each_type(client, world):
    sleep = models.Sleep(
        record_key="s",
        subject=("app/vendor", "1"),
        occurred_at=moment(),
        recorded_at=moment(),
        ended_at=moment(1000),
    )
    events = [glucose(0), sleep, glucose(1), glucose(2), sleep]
    ids = client.send_many(events)
    client.flush(30)
    assert len(set(ids)) == 4
    assert [id_in(value) for value in world.values(TOPIC)] == [ids[0], ids[2], ids[3]]
    assert len(world.values("test.sdk.lifestyle.sleep")) == 2


def test_nothing_to_send_is_nothing(client):
    assert client.send_many([]) == []
    assert client.send_many(pl.DataFrame({"event_id": []}), GLUCOSE) == []


def test_what_the_source_may_not_say_is_refused_before_it_is_taken(client, world):
    with pytest.raises(SourceError, match="neither event_id nor record_key"):
        client.send(glucose(record_key=None))
    with pytest.raises(SourceError, match="another source than hospital-a"):
        client.send(glucose(source_id="hospital-b"))
    with pytest.raises(SourceError, match="another source than hospital-a"):
        client.send_many([glucose(1).ready() | {"source_id": "hospital-b"}], GLUCOSE)
    frame = pl.DataFrame([glucose(1).ready() | {"source_id": "hospital-b"}])
    with pytest.raises(SourceError, match="another source than hospital-a"):
        client.send_many(frame, GLUCOSE)
    with pytest.raises(SourceError, match="neither event_id nor record_key"):
        client.send_many(frame.drop("record_key", "event_id", "source_id"), GLUCOSE)
    with pytest.raises(SourceError, match="do not say of which event type"):
        client.send_many([glucose(1).ready()])
    with pytest.raises(SourceError, match=r"no event type clinical\.nothing"):
        client.send_many([glucose(1).ready()], "clinical.nothing")
    client.flush(30)
    assert world.logs == {}


def test_an_event_that_is_too_large_is_refused_at_once_and_disturbs_nobody(client, world):
    small = client.send(glucose(1))
    enrolment = models.Enrolment(
        record_key="e",
        subject=("hospital/seoul-1", "1"),
        occurred_at=moment(),
        recorded_at=moment(),
        identifiers=[],
        name="x" * (1 << 20),
        sex="female",
        consent_scope=[],
    )
    with pytest.raises(DeliveryError, match="are allowed"):
        client.send(enrolment)
    client.flush(30)
    assert [id_in(value) for value in world.values(TOPIC)] == [small]


def test_with_kafka_away_everything_waits_and_pending_says_how_much_and_why(client, world):
    world.away = True
    ids = client.send_many([glucose(number) for number in range(50)])
    pending = client.flush(0.2)
    assert pending.events == 50
    assert pending.oldest_seconds > 0.1
    assert "does not answer" in pending.reason
    world.away = False
    assert client.flush(30) == (0, 0.0, "")
    assert sorted(map(id_in, world.values(TOPIC))) == sorted(ids)


def test_a_refused_topic_is_told_by_send_and_flush_and_the_others_go_on(client, world):
    world.forbidden.add(TOPIC)
    client.send(glucose(1))
    other = models.Sleep(
        record_key="s", subject=("app/vendor", "1"), occurred_at=moment(), recorded_at=moment(), ended_at=moment(9)
    )
    client.send(other)
    with pytest.raises(DeliveryError, match=r"not let hospital-a write test.sdk.clinical.glucose \(TOPIC_AUTHOR"):
        client.flush(30)
    with pytest.raises(DeliveryError, match="It was not taken"):
        client.send(glucose(2))
    assert len(world.values("test.sdk.lifestyle.sleep")) == 1
    world.forbidden.clear()
    while client.pending.reason:  # it is tried again from time to time
        client._stop.wait(0.01)
    assert client.flush(30).events == 0
    assert len(world.values(TOPIC)) == 1


def test_an_event_that_kafka_never_takes_is_told_once(client, world):
    client.send(glucose(0))
    client.flush(30)
    world.largest = 10
    client.send(glucose(1))
    with pytest.raises(DeliveryError, match="never takes an event"):
        client.flush(30)
    world.largest = 1000
    client.send(glucose(2))
    assert client.flush(30).events == 0


def test_a_full_spool_is_back_pressure(world, tmp_path, catalogue):
    how = {"sync": False, "limit_bytes": 20_000, "catalogue": catalogue}
    world.away = True
    with client_of("test.sdk", Settings(**PLACE), tmp_path, transport=Transport(world), **how) as client:
        with pytest.raises(SpoolFull, match="wait for Kafka"):  # noqa: PT012 - whichever of them is the last
            for number in range(1000):
                client.send(glucose(number))
        world.away = False
        client.flush(30)
    with client_of("test.sdk", Settings(**PLACE), tmp_path, transport=Transport(world), block=60.0, **how) as client:
        for number in range(1000):
            client.send(glucose(number))
        client.flush(30)
    assert {id_in(value) for value in world.values(TOPIC)} == {IDS.of(GLUCOSE, f"obs-{n}") for n in range(1000)}


def test_what_a_closed_client_has_left_is_sent_by_the_next(world, tmp_path, catalogue):
    world.away = True
    how = {"sync": False, "catalogue": catalogue}
    client = client_of("test.sdk", Settings(**PLACE), tmp_path, transport=Transport(world), **how)
    client.send(glucose(1))
    with pytest.raises(SpoolTaken):
        client_of("test.sdk", Settings(**PLACE), tmp_path, transport=Transport(world), **how)
    assert client.close(0.1).events == 1
    world.away = False
    with client_of("test.sdk", Settings(**PLACE), tmp_path, transport=Transport(world), **how) as client:
        assert client.flush(30).events == 0
    assert len(world.values(TOPIC)) == 1


def test_several_threads_share_a_client(client, world):
    def send(thread):
        for number in range(100):
            client.send(glucose(1000 * thread + number, str(thread)))

    threads = [threading.Thread(target=send, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    client.flush(30)
    for thread in range(4):
        arrived = [id_in(value) for value in world.values(TOPIC)]
        of_it = [IDS.of(GLUCOSE, f"obs-{1000 * thread + number}") for number in range(100)]
        assert [each for each in arrived if each in set(of_it)] == of_it


def test_coroutines_share_a_client_by_threads_and_each_keeps_its_persons_order(client, world):
    async def patient(person):
        return [
            await asyncio.to_thread(client.send, glucose(20 * person + number, str(person))) for number in range(20)
        ]

    async def all_at_once():
        sent = await asyncio.gather(*(patient(person) for person in range(8)))
        assert (await asyncio.to_thread(client.flush, 30)).events == 0
        return sent

    sent = asyncio.run(all_at_once())
    arrived = [id_in(value) for value in world.values(TOPIC)]
    assert sorted(arrived) == sorted(each for ids in sent for each in ids)
    for ids in sent:
        assert [each for each in arrived if each in set(ids)] == ids


def test_a_defect_of_the_transport_is_told_and_the_events_arrive_all_the_same(client, world, monkeypatch):
    transport = client._drain._transport
    real = transport.poll
    monkeypatch.setattr(transport, "poll", lambda _: 1 / 0)
    client.send(glucose(1))
    assert "ZeroDivisionError" in client.flush(0.5).reason
    monkeypatch.setattr(transport, "poll", real)
    assert client.flush(30).events == 0
    assert len(world.values(TOPIC)) == 1


def test_a_client_wants_its_own_credentials(tmp_path, catalogue, monkeypatch):
    monkeypatch.setattr("biokeel.source.transport.ANSWER_SECONDS", 0.1)
    with pytest.raises(SettingsError, match="no credentials' file"):
        SourceClient.from_file(tmp_path / "hospital-a.env", tmp_path / "spool")
    file = tmp_path / "hospital-a.env"
    file.write_text("BIOKEEL_KAFKA_BOOTSTRAP='127.0.0.1:9'\n", "utf-8")
    with pytest.raises(SettingsError, match="BIOKEEL_SOURCE_ID"):
        SourceClient.from_file(file, tmp_path / "spool")
    file.write_text("BIOKEEL_KAFKA_BOOTSTRAP='127.0.0.1:9'\nBIOKEEL_SOURCE_ID='hospital-a'\n", "utf-8")
    client = SourceClient.from_file(file, tmp_path / "spool", catalogue=catalogue)
    first = client.send(glucose(1))
    assert client.close(0.0).events == 1
    assert (tmp_path / "hospital-a.key").stat().st_mode & 0o077 == 0
    client = SourceClient.from_file(file, tmp_path / "spool", catalogue=catalogue)
    assert client.send(glucose(1)) == first
    client.close(0.0)
