"""Backups of an SQLite vault: consistent while workers write, encrypted, and restored whole or not at all.

A backup is one file: a first line that says so, a header (JSON, a line), and the database in pieces of 1 MiB, each
sealed with AES-256-GCM under a key that is derived (HKDF, a fresh salt for each backup) from the current sealing key
of the vault. Number and "last" of a piece are part of its nonce, and the header is bound to all of them: a piece that
is changed, moved, or missing at the end does not open (the STREAM construction of Hoang, Reyhanitabar, Rogaway and
Vizár, 2015).

The keys are not in it. Who has the backup but not the key file has nothing, and the other way round: so keep both, on
different media. A key file from before a rotation does not open a backup from after it.
"""

from __future__ import annotations

import base64
import os
import secrets
import sqlite3
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

import orjson
import sqlalchemy as sa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from biokeel.errors import SealError, VaultError, VaultKeyError, VaultUnavailable
from biokeel.vault.keys import load_key_file
from biokeel.vault.store import Vault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from biokeel.settings import Settings
    from biokeel.vault.keys import Keys

_MAGIC: Final = b"biokeel vault backup 1\n"
_PIECE: Final = 1 << 20
_TAG: Final = 16


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup says about itself, before it is opened."""

    made_at: float
    """Seconds since 1970."""
    size: int
    """Bytes of the database."""
    key_id: str
    salt: bytes


def back_up(settings: Settings, target: Path) -> Backup:
    """Write the vault as it stands in this moment, encrypted, to the new file `target`; workers go on meanwhile.

    A crash leaves no `target`, but perhaps a file beside it that ends in `.part`. Raises `VaultError` where `target`
    exists or the vault is no SQLite file, `VaultUnavailable` where the vault or the disk refuses.
    """
    database, keys = _database(settings), _keys(settings)
    if target.exists():
        raise VaultError(f"{target} exists already.", "Name a new file: a backup never replaces another.")
    copy, part = database.with_name(f".{database.name}.backup-{os.getpid()}"), target.with_name(target.name + ".part")
    with _refusals("be backed up"):
        try:
            _private(copy).close()
            source, into = sqlite3.connect(f"file:{database}?mode=ro", uri=True), sqlite3.connect(copy)
            with closing(source), closing(into):
                # All pages in one step: readers do not hold up writers, and what is written meanwhile is not in it.
                source.backup(into)
                into.execute("PRAGMA journal_mode=DELETE")
            made = Backup(time.time(), copy.stat().st_size, keys.sealing[0].id, secrets.token_bytes(32))
            with copy.open("rb") as plain, _private(part) as sealed:
                _seal(made, keys, plain, sealed)
                sealed.flush()
                os.fsync(sealed.fileno())
            part.rename(target)
        finally:
            copy.unlink(missing_ok=True)
    return made


def restore(settings: Settings, backup: Path) -> tuple[Backup, Path | None]:
    """Put the vault of `backup` in the place of the one of `settings`; what stood there is kept beside it.

    Everything is checked first: that nobody uses the vault, that the backup opens under the key file and is whole, that
    the database is sound and its audit unbroken. Returns the backup's header and where the former vault was put. A
    crash leaves the former vault in place or the new one. Raises `VaultError`, `VaultKeyError`, `SealError`.
    """
    database, keys = _database(settings), _keys(settings)
    fresh = database.with_name(f".{database.name}.restore-{os.getpid()}")
    with _refusals("be restored"):
        database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with backup.open("rb") as sealed, _private(fresh) as plain:
                made = _open(sealed, keys, plain)
                plain.flush()
                os.fsync(plain.fileno())
            _check(settings, fresh)
            former = _set_aside(database) if database.exists() else None
            fresh.replace(database)
        finally:
            for leftover in (fresh, *(fresh.with_name(fresh.name + end) for end in ("-wal", "-shm"))):
                leftover.unlink(missing_ok=True)
    return made, former


def _set_aside(database: Path) -> Path:
    """A second name for the vault that is there; raises `VaultError` where anybody has it open."""
    with closing(sqlite3.connect(database, timeout=0)) as connection:
        try:
            # Leaving the write-ahead log needs the file for oneself, and takes what is in the log into the file.
            connection.execute("PRAGMA journal_mode=DELETE")
        except sqlite3.OperationalError:
            raise VaultError(
                "The vault is in use.", "Stop the pseudonymise workers and the console, then restore again."
            ) from None
    former = database.with_name(f"{database.name}.before-{time.time_ns()}")
    former.hardlink_to(database)
    return former


def _check(settings: Settings, fresh: Path) -> None:
    with closing(sqlite3.connect(fresh)) as connection:
        if connection.execute("PRAGMA integrity_check").fetchone() != ("ok",):
            raise VaultError("The database in the backup is damaged.", "Take an older backup.")
    vault = Vault.open(settings.model_copy(update={"vault_url": f"sqlite:///{fresh}"}))
    try:
        if faults := vault.verify_audit().faults:
            raise VaultError(f"The audit in the backup is broken: {faults[0]}", "Take another backup.")
        vault.forget_acceptance()
    finally:
        vault.close()


def _seal(made: Backup, keys: Keys, plain: IO[bytes], sealed: IO[bytes]) -> None:
    header = orjson.dumps(
        {
            "made_at": made.made_at,
            "size": made.size,
            "key_id": made.key_id,
            "salt": base64.b64encode(made.salt).decode(),
        }
    )
    sealed.write(_MAGIC + header + b"\n")
    cipher = _cipher(made, keys)
    for number in range(_pieces(made)):
        nonce = _nonce(number, last=number == _pieces(made) - 1)
        sealed.write(cipher.encrypt(nonce, plain.read(_PIECE), header))


def _open(sealed: IO[bytes], keys: Keys, plain: IO[bytes]) -> Backup:
    if sealed.readline(len(_MAGIC)) != _MAGIC:
        raise VaultError("This is no backup of a vault.", "biokeel vault backup makes them.")
    header = sealed.readline(4096).rstrip(b"\n")
    try:
        found = orjson.loads(header)
        made = Backup(found["made_at"], int(found["size"]), found["key_id"], base64.b64decode(found["salt"]))
    except (ValueError, KeyError, TypeError):
        raise SealError("The backup's header is damaged.", "Take another backup.") from None
    cipher = _cipher(made, keys)
    for number in range(_pieces(made)):
        nonce = _nonce(number, last=number == _pieces(made) - 1)
        try:
            plain.write(cipher.decrypt(nonce, sealed.read(_PIECE + _TAG), header))
        except InvalidTag:
            raise SealError(
                "The backup does not open: it is cut off, or bytes were changed.", "Take another."
            ) from None
    if sealed.read(1):
        raise SealError("The backup has bytes past its end.", "Take another.")
    return made


def _pieces(made: Backup) -> int:
    return -(-made.size // _PIECE)


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


def _cipher(made: Backup, keys: Keys) -> AESGCM:
    secret = next((key.secret for key in keys.sealing if key.id == made.key_id), None)
    if secret is None:
        raise VaultKeyError(
            f"The backup was made under the key {made.key_id}, which is not in the key file.",
            "Restore the key file of that time first (BIOKEEL_VAULT_KEY_FILE).",
        )
    return AESGCM(HKDF(SHA256(), 32, made.salt, b"biokeel vault backup").derive(secret))


def _keys(settings: Settings) -> Keys:
    settings.require("vault_key_file")
    assert settings.vault_key_file is not None
    return load_key_file(settings.vault_key_file)


def _database(settings: Settings) -> Path:
    settings.require("vault_url")
    url = sa.make_url(settings.vault_url)
    if url.get_backend_name() != "sqlite" or not url.database:
        raise VaultError("The vault is no SQLite file.", "Use the database's own tools: pg_dump and pg_restore.")
    return Path(url.database)


def _private(path: Path) -> IO[bytes]:
    """A new file that only its owner may read."""
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), "wb")


@contextmanager
def _refusals(what: str) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        told = error.strerror if isinstance(error, OSError) else type(error).__name__
        raise VaultUnavailable(
            f"The vault could not {what} ({told}).", "Are the files there, is the disk full?"
        ) from None
