"""The report of what is new as a page: sections with tables, written as Markdown and as HTML.

A page has names of rules, sources and fields, counts, and the stewards' notes; nothing of any row.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final

from biokeel.rules.report import News

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Sequence

    from biokeel.rules.report import EventReport, Failing, Withheld

_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; }
table { border-collapse: collapse; margin: 0.5rem 0 1.5rem; width: 100%; }
th, td { border-bottom: 1px solid #ccc; padding: 0.3rem 0.6rem; text-align: left; vertical-align: top; }
th { background: #f2f2f2; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
"""
_NUMBERS: Final = frozenset({"rows", "since", "before", "share since", "share before"})
"""Headings of columns of figures."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table with its title."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Section:
    """One event type: sentences, then tables; those without a row are left out."""

    title: str
    sentences: tuple[str, ...]
    tables: tuple[Table, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """A report of several event types."""

    title: str
    summary: str
    sections: tuple[Section, ...]


def page_of(reports: Sequence[EventReport], silent: Iterable[str], since: dt.datetime, now: dt.datetime) -> Page:
    """The page of `reports`; `silent` are event types of which nothing has landed."""
    counts = {news: sum(each.news is news for report in reports for each in report.failing) for news in News}
    told = ", ".join(f"{count:,} {news}" for news, count in counts.items())
    nothing = sorted(silent)
    summary = f"Rules by source: {told}."
    if nothing:
        summary += f" Nothing has landed of {', '.join(nothing)}."
    title = f"What is new since {_time(since)}, as of {_time(now)}"
    return Page(title, summary, tuple(_section(report, since) for report in reports))


def markdown(page: Page) -> str:
    """The page as Markdown."""
    lines = [f"# {_marked(page.title)}", "", _marked(page.summary), ""]
    for section in page.sections:
        lines += [f"## {_marked(section.title)}", ""]
        lines += [f"- {_marked(sentence)}" for sentence in section.sentences]
        for table in section.tables:
            rules = ("---:" if heading in _NUMBERS else "---" for heading in table.headings)
            lines += ["", f"### {_marked(table.title)}", "", _line(table.headings), f"| {' | '.join(rules)} |"]
            lines += [_line(row) for row in table.rows]
        lines.append("")
    return "\n".join(lines)


def html(page: Page) -> str:
    """The page as one HTML document that needs no other file."""
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        f"<title>{escape(page.title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(page.title)}</h1><p>{escape(page.summary)}</p>",
    ]
    for section in page.sections:
        sentences = "".join(f"<li>{escape(sentence)}</li>" for sentence in section.sentences)
        parts.append(f"<h2>{escape(section.title)}</h2><ul>{sentences}</ul>")
        parts += [_html_table(table) for table in section.tables]
    return "\n".join([*parts, "</body></html>\n"])


def _section(report: EventReport, since: dt.datetime) -> Section:
    came = f"{report.landed:,} landed, {report.quarantined:,} quarantined by a rule"
    sentences = [
        f"Since {_time(max(since, report.begins))}: {came}; {report.rows:,} rows of all time.",
        f"Compared with what landed from {_time(report.compared_from)} until then.",
    ]
    if report.begins > since:
        sentences.append(f"The log of the tables does not know what landed before {_time(report.begins)} any more.")
    if report.version:
        sentences.append(f"Version {report.version} is in force.")
    if report.fault:
        sentences.append(f"Nothing is known of the suite in force: {report.fault}")
    if report.aside:
        aside = ", ".join(f"{rows:,} {why}" for why, rows in sorted(report.aside.items()))
        sentences.append(f"In the quarantine table, and not counted here: {aside}.")
    if report.not_told:
        sentences.append(f"Only counted, so nothing is told of them: {', '.join(report.not_told)}.")
    tables = (
        *(
            Table(
                f"{news.capitalize()} failures",
                ("rule", "severity", "source", "since", "share since", "before", "share before", "notes"),
                tuple(_failing(each) for each in report.failing if each.news is news),
            )
            for news in News
        ),
        Table("Rules that no row has ever failed", ("rule",), tuple((rule,) for rule in report.dead)),
        Table(
            "Rules that always fail together",
            ("rules", "rows"),
            tuple((", ".join(rules), f"{rows:,}") for rules, rows in report.together),
        ),
        Table(
            "Withheld at the wall",
            ("field", "source", "since", "share since", "before", "share before"),
            tuple(_withheld(each) for each in report.withheld),
        ),
    )
    return Section(report.event, tuple(sentences), tuple(table for table in tables if table.rows))


def _failing(each: Failing) -> tuple[str, ...]:
    return each.rule, each.severity or "not in force", each.source, *_figures(each), each.notes


def _withheld(each: Withheld) -> tuple[str, ...]:
    return each.field, each.source, *_figures(each)


def _figures(each: Failing | Withheld) -> tuple[str, ...]:
    of = (each.since, each.rows_since), (each.before, each.rows_before)
    return tuple(text for some, rows in of for text in (f"{some:,}", f"{some / rows:.2%}" if rows else "–"))


def _time(moment: dt.datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(map(_marked, cells))} |"


def _marked(text: str) -> str:
    """`text` on one line, as Markdown shows it and does not obey it."""
    flat = " ".join(text.split())
    return "".join(f"\\{character}" if character in "\\`*_{}[]<>#|~" else character for character in flat)


def _html_table(table: Table) -> str:
    def cells(tag: str, row: Iterable[str]) -> str:
        pairs = zip(table.headings, row, strict=True)
        return "".join(
            f"<{tag}{' class=n' if heading in _NUMBERS else ''}>{escape(text)}</{tag}>" for heading, text in pairs
        )

    rows = "".join(f"<tr>{cells('td', row)}</tr>" for row in table.rows)
    head = f"<thead><tr>{cells('th', table.headings)}</tr></thead>"
    return f"<h3>{escape(table.title)}</h3><table>{head}<tbody>{rows}</tbody></table>"
