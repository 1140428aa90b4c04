"""Schema ids from a Confluent-compatible schema registry, for set-ups that run one.

Needs the extra `confluent-kafka[schemaregistry]`. Sources, workers and registry must agree on ids, so a set-up uses
either the directory or the registry; `biokeel schema check` guards both, because the texts come from `schemas/`.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Final

from biokeel.contracts.catalogue import DirectoryCatalogue, Registered, fingerprint
from biokeel.contracts.schema import parse_schema
from biokeel.contracts.topics import EVENTS, EventType
from biokeel.errors import ContractError, RegistryUnavailable, SchemaError, UnknownSchema

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from biokeel.contracts.catalogue import Catalogue

_SUBJECTS = {event.subject: event for event in EVENTS}
_NOT_FOUND: Final = 404
_SERVER_ERRORS: Final = 500
"""HTTP statuses from here on are the registry's own trouble."""
_READER_SECONDS: Final = 60.0
_UNKNOWN_SECONDS: Final = 60.0
_MOST_UNKNOWN: Final = 10_000


class RegistryCatalogue:
    """The catalogue that a schema registry keeps. `config` is confluent-kafka's: `url`, `basic.auth.user.info`, TLS.

    A known id never changes, so it is asked for once. The current version of an event is asked for once a minute, and
    an id that the registry does not know is asked about again after a minute. If the registry cannot answer,
    `RegistryUnavailable` is raised, if it refuses, `ContractError`: no event may be rejected because a server was down.
    """

    def __init__(self, config: Mapping[str, Any], clock: Callable[[], float] = time.monotonic) -> None:
        try:
            from confluent_kafka.schema_registry import SchemaRegistryClient
        except ImportError as error:
            raise ContractError(
                f"The schema registry's client cannot be loaded ({error.name} is missing).",
                "Install confluent-kafka[schemaregistry].",
            ) from None
        self._client = SchemaRegistryClient(dict(config))
        self._clock = clock
        self._by_id: dict[int, Registered] = {}
        self._unknown: dict[int, float] = {}
        self._readers: dict[EventType, tuple[float, Registered]] = {}

    def by_id(self, schema_id: int) -> Registered:
        """The schema with this id. Raises `UnknownSchema`, or `ContractError` if the registry cannot be asked."""
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

    def reader(self, event: EventType) -> Registered:
        """The current schema of `event`. Raises `UnknownSchema`, or `ContractError` if the registry cannot be asked.

        Once a version is known it stays in use while the registry is down.
        """
        until, known = self._readers.get(event, (0.0, None))
        if known is not None and self._clock() < until:
            return known
        try:
            latest = self._ask(lambda: self._registered(self._client.get_latest_version(event.subject)))
        except SchemaError:
            raise
        except ContractError:
            if known is None:
                raise
            latest = known
        if latest is None:
            raise UnknownSchema(f"The registry has no subject {event.subject}.", "Register the schemas of schemas/.")
        self._readers[event] = (self._clock() + _READER_SECONDS, latest)
        self._by_id[latest.id] = latest
        return latest

    def _fetch(self, schema_id: int) -> Registered | None:
        """The version with this id under the first of our subjects that has it; None if none has."""
        for place in self._client.get_schema_versions(schema_id):
            if place.subject in _SUBJECTS and place.version is not None:
                return self._registered(self._client.get_version(place.subject, place.version))
        return None

    def _registered(self, answer: Any) -> Registered:
        """Our form of the client's `RegisteredSchema`. Raises `SchemaError` if it breaks the rules for schemas."""
        try:
            avro = json.loads(answer.schema.schema_str)
        except (TypeError, ValueError):
            raise SchemaError(f"Schema id {answer.schema_id} in the registry is no Avro schema.") from None
        schema = parse_schema(_SUBJECTS[answer.subject], avro)
        return Registered(answer.subject, answer.version, answer.schema_id, fingerprint(avro), schema)

    def _ask(self, question: Callable[[], Registered | None]) -> Registered | None:
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
    """The catalogue that a set-up uses: the schema registry where one is named, else the directory `root`.

    Raises `ContractError` where it cannot be opened.
    """
    if not registry_url:
        return DirectoryCatalogue(root)
    return RegistryCatalogue({"url": registry_url})
