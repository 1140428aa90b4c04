"""A steward's key: a file that only its owner may read, by which the book knows who submits and who approves."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING, Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from biokeel.admin.private import write_private
from biokeel.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

_TODO: Final = "Set BIOKEEL_STEWARD_KEY_FILE to yours, or make one: biokeel suite steward add NAME."


class StewardKey(NamedTuple):
    """A steward's name and private key (Ed25519); prints as the name."""

    name: str
    key: Ed25519PrivateKey

    def __repr__(self) -> str:
        return f"StewardKey({self.name})"

    @property
    def public(self) -> str:
        """The public half, 64 hexadecimal digits."""
        return self.key.public_key().public_bytes_raw().hex()


def make_key_file(path: Path, name: str) -> StewardKey:
    """The key in `path`, made where there is no such file, with mode 0600.

    A process that dies in here leaves no file or a whole one, and the next run goes on with that one: a key that was
    registered is never lost. Raises `SettingsError` where the file is another steward's or cannot be written.
    """
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    secret = Ed25519PrivateKey.generate().private_bytes_raw().hex()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(beside, json.dumps({"steward": name, "key": secret}) + "\n")
        try:
            os.link(beside, path)
        except FileExistsError:
            pass
        finally:
            beside.unlink()
    except OSError as error:
        raise SettingsError(f"Cannot write the key file {path}: {error.strerror}.") from None
    found = load_key_file(path)
    if found.name != name:
        raise SettingsError(f"{path} is the key of {found.name}.", "Give each steward a file of its own (--key-file).")
    return found


def load_key_file(path: Path | None) -> StewardKey:
    """The key in `path`. Raises `SettingsError` where it is missing, malformed, or open to other users."""
    if path is None:
        raise SettingsError("Not set: BIOKEEL_STEWARD_KEY_FILE, so nobody knows who you are.", _TODO)
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        raise SettingsError(f"Cannot read the key file {path}.", _TODO) from None
    if stat.S_IMODE(mode) & 0o077:
        raise SettingsError(f"The key file {path} is open to other users.", f"Run: chmod 600 {path}")
    try:
        content = json.loads(text)
        secret = bytes.fromhex(content["key"])
        return StewardKey(str(content["steward"]), Ed25519PrivateKey.from_private_bytes(secret))
    except (ValueError, KeyError, TypeError):
        raise SettingsError(f"{path} is not a steward's key file.", "Restore it from its backup.") from None
