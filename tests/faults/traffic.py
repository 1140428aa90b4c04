"""Blood pressures of people of whom some enrol late, some events broken and some failing a rule."""

import datetime as dt
import zlib

import polars as pl

from biokeel.contracts.topics import event_type
from biokeel.testing.events import SOURCE, random_frame
from tests.faults.proofs import CANARY

ENROLMENT = event_type("person.enrolment")
PRESSURE = event_type("clinical.blood_pressure")
GLUCOSE = event_type("clinical.glucose")
HIGHEST, FAILING = 300.0, 900.0
"""No systolic value above the first passes the suite; events that are to fail have the second."""
STEADY, LATE = 150, 20
"""People who are enrolled from the beginning, and those of each sending who enrol after their events."""
BROKEN = (None, b"", f"no frame of {CANARY}".encode(), b"\x00\x00\x00\x00\x01cut" + CANARY.encode())


def enrolments(tag, numbers):
    consented = int(dt.datetime(2015, 1, 1, tzinfo=dt.UTC).timestamp() * 1000)
    return [
        {
            "event_id": f"{zlib.crc32(tag.encode()):016x}{number:016x}",
            "source_id": SOURCE,
            "subject_scheme": "app/demo",
            "subject_id": f"{CANARY}-{tag}{number}",
            "occurred_at": consented,
            "occurred_offset_minutes": 540,
            "recorded_at": consented,
            "identifiers": [],
            "name": f"{CANARY.title()} {number}",
            "sex": "unknown",
            "consent_scope": ["genome", "clinical", "lifestyle"],
        }
        for number in numbers
    ]


def glucose(schema, rows, seed):
    """`rows` events of the steady people."""
    frame = random_frame(schema, rows, seed=seed, people=STEADY)
    number = pl.col("subject_id").str.strip_prefix("u")
    return frame.with_columns(subject_id=pl.format(f"{CANARY}-steady{{}}", number))


def pressures(schema, tag, rows, failing=0.05, late=0.15):
    """`rows` events: most of the steady people, a share of `late` of those who enrol with `tag` later."""
    frame = random_frame(schema, rows, seed=zlib.crc32(tag.encode()), people=STEADY)
    every = int(1 / failing)
    number = pl.col("subject_id").str.strip_prefix("u").cast(pl.Int64)
    row = pl.int_range(pl.len())
    is_late = row % 100 < late * 100
    return frame.with_columns(
        pl.when(is_late)
        .then(pl.format(f"{CANARY}-{tag}{{}}", number % LATE))
        .otherwise(pl.format(f"{CANARY}-steady{{}}", number))
        .alias("subject_id"),
        panel_code=pl.lit("85354-9"),
        status=pl.lit("final"),
        systolic=pl.when(row % every == 0).then(FAILING).otherwise(100.0 + row % 50),
        diastolic=pl.lit(80.0),
        heart_rate=pl.lit(70.0),
        body_position=pl.lit(None, pl.String),
    )
