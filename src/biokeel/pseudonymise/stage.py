"""The pure stage: decoded rows and who their persons are in, pseudonymised rows and rejections out.

A row is judged in this order, and the first thing that is wrong with it is its reason: the envelope's form, whether its
source is who it says and may send this, the subject's form, whether its source may speak of that scheme, the times,
leaks, what is wrong with its claim on a file, whether the person is enrolled, has withdrawn, has consented to the
domain, whether its file is checked and good.
A leak comes before the person, so that no parked event holds one.

A value without its field's form does not stop a row: it is withheld. What of it looks like an identifier stops the row.

A row that was let through before is judged by less: it may have landed, so what the rules and its person say since then
does not stop it (`Check.always`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from biokeel.batch import COORDINATES, ENVELOPE, STREAM_RAW, Outcome, PseudonymisedBatch, SealedRejection
from biokeel.contracts.grammars import EVENT_ID
from biokeel.contracts.lint import EARLIEST, LATEST
from biokeel.pseudonymise.claims import BELIEVED
from biokeel.pseudonymise.leaks import find_leaks
from biokeel.reasons import Reason
from biokeel.vault.consent import CONSENT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

    from biokeel.batch import DecodedBatch
    from biokeel.contracts.sources import Register
    from biokeel.pseudonymise.claims import Claim, Files
    from biokeel.pseudonymise.policy import Policy
    from biokeel.vault.event_ids import EventIdCipher

    Mask = npt.NDArray[np.bool_]

FURTHEST_OFFSET: Final = 14 * 60
"""Minutes; no time zone of the world is further from UTC."""


@dataclass(frozen=True, slots=True)
class Gate:
    """What the wall knows beside schemas and people: the register as it is now, the cipher of event ids, and files."""

    register: Callable[[], Register]
    event_ids: EventIdCipher
    files: Files = BELIEVED


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that may be wrong with a row: `wrong` says with which (Boolean, never null), `some` whether with any.

    `always`: rows that were let through before are stopped, too, since they cannot go on without what is checked.
    """

    wrong: pl.Expr
    reason: Reason
    detail: str
    some: pl.Expr
    always: bool

    @classmethod
    def of(cls, wrong: pl.Expr, reason: Reason, detail: str, *, always: bool = False) -> Check:
        """A check of `wrong` (Boolean, null counts as true)."""
        whole = wrong.fill_null(value=True)
        return cls(whole, reason, detail, whole.any(), always)


def _time_range(name: str) -> Check:
    return Check.of(~pl.col(name).is_between(EARLIEST, LATEST), Reason.TIME_RANGE, name)


_ENVELOPE: Final = (
    # Without its form it cannot be turned into a row's id, so it cannot go on.
    Check.of(~pl.col("event_id").str.contains(EVENT_ID), Reason.ENVELOPE, "event_id", always=True),
    # The column is a coordinate from here on.
    Check.of(~pl.col("own"), Reason.NOT_ITS_OWN, "source_id", always=True),
    Check.of(~pl.col("may_send"), Reason.EVENT_NOT_GRANTED, "source_id"),
    # A missing offset is no fault.
    Check.of(
        (pl.col("occurred_offset_minutes").abs() > FURTHEST_OFFSET).fill_null(value=False),
        Reason.ENVELOPE,
        "occurred_offset_minutes",
    ),
    Check.of(~pl.col("valid"), Reason.SUBJECT, "subject_scheme, subject_id", always=True),
    Check.of(~pl.col("may_speak"), Reason.SCHEME_NOT_GRANTED, "subject_scheme"),
    _time_range("occurred_at"),
    _time_range("recorded_at"),
)
_JUDGED: Final = ("event_id", "occurred_offset_minutes", "occurred_at", "recorded_at")
WAITS: Final = frozenset({Reason.NOT_ENROLLED, Reason.FILE_UNCHECKED})
"""Reasons that go by: for its person, or its file, an event waits."""
_NO_ID: Final = "0" * 32
"""In place of the event id of a row that is stopped."""
_PERSON: Final = {
    domain: (
        Check.of(pl.col("participant").is_null(), Reason.NOT_ENROLLED, "subject_id", always=True),
        Check.of(pl.col("withdrawn"), Reason.WITHDRAWN, "person"),
        Check.of((pl.col("consent").fill_null(0) & bit) == 0, Reason.NO_CONSENT, f"domain {domain}"),
    )
    for domain, bit in CONSENT.items()
}


class Verdicts:
    """For each row the first thing that is wrong with it. `decided` marks those that were let through before."""

    def __init__(self, height: int, decided: npt.NDArray[np.bool_] | None = None) -> None:
        self._codes: npt.NDArray[np.int16] = np.zeros(height, dtype=np.int16)
        self._open: npt.NDArray[np.bool_] = np.ones(height, dtype=np.bool_) if decided is None else ~decided
        self._reasons: list[tuple[Reason, str]] = []

    def judge(self, facts: pl.DataFrame, checks: Sequence[Check]) -> None:
        """Reject the rows of `facts` with which one of `checks`, in their order, finds something wrong."""
        some = facts.select(check.some.alias(str(number)) for number, check in enumerate(checks)).row(0)
        for check, found in zip(checks, some, strict=True):
            if found:
                wrong = facts.select(check.wrong).to_series()
                self.reject(wrong.to_numpy(), check.reason, check.detail, always=check.always)

    def reject(self, rows: npt.NDArray[np.bool_], reason: Reason, detail: str, *, always: bool = False) -> None:
        """Reject `rows` that nothing was wrong with so far; those that were let through before only if `always`."""
        rows = rows if always else rows & self._open
        if rows.any():
            self._reasons.append((reason, detail))
            self._codes[rows & (self._codes == 0)] = len(self._reasons)

    def reject_claims(self, claims: Sequence[Claim]) -> None:
        """Reject the rows of `claims` that nothing was wrong with so far."""
        for claim in claims:
            self.reject(claim.rows, claim.reason, claim.detail)

    @property
    def good(self) -> npt.NDArray[np.bool_]:
        """Rows that nothing is wrong with."""
        return np.asarray(self._codes == 0)

    def rejections(self, batch: DecodedBatch) -> list[SealedRejection]:
        """One for each row that something is wrong with."""
        raw = batch.raw
        return [
            SealedRejection(raw.at(row), reason, detail, raw.values[row] or b"")
            for row in np.flatnonzero(self._codes).tolist()
            for reason, detail in [self._reasons[self._codes[row] - 1]]
        ]


@dataclass(frozen=True, slots=True)
class Pseudonymised:
    """What the stage makes of a batch. `withheld` counts by source and field what of the accepted rows was left out."""

    outcome: Outcome[PseudonymisedBatch, list[SealedRejection]]
    withheld: Counter[tuple[str, str]]


def pseudonymise(
    batch: DecodedBatch,
    people: pl.DataFrame,
    policy: Policy,
    gate: Gate,
    decided: npt.NDArray[np.bool_] | None = None,
) -> Pseudonymised:
    """`batch` without what identifies anybody. A rejection for one of `WAITS` is to be parked, any other sealed.

    `people` has `biokeel.vault.known.PERSON` and `valid`, a row for each of the batch's. Rows that `decided` marks
    were let through before (this is a replay): only what they cannot go on without stops them.
    """
    frame = batch.frame
    verdicts = Verdicts(frame.height, decided)
    judge_envelope(batch, people["valid"], gate.register(), verdicts)
    withheld = policy.withhold.apply(frame)
    kept = withheld.kept.hstack(frame.select(policy.coarsened)) if policy.coarsened else withheld.kept
    for leak in find_leaks(withheld.suspects, frame["subject_id"], withheld.codes):
        verdicts.reject(leak.rows, Reason.LEAK, f"{leak.field}: {leak.pattern}")
    verdicts.reject_claims(gate.files.wrong(batch))
    verdicts.judge(people, _PERSON[batch.event.domain])
    verdicts.reject_claims(gate.files.unproven(batch, people))
    good = verdicts.good
    ids = frame["event_id"]
    if not good.all():
        # What is no event id stands in one of these rows, and has no place in the cipher.
        ids = ids.set(pl.Series(~good), _NO_ID)
    accepted = _columns(batch, people, withheld.column(), gate.event_ids.hide(ids)).hstack(kept)
    if not good.all():
        accepted = accepted.filter(pl.Series(good))
    outcome = Outcome(PseudonymisedBatch(batch.event, accepted), verdicts.rejections(batch))
    return Pseudonymised(outcome, _counted(frame["source_id"], withheld.misfits, good))


def _counted(sources: pl.Series, misfits: Mapping[str, Mask], good: Mask) -> Counter[tuple[str, str]]:
    counts: Counter[tuple[str, str]] = Counter()
    for field, wrong in misfits.items():
        for source, count in sources.filter(pl.Series(wrong & good)).value_counts().iter_rows():
            counts[source, field] += count
    return counts


def judge_envelope(batch: DecodedBatch, valid: pl.Series, register: Register, verdicts: Verdicts) -> None:
    """Judge what every event, person events too, begins with. `valid`: whether scheme and subject have their form."""
    frame, raw = batch.frame, batch.raw
    owners = raw.sources
    granted = [(source := register.get(each.source)) is not None and source.may_send(raw.event) for each in raw.origins]
    facts = [
        *(frame[name] for name in _JUDGED),
        valid.alias("valid"),
        (frame["source_id"] == owners).alias("own"),
        pl.Series("may_send", np.array(granted, dtype=np.bool_)[raw.which]),
        may_speak(owners, frame["subject_scheme"], register).alias("may_speak"),
    ]
    verdicts.judge(pl.DataFrame(facts), _ENVELOPE)


def may_speak(owners: pl.Series, schemes: pl.Series, register: Register) -> pl.Series:
    """Whether each of `owners` was granted the scheme beside it (Boolean, never null)."""
    pairs = pl.DataFrame([owners.alias("owner"), schemes.alias("scheme")])
    distinct = pairs.unique()
    granted = [
        (source := register.get(owner)) is not None and source.may_speak_of(scheme or "")
        for owner, scheme in distinct.iter_rows()
    ]
    if all(granted):
        return pl.repeat(True, len(owners), dtype=pl.Boolean, eager=True)
    known = distinct.with_columns(pl.Series("granted", granted))
    return pairs.join(known, on=pairs.columns, how="left", nulls_equal=True, maintain_order="left")["granted"]


def _columns(batch: DecodedBatch, people: pl.DataFrame, withheld: pl.Series, event_ids: pl.Series) -> pl.DataFrame:
    """`ENVELOPE` and `COORDINATES` of every row."""
    offsets, partitions = pl.Series(batch.raw.offsets), pl.Series(batch.raw.partitions)
    columns = {
        **{name: people[name] for name in ("participant", "enrolled_on", "birth_year", "sex")},
        **{name: batch.frame[name] for name in ("source_id", *_JUDGED[1:])},
        "event_id": event_ids,
        "withheld": withheld,
        "stream": pl.Series([STREAM_RAW]).new_from_index(0, len(batch)),
        "raw_partition": partitions,
        "raw_offset": offsets,
        "first_partition": partitions,
        "first_offset": offsets,
    }
    return pl.DataFrame([columns[name].cast(kind).alias(name) for name, kind in (ENVELOPE | COORDINATES).items()])
