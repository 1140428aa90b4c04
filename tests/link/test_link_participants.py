"""The participants table says what every state together knows."""

from __future__ import annotations

import datetime as dt

import numpy as np

from biokeel.contracts.ids import encode_id
from biokeel.contracts.topics import event_type
from biokeel.link.participants import from_snapshots, participants_columns, participants_frame
from biokeel.link.state import PersonState, Run, Snapshot, to_bytes
from tests.event_types import LANDED_EVENTS

GLUCOSE, SLEEP = event_type("clinical.glucose"), event_type("lifestyle.sleep")
DAY_MS = 86_400_000


def state(participants, counts, first, last):
    records = np.array([counts, last, first, last]).T * [1, DAY_MS, DAY_MS, DAY_MS]
    return PersonState(Run(np.array(participants), records))


def day(number):
    return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(days=number)


def test_a_person_of_two_domains_has_both_in_one_row():
    frame = participants_frame(
        [(GLUCOSE, state([1, 3], [5, 1], [2, 4], [9, 4])), (SLEEP, state([1], [2], [1], [20]))], LANDED_EVENTS
    )
    assert frame["participant_id"].to_list() == [encode_id(1), encode_id(3)]
    one, three = frame.rows(named=True)
    assert (one["events"], one["first_at"], one["last_at"]) == (7, day(1), day(20))
    assert (one["has_genome"], one["has_clinical"], one["has_lifestyle"]) == (False, True, True)
    assert (one["clinical_glucose_count"], one["clinical_glucose_first_at"]) == (5, day(2))
    assert (one["lifestyle_sleep_count"], one["lifestyle_sleep_last_at"]) == (2, day(20))
    assert (three["events"], three["lifestyle_sleep_count"], three["lifestyle_sleep_first_at"]) == (1, 0, None)
    assert three["has_lifestyle"] is False


def test_partitions_of_one_event_type_stand_side_by_side():
    snapshots = {
        (GLUCOSE, partition): to_bytes(Snapshot(0, state([partition], [1], [1], [1]), {})) for partition in (0, 1)
    }
    assert from_snapshots(snapshots, LANDED_EVENTS)["clinical_glucose_count"].to_list() == [1, 1]


def test_without_any_state_the_table_is_empty_and_has_its_columns():
    frame = participants_frame([], LANDED_EVENTS)
    assert frame.height == 0
    assert dict(frame.schema) == participants_columns(LANDED_EVENTS)
