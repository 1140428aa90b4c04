"""A steward's day, for `biokeel demo`: a wrong limit, what it did, and the way back, while events flow."""

from __future__ import annotations

import datetime as dt
import json
import time
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

import polars as pl

from biokeel.contracts.receipts import Outcome
from biokeel.contracts.topics import event_type
from biokeel.demo.defects import Verdict
from biokeel.demo.stewards import MadeUpStewards
from biokeel.errors import BooksDoNotBalance
from biokeel.rules.backtest import Comparison
from biokeel.rules.backtest_rows import Scope
from biokeel.rules.backtest_suites import read_written
from biokeel.rules.differences import differences
from biokeel.rules.of_the_book import versions_of
from biokeel.rules.report import report_on
from biokeel.rules.report_pages import page_of
from biokeel.rules.reverdict import Filter, Reverdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from rich.console import Console

    from biokeel.books.balance import Books
    from biokeel.contracts.receipts import Receipt
    from biokeel.contracts.schema import EventSchema
    from biokeel.contracts.topics import EventType
    from biokeel.demo import DemoCorpus
    from biokeel.land.lake import Lake
    from biokeel.rules.backtest import Backtest
    from biokeel.rules.reverdict import Preview, State

PRESSURE: Final = event_type("clinical.blood_pressure")
RULE: Final = "bp.systolic.range"
WRONG: Final = 125
"""mm[Hg]: about half of the good ones are above it."""
EVENTS: Final = 400
"""Events that flow meanwhile, at most."""
PART: Final = 20
PATIENCE_SECONDS: Final = 60.0
_SAMPLES: Final = json.dumps(
    {
        "defaults": {
            "source_id": "hospital/demo",
            "occurred_at": "2024-05-01T09:30:00+09:00",
            "recorded_at": "2024-05-01T09:45:00+09:00",
            "panel_code": "85354-9",
            "systolic": 110,
            "diastolic": 79,
            "status": "final",
        },
        "samples": [
            {"why": "a good one", "row": {}},
            {"why": "a typing error", "row": {"systolic": 900}, "failed": [RULE], "warnings": ["bp.systolic.usual"]},
        ],
    }
)


@dataclass(frozen=True, slots=True)
class Around:
    """What the day needs of the stack: to send events and wait for them in Kafka, the books once all has landed, the
    list of people whom the vault has stopped, what sources have heard, and how a backtest is shown.
    """

    send: Callable[[EventType, pl.DataFrame], None]
    balanced: Callable[[], Books]
    stopped: Callable[[], str]
    heard: Callable[[], Iterable[Receipt]]
    show: Callable[[Backtest, Console], None]


def show_stewards_day(
    corpus: DemoCorpus, lake: Lake, schemas: Mapping[EventType, EventSchema], around: Around, console: Console
) -> None:
    """Let two made-up stewards make a mistake and mend it. Raises `BooksDoNotBalance` where anything is lost."""
    day = _Day(lake, schemas, around, console)
    parts = list(_good_events(corpus).iter_slices(PART))
    before = day.quarantined()
    right = day.stewards.review.standing(PRESSURE).page.version.submitted.suite
    day.put_in_force(_with_limit(right, WRONG), "A typing error")
    while parts and day.quarantined() - before < PART:
        around.send(PRESSURE, parts.pop())
    console.print(f"Workers follow: {day.quarantined() - before} good events are quarantined by it.")
    day.show_what_changes(right)
    day.put_in_force(right, f"{WRONG} was a typing error")
    stopped = -1
    while parts and stopped != (stopped := day.quarantined() - before):
        around.send(PRESSURE, parts.pop())
    console.print(f"Workers follow: {stopped} wait in quarantine, and what comes now lands.")
    without = day.desk.leave_out(PRESSURE, around.stopped())
    preview = day.desk.preview_release(PRESSURE, Filter((RULE,), without=without))
    heard = day.amended()
    day.order(preview, "They were right")
    for part in parts:
        around.send(PRESSURE, part)
    (released,) = day.carried_out()
    if (left := day.quarantined() - before) or released.moved != stopped:
        raise BooksDoNotBalance(f"{left} of {stopped} events were not released, {released.moved} were.")
    others = sum(part.height for part in parts)
    console.print(f"{released.moved} events were released once, while {others} others landed.")
    day.show_receipts(heard, released.moved)
    day.show_report()
    day.order(day.desk.preview_undo(PRESSURE, 1), "To show that nothing is lost")
    day.carried_out()
    if day.quarantined() - before != released.moved:
        raise BooksDoNotBalance("An operation that was undone has not brought everything back.")
    console.print("The same undone: they lie in quarantine again, by the version of then, and the books balance.")


class _Day:
    def __init__(self, lake: Lake, schemas: Mapping[EventType, EventSchema], around: Around, console: Console) -> None:
        self.stewards = MadeUpStewards(lake.objects, schemas, ("ann", "ben"))
        self.desk = Reverdict(lake, schemas, self.stewards.review, four_eyes=True)
        self._lake = lake
        self._schema = schemas[PRESSURE]
        self._around = around
        self._console = console
        self._began = dt.datetime.now(dt.UTC)

    def put_in_force(self, text: str, reason: str) -> None:
        """Ann drafts and submits, Ben approves."""
        was = self.stewards.review.standing(PRESSURE).page.version.submitted.suite
        page = self.stewards.put_in_force(PRESSURE, text, _SAMPLES, reason)
        author, approver = page.version.submitted.author, page.version.approver
        self._console.print(f"Version {page.stamp} of {author}, approved by {approver}: {reason}", highlight=False)
        for sentence in differences(was, text):
            self._console.print(f"  {sentence}", highlight=False)

    def show_what_changes(self, text: str) -> None:
        """Ann looks at what her draft would change of all that ever came."""
        standing = self.stewards.review.standing(PRESSURE)
        versions = versions_of(standing, self._schema)
        draft = read_written(text, self._schema, "Ann's draft")
        against = versions[standing.page.stamp]
        found = Comparison(self._lake, self._schema, draft, against, scope=Scope(), stamps=versions).run()
        self._around.show(found, self._console)

    def order(self, preview: Preview, reason: str) -> None:
        """Ann orders it; where that needs a second person, Ben approves."""
        made = self.desk.order(preview, self.stewards.author, reason)
        if isinstance(made, str):
            self.desk.approve(PRESSURE, made, self.stewards.approver)
        self._console.print(f"Ordered: {preview.purpose} of {preview.rows} rows. {reason}.", highlight=False)

    def carried_out(self) -> list[State]:
        """All operations, once they are done. Raises `BooksDoNotBalance` where that takes too long."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            states = self.desk.states(PRESSURE)
            if not any(each.open_in for each in states):
                return states
            if time.monotonic() > deadline:
                raise BooksDoNotBalance("The workers do not carry out what was ordered.", "See their logs.")
            time.sleep(0.5)

    def quarantined(self) -> int:
        """How many events are quarantined, once all has landed."""
        return self._around.balanced().total(Verdict.QUARANTINED)

    def show_receipts(self, before: int, moved: int) -> None:
        """Show that the sources heard of what was released. Raises `BooksDoNotBalance` where they do not in time."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (heard := self.amended() - before) < moved:
            if time.monotonic() > deadline:
                raise BooksDoNotBalance(f"Sources heard of {heard} of {moved} releases.", "See the log.")
            time.sleep(0.5)
        self._console.print(f"Their sources hear it: of {heard} events the receipts are amended, quarantined → landed.")

    def amended(self) -> int:
        """Of how many events sources have heard that they landed after all."""
        landed = (each for each in self._around.heard() if each.amends and each.outcome is Outcome.LANDED)
        return sum(len(each) for each in landed if each.event == str(PRESSURE))

    def show_report(self) -> None:
        """Show what is new about failures."""
        now = dt.datetime.now(dt.UTC)
        standing = self.stewards.review.standing(PRESSURE)
        force = versions_of(standing, self._schema)[standing.page.stamp]
        report = report_on(self._lake, PRESSURE, force, self._began, now)
        self._console.print(page_of([report], [], self._began, now).summary, highlight=False, soft_wrap=True)


def _good_events(corpus: DemoCorpus) -> pl.DataFrame:
    """Blood pressures that land, as measured anew: with ids of their own."""
    good = corpus.labels.filter(pl.col("verdict") == Verdict.CURATED, ~pl.col("waits"), pl.col("defect").is_null())
    frame = corpus.events[PRESSURE].join(good.select("event_id"), on="event_id", how="semi").head(EVENTS)
    ids = [blake2b(each.encode(), digest_size=16).hexdigest() for each in frame["event_id"]]
    return frame.with_columns(pl.Series("event_id", ids))


def _with_limit(text: str, limit: int) -> str:
    suite = json.loads(text)
    (rule,) = (each for each in suite["expectations"] if each["meta"].get("rule") == RULE)
    rule["kwargs"]["max_value"] = limit
    return json.dumps(suite)
