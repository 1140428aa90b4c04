"""What is new about failures since a time: for the steward's morning, from what is stamped on rows. Never a value.

A row counts from when it **landed**, by the positions that its table had noted at that time (`biokeel.land.positions`);
its own times are its source's, and a late file would be old at once. Two periods are compared: from `since` to now, and
as long before it (a week at least):

| word | rows of a source that fail a rule |
| --- | --- |
| new | since, and never before |
| back | since, not in the period before, but earlier |
| continuing | since, and in the period before |
| gone | in the period before, and not since |

As far as the log of a table still knows its older versions; what is told says from when. Rows count where they are now:
one that was released from quarantine does not fail any more. Info rules are stamped nowhere and are named as not told.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from typing import TYPE_CHECKING, Final

import polars as pl

from biokeel.batch import POSITION
from biokeel.land.positions import Stand, stand_of
from biokeel.rules.backtest import WEEK, WORKERS
from biokeel.rules.backtest_rows import LANDED, QUARANTINED, Rows, Scope
from biokeel.rules.backtest_suites import STAMPED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from biokeel.contracts.topics import EventType
    from biokeel.land.lake import Lake
    from biokeel.land.pieces import Piece
    from biokeel.rules.backtest_suites import Written

LEAST_TOGETHER: Final = 20
"""Rows that two rules must have failed for it to be told that they always fail together."""
_SINCE, _BEFORE, _EARLIER = "since", "before", "earlier"


class News(StrEnum):
    """What is new about the failures of a rule by a source, in the order in which it is told."""

    NEW = "new"
    BACK = "back"
    CONTINUING = "continuing"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Failing:
    """Rows of `source` that fail `rule`: how many `since`, of `rows_since` of the source, and in the period before.

    `severity` and `notes` are those of the suite in force; empty for a rule that it does not have (any more).
    """

    news: News
    rule: str
    source: str
    severity: str
    notes: str
    since: int
    rows_since: int
    before: int
    rows_before: int


@dataclass(frozen=True, slots=True)
class Withheld:
    """Rows of `source` in which `field` was withheld at the wall, in both periods."""

    field: str
    source: str
    since: int
    rows_since: int
    before: int
    rows_before: int


@dataclass(frozen=True, slots=True)
class EventReport:
    """The report of one event type.

    `landed`, `quarantined`: rows since. `aside`: rows of all time in the quarantine table that no rule stopped or that
    were released. `dead`: rules in force that no row of all time failed. `together`: rules that always fail together,
    and how many rows did. `not_told`: info rules. `fault`: why nothing is known of the suite in force.
    """

    event: str
    version: str
    begins: dt.datetime
    compared_from: dt.datetime
    landed: int
    quarantined: int
    rows: int
    failing: tuple[Failing, ...]
    dead: tuple[str, ...]
    together: tuple[tuple[tuple[str, ...], int], ...]
    withheld: tuple[Withheld, ...]
    aside: Mapping[str, int]
    not_told: tuple[str, ...]
    fault: str


@dataclass(slots=True)
class _Counts:
    """Counted rows: by (lies, source, period), by (rule ids, source, period), by (withheld fields, source, period)."""

    rows: Counter[tuple[str, str, str]]
    failed: Counter[tuple[str, str, str]]
    withheld: Counter[tuple[str, str, str]]
    aside: Counter[str]


def report_on(lake: Lake, event: EventType, force: Written | str, since: dt.datetime, now: dt.datetime) -> EventReport:
    """The report of `event` from `since` to `now`; `force` is the suite in force, or says why there is none.

    Raises `NothingLanded`, `StoreUnavailable`.
    """
    before = since - max(WEEK, now - since)
    rows = Rows(lake, event, Scope())
    uris = {LANDED: lake.curated(event), QUARANTINED: lake.quarantine(event)}
    stands = {
        lies: tuple(stand_of(lake, uri, event.pseudo_topic, at) for at in (before, since)) for lies, uri in uris.items()
    }
    with ThreadPoolExecutor(WORKERS, "report") as pool:
        parts = list(pool.map(lambda item: _counted(rows, item[0], item[1], stands[item[0]]), rows))
    counts = _Counts(Counter(), Counter(), Counter(), Counter())
    for part in parts:
        counts.rows += part.rows
        counts.failed += part.failed
        counts.withheld += part.withheld
        counts.aside += part.aside
    failed = _by_rule(counts.failed)
    rules = {} if isinstance(force, str) else force.rules
    ever = {rule for rule, _, _ in failed}
    told = {name for name, rule in rules.items() if rule.severity in STAMPED}
    severities = {name: (str(rule.severity), rule.notes) for name, rule in rules.items()}
    return EventReport(
        str(event),
        "" if isinstance(force, str) else force.suite.version,
        max(stand.at for _, stand in stands.values()),
        max(stand.at for stand, _ in stands.values()),
        _rows(counts, LANDED),
        _rows(counts, QUARANTINED),
        sum(counts.rows.values()),
        tuple(_failing(failed, counts, severities)),
        tuple(sorted(told - ever)) if counts.rows else (),
        tuple(_together(counts.failed, told)),
        tuple(_withheld(counts)),
        dict(counts.aside),
        tuple(sorted(rules.keys() - told)),
        force if isinstance(force, str) else "",
    )


def _counted(rows: Rows, lies: str, piece: Piece, stands: tuple[Stand, ...]) -> _Counts:
    looked = rows.look(lies, piece, {**POSITION, "withheld": pl.String()})
    earlier, had = (stand.has() for stand in stands)
    period = pl.when(~had).then(pl.lit(_SINCE)).when(earlier).then(pl.lit(_EARLIER)).otherwise(pl.lit(_BEFORE))
    frame = looked.frame.select(
        pl.lit(lies).alias("lies"),
        "source_id",
        period.alias("period"),
        pl.col("stamped").list.sort().list.join(",").alias("failed"),
        "withheld",
    )
    return _Counts(
        _count(frame, "lies"),
        _count(frame.filter(pl.col("failed") != ""), "failed"),
        _count(frame.filter(pl.col("withheld").is_not_null()), "withheld"),
        looked.aside,
    )


def _count(frame: pl.DataFrame, column: str) -> Counter[tuple[str, str, str]]:
    counted = frame.group_by(column, "source_id", "period").len()
    return Counter({(what, source, period): rows for what, source, period, rows in counted.iter_rows()})


def _by_rule(several: Mapping[tuple[str, str, str], int]) -> Counter[tuple[str, str, str]]:
    """Rows by each of the names that stand in a key, by comma."""
    single: Counter[tuple[str, str, str]] = Counter()
    for (names, source, period), rows in several.items():
        for name in names.split(","):
            single[name, source, period] += rows
    return single


def _rows(counts: _Counts, lies: str) -> int:
    return sum(rows for (there, _, period), rows in counts.rows.items() if (there, period) == (lies, _SINCE))


def _of_source(counts: _Counts, source: str, period: str) -> int:
    return sum(counts.rows[lies, source, period] for lies in (LANDED, QUARANTINED))


def _failing(
    failed: Counter[tuple[str, str, str]], counts: _Counts, rules: Mapping[str, tuple[str, str]]
) -> Iterable[Failing]:
    """What is told of each rule and source, by news, then the most rows first."""
    found = []
    for rule, source in {(rule, source) for rule, source, _ in failed}:
        since, before, earlier = (failed[rule, source, period] for period in (_SINCE, _BEFORE, _EARLIER))
        if not since and not before:
            continue
        news = News.GONE if not since else News.CONTINUING if before else News.BACK if earlier else News.NEW
        severity, notes = rules.get(rule, ("", ""))
        of = [_of_source(counts, source, period) for period in (_SINCE, _BEFORE)]
        found.append(Failing(news, rule, source, severity, notes, since, of[0], before, of[1]))
    order = list(News)
    return sorted(found, key=lambda each: (order.index(each.news), -each.since, -each.before, each.rule, each.source))


def _withheld(counts: _Counts) -> Iterable[Withheld]:
    single = _by_rule(counts.withheld)
    pairs = sorted({(field, source) for field, source, period in single if period != _EARLIER})
    for field, source in pairs:
        of = [_of_source(counts, source, period) for period in (_SINCE, _BEFORE)]
        yield Withheld(field, source, single[field, source, _SINCE], of[0], single[field, source, _BEFORE], of[1])


def _together(several: Mapping[tuple[str, str, str], int], told: set[str]) -> Iterable[tuple[tuple[str, ...], int]]:
    """Groups of rules of which every row of all time that failed one failed all, and how many rows did."""
    alone: Counter[str] = Counter()
    pairs: Counter[tuple[str, str]] = Counter()
    for (names, _, _), rows in several.items():
        rules = [name for name in names.split(",") if name in told]
        alone.update(dict.fromkeys(rules, rows))
        pairs.update(dict.fromkeys(combinations(sorted(rules), 2), rows))
    group: dict[str, set[str]] = {}
    for (one, other), rows in sorted(pairs.items()):
        if rows >= LEAST_TOGETHER and rows == alone[one] == alone[other]:
            joined = group.get(one, {one}) | group.get(other, {other})
            group |= dict.fromkeys(joined, joined)
    return sorted({(tuple(sorted(rules)), alone[min(rules)]) for rules in group.values()})
