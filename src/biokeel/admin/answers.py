"""What Kafka answers to an administrator, with its refusals mapped to `AdminError`."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from concurrent.futures import Future
from typing import Any, Final

from biokeel.errors import AdminError

SECONDS: Final = 60.0
"""How long one answer may take."""


def answered(futures: Iterable[Future[Any]], what: str, tolerated: Collection[int] = ()) -> list[Any]:
    """The answers, in order; of a refusal whose code is `tolerated` the code. `what` says what Kafka was asked to do.

    Raises `AdminError` for any other refusal. Some of what was asked may have been done by then: whoever asks again
    loses nothing.
    """
    from confluent_kafka import KafkaError, KafkaException

    refused = {
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
    }
    answers: list[Any] = []
    for future in futures:
        try:
            answers.append(future.result(SECONDS))
        except TimeoutError:
            raise AdminError(
                f"Kafka did not {what} within {SECONDS:g} s.", "Try again: it goes on from here."
            ) from None
        except KafkaException as error:
            fault: KafkaError = error.args[0]
            if fault.code() in refused:
                raise AdminError(
                    f"Kafka did not {what}: this user may not ({fault.name()}).", "Log in as an administrator of Kafka."
                ) from None
            if fault.code() not in tolerated:
                raise AdminError(
                    f"Kafka did not {what} ({fault.name()}).",
                    "See that it runs and try again: it goes on from here.",
                ) from None
            answers.append(fault.code())
    return answers
