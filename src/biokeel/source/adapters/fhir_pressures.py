"""Systolic and diastolic pressures that a source writes as two Observations: one blood pressure.

Two belong together where person, time, encounter and device are the same. The event is known by the systolic one, so
that a file sent again repeats it. Where three or more say so, or the other is missing, nothing tells what was measured
together, and all of them are refused with their places.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from biokeel.source.adapters.base import Record, Report, Subject
from biokeel.source.adapters.fhir_common import Case, Made
from biokeel.source.adapters.fhir_observations import BLOOD_PRESSURE, DIASTOLIC, PANELS, SYSTOLIC, pressure

LONGEST_WAIT: Final = 50_000
"""Measurements that wait for their other half: what stands farther apart in a file is not found."""


@dataclass(slots=True)
class _One:
    key: str
    code: str
    value: float
    record: Record
    position: str


@dataclass(slots=True)
class Pair:
    """A blood pressure of two Observations, with the keys of both and where the first of them stands."""

    keys: tuple[str, str]
    made: Made
    position: str

    @property
    def subject(self) -> Subject:
        """Whose it is."""
        return Subject(self.made.record["subject_scheme"], self.made.record["subject_id"])


@dataclass(slots=True)
class Pressures:
    """The single pressures of one file, by what tells that they belong together; `taken` counts all that there were."""

    report: Report
    taken: int = 0
    _waiting: dict[tuple[Any, ...], list[_One]] = field(default_factory=dict)

    def add(self, case: Case, code: str, found: tuple[float, Record]) -> None:
        """Take a pressure (mm[Hg]) with its LOINC code and the envelope of the event that it would be alone."""
        self.taken += 1
        value, record = found
        beside = [_reference(case.resource.get(name)) for name in ("encounter", "device")]
        together = (record["subject_scheme"], record["subject_id"], record["occurred_at"], *beside)
        one = _One(case.key + case.part, code, value, record, case.position)
        self._waiting.setdefault(together, []).append(one)

    def pairs(self, *, rest: bool) -> list[Pair]:
        """The pairs among what waited too long, or among the `rest` of the file. What is no pair is reported."""
        made = []
        while self._waiting and (rest or len(self._waiting) > LONGEST_WAIT):
            found = self._waiting.pop(next(iter(self._waiting)))
            if (pair := _pair(found)) is not None:
                made.append(pair)
                continue
            for each in found:
                other = "diastolic" if each.code == SYSTOLIC else "systolic"
                reason = (
                    f"no {other} pressure of the same person, time, encounter and device"
                    if len(found) == 1
                    else "several pressures of one person and time: which belong together is not told"
                )
                self.report.problem(each.position, f"Observation: {reason}")
        return made


def _pair(found: list[_One]) -> Pair | None:
    # One Observation may stand in a file more than once, the newest of it counts.
    newest = {each.key: each for each in sorted(found, key=lambda each: each.record["recorded_at"])}
    by_code = {each.code: each for each in newest.values()}
    if len(newest) != 2 or by_code.keys() != {SYSTOLIC, DIASTOLIC}:
        return None
    systolic, diastolic = by_code[SYSTOLIC], by_code[DIASTOLIC]
    record = systolic.record | pressure(PANELS[0], {code: each.value for code, each in by_code.items()})
    record["recorded_at"] = max(systolic.record["recorded_at"], diastolic.record["recorded_at"])
    if systolic.record["status"] != diastolic.record["status"]:
        record["status"] = _less_sure(systolic.record["status"], diastolic.record["status"])
    return Pair((systolic.key, diastolic.key), Made(BLOOD_PRESSURE, record), found[0].position)


_SURENESS: Final = ("cancelled", "registered", "unknown", "preliminary", "corrected", "amended", "final")
"""Statuses of Observations; of two halves the event has the one that stands first here."""


def _less_sure(*statuses: str) -> str:
    return min(statuses, key=lambda each: _SURENESS.index(each) if each in _SURENESS else -1)


def _reference(found: Any) -> str | None:
    text = found.get("reference") if isinstance(found, dict) else None
    return text if isinstance(text, str) else None
