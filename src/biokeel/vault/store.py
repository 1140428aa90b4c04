"""The vault: participants, their identifiers, parked events and dead letters. See the signatures; being filled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

    from biokeel.contracts.topics import EventType
    from biokeel.settings import Settings


@dataclass(frozen=True, slots=True)
class VaultStatus:
    """Counts only."""

    participants: int
    withdrawn: int
    identifiers: int
    parked: dict[str, int]
    sealed: dict[str, int]
    applied: int
    audit_entries: int


class Vault:
    """One process' handle on the vault's database."""

    @classmethod
    def open(cls, settings: Settings) -> Vault:
        """Open (and the first time create) the vault that `settings.vault_url` and `vault_key_file` name."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the database."""
        raise NotImplementedError

    def books(self, event: EventType, partition: int) -> pl.DataFrame:
        """Where events of a raw partition are: `offset` Int64, `place` (parked|released|sealed|applied), `reason`."""
        raise NotImplementedError

    def status(self) -> VaultStatus:
        """Counts of everything, nothing else."""
        raise NotImplementedError
