"""A made-up programme: Korean-shaped participants, years of events, known defects, and what must become of each.

`demo_corpus(people, seed, defects)` makes the same corpus for the same arguments. Labels are keyed by `event_id`;
broken messages that have none are keyed by the coordinate that publishing them returns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import polars as pl

from biokeel.contracts.topics import EventType


class Verdict(StrEnum):
    """Where an event must end when everything has been released."""

    CURATED = "curated"
    QUARANTINED = "quarantined"
    PARKED = "parked"
    SEALED = "sealed"
    APPLIED = "applied"


@dataclass(frozen=True, slots=True)
class RawDefect:
    """A message that is no event. `value` is None for a message without bytes."""

    event: EventType
    value: bytes | None
    defect: str
    reason: str


@dataclass(frozen=True, slots=True)
class DemoCorpus:
    """All of it. Frames have the columns of the schemas, `labels` has event, event_id, verdict, reason, defect, waits.

    Publish `enrolments`, then `events` and `raw_defects(codec)`, then `late_enrolments`: the events of the late
    (`waits` in the labels) are parked first and released then.
    """

    enrolments: pl.DataFrame
    late_enrolments: pl.DataFrame
    events: Mapping[EventType, pl.DataFrame]
    labels: pl.DataFrame

    def raw_defects(self, codec: Codec) -> list[RawDefect]:
        """Messages that are broken in their bytes: truncated, with bytes left over, unknown schema id, empty."""


def demo_corpus(people: int, seed: int, defects: float = 0.02) -> DemoCorpus:
    """A corpus of `people` participants with about 100 events each, a share `defects` of them defective."""
