"""Blood pressures of people of whom some enrol late, some events broken and some failing a rule."""

import datetime as dt
import zlib

import polars as pl

from biokeel.contracts.topics import event_type
from biokeel.testing.events import random_frame

ENROLMENT = event_type("person.enrolment")
PRESSURE = event_type("clinical.blood_pressure")
PEOPLE = 200
LATE = 50
BROKEN = (None, b"", b"no frame", b"\x00\x00\x00\x00\x01cut")


def enrolments(tag, numbers):
    consented = int(dt.datetime(2015, 1, 1, tzinfo=dt.UTC).timestamp() * 1000)
    return [
        {
            "event_id": f"{zlib.crc32(tag.encode()):016x}{number:016x}",
            "source_id": "demo/one",
            "subject_scheme": "app/demo",
            "subject_id": f"{tag}{number}",
            "occurred_at": consented,
            "occurred_offset_minutes": 540,
            "recorded_at": consented,
            "identifiers": [],
            "sex": "unknown",
            "consent_scope": ["genome", "clinical", "lifestyle"],
        }
        for number in numbers
    ]


def pressures(schema, tag, rows, failing=0.05):
    frame = random_frame(schema, rows, seed=zlib.crc32(tag.encode()), people=PEOPLE)
    every = int(1 / failing)
    return frame.with_columns(
        pl.lit(tag).add(pl.col("subject_id").str.strip_prefix("u")).alias("subject_id"),
        panel_code=pl.lit("85354-9"),
        status=pl.lit("final"),
        systolic=pl.when(pl.int_range(pl.len()) % every == 0).then(900.0).otherwise(120.0),
        diastolic=pl.lit(80.0),
        heart_rate=pl.lit(70.0),
        body_position=pl.lit(None, pl.String),
    )


def send(publisher, schema, tag, rows):
    """Publish everything but the late enrolments; returns how many messages that was."""
    sent = publisher.publish(ENROLMENT, enrolments(tag, range(LATE, PEOPLE)))
    publisher.flush()
    sent += publisher.publish(PRESSURE, pressures(schema, tag, rows))
    publisher.flush()
    return sent + len(publisher.publish_raw(PRESSURE, BROKEN, partition=1))


def send_late(publisher, tag):
    sent = publisher.publish(ENROLMENT, enrolments(tag, range(LATE)))
    publisher.flush()
    return sent
