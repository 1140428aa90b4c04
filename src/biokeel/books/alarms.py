"""What is strange about a source, from what the follower counted of it, each with what to do. Pure.

| alarm | when |
| --- | --- |
| silent | nothing came for longer than the register's `cadence_seconds` |
| burst | within this hour more than `BURST` times what came in the busiest hour of the days before |
| drop | in the hour before this one less than a `DROP`th of what is usual at that time of the day |
| rejects | of what was judged within the last two hours a share was rejected that is `JUMP` times the usual one |
| clock | events say that they were recorded in the future |
| client | within a day it stated client software that the register does not let it use, or too old a version of one |

An event counts when Kafka has it, so an outage of ours is nobody's silence. Counted is by hours of `KEPT_HOURS`; no
alarm is raised of what is not known for long enough to call anything usual.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from biokeel.books.places import Place
from biokeel.contracts.clients import Client, complaint

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from biokeel.contracts.sources import Source

HOUR: Final = 3600
KEPT_HOURS: Final = 8 * 24
BURST: Final = 5
DROP: Final = 10
JUMP: Final = 5
FEW: Final = 100
"""Fewer events than this in an hour are nobody's habit."""
DAYS: Final = 3
"""Days of which something must be known before anything is usual."""
REJECTED: Final = 0.02
"""A share of rejected events below which there is no alarm, whatever is usual."""
SKEW_SECONDS: Final = 300
REJECTS: Final = frozenset({Place.QUARANTINED, Place.SEALED})


class Alarm(NamedTuple):
    """Something strange about a source: a word for metrics, and a sentence for people that says what to do."""

    source: str
    kind: str
    sentence: str


KINDS: Final = ("silent", "burst", "drop", "rejects", "clock", "client")


class SeenClient(NamedTuple):
    """Software that a source stated, and when that was last noted (seconds since 1970)."""

    client: Client
    seen: float


class Hour(NamedTuple):
    """What came of a source within one hour, and of what was told first within it, how much was rejected."""

    came: int = 0
    judged: int = 0
    rejected: int = 0


@dataclass(slots=True)
class History:
    """What was counted of one source. Times are seconds since 1970, hours are numbered from there.

    `since`: from when on it is watched. `moved`: when it last sent anything, as far as was seen. `high`: the sum of the
    ends of its partitions. `ahead`: by how many seconds the newest event that lay in the future did so, and when it was
    seen.
    """

    since: float
    moved: float
    high: int
    hours: dict[int, Hour] = field(default_factory=dict)
    ahead: tuple[float, float] = (0.0, 0.0)

    def came(self, high: int, now: float) -> None:
        """The ends of its partitions add up to `high` now."""
        if high > self.high:
            self._count(now, Hour(high - self.high))
            self.moved = now
        self.high = high

    def judged(self, place: Place, events: int, now: float) -> None:
        """`events` were told of for the first time: they lie in `place`."""
        self._count(now, Hour(0, events, events if place in REJECTS else 0))

    def _count(self, now: float, more: Hour) -> None:
        hour = int(now) // HOUR
        self.hours[hour] = Hour(*map(sum, zip(self.hours.get(hour, Hour()), more, strict=True)))
        for old in [old for old in self.hours if old <= hour - KEPT_HOURS]:
            del self.hours[old]

    def as_json(self) -> dict[str, Any]:
        """For the saved books."""
        hours = [[hour, *counts] for hour, counts in self.hours.items()]
        return {"since": self.since, "moved": self.moved, "high": self.high, "hours": hours, "ahead": [*self.ahead]}

    @classmethod
    def from_json(cls, read: Mapping[str, Any]) -> History:
        """What `as_json` gave."""
        hours = {hour: Hour(*counts) for hour, *counts in read["hours"]}
        return cls(read["since"], read["moved"], read["high"], hours, tuple(read["ahead"]))


def alarms(source: Source, history: History, now: float, clients: Sequence[SeenClient] = ()) -> list[Alarm]:
    """What is strange about `source` now. `clients`: what it states that it sends with."""
    found = {
        "silent": _silent(history, source.cadence_seconds, now),
        "burst": _burst(history, now),
        "drop": _drop(history, now),
        "rejects": _rejects(history, now),
        "clock": _clock(history, now),
        "client": _client(clients, source.software, now),
    }
    return [Alarm(source.id, kind, f"{source.id} {sentence}") for kind, sentence in found.items() if sentence]


def _silent(history: History, cadence_seconds: int, now: float) -> str:
    quiet = now - history.moved
    if quiet <= cadence_seconds:
        return ""
    return (
        f"has sent nothing for {_told(quiet)}, and is expected to every {_told(cadence_seconds)}: ask its contact "
        "whether its export runs (biokeel source show)."
    )


def _burst(history: History, now: float) -> str:
    this = int(now) // HOUR
    before = [hour.came for number, hour in history.hours.items() if number < this]
    came = history.hours.get(this, Hour()).came
    if not _is_known(history, now) or not before or came <= BURST * max(*before, FEW):
        return ""
    return (
        f"has sent {came:,} events within this hour, and {max(before):,} in its busiest hour before: ask its contact "
        "whether that is meant; its quota holds it back from the others."
    )


def _drop(history: History, now: float) -> str:
    last = int(now) // HOUR - 1
    # Before the hour was watched whole, nothing is known of it.
    first = int(history.since) // HOUR + 1
    usual = [history.hours.get(hour, Hour()).came for hour in range(last - 24, first - 1, -24)]
    came = history.hours.get(last, Hour()).came
    if len(usual) < DAYS or median(usual) < FEW or came * DROP >= median(usual):
        return ""
    return (
        f"has sent {came:,} events in the hour before this, and {median(usual):,.0f} are usual at that time: ask its "
        "contact whether a part of its export has stopped."
    )


def _rejects(history: History, now: float) -> str:
    this = int(now) // HOUR
    recent = [history.hours.get(hour, Hour()) for hour in (this - 1, this)]
    before = [hour for number, hour in history.hours.items() if number < this - 1]
    judged, rejected = sum(hour.judged for hour in recent), sum(hour.rejected for hour in recent)
    known = sum(hour.judged for hour in before)
    if judged < FEW or known < FEW:
        return ""
    share, usual = rejected / judged, sum(hour.rejected for hour in before) / known
    if share <= max(JUMP * usual, REJECTED):
        return ""
    return (
        f"has {share:.1%} of its events rejected in the last two hours, and {usual:.1%} before: biokeel receipts says "
        "by which rules and reasons."
    )


def _clock(history: History, now: float) -> str:
    ahead, seen = history.ahead
    if ahead <= SKEW_SECONDS or now - seen > 2 * HOUR:
        return ""
    return f"sends events that were recorded up to {_told(ahead)} in the future: ask its contact to set its clock."


def _client(clients: Sequence[SeenClient], registered: Sequence[str], now: float) -> str:
    found = sorted({complaint(each.client, registered) for each in clients if now - each.seen <= 24 * HOUR} - {""})
    return f"{' '.join(found)} Ask its contact to bring it up to date, or change the register." if found else ""


def _is_known(history: History, now: float) -> bool:
    return now - history.since >= DAYS * 24 * HOUR


def _told(seconds: float) -> str:
    for size, word in ((24 * HOUR, "days"), (HOUR, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {word}"
    return f"{seconds:,.0f} seconds"
