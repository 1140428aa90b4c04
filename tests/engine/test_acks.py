"""Faust acknowledges what its agent raised on. The proof, on stock Faust and on ours with the same agent."""

import asyncio
import time

import faust
import pytest
from faust.transport.drivers import aiokafka as stock
from yarl import URL

from biokeel.engine.app import _credentials
from biokeel.engine.ledger import Ledger
from biokeel.engine.transport import DeliverySchema, Transport
from tests.engine.test_transport import PARTITIONS, committed, consumption, topic, until, vault_settings

pytestmark = pytest.mark.integration
__all__ = ["topic", "vault_settings"]

COMMIT_SECONDS = 0.5


class NoWorker:
    """Says nothing about offsets, and settles nothing."""

    async def assigned(self, _partitions):
        return {}

    async def revoked(self, _partitions):
        pass


async def raising_app(settings, group, topic, transport, seconds):
    """Run an application whose agent raises on every message; how many it was given, after `seconds` more."""
    url = [URL(f"kafka://{settings.kafka_bootstrap}")]
    app = faust.App(
        group,
        broker=url,
        broker_credentials=_credentials(settings),
        broker_commit_interval=COMMIT_SECONDS,
        broker_max_poll_records=500,
        consumer_auto_offset_reset="earliest",
        store="memory://",
        table_standby_replicas=0,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
    )
    app.loop = asyncio.get_running_loop()
    app.transport = transport(url, app)
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


def ours(url, app):
    return Transport(url, app, handler=NoWorker(), ledger=Ledger(), consumption=consumption("unused"))


@pytest.mark.parametrize(("transport", "loses"), [(stock.Transport, True), (ours, False)], ids=["stock", "ours"])
def test_only_stock_faust_commits_messages_on_which_the_agent_raised(vault_settings, topic, transport, loses):
    group = consumption(topic).group
    began = time.monotonic()
    asyncio.run(raising_app(vault_settings, group, topic, transport, 6 * COMMIT_SECONDS))
    assert time.monotonic() - began > 2 * COMMIT_SECONDS
    offsets = committed(vault_settings, group, topic)
    assert any(offset > 0 for offset in offsets) is loses, offsets
