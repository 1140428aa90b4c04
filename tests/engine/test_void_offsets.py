"""Offsets that hold no event (aborted, markers, compacted away): noted for the books before anything is committed."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from biokeel.contracts.topics import event_type
from biokeel.engine.kafka.deliveries import Partition
from biokeel.engine.kafka.records import Records
from biokeel.engine.pseudonymise import PseudonymiseWorker
from biokeel.errors import VaultUnavailable
from biokeel.observe.metrics import WorkerMetrics
from biokeel.settings import Settings
from tests.engine.test_pseudonymise_worker import Kafka
from tests.pseudonymise.conftest import CATALOGUE, GLUCOSE, World, origin, world
from tests.signing import SIGNER

__all__ = ["world"]

ENROLMENT = event_type("person.enrolment")
TOPIC = GLUCOSE.raw_topic(origin(0).source)
AT = Partition(TOPIC, 0)


def made_worker(world: World):
    kafka = Kafka()
    worker = PseudonymiseWorker(
        Settings(), WorkerMetrics("pseudonymise"), world.wall(), CATALOGUE, kafka, signer=SIGNER
    )
    worker._held = {AT}
    worker.ledger.assign(AT, 0)
    return worker, kafka


def take(worker, records, at=AT):
    """What the transport hands out, worked on and settled."""
    delivery = worker.ledger.deliver(at, records)

    async def scenario():
        await worker.take([delivery])
        await worker._arrived()

    asyncio.run(scenario())
    worker.check()


def void(world, event=GLUCOSE):
    books = world.vault().books(event, origin(0))
    return books.filter(books["place"] == "void")["offset"].to_list()


def fetched(batch, covers):
    return Records(batch.offsets, batch.values, None, 0, covers=covers)


def test_what_stands_between_and_behind_events_is_noted_and_committed(world):
    worker, kafka = made_worker(world)
    world.enrol(world.wall(), "P-1")
    batch = world.glucose("P-1", "P-1")
    spread = replace(batch, offsets=np.array([1, 4]))
    take(worker, fetched(spread, (0, 7)))
    assert void(world) == [0, 2, 3, 5, 6]
    assert worker.ledger.committable() == {AT: 7}
    assert len(kafka.sent) == 1


def test_where_there_is_nothing_but_void_offsets_they_are_noted_and_committed(world):
    worker, kafka = made_worker(world)
    take(worker, Records(np.array([], dtype=np.int64), [], None, 0, covers=(0, 3)))
    assert void(world) == [0, 1, 2]
    assert worker.ledger.committable() == {AT: 3}
    assert kafka.sent == []


def test_beside_person_events_too(world):
    worker, _ = made_worker(world)
    at = Partition(ENROLMENT.raw_topic(origin(0).source), 0)
    worker.ledger.assign(at, 0)
    take(worker, Records(np.array([1]), [b"no event"], None, 0, covers=(0, 3)), at)
    assert void(world, ENROLMENT) == [0, 2]
    assert worker.ledger.committable() == {at: 3}


@pytest.mark.parametrize("dies", ["before they are noted", "before anything is decided"])
def test_whoever_dies_notes_them_once_more(world, monkeypatch, dies):
    """The replay may be cut otherwise, and they are void once all the same."""
    worker, _ = made_worker(world)
    method = "leave_out" if dies == "before they are noted" else "process"

    def death(*_arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(worker._wall, method, death)
        with pytest.raises(KeyboardInterrupt):
            worker._pass(GLUCOSE, [worker.ledger.deliver(AT, fetched(world.glucose("P-1"), (0, 4)))])
    assert worker.ledger.committable() == {}
    again, _ = made_worker(world)
    world.offsets.clear()
    take(again, fetched(world.glucose("P-1"), (0, 2)))
    take(again, Records(np.array([], dtype=np.int64), [], None, 0, covers=(2, 6)))
    assert void(world) == [1, 2, 3, 4, 5]
    assert again.ledger.committable() == {AT: 6}


def test_a_vault_that_is_away_is_waited_for(world, monkeypatch):
    worker, _ = made_worker(world)
    leave_out, tries = worker._wall.leave_out, []

    def away(*arguments):
        tries.append(arguments)
        if len(tries) == 1:
            raise VaultUnavailable("The vault's database does not answer.")
        leave_out(*arguments)

    monkeypatch.setattr(worker._wall, "leave_out", away)
    take(worker, Records(np.array([], dtype=np.int64), [], None, 0, covers=(0, 2)))
    assert (len(tries), void(world)) == (2, [0, 1])
