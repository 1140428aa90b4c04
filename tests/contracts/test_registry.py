"""The registry's catalogue, with the real client against a small server that answers as a registry does."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from biokeel.contracts.catalogue import DirectoryCatalogue
from biokeel.contracts.registry import RegistryCatalogue
from biokeel.contracts.topics import event_type
from biokeel.errors import ContractError, UnknownSchema

EVENT = event_type("clinical.glucose")


class Registry(ThreadingHTTPServer):
    """The four questions that RegistryCatalogue asks; `down` makes it answer 500, `asked` counts."""

    def __init__(self, catalogue: DirectoryCatalogue) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.versions = list(catalogue.versions(EVENT))
        self.down = False
        self.asked = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def answer(self, path: str) -> object | None:
        if found := re.fullmatch(r"/schemas/ids/(\d+)/versions", path):
            known = [item for item in self.versions if item.id == int(found[1])]
            return [{"subject": item.subject, "version": item.version} for item in known] or None
        if found := re.fullmatch(r"/subjects/([^/]+)/versions/(\w+)", path):
            known = [
                item for item in self.versions if item.subject == found[1] and found[2] in ("latest", str(item.version))
            ]
            if known:
                item = known[-1]
                return {"subject": item.subject, "version": item.version, "id": item.id, "schema": item.schema.text}
        return None


class _Handler(BaseHTTPRequestHandler):
    server: Registry

    def do_GET(self) -> None:
        self.server.asked += 1
        answer = None if self.server.down else self.server.answer(self.path.partition("?")[0])
        status = 500 if self.server.down else 200 if answer is not None else 404
        body = json.dumps(answer if answer is not None else {"error_code": 40403, "message": "not found"}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def registry(catalogue: DirectoryCatalogue) -> Iterator[Registry]:
    with Registry(catalogue) as server:
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
    with pytest.raises(ContractError) as raised:
        ours.by_id(1)
    assert not isinstance(raised.value, UnknownSchema)


def test_the_reader_in_use_stays_in_use_while_the_registry_is_down(
    ours: RegistryCatalogue, registry: Registry, now: list[float]
) -> None:
    known = ours.reader(EVENT)
    registry.down = True
    now[0] += 61
    assert ours.reader(EVENT) == known


def test_a_server_that_is_not_there_is_a_contract_error(registry: Registry) -> None:
    gone = RegistryCatalogue({"url": "http://127.0.0.1:9", "max.retries": 0})
    with pytest.raises(ContractError, match="does not answer"):
        gone.reader(EVENT)
