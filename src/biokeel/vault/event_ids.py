"""Event ids outside of the vault zone: the source's under a keyed permutation, which the vault alone can turn back.

A source chooses its ids freely. As they are, a number of somebody's could stand in one, and whoever sent an event would
find its row, and with it the person's others. Sixteen bytes are one block of AES, so the id of a row is the block that
the source's becomes under a key that never leaves the vault zone. The same id becomes the same block for ever, so
repeats and corrections are known as before; two ids never become one. The key is never changed: with another one
nothing that is sent again would be known.
"""

from __future__ import annotations

from binascii import hexlify, unhexlify
from typing import TYPE_CHECKING, Final, cast

import numpy as np
import polars as pl
import pyarrow as pa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from biokeel.contracts.grammars import EVENT_ID
from biokeel.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Callable

    from biokeel.vault.keys import Key

_DIGITS: Final = 32


class EventIdCipher:
    """Turns the event ids of sources into those of rows, and back."""

    def __init__(self, key: Key) -> None:
        # Blocks of one each, none twice but for the same id: what the mode hides elsewhere is wanted here.
        self._cipher = Cipher(algorithms.AES(key.secret), modes.ECB())  # noqa: S305

    def __repr__(self) -> str:
        return "EventIdCipher(**********)"

    def hide(self, ids: pl.Series) -> pl.Series:
        """The ids of rows for the `ids` of sources (32 lower-case hexadecimal digits each, no null)."""
        return _mapped(ids, self._cipher.encryptor().update)

    def show(self, ids: pl.Series) -> pl.Series:
        """The other way round, for ids of the same form."""
        return _mapped(ids, self._cipher.decryptor().update)


def require_ids(ids: pl.Series) -> pl.Series:
    """`ids`, if all of them have the form of one. Raises `ContractError` otherwise."""
    if not ids.str.contains(EVENT_ID).fill_null(value=False).all():
        raise ContractError("This is not an event id.", "It has 32 lower-case hexadecimal digits.")
    return ids


def _mapped(ids: pl.Series, blocks: Callable[[bytes], bytes]) -> pl.Series:
    array = cast("pa.LargeStringArray", ids.to_arrow(compat_level=pl.CompatLevel.oldest()))
    _, _, data = array.buffers()
    if data is None or not len(array):
        return ids
    digits = memoryview(data)[array.offset * _DIGITS : (array.offset + len(array)) * _DIGITS]
    mapped = hexlify(blocks(unhexlify(digits)))
    offsets = np.arange(0, (len(array) + 1) * _DIGITS, _DIGITS, dtype=np.int64)
    text = pa.LargeStringArray.from_buffers(len(array), pa.py_buffer(offsets.data), pa.py_buffer(mapped))
    return cast("pl.Series", pl.from_arrow(text)).alias(ids.name)
