"""What a steward says of windows and thresholds in `meta`: over which rows an expectation is judged that no single row
can answer, and from which share of a source's rows on a rule warns or fails.

Both are beside the stream: no row's verdict depends on them. A window ends after a time or after so many rows,
whichever comes first. A threshold is over a time, and it expires by itself.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from biokeel.validate.durations import duration, seconds_of
from biokeel.validate.values import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from biokeel.validate.findings import Faults

SHORTEST_SECONDS: Final = 300
LONGEST_SECONDS: Final = 5 * 86_400
"""Of a window: the files of what landed are kept for a week, also where they were rewritten as fewer."""
FEWEST_ROWS: Final = 100
MOST_ROWS: Final = 2_000_000
"""Of a window: Great Expectations holds them in memory, some 50 bytes for each value."""
BY_SOURCE: Final = "source"
_LENGTH: Final = f'Write "{duration(SHORTEST_SECONDS)}" to "{duration(LONGEST_SECONDS)}", such as "12h" or "1d".'


@dataclass(frozen=True, slots=True)
class Window:
    """Rows as they landed, until `seconds` are over (from midnight UTC of 1970 on) or there are `rows`.

    `by_source`: each source's rows of it are judged by themselves.
    """

    seconds: int = 86_400
    rows: int = 500_000
    by_source: bool = False

    def __str__(self) -> str:
        """As stewards read it."""
        each = ", each source by itself" if self.by_source else ""
        return f"every {duration(self.seconds)} or {self.rows:,} rows{each}"

    @property
    def ends(self) -> tuple[int, int]:
        """When it ends: windows that end alike are one."""
        return self.seconds, self.rows


@dataclass(frozen=True, slots=True)
class Threshold:
    """From which share (0 to 1) of a source's rows in `seconds` on a rule warns, or fails; None for never.

    `until`: the last day (UTC) on which it holds.
    """

    warn: float | None
    fail: float | None
    seconds: int
    until: dt.date
    reason: str

    def __str__(self) -> str:
        """As stewards read it."""
        shares = (("warns", self.warn), ("fails", self.fail))
        words = " and ".join(f"{word} from {share:.4g}" for word, share in shares if share is not None)
        return f"{words} of a source's rows in {duration(self.seconds)}, until {self.until}"

    def holds(self, on: dt.date) -> bool:
        """Whether it has not expired."""
        return on <= self.until


DEFAULT: Final = Window()


def window_of(meta: Mapping[str, Any], faults: Faults, default: Window = DEFAULT) -> Window:
    """The window that `meta` names, of a suite or of an expectation; what it does not say is as in `default`."""
    said = meta.get("window")
    if said is None:
        return default
    place = "meta.window"
    if not isinstance(said, dict):
        faults.add(place, "a window is an object.", 'Write {"every": "1d", "rows": 500000}.')
        return default
    if unknown := sorted(said.keys() - {"every", "rows", "by"}):
        faults.add(place, f"a window takes no {shown(unknown)}.", "It takes every, rows and by.")
    seconds, rows, by = default.seconds, default.rows, default.by_source
    if "every" in said:
        seconds = _seconds(said["every"], f"{place}.every", faults, default.seconds)
    if "rows" in said:
        rows = said["rows"]
        if not isinstance(rows, int) or isinstance(rows, bool) or not FEWEST_ROWS <= rows <= MOST_ROWS:
            faults.add(f"{place}.rows", "rows is no number of rows.", f"Write {FEWEST_ROWS} to {MOST_ROWS}.")
            rows = default.rows
    if "by" in said:
        by = said["by"] == BY_SOURCE
        if said["by"] not in (BY_SOURCE, None):
            faults.add(f"{place}.by", "a window is judged by source, or as a whole.", 'Write "by": "source", or null.')
    return Window(seconds, rows, by)


def threshold_of(meta: Mapping[str, Any], faults: Faults) -> Threshold | None:
    """The threshold that the `meta` of an expectation names; None where there is none, or it is none."""
    said = meta.get("threshold")
    if said is None:
        return None
    place, before = "meta.threshold", len(faults.found)
    if not isinstance(said, dict):
        faults.add(place, "a threshold is an object.", 'Write {"warn": 0.02, "until": "2027-06-30", "reason": "…"}.')
        return None
    if unknown := sorted(said.keys() - {"warn", "fail", "window", "until", "reason"}):
        faults.add(place, f"a threshold takes no {shown(unknown)}.", "It takes warn, fail, window, until and reason.")
    warn, fail = (_share(said, name, faults) for name in ("warn", "fail"))
    if "warn" not in said and "fail" not in said:
        faults.add(place, "a threshold neither warns nor fails.", "Write warn, fail, or both.")
    if warn is not None and fail is not None and warn > fail:
        faults.add(place, "it warns from a larger share on than it fails.", "Exchange them.")
    seconds = _seconds(said.get("window", "1d"), f"{place}.window", faults, DEFAULT.seconds)
    reason = said.get("reason")
    if not isinstance(reason, str) or not reason.strip():
        faults.add(f"{place}.reason", "a threshold has no reason.", "Say why it is there.")
    try:
        until = dt.date.fromisoformat(said.get("until", ""))
    except (TypeError, ValueError):
        faults.add(f"{place}.until", "a threshold has no end.", 'Write the last day of it: "until": "2027-06-30".')
        return None
    return Threshold(warn, fail, seconds, until, str(reason)) if len(faults.found) == before else None


def _seconds(said: object, place: str, faults: Faults, default: int) -> int:
    seconds = seconds_of(said)
    if seconds is None or not SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
        faults.add(place, "it is no length of a window.", _LENGTH)
        return default
    return seconds


def _share(said: Mapping[str, Any], name: str, faults: Faults) -> float | None:
    share = said.get(name)
    if share is None:
        return None
    if not isinstance(share, int | float) or isinstance(share, bool) or not 0 < share <= 1:
        faults.add(f"meta.threshold.{name}", f"{name} is no share.", "Write it as 0.02.")
        return None
    return float(share)
