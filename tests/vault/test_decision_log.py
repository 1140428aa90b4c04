"""The list of decisions: in the order of commits, only what is new, and known for what it is after a restore."""

import shutil

import polars as pl
import pytest

from biokeel.batch import At, RawPartition, SealedRejection
from biokeel.contracts.topics import event_type
from biokeel.reasons import Reason
from biokeel.settings import Settings
from biokeel.vault.decisions import DECIDED, Decisions
from biokeel.vault.identifiers import Identifier
from biokeel.vault.keys import create_key_file
from biokeel.vault.parking import ToPark
from biokeel.vault.store import Vault

pytestmark = pytest.mark.usefixtures("each_database")

GLUCOSE, SLEEP = event_type("clinical.glucose"), event_type("lifestyle.sleep")
A, B = RawPartition("hospital-a", 0), RawPartition("app-a", 3)


class World:
    def __init__(self, folder):
        self.file = folder / "vault.db"
        create_key_file(folder / "vault.keys")
        self.settings = Settings(vault_url=f"sqlite:///{self.file}", vault_key_file=folder / "vault.keys")
        self.decisions = Decisions.open(self.settings)

    def open(self):
        self.vault = Vault.open(self.settings)

    def decide(self, event, origin, parked=(), sealed=()):
        snapshot = self.vault.snapshot(event, [origin])
        waiting = [ToPark(At(*origin, offset), Identifier("app/demo", f"one {offset}"), b"x") for offset in parked]
        dead = [SealedRejection(At(*origin, offset), reason, "field", b"y") for offset, reason in sealed]
        last = max([*parked, *(offset for offset, _ in sealed)])
        assert self.vault.decide(event, snapshot, {origin: last}, parked=waiting, sealed=dead)

    def release(self, event, origin, offsets):
        """Redriven dead letters of `origin` go on."""
        snapshot = self.vault.snapshot(event, [origin])
        assert self.vault.offer(event, origin, snapshot, offsets, sealed=[], strangers=[])
        self.vault.released(event, origin, 1 << 40)


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.vault.close()


def told(decided):
    return [tuple(row) for row in decided.frame.rows()]


def test_only_what_is_new_is_read_in_runs_and_in_order(world):
    assert world.decisions.since(-1, 0).number == -1  # no worker has opened the vault yet
    assert world.decisions.whole().number == -1
    world.open()
    nothing = world.decisions.since(-1, 0)
    assert (nothing.number, told(nothing)) == (-1, [])
    world.decide(GLUCOSE, A, parked=[0, 1, 2, 5], sealed=[(3, Reason.LEAK), (4, Reason.EMPTY)])
    first = world.decisions.since(-1, 0)
    name = ("clinical.glucose", "hospital-a", 0)
    assert told(first) == [
        (*name, 0, 2, "parked", ""),
        (*name, 5, 5, "parked", ""),
        (*name, 3, 3, "sealed", "privacy.leak"),
        (*name, 4, 4, "sealed", "wire.empty"),
    ]
    assert told(world.decisions.since(first.number, first.mark)) == []
    world.decide(SLEEP, B, sealed=[(offset, Reason.UNKNOWN_SCHEMA) for offset in range(2000)])
    second = world.decisions.since(first.number, first.mark)
    assert told(second) == [("lifestyle.sleep", "app-a", 3, 0, 1999, "sealed", "wire.unknown_schema")]
    assert world.vault.redrive(SLEEP, Reason.UNKNOWN_SCHEMA) == 2000
    world.release(SLEEP, B, list(range(5, 10)))
    third = world.decisions.since(second.number, second.mark)
    assert [row[3:] for row in told(third)] == [(0, 1999, "parked", ""), (5, 9, "released", "")]
    assert world.decisions.since(-1, 0).number == third.number
    assert told(world.decisions.since(-1, 0, up_to=first.number)) == told(first)


def test_all_of_it_is_what_the_list_comes_to(world):
    world.open()
    world.decide(GLUCOSE, A, parked=[0, 1, 3], sealed=[(2, Reason.LEAK)])
    world.decide(SLEEP, B, sealed=[(offset, Reason.UNKNOWN_SCHEMA) for offset in range(100)])
    world.vault.redrive(SLEEP, Reason.UNKNOWN_SCHEMA)
    world.release(SLEEP, B, [7, 8])
    now = {}
    since = world.decisions.since(-1, 0)
    for *origin, first, last, place, reason in told(since):
        for offset in range(first, last + 1):
            now[(*origin, offset)] = (place, reason)
    whole = world.decisions.whole()
    assert whole.number == since.number
    assert dict(whole.frame.schema) == DECIDED
    held = {
        (*origin, offset): (place, reason)
        for *origin, first, last, place, reason in told(whole)
        for offset in range(first, last + 1)
    }
    assert held == {key: value for key, value in now.items() if value[0] != "released"}
    assert whole.frame.height == 5  # in runs


def test_a_vault_that_was_restored_is_not_the_one_that_was_read(world, tmp_path):
    world.open()
    world.decide(GLUCOSE, A, parked=[0])
    world.vault.close()
    shutil.copy(world.file, tmp_path / "backup.db")
    world.open()
    world.decide(GLUCOSE, A, parked=[1])
    read = world.decisions.since(-1, 0)
    world.vault.close()
    shutil.copy(tmp_path / "backup.db", world.file)
    world.open()
    assert world.decisions.since(read.number, read.mark) is None
    world.decide(GLUCOSE, A, sealed=[(1, Reason.LEAK)])
    assert world.decisions.since(read.number, read.mark) is None
    assert isinstance(world.decisions.whole().frame, pl.DataFrame)
