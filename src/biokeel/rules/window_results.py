"""What windows and thresholds came to: rows of a table in the lake, and pages that people read (Data Docs).

```
windows/<domain>/<event>/<number>.parquet      the results of one window: `RESULTS`, a row for each rule and source
data-docs/<domain>/<event>/<number>.html       the same as a page
```

Read the table with any Parquet reader: `pl.scan_parquet("s3://biokeel-lake/windows/**/*.parquet")`. A window's results
are written once, under a number that only one can take; the page follows from them, and is written before, so that
there is none without its page.

Great Expectations' own pages fetch style sheets, scripts and pictures from a dozen places on the internet, one of them
their maker's, with the time: whoever looks at health data would tell them so. These need no other file.
"""

from __future__ import annotations

import datetime as dt
import io
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from biokeel.rules.report_pages import Page, Section, Table, html

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from biokeel.contracts.topics import EventType
    from biokeel.land.objects import Objects
    from biokeel.validate.rules import Rule

_TIME: Final = pl.Datetime("us", "UTC")
RESULTS: Final[dict[str, pl.DataType]] = {
    "number": pl.Int64(),
    "event": pl.String(),
    "rule": pl.String(),
    "expectation": pl.String(),
    "severity": pl.String(),
    "source": pl.String(),
    "outcome": pl.String(),
    "rows": pl.Int64(),
    "looked_at": pl.Int64(),
    "unexpected": pl.Int64(),
    "share": pl.Float64(),
    "observed": pl.String(),
    "why": pl.String(),
    "suite_version": pl.String(),
    "begins": _TIME,
    "ends": _TIME,
}
"""The table. `source` is null where all rows were judged together, `share` what share of them is unexpected."""


class Outcome(StrEnum):
    """What became of a rule in a window."""

    MET = "met"
    WARNS = "warns"
    """The share of a threshold is at its `warn` or above."""
    FAILS = "fails"
    """At its `fail` or above; or Great Expectations says that the window does not meet the expectation."""
    NOT_JUDGED = "not judged"


@dataclass(frozen=True, slots=True)
class Result:
    """One rule in the window `number`, of one source's rows or (None) of all; times are seconds since 1970."""

    rule: str
    expectation: str
    severity: str
    source: str | None
    outcome: Outcome
    rows: int
    looked_at: int | None
    unexpected: int | None
    observed: str
    why: str
    begins: float
    ends: float
    suite_version: str = ""
    number: int = 0

    @property
    def share(self) -> float | None:
        """Of what was looked at, the share that is unexpected; None where nothing was counted."""
        return self.unexpected / self.looked_at if self.looked_at and self.unexpected is not None else None

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, read: dict[str, Any]) -> Result:
        """What `as_dict` gave."""
        return cls(**(read | {"outcome": Outcome(read["outcome"])}))


def write(objects: Objects, event: EventType, number: int, results: Sequence[Result], rules: Iterable[Rule]) -> bool:
    """Write the results of a window and their page; False where somebody else had written that window's results.

    If the process dies in between, the page is there and the results are not: they are judged again, and the page is
    written anew.
    """
    objects.put(page_key(event, number), html(_page(event, number, results, rules)).encode())
    sink = io.BytesIO()
    _frame(event, results).write_parquet(sink)
    return objects.put_new(results_key(event, number), sink.getvalue())


def results_key(event: EventType, number: int) -> str:
    """Where the results of a window lie."""
    return f"windows/{event.domain}/{event.name}/{number:012d}.parquet"


def page_key(event: EventType, number: int) -> str:
    """Where the page of a window lies."""
    return f"data-docs/{event.domain}/{event.name}/{number:012d}.html"


def when(at: float) -> str:
    """A time as people read it."""
    return f"{dt.datetime.fromtimestamp(at, dt.UTC):%Y-%m-%d %H:%M} UTC"


def told(result: Result) -> str:
    """What was found, in words: counts, and what was observed where that may be told."""
    counted = ""
    if result.share is not None:
        counted = f"{result.unexpected:,} of {result.looked_at:,} ({result.share:.2%})"
    return ", ".join(part for part in (counted, result.observed, result.why) if part)


def _frame(event: EventType, results: Sequence[Result]) -> pl.DataFrame:
    rows = [
        each.as_dict()
        | {
            "event": str(event),
            "outcome": str(each.outcome),
            "share": each.share,
            "begins": dt.datetime.fromtimestamp(each.begins, dt.UTC),
            "ends": dt.datetime.fromtimestamp(each.ends, dt.UTC),
        }
        for each in results
    ]
    return pl.DataFrame([{name: row[name] for name in RESULTS} for row in rows], schema=RESULTS)


def _page(event: EventType, number: int, results: Sequence[Result], rules: Iterable[Rule]) -> Page:
    notes = {rule.id: rule.notes for rule in rules}
    begins, ends = min(each.begins for each in results), max(each.ends for each in results)
    tables = [
        Table(
            f"{outcome.capitalize()}",
            ("rule", "expectation", "severity", "source", "rows", "found", "notes"),
            tuple(
                (
                    each.rule,
                    each.expectation,
                    each.severity,
                    "all" if each.source is None else each.source,
                    f"{each.rows:,}",
                    told(each),
                    notes.get(each.rule, ""),
                )
                for each in results
                if each.outcome is outcome
            ),
        )
        for outcome in (Outcome.FAILS, Outcome.WARNS, Outcome.NOT_JUDGED, Outcome.MET)
    ]
    counts = ", ".join(
        f"{count} {outcome}" for outcome in Outcome if (count := sum(each.outcome is outcome for each in results))
    )
    sentences = (f"What landed from {when(begins)} to {when(ends)}.", f"Version {results[0].suite_version} judged it.")
    shown = tuple(table for table in tables if table.rows)
    return Page(f"{event}: window {number}", f"{counts}.", (Section(str(event), sentences, shown),))
