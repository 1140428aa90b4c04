"""New participant numbers: random, so that they say nothing and cannot be computed from an identifier."""

from __future__ import annotations

import secrets

from biokeel.contracts.ids import ID_BITS


def new_participant() -> int:
    """A random number of 60 bits, from the system's cryptographic source.

    Two of 50 million participants get the same number with a chance of about 1 in 1,000; the table's primary key then
    refuses the second, and the replayed enrolment draws again.
    """
    return secrets.randbits(ID_BITS)
