"""Rows to verdicts: repeats dropped, what sources sent again set aside, judged by the suite, linked; poison isolated.

Nothing in here is durable. What a call is told and what it gives (`Standings`) never changes, so one that raised is
repeated from where it began, and one that was in vain leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import polars as pl

from biokeel.batch import ROW, ValidatedBatch
from biokeel.errors import PoisonBatch, describe
from biokeel.link.partitions import rows_by_partition
from biokeel.link.repeats import IDENTITY, identified, remembered, sent_again
from biokeel.link.stage import drop_repeats, link
from biokeel.link.state import Snapshot
from biokeel.poison import guarded
from biokeel.validate.stage import failed, validate

if TYPE_CHECKING:
    from biokeel.batch import PseudonymisedBatch
    from biokeel.engine.runner import StageRunner
    from biokeel.settings import Settings
    from biokeel.validate.suites import Suites

Decided = Callable[[pl.DataFrame], pl.Series]
"""What was decided about each row of a frame of one pseudo partition: `Recovered.decide`."""
Standings = Mapping[int, Snapshot]
"""By pseudo partition, where it stands: what is remembered of it as of its last delivery."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A batch after validate and link: rows that land, rows that are quarantined, and the standings after it."""

    curated: pl.DataFrame
    quarantined: pl.DataFrame
    standings: Standings
    repeats: int


def released(
    rows: PseudonymisedBatch, standing: Snapshot, step: int, remembered_events: int
) -> tuple[pl.DataFrame, Snapshot]:
    """`rows`, which a step of a steward's operation lands, linked; and the standing of their pseudo partition then.

    A source that sends one of them again repeats it from now on.
    """
    (partition,) = rows.frame["pseudo_partition"].unique()
    linked, states = link(ValidatedBatch(rows.event, rows.frame), {partition: standing.state})
    said = rows.frame.drop("suite_version", "warnings", "operation", "earlier_version", strict=False)
    windows = remembered({partition: standing.repeats}, (identified(said),), remembered_events)
    return linked.frame, replace(standing, state=states[partition], repeats=windows[partition], operated=step)


def joined(parts: Sequence[Judged]) -> Judged:
    """One batch of what its parts came to, in their order; the last one's standings hold."""
    if len(parts) == 1:
        return parts[0]
    return Judged(
        pl.concat([part.curated for part in parts], how="diagonal"),
        pl.concat([part.quarantined for part in parts], how="diagonal"),
        parts[-1].standings,
        sum(part.repeats for part in parts),
    )


class Judge:
    """Judges and links batches of any event type, of several pseudo partitions at a time.

    What costs by the call more than by the row, above all `validate`, so is paid once for all of them.
    """

    def __init__(self, settings: Settings, runner: StageRunner, suites: Suites) -> None:
        self._settings = settings
        self._runner = runner
        self._suites = suites

    def judge(self, batch: PseudonymisedBatch, standings: Standings, decided: Mapping[int, Decided]) -> Judged:
        """Judge and link the rows of `batch`; those on which that raises are quarantined (`biokeel.poison`).

        The rows of a pseudo partition stand together. `standings` has every partition that has rows; `decided` those
        of which verdicts may stand that were made before.
        """

        def advance(judged: Judged) -> Judged:
            # Only by what succeeded: whoever raises leaves marks and linking state as they were.
            nonlocal standings
            standings = judged.standings
            return judged

        def stage(first: int, end: int) -> Judged:
            return advance(self._judge_rows(batch.rows(first, end), standings, decided))

        def set_aside(row: int, error: BaseException) -> Judged:
            return advance(self._quarantine(batch.rows(row, row + 1), standings, decided, error))

        return joined(guarded(stage, set_aside, len(batch), partial(_place, batch), self._settings.set_aside_events))

    def _judge_rows(self, batch: PseudonymisedBatch, standings: Standings, decided: Mapping[int, Decided]) -> Judged:
        run = self._runner.run
        batch, marks, repeats = run("repeats", drop_repeats, batch, {p: each.marks for p, each in standings.items()})
        windows = {p: each.repeats for p, each in standings.items()}
        found = run("sent again", sent_again, batch, windows, _verdicts(batch.frame, decided))
        outcome = run("validate", validate, found.rest, self._suites.current(batch.event), found.decided)
        linked, states = run("link", link, outcome.accepted, {p: each.state for p, each in standings.items()})
        known = (linked.frame, found.withdrawals)
        windows = run("sent again", remembered, windows, known, self._settings.remembered_events)
        after = {p: replace(each, state=states[p], marks=marks[p], repeats=windows[p]) for p, each in standings.items()}
        stopped = [frame for frame in (found.aside, outcome.rejected.frame) if frame.height]
        quarantined = pl.concat(stopped, how="diagonal").drop(IDENTITY, strict=False) if stopped else found.aside
        return Judged(linked.frame.drop(IDENTITY), quarantined, after, repeats)

    def _quarantine(
        self, batch: PseudonymisedBatch, standings: Standings, decided: Mapping[int, Decided], error: BaseException
    ) -> Judged:
        """What becomes of the one row of `batch`, on which `_judge_rows` raised `error`.

        Its mark moves on, so that its repeat is dropped; its person's history does not. Raises `PoisonBatch` where it
        was accepted before: then it has landed or will, and cannot be quarantined any more.
        """
        rest, marks, repeats = drop_repeats(batch, {p: each.marks for p, each in standings.items()})
        verdicts = _verdicts(rest.frame, decided)
        if verdicts is not None and verdicts.any():
            raise PoisonBatch(
                f"{_place(batch, 0)} fails on an event that was accepted before: {describe(error)}.",
                "It cannot be quarantined, since it may have landed. Go back to the release that accepted it.",
            )
        rejected = failed(rest, self._suites.current(batch.event))
        after = {p: replace(each, marks=marks[p]) for p, each in standings.items()}
        return Judged(rest.frame.clear(), rejected.frame, after, repeats)


def _verdicts(frame: pl.DataFrame, decided: Mapping[int, Decided]) -> pl.Series | None:
    """What was decided about each row of `frame` before (Boolean, nullable); None where nothing was."""
    if not decided:
        return None
    verdicts = [pl.Series([], dtype=pl.Boolean)]
    for partition, rows in rows_by_partition(frame).items():
        mine = frame[rows]
        unknown = pl.repeat(None, mine.height, dtype=pl.Boolean, eager=True)
        verdicts.append(decided[partition](mine) if partition in decided else unknown)
    return pl.concat(verdicts)


def _place(batch: PseudonymisedBatch, row: int) -> str:
    """Where a row stands, for the log: positions and coordinates, which say nothing about a person."""
    at = batch.frame.select("pseudo_partition", "pseudo_offset", *ROW).row(row)
    return "Judging at {}/{}@{} ({} {}/{}@{})".format(batch.event.pseudo_topic, *at)
