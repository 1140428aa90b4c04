"""The vault's keys: in a file outside of the database, so that neither alone says who is who.

| key | for | rotation |
| --- | --- | --- |
| look-up | HMAC-SHA256 of identifiers | first of the list writes, all read; re-indexed on sight |
| sealing | AES-256-GCM of parked events and dead letters | first of the list seals, all open |
| audit | HMAC-SHA256 chain of the audit | never: a chain is one key's |
| event ids | AES-256 of the event ids that leave the vault zone | never: what is sent again is known by its id |
| blocks | Ed25519 signatures of blocks | first of the list signs; `curate` is given the public halves |

A key prints as its id only. The public halves of the keys for blocks are no secret: `public_keys`.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import stat
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from biokeel.contracts.signatures import Signer
from biokeel.errors import VaultKeyError

if TYPE_CHECKING:
    from pathlib import Path

_FORMAT: Final = 2
_BYTES: Final = 32


@dataclass(frozen=True, slots=True, repr=False)
class Key:
    """One key of 32 bytes; `id` (8 hexadecimal digits) is written beside whatever the key made."""

    id: str
    secret: bytes

    def __repr__(self) -> str:
        return f"Key({self.id}, **********)"

    __str__ = __repr__

    @classmethod
    def new(cls) -> Key:
        """A fresh random key."""
        return cls(secrets.token_hex(4), secrets.token_bytes(_BYTES))


@dataclass(frozen=True, slots=True)
class Keys:
    """All keys of a vault; of `lookup`, `sealing` and `blocks` the first is the current one, the others are older.

    `next_block` is a key for blocks that signs nothing yet: those who read blocks are given its public half first.
    """

    lookup: tuple[Key, ...]
    sealing: tuple[Key, ...]
    audit: Key
    event_ids: Key
    blocks: tuple[Key, ...]
    next_block: Key | None = None

    @classmethod
    def new(cls) -> Keys:
        """Fresh random keys."""
        return cls((Key.new(),), (Key.new(),), Key.new(), Key.new(), (Key.new(),))

    @property
    def signer(self) -> Signer:
        """What signs blocks."""
        return Signer(self.blocks[0].secret)

    @property
    def public_keys(self) -> tuple[str, ...]:
        """The public halves of all keys for blocks: of the one that signs, then of older ones, then of the next."""
        following = () if self.next_block is None else (self.next_block,)
        return tuple(Signer(key.secret).public for key in (*self.blocks, *following))


def create_key_file(path: Path) -> Keys:
    """Write fresh keys to `path`, which must not exist, with mode 0600, and return them.

    Raises `VaultKeyError` where the file exists: overwriting keys would make a vault unreadable for ever. A process
    that dies in here leaves an empty or short file, which `load_key_file` refuses; no vault was opened with it yet, so
    it may be removed.
    """
    keys = Keys.new()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise VaultKeyError(f"The key file {path} exists already.", "Keys are never overwritten; keep it.") from None
    except OSError as error:
        raise VaultKeyError(f"Cannot create the key file {path}: {error.strerror}.") from None
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(_text(keys))
        file.flush()
        os.fsync(file.fileno())
    return keys


def rotate_key_file(path: Path) -> Keys:
    """Put a fresh look-up and a fresh sealing key first in the key file; the older ones stay for reading.

    Stop every worker of the vault zone first and start them again afterwards: a worker that does not know the new
    look-up key could not find who is enrolled under it. The key for blocks stays: `prepare_block_key`.
    """
    old = load_key_file(path)
    return _replace(path, replace(old, lookup=(Key.new(), *old.lookup), sealing=(Key.new(), *old.sealing)))


def prepare_block_key(path: Path) -> Keys:
    """Add the next key for blocks to the key file, where it has none; it signs nothing before `use_block_key`.

    In between, every `curate` worker is given its public half: or it would leave out what the key signs.
    """
    old = load_key_file(path)
    return old if old.next_block else _replace(path, replace(old, next_block=Key.new()))


def use_block_key(path: Path) -> Keys:
    """Let the next key for blocks sign, from the next start of each worker; the older stay beside it.

    Raises `VaultKeyError` where none is prepared.
    """
    old = load_key_file(path)
    if old.next_block is None:
        raise VaultKeyError("No next key for blocks is prepared.", "Run: biokeel vault block-keys --prepare")
    return _replace(path, replace(old, blocks=(old.next_block, *old.blocks), next_block=None))


def drop_block_keys(path: Path) -> Keys:
    """Forget the older keys for blocks."""
    old = load_key_file(path)
    return _replace(path, replace(old, blocks=old.blocks[:1]))


def _replace(path: Path, keys: Keys) -> Keys:
    """Put `keys` in the place of those in the key file.

    A process that dies in here leaves the old file: the new one is written beside it and takes its place in one step.
    """
    beside = path.with_name(path.name + ".new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(_text(keys))
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    return keys


def load_key_file(path: Path) -> Keys:
    """The keys in `path`. Raises `VaultKeyError` where it is missing, malformed, or open to other users."""
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        raise VaultKeyError(f"Cannot read the key file {path}.", "Set BIOKEEL_VAULT_KEY_FILE.") from None
    if stat.S_IMODE(mode) & 0o077:
        raise VaultKeyError(f"The key file {path} is open to other users.", f"Run: chmod 600 {path}")
    try:
        return _keys(json.loads(text))
    except (ValueError, KeyError, TypeError):
        raise VaultKeyError(f"{path} is not a key file.", "Restore it from its backup.") from None


def _text(keys: Keys) -> str:
    def entry(key: Key) -> dict[str, str]:
        return {"id": key.id, "key": base64.b64encode(key.secret).decode()}

    content = {
        "format": _FORMAT,
        "lookup": [entry(key) for key in keys.lookup],
        "sealing": [entry(key) for key in keys.sealing],
        "audit": entry(keys.audit),
        "event_ids": entry(keys.event_ids),
        "blocks": [entry(key) for key in keys.blocks],
        "next_block": entry(keys.next_block) if keys.next_block else None,
    }
    return json.dumps(content, indent=1) + "\n"


def _keys(content: Any) -> Keys:  # what JSON holds
    lookup, sealing, blocks = (tuple(map(_key, content[name])) for name in ("lookup", "sealing", "blocks"))
    following = None if content["next_block"] is None else _key(content["next_block"])
    keys = Keys(lookup, sealing, _key(content["audit"]), _key(content["event_ids"]), blocks, following)
    if content["format"] != _FORMAT or not (lookup and sealing and blocks):
        raise ValueError
    return keys


def _key(entry: Any) -> Key:  # what JSON holds
    key = Key(str(entry["id"]), base64.b64decode(entry["key"], validate=True))
    if len(key.secret) != _BYTES or len(bytes.fromhex(key.id)) != 4:
        raise ValueError
    return key
