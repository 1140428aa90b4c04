"""Where the vaults of tests live: a SQLite file in a folder, or a database of a real PostgreSQL.

A vault belongs to a folder. Whoever copies the folder copies the vault: the first who opens the copy gets a database
of its own, made of the one that the folder came from.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from biokeel.testing.postgres import OWNER, VAULT, Postgres

TEMPLATE = "biokeel_template"
MEMORY = "/dev/shm"
_MARK = "vault.json"


@contextmanager
def postgres_folder() -> Iterator[Path]:
    """A folder for servers, which run as another user; in memory where the system has room for it.

    What dies in these tests is a process. What a server keeps when a machine dies is PostgreSQL's part.
    """
    folder = MEMORY if os.access(MEMORY, os.W_OK) else None
    with TemporaryDirectory(prefix="biokeel-postgres-", dir=folder) as place:
        Path(place).chmod(0o755)
        yield Path(place)


class Vaults:
    """Databases of one server, all made as its owner would, and used by the account of a worker."""

    def __init__(self, server: Postgres) -> None:
        self.server = server
        self._made: dict[str, Path] = {}
        server.make_vault(TEMPLATE)

    def create(self, name: str, template: str = "template0") -> None:
        self.server.execute(f"CREATE DATABASE {name} TEMPLATE {template} OWNER {OWNER} STRATEGY FILE_COPY")

    def url(self, database: str, role: str = VAULT) -> str:
        return self.server.url(database, role)

    def of(self, folder: Path) -> str:
        """The URL of the vault that belongs to `folder`."""
        mark = folder / _MARK
        stands = json.loads(mark.read_text("utf-8")) if mark.exists() else {"database": TEMPLATE, "folder": ""}
        if stands["folder"] != str(folder):
            self._clear()
            name = f"vault_{secrets.token_hex(6)}"
            self.create(name, stands["database"])
            self._made[name] = folder
            stands = {"database": name, "folder": str(folder), "url": self.url(name)}
            mark.write_text(json.dumps(stands), "utf-8")
        return self.url(stands["database"])

    def _clear(self) -> None:
        """Drop the databases whose folders are gone."""
        for name in [name for name, folder in self._made.items() if not folder.exists()]:
            self.drop(name)

    def drop(self, name: str) -> None:
        self.server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        self._made.pop(name, None)

    def drop_all(self) -> None:
        for name in list(self._made):
            self.drop(name)


CHOSEN: list[Vaults] = []
"""Where new vaults live, if not in a file."""


def vault_url(folder: Path) -> str:
    """The URL of the vault of `folder`, wherever vaults live now."""
    if CHOSEN:
        return CHOSEN[-1].of(folder)
    mark = folder / _MARK
    if mark.exists():  # another process of the test
        return str(json.loads(mark.read_text("utf-8"))["url"])
    return f"sqlite:///{folder / 'vault.db'}"
