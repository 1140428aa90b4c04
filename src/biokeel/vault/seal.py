"""Sealing: AES-256-GCM, bound to where the event stood in its raw topic.

A sealed payload is key id (4 bytes), nonce (12 random bytes), ciphertext with tag. The coordinates are associated data:
a payload that is moved to the row of another event does not open. One key may seal 2**32 payloads (random nonces of 96
bits, NIST SP 800-38D, 8.3); rotate it long before.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from biokeel.errors import SealError

if TYPE_CHECKING:
    from biokeel.batch import At
    from biokeel.contracts.topics import EventType
    from biokeel.vault.keys import Key

_KEY_ID: Final = 4
_NONCE: Final = 12


class Sealer:
    """Seals under the first of `keys`, opens under any of them."""

    def __init__(self, keys: tuple[Key, ...]) -> None:
        self._current = bytes.fromhex(keys[0].id)
        self._ciphers = {bytes.fromhex(key.id): AESGCM(key.secret) for key in keys}

    def seal(self, payload: bytes, event: EventType, at: At) -> bytes:
        """`payload` sealed for these coordinates."""
        nonce = secrets.token_bytes(_NONCE)
        sealed = self._ciphers[self._current].encrypt(nonce, payload, _bound(event, at))
        return self._current + nonce + sealed

    def open(self, sealed: bytes, event: EventType, at: At) -> bytes:
        """The payload again. Raises `SealError` for changed bytes, other coordinates or a key that is not there."""
        cipher = self._ciphers.get(sealed[:_KEY_ID])
        where = f"The sealed event {at.of(event)}"
        if cipher is None:
            raise SealError(f"{where} was sealed with a key that is not in the key file.", "Restore the key file.")
        body = sealed[_KEY_ID:]
        try:
            return cipher.decrypt(body[:_NONCE], body[_NONCE:], _bound(event, at))
        except (InvalidTag, ValueError):
            raise SealError(f"{where} does not open: its bytes or its place were changed.") from None


def _bound(event: EventType, at: At) -> bytes:
    return f"biokeel/2/{at.of(event)}".encode()
