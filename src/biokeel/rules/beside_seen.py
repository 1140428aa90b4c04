"""What the worker beside the stream last saw, as one small object in the lake, for those who only show it.

Console and `biokeel status` read it; it costs one GET at a look. It holds counts, names of rules, sources and event
types, and what was observed where that may be told (`biokeel.rules.window_results`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from biokeel.errors import BiokeelError
from biokeel.land.lake import Lake
from biokeel.rules.window_results import Outcome, Result, told, when
from biokeel.rules.window_run import outcome_of
from biokeel.rules.window_state import Share
from biokeel.settings import OPERATOR, Settings
from biokeel.validate.rules import Severity

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Iterator

    from biokeel.contracts.topics import EventType
    from biokeel.land.objects import Objects
    from biokeel.rules.window_state import WindowState
    from biokeel.validate.rules import CompiledSuite, Rule

KEY: Final = "state/windows/seen.json"
EVERY_SECONDS: Final = 60.0
"""It is written when it has changed, and this often at least."""
STALE_SECONDS: Final = 300.0
"""When it is older, no worker runs, or it waits for something."""
OLD: Final = "biokeel worker windows does not run, or waits: this is old."
FEW: Final = 100
"""With fewer rows of a source, a share of a time that is not over says nothing yet."""
FORGOTTEN_SECONDS: Final = 7 * 86_400.0
"""After so long without a further window what was found last is no news any more."""


class Level(NamedTuple):
    """Where a source stands at a threshold, in the time that is not over or, before `FEW` rows, in the last one."""

    rule: str
    source: str
    share: Share
    outcome: Outcome
    since: float


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen at `at` (seconds since 1970).

    `alarms` are sentences; `shadows` how many run; `windows` how many results of windows are the newest of their rule
    and source, by outcome; `expired` which thresholds hold no more, as event type and rule.
    """

    at: float
    alarms: tuple[str, ...] = ()
    shadows: int = 0
    windows: tuple[tuple[str, int], ...] = ()
    expired: tuple[tuple[str, str], ...] = ()

    def put(self, objects: Objects) -> None:
        """Write it; who reads sees the old one or this."""
        objects.put(KEY, orjson.dumps(asdict(self)))

    def is_stale(self, now: float) -> bool:
        """Whether it is older than a worker that runs would let it be."""
        return now - self.at > STALE_SECONDS

    @classmethod
    def read(cls, objects: Objects) -> Seen | None:
        """The last one that was written; None where there never was one."""
        data = objects.find(KEY)
        if data is None:
            return None
        read: dict[str, Any] = orjson.loads(data)
        pairs = {name: tuple((first, second) for first, second in read[name]) for name in ("windows", "expired")}
        return cls(read["at"], tuple(read["alarms"]), read["shadows"], **pairs)


def seen_last() -> Seen | str:
    """What the worker saw last, with an operator's rights, or in words why that is not known."""
    try:
        return Seen.read(Lake.of(Settings.load(OPERATOR)).objects) or "Nobody counts beside the stream yet."
    except BiokeelError as error:
        return str(error)


def levels(suite: CompiledSuite, state: WindowState, today: dt.date) -> Iterator[Level]:
    """Where each source stands at each threshold that holds `today`."""
    last = {(each.rule, each.source): each for each in state.latest}
    for rule in suite.rules:
        if rule.threshold is None or not rule.threshold.holds(today):
            continue
        seconds = rule.threshold.seconds
        numbers = state.shares.get(seconds, {})
        number = max(numbers, default=-1)
        now = numbers[number].get(rule.id, {}) if numbers else {}
        sources = {*now, *(source for name, source in last if name == rule.id and source is not None)}
        for source in sorted(sources):
            if source in now and (now[source].rows >= FEW or (rule.id, source) not in last):
                outcome = outcome_of(rule, now[source]) if now[source].rows >= FEW else Outcome.MET
                yield Level(rule.id, source, now[source], outcome, float(number * seconds))
            else:
                result = last[rule.id, source]
                yield Level(rule.id, source, _share(result), result.outcome, result.begins)


def alarms(event: EventType, suite: CompiledSuite, state: WindowState, now: float, today: dt.date) -> list[str]:
    """What is strange about an event type, each with what to do."""
    by_id = {rule.id: rule for rule in suite.rules}
    found = [
        _of_level(event, by_id[level.rule], level)
        for level in levels(suite, state, today)
        if level.outcome is not Outcome.MET and now - level.since <= FORGOTTEN_SECONDS
    ]
    for result in state.latest:
        rule = by_id.get(result.rule)
        if rule is None or rule.window is None or now - result.ends > FORGOTTEN_SECONDS:
            continue
        is_told = result.outcome is Outcome.FAILS and rule.severity is not Severity.INFO
        if is_told or result.outcome is Outcome.NOT_JUDGED:
            found.append(_of_window(event, result))
    return found


def expired(event: EventType, rules: Iterable[Rule], today: dt.date) -> list[tuple[str, str]]:
    """The thresholds of `event` that hold no more."""
    return [(str(event), rule.id) for rule in rules if rule.threshold and not rule.threshold.holds(today)]


def _share(result: Result) -> Share:
    return Share(result.looked_at or 0, result.unexpected or 0)


def _of_level(event: EventType, rule: Rule, level: Level) -> str:
    assert rule.threshold is not None
    share = level.share
    return (
        f"{level.source} {level.outcome} by {rule.id} of {event}: {share.failed:,} of {share.rows:,} rows "
        f"({share.share:.2%}) since {when(level.since)}, and it {rule.threshold}. Ask its contact, or look at the "
        f"rule: biokeel suite report {event}"
    )


def _of_window(event: EventType, result: Result) -> str:
    whose = f"{result.rows:,} rows" if result.source is None else f"{result.rows:,} rows of {result.source}"
    words = "was not judged on" if result.outcome is Outcome.NOT_JUDGED else "is not met by"
    found = told(result)
    return (
        f"{result.rule} of {event} {words} the {whose} that landed from {when(result.begins)} to {when(result.ends)}"
        f"{': ' + found if found else ''}. See: biokeel suite windows {event}"
    )
