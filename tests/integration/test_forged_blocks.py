"""Somebody who may write into pseudo topics, and has no key of the vault zone's, against the real parts."""

from __future__ import annotations

import pytest
from confluent_kafka import Producer

from biokeel.admin.users import User
from biokeel.books.bookkeeper import Bookkeeper
from biokeel.contracts.blocks import HEADER_ROWS
from biokeel.contracts.catalogue import DirectoryCatalogue
from biokeel.contracts.signatures import HEADER_SIGNATURE, PublicKeys
from biokeel.contracts.topics import Zone, event_type
from biokeel.engine.curate.reading import KEPT_UNSIGNED
from biokeel.engine.kafka.newest import newest
from biokeel.land.aside import Aside
from biokeel.land.lake import Lake
from biokeel.land.reading import scan
from biokeel.source.client import Publisher
from biokeel.stack.stack import Stack
from biokeel.testing.events import SOURCE
from biokeel.vault.keys import load_key_file, prepare_block_key, use_block_key
from tests import commands
from tests.faults.traffic import ENROLMENT, LATE, PRESSURE, enrolments, pressures
from tests.signing import OTHER, signed
from tests.stack.stack_helpers import balanced

pytestmark = pytest.mark.integration

ROWS = 200
SECRET = "850101-1234567"
GLUCOSE = event_type("clinical.glucose")


class World:
    """A stack with a worker of each kind, and what is sent through it."""

    def __init__(self, folder, said):
        self.stack = Stack.start(folder, workers=1, say=said.append)
        self.vault, self.research = self.stack.settings(Zone.VAULT), self.stack.settings(Zone.RESEARCH)
        self.catalogue = DirectoryCatalogue(self.vault.schemas_dir)
        self.sent = 0

    def send(self, tag):
        """Publish, and wait until all of it is in its place."""
        rows = pressures(self.catalogue.reader(PRESSURE).schema, tag, ROWS, late=1.0)
        people = [{**each, "consent_stated": True} for each in enrolments(tag, range(LATE))]
        with Publisher(self.stack.source(SOURCE), self.catalogue) as publisher:
            self.sent += publisher.publish(ENROLMENT, people) + publisher.publish(PRESSURE, rows)

        def in_place(books):
            return books.total("raw") == self.sent and not books.total("parked")

        books = balanced(Bookkeeper.of(self.stack.state_dir), in_place, 90)
        assert books.balanced, f"what was sent {tag}: {books.as_json()}"
        assert in_place(books), f"what was sent {tag}: {books.as_json()}"

    def forge(self, *messages):
        """Write (topic, partition, value, headers) with the rights of the pseudonymise worker, and nothing else."""
        producer = Producer(self.vault.kafka_client())
        for topic, partition, value, headers in messages:
            producer.produce(topic, value, partition=partition, headers=headers)
        assert producer.flush(30) == 0

    def landed(self):
        lake = Lake.of(self.research)
        rows = scan(lake.curated(PRESSURE), lake).collect()
        return sorted(rows.select("participant_id", "first_partition", "first_offset", "sequence", "systolic").rows())

    def aside(self):
        return Aside(Lake.of(self.research)).offsets(PRESSURE)


@pytest.fixture
def said():
    return []


@pytest.fixture
def world(tmp_path, monkeypatch, said):
    monkeypatch.setenv("BIOKEEL_FLUSH_SECONDS", "1")
    made = World(tmp_path, said)
    yield made
    made.stack.stop()


def forgeries(world):
    """Everything that can be made of the blocks of the topic without the key, for partition 0 of it."""
    topic = PRESSURE.pseudo_topic
    blocks = newest(world.vault, topic, 100)
    mine = next(block for block in blocks if block.partition == 0)
    other = next(block for block in blocks if block.partition == 1)
    rest = [(name, value) for name, value in mine.headers if name != HEADER_SIGNATURE]
    elsewhere = [(name, b"demo-one/0:900000-900001" if name == HEADER_ROWS else value) for name, value in rest]
    return (
        [
            (topic, 0, mine.value, rest),
            (topic, 0, mine.value, signed(topic, 0, rest, OTHER)),
            (topic, 0, mine.value, signed(topic, 0, elsewhere, OTHER)),
            (topic, 0, mine.value[:-9] + b"x" * 9, mine.headers),
            (topic, 0, other.value, other.headers),
            (topic, 0, SECRET.encode(), [(SECRET, b"x"), ("biokeel-format", b"9")]),
            (topic, 0, None, []),
        ],
        (topic, 0, mine.value, mine.headers),
        (GLUCOSE.pseudo_topic, 0, mine.value, mine.headers),
    )


def test_who_may_write_pseudo_topics_but_has_no_key_lands_nothing_and_stops_nothing(world, said):
    world.send("before")
    before, worker = world.landed(), world.stack.pid("curate-1")
    some, copy, in_another_topic = forgeries(world)
    flood = some * (2 * KEPT_UNSIGNED // len(some))
    world.forge(*some, copy, in_another_topic, *flood)
    world.send("after")
    after = world.landed()
    assert set(before) < set(after)
    assert len(after) == 2 * len(before) == len({row[1:3] for row in after})
    aside = world.aside()
    assert {number: len(each.damaged) for number, each in aside.items()} == {0: 0}
    assert len(aside[0].unsigned) == KEPT_UNSIGNED
    assert len(Aside(Lake.of(world.research)).offsets(GLUCOSE)[0].unsigned) == 1
    assert world.stack.pid("curate-1") == worker, f"the worker goes on: {said}"
    log = (world.stack.state_dir / "logs" / "curate-1.log").read_text("utf-8")
    assert "(not from the vault zone)" in log
    assert SECRET not in log
    everything = [path for path in (world.stack.state_dir / "objects").rglob("*") if path.is_file()]
    assert not [path for path in everything if SECRET.encode() in path.read_bytes()]
    given = {"BIOKEEL_STATE_DIR": str(world.stack.state_dir)}
    seen = commands.biokeel("topic", "cat", PRESSURE.pseudo_topic, "--limit", "300", given=given)
    assert seen.returncode == 0, seen.stderr
    assert "not signed by the vault zone" in seen.stdout
    assert SECRET not in seen.stdout


@pytest.mark.long
def test_the_vault_zone_changes_its_key_and_nothing_is_left_out(world, tmp_path):
    def run_anew():
        world.stack.stop()
        world.stack = Stack.start(tmp_path, workers=1)
        world.vault, world.research = world.stack.settings(Zone.VAULT), world.stack.settings(Zone.RESEARCH)

    world.send("before")
    keys = world.vault.vault_key_file
    prepared = prepare_block_key(keys).public_keys
    run_anew()
    assert world.stack.settings(User.OPERATOR).block_public_keys == ",".join(prepared)
    assert use_block_key(keys).signer.public == prepared[1]
    run_anew()
    world.send("after")
    assert len(world.landed()) == len({row[1:3] for row in world.landed()})
    assert not world.aside()
    newer = PublicKeys([load_key_file(keys).signer.public])
    signers = [
        newer.have_signed(PRESSURE.pseudo_topic, each.partition, dict(each.headers))
        for each in newest(world.vault, PRESSURE.pseudo_topic, 100)
    ]
    assert set(signers) == {True, False}
    assert signers == sorted(signers)
