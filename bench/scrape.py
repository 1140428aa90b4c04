"""What the workers say about themselves: `/metrics` of each, summed over event types and processes.

Lean, because it shares the cores with what is measured (`biokeel.observe.stats` asks more, and costs more).
"""

from __future__ import annotations

import urllib.request
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.error import URLError

from prometheus_client.parser import text_string_to_metric_families

from biokeel.observe.metrics import Edge
from biokeel.observe.runfiles import running

if TYPE_CHECKING:
    from pathlib import Path

_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_ANSWER_WITHIN: Final = 5.0


@dataclass(frozen=True, slots=True)
class Said:
    """`events` by edge; `seconds`, `cpu` seconds and `calls` by (worker, stage), all since the workers' start."""

    events: Counter[Edge] = field(default_factory=Counter)
    seconds: defaultdict[tuple[str, str], float] = field(default_factory=lambda: defaultdict(float))
    cpu: defaultdict[tuple[str, str], float] = field(default_factory=lambda: defaultdict(float))
    calls: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def settled(self) -> int:
        """Events that have come to their place."""
        places = (Edge.CURATED, Edge.QUARANTINED, Edge.PARKED, Edge.SEALED, Edge.APPLIED)
        return sum(self.events[place] for place in places)


def scrape(state_dir: Path) -> Said:
    """Ask every worker; one that does not answer (it starts, or ends) counts nothing."""
    said = Said()
    for run in running(state_dir):
        try:
            with _OPENER.open(f"{run.url}/metrics", timeout=_ANSWER_WITHIN) as answer:
                text = answer.read().decode()
        except (URLError, OSError):
            continue
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = sample.labels
                match sample.name:
                    case "biokeel_events_total":
                        said.events[Edge(f"{labels['stage']}/{labels['outcome']}")] += int(sample.value)
                    case "biokeel_stage_seconds_sum":
                        said.seconds[labels["worker"], labels["stage"]] += sample.value
                    case "biokeel_stage_cpu_seconds_total":
                        said.cpu[labels["worker"], labels["stage"]] += sample.value
                    case "biokeel_stage_seconds_count":
                        said.calls[labels["worker"], labels["stage"]] += int(sample.value)
    return said
