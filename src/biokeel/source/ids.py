"""Event ids: the same record of the same source always has the same one, and it tells nothing about the person.

An event id passes the privacy wall as it is. A plain hash of "account number and date" could be undone by trying all
account numbers, so ids are keyed with a secret that never leaves the source.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Final

from biokeel.contracts.topics import EventType
from biokeel.errors import SourceError

KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True, repr=False)
class EventIds:
    """Makes the event ids of one source. `key` is the source's secret, up to 64 bytes; empty for none."""

    source_id: str
    key: bytes = b""

    def of(self, event: EventType, record_key: str) -> str:
        """The id of the record that the source itself calls `record_key`: 32 lower-case hexadecimal digits."""
        return self.digest(str(event), record_key).hex()

    def of_many(self, event: EventType, record_keys: Iterable[str]) -> list[str]:
        """`of` for each of many records of one type, in half the time: what they share is digested once."""
        return [found.hex() for found in self.digests(str(event), record_keys)]

    def digest(self, *words: str) -> bytes:
        """16 bytes that stand for `words` of this source, and tell nothing of them without its secret."""
        text = "\x1f".join((self.source_id, *words))
        return blake2b(text.encode(), digest_size=16, key=self.key).digest()

    def digests(self, word: str, others: Iterable[str]) -> list[bytes]:
        """`digest` of `word` and each of `others`; what they share is digested once."""
        begun = blake2b(f"{self.source_id}\x1f{word}\x1f".encode(), digest_size=16, key=self.key)
        found: list[bytes] = []
        for other in others:
            one = begun.copy()
            one.update(other.encode())
            found.append(one.digest())
        return found


def source_key(path: Path, *, make: bool = True) -> bytes:
    """The source's secret in `path`, made (mode 0600) where there is none; without `make` one that is kept nowhere.

    Whoever re-sends a file from another machine copies the secret there first: else its events get new ids. Raises
    `SourceError` where the file is no such secret.
    """
    if not make and not path.exists():
        return secrets.token_bytes(KEY_BYTES)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        pass
    except OSError as error:
        raise SourceError(f"Cannot make the source's key {path}: {error.strerror}.") from None
    else:
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(KEY_BYTES))
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise SourceError(f"{path} is not a source's key.", f"It must hold {2 * KEY_BYTES} hexadecimal digits.")
    return key
