"""Which tables a vault's database has: made in an empty one, held to those of this release, brought up to date by hand.

Every change of `biokeel.vault.tables` comes with a migration in `migrations/versions/`, which brings what stands there
along. A vault is opened only when it is as this release has it:

| the database | whoever opens it | |
| --- | --- | --- |
| has no tables | makes them, and the mark of this release, in one transaction | a process that dies has made none |
| is as of this release | goes on | |
| is older | refuses | `biokeel vault migrate` brings it up to date, in one transaction, after a backup |
| is newer | refuses | an old worker must not write what a newer one reads otherwise |

On PostgreSQL a worker's account may not make tables, so there its owner runs `biokeel vault migrate` first.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from biokeel.errors import VaultError

if TYPE_CHECKING:
    from biokeel.vault.database import Database

HEAD: Final = "0001"
"""The newest migration; a test holds it to what stands in `migrations/versions`."""
MARK: Final = sa.Table("alembic_version", sa.MetaData(), sa.Column("version_num", sa.String(32), primary_key=True))
"""Where Alembic keeps which migration was the last."""


def made_as(connection: sa.Connection) -> str | None:
    """The migration that the database stands at; None where it has no tables of a vault."""
    inspector = sa.inspect(connection)
    if not inspector.has_table(MARK.name):
        if inspector.has_table("participant"):
            raise VaultError(
                "The vault's database has tables, but not the mark of a release.",
                "It was made by an unreleased version: begin with a new database.",
            )
        return None
    return connection.execute(sa.select(MARK.c.version_num)).scalar()


def prepare(connection: sa.Connection) -> None:
    """Make the tables in an empty database; leave those of this release as they are.

    In the caller's transaction, which is exclusive, so two processes may do it at once. Raises `VaultError` where the
    database is of another release.
    """
    found = made_as(connection)
    if found is None:
        upgrade(connection)
    elif found != HEAD:
        raise _of_another(found)


def migrate(database: Database) -> str | None:
    """Bring a database of an earlier release up to date, or make the tables of an empty one; where it stood before.

    All of it or nothing. Raises `VaultError` where it is of a newer release, `VaultUnavailable` where the account may
    not.
    """
    with database.write() as connection:
        found = made_as(connection)
        if found != HEAD:
            if found is not None and not _is_known(found):
                raise _of_another(found)
            upgrade(connection)
    return found


def upgrade(connection: sa.Connection, to: str = "head") -> None:
    """Run the migrations that are missing up to `to`, in the caller's transaction."""
    from alembic import command

    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, to)


def _config() -> Any:  # Alembic is imported where a vault is made or changed only: it costs a worker's start 0.1 s
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def _is_known(revision: str) -> bool:
    from alembic.script import ScriptDirectory

    return any(each.revision == revision for each in ScriptDirectory.from_config(_config()).walk_revisions())


def _of_another(found: str) -> VaultError:
    return VaultError(
        f"The vault's tables are of another release ({found}, this one has {HEAD}).",
        "Older: back it up, stop its workers, run biokeel vault migrate. Newer: install that release.",
    )
