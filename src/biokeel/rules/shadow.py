"""Shadows: drafts that run beside the version in force, on what comes live, without effect.

A shadow is a signed page in the book (`biokeel.rulebook.pages.Shadow`). It says where in the tables it begins and when
it ends, so what it counts follows from the pages and the tables alone, whoever counts it and when. What was counted is
an object of its own in the lake, with how far it has come (`biokeel.land.numbered`).

| step | a process that dies before it | after it |
| --- | --- | --- |
| `start`: the page | nothing happened | it runs; the same call again is told so |
| `stop`: the end | it runs as before | it ends with what landed by then |
| counting: the object | the rows since the last one are read and counted again | they are counted, once |
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from biokeel.errors import NotApproved
from biokeel.land.landings import Reached, stands_at
from biokeel.land.numbered import Numbered
from biokeel.rulebook.book import Book
from biokeel.rulebook.pages import ENDED, SHADOWS, Shadow, ShadowEnd, Unreadable, digest_of, ended_key, shadow_key
from biokeel.rules.compared import Change
from biokeel.rules.new_rows import TABLES, table_of
from biokeel.validate.durations import duration

if TYPE_CHECKING:
    from biokeel.contracts.topics import EventType
    from biokeel.land.lake import Lake
    from biokeel.land.objects import Objects
    from biokeel.rules.keys import StewardKey

SHORTEST_SECONDS: Final = 60
LONGEST_SECONDS: Final = 31 * 86_400
SETTLE_SECONDS: Final = 60.0
"""After its end: what was committed before it may be seen that much later."""


class Running(NamedTuple):
    """A shadow of the book: its page and digest, and when it ends or ended, and by whom before its time."""

    page: Shadow
    digest: str
    until: dt.datetime
    stopped_by: str = ""

    def is_over(self, now: dt.datetime) -> bool:
        """Whether nothing that lands from `now` on counts any more."""
        return now >= self.until


class Wanted(NamedTuple):
    """A draft's text, which can be read, why it is to run beside what is in force, and for how long."""

    text: str
    reason: str
    seconds: int


class OfSource(NamedTuple):
    """Rows of a source: how many were judged, and how many of them the draft would newly stop, or let pass."""

    rows: int = 0
    newly_quarantined: int = 0
    released: int = 0


Changes = Counter[tuple[str, Change, str]]
"""Rows by rule, what is new about them, and source."""


@dataclass(slots=True)
class Counted:
    """What a shadow has counted, up to `reached` of each table. All counts are exact.

    `versions`: rows by the version that judged them. `aside`: rows that no suite judged as they came, by why. `lost`:
    rows that a vacuum took before they were read. `gaps`: how often a table's log was cleared, or the table made anew,
    before it was read; what landed meanwhile is in no count. `cpu_seconds`: what reading and judging took, of the
    worker beside the stream. `over`: why it counts no more; empty while it does. `at`: as of when (since 1970).
    """

    reached: dict[str, Reached]
    sources: dict[str, OfSource] = field(default_factory=dict)
    changes: Changes = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    aside: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    gaps: int = 0
    cpu_seconds: float = 0.0
    over: str = ""
    at: float = 0.0

    @property
    def rows(self) -> int:
        """Rows that were judged."""
        return sum(each.rows for each in self.sources.values())

    @property
    def microseconds_a_row(self) -> float:
        """What a row costs the worker beside the stream, µs of CPU; 0 where none came yet."""
        return self.cpu_seconds * 1e6 / self.rows if self.rows else 0.0

    def to_bytes(self) -> bytes:
        """As it is saved."""
        return orjson.dumps(
            {
                "reached": {table: [*at] for table, at in self.reached.items()},
                "sources": {source: [*counts] for source, counts in self.sources.items()},
                "changes": [[*key, rows] for key, rows in sorted(self.changes.items())],
                "versions": dict(self.versions),
                "aside": dict(self.aside),
                "lost": self.lost,
                "gaps": self.gaps,
                "cpu_seconds": self.cpu_seconds,
                "over": self.over,
                "at": self.at,
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Counted:
        """What `to_bytes` gave."""
        read = orjson.loads(data)
        return cls(
            {table: Reached(*at) for table, at in read["reached"].items()},
            {source: OfSource(*counts) for source, counts in read["sources"].items()},
            Counter({(rule, Change(change), source): rows for rule, change, source, rows in read["changes"]}),
            Counter(read["versions"]),
            Counter(read["aside"]),
            read["lost"],
            read["gaps"],
            read["cpu_seconds"],
            read["over"],
            read["at"],
        )

    def as_dict(self) -> dict[str, Any]:
        """For programs: `biokeel suite shadow show --json`."""
        return {
            "rows": self.rows,
            "newly_quarantined": sum(each.newly_quarantined for each in self.sources.values()),
            "released": sum(each.released for each in self.sources.values()),
            "by_source": [{"source": source, **counts._asdict()} for source, counts in sorted(self.sources.items())],
            "by_rule": [
                {"rule": rule, "change": change, "source": source, "rows": rows}
                for (rule, change, source), rows in sorted(self.changes.items())
            ],
            "versions": dict(self.versions),
            "left_aside": dict(self.aside),
            "lost": self.lost,
            "gaps": self.gaps,
            "cpu_seconds": round(self.cpu_seconds, 6),
            "microseconds_a_row": round(self.microseconds_a_row, 3),
            "over": self.over,
        }


class Shadows:
    """The shadows in the book of a lake."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._objects: Objects = lake.objects
        self._book = Book(lake.objects)
        self._known: dict[str, Running] = {}
        self._unfit: set[str] = set()

    def start(self, event: EventType, wanted: Wanted, author: StewardKey, now: dt.datetime) -> Running:
        """Let a draft run from now on.

        Raises `NotApproved` where one of the event type runs already, without a reason, for a time that is too long,
        and for a steward whom the book does not know.
        """
        self._require(author)
        if not wanted.reason.strip():
            raise NotApproved("There is no reason.", 'Say why, for those who read it: --reason "…"')
        if not SHORTEST_SECONDS <= wanted.seconds <= LONGEST_SECONDS:
            most = duration(LONGEST_SECONDS)
            raise NotApproved(f"A shadow runs for {duration(SHORTEST_SECONDS)} to {most}.", "Write --for 7d.")
        if running := [each for each in self.all(event) if not each.is_over(now)]:
            raise NotApproved(
                f"A shadow of {event} runs until {running[0].until:%Y-%m-%d %H:%M} UTC.",
                f"End it: biokeel suite shadow stop {event}",
            )
        stands = {lies: stands_at(self._lake, table_of(self._lake, event, lies)) for lies in TABLES}
        page = Shadow(
            event=str(event),
            suite=wanted.text,
            author=author.name,
            reason=wanted.reason,
            at=now.isoformat(timespec="seconds"),
            until=now + dt.timedelta(seconds=wanted.seconds),
            begins={lies: (at.version, at.mark) for lies, at in stands.items()},
        ).signed(author.key)
        data = page.to_bytes()
        self._objects.put_new(shadow_key(event, digest_of(data)), data)
        return Running(page, digest_of(data), page.until)

    def stop(self, event: EventType, by: StewardKey, now: dt.datetime) -> Running:
        """End the shadow of `event` that runs. Raises `NotApproved` where none does."""
        self._require(by)
        running = next((each for each in self.all(event) if not each.is_over(now)), None)
        if running is None:
            raise NotApproved(f"No shadow of {event} runs.", "See biokeel suite shadow list.")
        end = ShadowEnd(event=str(event), shadow=running.digest, author=by.name, at=now).signed(by.key)
        self._objects.put_new(ended_key(shadow_key(event, running.digest)), end.to_bytes())
        return running._replace(until=min(running.until, now), stopped_by=by.name)

    def all(self, event: EventType | None = None) -> list[Running]:
        """The shadows of `event`, or of all, newest first; what nobody signed for its place is none.

        Costs a LIST, and two GETs for each that was not known yet.
        """
        keys = set(self._objects.keys(shadow_key(event, "") if event is not None else SHADOWS))
        found = []
        for key in sorted(key for key in keys if not key.endswith(ENDED)):
            if (running := self._page(key)) is not None:
                end = ended_key(key)
                found.append(self._ended(running, key, end) if end in keys else running)
        return sorted(found, key=lambda each: each.page.at, reverse=True)

    def counted(self, running: Running) -> Counted | None:
        """What was counted so far; None where nobody has begun."""
        _, data = store_of(self._objects, running).newest()
        return None if data is None else Counted.from_bytes(data)

    def _page(self, key: str) -> Running | None:
        """The shadow whose page has that key, if its author signed it for there."""
        if key not in self._known and key not in self._unfit:
            data = self._objects.find(key) or b""
            event, _, name = key.removeprefix(SHADOWS).partition("/")
            try:
                page = Shadow.from_bytes(data)
                self._require_signed(page, event, is_in_place=name == f"{digest_of(data)}.json")
                self._known[key] = Running(page, name.removesuffix(".json"), page.until)
            except Unreadable:  # whoever may write the bucket can put something there; nobody signed it
                self._unfit.add(key)
        return self._known.get(key)

    def _ended(self, running: Running, key: str, end: str) -> Running:
        """`running` as what stands under `end` ends it, if a steward signed that."""
        if not running.stopped_by and end not in self._unfit:
            try:
                stopped = ShadowEnd.from_bytes(self._objects.find(end) or b"")
                self._require_signed(stopped, running.page.event, is_in_place=stopped.shadow == running.digest)
                self._known[key] = running._replace(until=min(running.until, stopped.at), stopped_by=stopped.author)
            except Unreadable:
                self._unfit.add(end)
        return self._known[key]

    def _require_signed(self, page: Shadow | ShadowEnd, event: str, *, is_in_place: bool) -> None:
        public = self._book.stewards().keys.get(page.author)
        if not is_in_place or page.event != event or public is None or not page.is_signed_by(public):
            raise Unreadable

    def _require(self, steward: StewardKey) -> None:
        if self._book.stewards().keys.get(steward.name) != steward.public:
            raise NotApproved(
                f"The book knows no steward {steward.name} with this key.", "Run: biokeel suite steward add NAME"
            )


def store_of(objects: Objects, running: Running) -> Numbered:
    """Where what a shadow counts is saved."""
    prefix = f"state/shadows/{running.page.event}/{running.digest}/"
    return Numbered(objects, prefix, ".json", "Another worker counts this shadow, too.")
