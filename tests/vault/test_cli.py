import base64
import json

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from biokeel.cli import vault as group
from biokeel.contracts.ids import encode_id
from biokeel.contracts.signatures import PublicKeys
from biokeel.contracts.topics import Domain
from biokeel.errors import VaultError
from biokeel.settings import Settings
from biokeel.vault.audit import Entry
from biokeel.vault.consent import CONSENT
from biokeel.vault.keys import create_key_file
from biokeel.vault.store import Vault
from biokeel.vault.tables import AUDIT, PARTICIPANT


@pytest.fixture
def vault(tmp_path, monkeypatch):
    create_key_file(tmp_path / "keys")
    monkeypatch.setenv("BIOKEEL_VAULT_URL", f"sqlite:///{tmp_path / 'vault.db'}")
    monkeypatch.setenv("BIOKEEL_VAULT_KEY_FILE", str(tmp_path / "keys"))
    opened = Vault.open(Settings())
    with opened._database.write() as connection:
        opened._audit.append(connection, [Entry("enrol", 1, {}), Entry("link", 1, {})])
    yield opened
    opened.close()


def run(*arguments):
    import typer

    app = typer.Typer()
    group.register(app)
    return CliRunner().invoke(app, ["vault", *arguments])


def test_status_shows_counts_only(vault):
    result = run("status")
    assert result.exit_code == 0
    assert "audit entries" in result.output
    assert "parked events, their person is not enrolled" in result.output
    assert "numbered" not in result.output


def test_a_sound_audit_verifies_and_a_cut_tail_is_found_by_the_kept_head(vault):
    head = run("audit", "head").output.strip()
    assert run("audit", "verify", "--head", head).exit_code == 0
    with vault._database.write() as connection:
        connection.execute(sa.delete(AUDIT).where(AUDIT.c.sequence == 2))
    result = run("audit", "verify", "--head", head)
    assert result.exit_code == 1
    assert "The chain ends at entry 1" in result.output


def test_block_keys_prints_public_halves_as_the_setting_wants_them_and_changes_the_key_in_steps(vault, tmp_path):
    (first,) = run("block-keys").output.split()
    assert PublicKeys.of_setting(first)
    both = run("block-keys", "--prepare").output.strip()
    old, new = both.split(",")
    assert (old, vault.signer.public) == (first, first)
    assert run("block-keys", "--use").output.strip() == f"{new},{old}"
    assert run("block-keys", "--drop").output.strip() == new
    secrets = [entry["key"] for entry in json.loads((tmp_path / "keys").read_text())["blocks"]]
    assert not any(base64.b64decode(secret).hex() in both for secret in secrets)
    with pytest.raises(VaultError, match="one at a time"):
        run_raising("block-keys", "--prepare", "--use")


def run_raising(*arguments):
    result = run(*arguments)
    assert result.exception is not None
    raise result.exception


def test_stopped_writes_who_has_withdrawn_or_consents_no_more_and_whom_they_were_merged_from(vault, tmp_path):
    people = [
        {"participant": 1, "consent": CONSENT[Domain.CLINICAL]},
        {"participant": 2, "consent": CONSENT[Domain.LIFESTYLE]},
        {"participant": 3, "consent": CONSENT[Domain.CLINICAL], "withdrawal": "further_collection"},
        {"participant": 4, "consent": CONSENT[Domain.CLINICAL], "merged_into": 5},
        {"participant": 5, "consent": CONSENT[Domain.CLINICAL], "merged_into": 3},
        {"participant": 6, "consent": None},
    ]
    with vault._database.write() as connection:
        for each in people:
            connection.execute(sa.insert(PARTICIPANT).values(**each))
    to = tmp_path / "stopped.txt"
    result = run("stopped", "clinical.glucose", "--to", str(to))
    assert result.exit_code == 0, result.output
    assert to.read_text().split() == [encode_id(number) for number in (2, 3, 4, 5, 6)]
    assert "5 participants" in result.output
    assert run("stopped", "clinical.glucose", "--to", str(to)).exit_code == 2, "nothing is written over"
