"""Who made a block: Ed25519 signatures by the vault zone, which anybody can check who has the public key.

Signed is what the headers of a block say, with the digest of its bytes among them, and the topic and the partition that
it was made for: so a block that is changed, or copied to another place, is not signed. A copy in its own place is, and
is dropped there as a repeat.

The signature stands before every version of the format: whatever a header says, nobody believes it before its
signature was checked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from biokeel.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

HEADER_SIGNATURE: Final = "biokeel-signature"
_OURS: Final = "biokeel-"
_CONTEXT: Final = b"biokeel block"
"""Begins whatever is signed, so that a signature of something else never passes for a block's."""


class Signer:
    """Signs blocks; it exists in the vault zone only. Prints as its public key."""

    def __init__(self, secret: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(secret)

    def __repr__(self) -> str:
        return f"Signer({self.public})"

    @property
    def public(self) -> str:
        """The public key, 64 hexadecimal digits."""
        return self._key.public_key().public_bytes_raw().hex()

    def sign(self, topic: str, partition: int, headers: Mapping[str, bytes]) -> bytes:
        """The signature of a block with `headers`, made for `partition` of `topic`."""
        return self._key.sign(_said(topic, partition, headers))


class PublicKeys:
    """The keys of which a block must have a signature: of any one, so that the vault zone may change its key."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._keys = tuple(Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)) for key in keys)

    @classmethod
    def of_setting(cls, text: str) -> PublicKeys:
        """The keys in BIOKEEL_BLOCK_PUBLIC_KEYS. Raises `SettingsError` where there is none, or one is no key."""
        todo = "Give it the line that biokeel vault block-keys prints in the vault zone."
        keys = [key.strip() for key in text.split(",") if key.strip()]
        if not keys:
            raise SettingsError("Not set: BIOKEEL_BLOCK_PUBLIC_KEYS, so no block can be told from a forged one.", todo)
        try:
            return cls(keys)
        except ValueError:
            raise SettingsError("BIOKEEL_BLOCK_PUBLIC_KEYS holds something that is no public key.", todo) from None

    def have_signed(self, topic: str, partition: int, headers: Mapping[str, bytes]) -> bool:
        """Whether `headers` are signed by one of the keys, for `partition` of `topic`."""
        signature = headers.get(HEADER_SIGNATURE)
        if signature is None:
            return False
        said = _said(topic, partition, headers)
        return any(_is_by(key, signature, said) for key in self._keys)


def _is_by(key: Ed25519PublicKey, signature: bytes, said: bytes) -> bool:
    try:
        key.verify(signature, said)
    except InvalidSignature:
        return False
    return True


def _said(topic: str, partition: int, headers: Mapping[str, bytes]) -> bytes:
    """What is signed, each part after its length, so that no two sets of parts make the same bytes.

    Headers that are not ours (some clients add their own) mean nothing to any reader, and are not signed.
    """
    ours = sorted((name, value) for name, value in headers.items() if _is_signed(name))
    parts = [_CONTEXT, topic.encode(), str(partition).encode()]
    parts += [part for name, value in ours for part in (name.encode(), value or b"")]
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def _is_signed(name: str) -> bool:
    return name.startswith(_OURS) and name != HEADER_SIGNATURE
