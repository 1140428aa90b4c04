"""A TCP proxy that loses answers: the request reaches the store, the connection ends before the answer does."""

from __future__ import annotations

import re
import socket
import socketserver
import threading
from urllib.parse import urlsplit

CHUNK = 1 << 16


class CuttingProxy:
    """Forwards to `upstream` (a URL); cuts the answer to the first request whose first line matches `pattern`."""

    def __init__(self, upstream, pattern):
        self.cuts = 0
        self._pattern = re.compile(pattern.encode())
        self._lock = threading.Lock()
        target = urlsplit(upstream)
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                with socket.create_connection((target.hostname, target.port)) as store:
                    outer._serve(self.request, store)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_error):
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, client, store):
        doomed = threading.Event()
        threading.Thread(target=self._answers, args=(store, client, doomed), daemon=True).start()
        try:
            while data := client.recv(CHUNK):
                with self._lock:
                    if not self.cuts and self._pattern.search(data):
                        self.cuts += 1
                        doomed.set()
                store.sendall(data)
        except OSError:
            return

    @staticmethod
    def _answers(store, client, doomed):
        try:
            while data := store.recv(CHUNK):
                if doomed.is_set():
                    break
                client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)
        except OSError:
            return
