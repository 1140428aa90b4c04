"""What only PostgreSQL has: accounts, several who decide at once, sessions that hang, a standby, its own backups."""

import os
import re
import subprocess
import sys
import threading
import time

import psycopg
import pytest
import sqlalchemy as sa

from biokeel.batch import RawPartition
from biokeel.errors import SettingsError, VaultUnavailable
from biokeel.settings import PROJECT_ROOT, Settings
from biokeel.testing.postgres import BOOKS, OWNER, VAULT, Postgres, programs
from biokeel.vault import database as databases
from biokeel.vault.database import Database
from biokeel.vault.decisions import Decisions
from biokeel.vault.keys import create_key_file
from biokeel.vault.store import Vault
from tests.pseudonymise.conftest import GLUCOSE, World, drain, world
from tests.vaults import CHOSEN, Vaults, postgres_folder

__all__ = ["world"]

A, B = RawPartition("hospital-a", 0), RawPartition("hospital-a", 1)


@pytest.fixture(scope="module", autouse=True)
def _on_postgres(vaults):
    CHOSEN.append(vaults)
    yield
    CHOSEN.remove(vaults)
    vaults.drop_all()


def as_role(world, role):
    """The URL of the world's vault for another account."""
    return sa.make_url(world.settings.vault_url).set(username=role).render_as_string(hide_password=False)


def refused(url, statement):
    """Run a statement, which must be refused for want of a right."""
    with psycopg.connect(url) as session, pytest.raises(psycopg.errors.InsufficientPrivilege):
        session.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET detail = ''",
        "DELETE FROM audit",
        "TRUNCATE audit",
        "DELETE FROM decision",
        "UPDATE decision SET reason = ''",
        "DELETE FROM participant",
        "DELETE FROM identifier",
        "DELETE FROM applied",
        "UPDATE spread SET partitions = 1",
        "UPDATE dead_letter SET reason = ''",
        "DROP TABLE audit",
        "ALTER TABLE audit DISABLE TRIGGER ALL",
        "CREATE TABLE mine (name text)",
        "CREATE ROLE somebody",
    ],
)
def test_a_workers_account_cannot_change_what_was_written_for_good(world, statement):
    world.enrol(world.wall(), "P-1")
    refused(as_role(world, VAULT), statement)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM identifier",
        "SELECT * FROM participant",
        "SELECT * FROM audit",
        "SELECT * FROM meta",
        "SELECT * FROM file_verdict",
        "SELECT sealed FROM parked",
        "SELECT digest FROM parked",
        "SELECT sealed FROM dead_letter",
        "INSERT INTO applied VALUES ('a', 'b', 0, 0)",
        "DELETE FROM decision",
    ],
)
def test_the_books_account_reads_where_events_lie_and_nothing_else(world, statement):
    refused(as_role(world, BOOKS), statement)


def test_the_books_account_can_do_the_work_of_the_books(world):
    wall = world.wall()
    wall.process(world.batch(GLUCOSE, [{"subject_id": "P-1"}, {"subject_id": "P-1", "code": "a@b.example"}]))
    decisions = Decisions(Database(as_role(world, BOOKS), read_only=True))
    new, whole = decisions.since(-1, 0), decisions.whole()
    assert sorted(new.frame["place"]) == sorted(whole.frame["place"]) != []
    assert (new.number, new.mark) == (whole.number, whole.mark)
    assert decisions.clients() == []
    decisions.close()


def test_a_reader_sees_one_moment_however_long_it_reads(world):
    vault = world.vault()
    with vault._database.read() as connection:
        before = connection.execute(sa.text("SELECT count(*) FROM audit")).scalar_one()
        world.enrol(world.wall(), "P-1")
        assert connection.execute(sa.text("SELECT count(*) FROM audit")).scalar_one() == before
    assert vault.status().audit_entries == before + 1


@pytest.mark.parametrize("first", ["another has decided", "another has decided on a new partition"])
def test_of_two_that_decide_one_partition_side_by_side_one_starts_over(world, first):
    one, other = world.vault(), world.vault()
    if first == "another has decided":
        assert one.decide(GLUCOSE, one.snapshot(GLUCOSE, [A, B]), {A: 3, B: 3}, parked=[], sealed=[])
    snapshot = one.snapshot(GLUCOSE, [A, B])
    seen = []

    def between(_connection, _cursor, statement, *_):
        """The other decides whole, after one has looked and before it writes."""
        if statement.startswith("INSERT INTO progress") and not seen:
            seen.append(statement)
            thread = threading.Thread(
                target=lambda: seen.append(other.decide(GLUCOSE, snapshot, {B: 9}, parked=[], sealed=[]))
            )
            thread.start()
            thread.join()

    sa.event.listen(one._database.engine, "before_cursor_execute", between)
    assert not one.decide(GLUCOSE, snapshot, {A: 7, B: 7}, parked=[], sealed=[])
    assert seen[1:] == [True]
    assert one.snapshot(GLUCOSE, [A, B]).decided == {A: snapshot.decided[A], B: 9}


def test_a_worker_that_hangs_in_a_transaction_is_cut_off_and_the_others_go_on(world, monkeypatch):
    short = databases._POSTGRES | {"options": "-c idle_in_transaction_session_timeout=300ms"}
    monkeypatch.setattr(databases, "_POSTGRES", short)
    hangs, wall = Database(world.settings.vault_url), world.wall()

    def hang():
        with hangs.write() as connection:
            # It has the lock of those who change people, and does nothing more until the other is done.
            world.enrol(wall, "P-1")
            connection.execute(sa.text("SELECT 1"))

    with pytest.raises(VaultUnavailable):
        hang()
    assert world.vault().status().participants == 1


def test_what_a_url_says_of_the_session_holds_and_so_do_our_limits(world):
    url = sa.make_url(world.settings.vault_url).update_query_dict(
        {"application_name": "of the hospital", "options": "-c search_path=public,elsewhere"}
    )
    database = Database(url.render_as_string(hide_password=False))
    names = ("application_name", "search_path", "lock_timeout", "idle_in_transaction_session_timeout")
    with database.read() as connection:
        found = [connection.execute(sa.text(f"SHOW {name}")).scalar_one() for name in names]
    database.close()
    assert found == ["of the hospital", "public,elsewhere", "1min", "30s"]


@pytest.mark.parametrize("setting", ["synchronous_commit = off", "lock_timeout = '5s'"])
def test_a_server_that_may_lose_what_it_has_committed_is_refused(world, vaults, setting):
    name = sa.make_url(world.settings.vault_url).database
    world.vault().close()
    vaults.server.execute(f"ALTER DATABASE {name} SET {setting}")
    if "off" in setting:
        with pytest.raises(VaultUnavailable, match="synchronous_commit=off"):
            Vault.open(world.settings)
    else:
        assert world.vault().status().participants == 0


def test_an_empty_database_is_made_by_its_owner_and_nobody_else(tmp_path, world, vaults):
    vaults.create("empty")
    try:
        settings = world.settings.model_copy(update={"vault_url": vaults.url("empty")})
        with pytest.raises(VaultUnavailable, match="lacks a right"):
            Vault.open(settings)
        Vault.open(settings.model_copy(update={"vault_url": vaults.url("empty", OWNER)})).close()
    finally:
        vaults.drop("empty")


def test_nothing_of_a_url_is_told_where_nobody_answers(world):
    settings = Settings(
        vault_url="postgresql://biokeel_vault:hidden-word@127.0.0.1:9/vault", vault_key_file=world.folder / "vault.keys"
    )
    with pytest.raises(VaultUnavailable) as caught:
        Vault.open(settings)
    assert "hidden-word" not in str(caught.value)


def test_another_kind_of_database_is_refused():
    with pytest.raises(SettingsError, match=r"sqlite:///… or postgresql://"):
        Database("mysql://somebody@host/vault")


# -- a standby


SYNCHRONOUS = "synchronous_standby_names = 'mirror'\nsynchronous_commit = local\n"


@pytest.fixture
def pair():
    """A primary whose commits wait for its standby, with the vault's accounts and tables."""
    with postgres_folder() as place, Postgres.make(place / "primary", SYNCHRONOUS) as one:
        made = Vaults(one)
        with one.standby(place / "standby", "mirror") as other:
            one.execute("ALTER SYSTEM SET synchronous_commit = on", "SELECT pg_reload_conf()")
            yield made, one, other


def test_where_the_primary_is_lost_no_enrolment_is_that_was_told_as_done(tmp_path, pair):
    made, primary, standby = pair
    folder = tmp_path / "world"
    CHOSEN.append(made)
    try:
        world = World(folder)
    finally:
        CHOSEN.remove(made)
    url = sa.make_url(world.settings.vault_url)
    both = url.set(
        host=None,
        port=None,
        query={"host": (primary.address, standby.address), "target_session_attrs": "read-write"},
    )
    world.settings = world.settings.model_copy(update={"vault_url": both.render_as_string(hide_password=False)})
    on_standby = url.set(port=int(standby.address.split(":")[1])).render_as_string(hide_password=False)
    while not standby.ask(f"SELECT FROM pg_database WHERE datname = '{url.database}'"):
        time.sleep(0.01)  # a commit waits until the standby has it, not until it shows it
    with pytest.raises(VaultUnavailable, match="read-only standby"):
        Vault.open(world.settings.model_copy(update={"vault_url": on_standby}))
    wall, told = world.wall(), []
    killer = threading.Thread(target=primary.kill)
    try:
        while True:
            name = f"P-{len(told):05d}"
            assert world.enrol(wall, name).applied == 1
            told.append(name)
            if len(told) == 20:
                killer.start()  # and it dies in the middle of one of the next
    except VaultUnavailable:
        pass
    finally:
        killer.join()
    standby.promote()
    # The same URL leads to whoever takes writes now, for who has waited and for who begins. Kafka gives all again.
    assert wall.process(world.glucose(*told)).batch.frame["participant"].n_unique() == len(told)
    after = world.wall()
    world.offsets = {}
    for name in told:
        assert world.enrol(after, name).applied == 0, "it was applied, and is known"
    assert world.vault().status().participants in {len(told), len(told) + 1}
    assert world.vault().verify_audit().faults == ()
    assert after.process(world.glucose(*told)).batch.frame["participant"].n_unique() == len(told)
    world.close()


def as_on_the_page(server, folder, heading, number, database="vault"):
    """Run the block of that number below a heading of docs/operations.md, with `vault` called otherwise."""
    page = (PROJECT_ROOT / "docs" / "operations.md").read_text("utf-8")
    (text,) = re.findall(rf"^### {re.escape(heading)}\n(.*?)(?=^##)", page, re.DOTALL | re.MULTILINE)
    block = re.findall(r"^```\n(.*?)^```", text, re.DOTALL | re.MULTILINE)[number]
    block = re.sub(r"\bvault\b(?=$| -f)", database, block, flags=re.MULTILINE)
    biokeel = folder / "biokeel"
    biokeel.write_text(f'#!/bin/sh\nexec {sys.executable} -m biokeel "$@"\n')
    biokeel.chmod(0o755)
    place = {"PATH": f"{folder}:{programs()}:{os.environ['PATH']}", "OWNER_URL": server.url(database, OWNER)}
    done = subprocess.run(
        ["bash", "-euxc", block.replace("deploy/", f"{PROJECT_ROOT}/deploy/")],
        cwd=folder,
        env=os.environ | server.environment | place,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_vault_is_set_up_as_the_page_says(vaults, tmp_path):
    try:
        as_on_the_page(vaults.server, tmp_path, "Setting it up", 0, "as_told")
        create_key_file(tmp_path / "keys")
        settings = Settings(vault_url=vaults.url("as_told"), vault_key_file=tmp_path / "keys")
        vault = Vault.open(settings)
        assert vault.status().participants == 0
        vault.close()
        refused(vaults.url("as_told"), "DELETE FROM audit")
    finally:
        vaults.drop("as_told")


def test_a_dump_restored_is_the_vault_of_that_moment(world, vaults, tmp_path):
    wall = world.wall()
    world.enrol(wall, "P-1", "P-2")
    wall.process(world.glucose("P-9"))
    name = sa.make_url(world.settings.vault_url).database
    people = wall.process(world.glucose("P-1", "P-2")).batch.frame["participant"].to_list()
    as_on_the_page(vaults.server, tmp_path, "Backup and restore of a vault on PostgreSQL", 0, name)
    world.enrol(wall, "P-3")
    world.close()
    try:
        as_on_the_page(vaults.server, tmp_path, "Backup and restore of a vault on PostgreSQL", 1, name)
        restored = World(tmp_path)
        restored.settings = world.settings.model_copy(update={"vault_url": vaults.url("restored")})
        vault = restored.vault()
        assert vault.status().participants == 2
        assert vault.verify_audit().faults == ()
        again = restored.wall()
        restored.offsets = dict(world.offsets)
        assert again.process(restored.glucose("P-1", "P-2")).batch.frame["participant"].to_list() == people
        restored.enrol(again, "P-9")
        assert drain(again) == [0], "what was parked then waits still"
        refused(vaults.url("restored"), "DELETE FROM audit")
        restored.close()
    finally:
        vaults.drop("restored")
