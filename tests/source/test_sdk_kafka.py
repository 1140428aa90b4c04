"""The client of the SDK on the real Kafka: rights, sizes, outages and kill -9."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from biokeel.admin.users import User
from biokeel.errors import DeliveryError
from biokeel.settings import PROJECT_ROOT
from biokeel.source import models
from biokeel.source.partition import stable_hash
from biokeel.source.sdk import SOFTWARE
from tests.source.sdk_world import PARTITIONS, client_of, id_in, make_topic, messages_of, moment, settings_of
from tests.source.test_sdk import glucose

pytestmark = pytest.mark.integration

SENDER = """
import sys
from pathlib import Path
from biokeel.settings import Settings
from tests.source.sdk_world import client_of
from tests.source.test_sdk import glucose

prefix, spool, state, start, sync = sys.argv[1:]
settings = Settings.load("vault", state_dir=Path(state)).model_copy(update={"source_id": "hospital-a"})
client = client_of(prefix, settings, spool, sync=sync == "sync", keep_bytes=0)
number = int(start)
while True:
    if number % 50 == 7:
        ids = client.send_many([glucose(number + more, str((number + more) % 11)) for more in range(20)])
    else:
        ids = [client.send(glucose(number, str(number % 11)))]
    sys.stdout.write("".join(f"{number + more} {id}\\n" for more, id in enumerate(ids)))
    sys.stdout.flush()
    number += len(ids)
"""


@pytest.fixture(scope="module")
def prefix(stack):
    prefix = "test.sdk"
    make_topic(stack, f"{prefix}.clinical.glucose")
    return prefix


def test_events_arrive_in_order_with_the_software_named_once_in_each_batch(stack, tmp_path):
    settings = settings_of(stack)
    topic = "test.order.clinical.glucose"
    make_topic(stack, topic)
    with client_of("test.order", settings, tmp_path) as client:
        ids = client.send_many([glucose(number, str(number % 13)) for number in range(2000)])
    for partition, messages in messages_of(settings, topic).items():
        of_it = [each for n, each in enumerate(ids) if stable_hash("hospital/seoul-1", str(n % 13)) % 3 == partition]
        assert [id_in(message.value()) for message in messages] == of_it
        headers = [message.headers() for message in messages if message.headers()]
        assert headers
        assert all(each == [("software", SOFTWARE.encode())] for each in headers)
        assert len(headers) < 5
        assert all(message.key() is None for message in messages)


def test_a_user_without_the_right_is_told_and_its_events_wait_for_it(stack, tmp_path):
    settings = settings_of(stack, User.RESEARCH)
    client = client_of("raw", settings, tmp_path)
    client.send(glucose(1))
    with pytest.raises(DeliveryError, match=r"does not let hospital-a write raw.clinical.glucose \(\w+AUTHORIZATION"):
        client.flush(60)
    with pytest.raises(DeliveryError, match="wait in the spool"):
        client.close(1.0)


def test_a_topic_that_does_not_exist_is_told_and_disturbs_no_other(stack, tmp_path, prefix):
    with client_of(prefix, settings_of(stack), tmp_path) as client:
        sleep = models.Sleep(
            record_key="s", subject=("app/vendor", "1"), occurred_at=moment(), recorded_at=moment(), ended_at=moment(9)
        )
        client.send(sleep)
        client.send(glucose(1))
        with pytest.raises(DeliveryError, match=r"write test.sdk.lifestyle.sleep \(UNKNOWN_TOPIC_OR_PART\)"):
            client.flush(60)
        assert client.pending.events <= 2
        make_topic(stack, f"{prefix}.lifestyle.sleep")
        while client.pending.reason:
            client._stop.wait(0.1)
        assert client.flush(60).events == 0


def test_a_wrong_password_is_told(stack, tmp_path, prefix, monkeypatch):
    from pydantic import SecretStr

    monkeypatch.setattr("biokeel.source.transport.ANSWER_SECONDS", 1.0)
    settings = settings_of(stack, kafka_password=SecretStr("wrong"))
    client = client_of(prefix, settings, tmp_path)
    client.send(glucose(1))
    while "does not know this user or its password" not in client.pending.reason:
        client._stop.wait(0.1)
    assert client.close(0.0).events == 1


def test_an_event_that_the_topic_never_takes_is_put_aside_and_the_others_arrive(stack, tmp_path):
    topic = "test.small.person.enrolment"
    make_topic(stack, topic, **{"max.message.bytes": "2000"})

    def enrolment(number, name):
        return models.Enrolment(
            record_key=str(number),
            subject=("hospital/seoul-1", str(number % 5)),
            occurred_at=moment(),
            recorded_at=moment(),
            identifiers=[],
            name=name,
            sex="female",
            consent_scope=[],
        )

    noise = "".join(random.Random(1).choices("0123456789abcdefghijklmnop", k=5000))
    settings = settings_of(stack)
    client = client_of("test.small", settings, tmp_path)
    ids = client.send_many([enrolment(number, noise if number == 60 else "x") for number in range(100)])
    with pytest.raises(DeliveryError, match=r"never takes an event of .* \(MSG_SIZE_TOO_LARGE\)"):
        client.flush(120)
    client.close()
    arrived = [id_in(message.value()) for found in messages_of(settings, topic).values() for message in found]
    assert sorted(arrived) == sorted(ids[:60] + ids[61:])
    assert len(list((tmp_path / "refused").iterdir())) == 1


@pytest.mark.parametrize("sync", [pytest.param("sync", marks=pytest.mark.long), "no sync"])
def test_all_that_send_has_returned_for_is_in_kafka_after_kills_at_random(stack, tmp_path, sync):
    prefix = f"test.kill-{sync.replace(' ', '-')}"
    topic = f"{prefix}.clinical.glucose"
    make_topic(stack, topic)
    chance = random.Random(7)
    promised: list[tuple[int, str]] = []
    start = 0
    for _ in range(5):
        sender = subprocess.Popen(
            [sys.executable, "-c", SENDER, prefix, str(tmp_path), str(stack.state_dir), str(start), sync],
            stdout=subprocess.PIPE,
            text=True,
            cwd=PROJECT_ROOT,
        )
        assert sender.stdout is not None
        lines = chance.randint(1, 3000)
        for count, line in enumerate(sender.stdout, 1):
            promised.append((int(line.split()[0]), line.split()[1]))
            if count == lines:
                sender.send_signal(signal.SIGKILL)
                break
        rest = [line for line in sender.stdout if line.endswith("\n")]
        promised += [(int(line.split()[0]), line.split()[1]) for line in rest]
        assert sender.wait() == -signal.SIGKILL
        sender.stdout.close()
        start = promised[-1][0] + 1
    settings = settings_of(stack)
    with client_of(prefix, settings, tmp_path) as client:
        assert client.flush(60).events == 0
    number_of = {event_id: number for number, event_id in promised}
    arrived: set[str] = set()
    for partition, messages in messages_of(settings, topic).items():
        ids = [id_in(message.value()) for message in messages]
        arrived |= set(ids)
        numbers = [number_of[each] for each in dict.fromkeys(ids) if each in number_of]
        assert numbers == sorted(numbers)
        assert all(stable_hash("hospital/seoul-1", str(n % 11)) % PARTITIONS == partition for n in numbers)
    assert [each for each in number_of if each not in arrived] == []
    assert Path(tmp_path / "damaged").exists() is False


def test_the_example_of_the_page_for_sources_runs_as_it_stands(stack, tmp_path):
    page = (PROJECT_ROOT / "docs" / "sources.md").read_text("utf-8")
    section = page.split("## With our SDK", 1)[1].split("\n## ", 1)[0]
    (example,) = re.findall("```python\n(.*?)```", section, re.DOTALL)
    credentials = (stack.state_dir / "sources" / "hospital-one.env").read_text("utf-8")
    (tmp_path / "hospital-a.env").write_text(credentials, "utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BIOKEEL_")}
    environment["PYTHONPATH"] = str(PROJECT_ROOT / "src")
    done = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch("[0-9a-f]{32}: in Kafka\n", done.stdout)
