"""The pure stage: decoded rows and who their persons are in, pseudonymised rows and rejections out.

A row is judged in this order, and the first thing that is wrong with it is its reason: the envelope's form, the
subject's form, the times, leaks, whether the person is enrolled, has withdrawn, has consented to the domain.
A leak comes before the person, so that no parked event holds one.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from biokeel.batch import COORDINATES, ENVELOPE, STREAM_RAW, Outcome, PseudonymisedBatch, SealedRejection
from biokeel.pseudonymise.leaks import find_leaks
from biokeel.reasons import Reason
from biokeel.vault.people import CONSENT

if TYPE_CHECKING:
    import numpy.typing as npt

    from biokeel.batch import DecodedBatch
    from biokeel.pseudonymise.policy import Policy

EVENT_ID: Final = r"^[0-9a-f]{32}$"
"""What the SDK derives from the source's record key; nothing else fits, so that it cannot carry a number."""
SOURCE_ID: Final = r"^[a-z0-9][a-z0-9./-]{0,63}$"
EARLIEST: Final = dt.datetime(1900, 1, 1, tzinfo=dt.UTC)
LATEST: Final = dt.datetime(2101, 1, 1, tzinfo=dt.UTC)
"""Times lie from `EARLIEST` up to, but not at, `LATEST`."""
FURTHEST_OFFSET: Final = 14 * 60
"""Minutes; no time zone of the world is further from UTC."""

_HASHED: Final = frozenset({"event_id"})


class Verdicts:
    """For each row the first thing that is wrong with it."""

    def __init__(self, height: int) -> None:
        self._codes: npt.NDArray[np.int16] = np.zeros(height, dtype=np.int16)
        self._reasons: list[tuple[Reason, str]] = []

    def reject(self, rows: pl.Series | npt.NDArray[np.bool_], reason: Reason, detail: str) -> None:
        """Reject `rows` (Boolean, null counts as true) that nothing was wrong with so far."""
        mask = rows.fill_null(value=True).to_numpy() if isinstance(rows, pl.Series) else rows
        if mask.any():
            self._reasons.append((reason, detail))
            self._codes[mask & (self._codes == 0)] = len(self._reasons)

    @property
    def good(self) -> npt.NDArray[np.bool_]:
        """Rows that nothing is wrong with."""
        return np.asarray(self._codes == 0)

    def rejections(self, batch: DecodedBatch) -> list[SealedRejection]:
        """One for each row that something is wrong with."""
        raw = batch.raw
        return [
            SealedRejection(int(raw.partitions[row]), int(raw.offsets[row]), reason, detail, raw.values[row] or b"")
            for row in np.flatnonzero(self._codes).tolist()
            for reason, detail in [self._reasons[self._codes[row] - 1]]
        ]


def pseudonymise(
    batch: DecodedBatch, people: pl.DataFrame, policy: Policy, decided: npt.NDArray[np.bool_] | None = None
) -> Outcome[PseudonymisedBatch, list[SealedRejection]]:
    """`batch` without what identifies anybody. A rejection for `NOT_ENROLLED` is to be parked, any other sealed.

    `people` has `biokeel.vault.people.PERSON` and `valid`, a row for each of the batch's. Rows that `decided` marks
    were let through before (this is a replay): what the person decided since then does not stop them.
    Raises `SchemaError` where a field cannot be scanned for leaks.
    """
    frame = batch.frame
    verdicts = Verdicts(frame.height)
    judge_envelope(frame, people["valid"], verdicts)
    kept = frame.select("event_id", "source_id", *policy.kept, *policy.coarsened)
    for leak in find_leaks(kept, frame["subject_id"], _HASHED):
        verdicts.reject(leak.rows, Reason.LEAK, f"{leak.field}: {leak.pattern}")
    verdicts.reject(people["participant"].is_null(), Reason.NOT_ENROLLED, "subject_id")
    open_ = np.ones(frame.height, dtype=np.bool_) if decided is None else ~decided
    verdicts.reject(people["withdrawn"].fill_null(value=True).to_numpy() & open_, Reason.WITHDRAWN, "person")
    refused = (people["consent"].fill_null(0) & CONSENT[batch.event.domain]) == 0
    verdicts.reject(refused.to_numpy() & open_, Reason.NO_CONSENT, f"domain {batch.event.domain}")
    good = verdicts.good
    accepted = _columns(batch, people, kept)
    if not good.all():
        accepted = accepted.filter(pl.Series(good))
    return Outcome(PseudonymisedBatch(batch.event, accepted), verdicts.rejections(batch))


def judge_envelope(frame: pl.DataFrame, valid: pl.Series, verdicts: Verdicts) -> None:
    """Judge what every event, person events too, begins with. `valid`: whether scheme and subject have their form."""
    verdicts.reject(~frame["event_id"].str.contains(EVENT_ID), Reason.ENVELOPE, "event_id")
    sources = frame["source_id"].unique()
    bad = sources.filter(~sources.str.contains(SOURCE_ID))
    if len(bad):
        verdicts.reject(frame["source_id"].is_in(bad.implode()), Reason.ENVELOPE, "source_id")
    offset = frame["occurred_offset_minutes"]
    if offset.null_count() < len(offset):
        # A missing offset is no fault.
        verdicts.reject((offset.abs() > FURTHEST_OFFSET).fill_null(value=False), Reason.ENVELOPE, offset.name)
    verdicts.reject(~valid, Reason.SUBJECT, "subject_scheme, subject_id")
    for name in ("occurred_at", "recorded_at"):
        verdicts.reject(~frame[name].is_between(EARLIEST, LATEST, closed="left"), Reason.TIME_RANGE, name)


def _columns(batch: DecodedBatch, people: pl.DataFrame, kept: pl.DataFrame) -> pl.DataFrame:
    """`ENVELOPE`, `COORDINATES`, then the kept and coarsened fields of every row."""
    offsets = pl.Series(batch.raw.offsets, dtype=pl.Int64)
    partitions = pl.Series(batch.raw.partitions, dtype=pl.Int32)
    frame = pl.DataFrame(
        [
            people["participant"],
            *(batch.frame[name].alias(name) for name in ("event_id", "source_id", "occurred_at")),
            *(batch.frame[name] for name in ("occurred_offset_minutes", "recorded_at")),
            *(people[name] for name in ("enrolled_on", "birth_year", "sex")),
            partitions.alias("raw_partition"),
            offsets.alias("raw_offset"),
            partitions.alias("first_partition"),
            offsets.alias("first_offset"),
        ]
    ).with_columns(stream=pl.lit(STREAM_RAW))
    head = frame.select(pl.col(name).cast(kind) for name, kind in (ENVELOPE | COORDINATES).items())
    return head.hstack(kept.drop("event_id", "source_id"))
