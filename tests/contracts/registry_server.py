"""A small server that answers as a schema registry does, for the tests that ask one."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote
from uuid import NAMESPACE_OID, uuid5

from biokeel.contracts.catalogue import DirectoryCatalogue
from biokeel.contracts.topics import EventType

FIRST_ID = 4001
"""A registry counts by itself: its ids are not those of the lock file."""


@dataclass(frozen=True)
class Stored:
    """One version under a subject. The same text has the same id under every subject, as in a registry."""

    subject: str
    id: int
    text: str
    kind: str

    @property
    def guid(self) -> str:
        """Newer registries give one, too: the same wherever the same schema stands."""
        return str(uuid5(NAMESPACE_OID, self.text))


class Registry(ThreadingHTTPServer):
    """The questions that RegistryCatalogue asks; `down` makes it answer 500, `refusing` 409, `asked` counts."""

    def __init__(self, catalogue: DirectoryCatalogue, *events: EventType) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.stored: list[Stored] = []
        self.down = self.refusing = False
        self.asked = 0
        for event in events:
            for version in catalogue.versions(event):
                self.take(event.subject, version.schema.text)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def take(self, subject: str, text: str, kind: str = "AVRO") -> int:
        """Register `text` as any client may; its id."""
        same = [item.id for item in self.stored if item.text == text]
        schema_id = same[0] if same else FIRST_ID + len({item.id for item in self.stored})
        if not any(item.subject == subject and item.text == text for item in self.stored):
            self.stored.append(Stored(subject, schema_id, text, kind))
        return schema_id

    def get(self, path: str) -> object | None:
        if found := re.fullmatch(r"/schemas/ids/(\d+)(/versions)?", path):
            known = [item for item in self.stored if item.id == int(found[1])]
            if known and not found[2]:
                return {"schema": known[0].text, "schemaType": known[0].kind}
            return [{"subject": item.subject, "version": self._version(item)} for item in known] or None
        return None

    def post(self, path: str, body: dict[str, str]) -> object | None:
        if found := re.fullmatch(r"/subjects/([^/]+)(/versions)?", path):
            subject, text = unquote(found[1]), body["schema"]
            if found[2]:
                return {"id": self.take(subject, text)}
            for item in self.stored:
                if (item.subject, item.text) == (subject, text):
                    version = self._version(item)
                    return {"subject": subject, "version": version, "id": item.id, "guid": item.guid, "schema": text}
        return None

    def _version(self, item: Stored) -> int:
        return 1 + [other for other in self.stored if other.subject == item.subject].index(item)


class _Handler(BaseHTTPRequestHandler):
    server: Registry

    def do_GET(self) -> None:
        self._answer(self.server.get(self._path))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(None if self.server.down or self.server.refusing else self.server.post(self._path, body))

    @property
    def _path(self) -> str:
        return self.path.partition("?")[0]

    def _answer(self, answer: object | None) -> None:
        self.server.asked += 1
        status = 500 if self.server.down else 409 if self.server.refusing else 200 if answer is not None else 404
        found = {"error_code": 40403, "message": "not found"} if status != 200 else answer
        body = json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""
