"""The HTTP server inside a worker: /metrics for Prometheus, /health for supervisors. Whoever reaches it may read it."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Protocol
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from biokeel.errors import SettingsError
from biokeel.observe.health import health_of
from biokeel.observe.runfiles import write_run_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


class Observed(Protocol):
    """What is served: a worker's name, its registry, and how long its main loop has been silent (seconds)."""

    worker: str
    registry: CollectorRegistry

    def silence(self) -> float:
        """Seconds since the main loop last turned."""


@dataclass(frozen=True, slots=True)
class Served:
    """A running server: its port, and the run file by which console and status find it."""

    port: int
    run_file: Path


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing: a line for each scrape would drown the worker's log."""


def _app(observed: Observed, stuck_after: float) -> WSGIApplication:
    metrics: WSGIApplication = make_wsgi_app(observed.registry)

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        match environ["PATH_INFO"]:
            case "/metrics":
                return metrics(environ, start_response)
            case "/health":
                health = health_of(observed.worker, observed.silence(), stuck_after)
                start_response(health.status, [("Content-Type", "application/json")])
                return [health.body()]
            case _:
                start_response("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
                return [b"Here are /metrics and /health.\n"]

    return answer


@contextmanager
def serve_metrics(observed: Observed, state_dir: Path, host: str, port: int, *, stuck_after: float) -> Iterator[Served]:
    """Serve on an IPv4 address or a name of this machine until the context ends; the run file is there exactly as long.

    A worker that is killed leaves the file behind; readers see that its process is gone (`runfiles`). Raises
    `SettingsError` where the address is not this machine's or the port is taken.
    """
    app = _app(observed, stuck_after)
    try:
        server = make_server(host, port, app, server_class=_Server, handler_class=_Quiet)
    except OSError as error:
        raise SettingsError(
            f"Cannot serve metrics of worker {observed.worker} on {host}:{port}: {error.strerror}.",
            "Set BIOKEEL_METRICS_HOST to an address of this machine, and BIOKEEL_METRICS_PORT to a free port or 0.",
        ) from None
    # It wakes up for who asks, and for its end: to look ten times a second was most of what an idle worker did.
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": None}, name="metrics", daemon=True)
    thread.start()
    run_file = write_run_file(state_dir, observed.worker, server.server_port, host)
    try:
        yield Served(server.server_port, run_file)
    finally:
        run_file.unlink(missing_ok=True)
        server.socket.shutdown(socket.SHUT_RDWR)  # wakes it up, so that it hears of its end
        server.shutdown()
        server.server_close()
        thread.join()
