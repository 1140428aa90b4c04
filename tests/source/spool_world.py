"""A Kafka in memory for the drain of a spool, and what the tests of spools share."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from biokeel.source.spool.drain import Away, Drain, Kind, Refusal, TopicRefused
from biokeel.source.spool.frames import columns_of, columns_of_one
from biokeel.source.spool.log import Spool

TOPIC = "test.events"
HASHES = 8


class World:
    """A Kafka: takes what it is sent at once, and answers when it is polled."""

    def __init__(self, partitions=3):
        self.partitions_of = defaultdict(lambda: partitions)
        self.logs = defaultdict(list)
        self.missing = set()
        self.forbidden = set()
        self.away = False
        self.largest = 1 << 30
        self.batch_bytes = 1 << 30

    def log(self, topic=TOPIC):
        """All values of a topic, by partition."""
        return {partition: self.logs[topic, partition] for partition in range(self.partitions_of[topic])}

    def values(self, topic=TOPIC):
        return [value for values in self.log(topic).values() for value in values]


class Lost:
    """Where answers go that nobody hears."""

    took = refuse = staticmethod(lambda _: None)


class Transport:
    """A producer of `world`. With `slow` it answers only so many runs a poll; `lose` drops answers that wait."""

    def __init__(self, world, slow=1_000_000):
        self.world, self.slow = world, slow
        self.waiting = []
        self.end = None
        self.asked = 0
        self.sent = 0

    def partitions(self, topic):
        self.asked += 1
        if self.world.away:
            raise Away("Kafka does not answer.")
        if topic in self.world.missing:
            raise TopicRefused(f"Kafka has no topic {topic}.")
        return self.world.partitions_of[topic]

    def send(self, topic, partition, values, answers):
        self.sent += len(values)
        self.waiting.append((topic, partition, list(values), answers))

    def poll(self, seconds):
        del seconds
        if self.world.away:
            return
        for topic, partition, values, answers in self.waiting[: self.slow]:
            self._answer(topic, partition, values, answers)
        del self.waiting[: self.slow]

    def _answer(self, topic, partition, values, answers):
        refusal = None
        if topic in self.world.forbidden:
            refusal = Refusal(Kind.TOPIC, "TOPIC_AUTHORIZATION_FAILED")
        elif max(map(len, values), default=0) > self.world.largest or sum(map(len, values)) > self.world.batch_bytes:
            refusal = Refusal(Kind.EVENT, "MSG_SIZE_TOO_LARGE")
        for value in values:
            if refusal is not None:
                answers.refuse(refusal)
                continue
            log = self.world.logs[topic, partition]
            log.append(value)
            answers.took(len(log) - 1)

    @property
    def ended(self):
        return self.end

    def renew(self):
        self.end = None
        self.waiting = []

    def take_without_an_answer(self):
        """Kafka takes what was sent, and the answers are lost."""
        for topic, partition, values, _ in self.waiting:
            self._answer(topic, partition, values, Lost)
        self.waiting = []


def append(spool, values, topic=TOPIC, hashes=None, **how):
    """Append `values`; the hash of one is its last byte unless `hashes` says otherwise."""
    hashes = [value[-1] % HASHES for value in values] if hashes is None else hashes
    if len(values) == 1:
        columns = columns_of_one(hashes[0], len(values[0]))
    else:
        columns = columns_of(np.array(hashes, np.uint32), np.array([len(value) for value in values], np.uint32))
    return spool.append(topic, len(values), columns, b"".join(values), **how)


def some(count, start=0, size=20):
    return [b"%0*d" % (size, number) for number in range(start, start + count)]


def drain(spool, world, steps=200, transport=None):
    """Drain until nothing is left, or `steps` steps; returns the drain."""
    draining = Drain(spool, transport or Transport(world))
    run(draining, spool, steps)
    draining.close()
    return draining


def run(draining, spool, steps=200):
    for _ in range(steps):
        draining.step(0.0)
        if spool.cursor.low >= spool.next_number:
            break


def newest(folder):
    """The newest segment's file."""
    return max(folder.glob("*.log"))


def make(folder, **settings):
    settings.setdefault("sync", False)
    return Spool(folder, **settings)
