"""A backtest as a picture: by rule, by source and month, and a limit slid. Counts and names of rules, never a value."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Final

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from biokeel.rules.backtest import month_name
from biokeel.rules.compared import Change

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from biokeel.rules.backtest import Backtest
    from biokeel.rules.backtest_sweep import Swept

# Told apart by people who see no red or no green too: Okabe and Ito, Color Universal Design, 2008.
_FAILING: Final = "#D55E00"
_PASSING: Final = "#009E73"
_OTHER: Final = "#56B4E9"
_COLOURS: Final = {Change.NEWLY_FAILING: _FAILING, Change.NEWLY_PASSING: _PASSING, Change.OTHER_SEVERITY: _OTHER}
_MOST: Final = 30
"""Bars of one part: rules with the most rows, sources with the most, the newest months."""


def png_of(found: Backtest) -> bytes:
    """The picture as the bytes of a PNG file."""
    written = BytesIO()
    figure_of(found).savefig(written, format="png", dpi=120)
    return written.getvalue()


def figure_of(found: Backtest) -> Figure:
    """The picture: one part below the other."""
    rules = [(each.rule, [found.counts(each.rule, change) for change in Change]) for each in found.rules]
    rules = sorted(rules, key=lambda each: sum(each[1]))[-_MOST:]
    sources = [(row[0], list(row[2:])) for row in found.by("source_id").sort("rows").iter_rows()][-_MOST:]
    months = [(month_name(row[0]), list(row[2:])) for row in found.by("month").iter_rows()][-_MOST:][::-1]
    heights = [0.6 + 0.3 * max(len(part), 1) for part in (rules, sources, months)] + ([3.5] if found.swept else [])
    figure = Figure(figsize=(9, 1 + sum(heights)), layout="constrained")
    figure.suptitle(
        f"{found.event}: draft {found.draft} against {found.against}, {found.judged:,} rows\n"
        f"newly quarantined {found.moved(would_stop=True):,}, released {found.moved(would_stop=False):,}"
    )
    parts = figure.subplots(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    changes = {str(change): colour for change, colour in _COLOURS.items()}
    _bars(parts[0], "By rule", rules, changes)
    moves = {"newly quarantined": _FAILING, "released": _PASSING}
    _bars(parts[1], "By source", sources, moves)
    _bars(parts[2], "By month", months, moves)
    if found.swept:
        _slid(parts[3], found.swept)
    return figure


def _bars(axes: Axes, title: str, rows: list[tuple[str, list[int]]], words: dict[str, str]) -> None:
    """Bars beside each other, a group for each of `rows`, the last one on top."""
    thick = 0.8 / len(words)
    for number, (word, colour) in enumerate(words.items()):
        at = [place + 0.4 - thick * (number + 0.5) for place in range(len(rows))]
        bars = axes.barh(at, [counts[number] for _, counts in rows], thick, label=word, color=colour)
        axes.bar_label(bars, [f"{counts[number]:,}" if counts[number] else "" for _, counts in rows], padding=3, size=7)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows], size=8)
    axes.set_title(title, loc="left", size=10)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.xaxis.set_major_formatter(_WHOLE)
    axes.set_xlim(0, 1.12 * max([count for _, counts in rows for count in counts], default=0) or 1)
    _legend(axes)


def _slid(axes: Axes, swept: Swept) -> None:
    values = [point.value for point in swept.points]
    for word, colour in (("failing", _OTHER), ("newly_quarantined", _FAILING), ("released", _PASSING)):
        counts = [getattr(point, word) for point in swept.points]
        axes.plot(values, counts, marker=".", label=word.replace("_", " "), color=colour)
    if swept.now is not None and values[0] <= swept.now <= values[-1]:
        axes.axvline(swept.now, color="black", linestyle=":", label="the draft's")
    axes.set_title(f"{swept.rule}: {swept.limit} of {swept.column} slid", loc="left", size=10)
    axes.yaxis.set_major_formatter(_WHOLE)
    axes.set_ylim(bottom=0)
    _legend(axes)


def _legend(axes: Axes) -> None:
    """Above the part, where nothing else is."""
    axes.legend(fontsize=7, loc="lower right", bbox_to_anchor=(1, 1), ncols=4, frameon=False)


_WHOLE: Final = FuncFormatter(lambda count, _: f"{count:,.0f}")
