"""What a dry run found: counts of what would become of events, and the places of what would not land as it is.

Nothing here holds a value of an event. An event id is shown where it has the form of one: what has not may be anything.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from biokeel.source.files import FileResult

MOST_PLACES: Final = 100
"""Places of one finding that are kept; the others are counted."""
NOT_LOOKED_AT: Final = ("consent", "enrolment")
"""What only the vault knows: everybody is taken to be enrolled and to have consented."""
GRANTS: Final = "grants"
"""What the source may send, and of whom it may speak: not looked at where nobody says who it is."""


class Fate(StrEnum):
    """What would become of an event."""

    LANDED = "landed"
    APPLIED = "applied"
    """A person event, in the vault."""
    QUARANTINED = "quarantined"
    SEALED = "sealed"
    SET_ASIDE = "set_aside"
    """In the quarantine table, with nothing to mend: a repeat, or a withdrawal."""


class Kind(StrEnum):
    """What a finding says of its events."""

    SEALED = "sealed"
    QUARANTINED = "quarantined"
    WITHHELD = "withheld"
    FLAGGED = "flagged"
    SET_ASIDE = "set_aside"


@dataclass(frozen=True, slots=True)
class Place:
    """Where an event stands: its file, its place in there, and its id as the source wrote it, None for what is none."""

    file: Path
    position: str
    event_id: str | None = None


@dataclass(slots=True)
class Finding:
    """One thing that is so with `count` events of a type.

    `what` is a rule id, a field, or what is wrong with the envelope; `why` a sentence; `reason` a
    `biokeel.reasons.Reason`, empty for what lands all the same. `places` are the first `MOST_PLACES`.
    """

    event: str
    kind: Kind
    reason: str
    what: str
    why: str
    count: int
    places: list[Place]

    def as_dict(self) -> dict[str, Any]:  # as JSON has it
        """The finding as `--json` prints it."""
        places = [{"file": str(each.file), "place": each.position, "event_id": each.event_id} for each in self.places]
        return {
            "event": self.event,
            "outcome": self.kind.value,
            "reason": self.reason or None,
            "what": self.what,
            "why": self.why,
            "count": self.count,
            "places": places,
        }


class Findings:
    """Findings while they are gathered, one for each kind, reason and `what` of an event type."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, Kind, str, str], Finding] = {}

    def add(self, more: Finding) -> None:
        """Take `more` in, with what is known of its kind, reason and `what`."""
        key = more.event, more.kind, more.reason, more.what
        found = self._found.setdefault(key, replace(more, count=0, places=[]))
        found.count += more.count
        found.places += more.places[: MOST_PLACES - len(found.places)]

    def ordered(self) -> list[Finding]:
        """What keeps most events from landing first."""
        kinds = list(Kind)
        return sorted(self._found.values(), key=lambda each: (kinds.index(each.kind), -each.count, each.event))


@dataclass(frozen=True, slots=True)
class DryRunReport:
    """What would become of files: of their events by type (`fates`), what was found, and what could not be read.

    `suites` are the versions that judged, by event type. `not_looked_at` may be otherwise in the programme.
    """

    source_id: str
    files: Sequence[FileResult]
    fates: Mapping[str, Counter[Fate]]
    findings: Sequence[Finding]
    suites: Mapping[str, str]
    not_looked_at: tuple[str, ...]

    @property
    def unusable(self) -> int:
        """Files, and parts of files, that no event could be made of."""
        return sum(each.unused + bool(each.failure) for each in self.files)

    @property
    def all_would_land(self) -> bool:
        """Whether nothing of the files would be quarantined or sealed, or could not be read."""
        stopped = (Fate.QUARANTINED, Fate.SEALED)
        return not self.unusable and not any(counts[fate] for counts in self.fates.values() for fate in stopped)

    def as_dict(self) -> dict[str, Any]:  # as JSON has it
        """The report as `--json` prints it."""
        return {
            "source_id": self.source_id,
            "all_would_land": self.all_would_land,
            "not_looked_at": list(self.not_looked_at),
            "suites": dict(self.suites),
            "events": {
                event: {fate.value: counts[fate] for fate in Fate} for event, counts in sorted(self.fates.items())
            },
            "findings": [each.as_dict() for each in self.findings],
            "files": [_file(each) for each in self.files],
        }


def _file(result: FileResult) -> dict[str, Any]:
    return {
        "file": str(result.path),
        "format": result.format or None,
        "failure": result.failure or None,
        "problems": [{"place": each.position, "reason": each.reason} for each in result.report.problems],
        "unused": result.unused,
        "left_out": dict(result.report.left_out),
    }
