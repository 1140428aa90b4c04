"""Years of made-up events with plausible distributions, a frame for each event type.

Numbers are round figures for a middle-aged Korean cohort (pressure by age as in national health surveys, WGS quality
as in the GA4GH reference results), good enough that rules and plots have something to say.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from biokeel.contracts.topics import EventType, event_type
from biokeel.demo import clinical, genome, lifestyle
from biokeel.demo.draw import Payload, Reals, Rng, around, time_of
from biokeel.demo.people import DAY_MS, SYSTEMS

END: Final = int((np.datetime64("2026-06-30", "D") - np.datetime64("1970-01-01", "D")).astype(np.int64))
"""The last day of the corpus, days since 1970."""
OFFSET_MS: Final = 540 * 60_000


def make_events(rng: Rng, people: pl.DataFrame) -> dict[EventType, pl.DataFrame]:
    """The events of `people`, with the schema's columns and `person` (row in `people`), by time within a type."""
    return {event: _frame(rng, people, event, plan) for event, plan in PLANS.items()}


def ids(rng: Rng, count: int) -> list[str]:
    """`count` event ids."""
    text = rng.bytes(16 * count).hex()
    return [text[at : at + 32] for at in range(0, len(text), 32)]


def _frame(rng: Rng, people: pl.DataFrame, event: EventType, plan: Plan) -> pl.DataFrame:
    rate, hours, make = plan
    kind = {"clinical": "hospital", "genome": "sample", "lifestyle": "app"}[event.domain]
    who = _who(rng, people, event, rate)
    them = people[who]
    enrolled = them["enrolled"].to_numpy()
    day = (enrolled + 1 + rng.random(len(who)) * (END - enrolled - 1)).astype(np.int64)
    hour = hours(rng, len(who))
    at = day * DAY_MS + (hour * 3_600_000).astype(np.int64) - OFFSET_MS
    order = np.argsort(at, kind="stable")
    them, at, hour, who = them[order], at[order], hour[order], who[order]
    lag = (rng.exponential(_LAG_MS[kind], len(who))).astype(np.int64) + 1_000
    place, value = {
        "hospital": ("site", "hospital_number"),
        "sample": ("centre", "barcode"),
        "app": ("vendor", "account"),
    }[kind]
    envelope = {
        "event_id": ids(rng, len(who)),
        "source_id": them[place] + SYSTEMS[kind],
        "subject_scheme": f"{kind}/" + them[place],
        "subject_id": them[value],
        "occurred_at": time_of(at),
        "occurred_offset_minutes": pl.Series([540], dtype=pl.Int32).new_from_index(0, len(who)),
        "recorded_at": time_of(at + lag),
    }
    columns: dict[str, Any] = {**envelope, **make(rng, them, at, hour)}
    series = [pl.Series(name, values) for name, values in columns.items() if not isinstance(values, str)]
    same = [pl.lit(values).alias(name) for name, values in columns.items() if isinstance(values, str)]
    return pl.DataFrame(series).with_columns(*same, person=pl.Series(who)).select(*columns, "person")


_LAG_MS: Final = {"hospital": 4 * 3_600_000.0, "sample": 2.0 * DAY_MS, "app": 600_000.0}


def _who(rng: Rng, people: pl.DataFrame, event: EventType, rate: float) -> npt.NDArray[np.int64]:
    """The person of each event: `rate` a person, more for those whose condition asks for it; one for each genome."""
    if event.domain == "genome":
        return np.flatnonzero(people["has_sample"].to_numpy())
    share: Reals = np.full(people.height, rate)
    if event.name in {"glucose", "medication"}:
        share = share * np.where(people["diabetic"].to_numpy(), 3.0, 0.75)
    if event.name == "blood_pressure":
        share = share * np.where(people["hypertensive"].to_numpy(), 1.8, 0.7)
    if event.domain == "lifestyle":
        share = share * people["has_app"].to_numpy()
    who: npt.NDArray[np.int64] = np.repeat(np.arange(people.height), rng.poisson(share))
    return who


Make: TypeAlias = Callable[[Rng, pl.DataFrame, npt.NDArray[np.int64], Reals], Payload]
"""The payload from the person, the time (ms since 1970) and the hour of the local day of each event."""

Plan: TypeAlias = tuple[float, Callable[[Rng, int], Reals], Make]
"""Events a person, hours of the day, payload."""

_VISITS: Final = around((10.0, 1.3), (15.0, 1.5))
PLANS: Final[dict[EventType, Plan]] = {
    event_type("genome.sample_manifest"): (1, _VISITS, genome.sample_manifest),
    event_type("genome.qc_metrics"): (1, _VISITS, genome.qc_metrics),
    event_type("genome.variant_file_ready"): (1, _VISITS, genome.variant_file),
    event_type("clinical.blood_pressure"): (11, around((8.0, 1.0), (15.0, 2.0), (20.0, 1.0)), clinical.blood_pressure),
    event_type("clinical.glucose"): (8, around((7.5, 0.5), (13.5, 0.8), (19.5, 0.8)), clinical.glucose),
    event_type("clinical.diagnosis"): (2.5, _VISITS, clinical.diagnosis),
    event_type("clinical.lab_result"): (8, _VISITS, clinical.lab_result),
    event_type("clinical.medication"): (3, _VISITS, clinical.medication),
    event_type("lifestyle.diet"): (26, around((7.8, 0.6), (12.4, 0.5), (15.5, 0.8), (18.9, 0.7)), lifestyle.diet),
    event_type("lifestyle.exercise"): (20, around((6.8, 0.6), (12.8, 0.7), (19.2, 1.0)), lifestyle.exercise),
    event_type("lifestyle.sleep"): (
        27,
        around((23.3, 1.1), (23.6, 1.1), (23.4, 1.3), (24.2, 1.2), (14.0, 0.8)),
        lifestyle.sleep,
    ),
}
"""About 100 events a person in all."""
