"""Backups of the vault: consistent while in use, closed to who has no key, whole or not at all."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from biokeel.batch import At, RawPartition
from biokeel.contracts.topics import event_type
from biokeel.errors import SealError, VaultError, VaultKeyError
from biokeel.settings import Settings
from biokeel.vault import backup as module
from biokeel.vault.backup import back_up, restore
from biokeel.vault.identifiers import Identifier
from biokeel.vault.keys import create_key_file, rotate_key_file
from biokeel.vault.parking import ToPark
from biokeel.vault.store import Vault

EVENT = event_type("clinical.glucose")
ORIGIN = RawPartition("app-a", 0)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    create_key_file(tmp_path / "keys")
    return Settings(vault_url=f"sqlite:///{tmp_path / 'vault' / 'vault.db'}", vault_key_file=tmp_path / "keys")


def enrol(vault: Vault, *names: str) -> None:
    vault.create([Identifier("app/demo", name) for name in names])


def people(settings: Settings) -> int:
    vault = Vault.open(settings)
    try:
        return vault.status().participants
    finally:
        vault.close()


@pytest.fixture
def backup(settings: Settings, tmp_path: Path) -> Path:
    vault = Vault.open(settings)
    enrol(vault, "one", "two")
    back_up(settings, tmp_path / "backup")
    enrol(vault, "three")
    vault.close()
    return tmp_path / "backup"


def test_a_restored_vault_is_as_it_was_when_the_backup_was_made_and_the_former_is_kept(settings, backup):
    made, former = restore(settings, backup)
    assert people(settings) == 2
    assert made.size > 0
    assert people(settings.model_copy(update={"vault_url": f"sqlite:///{former}"})) == 3


def test_a_backup_is_restored_where_no_vault_is_any_more(settings, backup, tmp_path):
    for file in (tmp_path / "vault").iterdir():
        file.unlink()
    _, former = restore(settings, backup)
    assert former is None
    assert people(settings) == 2


def test_a_backup_is_consistent_while_another_writes(settings, tmp_path):
    """Each transaction enrols one person and writes one audit entry: a backup that cut one in two would show."""
    writer = Vault.open(settings)
    over = threading.Event()

    def write() -> None:
        number = 0
        while not over.is_set():
            enrol(writer, *(f"{number}-{each}" for each in range(20)))
            number += 1

    thread = threading.Thread(target=write)
    thread.start()
    sizes = []
    try:
        for number in range(5):
            back_up(settings, tmp_path / f"backup-{number}")
    finally:
        over.set()
        thread.join()
        writer.close()
    for number in range(5):
        restore(settings, tmp_path / f"backup-{number}")
        vault = Vault.open(settings)
        status, report = vault.status(), vault.verify_audit()
        vault.close()
        assert status.participants == status.audit_entries == report.entries
        assert status.participants % 20 == 0
        assert not report.faults
        sizes.append(status.participants)
    assert sizes == sorted(sizes)
    assert sizes[-1] > 0


def test_nothing_of_the_vault_and_no_key_stands_in_a_backup(settings, tmp_path):
    vault = Vault.open(settings)
    vault.decide(
        EVENT,
        vault.snapshot(EVENT, [ORIGIN]),
        {ORIGIN: 1},
        parked=[ToPark(At(*ORIGIN, 1), Identifier("app/demo", "who"), b"x")],
        sealed=[],
    )
    vault.close()
    back_up(settings, tmp_path / "backup")
    data = (tmp_path / "backup").read_bytes()
    assert b"SQLite" not in data
    assert b"app/demo" not in data
    assert str(EVENT).encode() not in data
    assert (tmp_path / "backup").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in (tmp_path / "vault").iterdir() if path.name.startswith(".")) == []


def test_a_vault_in_use_is_not_replaced(settings, backup):
    """By another process, as a worker is one."""
    code = """
import sys
from pathlib import Path
from biokeel.settings import Settings
from biokeel.vault.store import Vault
vault = Vault.open(Settings(vault_url=sys.argv[1], vault_key_file=Path(sys.argv[2])))
print("open", flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code, settings.vault_url, str(settings.vault_key_file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as worker:
        assert worker.stdout.readline() == b"open\n"
        with pytest.raises(VaultError, match="in use"):
            restore(settings, backup)
        worker.stdin.close()
    assert people(settings) == 3


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: data[:200] + bytes([data[200] ^ 1]) + data[201:],
        lambda data: data.replace(b'"made_at":', b'"made_at":1'),
    ],
    ids=["cut", "longer", "changed", "header"],
)
def test_a_spoilt_backup_does_not_open_and_the_vault_stays(settings, backup, spoil):
    backup.write_bytes(spoil(backup.read_bytes()))
    with pytest.raises(SealError):
        restore(settings, backup)
    assert people(settings) == 3


def test_a_backup_whose_pieces_changed_places_does_not_open(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_PIECE", 4096)
    Vault.open(settings).close()
    back_up(settings, tmp_path / "backup")
    lines = (tmp_path / "backup").read_bytes().split(b"\n", 2)
    piece = 4096 + 16
    body = lines[2]
    (tmp_path / "backup").write_bytes(
        b"\n".join([*lines[:2], body[piece : 2 * piece] + body[:piece] + body[2 * piece :]])
    )
    with pytest.raises(SealError):
        restore(settings, tmp_path / "backup")


def test_after_a_rotation_an_older_backup_opens_and_with_older_keys_a_newer_one_says_which_is_missing(
    settings, backup, tmp_path
):
    old = settings.vault_key_file.read_bytes()
    rotate_key_file(settings.vault_key_file)
    restore(settings, backup)
    made = back_up(settings, tmp_path / "newer")
    settings.vault_key_file.write_bytes(old)
    with pytest.raises(VaultKeyError, match=made.key_id):
        restore(settings, tmp_path / "newer")


def test_the_backup_of_another_vault_is_refused(settings, backup, tmp_path):
    create_key_file(tmp_path / "others")
    others = settings.model_copy(update={"vault_key_file": tmp_path / "others"})
    with pytest.raises(VaultKeyError):
        restore(others, backup)


def test_a_backup_never_replaces_a_file(settings, backup):
    with pytest.raises(VaultError, match="exists already"):
        back_up(settings, backup)


def test_a_vault_that_is_no_sqlite_file_is_left_to_its_own_tools(settings, tmp_path):
    elsewhere = settings.model_copy(update={"vault_url": "postgresql+psycopg://host/vault"})
    with pytest.raises(VaultError, match="pg_dump"):
        back_up(elsewhere, tmp_path / "backup")


def test_a_file_that_is_no_backup_is_refused(settings, tmp_path):
    (tmp_path / "x").write_bytes(b"not a backup\n")
    with pytest.raises(VaultError, match="no backup"):
        restore(settings, tmp_path / "x")


def test_what_was_accepted_about_one_vault_is_not_accepted_about_a_restored_one(settings, tmp_path):
    vault = Vault.open(settings)
    vault.accept({(EVENT.raw_topic("app-a"), 0): 7})
    assert vault.may_be_behind()
    back_up(settings, tmp_path / "backup")
    vault.close()
    restore(settings, tmp_path / "backup")
    vault = Vault.open(settings)
    assert not vault.may_be_behind()
    vault.close()


def test_after_acceptance_the_vault_knows_as_much_as_kafka_and_gives_no_release_number_twice(settings):
    vault = Vault.open(settings)
    place = (EVENT.raw_topic("app-a"), 0)
    vault.decide(
        EVENT,
        vault.snapshot(EVENT, [ORIGIN]),
        {ORIGIN: 1},
        parked=[ToPark(At(*ORIGIN, 1), Identifier("app/demo", "a"), b"x")],
        sealed=[],
    )
    assert vault.known([place, (place[0], 1)]) == {place: 1, (place[0], 1): -1}
    vault.accept({place: 7})
    assert vault.known([place]) == {place: 6}
    enrol(vault, "a")
    (ready,) = vault.ready(EVENT, 10, ORIGIN)
    assert ready.release_number >= 1 << 32
    assert not vault.verify_audit().faults
    vault.close()
