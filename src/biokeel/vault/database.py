"""The vault's database: SQLite in write-ahead mode, or PostgreSQL; transactions with one writer order.

| | SQLite | PostgreSQL |
| --- | --- | --- |
| reading (`read()`) | a snapshot | a snapshot (`REPEATABLE READ`) |
| deciding events (`write(shared=True)`) | `BEGIN IMMEDIATE` | shared advisory lock of the transaction |
| changing people (`write()`) | `BEGIN IMMEDIATE` | the same advisory lock, exclusive |

So nobody is enrolled while an event is being parked, the audit is one chain, and release numbers are visible in the
order of their numbers. Who writes sees what was committed until each of its statements (`READ COMMITTED`), and so all
that whoever had the lock before has left. Rows are written in the order of their keys: two that decide side by side
wait for each other, and never both.

Commits are on the disk when they return (`synchronous=FULL`); a PostgreSQL that is set up to lose some is refused. A
worker that hangs or is cut off within a transaction holds the lock until the server ends its session, after
`_IDLE_SECONDS` or when its keepalives go unanswered; the others wait so long and no longer.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from biokeel.errors import SettingsError, VaultRefused, VaultUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_BUSY_MILLISECONDS: Final = 60_000
_IDLE_SECONDS: Final = 30
"""Less than others wait for a lock."""
_POSTGRES: Final = {
    "application_name": "biokeel",
    "connect_timeout": 10,
    # Who was cut off from the server is found out from both ends.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "options": f"-c lock_timeout={_BUSY_MILLISECONDS} -c idle_in_transaction_session_timeout={_IDLE_SECONDS}s "
    "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3",
}
_REMEDIES: Final = {
    "InsufficientPrivilege": "Its account lacks a right: see the vault's roles in docs/operations.md.",
    "UndefinedTable": "Its owner makes the tables: biokeel vault migrate.",
    "ReadOnlySqlTransaction": "It is a read-only standby: name the primary.",
    "LockNotAvailable": "Another process has held its lock for a minute: look for one that hangs.",
}
"""By what PostgreSQL calls an error."""
EXPECTED: Final = "expected"
"""A parameter of `Database.replace`."""
_ADVISORY_LOCK: Final = 0x62696F6B65656C  # "biokeel"
_DECISION_LOCK: Final = _ADVISORY_LOCK + 1
IN_LIMIT: Final = 5_000
"""Values of one IN list; SQLite takes 32,766 parameters a statement, PostgreSQL 65,535."""


class Database:
    """Opens transactions and maps the driver's errors."""

    def __init__(self, url: str, *, read_only: bool = False) -> None:
        """`read_only`: nothing can be written, by whatever statement, and a SQLite file is not created."""
        try:
            parsed = sa.make_url(url)
        except sa.exc.ArgumentError:
            raise SettingsError("BIOKEEL_VAULT_URL is not a database URL.", "Like sqlite:////path/vault.db.") from None
        kind = parsed.get_backend_name()
        if kind not in {"sqlite", "postgresql"}:
            raise SettingsError(f"BIOKEEL_VAULT_URL names {kind}.", "The vault is sqlite:///… or postgresql://….")
        self.is_sqlite = kind == "sqlite"
        if not self.is_sqlite:
            parsed = parsed.set(drivername="postgresql+psycopg")
        self._file = _file_of(parsed.database) if self.is_sqlite else None
        if self._file and read_only:
            parsed = parsed.set(database=self._file.resolve().as_uri(), query={"mode": "ro", "uri": "true"})
        # A driver's error quotes the parameters of the statement: hide them, they are digests and sealed bytes.
        self.engine = sa.create_engine(
            parsed,
            hide_parameters=True,
            pool_pre_ping=not self.is_sqlite,
            execution_options={} if self.is_sqlite else {"postgresql_readonly": read_only},
            # Who only looks does not keep the file open: a vault that is restored is put in its place.
            poolclass=sa.NullPool if self.is_sqlite and read_only else None,
            connect_args={} if self.is_sqlite else _postgres_arguments(parsed),
        )
        if self._file:
            if not read_only:
                _create_private(self._file)
            sa.event.listen(self.engine, "connect", _look_at_sqlite if read_only else _configure_sqlite)
            sa.event.listen(self.engine, "begin", _begin_sqlite)
        elif not read_only:
            sa.event.listen(self.engine, "connect", _require_durable)

    def has(self, table: sa.Table) -> bool:
        """Whether the database and the table are there. Raises `VaultUnavailable`."""
        if self._file and not self._file.exists():
            return False
        with _mapped(), self.engine.connect() as connection:
            return sa.inspect(connection).has_table(table.name)

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A transaction that only reads. Raises `VaultUnavailable`."""
        isolation = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        with _mapped(), self.engine.connect().execution_options(**isolation) as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self, *, shared: bool = False) -> Iterator[sa.Connection]:
        """A transaction that writes; durable when left, nothing of it stays when an error leaves it.

        `shared`: for deciding events, which may go on side by side where the database can do that.
        """
        with _mapped(), self.engine.connect().execution_options(biokeel_writes=True) as connection, connection.begin():
            if not self.is_sqlite:
                lock = sa.func.pg_advisory_xact_lock_shared if shared else sa.func.pg_advisory_xact_lock
                connection.execute(sa.select(lock(_ADVISORY_LOCK)))
            yield connection

    def lock_decisions(self, connection: sa.Connection) -> None:
        """Let nobody else number decisions before this transaction has ended: see `biokeel.vault.decision_log`."""
        if not self.is_sqlite:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_DECISION_LOCK)))

    def insert_new(self, connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert `rows`; one whose primary key is there already is left as it is."""
        if rows:
            connection.execute(_insert_new(table, is_sqlite=self.is_sqlite), _in_order(table, rows))

    def upsert(self, connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert `rows`, which have every column, or overwrite what stands under their primary keys."""
        if rows:
            connection.execute(_upsert(table, is_sqlite=self.is_sqlite), _in_order(table, rows))

    def replace(
        self, connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]], column: sa.Column[int]
    ) -> int:
        """`upsert`, but what stands there only where its `column` is the row's `EXPECTED`; how many were written.

        Waits for others that write the same rows, and then looks at what they have left.
        """
        if not rows:
            return 0
        statement = _upsert(table, column, is_sqlite=self.is_sqlite)
        counted = connection.execution_options(preserve_rowcount=True)
        return counted.execute(statement, _in_order(table, rows)).rowcount

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


# Statements are made once: making one takes longer than running it.


@cache
def _insert_new(table: sa.Table, *, is_sqlite: bool) -> sa.Insert:
    insert = sqlite.insert if is_sqlite else postgresql.insert
    return insert(table).on_conflict_do_nothing()


@cache
def _upsert(table: sa.Table, expected: sa.Column[int] | None = None, *, is_sqlite: bool) -> sa.Insert:
    insert = sqlite.insert(table) if is_sqlite else postgresql.insert(table)
    keys = [column.name for column in table.primary_key]
    values = {column.name: insert.excluded[column.name] for column in table.columns if column.name not in keys}
    where = None if expected is None else expected == sa.bindparam(EXPECTED, type_=expected.type)
    return insert.on_conflict_do_update(index_elements=keys, set_=values, where=where)


def _in_order(table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    keys = [column.name for column in table.primary_key]
    return sorted(rows, key=lambda row: [row[name] for name in keys])


@contextmanager
def _mapped() -> Iterator[None]:
    try:
        yield
    except (sa.exc.DataError, sa.exc.IntegrityError) as error:
        raise VaultRefused(f"The vault's database does not take a value ({type(error.orig).__name__}).") from None
    except sa.exc.DBAPIError as error:
        kind = type(error.orig).__name__
        raise VaultUnavailable(
            f"The vault's database refused a statement ({kind}).",
            _REMEDIES.get(kind, "Is it up, and is its disk full?"),
        ) from None


def _postgres_arguments(url: sa.URL) -> dict[str, Any]:  # whatever libpq takes
    """What libpq is told beside `url`, whose own words win; its `options` are added to ours."""
    arguments = {name: value for name, value in _POSTGRES.items() if name not in url.query}
    if "options" in url.query:
        arguments["options"] = f"{_POSTGRES['options']} {url.query['options']}"
    return arguments


def _file_of(database: str | None) -> Path:
    if not database or database == ":memory:":
        raise SettingsError("The vault cannot live in memory.", "Name a file: sqlite:////path/vault.db.")
    return Path(database)


def _create_private(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
        os.close(descriptor)
    except OSError as error:
        raise VaultUnavailable(f"Cannot open the vault's file: {error.strerror}.", "Check BIOKEEL_VAULT_URL.") from None
    if mode & 0o077:
        raise VaultUnavailable(f"The vault's file {path} is open to other users.", f"Run: chmod 600 {path}")


def _configure_sqlite(connection: Any, _record: object) -> None:  # the driver's connection
    connection.isolation_level = None  # the driver must not begin transactions by itself
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={_BUSY_MILLISECONDS}", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _look_at_sqlite(connection: Any, _record: object) -> None:  # the driver's connection
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout={_BUSY_MILLISECONDS}").close()


def _require_durable(connection: Any, _record: object) -> None:  # the driver's connection
    """Refuse a PostgreSQL whose commits may be lost, or that takes none."""
    query = "SELECT pg_is_in_recovery(), current_setting('fsync'), current_setting('synchronous_commit')"
    standby, fsync, synchronous = connection.execute(query).fetchone()
    connection.rollback()
    if standby:
        raise VaultUnavailable(
            "The vault's PostgreSQL is a read-only standby.",
            "Name the primary in BIOKEEL_VAULT_URL, or all hosts with ?target_session_attrs=read-write.",
        )
    if "off" in (fsync, synchronous):
        raise VaultUnavailable(
            f"The vault's PostgreSQL may lose what it has committed (fsync={fsync}, synchronous_commit={synchronous}).",
            "Set both to on: what the vault decides must be on the disk before anything is published.",
        )


def _begin_sqlite(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get("biokeel_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def chunks(values: Sequence[Any], size: int = IN_LIMIT) -> Iterator[Sequence[Any]]:
    """`values` in pieces that fit into one IN list."""
    for start in range(0, len(values), size):
        yield values[start : start + size]
