"""The windows and thresholds of one event type: which rows are in which window, and when each is judged.

A window is what landed in the curated table between two of its versions, so nothing but these two numbers is kept of
it, and each landed row is in one window of each kind. A threshold is over what was judged, quarantined or landed, by
the rules that are stamped on rows; only counts are kept of it. What stewards' operations move is in no window, and was
counted when it came.

1. **follow** the landings of both tables: they make windows longer, and thresholds' counts larger.
2. **close** what is over: it becomes due, under the next number.
3. **save** both with how far the tables were followed.
   *Crash before it*: the same landings are followed again. *After it*: what is due is judged by whoever comes next.
4. **judge** what is due and saved: Great Expectations in a process of its own (`biokeel.validate.window_judge`), on a
   thread beside the loop. *Crash in it*: it is judged again.
5. **write** page and results under that number (`biokeel.rules.window_results`). *Crash before it*: judged again.
   *After it*: the results are there, and are taken as they are.
6. **save** that it is not due any more.

Of two workers only one saves in step 3 and 6, and writes in step 5; the other begins anew from what that one saved.
"""

from __future__ import annotations

import datetime as dt
import io
from concurrent.futures import Executor, Future
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import polars as pl

from biokeel.errors import where_raised
from biokeel.land.landings import Reached, is_still_known, landings_since, stands_at
from biokeel.land.pieces import Piece, read
from biokeel.poison import may_be_poison
from biokeel.rules.backtest_rows import LANDED
from biokeel.rules.backtest_verdicts import read_stored
from biokeel.rules.new_rows import TABLES, each_piece, new_rows, table_of
from biokeel.rules.window_results import Outcome, Result, results_key, write
from biokeel.rules.window_state import Due, Ends, Open, Share, Shares, WindowState, store_of
from biokeel.testing.crash import reached
from biokeel.validate.window_judge import Judged, columns_of, judge_window

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from biokeel.contracts.topics import EventType
    from biokeel.land.lake import Lake
    from biokeel.land.landings import File, Landing
    from biokeel.rulebook.standing import Standing
    from biokeel.validate.rules import CompiledSuite, Rule
    from biokeel.validate.window_child import Verdict

    Judge = Callable[[CompiledSuite, Sequence[Rule], str, pl.DataFrame], Judged]

SETTLE_SECONDS: Final = 60.0
"""After the end of a time: what was committed before it may be seen that much later."""
SAVE_SECONDS: Final = 60.0
"""Between two savings, where nothing is due: what landed since is followed again by who comes next."""
CHECK_SECONDS: Final = 3600.0
"""How often it is made sure that the tables are those that were read: a log is cleared after days."""
_ROW_COUNTS: Final = "expect_table_row_count_to_"
"""Expectations that say something of a window without a row."""


class WindowRun:
    """See above. Not for several threads at once. `state` is what is known; whoever shows it reads it."""

    def __init__(self, lake: Lake, event: EventType, pool: Executor, judge: Judge = judge_window) -> None:
        """Go on from what was saved. Raises `StoreUnavailable`."""
        self._lake, self._event, self._pool, self._judge = lake, event, pool, judge
        self._store = store_of(lake.objects, event)
        self._number, data = self._store.newest()
        self.state = WindowState() if data is None else WindowState.from_bytes(data)
        self._saved = deepcopy(self.state)
        self._save_at = 0.0
        self._check_at = 0.0
        self.judged: list[Result] = []
        """The results that were written last; another list each time."""
        self._judging: tuple[Due, Standing, Future[list[Result]]] | None = None

    def turn(self, standing: Standing, now: float) -> bool:
        """Do of the above what there is to do now; whether anything was. `now` is since 1970.

        Raises `StoreUnavailable`, and `CommitConflict` where another worker went on: make this anew then.
        """
        state = deepcopy(self.state)
        wants = Wants(standing.suite)
        if wants or state.reached:
            self._follow_all(state, wants, now)
            _close(state, wants, now)
        self.state = state
        judged = self._take_judged()
        if self.state != self._saved and (judged or self.state.due != self._saved.due or now >= self._save_at):
            self._save(now)
        self._begin_judging(standing)
        return self.state != self._saved or bool(self.state.due)

    def _save(self, now: float) -> None:
        self._store.save(self._number, self.state.to_bytes())
        reached("windows.saved")
        self._number += 1
        self._saved = deepcopy(self.state)
        self._save_at = now + SAVE_SECONDS

    def _follow_all(self, state: WindowState, wants: Wants, now: float) -> None:
        if not wants:
            # Nothing in force is about many rows: what is open is nobody's, and what is due is judged still.
            state.reached, state.open, state.shares = {}, {}, {}
            return
        if not state.reached:
            state.reached = {lies: stands_at(self._lake, self._uri(lies)) for lies in TABLES}
        elif now >= self._check_at:
            self._require_known(state)
        self._check_at = now + CHECK_SECONDS if now >= self._check_at else self._check_at
        at = state.reached[LANDED].version
        state.open = {ends: state.open.get(ends, Open(at, now)) for ends in wants.windows}
        for lies in TABLES:
            topic = self._event.pseudo_topic
            while (found := landings_since(self._lake, self._uri(lies), topic, state.reached[lies])) is not None:
                for landing in found.landings:
                    self._follow(lies, landing, state, wants)
                state.reached[lies] = found.reached

    def _require_known(self, state: WindowState) -> None:
        """Go on from now where a table is not the one that was read, or its log was cleared before it was read."""
        for lies, at in state.reached.items():
            if not is_still_known(self._lake, self._uri(lies), at):
                state.reached[lies] = stands_at(self._lake, self._uri(lies))
                state.gaps += 1
                if lies == LANDED:
                    state.open = {}

    def _follow(self, lies: str, landing: Landing, state: WindowState, wants: Wants) -> None:
        if lies == LANDED:
            for ends in list(state.open):
                _close_before(state, ends, wants, landing.version - 1, landing.at)
                window = state.open[ends]
                window.rows += landing.rows
                if window.rows >= ends[1]:
                    _close_window(state, ends, landing.version, landing.at)
        if wants.thresholds:
            state.lost += each_piece(
                self._lake, landing.files, lambda piece: self._count(lies, piece, landing.at, state, wants)
            )

    def _count(self, lies: str, piece: Piece, at: float, state: WindowState, wants: Wants) -> None:
        """Add the rows of a piece to the counts of the thresholds."""
        rows = new_rows(self._lake, lies, piece).frame
        judged = dict(rows["source_id"].value_counts().iter_rows())
        failed = {
            (rule, source): count
            for source, rule, count in rows.explode("stamped").group_by("source_id", "stamped").len().iter_rows()
        }
        for rule in wants.thresholds:
            assert rule.threshold is not None
            seconds = rule.threshold.seconds
            number = max(int(at // seconds), state.closed.get(seconds, -1) + 1)
            counts = state.shares.setdefault(seconds, {}).setdefault(number, {}).setdefault(rule.id, {})
            for source, count in judged.items():
                before = counts.get(source, Share())
                counts[source] = Share(before.rows + count, before.failed + failed.get((rule.id, source), 0))

    def _begin_judging(self, standing: Standing) -> None:
        """Judge the oldest that is due and saved, one at a time."""
        if self._judging is None and self._saved.due:
            due = self._saved.due[0]
            self._judging = due, standing, self._pool.submit(self._judged, due, standing)

    def _take_judged(self) -> bool:
        """Write what was judged; whether there was anything."""
        if self._judging is None or not self._judging[2].done():
            return False
        due, standing, future = self._judging
        self._judging = None
        results = future.result()
        reached("windows.judged")
        if results and not write(self._lake.objects, self._event, due.number, results, standing.suite.rules):
            results = read_results(self._lake, self._event, due.number)
        reached("windows.written")
        self.judged = results
        self.state.due = [each for each in self.state.due if each.number != due.number]
        newer = {(each.rule, each.source): each for each in results}
        there = {rule.id for rule in standing.suite.rules}
        kept = [each for each in self.state.latest if (each.rule, each.source) not in newer and each.rule in there]
        self.state.latest = sorted([*kept, *newer.values()], key=lambda each: (each.rule, each.source or ""))
        return True

    def _judged(self, due: Due, standing: Standing) -> list[Result]:
        """The results of what is due, whatever happens but an outage; on a thread beside the loop."""
        if self._lake.objects.find(results_key(self._event, due.number)) is not None:
            return read_results(self._lake, self._event, due.number)
        suite, text = standing.suite, standing.page.version.submitted.suite
        about = _About(due, suite.version)
        results = of_thresholds(suite, about)
        over_it = [rule for rule in suite.window_rules if rule.window and rule.window.ends == due.ends]
        rules = [] if due.shares else over_it
        if not due.rows:
            rules = [rule for rule in rules if rule.expectation.startswith(_ROW_COUNTS)]
        if rules:
            frame = self._frame(due, columns_of(suite, rules))
            try:
                judged = self._judge(suite, rules, text, frame)
            except BaseException as error:
                if not may_be_poison(error):
                    raise
                judged = Judged((), {rule.id: where_raised(error) for rule in rules})
            lost = due.rows - frame.height
            why = f"{lost:,} of its {due.rows:,} rows were vacuumed before it was judged" if lost else ""
            results += of_windows(rules, judged, about, frame.height, why)
        return results

    def _frame(self, due: Due, columns: Mapping[str, pl.DataType]) -> pl.DataFrame:
        """`source_id` and `columns` of the rows of a window, as they landed."""
        found: list[pl.DataFrame] = []

        def see(piece: Piece) -> None:
            wanted = {"source_id": pl.String(), **columns}
            found.append(read_stored(wanted, lambda names: read(self._lake, piece, names)))

        each_piece(self._lake, self._files(due), see)
        if found:
            return pl.concat(found)
        return pl.DataFrame(schema={"source_id": pl.String(), **columns})

    def _files(self, due: Due) -> list[File]:
        files: list[File] = []
        at = Reached(due.after)
        while at.version < due.upto:
            found = landings_since(self._lake, self._uri(LANDED), self._event.pseudo_topic, at, due.upto)
            if found is None:
                break
            files += [file for landing in found.landings for file in landing.files]
            at = found.reached
        return files

    def _uri(self, lies: str) -> str:
        return table_of(self._lake, self._event, lies)


class Wants:
    """What a suite in force asks of many rows; false where it asks nothing."""

    def __init__(self, suite: CompiledSuite) -> None:
        self.windows: dict[Ends, bool] = {}
        """Whether a window of this kind is judged where nothing landed, too."""
        for rule in suite.window_rules:
            assert rule.window is not None
            ends = rule.window.ends
            self.windows[ends] = self.windows.get(ends, False) or rule.expectation.startswith(_ROW_COUNTS)
        self.thresholds = [rule for rule in suite.rules if rule.threshold is not None]

    def __bool__(self) -> bool:
        """Whether it asks anything."""
        return bool(self.windows or self.thresholds)


class _About:
    """When something was that is judged, and by which version."""

    def __init__(self, due: Due, version: str) -> None:
        self.due = due
        self.version = version

    def result(self, rule: Rule, source: str | None, outcome: Outcome, rows: int) -> Result:
        """Without what was found."""
        began, ended = self.due.began, self.due.ended
        about = (rule.id, rule.expectation, str(rule.severity), source, outcome, rows)
        return Result(*about, None, None, "", "", began, ended, self.version, self.due.number)


def of_thresholds(suite: CompiledSuite, about: _About) -> list[Result]:
    """What the shares that were counted come to; of a threshold that has expired, or is not there any more, nothing."""
    results = []
    ended = dt.datetime.fromtimestamp(about.due.ended - 1, dt.UTC).date()
    for rule in suite.rules:
        if rule.threshold is None or not rule.threshold.holds(ended):
            continue
        for source, share in sorted(about.due.shares.get(rule.id, {}).items()):
            result = about.result(rule, source, outcome_of(rule, share), share.rows)
            results.append(replace(result, looked_at=share.rows, unexpected=share.failed))
    return results


def outcome_of(rule: Rule, share: Share) -> Outcome:
    """Whether a source is at a threshold of `rule` or above."""
    threshold = rule.threshold
    assert threshold is not None
    if threshold.fail is not None and share.share >= threshold.fail:
        return Outcome.FAILS
    return Outcome.WARNS if threshold.warn is not None and share.share >= threshold.warn else Outcome.MET


def of_windows(rules: Sequence[Rule], judged: Judged, about: _About, rows: int, why: str) -> list[Result]:
    """What Great Expectations said, and what it could not say; `why`: what is to be told of all of them."""
    by_id = {rule.id: rule for rule in rules}
    results = [_of_verdict(by_id[verdict["rule"]], verdict, about, why) for verdict in judged.verdicts]
    for rule, reason in judged.not_judged.items():
        result = about.result(by_id[rule], None, Outcome.NOT_JUDGED, rows)
        results.append(replace(result, why="; ".join(part for part in (reason, why) if part)))
    return results


def _of_verdict(rule: Rule, verdict: Verdict, about: _About, why: str) -> Result:
    outcome = Outcome.NOT_JUDGED if verdict["met"] is None else Outcome.MET if verdict["met"] else Outcome.FAILS
    if verdict["met"] is None:
        why = "; ".join(part for part in ("Great Expectations cannot evaluate it on these rows", why) if part)
    return replace(
        about.result(rule, verdict["source"], outcome, verdict["rows"]),
        looked_at=verdict["looked_at"],
        unexpected=verdict["unexpected"],
        observed=verdict["observed"],
        why=why,
    )


def read_results(lake: Lake, event: EventType, number: int) -> list[Result]:
    """What was written under that number."""
    frame = pl.read_parquet(io.BytesIO(lake.objects.get(results_key(event, number))))
    return [
        Result.from_dict(
            {name: value for name, value in row.items() if name not in {"event", "share"}}
            | {"begins": row["begins"].timestamp(), "ends": row["ends"].timestamp()}
        )
        for row in frame.iter_rows(named=True)
    ]


def _close(state: WindowState, wants: Wants, now: float) -> None:
    """Make due what is over by the clock."""
    for ends in list(state.open):
        _close_before(state, ends, wants, state.reached[LANDED].version, now - SETTLE_SECONDS)
    for seconds, numbers in state.shares.items():
        over = int((now - SETTLE_SECONDS) // seconds)
        for number in sorted(number for number in numbers if number < over):
            shares: Shares = numbers.pop(number)
            began = float(number * seconds)
            rows = max((sum(each.rows for each in sources.values()) for sources in shares.values()), default=0)
            _due(state, Due(0, (seconds, 0), -1, -1, began, began + seconds, rows, shares))
            state.closed[seconds] = max(number, state.closed.get(seconds, -1))


def _close_before(state: WindowState, ends: Ends, wants: Wants, upto: int, at: float) -> None:
    """Make due the windows that are over at `at`, those without a row where that says something; `upto` is the last
    version of the curated table before.
    """
    seconds, window = ends[0], state.open[ends]
    while (over := (window.began // seconds + 1) * seconds) <= at:
        if window.rows or wants.windows.get(ends):
            _due(state, Due(0, ends, window.after, upto, window.began, over, window.rows))
            window = state.open[ends] = Open(upto, over)
        else:
            # Nobody asks about times in which nothing landed.
            window = state.open[ends] = Open(upto, at // seconds * seconds)


def _close_window(state: WindowState, ends: Ends, upto: int, at: float) -> None:
    """Make due a window that has its rows: the landing of `upto` is its last."""
    window = state.open[ends]
    _due(state, Due(0, ends, window.after, upto, window.began, at, window.rows))
    state.open[ends] = Open(upto, at)


def _due(state: WindowState, due: Due) -> None:
    state.due.append(replace(due, number=state.next))
    state.next += 1
