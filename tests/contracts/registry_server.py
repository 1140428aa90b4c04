"""A small server that answers as a schema registry does, for the tests that ask one."""

from __future__ import annotations

import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from biokeel.contracts.catalogue import DirectoryCatalogue
from biokeel.contracts.topics import EventType


class Registry(ThreadingHTTPServer):
    """The four questions that RegistryCatalogue asks; `down` makes it answer 500, `asked` counts."""

    def __init__(self, catalogue: DirectoryCatalogue, *events: EventType) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.versions = [version for event in events for version in catalogue.versions(event)]
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
