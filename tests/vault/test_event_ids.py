"""Event ids outside of the vault zone: the same for the same, another for another, and nobody else's to read."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biokeel.errors import ContractError, VaultKeyError
from biokeel.settings import Settings
from biokeel.vault.event_ids import EventIdCipher
from biokeel.vault.keys import Key, create_key_file, load_key_file, rotate_key_file
from biokeel.vault.store import Vault

IDS = st.lists(st.binary(min_size=16, max_size=16).map(bytes.hex), max_size=40)
KEY = Key.new()


@given(IDS)
def test_what_is_hidden_is_shown_again_and_has_the_form_of_an_event_id(ids):
    cipher = EventIdCipher(KEY)
    hidden = cipher.hide(pl.Series("event_id", ids, dtype=pl.String))
    assert hidden.name == "event_id"
    assert hidden.str.contains("^[0-9a-f]{32}$").all()
    assert cipher.show(hidden).to_list() == ids
    assert len({*hidden}) == len({*ids})


@given(IDS, st.data())
def test_an_id_becomes_the_same_in_any_batch_and_slice_and_another_under_another_key(ids, data):
    cipher = EventIdCipher(KEY)
    whole = pl.Series(ids, dtype=pl.String)
    start = data.draw(st.integers(0, len(ids)))
    assert cipher.hide(whole[start:]).to_list() == cipher.hide(whole).to_list()[start:]
    order = data.draw(st.permutations(range(len(ids))))
    assert cipher.hide(whole.gather(order)).to_list() == [cipher.hide(whole)[at] for at in order]
    if ids:
        assert EventIdCipher(Key.new()).hide(whole).to_list() != cipher.hide(whole).to_list()


def test_no_digit_of_a_number_that_was_written_as_an_id_is_left():
    ids = ["6808222354501".zfill(32), "36383038323232333534353031000000"]
    for hidden in EventIdCipher(KEY).hide(pl.Series(ids)):
        assert "680822" not in hidden
        assert "363830" not in hidden


@pytest.fixture
def settings(tmp_path):
    create_key_file(tmp_path / "vault.keys")
    return Settings(vault_url=f"sqlite:///{tmp_path / 'vault.db'}", vault_key_file=tmp_path / "vault.keys")


def test_the_vault_turns_ids_both_ways_and_its_audit_says_so(settings):
    vault = Vault.open(settings)
    ids = pl.Series(["0" * 32, "f" * 32])
    rows = vault.turn_event_ids(ids, to_rows=True)
    assert vault.turn_event_ids(pl.Series(rows), to_rows=False) == ids.to_list()
    assert vault.status().audit_entries == 2
    assert vault.verify_audit().faults == ()
    with pytest.raises(ContractError, match="not an event id"):
        vault.turn_event_ids(pl.Series(["0" * 31]), to_rows=True)
    vault.close()


def test_the_key_of_event_ids_outlives_a_rotation_and_another_one_is_refused(settings, tmp_path):
    vault = Vault.open(settings)
    before = vault.event_ids.hide(pl.Series(["0" * 32])).to_list()
    vault.close()
    rotate_key_file(tmp_path / "vault.keys")
    vault = Vault.open(settings)
    assert vault.event_ids.hide(pl.Series(["0" * 32])).to_list() == before
    vault.close()
    text = (tmp_path / "vault.keys").read_text("ascii")
    keys, other = load_key_file(tmp_path / "vault.keys"), create_key_file(tmp_path / "other.keys")
    swapped = text.replace(*(_written(key.event_ids) for key in (keys, other)))
    (tmp_path / "vault.keys").write_text(swapped, "ascii")
    with pytest.raises(VaultKeyError, match="not the one of this vault"):
        Vault.open(settings)


def _written(key):
    import base64

    return base64.b64encode(key.secret).decode()
