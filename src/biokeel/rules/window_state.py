"""What is known of the windows of an event type: one object in the lake, numbered (`biokeel.land.numbered`)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from biokeel.land.landings import Reached
from biokeel.land.numbered import Numbered
from biokeel.rules.window_results import Result

if TYPE_CHECKING:
    from biokeel.contracts.topics import EventType
    from biokeel.land.objects import Objects

Ends = tuple[int, int]
"""When a window ends: after so many seconds, or so many rows (`biokeel.validate.windows.Window.ends`)."""


@dataclass(slots=True)
class Open:
    """A window that is not over: what landed in the curated table after version `after`, since `began`."""

    after: int
    began: float
    rows: int = 0


class Share(NamedTuple):
    """Of the rows of a source that were judged, how many failed a rule."""

    rows: int = 0
    failed: int = 0

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return self.failed / self.rows if self.rows else 0.0


Shares = dict[str, dict[str, Share]]
"""By rule and source."""


@dataclass(slots=True)
class Due:
    """A window that is over, and has the number of its results: the rows that landed after version `after` up to `upto`
    of the curated table, or, of thresholds, the counted `shares`. Times are seconds since 1970.
    """

    number: int
    ends: Ends
    after: int
    upto: int
    began: float
    ended: float
    rows: int
    shares: Shares = field(default_factory=dict)


@dataclass(slots=True)
class WindowState:
    """See above. `reached` is empty while no rule in force is about many rows.

    `shares`: of thresholds, by their seconds and the number of that time since 1970 that is not over; `closed`: by
    their seconds the number of the last that is over. `latest`: the newest results of each rule and source. `lost`,
    `gaps`: as `biokeel.rules.shadow.Counted` has them.
    """

    reached: dict[str, Reached] = field(default_factory=dict)
    open: dict[Ends, Open] = field(default_factory=dict)
    shares: dict[int, dict[int, Shares]] = field(default_factory=dict)
    closed: dict[int, int] = field(default_factory=dict)
    due: list[Due] = field(default_factory=list)
    next: int = 1
    latest: list[Result] = field(default_factory=list)
    lost: int = 0
    gaps: int = 0

    def to_bytes(self) -> bytes:
        """As it is saved."""
        return orjson.dumps(
            {
                "reached": {lies: [*at] for lies, at in self.reached.items()},
                "open": [[*ends, asdict(each)] for ends, each in self.open.items()],
                "shares": [
                    [seconds, number, _plain(shares)]
                    for seconds, numbers in self.shares.items()
                    for number, shares in numbers.items()
                ],
                "closed": [*self.closed.items()],
                "due": [asdict(each) | {"shares": _plain(each.shares)} for each in self.due],
                "next": self.next,
                "latest": [each.as_dict() for each in self.latest],
                "lost": self.lost,
                "gaps": self.gaps,
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> WindowState:
        """What `to_bytes` gave."""
        read = orjson.loads(data)
        shares: dict[int, dict[int, Shares]] = {}
        for seconds, number, told in read["shares"]:
            shares.setdefault(seconds, {})[number] = _shares(told)
        return cls(
            {lies: Reached(*at) for lies, at in read["reached"].items()},
            {(seconds, rows): Open(**each) for seconds, rows, each in read["open"]},
            shares,
            {seconds: number for seconds, number in read["closed"]},  # noqa: C416 - says what it is
            [Due(**(each | {"ends": tuple(each["ends"]), "shares": _shares(each["shares"])})) for each in read["due"]],
            read["next"],
            [Result.from_dict(each) for each in read["latest"]],
            read["lost"],
            read["gaps"],
        )


def store_of(objects: Objects, event: EventType) -> Numbered:
    """Where the state of an event type is saved."""
    return Numbered(objects, f"state/windows/{event}/", ".json", "Another worker counts windows, too.")


def _plain(shares: Shares) -> dict[str, dict[str, list[int]]]:
    return {rule: {source: [*share] for source, share in sources.items()} for rule, sources in shares.items()}


def _shares(read: dict[str, Any]) -> Shares:
    return {rule: {source: Share(*share) for source, share in sources.items()} for rule, sources in read.items()}
