"""A proxy that does what networks do to requests: before S3 (HTTP/1.1) and before Kafka (frames of four-byte lengths).

Every request has a *subject*, a line that a `Fault` is chosen by: `PUT /bucket/key?query` of S3, `Produce <topic>` or
`OffsetCommit` of Kafka. Both protocols answer in the order of the requests of a connection, which is all that is
needed to lose the answer to one request and not another's.
"""

from __future__ import annotations

import asyncio
import random
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

CHUNK = 1 << 16
BEGIN = 200
"""Bytes of a request of Kafka's that are looked at."""
LINES = 1 << 17
"""Longest head of an HTTP message, in bytes."""
OPEN_SECONDS = 10.0


@dataclass
class Fault:
    """What happens to requests whose subject matches: to a `share` of them, at most `times` times in all.

    In this order: `first` is called (while the request waits), `delay` seconds pass, with `drop` the request is
    forgotten and never answered while later ones go on, `status` is answered in the store's place (the request never
    reaches it), or with `lose` the request goes on, and the connection ends in place of its answer. `hits` counts.
    """

    matching: str
    share: float = 1.0
    times: int | None = None
    delay: float = 0.0
    drop: bool = False
    status: int | None = None
    lose: bool = False
    first: Callable[[], None] | None = None
    hits: int = 0

    def takes(self, subject, rng):
        """Whether this request is one of them."""
        if self.times is not None and self.hits >= self.times:
            return False
        if not re.search(self.matching, subject) or rng.random() >= self.share:
            return False
        self.hits += 1
        return True


@dataclass
class Message:
    """The beginning of a request or an answer, and what follows: `rest` bytes, None for chunks, -1 for all to the end.

    `interim`: an answer before the answer. `waits`: the body comes only after such a one.
    """

    subject: str
    head: bytes
    rest: int | None = 0
    interim: bool = False
    waits: bool = False


KAFKA_REQUESTS = {0: "Produce", 1: "Fetch", 3: "Metadata", 8: "OffsetCommit", 11: "JoinGroup", 12: "Heartbeat"}


class Kafka:
    """Frames: a length of four bytes, then (in a request) the number of what is asked for.

    librdkafka produces to one partition a request; the topic's name is among its first bytes.
    """

    async def request(self, reader):
        size = await reader.readexactly(4)
        length = int.from_bytes(size, "big")
        begin = await reader.readexactly(min(length, BEGIN))
        number = int.from_bytes(begin[:2], "big")
        subject = KAFKA_REQUESTS.get(number, str(number))
        if subject == "Produce" and (topic := re.search(rb"(raw|pseudo)\.[a-z_.]+", begin)):
            subject += f" {topic[0].decode()}"
        return Message(subject, size + begin, length - len(begin))

    async def answer(self, reader, asked):
        del asked
        size = await reader.readexactly(4)
        return Message("", size, int.from_bytes(size, "big"))

    def refusal(self, status):
        raise NotImplementedError(f"Kafka has no answer {status}")


class Http:
    """HTTP/1.1 with lengths or chunks; `Expect: 100-continue` is passed on."""

    async def request(self, reader):
        head = await reader.readuntil(b"\r\n\r\n")
        subject = head.split(b" HTTP/", 1)[0].decode("latin-1")
        return Message(subject, head, _body(head, default=0), waits=b"100-continue" in head.lower())

    async def answer(self, reader, asked):
        head = await reader.readuntil(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        if status < 200:
            return Message("", head, interim=True)
        bodyless = asked.subject.startswith("HEAD ") or status in (204, 304)
        return Message("", head, 0 if bodyless else _body(head, default=-1))

    def refusal(self, status):
        return f"HTTP/1.1 {status} Refused\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()


def _body(head, default):
    if re.search(rb"(?i)\r\ntransfer-encoding:\s*chunked", head):
        return None
    length = re.search(rb"(?i)\r\ncontent-length:\s*(\d+)", head)
    return int(length[1]) if length else default


@dataclass(eq=False)
class _Way:
    """One connection: both ends, and the requests whose answers have not come yet; None after the last one."""

    client: asyncio.StreamWriter
    store: asyncio.StreamWriter
    asked: asyncio.Queue = field(default_factory=asyncio.Queue)

    def end(self):
        """End both ends at once, as a cable that is pulled out: no goodbye."""
        for writer in (self.client, self.store):
            writer.transport.abort()


class Proxy:
    """Forwards from `port` to `upstream`; `faults` may be changed at any time. A context manager.

    `rate`: bytes a second and direction of each connection. `refusing`: new connections end at once.
    """

    def __init__(self, upstream, protocol, *, port=0, seed=0):
        where = urlsplit(upstream if "//" in upstream else f"//{upstream}")
        self._host, self._port = where.hostname, where.port
        self._protocol = protocol
        self._rng = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._ways = set()
        self.faults = []
        self.rate = None
        self.refusing = False
        self._server = None
        self.port = port

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def fault(self, matching, **how):
        """Add a fault and return it, for its `hits`."""
        self.faults = [*self.faults, made := Fault(matching, **how)]
        return made

    def heal(self):
        """Let everything through again."""
        self.faults, self.rate, self.refusing = [], None, False

    def cut(self):
        """End every connection that there is now."""
        self._loop.call_soon_threadsafe(lambda: [way.end() for way in list(self._ways)])

    def __enter__(self):
        self._thread.start()
        starting = asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=LINES)
        self._server = asyncio.run_coroutine_threadsafe(starting, self._loop).result(OPEN_SECONDS)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_error):
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(OPEN_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(OPEN_SECONDS)
        self._loop.close()

    async def _close(self):
        self._server.close()
        for way in list(self._ways):
            way.end()
        mine = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in mine:
            task.cancel()
        await asyncio.gather(*mine, return_exceptions=True)

    async def _serve(self, reader, client):
        if self.refusing:
            client.transport.abort()
            return
        try:
            store_reader, store = await asyncio.open_connection(self._host, self._port, limit=LINES)
        except OSError:
            client.transport.abort()
            return
        way = _Way(client, store)
        self._ways.add(way)
        answers = asyncio.create_task(self._answers(store_reader, way))
        try:
            await self._requests(reader, way)
            way.asked.put_nowait(None)
            await answers
        except (OSError, asyncio.IncompleteReadError):
            pass  # one of the two went away, as it may
        finally:
            answers.cancel()
            self._ways.discard(way)
            way.end()

    async def _requests(self, reader, way):
        while True:
            try:
                message = await self._protocol.request(reader)
            except asyncio.IncompleteReadError:
                return
            fault = next((each for each in self.faults if each.takes(message.subject, self._rng)), None)
            if fault is not None and fault.first is not None:
                await self._loop.run_in_executor(None, fault.first)
            if fault is not None and fault.delay:
                await asyncio.sleep(fault.delay)
            if fault is not None and fault.drop:
                await self._pass(reader, message.rest, None)
                continue
            if fault is not None and fault.status is not None:
                if not message.waits:
                    await self._pass(reader, message.rest, None)
                way.client.write(self._protocol.refusal(fault.status))
                await way.client.drain()
                return
            way.asked.put_nowait((message, fault is not None and fault.lose))
            way.store.write(message.head)
            await self._pass(reader, message.rest, way.store)

    async def _answers(self, reader, way):
        try:
            while (asked := await way.asked.get()) is not None:
                message, lost = asked
                answer = await self._protocol.answer(reader, message)
                while answer.interim:
                    way.client.write(answer.head)
                    answer = await self._protocol.answer(reader, message)
                if lost:
                    break
                way.client.write(answer.head)
                await self._pass(reader, answer.rest, way.client)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the store ended the connection: so do we
        way.end()

    async def _pass(self, reader, rest, writer):
        """Pass on the body of a message, or drop it where there is no writer."""
        if rest is None:
            await self._pass_chunks(reader, writer)
            return
        while rest:
            data = await reader.read(CHUNK if rest < 0 else min(CHUNK, rest))
            if not data:
                if rest < 0:
                    break
                raise asyncio.IncompleteReadError(data, rest)
            rest -= len(data) if rest > 0 else 0
            await self._write(writer, data)
        if writer is not None:
            await writer.drain()

    async def _pass_chunks(self, reader, writer):
        while True:
            line = await reader.readuntil(b"\r\n")
            size = int(line.split(b";")[0], 16)
            await self._write(writer, line)
            if not size:
                break
            await self._pass(reader, size + 2, writer)
        while True:
            line = await reader.readuntil(b"\r\n")
            await self._write(writer, line)
            if line == b"\r\n":
                return

    async def _write(self, writer, data):
        if writer is None:
            return
        if self.rate:
            await asyncio.sleep(len(data) / self.rate)
        writer.write(data)
        await writer.drain()
