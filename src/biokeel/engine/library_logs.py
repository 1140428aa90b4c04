"""Keeps out of a worker's log what libraries say at every start and what nobody can act on; trouble still shows."""

from __future__ import annotations

import logging
from time import monotonic
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from biokeel.settings import Settings

log = logging.getLogger(__name__)

PATIENCE_SECONDS: Final = 10.0
"""How often one and the same trouble is told, and how long a cluster may be without a group coordinator, as a new one
is, before that is trouble."""
_OUTAGE: Final = {
    "aiokafka": ("Unable connect to node", "Unable to update metadata", "Unable to request metadata"),
    "aiokafka.consumer.fetcher": ("Failed fetch messages",),
    "aiokafka.consumer.group_coordinator": ("Heartbeat failed", "Heartbeat session expired", "Marking the coordinator"),
}
"""What aiokafka says ten times a second, by logger, while a broker is away."""
_LOOPBACK: Final = ("127.", "localhost:", "[::1]:")


class _Without(logging.Filter):
    """Drops records that say `text`."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether `record` is let through."""
        return self._text not in record.getMessage()


class _Seldom(_Without):
    """Lets one record that says `text` through in `PATIENCE_SECONDS`; if `lasting`, only after it came for so long."""

    def __init__(self, text: str, *, lasting: bool = False, clock: Callable[[], float] = monotonic) -> None:
        super().__init__(text)
        self._lasting = lasting
        self._clock = clock
        self._last = self._told = -PATIENCE_SECONDS

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether `record` is let through."""
        if super().filter(record):
            return True
        now = self._clock()
        if self._lasting and now - self._last >= PATIENCE_SECONDS:  # the first, or one after a time without
            self._told = now
        self._last = now
        if now - self._told < PATIENCE_SECONDS:
            return False
        self._told = now
        return True


def quieten(settings: Settings) -> None:
    """Filter aiokafka's log for this process, and say ourselves, once, what of it is worth saying."""
    logging.getLogger("aiokafka.conn").addFilter(_Without("Sending username and password in the clear"))
    coordinator = logging.getLogger("aiokafka.consumer.group_coordinator")
    coordinator.addFilter(_Seldom("Group Coordinator Request failed", lasting=True))
    for name, texts in _OUTAGE.items():
        for text in texts:
            logging.getLogger(name).addFilter(_Seldom(text))
    servers = [server.strip() for server in settings.kafka_bootstrap.split(",")]
    if settings.kafka_security_protocol == "SASL_PLAINTEXT" and not all(map(_is_here, servers)):
        log.warning("Kafka's password goes over the network in clear: set BIOKEEL_KAFKA_SECURITY_PROTOCOL=SASL_SSL.")


def _is_here(server: str) -> bool:
    return server.startswith(_LOOPBACK)


def producer_log() -> logging.Logger:
    """Where librdkafka's producer logs to: our log, masked, and without its warning about a setting that we mean."""
    logger = logging.getLogger("biokeel.engine.kafka.producer.librdkafka")
    if not logger.filters:
        logger.addFilter(_Without("enable.gapless.guarantee is experimental"))
    return logger
