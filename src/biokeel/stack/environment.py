"""The settings of the local stack, a dotenv file for each user: vault, research, operator, books, admin and steward.

Each holds its own user's ways in and nobody else's: Kafka's password, and the key pair of the object store where the
user has one. The vault's file names its database and key file; those of operator and books name the database only,
which the books read without a key, because they need to know which offsets the vault has decided. A steward's has no
user of Kafka: it reads tables and writes the book of rules.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from biokeel.admin.private import PREFIX, variables
from biokeel.admin.users import User
from biokeel.stack import kafka, objectstore
from biokeel.stack.state import SOURCES, State

FOREIGN = "PYTEST_"
"""NiceGUI behaves differently in a process that it takes for a test: a stack's console is always the real one."""
OWN = ("KAFKA_", "S3_", "LANDING_ACCESS_", "LANDING_SECRET_", "VAULT_", "BLOCK_", "CONSOLE_TOKEN", "STEWARD_")
"""Settings that say where the parts are and how to get in: a process has its own user's or none."""


class VaultUrls(NamedTuple):
    """The URLs of a vault's database: for who decides, and for who only looks."""

    url: str
    reader_url: str


class VaultAt(NamedTuple):
    """Where a stack's vault is."""

    database: VaultUrls
    key_file: Path

    @classmethod
    def of(cls, folder: Path, database: VaultUrls | None = None) -> VaultAt:
        """Its keys are in `folder`; so is a SQLite file unless it has another database."""
        file = f"sqlite:///{folder / 'vault.sqlite'}"
        return cls(database or VaultUrls(file, file), folder / "vault.keys")


def of_user(user: User, state: State, vault: VaultAt, sources_dir: Path, public_keys: Sequence[str]) -> dict[str, str]:
    """The settings of one user, by their names in `biokeel.settings.Settings`.

    `sources_dir` is the register. `public_keys`: of which a block must have a signature, for those who read blocks.
    """
    settings = {
        "kafka_bootstrap": kafka.bootstrap(state),
        "kafka_security_protocol": "SASL_PLAINTEXT",
        "kafka_username": user.value,
        "kafka_password": state.passwords[user],
    }
    if user in (User.VAULT, User.OPERATOR, User.BOOKS, User.ADMIN):
        settings["sources_dir"] = str(sources_dir)
    if user in (User.RESEARCH, User.OPERATOR):
        settings["block_public_keys"] = ",".join(public_keys)
    settings |= store_of(user, state)
    if user is User.VAULT:
        settings |= {"vault_url": vault.database.url, "vault_key_file": str(vault.key_file)}
        pair = state.key_pairs[SOURCES]
        settings |= {"landing_access_key": pair.access, "landing_secret_key": pair.secret}
    elif user in (User.OPERATOR, User.BOOKS):
        settings |= {"vault_url": vault.database.reader_url}
    return settings


def store_of(user: str, state: State) -> dict[str, str]:
    """A user's way into the object store, for those who have one; all sources share one, into the landing bucket."""
    pair = state.key_pairs.get(user)
    if pair is None:
        return {}
    return {
        "s3_endpoint": objectstore.endpoint(state),
        "s3_region": objectstore.REGION,
        "s3_access_key": pair.access,
        "s3_secret_key": pair.secret,
    }


def of_process(settings: Mapping[str, str], state_dir: Path) -> dict[str, str]:
    """The whole environment of a process: ours without what belongs to any user, then `settings`.

    With few arenas the C library's allocator gives memory that one thread is done with to the others: a tenth less of
    a worker's peak, at no CPU that could be measured.
    """
    owned = (FOREIGN, *(PREFIX + name for name in OWN))
    plain = {name: value for name, value in os.environ.items() if not name.startswith(owned)}
    fixed = {"PYTHONUNBUFFERED": "1", "MALLOC_ARENA_MAX": "2"}
    return plain | fixed | variables({"state_dir": str(state_dir), **settings})
