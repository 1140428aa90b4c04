"""The figures that `biokeel status` and the console show, from two snapshots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from biokeel.observe.metrics import Edge
from biokeel.observe.stats import rates

if TYPE_CHECKING:
    from biokeel.observe.stats import Snapshot

READING: Final = {"pseudonymise": Edge.READ_RAW, "curate": Edge.READ_PSEUDO}
"""What each kind of worker reads."""


def edge_rates(before: Snapshot, after: Snapshot) -> dict[Edge, float]:
    """Events a second over all event types, by edge; every edge is there."""
    sums = dict.fromkeys(Edge, 0.0)
    for (_, edge), rate in rates(before, after).items():
        sums[edge] += rate
    return sums


def report(before: Snapshot, after: Snapshot) -> dict[str, Any]:
    """All figures as JSON has them: what `biokeel status --json` prints."""
    by_event = rates(before, after)
    return {
        "taken_at": after.taken_at,
        "workers": [
            {"worker": run.worker, "pid": run.pid, "port": run.port, "health": str(health)}
            for run, health in after.workers.items()
        ],
        "events_per_second": {
            str(event): {
                edge.value: round(by_event[event, edge], 1) for edge in Edge if by_event.get((event, edge), 0.0) > 0
            }
            for event in after.types
        },
        "totals": {edge.value: after.total(edge) for edge in Edge},
        "lag": [
            {"worker": worker, "event": str(event), "messages": lag.events, "seconds": round(lag.seconds, 1)}
            for (worker, event), lag in after.lags.items()
        ],
        "rejected": [
            {"reason": str(reason), "events": count, "owner": str(reason.owner), "meaning": reason.meaning}
            for reason, count in after.by_reason().items()
        ],
        "withheld": [
            {"source": of.source, "event": str(of.event), "field": of.name, "values": count}
            for of, count in after.most_withheld(len(after.withheld)).items()
        ],
        "table_versions": {f"{table}/{event}": version for (event, table), version in after.versions.items()},
        "parked": {str(event): count for event, count in after.parked.items()},
    }
