"""What receipts tell a source: found by event id, and sent again where it is worth it."""

from __future__ import annotations

import datetime as dt
from collections import deque

import pytest

from biokeel.contracts.receipts import Outcome, Receipt
from biokeel.errors import DeliveryError
from biokeel.reasons import Reason
from biokeel.settings import Settings
from biokeel.source.receipts import Fates, best, rejected_places
from biokeel.source.sdk import SourceClient
from tests.source.sdk_world import Client, id_in
from tests.source.spool_world import Transport, World
from tests.source.test_sdk import PLACE, TOPIC, glucose

AT = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
EVENT = "clinical.glucose"


def receipt(number, partition, offsets, outcome=Outcome.LANDED, **more):
    return Receipt(number, EVENT, partition, tuple(offsets), outcome, AT, **more)


class Told:
    """Receipts that come a few at a time."""

    def __init__(self, receipts):
        self.receipts = deque(receipts)
        self.closed = False

    @property
    def ended(self):
        return not self.receipts

    def more(self, seconds):
        del seconds
        return [self.receipts.popleft()] if self.receipts else []

    def close(self):
        self.closed = True


@pytest.fixture
def world():
    return World()


@pytest.fixture
def client(world, tmp_path, catalogue):
    class Informed(Client):
        told: Told

        def _following(self):
            return self.told

    how = {"sync": False, "catalogue": catalogue, "transport": Transport(world)}
    with Informed(Settings(**PLACE), tmp_path, b"k" * 32, **how) as made:
        yield made


def place_of(world, event_id):
    ((partition, offset),) = [
        (partition, offset)
        for partition, values in world.log(TOPIC).items()
        for offset, value in enumerate(values)
        if id_in(value) == event_id
    ]
    return partition, offset


def test_an_event_is_known_by_its_id_as_soon_as_its_receipt_comes(client, world):
    ids = client.send_many([glucose(number, str(number % 5)) for number in range(20)])
    client.flush(30)
    client.told = Told(
        [
            receipt(0, partition, [(0, len(values) - 1)], table_version=3)
            for partition, values in world.log(TOPIC).items()
            if values
        ]
    )
    fates = client.wait_landed(ids[:7], 30)
    assert set(fates) == set(ids[:7])
    assert {fate.outcome for fate in fates.values()} == {Outcome.LANDED}
    assert client.told.closed


def test_what_waits_or_is_nobodys_is_not_in_the_answer(client, world):
    first, second = client.send(glucose(1)), client.send(glucose(2))
    client.flush(30)
    partition, offset = place_of(world, first)
    other = place_of(world, second)
    client.told = Told(
        [
            receipt(0, partition, [(offset, offset)], Outcome.PARKED),
            receipt(1, other[0], [(other[1], other[1])], Outcome.SEALED, reason=Reason.SUBJECT),
        ]
    )
    fates = client.wait_landed([first, second, "0" * 32], 0.3)
    assert {name: fate.outcome for name, fate in fates.items()} == {second: Outcome.SEALED}


def test_a_parked_event_that_is_released_has_come_to_an_end(client, world):
    first = client.send(glucose(1))
    client.flush(30)
    partition, offset = place_of(world, first)
    runs = [(offset, offset)]
    client.told = Told([receipt(0, partition, runs, Outcome.PARKED), receipt(1, partition, runs, amends=True)])
    assert client.wait_landed([first], 30)[first].outcome is Outcome.LANDED


def test_of_an_event_that_was_sent_twice_it_counts_that_it_landed():
    places = [(EVENT, 0, 1), (EVENT, 0, 9)]
    landed, repeated = receipt(0, 0, [(1, 1)]), receipt(1, 0, [(9, 9)], Outcome.REPEATED)
    parked = receipt(2, 0, [(9, 9)], Outcome.PARKED)

    def told_by(*receipts):
        fates = Fates(places)
        for each in receipts:
            fates.add(each)
        return best(places, fates)

    assert told_by(landed, repeated) is landed
    assert told_by(repeated) is repeated
    assert told_by(landed, parked) is landed
    assert told_by(parked) is parked
    assert told_by(receipt(3, 0, [(1, 1)], Outcome.SEALED), parked) is parked
    assert told_by(receipt(3, 0, [(1, 1)], Outcome.SEALED), repeated) is repeated
    assert told_by() is None


def test_only_what_was_rejected_and_is_the_sources_to_mend_is_sent_again(client, world):
    ids = client.send_many([glucose(number) for number in range(10)])
    client.flush(30)
    partition, start = place_of(world, ids[0])
    told = [
        receipt(0, partition, [(start, start + 3)]),
        receipt(1, partition, [(start + 4, start + 6)], Outcome.SEALED, reason=Reason.UNKNOWN_SCHEMA),
        receipt(2, partition, [(start + 7, start + 8)], Outcome.SEALED, reason=Reason.NO_CONSENT),
        receipt(3, partition, [(start + 5, start + 5)], amends=True),
    ]
    wanted = rejected_places(told)
    assert wanted == {(EVENT, partition): {start + 4, start + 6}}
    assert client.resend(wanted) == 2
    client.flush(30)
    assert [id_in(value) for value in world.values(TOPIC)] == [*ids, ids[4], ids[6]]
    assert rejected_places(told, {2}) == {(EVENT, partition): {start + 7, start + 8}}


def test_where_an_event_is_outlives_the_process(client, world, tmp_path, catalogue):
    ids = client.send_many([glucose(number, str(number)) for number in range(50)])
    client.close()
    how = {"sync": False, "catalogue": catalogue, "transport": Transport(world)}
    with Client(Settings(**PLACE), tmp_path, b"k" * 32, **how) as again:
        places = again._places(ids)
        assert places == {each: [(EVENT, *place_of(world, each))] for each in ids}


def test_kafka_away_is_told_to_who_asks_for_receipts(tmp_path, catalogue, monkeypatch):
    monkeypatch.setattr("biokeel.source.receipts._ANSWER_SECONDS", 0.5)
    how = {"sync": False, "catalogue": catalogue, "transport": Transport(World())}
    with (
        SourceClient(Settings(**PLACE), tmp_path, b"k" * 32, **how) as client,
        pytest.raises(DeliveryError, match="does not answer"),
    ):
        client.receipts()
