"""Which software a source sends with is noted once, by the register's own words, and read by the books."""

import pytest

from biokeel.contracts.clients import Client
from biokeel.contracts.sources import Register
from biokeel.errors import VaultUnavailable
from biokeel.pseudonymise import clients as module
from biokeel.pseudonymise.clients import Clients
from biokeel.vault.database import Database
from biokeel.vault.decisions import Decisions
from tests.registers import source

pytestmark = pytest.mark.usefixtures("each_database")

NAMED = source("hospital-one", software=("biokeel-python/0.2", "export"))
ANY = source("hospital-two")


class Vault:
    def __init__(self):
        self.noted = []
        self.away = False

    def heard(self, of, clients):
        if self.away:
            raise VaultUnavailable("away")
        self.noted += [(of, each) for each in sorted(clients)]


@pytest.fixture
def vault():
    return Vault()


@pytest.fixture
def heard(vault):
    return Clients(vault, lambda: Register([NAMED, ANY])).heard


def test_a_client_is_noted_once_until_it_is_due_again(vault, heard, monkeypatch):
    heard("hospital-one", [b"export/1.2", b"Kim Min-jun/900101-1234567"])
    heard("hospital-one", [b"export/1.2"])
    once = [("hospital-one", Client("", "")), ("hospital-one", Client("export", "1.2"))]
    assert vault.noted == once
    monkeypatch.setattr(module, "NOTED_SECONDS", 0.0)
    heard("hospital-one", [b"export/1.2"])
    assert vault.noted == [*once, once[1]]


def test_nothing_is_noted_of_who_may_use_any_client_or_is_not_registered(vault, heard):
    heard("hospital-two", [b"export/1.2"])
    heard("nobody", [b"export/1.2"])
    assert vault.noted == []


def test_what_the_vault_did_not_take_is_noted_the_next_time(vault, heard):
    vault.away = True
    with pytest.raises(VaultUnavailable):
        heard("hospital-one", [b"export/1.2"])
    vault.away = False
    heard("hospital-one", [b"export/1.2"])
    assert vault.noted == [("hospital-one", Client("export", "1.2"))]


def test_the_books_read_what_was_noted_and_when_last(world):
    vault = world.vault()
    vault.heard("hospital-one", [Client("export", "1.2"), Client("", "")])
    reader = Decisions(Database(str(world.settings.vault_url), read_only=True))
    first = {(of, client): seen for of, client, seen in reader.clients()}
    assert first.keys() == {("hospital-one", Client("export", "1.2")), ("hospital-one", Client("", ""))}
    vault.heard("hospital-one", [Client("export", "1.2")])
    again = {(of, client): seen for of, client, seen in reader.clients()}
    assert again.keys() == first.keys()
    assert all(again[each] >= first[each] for each in first)
    reader.close()
