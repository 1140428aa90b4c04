"""Known defects, and what must become of an event that has one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
import polars as pl

from biokeel.contracts.codec import Codec
from biokeel.contracts.topics import EventType, event_type
from biokeel.reasons import Reason

NOBODY: Final = "nobody"
"""The source whose name is borrowed in vain."""


class Verdict(StrEnum):
    """Where an event must end when every release has been made."""

    CURATED = "curated"
    QUARANTINED = "quarantined"
    PARKED = "parked"
    SEALED = "sealed"
    APPLIED = "applied"


@dataclass(frozen=True, slots=True)
class Defect:
    """One kind of defect in a row: `column` of `event` (None: of any type) becomes `value` of the person's columns."""

    name: str
    event: EventType | None
    column: str
    value: pl.Expr
    verdict: Verdict
    reason: Reason


def _rule(name: str, event: str, column: str, value: object) -> Defect:
    return Defect(name, event_type(event), column, pl.lit(value), Verdict.QUARANTINED, Reason.RULE)


def _name(name: str, event: str, column: str) -> Defect:
    """The person's name where a code belongs: it is withheld, and a critical rule needs the field."""
    return Defect(name, event_type(event), column, pl.col("name"), Verdict.QUARANTINED, Reason.RULE)


def _sealed(name: str, event: str | None, column: str, value: pl.Expr, reason: Reason) -> Defect:
    return Defect(name, event_type(event) if event else None, column, value, Verdict.SEALED, reason)


def _year(year: int) -> pl.Expr:
    return pl.datetime(year, 6, 1, time_unit="ms", time_zone="UTC")


DEFECTS: Final[tuple[Defect, ...]] = (
    _rule("impossible_pressure", "clinical.blood_pressure", "systolic", 900.0),
    _rule("wrong_unit", "clinical.glucose", "value_unit", "mg/L"),
    _rule("unknown_result_status", "clinical.lab_result", "status", "guessed"),
    _rule("unknown_clinical_status", "clinical.diagnosis", "clinical_status", "deceased"),
    _rule("impossible_dose", "clinical.medication", "doses_per_day", 400.0),
    _rule("impossible_contamination", "genome.qc_metrics", "cross_contamination_rate", 3.0),
    _rule("unknown_sex", "genome.sample_manifest", "sex_reported", "unclear"),
    _rule("negative_size", "genome.variant_file_ready", "size_bytes", -1),
    _rule("negative_energy", "lifestyle.diet", "energy", -50.0),
    _rule("negative_steps", "lifestyle.exercise", "steps", -5),
    _rule("endless_sleep", "lifestyle.sleep", "minutes_asleep", 3_000.0),
    _name("name_in_a_status", "clinical.blood_pressure", "status"),
    _name("name_in_an_activity", "lifestyle.exercise", "activity"),
    _name("name_as_a_reference", "genome.variant_file_ready", "reference_build"),
    _sealed("year_1800", None, "occurred_at", _year(1800), Reason.TIME_RANGE),
    _sealed("year_2190", None, "occurred_at", _year(2190), Reason.TIME_RANGE),
    _sealed("leaked_number", "clinical.diagnosis", "code", pl.col("national"), Reason.LEAK),
    _sealed("leaked_phone", "clinical.medication", "code", pl.col("phone"), Reason.LEAK),
    _sealed("leaked_email", "lifestyle.diet", "food_code", pl.col("email"), Reason.LEAK),
    _sealed("bad_event_id", None, "event_id", pl.lit("row ") + pl.col("event_id"), Reason.ENVELOPE),
    _sealed("a_borrowed_name", None, "source_id", pl.lit(NOBODY), Reason.NOT_ITS_OWN),
    _sealed("a_foreign_patient", None, "subject_scheme", pl.lit("hospital/elsewhere"), Reason.SCHEME_NOT_GRANTED),
    _sealed("unknown_scheme", None, "subject_scheme", pl.lit("passport/kr"), Reason.SUBJECT),
)
"""Every kind of defect that a decodable event may have; people without enrolment or consent come beside them."""


def inject(
    rng: np.random.Generator, events: dict[EventType, pl.DataFrame], people: pl.DataFrame, count: int
) -> tuple[dict[EventType, pl.DataFrame], pl.DataFrame]:
    """`events` with `count` defects spread over all kinds, and the labels of every event.

    Only rows of people who are enrolled in time and consent to everything get one, so that each has one fate.
    """
    frames, labels = {}, []
    plans: list[tuple[Defect, int]] = list(zip(DEFECTS, _shares(rng, events, count), strict=True))
    for turn, (event, frame) in enumerate(events.items()):
        marked = _labelled(event, frame, people)
        open_rows = rng.permutation(np.flatnonzero(marked["plain"].to_numpy()))
        at = 0
        for defect, wanted in plans:
            if defect.event is None:
                wanted = wanted // len(events) + (turn < wanted % len(events))  # noqa: PLW2901 - its share of this type
            elif defect.event != event:
                continue
            rows = open_rows[at : at + wanted]
            at += len(rows)
            marked = _with_defect(marked, defect, rows)
        frames[event] = marked.select(frame.drop("person").columns)
        labels.append(marked.select(LABEL_COLUMNS))
    return frames, pl.concat(labels)


def _shares(rng: np.random.Generator, events: dict[EventType, pl.DataFrame], count: int) -> list[int]:
    """How many rows each kind of defect gets: one at least, the rest in proportion to the events that may have it."""
    if not count:
        return [0] * len(DEFECTS)
    sizes = {event: frame.height for event, frame in events.items()}
    weights = np.array([sizes[d.event] if d.event else sum(sizes.values()) / len(sizes) for d in DEFECTS], dtype=float)
    rest = rng.multinomial(max(0, count - len(DEFECTS)), weights / weights.sum())
    return [1 + more for more in rest.tolist()]


LABEL_COLUMNS: Final = ("event", "event_id", "verdict", "reason", "defect", "waits")


def _labelled(event: EventType, frame: pl.DataFrame, people: pl.DataFrame) -> pl.DataFrame:
    facts = people.select("name", "national", "phone", "email", "late", "never", "limited")[frame["person"]]
    refused = pl.col("limited") & pl.lit(event.domain == "lifestyle")
    fate = pl.when("never").then(pl.lit(Verdict.PARKED)).when(refused).then(pl.lit(Verdict.SEALED))
    why = pl.when("never").then(pl.lit(Reason.NOT_ENROLLED)).when(refused).then(pl.lit(Reason.NO_CONSENT))
    name = pl.when("never").then(pl.lit("never_enrolled")).when(refused).then(pl.lit("no_consent"))
    return pl.concat([frame, facts], how="horizontal").with_columns(
        event=pl.lit(str(event)),
        verdict=fate.otherwise(pl.lit(Verdict.CURATED)).cast(pl.String),
        reason=why.otherwise(None).cast(pl.String),
        defect=name.otherwise(None),
        waits=pl.col("late"),
        plain=~pl.any_horizontal("never", "limited", "late"),
    )


def _with_defect(frame: pl.DataFrame, defect: Defect, rows: np.ndarray) -> pl.DataFrame:
    hit = np.zeros(frame.height, dtype=np.bool_)
    hit[rows] = True
    here = pl.lit(pl.Series(hit))
    changes = {
        defect.column: defect.value.cast(frame.schema[defect.column]),
        "verdict": pl.lit(defect.verdict.value),
        "reason": pl.lit(defect.reason.value),
        "defect": pl.lit(defect.name),
    }
    if defect.column == "occurred_at" and "ended_at" in frame.columns:  # who reads the file would refuse it as a period
        changes["ended_at"] = pl.lit(None, frame.schema["ended_at"])
    return frame.with_columns(
        pl.when(here).then(value).otherwise(pl.col(name)).alias(name) for name, value in changes.items()
    )


@dataclass(frozen=True, slots=True, repr=False)
class RawDefect:
    """A message that is no event. `value` is None for a message without bytes."""

    event: EventType
    value: bytes | None
    defect: str
    reason: Reason


def _truncated(datum: bytes) -> bytes:
    return datum[: len(datum) // 2]


_BREAK: Final[tuple[tuple[str, Reason, Callable[[bytes], bytes | None]], ...]] = (
    ("truncated", Reason.MALFORMED, _truncated),
    ("leftover_bytes", Reason.TRAILING_BYTES, lambda datum: datum + b"\x00\x02"),
    ("unknown_schema", Reason.UNKNOWN_SCHEMA, lambda datum: b"\x00\x7f\xff\xff\xf0" + datum[5:]),
    ("not_framed", Reason.NOT_FRAMED, lambda datum: b"{" + datum[1:]),
    ("empty", Reason.EMPTY, lambda _: None),
)


def broken(codec: Codec, events: dict[EventType, pl.DataFrame], count: int) -> list[RawDefect]:
    """`count` broken messages, made of the first good rows of each event type in turn."""
    made: list[RawDefect] = []
    types = [event for event, frame in events.items() if frame.height]
    for index in range(count):
        event = types[index % len(types)]
        name, reason, damage = _BREAK[index // len(types) % len(_BREAK)]
        datum = codec.encode(event, events[event][index % events[event].height : index % events[event].height + 1])
        made.append(RawDefect(event, damage(datum[0].as_py()), name, reason))
    return made
