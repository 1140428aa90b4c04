"""What files say of consent, on its way through the wall: a newer export of a person is no consent."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from biokeel.contracts.topics import EventType, event_type
from biokeel.reasons import Reason
from biokeel.source.columns import conform, frame_of
from biokeel.source.files import Source, find_files, publish_files
from tests.pseudonymise.conftest import World

EXERCISE = event_type("lifestyle.exercise")


class Walled:
    """A sink whose events go through the wall at once; keeps how many of each type went on, and why others did not."""

    def __init__(self, world: World) -> None:
        self.world, self.wall = world, world.wall()
        self.passed: dict[EventType, int] = {}
        self.reasons: list[Reason] = []

    def publish(self, event: EventType, rows, withheld=None) -> int:
        schema = self.world.schemas[event]
        frame = conform(schema, rows) if isinstance(rows, pl.DataFrame) else frame_of(schema, rows)
        changes = [row | {"source_id": "hospital-one"} for row in frame.to_dicts()]
        result = self.wall.process(self.world.batch(event, changes))
        self.passed[event] = self.passed.get(event, 0) + (0 if result.batch is None else len(result.batch))
        self.reasons += [reason for reason, count in result.counts.items() for _ in range(count)]
        return frame.height

    def publish_raw(self, event: EventType, values, partition: int = 0) -> list[int]:
        raise AssertionError("no file of these has broken messages")


@pytest.fixture
def sink(tmp_path: Path):
    world = World(tmp_path)
    yield Walled(world)
    world.close()


def test_a_consent_that_was_narrowed_is_not_widened_by_the_hospitals_next_export(shared_cases: Path, sink) -> None:
    source = Source("hospital-one", b"key", "seoul-1")
    for name in ("05a_patient.json", "05b_consent.jsonl", "05c_life.jsonl", "05d_patient_again.json", "05e_life.jsonl"):
        results = publish_files(find_files([shared_cases / "files" / f"consent_{name}"]), source, sink, None)
        assert not results[0].failure
    assert sink.passed[EXERCISE] == 0
    assert sink.reasons == [Reason.NO_CONSENT, Reason.NO_CONSENT]
    people = sink.wall._vault.status()
    assert people.participants == 1
