"""Rows to verdicts: repeats dropped, what sources sent again set aside, judged by the suite, linked; poison isolated.

Nothing in here is durable. What a call is told and what it gives (`Standing`) never changes, so one that raised is
repeated from where it began, and one that was in vain leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import polars as pl

from biokeel.errors import PoisonBatch, describe
from biokeel.link.repeats import IDENTITY, Window, sent_again
from biokeel.link.stage import drop_repeats, link
from biokeel.poison import guarded
from biokeel.validate.stage import failed, validate

if TYPE_CHECKING:
    from biokeel.batch import PseudonymisedBatch
    from biokeel.engine.runner import StageRunner
    from biokeel.link.state import Marks, PersonState
    from biokeel.settings import Settings
    from biokeel.validate.suites import SuiteStore

Decided = Callable[[pl.DataFrame], pl.Series]
"""What was decided about each row of a frame: `Recovered.decide`."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one pseudo partition stands after a delivery: its state, marks and window as of `offset`, inclusive."""

    offset: int
    state: PersonState
    marks: Marks
    repeats: Window = field(default_factory=Window)


@dataclass(frozen=True, slots=True)
class Judged:
    """One delivery after validate and link: rows that land, rows that are quarantined, and the standing after it."""

    curated: pl.DataFrame
    quarantined: pl.DataFrame
    standing: Standing
    repeats: int


def joined(parts: Sequence[Judged]) -> Judged:
    """One delivery of what its parts came to, in their order; the last one's standing holds."""
    if len(parts) == 1:
        return parts[0]
    return Judged(
        pl.concat([part.curated for part in parts], how="diagonal"),
        pl.concat([part.quarantined for part in parts], how="diagonal"),
        parts[-1].standing,
        sum(part.repeats for part in parts),
    )


class Judge:
    """Judges and links batches of any event type."""

    def __init__(self, settings: Settings, runner: StageRunner, suites: SuiteStore) -> None:
        self._settings = settings
        self._runner = runner
        self._suites = suites

    def judge(self, batch: PseudonymisedBatch, standing: Standing, decided: Decided | None) -> Judged:
        """Judge and link the rows of `batch`; those on which that raises are quarantined (`biokeel.poison`)."""

        def advance(judged: Judged) -> Judged:
            # Only by what succeeded: whoever raises leaves marks and linking state as they were.
            nonlocal standing
            standing = judged.standing
            return judged

        def stage(first: int, end: int) -> Judged:
            return advance(self._judge_rows(batch.rows(first, end), standing, decided))

        def set_aside(row: int, error: BaseException) -> Judged:
            return advance(self._quarantine(batch.rows(row, row + 1), standing, decided, error))

        return joined(guarded(stage, set_aside, len(batch), partial(_place, batch), self._settings.set_aside_events))

    def _judge_rows(self, batch: PseudonymisedBatch, standing: Standing, decided: Decided | None) -> Judged:
        run = self._runner.run
        batch, marks, repeats = run("repeats", drop_repeats, batch, standing.marks)
        verdicts = decided(batch.frame) if decided else None
        found = run("sent again", sent_again, batch, standing.repeats, verdicts)
        outcome = run("validate", validate, found.rest, self._suites.current(batch.event), found.decided)
        linked, state = run("link", link, outcome.accepted, standing.state)
        known = (linked.frame, found.withdrawals)
        window = run("sent again", standing.repeats.after, known, self._settings.remembered_events)
        failed_rules = outcome.rejected.frame.drop(IDENTITY)
        stopped = [frame for frame in (found.aside, failed_rules) if frame.height]
        quarantined = pl.concat(stopped, how="diagonal") if stopped else failed_rules
        return Judged(
            linked.frame.drop(IDENTITY), quarantined, Standing(standing.offset, state, marks, window), repeats
        )

    def _quarantine(
        self, batch: PseudonymisedBatch, standing: Standing, decided: Decided | None, error: BaseException
    ) -> Judged:
        """What becomes of the one row of `batch`, on which `_judge_rows` raised `error`.

        Its mark moves on, so that its repeat is dropped; its person's history does not. Raises `PoisonBatch` where it
        was accepted before: then it has landed or will, and cannot be quarantined any more.
        """
        rest, marks, repeats = drop_repeats(batch, standing.marks)
        if decided and decided(rest.frame).any():
            raise PoisonBatch(
                f"{_place(batch, 0)} fails on an event that was accepted before: {describe(error)}.",
                "It cannot be quarantined, since it may have landed. Go back to the release that accepted it.",
            )
        rejected = failed(rest, self._suites.current(batch.event))
        return Judged(rest.frame.clear(), rejected.frame, replace(standing, marks=marks), repeats)


def _place(batch: PseudonymisedBatch, row: int) -> str:
    """Where a row stands, for the log: positions and coordinates, which say nothing about a person."""
    at = batch.frame.select("pseudo_partition", "pseudo_offset", "stream", "raw_partition", "raw_offset").row(row)
    return "Judging at {}/{}@{} ({} {}@{})".format(batch.event.pseudo_topic, *at)
