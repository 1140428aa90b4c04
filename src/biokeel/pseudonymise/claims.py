"""Claims on files: what of an event that says "a variant file is ready" is believed before the file was checked. Pure.

Nothing of the file itself is: an event that was not let through before waits, sealed, for the verdict of
`biokeel.files`, and goes on or is sealed by that. What the event alone shows to be wrong is known at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from biokeel.contracts.variants import READY
from biokeel.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from biokeel.batch import DecodedBatch
    from biokeel.vault.files import FileVerdict

    Mask = npt.NDArray[np.bool_]

_URI: Final = r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[!-.0-~](?:[ -~]{0,1022}[!-.0-~])?$"
"""Bucket and key, as S3 names them; a key in printable ASCII, and no folder."""
WITHDRAWN: Final = "entered-in-error"
"""Status of an event that takes another back: it claims nothing."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Rows that something is wrong with."""

    rows: Mask
    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Files:
    """What is known of the files of a batch: `landing` is the bucket that sources write; empty: claims are believed.

    `verdicts` by offset, of parked events; null for events that come for the first time.
    """

    landing: str = ""
    verdicts: Mapping[int, FileVerdict] | None = None

    def wrong(self, batch: DecodedBatch) -> list[Claim]:
        """What is wrong with the claims of `batch` as they stand there."""
        if batch.event != READY or not self.landing:
            return []
        own = pl.format("s3://{}/{}/", pl.lit(self.landing), "source_id")
        uri = pl.col("uri").str.contains(_URI) & pl.col("uri").str.starts_with(own)
        counted = pl.col("sample_names").list.len() == pl.col("sample_count")
        wrong = {"uri": ~uri, "sample_count": ~counted}
        found = batch.frame.select(each.fill_null(value=True).alias(name) for name, each in wrong.items())
        return [
            Claim(found["uri"].to_numpy(), Reason.FILE_URI, "uri"),
            Claim(found["sample_count"].to_numpy(), Reason.FILE_SAMPLES, "sample_count"),
        ]

    def unproven(self, batch: DecodedBatch, people: pl.DataFrame) -> list[Claim]:
        """The rows of `batch` whose file is not checked, or is refused."""
        if batch.event != READY or not self.landing:
            return []
        claims = (batch.frame["status"] != WITHDRAWN).fill_null(value=True).to_numpy()
        wrong = [
            self._verdict(offset, participant)
            for offset, participant in zip(batch.raw.offsets.tolist(), people["participant"].to_list(), strict=True)
        ]
        return [
            Claim(claims & np.array([each == why for each in wrong], dtype=np.bool_), *why)
            for why in sorted({each for each in wrong if each is not None})
        ]

    def _verdict(self, offset: int, participant: int | None) -> tuple[Reason, str] | None:
        """Why the event at `offset` cannot go on as an event of `participant`; null where its file is good."""
        verdict = (self.verdicts or {}).get(offset)
        if verdict is None or verdict.participant != participant:  # a file is good with one participant's ID in it
            return Reason.FILE_UNCHECKED, "uri"
        return None if verdict.reason is None else (verdict.reason, verdict.detail)

    def stamped(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Released rows with size, hash and format of the file that stands in the place of the one that was claimed."""
        good = {offset: verdict for offset, verdict in (self.verdicts or {}).items() if verdict.reason is None}
        if not good or frame.is_empty():
            return frame
        values: dict[str, list[int] | list[str]] = {
            "size_bytes": [verdict.size for verdict in good.values()],
            "sha256": [verdict.sha256 for verdict in good.values()],
            "file_format": [verdict.file_format for verdict in good.values()],
        }
        return frame.with_columns(
            pl.col("first_offset")
            .replace_strict(list(good), those, default=pl.col(name), return_dtype=frame.schema[name])
            .alias(name)
            for name, those in values.items()
        )


BELIEVED: Final = Files()
"""Claims are believed."""
