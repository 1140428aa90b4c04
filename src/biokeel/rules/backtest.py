"""What a draft of a suite would change of everything that ever came: exact counts, from the tables, in bounded memory.

Two suites are compared, the draft and the one it is held `against`, row by row:

| word | what |
| --- | --- |
| newly failing, newly passing | a row fails a rule of the draft, and not the other suite's of that id; the reverse |
| other severity | it fails the rule in both, and what becomes of a failing row differs |
| newly quarantined, released | the draft stops a row by any critical rule, and the other suite by none; the reverse |

Every row of the curated table is looked at, and of the quarantine table every row that a rule stopped. What else lies
there is no suite's business (repeats, withdrawals, rows on which a stage failed, rows that were released since) and is
counted apart, by why; so are rows of the history table. A field that is younger than a row is null for its rules, as in
the stream; how many rows that were is told by column, where their files still say so.

Only what differs is read: `biokeel.rules.backtest_verdicts`. Nothing is written; where the process dies, run it again.
"""

from __future__ import annotations

import datetime as dt
import os
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from biokeel.batch import ENVELOPE
from biokeel.errors import NothingLanded
from biokeel.land.pieces import lacking, read
from biokeel.rules.backtest_examples import Example, Pick, examples_of
from biokeel.rules.backtest_rows import HISTORY, Rows, Scope
from biokeel.rules.backtest_sweep import COUNTS, Sweep, Swept
from biokeel.rules.backtest_verdicts import read_stored
from biokeel.rules.compared import Change, Pair, any_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from biokeel.contracts.schema import EventSchema
    from biokeel.land.lake import Lake
    from biokeel.land.pieces import Piece
    from biokeel.rules.backtest_suites import Written
    from biokeel.rules.backtest_verdicts import Truths
    from biokeel.rules.compared import Compared, RuleChange

WEEK: Final = dt.timedelta(days=7)
WORKERS: Final = min(os.cpu_count() or 1, 4)
"""Pieces at a time; each is some 100 bytes a row."""
GROUP: Final = ("lies", "source_id", "month", "was_stopped", "would_stop")
"""What rows are counted by: where they lie, whose they are, when they occurred (months since year 0, UTC), and whether
each of the two suites stops them."""
_KINDS: Final[dict[str, pl.DataType]] = {
    "lies": pl.String(),
    "source_id": pl.String(),
    "month": pl.Int32(),
    "was_stopped": pl.Boolean(),
    "would_stop": pl.Boolean(),
}
FATES: Final = _KINDS | {"rows": pl.Int64()}
CHANGES: Final[dict[str, pl.DataType]] = {"rule": pl.String(), "change": pl.String(), **FATES}


@dataclass(frozen=True, slots=True)
class Backtest:
    """What was found. `rows` has `FATES`, `changes` `CHANGES`; all counts are exact.

    `aside`: rows that were not judged, by why. `lacking`: column → rows that were written without it, judged as null.
    `by_version`: suite version → rows that carry its stamp; of those in `believed` what they failed is read from it.
    `not_tried`: rules of the draft that judge no row. `since`: when the oldest row was recorded, None for no limit.
    """

    event: str
    draft: str
    against: str
    since: dt.datetime | None
    rules: tuple[RuleChange, ...]
    rows: pl.DataFrame
    changes: pl.DataFrame
    aside: Mapping[str, int]
    lacking: Mapping[str, int]
    by_version: Mapping[str, int]
    believed: frozenset[str]
    not_tried: tuple[str, ...]
    examples: tuple[Example, ...]
    swept: Swept | None
    seconds: float

    @property
    def judged(self) -> int:
        """Rows that were looked at."""
        return int(self.rows["rows"].sum())

    def moved(self, *, would_stop: bool) -> int:
        """Rows that change sides: newly quarantined, or released."""
        return _moved(self.rows, would_stop=would_stop)

    def counts(self, rule: str, change: Change) -> int:
        """Rows of one change of one rule."""
        return int(self._of(rule, change)["rows"].sum())

    def newly_quarantined(self) -> dict[str, int]:
        """Rows that the draft would stop newly, by each rule that does; a row may be stopped by several."""
        found = {each.rule: _moved(self._of(each.rule, *Change), would_stop=True) for each in self.rules}
        return {rule: rows for rule, rows in found.items() if rows}

    def by(self, column: str) -> pl.DataFrame:
        """Rows by `column` of `GROUP`: `rows`, `newly_quarantined`, `released` of all."""
        newly = pl.col("would_stop") & ~pl.col("was_stopped")
        released = pl.col("was_stopped") & ~pl.col("would_stop")
        counted = pl.col("rows").sum(), _where(newly, "newly_quarantined"), _where(released, "released")
        return self.rows.group_by(column).agg(*counted).sort(column)

    def as_dict(self) -> dict[str, Any]:
        """All of it as JSON has it."""
        return {
            "event": self.event,
            "draft": self.draft,
            "against": self.against,
            "since": None if self.since is None else self.since.isoformat(),
            "rows": self.judged,
            "newly_quarantined": self.moved(would_stop=True),
            "released": self.moved(would_stop=False),
            "rules": [self._rule(each) for each in self.rules],
            "by_source": self.by("source_id").to_dicts(),
            "by_month": [each | {"month": month_name(each["month"])} for each in self.by("month").to_dicts()],
            "left_aside": dict(self.aside),
            "written_without": dict(self.lacking),
            "by_version": [
                {"version": version, "rows": rows, "stamps_believed": version in self.believed}
                for version, rows in sorted(self.by_version.items())
            ],
            "not_tried": list(self.not_tried),
            "examples": [asdict(each) for each in self.examples],
            "sweep": None if self.swept is None else asdict(self.swept),
            "seconds": round(self.seconds, 3),
        }

    def _rule(self, each: RuleChange) -> dict[str, Any]:
        mine = self.changes.filter(pl.col("rule") == each.rule)
        by = mine.group_by("change", "lies", "source_id", "month").agg(pl.col("rows").sum())
        return {
            "rule": each.rule,
            "what": each.words,
            **{change.name.lower(): self.counts(each.rule, change) for change in Change},
            "newly_quarantined": self.newly_quarantined().get(each.rule, 0),
            "by": [
                row | {"month": month_name(row["month"])}
                for row in by.sort("change", "lies", "source_id", "month").to_dicts()
            ],
        }

    def _of(self, rule: str, *changes: Change) -> pl.DataFrame:
        return self.changes.filter(pl.col("rule") == rule, pl.col("change").is_in([str(each) for each in changes]))


@dataclass(frozen=True, slots=True)
class _Part:
    """What one piece comes to."""

    rows: pl.DataFrame
    changes: pl.DataFrame
    aside: Counter[str]
    lacking: Counter[str]
    by_version: Counter[str]
    picks: list[Pick]
    swept: pl.DataFrame


class Comparison:
    """Two suites compared over the rows of a lake; see the module. `run` it once.

    `stamps` says which suites the versions are that rows are stamped with, as far as they are to be believed (none:
    every row is judged anew, as after an upgrade of Biokeel that mended how a rule is read).
    """

    def __init__(
        self,
        lake: Lake,
        schema: EventSchema,
        draft: Written,
        against: Written,
        *,
        scope: Scope,
        stamps: Mapping[str, Written],
        sweep: Sweep | None = None,
    ) -> None:
        """Raises `NothingLanded`, `StoreUnavailable`."""
        self._began = time.monotonic()
        self._lake = lake
        self._schema = schema
        self._draft, self._against, self._sweep = draft, against, sweep
        self._pair = Pair(draft, against, stamps, sweep.asked if sweep else {})
        self._rows = Rows(lake, schema.event, scope)

    def run(self) -> Backtest:
        """Look at every row. Raises `StoreUnavailable`."""
        with ThreadPoolExecutor(WORKERS, "backtest") as pool:
            parts = list(pool.map(lambda item: self._part(*item), self._rows))
        aside = sum((part.aside for part in parts), Counter({HISTORY: self._rows.in_history}))
        by_version = sum((part.by_version for part in parts), Counter[str]())
        swept = _summed([part.swept for part in parts], COUNTS)
        picks = [pick for part in parts for pick in part.picks]
        return Backtest(
            str(self._schema.event),
            self._draft.suite.version,
            self._against.suite.version,
            self._rows.scope.since,
            self._pair.rules,
            _summed([part.rows for part in parts], FATES),
            _summed([part.changes for part in parts], CHANGES),
            +aside,
            sum((part.lacking for part in parts), Counter[str]()),
            by_version,
            frozenset(by_version) & self._pair.verdicts.known.keys(),
            self._draft.windows,
            tuple(examples_of(self._lake, self._schema, picks, self._both(picks))),
            self._sweep.swept(swept) if self._sweep else None,
            time.monotonic() - self._began,
        )

    def _both(self, picks: Iterable[Pick]) -> dict[str, frozenset[str]]:
        """The columns that each rule of `picks` reads, in either suite."""
        suites = (self._draft.rules, self._against.rules)
        names = {pick.rule for pick in picks}
        return {name: frozenset().union(*(rules[name].columns for rules in suites if name in rules)) for name in names}

    def _part(self, lies: str, piece: Piece) -> _Part:
        looked = self._rows.look(lies, piece)
        frame = looked.frame
        without: dict[str, int] = {}

        def more(columns: Mapping[str, pl.DataType]) -> pl.DataFrame:
            found = read(self._lake, piece, columns)
            without.update(self._without(piece, found, frame["row"]))
            return found if frame.height == found.height else found[frame["row"]]

        compared = self._pair.compare(frame, more)
        group = frame.select(
            pl.lit(lies).alias("lies"),
            "source_id",
            "month",
            pl.Series("was_stopped", compared.was_stopped),
            pl.Series("would_stop", compared.would_stop),
        )
        return _Part(
            group.group_by(*GROUP).agg(pl.len().cast(pl.Int64).alias("rows")),
            _summed([_counted(group, rule, change, mask) for rule, change, mask in compared.changes], CHANGES),
            looked.aside,
            Counter(without),
            Counter(dict(frame["suite_version"].fill_null("").value_counts().iter_rows())),
            [Pick.of((rule, change), lies, piece, frame["row"], mask) for rule, change, mask in compared.changes],
            self._part_of_sweep(frame.height, compared, more),
        )

    def _part_of_sweep(self, height: int, compared: Compared, more: Any) -> pl.DataFrame:
        if self._sweep is None:
            return pl.DataFrame(schema=COUNTS)
        columns = self._draft.suite.columns
        stored, expressions = columns.view([self._sweep.column])
        values = read_stored(stored, more).select(expressions).to_series()
        others = any_of(compared.failed, self._draft.critical(but=self._sweep.rule.id), height)
        classes = self._sweep.classes(values, compared.failed)
        frame = pl.DataFrame({"was_stopped": compared.was_stopped, "others_stop": others, "beyond": classes})
        return frame.group_by(pl.all()).agg(pl.len().cast(pl.Int64).alias("rows"))

    def _without(self, piece: Piece, found: pl.DataFrame, rows: pl.Series) -> dict[str, int]:
        """Columns of `found` that some of `rows` were written without; files are asked only where one may lack it."""
        least = min(*(count for _, count in piece.files), piece.rows)
        empty = [each.name for each in found if each.name not in ENVELOPE and each.null_count() >= least]
        without: dict[str, int] = {}
        for name, first, end in lacking(self._lake, piece, empty) if empty else ():
            without[name] = without.get(name, 0) + int(rows.is_between(first, end, closed="left").sum())
        return without


@dataclass(frozen=True, slots=True)
class Share:
    """How many of last week's `rows` a draft would newly quarantine, and by which rules; one row perhaps by several."""

    rows: int
    newly_quarantined: int
    by_rule: Mapping[str, int]

    @property
    def share(self) -> float:
        """From 0 to 1; 0 where nothing came."""
        return self.newly_quarantined / self.rows if self.rows else 0.0


def share_of_last_week(
    lake: Lake,
    schema: EventSchema,
    draft: Written,
    against: Written,
    *,
    stamps: Mapping[str, Written],
    now: dt.datetime,
) -> Share:
    """What a draft would newly quarantine of the events that were recorded in the week before `now`: for its approval.

    An event type of which nothing has landed yet has no rows. Raises `StoreUnavailable`.
    """
    scope = Scope(since=now - WEEK)
    try:
        found = Comparison(lake, schema, draft, against, scope=scope, stamps=stamps).run()
    except NothingLanded:
        return Share(0, 0, {})
    return Share(found.judged, found.moved(would_stop=True), found.newly_quarantined())


def month_name(number: int) -> str:
    """A month since year 0 as it is written: 2026-11."""
    return f"{number // 12}-{number % 12 + 1:02}"


def _counted(group: pl.DataFrame, rule: str, change: Change, mask: Truths) -> pl.DataFrame:
    counts = group.filter(pl.Series(mask)).group_by(*GROUP).agg(pl.len().cast(pl.Int64).alias("rows"))
    return counts.select(pl.lit(rule).alias("rule"), pl.lit(str(change)).alias("change"), *FATES)


def _summed(frames: list[pl.DataFrame], columns: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """The counts `rows` of all `frames` by their other `columns`."""
    every = pl.concat([pl.DataFrame(schema=dict(columns)), *(frame.select(*columns) for frame in frames)])
    by = [name for name in columns if name != "rows"]
    return every.group_by(by).agg(pl.col("rows").sum()).sort(by)


def _where(condition: pl.Expr, name: str) -> pl.Expr:
    return pl.col("rows").filter(condition).sum().alias(name)


def _moved(rows: pl.DataFrame, *, would_stop: bool) -> int:
    sides = (pl.col("was_stopped") != would_stop) & (pl.col("would_stop") == would_stop)
    return int(rows.filter(sides)["rows"].sum())
