"""The privacy wall: raw batches in, pseudonymised batches out, the rest sealed. Signatures first; being filled."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from biokeel.batch import DecodedBatch, Outcome, PseudonymisedBatch, RawBatch, SealedRejection
    from biokeel.contracts.schema import EventSchema
    from biokeel.contracts.topics import EventType
    from biokeel.reasons import Reason
    from biokeel.vault.store import Vault


class Decodes(Protocol):
    """What the wall needs of `biokeel.contracts.codec.Codec`."""

    def decode(self, batch: RawBatch) -> Outcome[DecodedBatch, list[SealedRejection]]:
        """Decode a batch; what cannot be decoded is rejected row by row."""
        ...


@dataclass(frozen=True, slots=True)
class WallResult:
    """What became of a raw batch: `batch` goes on; `counts` of newly sealed events; newly parked; newly applied."""

    batch: PseudonymisedBatch | None
    counts: dict[Reason, int] = field(default_factory=dict)
    parked: int = 0
    applied: int = 0


class Wall:
    """Everything between a raw batch and a pseudonymised one, without Kafka. One thread at a time."""

    def __init__(
        self,
        codec: Decodes,
        vault: Vault,
        schemas: dict[EventType, EventSchema],
        unknown_person: Literal["park", "create"] = "park",
    ) -> None:
        self._codec = codec
        self._vault = vault
        self._schemas = schemas
        self._unknown_person = unknown_person

    def process(self, batch: RawBatch) -> WallResult:
        """Decode, look up, pseudonymise, park and seal; person events are applied (then `batch` is None).

        Whatever does not go on is durable in the vault before this returns.
        """
        raise NotImplementedError

    def releases(self, event: EventType, partition: int, limit: int) -> PseudonymisedBatch | None:
        """Up to `limit` parked events whose person has come, in stream "parking"; None when there are none.

        Call again after `released`; not marked, the same events come again with the same release numbers.
        """
        raise NotImplementedError

    def released(self, event: EventType, partition: int, up_to_release_number: int) -> None:
        """Mark releases as safely in Kafka (after its flush)."""
        raise NotImplementedError
