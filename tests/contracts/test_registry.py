"""The registry's catalogue, with the real client against a small server that answers as a registry does."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from biokeel.contracts.catalogue import DirectoryCatalogue
from biokeel.contracts.registry import RegistryCatalogue
from biokeel.contracts.topics import event_type
from biokeel.errors import RegistryUnavailable, UnknownSchema
from tests.contracts.registry_server import Registry

EVENT = event_type("clinical.glucose")


@pytest.fixture
def registry(catalogue: DirectoryCatalogue) -> Iterator[Registry]:
    with Registry(catalogue, EVENT) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def now() -> list[float]:
    return [1000.0]


@pytest.fixture
def ours(registry: Registry, now: list[float]) -> RegistryCatalogue:
    return RegistryCatalogue({"url": registry.url, "max.retries": 0}, clock=lambda: now[0])


def test_it_gives_what_the_directory_gives(ours: RegistryCatalogue, catalogue: DirectoryCatalogue) -> None:
    assert ours.reader(EVENT) == catalogue.reader(EVENT)
    assert ours.by_id(catalogue.reader(EVENT).id) == catalogue.reader(EVENT)


def test_a_known_id_is_asked_for_once(
    ours: RegistryCatalogue, catalogue: DirectoryCatalogue, registry: Registry
) -> None:
    ours.by_id(catalogue.reader(EVENT).id)
    asked = registry.asked
    ours.by_id(catalogue.reader(EVENT).id)
    assert registry.asked == asked


def test_an_unknown_id_is_asked_about_again_after_a_minute(
    ours: RegistryCatalogue, registry: Registry, catalogue: DirectoryCatalogue, now: list[float]
) -> None:
    registered = registry.versions.pop()
    for _ in range(2):
        with pytest.raises(UnknownSchema):
            ours.by_id(registered.id)
    assert registry.asked == 1
    registry.versions.append(registered)
    now[0] += 61
    assert ours.by_id(registered.id) == registered


def test_an_event_type_without_subject_is_unknown(ours: RegistryCatalogue) -> None:
    with pytest.raises(UnknownSchema, match="sleep"):
        ours.reader(event_type("lifestyle.sleep"))


def test_a_registry_that_is_down_is_no_reason_to_reject_events(ours: RegistryCatalogue, registry: Registry) -> None:
    registry.down = True
    with pytest.raises(RegistryUnavailable, match="HTTP 500"):
        ours.by_id(1)


def test_the_reader_in_use_stays_in_use_while_the_registry_is_down(
    ours: RegistryCatalogue, registry: Registry, now: list[float]
) -> None:
    known = ours.reader(EVENT)
    registry.down = True
    now[0] += 61
    assert ours.reader(EVENT) == known


def test_a_server_that_is_not_there_is_away(registry: Registry) -> None:
    gone = RegistryCatalogue({"url": "http://127.0.0.1:9", "max.retries": 0})
    with pytest.raises(RegistryUnavailable, match="does not answer"):
        gone.reader(EVENT)
