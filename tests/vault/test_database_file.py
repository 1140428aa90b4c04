"""The vault's file: who may read it, and what it says in clear while the vault works."""

import pytest

from biokeel.errors import VaultUnavailable
from biokeel.vault.database import Database
from tests.pseudonymise.conftest import World


def test_a_vault_whose_file_others_may_read_is_not_opened(tmp_path):
    (tmp_path / "vault.db").touch(mode=0o644)
    with pytest.raises(VaultUnavailable, match="chmod 600"):
        Database(f"sqlite:///{tmp_path / 'vault.db'}")


def test_neither_the_database_nor_its_log_holds_an_identifier_in_clear_while_the_vault_is_open(tmp_path):
    world = World(tmp_path)
    wall = world.wall()
    more = {"name": "Gildong Hongbird", "phone": "010-7731-0042", "address": "서울특별시 종로구 1"}
    world.enrol(wall, "MRN-77310042", identifiers=[{"scheme": "KR_RRN", "value": "8503152773104"}], **more)
    wall.process(world.glucose("MRN-77310043", "MRN-77310042", code="850315-2773104"))
    wall.process(world.glucose("MRN-77310043"))
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir() if not path.name.endswith(".keys")}
    modes = {path.stat().st_mode & 0o077 for path in tmp_path.iterdir()}
    assert wall._vault.status().parked["waiting"] == 1
    world.close()
    assert "vault.db-wal" in files
    assert modes == {0}
    clear = ("77310042", "77310043", "Hongbird", "010-7731", "종로구", "8503152773104", "850315-2773104")
    assert [name for name, content in files.items() if any(text.encode() in content for text in clear)] == []
