"""Faust acknowledges what its agent raised on, and commits past what is in flight: on stock Faust, and not on ours."""

import asyncio
import contextlib
import time
from functools import partial

import faust
import pytest
from faust.transport.drivers import aiokafka as stock
from yarl import URL

from biokeel.engine.app import _credentials
from biokeel.engine.kafka.deliveries import Ledger
from biokeel.engine.kafka.transport import DeliverySchema, Transport
from tests.engine.test_transport import PARTITIONS, committed, consumption, topic, until, vault_settings

pytestmark = pytest.mark.integration
__all__ = ["topic", "vault_settings"]

COMMIT_SECONDS = 0.5
POLLED = 10
"""Records of one poll."""


class NoWorker:
    """Says nothing about offsets, and settles nothing."""

    async def assigned(self, _partitions):
        return {}

    async def revoked(self, _partitions):
        pass


def plain_app(settings, group, transport):
    url = [URL(f"kafka://{settings.kafka_bootstrap}")]
    app = faust.App(
        group,
        broker=url,
        broker_credentials=_credentials(settings),
        broker_commit_interval=COMMIT_SECONDS,
        broker_max_poll_records=POLLED,
        consumer_auto_offset_reset="earliest",
        store="memory://",
        stream_wait_empty=False,
        table_standby_replicas=0,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
    )
    app.loop = asyncio.get_running_loop()
    app.transport = transport(url, app)
    return app


async def raising_app(settings, group, topic, transport, seconds):
    """Run an application whose agent raises on every message; how many it was given, after `seconds` more."""
    app = plain_app(settings, group, transport)
    given = []

    @app.agent(app.topic(topic, schema=DeliverySchema(key_type=bytes, value_type=bytes)))
    async def raises(stream):
        async for message in stream:
            given.append(message)
            raise ValueError

    await app.start()
    try:
        await until(lambda: len(given) >= PARTITIONS)
        await asyncio.sleep(seconds)
    finally:
        await app.stop()
    return len(given)


def ours(url, app, ledger=None):
    return Transport(url, app, handler=NoWorker(), ledger=ledger or Ledger(), consumption=consumption("unused"))


@pytest.mark.parametrize(("transport", "loses"), [(stock.Transport, True), (ours, False)], ids=["stock", "ours"])
def test_only_stock_faust_commits_messages_on_which_the_agent_raised(vault_settings, topic, transport, loses):
    group = consumption(topic).group
    began = time.monotonic()
    asyncio.run(raising_app(vault_settings, group, topic, transport, 6 * COMMIT_SECONDS))
    assert time.monotonic() - began > 2 * COMMIT_SECONDS
    offsets = committed(vault_settings, group, topic)
    assert any(offset > 0 for offset in offsets) is loses, offsets


async def one_in_flight(settings, group, topic, transport, ledger, seconds):
    """Run an application of which the first message of partition 0 stays in flight, and the others are done with."""
    app = plain_app(settings, group, transport)
    done = []

    @app.agent(app.topic(topic, schema=DeliverySchema(key_type=bytes, value_type=bytes)), concurrency=2)
    async def takes(stream):
        async for event in stream.events():
            if ledger is None:
                first = (event.message.partition, event.message.offset)
            else:
                first = min((each.partition, each.first) for each in event.value)
                for each in event.value:
                    if (each.partition, each.first) != (0, 0):
                        ledger.settle(each)
            if first == (0, 0):
                await asyncio.Event().wait()
            done.append(event.message.offset)

    await app.start()
    try:
        await until(lambda: len(done) > 20)
        await asyncio.sleep(seconds)
    finally:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(app.stop(), 5)
    return done


@pytest.mark.parametrize("is_ours", [False, True], ids=["stock", "ours"])
def test_only_stock_faust_commits_past_a_message_that_is_in_flight(vault_settings, topic, is_ours):
    """It looks for gaps between what was acknowledged, and sees none before the first of them."""
    group = consumption(topic).group
    ledger = Ledger() if is_ours else None
    transport = partial(ours, ledger=ledger) if is_ours else stock.Transport
    asyncio.run(one_in_flight(vault_settings, group, topic, transport, ledger, 6 * COMMIT_SECONDS))
    offset = committed(vault_settings, group, topic)[0]
    assert (offset == -1) if is_ours else (offset > 0), offset
