"""A PostgreSQL of one's own, from the system's programs: for tests, the benchmark and trying things.

It listens on a free port of the loopback interface, wants passwords (SCRAM-SHA-256), and writes to the disk as a real
one does. PostgreSQL does not run as root: there it runs as `nobody`.
"""

from __future__ import annotations

import getpass
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psycopg

from biokeel.errors import StackError
from biokeel.settings import PROJECT_ROOT
from biokeel.vault.database import Database
from biokeel.vault.schema import migrate

SUPERUSER: Final = "postgres"
ROLES: Final = PROJECT_ROOT / "deploy" / "postgresql" / "roles.sql"
OWNER, VAULT, BOOKS = "biokeel_owner", "biokeel_vault", "biokeel_books"
"""The accounts that `ROLES` makes."""
_ROOT: Final = os.geteuid() == 0
_USER: Final = "nobody" if _ROOT else None
_GROUP: Final = "nogroup" if _ROOT else None
_GROUPS: Final = () if _ROOT else None
READY_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 0.02
_PLACES: Final = "/usr/lib/postgresql/*/bin/initdb"
"""Where Debian puts what it does not put on the PATH."""
_CONFIGURATION: Final = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
max_connections = 100
shared_buffers = 64MB
max_wal_senders = 4
wal_level = replica
logging_collector = off
"""


def programs() -> Path | None:
    """The folder of PostgreSQL's programs, the newest if there are several; None where there is none."""
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).resolve().parent
    found = sorted(Path("/").glob(_PLACES[1:]), key=lambda each: int(each.parts[-3].split(".")[0]))
    return found[-1].parent if found else None


class Postgres:
    """One server on a folder. `stop` ends it as an administrator would, `kill` as a power cut of the process."""

    def __init__(self, folder: Path, port: int, password: str) -> None:
        self._folder = folder
        self._port = port
        self._password = password
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def make(cls, folder: Path, configuration: str = "") -> Self:
        """Make a cluster in `folder/data` and start it. Raises `StackError` where it does not start.

        `configuration` is appended to postgresql.conf.
        """
        folder.mkdir(parents=True, exist_ok=True)
        _give(folder)
        password = folder / "password"
        password.write_text(secrets.token_urlsafe(16), "utf-8")
        _give(password)
        server = cls(folder, _free_port(), password.read_text("utf-8"))
        options = ("-U", SUPERUSER, "-A", "scram-sha-256", "--pwfile", str(password), "-E", "UTF8", "--locale", "C")
        server.run("initdb", "-D", str(server._data), "--no-sync", *options)
        with (server._data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write(_CONFIGURATION.format(port=server._port) + configuration)
        return server._started()

    def standby(self, folder: Path, name: str) -> Postgres:
        """A copy of this server that follows it under the application name `name`, started."""
        folder.mkdir(parents=True, exist_ok=True)
        _give(folder)
        server = Postgres(folder, _free_port(), self._password)
        source = f"{self._conninfo('postgres')} application_name={name}"
        self.run("pg_basebackup", "-D", str(server._data), "-R", "-X", "stream", "-c", "fast", "-d", source)
        with (server._data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write(f"port = {server._port}\n")
        return server._started()

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    @property
    def address(self) -> str:
        """Host and port, as in a URL."""
        return f"127.0.0.1:{self._port}"

    @property
    def environment(self) -> dict[str, str]:
        """What its own programs are told where it is and how to get in as the superuser."""
        host, port = self.address.split(":")
        return {"PGHOST": host, "PGPORT": port, "PGUSER": SUPERUSER, "PGPASSWORD": self._password}

    def url(self, database: str, user: str = SUPERUSER) -> str:
        """A URL of SQLAlchemy's."""
        return f"postgresql://{user}:{self._password}@{self.address}/{database}"

    def make_vault(self, name: str) -> None:
        """Make a database with a vault's accounts, tables and rights, as docs/operations.md says it is done.

        The accounts' passwords are the superuser's.
        """
        self.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        rights = ROLES.read_text("utf-8")
        self.execute(
            rights, *(f"ALTER ROLE {role} PASSWORD '{self._password}'" for role in (OWNER, VAULT, BOOKS)), database=name
        )
        owners = Database(self.url(name, OWNER))
        try:
            migrate(owners)
        finally:
            owners.close()
        self.execute(rights, database=name)

    def _conninfo(self, database: str) -> str:
        return f"host=127.0.0.1 port={self._port} user={SUPERUSER} password={self._password} dbname={database}"

    def execute(self, *statements: str, database: str = "postgres") -> None:
        """Run statements as the superuser, each in a transaction of its own."""
        with psycopg.connect(self._conninfo(database), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def ask(self, query: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """The rows of a query, as the superuser."""
        with psycopg.connect(self._conninfo(database), autocommit=True) as connection:
            return connection.execute(query.encode()).fetchall()

    def run(self, program: str, *arguments: str) -> str:
        """Run one of PostgreSQL's programs as who runs the server; what it printed. Raises `StackError` if it fails."""
        done = subprocess.run(  # noqa: S603
            [str(_of(program)), *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=self._folder,
            env=_environment(),
            user=_USER,
            group=_GROUP,
            extra_groups=_GROUPS,
        )
        if done.returncode:
            raise StackError(f"{program} ended with {done.returncode}: {done.stderr.strip()[-500:]}", "Look at it.")
        return done.stdout

    def start(self) -> None:
        """Start it, and wait until it answers."""
        log = self._folder / "log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603
                [str(_of("postgres")), "-D", str(self._data)],
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                env=_environment(),
                user=_USER,
                group=_GROUP,
                extra_groups=_GROUPS,
            )
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                self.ask("SELECT 1")
            except psycopg.OperationalError as error:
                ended = self._process.poll() is not None
                if ended or time.monotonic() > deadline:
                    last = log.read_text("utf-8", "replace")[-500:]
                    raise StackError(f"PostgreSQL does not answer: {last}", "Look at its log.") from error
                time.sleep(_LOOK_SECONDS)
            else:
                return

    def _started(self) -> Self:
        self.start()
        return self

    def promote(self) -> None:
        """Make a standby the primary; returns when it is."""
        self.run("pg_ctl", "promote", "-w", "-D", str(self._data))

    def kill(self) -> None:
        """End it without any shutdown: `immediate`, so that its next start recovers from the log."""
        self._end("immediate")

    def stop(self) -> None:
        """End it in order. Does nothing where it does not run."""
        self._end("fast")

    def _end(self, mode: str) -> None:
        if self._process is not None:
            if self._process.poll() is None:
                self.run("pg_ctl", "stop", "-w", "-m", mode, "-D", str(self._data))
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _of(program: str) -> Path:
    folder = programs()
    if folder is None:
        raise StackError("There are no programs of PostgreSQL here.", "Install the package postgresql.")
    return folder / program


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"}


def _give(path: Path) -> None:
    """Give a path to who runs the server."""
    entry = pwd.getpwnam(_USER or getpass.getuser())
    os.chown(path, entry.pw_uid, entry.pw_gid)
    path.chmod(0o700 if path.is_dir() else 0o600)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
