"""The vault's tables by release: made, brought up to date, and held to what the code says of them."""

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from biokeel.errors import VaultError
from biokeel.vault import schema
from biokeel.vault.database import Database
from biokeel.vault.store import Vault
from biokeel.vault.tables import METADATA
from tests.pseudonymise.conftest import World, world
from tests.vault.test_cli import run

__all__ = ["world"]

pytestmark = pytest.mark.usefixtures("each_database")


def marked(world, revision):
    """The world's vault as of another release."""
    owner = Database(world.settings.vault_url.replace("biokeel_vault:", "biokeel_owner:"))
    with owner.write() as connection:
        connection.execute(sa.update(schema.MARK).values(version_num=revision))
    return owner


def test_the_newest_migration_is_the_one_that_the_code_names():
    assert ScriptDirectory.from_config(schema._config()).get_heads() == [schema.HEAD]


def test_the_migrations_make_the_very_tables_that_the_code_knows(world):
    vault = world.vault()
    with vault._database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []


@pytest.mark.parametrize("revision", ["0000", "9999"])
def test_a_vault_of_another_release_is_refused_and_left_as_it_is(world, revision):
    world.enrol(world.wall(), "P-1")
    owner = marked(world, revision)
    with pytest.raises(VaultError, match=f"another release \\({revision}"):
        Vault.open(world.settings)
    with pytest.raises(VaultError, match=f"another release \\({revision}"):
        schema.migrate(owner)
    marked(world, schema.HEAD).close()
    assert world.vault().status().participants == 1
    owner.close()


def test_tables_without_a_mark_are_nobodys(world):
    world.vault()
    owner = Database(world.settings.vault_url.replace("biokeel_vault:", "biokeel_owner:"))
    with owner.write() as connection:
        connection.execute(sa.text("DROP TABLE alembic_version"))
    with pytest.raises(VaultError, match="not the mark of a release"):
        Vault.open(world.settings)
    owner.close()


def test_migrating_what_is_up_to_date_changes_nothing(world: World, monkeypatch):
    world.enrol(world.wall(), "P-1")
    monkeypatch.setenv("BIOKEEL_VAULT_URL", world.settings.vault_url)
    monkeypatch.setenv("BIOKEEL_VAULT_KEY_FILE", str(world.settings.vault_key_file))
    done = run("migrate")
    assert done.exit_code == 0, done.output
    assert f"those of this release ({schema.HEAD})" in done.output
    assert world.vault().status().participants == 1


def test_an_empty_database_is_migrated_to_this_release(tmp_path, monkeypatch):
    monkeypatch.setenv("BIOKEEL_VAULT_URL", f"sqlite:///{tmp_path / 'new.db'}")
    done = run("migrate")
    assert done.exit_code == 0, done.output
    assert f"{schema.HEAD}, before there were none" in done.output
    assert f"those of this release ({schema.HEAD})" in run("migrate").output
