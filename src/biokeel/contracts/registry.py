"""Schema ids from a Confluent-compatible schema registry, for set-ups that run one.

Needs the extra `confluent-kafka[schemaregistry]`. The registry gives ids and says how the datums with an id are
written, no more: any client may register there, so what is kept of an event, and under which tag, unit and form, the
locked schemas of the directory say alone.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

from biokeel.contracts.catalogue import DirectoryCatalogue, Locked, Registered
from biokeel.errors import ContractError, RegistryUnavailable, UnknownSchema

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from confluent_kafka.schema_registry import Schema

    from biokeel.contracts.catalogue import Catalogue
    from biokeel.contracts.topics import EventType

_Answer = TypeVar("_Answer")
_NOT_FOUND: Final = 404
_SERVER_ERRORS: Final = 500
"""HTTP statuses from here on are the registry's own trouble."""
_UNKNOWN_SECONDS: Final = 60.0
_MOST_UNKNOWN: Final = 10_000


class RegistryCatalogue:
    """The catalogue whose ids a schema registry gives. `config` is its client's: `url`, `basic.auth.user.info`, TLS.

    Events are read into the schemas that are `locked`, whatever is registered. A known id never changes, so it is asked
    for once; one that the registry does not know is asked about again after a minute. If the registry cannot answer,
    `RegistryUnavailable` is raised, if it refuses, `ContractError`: no event may be rejected because a server was down.
    """

    def __init__(
        self, config: Mapping[str, Any], locked: DirectoryCatalogue, clock: Callable[[], float] = time.monotonic
    ) -> None:
        try:
            from confluent_kafka.schema_registry import SchemaRegistryClient
        except ImportError as error:
            raise ContractError(
                f"The schema registry's client cannot be loaded ({error.name} is missing).",
                "Install confluent-kafka[schemaregistry].",
            ) from None
        self._client = SchemaRegistryClient(dict(config))
        self._locked = locked
        self._clock = clock
        self._by_id: dict[int, Registered] = {}
        self._unknown: dict[int, float] = {}

    def by_id(self, schema_id: int) -> Registered:
        """What this id stands for. Raises `UnknownSchema`, or `ContractError` if the registry cannot be asked."""
        if schema_id in self._by_id:
            return self._by_id[schema_id]
        if self._unknown.get(schema_id, 0.0) <= self._clock():
            registered = self._ask(lambda: self._fetch(schema_id))
            if registered is not None:
                return self._by_id.setdefault(schema_id, registered)
            if len(self._unknown) >= _MOST_UNKNOWN:
                self._unknown.clear()
            self._unknown[schema_id] = self._clock() + _UNKNOWN_SECONDS
        raise UnknownSchema(
            f"Schema id {schema_id} is not in the registry.", "Register the schema before events written with it."
        )

    def events(self) -> tuple[EventType, ...]:
        """The event types that are locked; the registry is not asked."""
        return self._locked.events()

    def reader(self, event: EventType) -> Locked:
        """The newest locked schema of `event`; the registry is not asked."""
        return self._locked.reader(event)

    def id_of(self, event: EventType) -> int:
        """The registry's id for the reader's schema. Raises `UnknownSchema`, or `ContractError` if it cannot be asked.

        Newer versions that others registered do not matter.
        """
        schema = _as_avro(self._locked.reader(event))
        found = self._ask(lambda: self._client.lookup_schema(event.subject, schema).schema_id)
        if found is None:
            raise UnknownSchema(
                f"The registry does not have the locked schema of {event}.", "Register it: biokeel schema register."
            )
        return found

    def register(self, version: Locked) -> int:
        """Register a locked version under its subject; its id, an old one if it is there already.

        Raises `ContractError` where the registry does not take it.
        """
        found = self._ask(lambda: self._client.register_schema(version.subject, _as_avro(version)))
        if found is None:
            raise ContractError(f"The registry does not take schemas under {version.subject}: HTTP 404.")
        return found

    def _fetch(self, schema_id: int) -> Registered | None:
        """How datums with this id are written, if one of our subjects has it."""
        ours = {event.subject for event in self.events()}
        subjects = ours.intersection(each.subject or "" for each in self._client.get_schema_versions(schema_id))
        if not subjects:
            return None
        avro = None
        with suppress(ValueError, RecursionError):
            avro = json.loads(self._client.get_schema(schema_id).schema_str or "")
        return Registered(tuple(sorted(subjects)), schema_id, avro)

    def _ask(self, question: Callable[[], _Answer | None]) -> _Answer | None:
        """The answer, None for "not found"; whatever else goes wrong is a `ContractError`, away or not."""
        from confluent_kafka.schema_registry.error import SchemaRegistryError
        from httpx2 import HTTPError

        todo = "Check that the registry is up and that its address and credentials are right."
        try:
            return question()
        except SchemaRegistryError as error:
            if error.http_status_code == _NOT_FOUND:
                return None
            kind = RegistryUnavailable if error.http_status_code >= _SERVER_ERRORS else ContractError
            raise kind(f"The schema registry refused: HTTP {error.http_status_code}.", todo) from None
        except (HTTPError, OSError) as error:
            raise RegistryUnavailable(f"The schema registry does not answer ({type(error).__name__}).", todo) from None


def open_catalogue(root: Path, registry_url: str = "") -> Catalogue:
    """The catalogue of a set-up: the locked schemas below `root`, with a registry's ids where one is named.

    Raises `ContractError` where it cannot be opened.
    """
    locked = DirectoryCatalogue(root)
    return RegistryCatalogue({"url": registry_url}, locked) if registry_url else locked


def _as_avro(version: Locked) -> Schema:
    from confluent_kafka.schema_registry import Schema

    return Schema(version.schema.text, "AVRO")
