"""Fetch sessions: a broker remembers what it is asked for, so that request and answer name only what is new.

aiokafka names every partition in each request, and has every one named in each answer, news or not. Of 1,620 partitions
that is 50 ms of this process and as much of the broker, every few seconds, with no event moving. In a session (KIP-227)
the first request names all of them; each later one those that are new, that go on elsewhere, or that are not wanted any
more; and an answer those of which there is something: records, an error, another high watermark.

**A session is begun anew**, with a request that names everything: after any request that was not answered (nobody knows
whether the broker took it), after an answer that refuses the session (a broker forgets it when it starts anew, or has
too many), and with each assignment, whose partitions know no watermark yet. A session of a process that died is
forgotten by the broker when it wants room.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from aiokafka import TopicPartition
from aiokafka.protocol.api import Request
from aiokafka.protocol.fetch import FetchRequest, FetchRequest_v11

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_BEGIN: Final = 0
"""The epoch of a request that begins a session."""
_LAST_EPOCH: Final = 2**31 - 1
_NO_SESSION: Final = 0
"""In place of a session's id: there is none."""
_NO_EPOCH: Final = -1
"""The epoch of a leader, and the beginning of a log, which a consumer does not know."""
_CONSUMER: Final = -1


class Bounds(NamedTuple):
    """How much a broker is to gather before it answers, how long it may wait for that (ms), and what an answer may have
    at most, all in all and of one partition (bytes). `isolation` is the protocol's isolation level.
    """

    wait_ms: int
    least: int
    most: int
    most_of_one: int
    isolation: int


class Question(Request[FetchRequest_v11]):  # type: ignore[misc]  # aiokafka has no types
    """One request of a session.

    `topics` is what aiokafka wants to know of a request once the answer is there: from where each partition was asked
    for that is named in the answer.
    """

    API_KEY = FetchRequest.API_KEY

    def __init__(self, begin: tuple[int, int], changed: Mapping[Any, int], gone: Iterable[Any], bounds: Bounds) -> None:
        self.topics: list[tuple[str, list[tuple[int, int, int]]]] = []
        self._begin = begin
        self._changed = changed
        self._gone = gone
        self._bounds = bounds

    def build(self, struct: Any) -> Any:
        """The request as it goes to the broker."""
        most = self._bounds.most_of_one
        changed: dict[str, list[tuple[int, ...]]] = {}
        for (topic, partition), offset in self._changed.items():
            changed.setdefault(topic, []).append((partition, _NO_EPOCH, offset, _NO_EPOCH, most))
        gone: dict[str, list[int]] = {}
        for topic, partition in self._gone:
            gone.setdefault(topic, []).append(partition)
        wait_ms, least, most, _, isolation = self._bounds
        return struct(_CONSUMER, wait_ms, least, most, isolation, *self._begin, [*changed.items()], [*gone.items()], "")


class Session:
    """What one broker was asked for, and may remember. One request is under way at a time."""

    def __init__(self) -> None:
        self._id = _NO_SESSION
        self._epoch = _BEGIN
        self._asked: Mapping[Any, int] = {}

    def ask(self, wanted: Mapping[Any, int], bounds: Bounds) -> Question:
        """The request after which the broker answers for `wanted` (partition → offset), and for no other partition."""
        known = self._asked if self._epoch != _BEGIN else {}
        changed = {tp: offset for tp, offset in wanted.items() if known.get(tp) != offset}
        self._asked = wanted
        return Question((self._id, self._epoch), changed, known.keys() - wanted.keys(), bounds)

    def answered(self, question: Question, answer: Any) -> None:
        """Take in what the broker says to `question`, and drop what it should not have said."""
        asked, most = self._asked, question._bounds.most_of_one  # noqa: SLF001 - of this module
        named = [TopicPartition(topic, part[0]) for topic, parts in answer.topics for part in parts]
        if answer.error_code or not asked.keys() >= set(named):
            answer.topics = []
            self.lost()
            return
        question.topics = [(tp.topic, [(tp.partition, asked[tp], most)]) for tp in named]
        if self._epoch == _BEGIN:
            self._id = answer.session_id
        self._epoch = _BEGIN if self._id == _NO_SESSION else self._epoch % _LAST_EPOCH + 1

    def lost(self) -> None:
        """The next request begins anew. It names the session it had, for the broker to forget."""
        self._epoch = _BEGIN


class AskingClient:
    """aiokafka's client as the fetcher has it: what it sends are questions of sessions."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._sessions: dict[int, Session] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def session(self, node_id: int) -> Session:
        """The session with the broker `node_id`."""
        return self._sessions.setdefault(node_id, Session())

    def begin_anew(self) -> None:
        """Every session is begun anew."""
        for session in self._sessions.values():
            session.lost()

    async def send(self, node_id: int, request: Any) -> Any:
        """As aiokafka's. A session whose question comes to nothing, however it does, is lost."""
        if not isinstance(request, Question):
            return await self._client.send(node_id, request)
        session = self.session(node_id)
        try:
            answer = await self._client.send(node_id, request)
        except BaseException:
            session.lost()
            raise
        session.answered(request, answer)
        return answer
