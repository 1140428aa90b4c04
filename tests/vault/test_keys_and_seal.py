import pytest

from biokeel.batch import At
from biokeel.contracts.topics import event_type
from biokeel.errors import SealError, VaultKeyError
from biokeel.settings import Settings
from biokeel.vault.keys import (
    Keys,
    create_key_file,
    drop_block_keys,
    load_key_file,
    prepare_block_key,
    rotate_key_file,
    use_block_key,
)
from biokeel.vault.seal import Sealer
from biokeel.vault.store import Vault

EVENT, AT = event_type("clinical.glucose"), At("app-a", 1, 2)


def test_a_key_file_is_private_comes_back_and_is_never_overwritten(tmp_path):
    path = tmp_path / "keys"
    keys = create_key_file(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_key_file(path) == keys
    with pytest.raises(VaultKeyError, match="exists already"):
        create_key_file(path)


def test_a_key_never_prints_its_secret():
    key = Keys.new().lookup[0]
    for text in (repr(key), str(key), f"{key}", repr(Keys((key,), (key,), key, key, (key,)))):
        assert "*****" in text
        assert repr(key.secret)[2:-1] not in text
        assert key.secret.hex() not in text


def test_a_key_file_that_others_may_read_is_refused(tmp_path):
    create_key_file(tmp_path / "keys")
    (tmp_path / "keys").chmod(0o640)
    with pytest.raises(VaultKeyError, match="open to other users"):
        load_key_file(tmp_path / "keys")


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 2}', "not json"])
def test_what_is_no_key_file_is_refused(tmp_path, text):
    (tmp_path / "keys").write_text(text)
    (tmp_path / "keys").chmod(0o600)
    with pytest.raises(VaultKeyError, match="not a key file"):
        load_key_file(tmp_path / "keys")


def test_rotation_puts_new_keys_first_and_keeps_the_old_ones(tmp_path):
    old = create_key_file(tmp_path / "keys")
    new = rotate_key_file(tmp_path / "keys")
    assert new == load_key_file(tmp_path / "keys")
    assert (new.lookup[1:], new.sealing[1:], new.audit) == (old.lookup, old.sealing, old.audit)
    assert new.blocks == old.blocks
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o600


def test_a_key_for_blocks_is_listed_before_it_signs_and_older_ones_stay_until_they_are_dropped(tmp_path):
    path = tmp_path / "keys"
    old = create_key_file(path)
    with pytest.raises(VaultKeyError, match="prepare"):
        use_block_key(path)
    prepared = prepare_block_key(path)
    assert prepare_block_key(path) == prepared, "there is one next key"
    assert (prepared.signer.public, prepared.public_keys[0]) == (old.signer.public, old.signer.public)
    used = use_block_key(path)
    assert used == load_key_file(path)
    assert used.signer.public == prepared.public_keys[1]
    assert set(used.public_keys) == set(prepared.public_keys)
    assert drop_block_keys(path).public_keys == used.public_keys[:1]
    assert (path.stat().st_mode & 0o777, used.lookup, used.sealing, used.audit) == (
        0o600,
        old.lookup,
        old.sealing,
        old.audit,
    )


def test_what_is_sealed_opens_only_at_its_own_coordinates_and_unchanged():
    sealer = Sealer(Keys.new().sealing)
    sealed = sealer.seal(b"payload", EVENT, AT)
    assert b"payload" not in sealed
    assert sealer.open(sealed, EVENT, AT) == b"payload"
    elsewhere = (At("app-b", 1, 2), At("app-a", 2, 2), At("app-a", 1, 3))
    for event, at in ((event_type("lifestyle.diet"), AT), *((EVENT, at) for at in elsewhere)):
        with pytest.raises(SealError, match="does not open"):
            sealer.open(sealed, event, at)
    for place in range(4, len(sealed)):
        changed = sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :]
        with pytest.raises(SealError):
            sealer.open(changed, EVENT, AT)


def test_what_an_older_key_sealed_opens_after_rotation(tmp_path):
    old = create_key_file(tmp_path / "keys")
    sealed = Sealer(old.sealing).seal(b"payload", EVENT, AT)
    assert Sealer(rotate_key_file(tmp_path / "keys").sealing).open(sealed, EVENT, AT) == b"payload"
    with pytest.raises(SealError, match="not in the key file"):
        Sealer(Keys.new().sealing).open(sealed, EVENT, AT)


def test_a_vault_refuses_the_keys_of_another_and_its_file_is_private(tmp_path):
    create_key_file(tmp_path / "a")
    create_key_file(tmp_path / "b")
    url = f"sqlite:///{tmp_path / 'vault.db'}"
    Vault.open(Settings(vault_url=url, vault_key_file=tmp_path / "a")).close()
    assert (tmp_path / "vault.db").stat().st_mode & 0o777 == 0o600
    with pytest.raises(VaultKeyError, match="not the one of this vault"):
        Vault.open(Settings(vault_url=url, vault_key_file=tmp_path / "b"))
