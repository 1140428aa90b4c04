"""aiokafka's part in the consumer group, ending the worker where it gives up or where another has taken its place.

aiokafka keeps such a failure for whoever asks it for records the next time. Faust does not ask a consumer that holds no
partitions, so without this a worker whose part in the group has died lives on, without partitions and without a word.
The watchdog sees nothing: nothing is under way that could be late.

Of two workers under one name each would take the other's partitions, again and again, and none would get anywhere. The
one whose place was taken ends.
"""

from __future__ import annotations

from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any

from aiokafka.consumer.group_coordinator import (
    GroupCoordinator,
    HeartbeatRequest,
    JoinGroupRequest,
    OffsetCommitRequest,
    SyncGroupRequest,
)
from aiokafka.errors import NoError, UnknownMemberIdError

from biokeel.errors import TransportError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


class Coordinator(GroupCoordinator):  # type: ignore[misc]  # aiokafka has no types
    """aiokafka's coordinator, telling what it cannot go on after. Make one with `adopt`."""

    _fail: Callable[[BaseException], object]
    _known_at: float
    """When (monotonic) the broker said the last time that it knows us."""

    @classmethod
    def adopt(cls, consumer: Any, fail: Callable[[BaseException], object]) -> None:
        """Let `consumer`, which has started, call `fail` when it cannot go on.

        aiokafka's consumer makes its coordinator itself and has no place for another class.
        """
        coordinator = consumer._coordinator
        coordinator.__class__ = cls
        coordinator._fail, coordinator._known_at = fail, -inf
        for task in (coordinator._coordination_task, consumer._fetcher._fetch_task, consumer._client._sync_task):
            task.add_done_callback(coordinator._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._give_up(error)

    def _push_error_to_user(self, exc: BaseException) -> Any:
        self._give_up(exc)
        return super()._push_error_to_user(exc)

    def _give_up(self, error: BaseException) -> None:
        cause = error.__cause__ or error
        failure = TransportError(
            f"The consumer group {self.group_id} is lost by {type(cause).__name__}.",
            "Is Kafka well? See the log above.",
        )
        failure.__cause__ = error
        self._fail(failure)

    async def _send_req(self, request: Any) -> Any:
        response = await super()._send_req(request)
        codes = _codes(request, response)
        now = monotonic()
        if NoError.errno in codes:
            self._known_at = now
        elif (
            UnknownMemberIdError.errno in codes
            and self._group_instance_id
            and now - self._known_at < self._session_timeout_ms / 1000
        ):
            # Its session has not run out, so the broker has forgotten us for an heir under our name. Raised, too, lest
            # aiokafka joins anew and takes the heir's place in turn before the worker has ended.
            error = _succeeded(self.group_id, self._group_instance_id)
            self._fail(error)
            raise error
        return response


def _codes(request: Any, response: Any) -> set[int]:
    """What the broker says to a request that only a member of the group may make; nothing for any other."""
    if isinstance(request, OffsetCommitRequest):
        return {code for _topic, partitions in response.topics for _partition, code in partitions}
    if isinstance(request, (JoinGroupRequest, SyncGroupRequest, HeartbeatRequest)):
        return {response.error_code}
    return set()


def _succeeded(group: str, name: str) -> TransportError:
    return TransportError(
        f"Another worker of {group} has begun under the name of this one, {name}.",
        "No two may have the same: see BIOKEEL_WORKER_NAME.",
    )
