"""The audit: who was changed, when and by which event, in an HMAC chain with sequence numbers.

Each entry's code is over the code of the entry before it and the entry itself, so an edit, a deletion and a swap are
found. A cut tail leaves a shorter sound chain: it is found by a head (`AuditHead`) that was kept elsewhere.
Entries are written in the very transaction that changes people, so that there is never one without the other.
"""

from __future__ import annotations

import hmac
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from biokeel.errors import VaultError
from biokeel.vault.tables import AUDIT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from biokeel.vault.keys import Key

_GENESIS: Final = bytes(32)


@dataclass(frozen=True, slots=True)
class Entry:
    """One act. `detail` holds coordinates, schemes and scopes: never an identifier."""

    action: str
    participant: int | None
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class AuditHead:
    """The last entry of the chain at some time; its text may be kept anywhere, it tells nothing."""

    sequence: int
    mac: bytes

    def __str__(self) -> str:
        return f"{self.sequence}:{self.mac.hex()}"

    @classmethod
    def parse(cls, text: str) -> AuditHead:
        """The head that `str` wrote. Raises `VaultError`."""
        sequence, _, mac = text.strip().partition(":")
        try:
            return cls(int(sequence), bytes.fromhex(mac))
        except ValueError:
            raise VaultError(
                "This is not the head of an audit.", "Heads look like 12:<64 hexadecimal digits>."
            ) from None


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What verification found: `faults` is empty where all is well."""

    entries: int
    head: AuditHead
    faults: tuple[str, ...]


class Audit:
    """The chain under one key."""

    def __init__(self, key: Key) -> None:
        self._key = key

    def append(self, connection: sa.Connection, entries: Sequence[Entry]) -> None:
        """Add `entries` in the caller's transaction, which must be exclusive (`Database.write()`)."""
        if not entries:
            return
        head = self.head(connection)
        at = time.time_ns() // 1_000_000
        sequence, mac = head.sequence, head.mac
        rows = []
        for entry in entries:
            sequence += 1
            detail = json.dumps(entry.detail, sort_keys=True, separators=(",", ":"))
            mac = self._mac(mac, (sequence, at, entry.action, entry.participant, detail))
            rows.append(
                {
                    "sequence": sequence,
                    "at": at,
                    "action": entry.action,
                    "participant": entry.participant,
                    "detail": detail,
                    "mac": mac,
                }
            )
        connection.execute(sa.insert(AUDIT), rows)

    def head(self, connection: sa.Connection) -> AuditHead:
        """The last entry; sequence 0 where there is none yet."""
        row = connection.execute(
            sa.select(AUDIT.c.sequence, AUDIT.c.mac).order_by(AUDIT.c.sequence.desc()).limit(1)
        ).first()
        return AuditHead(row.sequence, row.mac) if row else AuditHead(0, _GENESIS)

    def verify(self, connection: sa.Connection, kept: AuditHead | None = None) -> AuditReport:
        """Walk the whole chain; `kept` is a head from elsewhere, which must still be in it."""
        faults: list[str] = []
        expected, mac, entries, kept_mac = 1, _GENESIS, 0, None
        rows = connection.execution_options(yield_per=10_000).execute(sa.select(AUDIT).order_by(AUDIT.c.sequence))
        for row in rows:
            entries += 1
            if row.sequence != expected:
                faults.append(f"Entries {expected} to {row.sequence - 1} are missing.")
            elif not hmac.compare_digest(
                self._mac(mac, (row.sequence, row.at, row.action, row.participant, row.detail)), row.mac
            ):
                faults.append(f"Entry {row.sequence} is not what was written, or not where it was written.")
            # Go on from what stands there, so that one edit is one fault and not all that follow.
            expected, mac = row.sequence + 1, row.mac
            if kept is not None and row.sequence == kept.sequence:
                kept_mac = row.mac
        if kept is not None and kept.sequence > 0:
            if kept_mac is None:
                faults.append(f"The chain ends at entry {expected - 1}; the head that was kept is {kept.sequence}.")
            elif not hmac.compare_digest(kept_mac, kept.mac):
                faults.append(f"Entry {kept.sequence} is not the one whose head was kept.")
        return AuditReport(entries, AuditHead(expected - 1, mac), tuple(faults))

    def _mac(self, before: bytes, entry: tuple[int, int, str, int | None, str]) -> bytes:
        body = json.dumps(entry, separators=(",", ":")).encode()
        return hmac.digest(self._key.secret, before + body, "sha256")
