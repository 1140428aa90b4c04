"""Who keeps the books can open neither the vault nor a raw event: on the real parts, with the vault's keys away."""

import socket
import time
from contextlib import closing
from pathlib import Path

import httpx
import psutil
import pytest
from confluent_kafka import Producer

from biokeel.admin.users import User
from biokeel.batch import At, SealedRejection
from biokeel.books.metrics import BooksMetrics
from biokeel.books.worker import BooksWorker
from biokeel.contracts.topics import Zone, event_type
from biokeel.errors import SettingsError
from biokeel.reasons import Reason
from biokeel.settings import BOOKS, OPERATOR, Settings
from biokeel.stack.stack import Stack
from biokeel.vault.decisions import Decisions
from biokeel.vault.store import Vault
from tests import commands

pytestmark = pytest.mark.integration

ENROLMENT = event_type("person.enrolment")
SECONDS = 60


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A stack with a console, one event, which the vault has sealed, and no key file any more."""
    with Stack.start(tmp_path_factory.mktemp("rights"), console=True) as running:
        settings = running.settings(Zone.VAULT)
        producer = Producer(settings.kafka_client())
        producer.produce(ENROLMENT.raw_topic("demo-one"), partition=0, value=b"no event")
        assert producer.flush(30) == 0
        vault = Vault.open(settings)
        vault.apply(ENROLMENT, [], [SealedRejection(At("demo-one", 0, 0), Reason.NOT_FRAMED, "", b"no event")])
        vault.close()
        settings.vault_key_file.rename(running.state_dir / "stack" / "keys-elsewhere")
        # What a follower of the books shows, once; the console itself asks neither Kafka nor the vault.
        books = BooksWorker.of(Settings.load(BOOKS, state_dir=running.state_dir), BooksMetrics())
        books.turn()
        yield running


def biokeel(stack, *arguments):
    return commands.biokeel(*arguments, given=commands.environment(BIOKEEL_STATE_DIR=str(stack.state_dir)))


@pytest.mark.parametrize(
    "command", [("verify",), ("status",), ("lake", "tables"), ("lake", "verify"), ("source", "list")]
)
def test_a_command_that_looks_works_without_the_vaults_keys(kept, command):
    done = biokeel(kept, *command)
    assert done.returncode == 0, done.stderr
    if command == ("verify",):
        assert "The books balance" in done.stdout


def test_a_command_of_the_vault_needs_them(kept):
    done = biokeel(kept, "vault", "status")
    assert done.returncode == 1
    assert "key" in done.stderr


def test_the_console_shows_the_books_without_the_vaults_keys_and_its_environment_holds_no_others_ways_in(kept):
    deadline = time.monotonic() + SECONDS
    while "Balanced" not in (page := httpx.get(kept.state.console_address, follow_redirects=True)).text:
        assert time.monotonic() < deadline, page.text
        time.sleep(0.5)
    given = psutil.Process(kept.pid("console")).environ()
    assert not [name for name in given if name.startswith(("BIOKEEL_VAULT", "BIOKEEL_KAFKA", "BIOKEEL_S3"))]
    secrets = [*kept.state.passwords.values()]
    secrets += [text for pair in kept.state.key_pairs.values() for text in (pair.access, pair.secret)]
    secrets += [str(kept.settings(User.VAULT).vault_key_file), kept.settings(User.VAULT).vault_url]
    assert [value for value in given.values() if any(secret in value for secret in secrets)] == []


def test_what_the_console_reads_is_the_operators_and_opens_no_vault(kept):
    settings = Settings.load(OPERATOR, state_dir=kept.state_dir)
    assert settings.kafka_username == "operator"
    with pytest.raises(SettingsError, match="BIOKEEL_VAULT_KEY_FILE"):
        Vault.open(settings)


def test_the_consoles_log_and_command_line_do_not_hold_its_token(kept):
    token = kept.state.console_token
    assert httpx.get(f"http://127.0.0.1:{kept.console_port}/?token={token}").status_code == 303
    assert [log.name for log in (kept.state_dir / "logs").iterdir() if token in log.read_text("utf-8", "replace")] == []
    assert token not in " ".join(psutil.Process(kept.pid("console")).cmdline())


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("evil.example", None, 403),
        ("{here}", "http://evil.example", 403),
        ("{here}", "http://{here}", 401),
        ("{here}", None, 401),
    ],
)
def test_the_running_console_answers_no_socket_and_no_page_without_token_from_our_own_page(kept, host, origin, status):
    here = f"127.0.0.1:{kept.console_port}"
    headers = {"Host": host.format(here=here)} | ({"Origin": origin.format(here=here)} if origin else {})
    assert httpx.get(f"http://{here}/", headers=headers).status_code == status
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    upgrade |= {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="} | headers
    lines = "".join(f"{name}: {value}\r\n" for name, value in upgrade.items())
    with closing(socket.create_connection(("127.0.0.1", kept.console_port), timeout=10)) as asked:
        path = "/_nicegui_ws/socket.io/?EIO=4&transport=websocket"
        asked.sendall(f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode())
        assert asked.recv(64).split()[1] == b"403"


def test_decisions_of_a_vault_that_is_not_made_yet_are_none_and_reading_makes_no_file(tmp_path):
    file = tmp_path / "vault.sqlite"
    decisions = Decisions.open(Settings(vault_url=f"sqlite:///{file}"))
    assert decisions.since(-1, 0).frame.is_empty()
    assert not file.exists()
    Vault.open(Settings(vault_url=f"sqlite:///{file}", vault_key_file=key_file(tmp_path))).close()
    assert decisions.whole().frame.is_empty()
    decisions.close()


def test_decisions_are_read_while_the_vault_is_written_and_cannot_be_changed(tmp_path):
    settings = Settings(vault_url=f"sqlite:///{tmp_path / 'a b' / 'vault.sqlite'}", vault_key_file=key_file(tmp_path))
    vault = Vault.open(settings)
    decisions = Decisions.open(Settings(vault_url=settings.vault_url))
    vault.apply(ENROLMENT, [], [SealedRejection(At("demo-one", 3, 7), Reason.NOT_FRAMED, "", b"x")])
    sealed = [(str(ENROLMENT), "demo-one", 3, 7, 7, "sealed", str(Reason.NOT_FRAMED))]
    assert decisions.since(-1, 0).frame.rows() == decisions.whole().frame.rows() == sealed
    with pytest.raises(Exception, match="refused a statement"), decisions._database.write() as connection:
        connection.exec_driver_sql("DELETE FROM dead_letter")
    vault.close()
    assert decisions.whole().frame.height == 1


def key_file(folder: Path) -> Path:
    from biokeel.vault.keys import create_key_file

    create_key_file(folder / "keys")
    return folder / "keys"
