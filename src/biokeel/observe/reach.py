"""Whether the services that the settings name take connections at all.

Client libraries try for a minute before they say that nobody is there, and then say it in their own words. A command
asks here first, so that a stack that is not running is one clear sentence at once.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from biokeel.errors import StoreUnavailable, TransportError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from biokeel.settings import Settings

CONNECT_SECONDS: Final = 3.0
_TODO: Final = "Start the local stack (biokeel stack up; is it up? biokeel stack status), or set {variable}."


def require_kafka(settings: Settings) -> None:
    """Raise `TransportError` unless one bootstrap server takes connections; `SettingsError` where none is set."""
    settings.require("kafka_bootstrap")
    servers = [server.strip() for server in settings.kafka_bootstrap.split(",")]
    if not _any_answers(servers, 9092):
        raise TransportError(
            f"Kafka does not answer at {', '.join(servers)}.", _TODO.format(variable="BIOKEEL_KAFKA_BOOTSTRAP")
        )


def require_store(settings: Settings) -> None:
    """Raise `StoreUnavailable` unless the object store takes connections; `SettingsError` where none is set."""
    settings.require("s3_endpoint")
    url = urlsplit(settings.s3_endpoint)
    if not _any_answers([url.netloc], 443 if url.scheme == "https" else 80):
        raise StoreUnavailable(
            f"The object store does not answer at {settings.s3_endpoint}.",
            _TODO.format(variable="BIOKEEL_S3_ENDPOINT"),
        )


def _any_answers(servers: Iterable[str], default_port: int) -> bool:
    return any(_answers(server, default_port) for server in servers)


def _answers(server: str, default_port: int) -> bool:
    try:
        place = urlsplit(f"//{server}")
        socket.create_connection((place.hostname or "", place.port or default_port), CONNECT_SECONDS).close()
    except (OSError, ValueError):  # ValueError: a port that is no number; nobody answers there either
        return False
    return True
