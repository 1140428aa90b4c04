"""The vault's database: SQLite in write-ahead mode, or PostgreSQL; transactions with one writer order.

| | SQLite | PostgreSQL |
| --- | --- | --- |
| deciding events (`write(shared=True)`) | `BEGIN IMMEDIATE` | shared advisory lock of the transaction |
| changing people (`write()`) | `BEGIN IMMEDIATE` | the same advisory lock, exclusive |

So nobody is enrolled while an event is being parked, the audit is one chain, and release numbers are visible in the
order of their numbers. Commits are on the disk when they return (`synchronous=FULL`).
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
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
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
        )
        if self._file:
            if not read_only:
                _create_private(self._file)
            sa.event.listen(self.engine, "connect", _look_at_sqlite if read_only else _configure_sqlite)
            sa.event.listen(self.engine, "begin", _begin_sqlite)

    def has(self, table: sa.Table) -> bool:
        """Whether the database and the table are there. Raises `VaultUnavailable`."""
        if self._file and not self._file.exists():
            return False
        with _mapped(), self.engine.connect() as connection:
            return sa.inspect(connection).has_table(table.name)

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A transaction that only reads. Raises `VaultUnavailable`."""
        with _mapped(), self.engine.connect() as connection, connection.begin():
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
            connection.execute(_insert_new(table, is_sqlite=self.is_sqlite), list(rows))

    def upsert(self, connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert `rows`, which have every column, or overwrite what stands under their primary keys."""
        if rows:
            connection.execute(_upsert(table, is_sqlite=self.is_sqlite), list(rows))

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


# Statements are made once: making one takes longer than running it.


@cache
def _insert_new(table: sa.Table, *, is_sqlite: bool) -> sa.Insert:
    insert = sqlite.insert if is_sqlite else postgresql.insert
    return insert(table).on_conflict_do_nothing()


@cache
def _upsert(table: sa.Table, *, is_sqlite: bool) -> sa.Insert:
    insert = sqlite.insert(table) if is_sqlite else postgresql.insert(table)
    keys = [column.name for column in table.primary_key]
    values = {column.name: insert.excluded[column.name] for column in table.columns if column.name not in keys}
    return insert.on_conflict_do_update(index_elements=keys, set_=values)


@contextmanager
def _mapped() -> Iterator[None]:
    try:
        yield
    except (sa.exc.DataError, sa.exc.IntegrityError) as error:
        raise VaultRefused(f"The vault's database does not take a value ({type(error.orig).__name__}).") from None
    except sa.exc.DBAPIError as error:
        kind = type(error.orig).__name__
        raise VaultUnavailable(
            f"The vault's database refused a statement ({kind}).", "Is it up, and is its disk full?"
        ) from None


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


def _begin_sqlite(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get("biokeel_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def chunks(values: Sequence[Any], size: int = IN_LIMIT) -> Iterator[Sequence[Any]]:
    """`values` in pieces that fit into one IN list."""
    for start in range(0, len(values), size):
        yield values[start : start + size]
