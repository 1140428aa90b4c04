"""Waivers: for a source, until a day, a critical rule stops no row. Part of a suite, so of a signed page of the book.

```json
"meta": {"rule": "bp.systolic.range", "waivers": [
  {"source": "hospital-a", "until": "2027-03-31", "reason": "its gateway reports kPa until the exchange in March"}]}
```

A row of that source that fails only rules that are waived for it lands, with their ids among its `warnings`; one that
fails another critical rule as well is quarantined by that one. Who asked for a waiver, and who approved it, are author
and approver of the version.

What counts is when the row was **recorded**, up to the end of the day in UTC: that is a time the row carries, so a
replay, a backtest and a re-verdict come to what the stream came to, whenever they run; and what a source recorded under
a known defect has the defect however late it arrives. So a waiver expires by itself, and needs no clock.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from biokeel.contracts.grammars import SOURCE_ID
from biokeel.validate.values import some

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from biokeel.validate.findings import Faults

KEY: Final = "waivers"
"""The key of an expectation's `meta`."""
COLUMNS: Final = frozenset({"source_id", "recorded_at"})
"""What a waiver looks at."""
_KEYS: Final = ("source", "until", "reason")
_MOST: Final = 100
_EXAMPLE: Final = 'Write {"source": "hospital-a", "until": "2027-03-31", "reason": "..."}.'
_TIME: Final = pl.Datetime("ms", "UTC")
_LAST: Final = time(23, 59, 59, 999_000)
"""The last moment of a day; the first of the next would be none on 9999-12-31."""
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True, slots=True)
class Waiver:
    """For rows of `source` that were recorded up to the end of the day `until` (UTC) the rule stops none."""

    source: str
    until: date
    reason: str

    def __str__(self) -> str:
        return f"waived for {self.source} until {self.until}: {self.reason}"

    def expired(self, today: date) -> bool:
        """Whether what is recorded today is stopped again."""
        return today > self.until


def waived(waivers: Iterable[Waiver]) -> pl.Expr:
    """Which rows one of `waivers` (one at least) is about: Boolean, never null, over `COLUMNS`."""
    parts = []
    for each in waivers:
        last = datetime.combine(each.until, _LAST, UTC)
        parts.append(pl.col("source_id").eq(each.source) & pl.col("recorded_at").le(pl.lit(last, _TIME)))
    return some(parts).fill_null(value=False)


def waivers_of(meta: Mapping[str, Any], faults: Faults, *, critical: bool) -> tuple[Waiver, ...]:
    """The waivers in an expectation's `meta`; what is wrong with them goes to `faults`."""
    written = meta.get(KEY, [])
    if not isinstance(written, list) or len(written) > _MOST:
        faults.add(f"meta.{KEY}", f"meta.{KEY} must be a list of up to {_MOST} waivers.", _EXAMPLE)
        return ()
    if written and not critical:
        faults.add(f"meta.{KEY}", "only a critical rule can be waived: what fails another lands.", "Remove it.")
    found = [_waiver(f"meta.{KEY}[{number}]", each, faults) for number, each in enumerate(written)]
    waivers = tuple(each for each in found if each is not None)
    sources = [each.source for each in waivers]
    if len(set(sources)) < len(sources):
        faults.add(f"meta.{KEY}", "a source has two waivers of one rule.", "Keep the one that ends later.")
    return waivers


def _waiver(place: str, written: Any, faults: Faults) -> Waiver | None:
    if not isinstance(written, dict) or sorted(written) != sorted(_KEYS):
        faults.add(place, f"a waiver has {', '.join(_KEYS)}, and nothing else.", _EXAMPLE)
        return None
    source, until, reason = (written[key] for key in _KEYS)
    if not isinstance(source, str) or not re.fullmatch(SOURCE_ID, source):
        faults.add(f"{place}.source", "source is not the id of a source.", "`biokeel source list` shows them.")
    if not isinstance(reason, str) or not reason.strip():
        faults.add(f"{place}.reason", "a waiver says why.", "Write the reason as a text.")
    if not isinstance(until, str) or not _DAY.fullmatch(until) or (day := _day(until)) is None:
        faults.add(f"{place}.until", "until is not a day.", "Write the last day that it holds, as 2027-03-31.")
        return None
    return Waiver(str(source), day, str(reason).strip())


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
