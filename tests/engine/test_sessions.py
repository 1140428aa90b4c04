"""Whatever goes wrong between us and a broker: it answers for what is wanted, and for nothing else."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError, RequestTimedOutError
from aiokafka.protocol.fetch import FetchRequest_v11
from hypothesis import given
from hypothesis import strategies as st

from biokeel.engine.kafka.records import Fetcher
from biokeel.engine.kafka.sessions import AskingClient, Bounds, Session

BOUNDS = Bounds(3000, 1, 1 << 20, 1 << 16, 1)
PLACES = [TopicPartition(f"raw.hospital-{topic}.clinical.glucose", number) for topic in "ab" for number in range(3)]
NOT_FOUND, INVALID_EPOCH = 70, 71


class Broker:
    """What a broker does with the sessions of one client, by KIP-227: `watched` is what it answers for."""

    def __init__(self):
        self.sessions = {}
        self.full = False
        self.watched = {}

    def take(self, request):
        """The answer to `request`, a struct; it names every partition that it answers for."""
        asked = {
            TopicPartition(topic, part[0]): part[2] for topic, parts in request.topics for part in parts
        }  # partition, leader's epoch, offset, ...
        gone = [TopicPartition(topic, part) for topic, parts in request.forgotten_topics_data for part in parts]
        if request.session_epoch == 0:
            self.sessions.pop(request.session_id, None)
            number = 0 if self.full else max(self.sessions, default=0) + 1
            session = {"epoch": 1, "watched": asked}
            if number:
                self.sessions[number] = session
        else:
            number, session = request.session_id, self.sessions.get(request.session_id)
            if session is None:
                return SimpleNamespace(error_code=NOT_FOUND, session_id=0, topics=[])
            if session["epoch"] != request.session_epoch:
                return SimpleNamespace(error_code=INVALID_EPOCH, session_id=0, topics=[])
            session["epoch"] += 1
            session["watched"] |= asked
            for place in gone:
                del session["watched"][place]  # a client that forgets what it never asked for is wrong
        self.watched = dict(session["watched"])
        topics = [(place.topic, [(place.partition, 0)]) for place in self.watched]
        return SimpleNamespace(error_code=0, session_id=number, topics=topics)


class Wire:
    """A client of aiokafka's in front of a `Broker`; `fails`: what the next request meets."""

    def __init__(self, broker):
        self.broker = broker
        self.fails = None

    async def send(self, _node_id, request):
        fails, self.fails = self.fails, None
        if fails == "before":
            raise KafkaConnectionError
        answer = self.broker.take(request.prepare({1: (4, 17)}))
        if fails == "after":
            raise RequestTimedOutError
        if fails == "cancelled":
            raise asyncio.CancelledError
        return answer


WANTED = st.dictionaries(st.sampled_from(PLACES), st.integers(0, 3))
MISHAPS = st.sampled_from([None, None, None, "before", "after", "cancelled", "restart", "full", "assignment"])


@given(st.lists(st.tuples(WANTED, MISHAPS), min_size=1, max_size=30))
def test_an_answer_is_for_what_was_asked_last_whatever_happened_before(steps):
    broker = Broker()
    wire = Wire(broker)
    client = AskingClient(wire)
    unanswered = 0
    for wanted, mishap in steps:
        wire.fails = mishap
        broker.full = mishap == "full"
        if mishap == "restart":
            broker.sessions.clear()
        if mishap == "assignment":
            client.begin_anew()
        question = client.session(1).ask(wanted, BOUNDS)
        try:
            answer = asyncio.run(client.send(1, question))
        except (KafkaConnectionError, RequestTimedOutError, asyncio.CancelledError):
            unanswered += 1
            continue
        if answer.error_code:
            assert answer.topics == question.topics == []
            question = client.session(1).ask(wanted, BOUNDS)
            answer = asyncio.run(client.send(1, question))
        assert broker.watched == wanted
        asked = {
            TopicPartition(topic, number): offset for topic, parts in question.topics for number, offset, _ in parts
        }
        assert asked == wanted
        assert len(broker.sessions) <= 1 + unanswered, "a session that was begun anew is left behind"


def test_where_nothing_changes_a_request_names_nothing():
    session, broker = Session(), Broker()
    wanted = dict.fromkeys(PLACES, 5)
    for epoch in range(3):
        question = session.ask(dict(wanted), BOUNDS)
        request = question.build(FetchRequest_v11)
        assert (request.session_epoch, bool(request.topics)) == (epoch, not epoch)
        session.answered(question, broker.take(request))


def test_what_a_broker_answers_for_without_being_asked_is_dropped_and_the_session_begun_anew():
    session, broker = Session(), Broker()
    question = session.ask({PLACES[0]: 0}, BOUNDS)
    answer = broker.take(question.build(FetchRequest_v11))
    answer.topics.append((PLACES[1].topic, [(PLACES[1].partition, 0)]))
    session.answered(question, answer)
    assert answer.topics == question.topics == []
    assert session.ask({PLACES[0]: 0}, BOUNDS).build(FetchRequest_v11).session_epoch == 0


class State(SimpleNamespace):
    """What aiokafka knows of a partition."""

    paused = False
    resume_fut = "resumed"

    @property
    def has_valid_position(self):
        return self.position is not None


class InHand(SimpleNamespace):
    """Records that were fetched."""

    def calculate_backoff(self):
        return self.pause


@pytest.fixture
def fetcher():
    """A fetcher of `PLACES`, all at offset 7 and led by broker 1; what aiokafka's own would know is its attributes."""
    made = Fetcher.__new__(Fetcher)
    made._records, made._busy, made._in_flight, made._asked_of = {}, set(), set(), None
    made._fetch_min_bytes, made._fetch_max_wait_ms, made._isolation_level = 4096, 800, 1
    made._fetch_max_bytes, made._max_partition_fetch_bytes = 1 << 20, 1 << 16
    made.leaders = dict.fromkeys(PLACES, 1)
    made._client = AskingClient(SimpleNamespace(cluster=SimpleNamespace(leader_for_partition=made.leaders.get)))
    made.states = {place: State(position=7) for place in PLACES}
    return made


def actions(fetcher, assignment=None):
    assignment = assignment or SimpleNamespace(tps=PLACES, state_value=fetcher.states.get)
    asked, resets, wait, leaderless, resumed = fetcher._get_actions_per_node(assignment)
    named = {
        node_id: sorted(
            TopicPartition(topic, part[0]) for topic, parts in question.build(FetchRequest_v11).topics for part in parts
        )
        for node_id, question in asked
    }
    return named, dict(resets), wait, leaderless, resumed


def test_each_broker_is_asked_for_what_it_leads(fetcher):
    fetcher.leaders[PLACES[0]] = 2
    assert actions(fetcher) == ({1: PLACES[1:], 2: PLACES[:1]}, {}, 3.0, False, [])


def test_a_broker_that_answers_just_now_is_not_asked(fetcher):
    fetcher._in_flight = {1}
    assert actions(fetcher) == ({}, {}, 3.0, False, [])


def test_a_partition_without_a_leader_has_the_metadata_asked_for_and_holds_nobody_up(fetcher):
    fetcher.leaders[PLACES[0]] = -1
    del fetcher.leaders[PLACES[1]]
    assert actions(fetcher) == ({1: PLACES[2:]}, {}, 3.0, True, [])


def test_a_partition_without_a_position_gets_one_before_its_broker_is_asked(fetcher):
    fetcher.states[PLACES[0]].position = None
    assert actions(fetcher) == ({}, {1: [PLACES[0]]}, 3.0, False, [])


def test_a_paused_partition_is_waited_for(fetcher):
    fetcher.states[PLACES[0]].paused = True
    assert actions(fetcher) == ({1: PLACES[1:]}, {}, 3.0, False, ["resumed"])


def test_what_is_in_hand_is_given_a_moment_and_then_the_others_are_asked_for(fetcher):
    fetcher._records = {PLACES[0]: InHand(pause=0.05), PLACES[1]: InHand(pause=0.08)}
    assert actions(fetcher) == ({}, {}, 0.08, False, [])
    fetcher._records = {PLACES[0]: InHand(pause=0), PLACES[1]: InHand(pause=0)}
    assert actions(fetcher) == ({1: PLACES[2:]}, {}, 3.0, False, [])


def test_with_a_new_assignment_everything_is_named_again(fetcher):
    broker = Broker()
    fetcher._client._client.send = Wire(broker).send
    assignment = SimpleNamespace(tps=PLACES, state_value=fetcher.states.get)
    ((_, question),) = fetcher._get_actions_per_node(assignment)[0]
    asyncio.run(fetcher._client.send(1, question))
    assert actions(fetcher, assignment)[0] == {1: []}
    assert actions(fetcher)[0] == {1: PLACES}
