import pytest
import sqlalchemy as sa

from biokeel.errors import VaultError
from biokeel.vault.audit import Audit, AuditHead, Entry
from biokeel.vault.database import Database
from biokeel.vault.keys import Key
from biokeel.vault.tables import AUDIT, METADATA


@pytest.fixture
def chain(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'audit.db'}")
    audit = Audit(Key.new())
    with database.write() as connection:
        METADATA.create_all(connection)
        audit.append(connection, [Entry("enrol", 1, {"n": n}) for n in range(3)])
    with database.write() as connection:
        audit.append(connection, [Entry("withdraw", None, {"n": n}) for n in range(3)])
    yield database, audit
    database.close()


def faults(chain, *statements, head=None):
    database, audit = chain
    with database.write() as connection:
        for statement in statements:
            connection.execute(statement)
    with database.read() as connection:
        return audit.verify(connection, head).faults


def head_of(chain):
    database, audit = chain
    with database.read() as connection:
        return audit.head(connection)


def test_an_untouched_chain_is_sound_and_its_head_survives_its_text(chain):
    head = head_of(chain)
    assert head.sequence == 6
    assert AuditHead.parse(str(head)) == head
    assert faults(chain, head=head) == ()


@pytest.mark.parametrize(
    "values", [{"participant": 2}, {"detail": "{}"}, {"at": 1}, {"action": "link"}, {"mac": b"x" * 32}]
)
def test_an_edit_is_found(chain, values):
    found = faults(chain, sa.update(AUDIT).where(AUDIT.c.sequence == 4).values(**values))
    assert any("Entry 4" in fault for fault in found)


def test_a_deletion_is_found(chain):
    assert "Entries 3 to 3 are missing." in faults(chain, sa.delete(AUDIT).where(AUDIT.c.sequence == 3))


def test_a_swap_is_found(chain):
    def move(old, new):
        return sa.update(AUDIT).where(AUDIT.c.sequence == old).values(sequence=new)

    found = faults(chain, move(2, 99), move(3, 2), move(99, 3))
    assert any("Entry 2" in fault for fault in found)
    assert any("Entry 3" in fault for fault in found)


def test_a_deletion_with_everything_after_it_renumbered_is_found(chain):
    moves = [sa.update(AUDIT).where(AUDIT.c.sequence == n).values(sequence=n - 1) for n in (4, 5, 6)]
    assert faults(chain, sa.delete(AUDIT).where(AUDIT.c.sequence == 3), *moves)


def test_a_cut_tail_is_found_by_a_head_that_was_kept_and_only_by_it(chain):
    head = head_of(chain)
    cut = sa.delete(AUDIT).where(AUDIT.c.sequence >= 5)
    assert faults(chain, cut) == ()
    assert faults(chain, head=head) == ("The chain ends at entry 4; the head that was kept is 6.",)


def test_a_chain_that_grew_is_sound_for_an_older_head_and_another_chain_is_not(chain):
    database, audit = chain
    head = head_of(chain)
    with database.write() as connection:
        audit.append(connection, [Entry("merge", 1, {})])
    assert faults(chain, head=head) == ()
    assert faults(chain, head=AuditHead(6, bytes(32)))


def test_what_is_no_head_is_refused():
    with pytest.raises(VaultError, match="not the head"):
        AuditHead.parse("twelve")
