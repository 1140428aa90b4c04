"""The parts of the console's page as HTML and SVG, from a `View`. Pure: what a page shows can be tested without one."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from html import escape
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, Any, Final

from biokeel.books.balance import EventBooks
from biokeel.contracts.topics import PERSON_EVENTS
from biokeel.observe.metrics import Edge
from biokeel.observe.stats import Lag
from biokeel.reasons import NOTHING_TO_MEND

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from biokeel.console.watch import Moment, View

UNKNOWN: Final = "–"
_MOST_WITHHELD: Final = 20
_BOOKS_COLUMNS: Final = tuple(EventBooks(PERSON_EVENTS[0]).figures())


def header(view: View) -> str:
    """Every worker with its health in words, and when this was read."""
    badges = "".join(
        f'<span class="badge {health}" data-testid="worker-{escape(run.worker)}">'
        f"{escape(run.worker)} {run.pid}: {health}</span>"
        for run, health in view.snapshot.workers.items()
    )
    return (
        '<div class="bar"><div><h1>Biokeel operations</h1>'
        '<span class="soft">Workers read at '
        f'<span data-testid="stats-time">{_clock(view.snapshot.taken_at)}</span></span></div>'
        f'<div class="badges" role="status">{badges or "<span class=badge>No worker runs</span>"}</div></div>'
    )


def tiles(view: View) -> str:
    """The four figures to see first: throughput, what waits, rejects, and whether the books balance."""
    rates = _latest(view)
    landed = rates[Edge.CURATED] + rates[Edge.QUARANTINED]
    waiting = sum(lag.events for (worker, _), lag in view.snapshot.lags.items() if worker == "pseudonymise")
    behind = max((lag.seconds for lag in view.snapshot.lags.values()), default=0.0)
    rejected = sum(count for reason, count in view.snapshot.by_reason().items() if reason not in NOTHING_TO_MEND)
    verdict, kind, detail = _verdict(view)
    return (
        '<div class="tiles">'
        + _tile("Landed events a second", f"{landed:,.0f}", "landed-rate", "curated and quarantined")
        + (
            _tile("Waiting in raw topics", f"{waiting:,}", "waiting", f"at most {behind:,.1f} s behind")
            if view.snapshot.workers  # nothing is known of what waits where nobody counts it
            else _tile("Waiting in raw topics", UNKNOWN, "waiting", "no worker runs", "bad")
        )
        + _tile("Rejected", f"{rejected:,}", "rejected", "since the workers started")
        + _tile("The books", verdict, "books-verdict", detail, kind)
        + "</div>"
    )


def alarms(view: View) -> str:
    """What is strange about sources, each with what to do."""
    if not view.alarms:
        return ""
    rows = "".join(
        f'<li data-testid="alarm-{escape(alarm.source)}-{alarm.kind}">{escape(alarm.sentence)}</li>'
        for alarm in view.alarms
    )
    return f'<section class="card warn" role="alert"><h2>Sources</h2><ul>{rows}</ul></section>'


def beside(view: View) -> str:
    """What rules about many rows find strange, each with what to do."""
    if view.beside is None or not view.beside.alarms:
        return ""
    rows = "".join(f'<li data-testid="beside-alarm">{escape(sentence)}</li>' for sentence in view.beside.alarms)
    return f'<section class="card warn" role="alert"><h2>Rules about many rows</h2><ul>{rows}</ul></section>'


def flow(view: View) -> str:
    """The way of an event with a number on every edge."""
    rates = _latest(view)
    books = view.books
    places = {name: UNKNOWN if books is None else f"{books.total(name):,}" for name in _BOOKS_COLUMNS}

    def lag(worker: str) -> str:
        return f"{sum(lag.events for (kind, _), lag in view.snapshot.lags.items() if kind == worker):,}"

    drawing = _flow_template().substitute(
        places,
        published=UNKNOWN if books is None else f"{view.published:,.0f}",
        read_raw=f"{rates[Edge.READ_RAW]:,.0f}",
        pseudonymised=f"{rates[Edge.PSEUDONYMISED] + rates[Edge.RELEASED]:,.0f}",
        read_pseudo=f"{rates[Edge.READ_PSEUDO]:,.0f}",
        curated_rate=f"{rates[Edge.CURATED]:,.0f}",
        quarantined_rate=f"{rates[Edge.QUARANTINED]:,.0f}",
        parked_rate=f"{rates[Edge.PARKED]:,.0f}",
        released_rate=f"{rates[Edge.RELEASED]:,.0f}",
        sealed_rate=f"{rates[Edge.SEALED]:,.0f}",
        applied_rate=f"{rates[Edge.APPLIED]:,.0f}",
        raw_lag=lag("pseudonymise"),
        pseudo_lag=lag("curate"),
    )
    return (
        '<section class="card"><h2>The way of an event <small>events a second on the arrows, '
        f'the books\' counts in the boxes</small></h2><div class="flow-box">{drawing}</div></section>'
    )


def plot(view: View) -> str:
    """Events a second over the last two minutes: read from raw topics, and landed."""
    came = [moment.rates[Edge.READ_RAW] for moment in view.moments]
    went = [moment.rates[Edge.CURATED] + moment.rates[Edge.QUARANTINED] for moment in view.moments]
    top = _round_up(max([*came, *went, 2.0]))
    lines = "".join(
        f'<line class="grid" x1="64" x2="690" y1="{y}" y2="{y}"/>'
        f'<text x="58" y="{y + 4}" text-anchor="end">{label}</text>'
        for y, label in ((24, f"{top:,.0f}"), (109, f"{top / 2:,.0f}"), (194, "0"))
    )
    summary = f"now {came[-1]:,.0f} read and {went[-1]:,.0f} landed a second" if came else "no figures yet"
    return (
        '<section class="card"><h2>Events a second <small>last two minutes</small></h2>'
        f'<svg class="plot" viewBox="0 0 700 242" role="img" aria-label="Events a second: {summary}">{lines}'
        f'<polyline class="in" points="{_points(view.moments, came, top)}"/>'
        f'<polyline class="out" points="{_points(view.moments, went, top)}" data-testid="plot-landed"/>'
        '<text x="64" y="212">2 min ago</text><text x="690" y="212" text-anchor="end">now</text>'
        '<text class="in" x="64" y="234">- - read from raw topics</text>'
        '<text class="out" x="250" y="234">— landed in tables</text></svg>'
        f'<p class="soft" data-testid="plot-summary">{summary}</p></section>'
    )


def lag_table(view: View) -> str:
    """What waits, by event type."""
    rows = []
    for event in view.snapshot.types:
        raw, pseudo = (view.snapshot.lags.get((worker, event), Lag(0, 0.0)) for worker in ("pseudonymise", "curate"))
        cells = (f"{raw.events:,}", f"{pseudo.events:,}", f"{max(raw.seconds, pseudo.seconds):,.1f}")
        tests = (f"lag-raw-{event}", f"lag-pseudo-{event}", f"lag-seconds-{event}")
        rows.append(_row(str(event), zip(cells, tests, strict=True), quiet=not (raw.events or pseudo.events)))
    return (
        '<section class="card"><h2>Lag by event type</h2><div class="scroll"><table>'
        + _head("event type", ("raw, events", "pseudo, blocks", "seconds"))
        + f"<tbody>{''.join(rows)}</tbody></table></div></section>"
    )


def rejects(view: View) -> str:
    """Rejected events by reason, with whose job each is."""
    rows = "".join(
        f"<tr><th scope=row>{reason}</th>"
        f'<td class="n" data-testid="rejected-{reason}">{count:,}</td><td>{reason.owner}</td>'
        f"<td>{escape(reason.meaning)}</td></tr>"
        for reason, count in view.snapshot.by_reason().items()
    )
    body = rows or '<tr><td colspan="4">None since the workers started.</td></tr>'
    return (
        '<section class="card"><h2>Rejects by reason <small>since the workers started</small></h2>'
        '<div class="scroll"><table><thead><tr><th scope=col>reason</th><th scope=col class="n">events</th>'
        "<th scope=col>whose job</th><th scope=col>meaning</th></tr></thead>"
        f"<tbody>{body}</tbody></table></div></section>"
    )


def withheld(view: View) -> str:
    """Values that did not have the form of their field, by source and field."""
    shown = view.snapshot.most_withheld(_MOST_WITHHELD)
    rows = "".join(
        f"<tr><th scope=row>{escape(of.source)}</th><td>{of.event}.{escape(of.name)}</td>"
        f'<td class="n" data-testid="withheld-{escape(of.source)}-{of.event}-{escape(of.name)}">{count:,}</td></tr>'
        for of, count in shown.items()
    )
    more = len(view.snapshot.withheld) - len(shown)
    rows += f'<tr><td colspan="3">and {more:,} more (biokeel status --json)</td></tr>' if more else ""
    body = rows or '<tr><td colspan="3">None since the workers started.</td></tr>'
    return (
        '<section class="card"><h2>Withheld values <small>without the form of their field, since the workers started'
        '</small></h2><div class="scroll"><table><thead><tr><th scope=col>source</th><th scope=col>field</th>'
        f'<th scope=col class="n">values</th></tr></thead><tbody>{body}</tbody></table></div></section>'
    )


def books_table(view: View) -> str:
    """The same figures as `biokeel verify`, and the version of each table."""
    title = "<h2>The books and the tables <small>"
    trouble = (
        f'<p class="warn" role="alert" data-testid="books-trouble">{escape(view.trouble)}</p>' if view.trouble else ""
    )
    if view.books is None:
        return f'<section class="card">{title}not read yet</small></h2>{trouble}</section>'
    books = view.books
    rows = []
    for event in books.events:
        figures = event.figures() | {"replays": view.snapshot.total(Edge.REPEATED, event.event)}
        cells = [(f"{figures[column]:,}", f"books-{event.event}-{column}") for column in _BOOKS_COLUMNS]
        for table in ("curated", "quarantine"):
            version = view.snapshot.versions.get((event.event, table))
            cells.append((UNKNOWN if version is None else str(version), f"version-{table}-{event.event}"))
        rows.append(_row(str(event.event), cells, quiet=not event.raw, alarms=figures))
    totals_of = {column: books.total(column) for column in _BOOKS_COLUMNS}
    totals_of["replays"] = view.snapshot.total(Edge.REPEATED)
    totals = "".join(
        f'<td class="n" data-testid="books-total-{column}">{totals_of[column]:,}</td>' for column in _BOOKS_COLUMNS
    )
    # What is missing is as a rule on its way, which is no reason for alarm; what is doubled never is.
    faults = "".join(
        f'<p class="{kind}" data-testid="books-{column}">{words}: {escape(books.named(column))}</p>'
        for column, kind, words in (("missing", "soft", "Not arrived yet"), ("doubled", "warn", "Doubled"))
        if books.total(column)
    )
    return (
        f'<section class="card">{title}as <code>biokeel verify</code> proves them · seen at '
        f'<span data-testid="books-time">{_clock(books.taken_at)}</span></small></h2>'
        f'{trouble}{faults}<div class="scroll"><table>'
        + _head("event type", (*_BOOKS_COLUMNS, "curated version", "quarantine version"))
        + f"<tbody>{''.join(rows)}</tbody><tfoot><tr><th scope=row>all</th>{totals}<td></td><td></td></tr></tfoot>"
        "</table></div></section>"
    )


def rules_table(view: View) -> str:
    """Which version of each suite is in force, whose it is, and what is wrong with the book of rules."""
    title = "<h2>Rules in force <small>"
    if isinstance(view.rules, str):
        return f'<section class="card">{title}not known</small></h2><p class="warn">{escape(view.rules)}</p></section>'
    rows, faults = [], []
    for event, rule in view.rules.items():
        told = (rule.version or UNKNOWN, rule.author, rule.approver, rule.at)
        names = ("version", "author", "approver", "since")
        cells = [(escape(text), f"rules-{event}-{name}") for name, text in zip(names, told, strict=True)]
        rows.append(_row(str(event), cells, quiet=False))
        if rule.fault:
            faults.append(f'<p class="warn" data-testid="rules-{event}-fault">{event}: {escape(rule.fault)}</p>')
        faults += [f"<p>{event}: {escape(waiver.told())}</p>" for waiver in rule.waivers]
    return (
        f'<section class="card">{title}as the book has them: <code>biokeel suite history</code></small></h2>'
        f'{"".join(faults)}<div class="scroll"><table>'
        + _head("event type", ("version", "author", "approved by", "since"))
        + f"<tbody>{''.join(rows)}</tbody></table></div></section>"
    )


@cache
def _flow_template() -> Template:
    return Template(files("biokeel.console").joinpath("flow.svg").read_text(encoding="utf-8"))


def _latest(view: View) -> dict[Edge, float]:
    return view.moments[-1].rates if view.moments else dict.fromkeys(Edge, 0.0)


def _verdict(view: View) -> tuple[str, str, str]:
    if view.books is None:
        return UNKNOWN, "", "not read yet"
    missing, doubled = view.books.total("missing"), view.books.total("doubled")
    if doubled:
        return "✕ Doubled", "bad", f"{doubled:,} doubled, {missing:,} missing"
    if missing:
        return "… On the way", "hold", f"{missing:,} not arrived yet"
    return "✓ Balanced", "good", "every event in exactly one place"


def _tile(title: str, figure: str, test: str, detail: str, kind: str = "") -> str:
    return (
        f'<div class="card tile {kind}"><div class="soft">{title}</div>'
        f'<div class="big" data-testid="{test}">{figure}</div>'
        f'<div class="soft" data-testid="{test}-detail">{detail}</div></div>'
    )


def _head(first: str, columns: Iterable[str]) -> str:
    cells = "".join(f'<th scope=col class="n">{column}</th>' for column in columns)
    return f"<thead><tr><th scope=col>{first}</th>{cells}</tr></thead>"


def _row(name: str, cells: Iterable[tuple[str, str]], *, quiet: bool, alarms: dict[str, Any] | None = None) -> str:
    kinds = {"missing": "hold", "doubled": "alarm"}
    marked = {f"books-{name}-{column}": kind for column, kind in kinds.items() if (alarms or {}).get(column)}
    written = "".join(f'<td class="n {marked.get(test, "")}" data-testid="{test}">{text}</td>' for text, test in cells)
    return f'<tr class="{"quiet" if quiet else ""}"><th scope=row>{name}</th>{written}</tr>'


def _points(moments: Sequence[Moment], figures: Sequence[float], top: float) -> str:
    if not moments:
        return ""
    now = moments[-1].at
    return " ".join(
        f"{690 - (now - moment.at) / 120 * 626:.1f},{194 - figure / top * 170:.1f}"
        for moment, figure in zip(moments, figures, strict=True)
        if now - moment.at <= 120
    )


def _round_up(figure: float) -> float:
    """The next 1, 2 or 5 times a power of ten, so that the plot's scale is round and seldom jumps."""
    power = 10.0 ** (len(str(int(figure))) - 1)
    return next(step * power for step in (1, 2, 5, 10) if step * power >= figure)


def _clock(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return f'<time datetime="{moment.isoformat()}">{moment:%H:%M:%S} UTC</time>'
