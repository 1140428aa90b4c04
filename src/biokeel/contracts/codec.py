"""Framed Avro datums to columns and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from biokeel.batch import DecodedBatch, Outcome, RawBatch, SealedRejection

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from biokeel.contracts.catalogue import Catalogue
    from biokeel.contracts.topics import EventType


class Codec:
    """Decodes raw micro-batches into the reader schema's columns, and encodes frames. One for each worker.

    `max_event_bytes`: a message above it is rejected, not decoded.
    """

    def __init__(self, catalogue: Catalogue, max_event_bytes: int) -> None:
        raise NotImplementedError

    def decode(self, batch: RawBatch) -> Outcome[DecodedBatch, list[SealedRejection]]:
        """Every event of `batch` either as a row of the reader schema or as a rejection with its reason.

        Rows keep the order of their offsets. Raises `ContractError` only when the catalogue cannot be asked.
        """
        raise NotImplementedError

    def encode(self, event: EventType, frame: pl.DataFrame) -> pa.BinaryArray:
        """One framed datum a row, written with the current schema of `event`.

        `frame` has the schema's columns in any order; a nullable or defaulted column may be missing. Raises
        `ContractError` naming the column that is missing, unknown, of another type or null where it may not be.
        """
        raise NotImplementedError
