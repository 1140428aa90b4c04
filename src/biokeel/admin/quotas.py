"""Quotas of Kafka's users, by Kafka's own protocol: the library that does the rest of the administration has no call.

`aiokafka`, which is here for the workers, speaks the protocol and knows the question what quotas there are; the form of
the request that sets them (API key 49, KIP-546) is written down here with its types. See docs/decisions/031.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.admin import DescribeClientQuotasRequest
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Float64, Int16, Int32, Schema, String

from biokeel.errors import AdminError

if TYPE_CHECKING:
    from biokeel.settings import Settings

T = TypeVar("T")
Quotas = Mapping[str, float | None]
"""Values by Kafka's names, `producer_byte_rate` and `request_percentage` among them; None to remove one."""

_TEXT: Final = String("utf-8")
_USER: Final = "user"
_ANY_NAME: Final = 2
"""Every entity of the type that has a name of its own; 1 would be the default entity."""
_MILLISECONDS: Final = 30_000


class _AlterResponse(Response):  # type: ignore[misc]  # the library has no types
    API_KEY = 49
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "entries",
            Array(
                ("error_code", Int16),
                ("error_message", _TEXT),
                ("entity", Array(("entity_type", _TEXT), ("entity_name", _TEXT))),
            ),
        ),
    )


class _AlterStruct(RequestStruct):  # type: ignore[misc]
    API_KEY = 49
    API_VERSION = 0
    RESPONSE_TYPE = _AlterResponse
    SCHEMA = Schema(
        (
            "entries",
            Array(
                ("entity", Array(("entity_type", _TEXT), ("entity_name", _TEXT))),
                ("ops", Array(("key", _TEXT), ("value", Float64), ("remove", Boolean))),
            ),
        ),
        ("validate_only", Boolean),
    )


class _AlterRequest(Request[_AlterStruct]):  # type: ignore[misc]
    API_KEY = 49

    def __init__(self, entries: list[Any]) -> None:
        self._entries = entries

    def build(self, request_struct_class: type[_AlterStruct]) -> _AlterStruct:
        return request_struct_class(self._entries, False)


def quotas_held(settings: Settings) -> dict[str, dict[str, float]]:
    """The quotas of every user that has any. Raises `AdminError` where Kafka does not say."""

    async def ask(client: Any) -> Any:
        question = DescribeClientQuotasRequest([(_USER, _ANY_NAME, None)], strict=True)
        return await client.send(client.get_random_node(), question)

    answer = _with_client(settings, ask)
    _check(answer.error_code)
    return {entity[0][1]: dict(values) for entity, values in answer.entries}


def set_quotas(settings: Settings, quotas: Mapping[str, Quotas]) -> None:
    """Set, or remove, quotas of some users; of each user all or nothing, and what is not named stays.

    Raises `AdminError` where Kafka refuses one.
    """
    entries = [
        ([(_USER, user)], [(name, value or 0.0, value is None) for name, value in values.items()])
        for user, values in quotas.items()
    ]

    async def ask(client: Any) -> Any:
        return await client.send(client.get_random_node(), _AlterRequest(entries))

    if entries:
        for code, _message, _entity in _with_client(settings, ask).entries:
            _check(code)


def _check(code: int) -> None:
    if code:
        raise AdminError(
            f"Kafka did not take a quota ({for_code(code).__name__}).", "Log in as an administrator of Kafka."
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the library logs: what matters is raised, and that a password goes in the clear is a setting."""
    logger = logging.getLogger("aiokafka")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _with_client(settings: Settings, ask: Callable[[Any], Awaitable[T]]) -> T:
    """What `ask` is answered, by a connection of its own."""

    async def connected() -> T:
        client = AIOKafkaClient(
            bootstrap_servers=settings.kafka_bootstrap,
            request_timeout_ms=_MILLISECONDS,
            security_protocol=settings.kafka_security_protocol,
            ssl_context=ssl.create_default_context() if settings.kafka_security_protocol.endswith("SSL") else None,
            sasl_mechanism=settings.kafka_sasl_mechanism,
            sasl_plain_username=settings.kafka_username or None,
            sasl_plain_password=settings.kafka_password.get_secret_value() or None,
        )
        try:
            await client.bootstrap()
            return await ask(client)
        finally:
            await client.close()

    try:
        with _quiet():
            return asyncio.run(connected())
    except KafkaError as error:
        raise AdminError(
            f"Kafka did not answer about quotas ({type(error).__name__}).", "See that it runs and try again."
        ) from None
