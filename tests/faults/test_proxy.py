"""The proxy that the experiments harm connections with, on a small server of its own."""

import http.client
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.faults.proxy import Http, Proxy


class Answers(BaseHTTPRequestHandler):
    """Says yes to every GET and keeps the connection."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"yes")

    def log_message(self, *_arguments):
        """Nothing to tell."""


@pytest.fixture
def proxy():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with Proxy(f"http://127.0.0.1:{server.server_port}", Http()) as made:
        yield made
    server.shutdown()
    server.server_close()


def asked(proxy):
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10)
    connection.request("GET", "/")
    answer = connection.getresponse()
    return connection, answer.status, answer.read()


def ways_left(proxy, wanted, seconds=10):
    until = time.monotonic() + seconds
    while len(proxy._ways) != wanted and time.monotonic() < until:
        time.sleep(0.01)
    return len(proxy._ways)


def test_a_connection_that_its_client_ends_is_ended_on_both_sides(proxy):
    connections = [asked(proxy)[0] for _ in range(5)]
    assert ways_left(proxy, 5) == 5
    for connection in connections:
        connection.close()
    assert ways_left(proxy, 0) == 0


def test_a_refusal_reaches_the_client_and_ends_the_connection(proxy):
    proxy.fault("", status=503, times=1)
    connection, status, _ = asked(proxy)
    assert status == 503
    assert ways_left(proxy, 0) == 0
    connection.close()
    assert asked(proxy)[1:] == (200, b"yes")


def test_a_lost_answer_ends_the_connection_after_the_request_took_effect(proxy):
    lost = proxy.fault("^GET", lose=True, times=1)
    with pytest.raises(http.client.RemoteDisconnected):
        asked(proxy)
    assert lost.hits == 1
    assert asked(proxy)[1:] == (200, b"yes")
