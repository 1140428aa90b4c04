"""A stack over several lives: restarts, crashes, stale state, and the command that runs it."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from biokeel.admin.users import User
from biokeel.contracts.topics import Zone
from biokeel.errors import PortTaken, ProcessDied, StackError
from biokeel.settings import Settings
from biokeel.stack import objectstore
from biokeel.stack.processes import Running
from biokeel.stack.stack import Stack, ledger_of
from tests.event_types import LANDED_EVENTS
from tests.stack.stack_helpers import biokeel, processes_of, until

SLOW_SECONDS = 240
"""A start takes 6 s on two cores of one's own, and a minute where others use them too."""
pytestmark = pytest.mark.timeout(900)
TOPIC = LANDED_EVENTS[0].pseudo_topic
SIDES = [user for user in User if user is not User.BROKER]


def secrets_of_pair(stack: Stack, user: User) -> tuple[str, ...]:
    pair = stack.state.key_pairs.get(user)
    return (pair.access, pair.secret) if pair else ()


@pytest.mark.integration
def test_settings_of_no_side_hold_no_sides_credentials(stack: Stack) -> None:
    nobodys = Settings.load(state_dir=stack.state_dir)
    assert (nobodys.kafka_username, nobodys.s3_access_key, nobodys.vault_url) == ("", "", "")
    assert nobodys.vault_key_file is None


def write(stack: Stack, value: bytes) -> None:
    producer = Producer(stack.settings(Zone.VAULT).kafka_client())
    producer.produce(TOPIC, value, partition=0)
    assert producer.flush(20) == 0


def read(stack: Stack) -> list[bytes]:
    consumer = Consumer(
        stack.settings(Zone.RESEARCH).kafka_client() | {"group.id": "test", "enable.partition.eof": True}
    )
    consumer.assign([TopicPartition(TOPIC, 0, 0)])
    found = []
    while (message := consumer.poll(20)) is not None and not message.error():
        found.append(message.value())
    consumer.close()
    return found


@pytest.mark.integration
def test_a_restart_keeps_ports_messages_and_objects_and_a_killed_broker_loses_nothing(tmp_path: Path) -> None:
    with Stack.start(tmp_path) as stack:
        first = stack.settings(Zone.RESEARCH)
        write(stack, b"one")
        stack.kill("kafka")
        assert stack.pid("kafka") is None
        stack.restart("kafka")
        write(stack, b"two")
        objectstore.client(stack.state, User.RESEARCH).put_object(Bucket=first.lake_bucket, Key="kept", Body=b"kept")
    assert processes_of(tmp_path) == []
    with Stack.start(tmp_path) as stack:
        assert stack.settings(Zone.RESEARCH) == first
        assert read(stack) == [b"one", b"two"]
        kept = objectstore.client(stack.state, User.RESEARCH).get_object(Bucket=first.lake_bucket, Key="kept")
        assert kept["Body"].read() == b"kept"
        with pytest.raises(StackError, match=r"runs in .* already"):
            Stack.start(tmp_path)
        os.kill(stack.pid("objectstore"), signal.SIGKILL)
        until(lambda: stack.pid("objectstore") is None, 5, "its end is seen")
        with pytest.raises(ProcessDied, match="objectstore was ended by SIGKILL"):
            stack.supervisor.check()
    assert processes_of(tmp_path) == []


@pytest.mark.integration
@pytest.mark.long
def test_a_stack_whose_command_is_killed_leaves_no_process_and_can_be_started_again(tmp_path: Path) -> None:
    arguments = ("stack", "up", "--workers", "0", "--no-console", "--state-dir", str(tmp_path))
    command = biokeel(*arguments)
    until((tmp_path / "stack" / "ready").exists, SLOW_SECONDS, "it is up")
    assert {process.name() for process in processes_of(tmp_path)} >= {"java"}
    command.kill()
    command.wait()
    until(lambda: processes_of(tmp_path) == [], 10, "every part ended with it")

    again = biokeel(*arguments)
    try:
        until(lambda: "Up in" in again.stdout.readline(), SLOW_SECONDS, "it is up again, over the stale state")
        status = biokeel("stack", "status", "--state-dir", str(tmp_path))
        shown, _ = status.communicate(timeout=120)
        assert status.returncode == 0
        assert "kafka" in shown
        assert "objectstore" in shown
        again.send_signal(signal.SIGINT)
        assert again.wait(120) == 0
    finally:
        again.kill()
    assert "Stopped." in again.stdout.read()
    assert processes_of(tmp_path) == []


@pytest.mark.integration
@pytest.mark.long
def test_a_detached_stack_prints_what_opens_its_console_into_no_log_and_is_stopped_by_down(tmp_path: Path) -> None:
    state = ("--state-dir", str(tmp_path))
    up = biokeel("stack", "up", "--detach", "--workers", "0", *state)
    said, _ = up.communicate(timeout=SLOW_SECONDS)
    try:
        assert up.returncode == 0, said
        assert "biokeel stack down" in said
        address = next(word for word in said.split() if "?token=" in word)
        told, _ = biokeel("stack", "status", *state).communicate(timeout=120)
        assert address in told.split()
        until(lambda: opens(address), SLOW_SECONDS, "the console opens by that address")
        assert not opens(address + "x")
        token = address.rpartition("=")[2]
        assert not [log for log in (tmp_path / "logs").iterdir() if token in log.read_text("utf-8", "replace")]
    finally:
        down = biokeel("stack", "down", *state)
        said, _ = down.communicate(timeout=120)
    assert down.returncode == 0, said
    assert "Stopped." in said
    assert processes_of(tmp_path) == []
    status = biokeel("stack", "status", *state)
    assert "No stack runs in" in status.communicate(timeout=120)[0]
    assert status.returncode == 1


def opens(address: str) -> bool:
    """Whether a browser that is given `address` sees the console."""
    try:
        return httpx.get(address, follow_redirects=True).is_success
    except httpx.TransportError:
        return False


@pytest.mark.integration
def test_sigterm_during_a_start_ends_the_command_and_every_part(tmp_path: Path) -> None:
    command = biokeel("stack", "up", "--workers", "0", "--no-console", "--state-dir", str(tmp_path))
    until(lambda: len(processes_of(tmp_path)) > 1, SLOW_SECONDS, "a part has started")
    command.terminate()
    assert command.wait(120) != 0
    # A part that was being started in that very moment ends with its parent: the kernel tells it so.
    until(lambda: not processes_of(tmp_path), 10, "every part has ended")


def prepared(folder: Path) -> dict[str, object]:
    """A state directory as an earlier start left it, and its state."""
    from biokeel.stack.state import load_or_create

    (folder / "stack").mkdir(parents=True)
    load_or_create(folder / "stack" / "state.json")
    return json.loads((folder / "stack" / "state.json").read_text())


def test_a_port_that_is_taken_at_a_restart_gives_way_to_another_which_is_said_and_kept(tmp_path: Path) -> None:
    from biokeel.stack.state import load_or_create, with_free_ports

    port = prepared(tmp_path)["ports"]["kafka"]
    file = tmp_path / "stack" / "state.json"
    before, said = load_or_create(file), []
    with socket.create_server(("127.0.0.1", port)):
        after = with_free_ports(before, file, said.append)
    assert after.ports.kafka != port
    assert (after.ports.objectstore, after.ports.controller) == (before.ports.objectstore, before.ports.controller)
    assert (after.cluster_id, after.passwords) == (before.cluster_id, before.passwords)
    assert load_or_create(file) == after
    [sentence] = said
    assert sentence.startswith(f"Port {port} of Kafka is taken by ")
    assert f"(process {os.getpid()})" in sentence
    assert f"listens on {after.ports.kafka}" in sentence


def test_a_state_of_another_version_with_other_users_is_refused_with_what_to_do(tmp_path: Path) -> None:
    from biokeel.stack.state import load_or_create

    state = prepared(tmp_path)
    del state["passwords"]["admin"]
    (tmp_path / "stack" / "state.json").write_text(json.dumps(state))
    with pytest.raises(StackError, match=r"another version's.*Delete the whole state directory"):
        load_or_create(tmp_path / "stack" / "state.json")


def test_a_console_port_that_the_user_chose_and_that_is_taken_is_refused_with_who_has_it() -> None:
    from biokeel.stack.state import require_free

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"Port {port} of the console is taken by .+process {os.getpid()}"):
            require_free("the console", port, "Set BIOKEEL_CONSOLE_PORT.")


def test_a_state_directory_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "stack").write_text("a file where a folder must be")
    with pytest.raises(StackError, match=r"state directory .+ cannot be written \(File exists\)") as refusal:
        Stack.start(tmp_path)
    assert "BIOKEEL_STATE_DIR" in refusal.value.todo


def test_a_lake_and_a_landing_bucket_of_one_name_are_refused(tmp_path: Path) -> None:
    from biokeel.stack.state import load_or_create

    made = load_or_create(tmp_path / "state.json")
    settings = Settings(lake_bucket="both", landing_bucket="both")
    with pytest.raises(StackError, match="cannot share a bucket") as refusal:
        objectstore.prepare(made, settings, tmp_path, [])
    assert "BIOKEEL_LANDING_BUCKET" in refusal.value.todo


def test_what_a_crashed_stack_left_running_is_ended_and_named(tmp_path: Path) -> None:
    prepared(tmp_path)
    (tmp_path / "stack" / "state.json").write_text("{")  # so that the start ends after it has cleared up
    left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    ledger_of(tmp_path).add("curate-1", Running.of(left.pid))
    said: list[str] = []
    with pytest.raises(StackError, match=r"state\.json, cannot be read"):
        Stack.start(tmp_path, say=said.append)
    assert not psutil.pid_exists(left.pid)
    assert said == ["Ended what an earlier stack had left running here: curate-1."]


def test_too_little_space_is_refused_before_anything_is_written(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("biokeel.stack.stack.NEEDED_BYTES", 1 << 60)
    with pytest.raises(StackError, match="MiB are free"):
        Stack.start(tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []


def test_java_that_fails_is_one_sentence_with_its_first_line(tmp_path: Path) -> None:
    prepared(tmp_path)
    (tmp_path / "kafka" / "data").parent.mkdir()
    (tmp_path / "kafka" / "data").write_text("not a folder")
    with pytest.raises(StackError, match=r"Java could not format Kafka's storage: .+"):
        Stack.start(tmp_path)
    assert processes_of(tmp_path) == []


@pytest.mark.integration
def test_secrets_are_in_files_that_only_their_owner_reads_and_each_side_has_its_own(stack: Stack) -> None:
    private = ("admin.env", "steward.env", "landing.env", "stack/state.json", "vault/vault.keys")
    for name in (*(f"{user}.env" for user in SIDES), *private):
        assert stat.S_IMODE((stack.state_dir / name).stat().st_mode) == 0o600, name
    assert stat.S_IMODE((stack.state_dir / "vault").stat().st_mode) == 0o700
    files = {user: (stack.state_dir / f"{user}.env").read_text() for user in SIDES}
    for user in SIDES:
        assert Settings.load(user, state_dir=stack.state_dir) == stack.settings(user)
        assert stack.settings(user).kafka_username == user
        own = [stack.state.passwords[user], *secrets_of_pair(stack, user)]
        assert [secret for secret in own if secret not in files[user]] == []
        others = [
            secret
            for other in User
            if other is not user
            for secret in (stack.state.passwords[other], *secrets_of_pair(stack, other))
        ]
        assert [secret for secret in others if secret in files[user]] == []
    assert [user for user in SIDES if "VAULT_KEY" in files[user]] == [User.VAULT]
    assert [user for user in SIDES if "VAULT_URL" in files[user]] == [User.VAULT, User.OPERATOR, User.BOOKS]
    assert [user for user in SIDES if "S3_" in files[user]] == [User.VAULT, User.RESEARCH, User.OPERATOR, User.BOOKS]
    secrets = [*stack.state.passwords.values(), stack.state.console_token]
    secrets += [pair.secret for pair in stack.state.key_pairs.values()]
    logs = "".join(file.read_text("utf-8", "replace") for file in (stack.state_dir / "logs").iterdir())
    assert not [secret for secret in secrets if secret in logs]


def test_a_worker_is_given_its_own_sides_settings_only(tmp_path: Path, monkeypatch) -> None:
    from biokeel.stack import environment
    from biokeel.stack.state import load_or_create

    monkeypatch.setenv("BIOKEEL_VAULT_URL", "sqlite:///elsewhere")
    monkeypatch.setenv("BIOKEEL_VAULT_KEY_FILE", "elsewhere")
    monkeypatch.setenv("BIOKEEL_KAFKA_PASSWORD", "of somebody else")
    monkeypatch.setenv("BIOKEEL_BLOCK_PUBLIC_KEYS", "of somebody else")
    monkeypatch.setenv("BIOKEEL_FLUSH_SECONDS", "1")
    state, vault = load_or_create(tmp_path / "state.json"), environment.VaultAt.of(tmp_path)

    def of(user: User) -> dict[str, str]:
        return environment.of_process(environment.of_user(user, state, vault, tmp_path, ["k", "l"]), tmp_path)

    given = of(User.RESEARCH)
    keys = {user: of(user).get("BIOKEEL_BLOCK_PUBLIC_KEYS") for user in User if user is not User.BROKER}
    assert keys == {User.RESEARCH: "k,l", User.OPERATOR: "k,l", **dict.fromkeys((User.VAULT, User.BOOKS, User.ADMIN))}
    assert not [name for name in given if name.startswith("BIOKEEL_VAULT")]
    assert given["BIOKEEL_KAFKA_USERNAME"] == "research"
    assert given["BIOKEEL_KAFKA_PASSWORD"] == state.passwords[User.RESEARCH]
    assert given["BIOKEEL_FLUSH_SECONDS"] == "1"
    others = [password for user, password in state.passwords.items() if user != User.RESEARCH]
    assert not set(others) & set(given.values())


def test_a_detached_start_in_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    up = biokeel("stack", "up", "--detach", "--state-dir", str(tmp_path / "file" / "state"))
    said, _ = up.communicate(timeout=60)
    assert up.returncode == 1
    assert said.startswith("biokeel: The state directory ")
    assert "BIOKEEL_STATE_DIR" in said
    assert said.count("\n") == 1
