"""A worker process: a Faust application on our own event loop, with our own signals and exit status.

`faust.Worker` restarts agents that raise and decides itself what a crash means. Here nothing goes on after a failure:
the process ends with status 1, what was not settled is not committed, and the supervisor starts it anew. SIGTERM and
SIGINT end it with status 0 after what it has is landed or `GRACE_SECONDS` are over.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import ssl
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import faust
from faust.types.auth import AuthProtocol
from mode import Service
from yarl import URL

from biokeel.engine.kafka.groups import SESSION_SECONDS, unread
from biokeel.engine.kafka.transport import Consumption, DeliverySchema, Transport
from biokeel.engine.library_logs import quieten
from biokeel.errors import EngineError, Stuck, TransportError, describe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from biokeel.engine.worker import Worker
    from biokeel.settings import Settings

log = logging.getLogger(__name__)

GRACE_SECONDS: Final = 12.0
"""How long a stopping worker may take to land what it has."""
LEAVE_SECONDS: Final = 7.0
"""How long it may then take to commit offsets and leave the consumer group."""
WATCH_SECONDS: Final = 5.0
FOLLOW_SECONDS: Final = 10.0
"""How often a worker looks whether there are new topics."""
UNREAD_LOOKS: Final = 6
"""At each of so many looks a worker that lacks topics asks whether anybody has them."""


class NoMonitor(faust.Monitor):
    """Faust's own figures, which nobody reads, without the sums that it makes of them every second."""

    @Service.task
    async def _sampler(self) -> None:
        """Nothing."""


def make_app(
    settings: Settings, consumption: Consumption, topics: Sequence[str], worker: Worker, datadir: Path
) -> faust.App:
    """The Faust application that hands micro-batches of `topics` to `worker`.

    No tables, no web server, no leader topic.
    """
    brokers = [URL(f"kafka://{server.strip()}") for server in settings.kafka_bootstrap.split(",")]
    app = faust.App(
        consumption.group,
        broker=brokers,
        broker_credentials=_credentials(settings),
        broker_commit_interval=1.0,
        broker_max_poll_records=consumption.poll_records,
        broker_session_timeout=SESSION_SECONDS,
        broker_heartbeat_interval=SESSION_SECONDS / 5,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=settings.worker_name or None,
        consumer_max_fetch_size=consumption.fetch_bytes,
        stream_buffer_maxsize=4,
        stream_wait_empty=False,
        store="memory://",
        table_standby_replicas=0,  # else Faust puts its own assignor in place of the plain round robin
        datadir=datadir,
        Monitor=NoMonitor,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
    )
    app.transport = Transport(brokers, app, handler=worker, ledger=worker.ledger, consumption=consumption)
    channel = app.topic(*topics, schema=DeliverySchema(key_type=bytes, value_type=bytes))

    @app.agent(channel, name="deliver")
    async def deliver(stream: Any) -> None:  # Faust's stream type says nothing about our deliveries
        async for deliveries in stream.noack():
            await worker.take(deliveries)

    return app


def _credentials(settings: Settings) -> faust.SASLCredentials | None:
    if not settings.kafka_username:
        return None
    credentials = faust.SASLCredentials(
        username=settings.kafka_username,
        password=settings.kafka_password.get_secret_value(),
        mechanism=settings.kafka_sasl_mechanism,
        ssl_context=ssl.create_default_context() if settings.kafka_security_protocol == "SASL_SSL" else None,
    )
    credentials.protocol = AuthProtocol(settings.kafka_security_protocol)
    return credentials


async def serve(settings: Settings, consumption: Consumption, worker: Worker, stop: asyncio.Event) -> None:
    """Run `worker` until `stop` is set or something fails. Raises what it failed on.

    What is settled when this ends is committed; nothing else is.
    """
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(log_forgotten)
    topics = await _first_topics(consumption, worker, stop)
    if stop.is_set():
        return
    with tempfile.TemporaryDirectory(prefix="biokeel-") as datadir:
        app = make_app(settings, consumption, topics, worker, Path(datadir))
        app.loop = loop
        watch = _watch(worker, settings.stuck_seconds)
        follow = _follow(app, topics, consumption, settings)
        coroutines = (stop.wait(), worker.failed(), _run(app), worker.run(), watch, follow)
        tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            await _drain(worker)
            worker.check()
            await asyncio.wait_for(app.consumer.commit(), LEAVE_SECONDS)
        finally:
            for task in tasks:
                task.cancel()
            with suppress(TimeoutError):
                await asyncio.wait_for(app.stop(), LEAVE_SECONDS)


async def _first_topics(consumption: Consumption, worker: Worker, stop: asyncio.Event) -> Sequence[str]:
    """The topics to begin with; waits until there is one, for a group without any has nothing to be a member for."""
    while not (topics := await asyncio.to_thread(consumption.topics)) and not stop.is_set():
        log.info("There is no topic to read yet: register a source and apply it (biokeel source apply).")
        worker.runner.metrics.beat()
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), FOLLOW_SECONDS)
    return topics


async def _follow(app: faust.App, topics: Sequence[str], consumption: Consumption, settings: Settings) -> None:
    """Read new topics, besides `topics`, as they come. Those that go stay: what is in them may not have been read.

    To subscribe anew is a rebalance: the worker finishes what is under way and goes on from where the tables and
    Kafka's offsets say. What it finished after the commit here is read again (`ConsumerThread`), and its rows are
    repeats. A process that dies in here begins with all topics.

    A worker that comes back under its name with more topics than before has its old partitions at once, and Kafka deals
    out nothing anew: topics that came while it was away would be nobody's. They are left out once, which is another
    subscription, and are new at the next look.
    """
    known, looks = list(topics), 0
    while True:
        await asyncio.sleep(FOLLOW_SECONDS)
        looks += 1
        try:
            found = await asyncio.to_thread(consumption.topics)
            nobodys = await _nobodys(app, known, consumption, settings) if looks % UNREAD_LOOKS == 0 else []
        except TransportError:
            continue  # Kafka is away, of which others speak; the next look finds what this one missed
        new = sorted(set(found) - set(known))
        if (new or nobodys) and not app.rebalancing:
            if new:
                log.info("Reading %d new topics, the first of them %s", len(new), new[0])
            known = [topic for topic in (*known, *new) if topic not in nobodys]
            conductor: Any = app.topics  # its type does not say how it learns of what a channel has newly
            for channel in conductor:  # the agent's, of which the agent itself holds a copy only
                channel.topics = list(known)
            await app.consumer.commit()
            await app.consumer.subscribe(await conductor._update_indices())  # noqa: SLF001 - it offers no other way


async def _nobodys(app: faust.App, known: Sequence[str], consumption: Consumption, settings: Settings) -> list[str]:
    """Those of `known` of which no worker of the group has a partition. Raises `TransportError`."""
    mine = {at.topic for at in app.consumer.assignment()}
    lacking = [topic for topic in known if topic not in mine]
    if not lacking or app.rebalancing:
        return []
    nobodys = await asyncio.to_thread(unread, settings, consumption.group, lacking)
    if nobodys:
        log.warning("Nobody reads %d topics, the first of them %s: dealt out anew", len(nobodys), nobodys[0])
    return nobodys


async def _drain(worker: Worker) -> None:
    try:
        await asyncio.wait_for(worker.drain(), GRACE_SECONDS)
    except TimeoutError:
        raise EngineError(
            f"What was taken did not land within {GRACE_SECONDS:.0f} s of being told to stop.",
            "Nothing is lost: whoever gets the partitions next reads it again.",
        ) from None


async def _run(app: faust.App) -> None:
    await app.start()
    await app.wait_until_stopped()
    raise EngineError("Faust stopped by itself.", "Its reason stands above in the log.")


async def _watch(worker: Worker, stuck_seconds: float) -> None:
    while True:
        await asyncio.sleep(min(WATCH_SECONDS, stuck_seconds / 4))
        stalled = worker.ledger.longest_stall()
        if stalled > stuck_seconds:
            raise Stuck(f"Offsets have not moved for {stalled:.0f} s.", "The worker ends and is started anew.")


async def _serve_until_signal(settings: Settings, consumption: Consumption, worker: Worker) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await serve(settings, consumption, worker, stop)


def run(settings: Settings, consumption: Consumption, worker: Worker) -> int:
    """Run a worker process to its end: 0 after a signal, 1 after a failure, which is logged without any value."""
    quieten(settings)
    try:
        asyncio.run(_serve_until_signal(settings, consumption, worker))
    except BaseException as error:  # noqa: BLE001 - the last place; every failure is logged the same way
        log_failure(error)
        return 1
    return 0


def log_failure(error: BaseException) -> None:
    """Log what ended the worker: its type and where it was raised; its message only if it is one of ours."""
    log.critical("Worker ends: %s", describe(error))


def log_forgotten(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what nobody waited for. Python's own way prints the task, and with it the exception and its values."""
    error = context.get("exception")
    log.error("Event loop: %s %s", context["message"], describe(error) if error is not None else "")
