"""How a worker ends: what it says of a failure."""

import asyncio
import gc
import logging

from biokeel.engine.app import log_failure, log_forgotten
from biokeel.errors import TransportError


def fail(error):
    raise error


def test_the_failure_that_ends_a_worker_is_told_by_type_and_place(caplog):
    for error in (ValueError("Gildong Hong"), TransportError("Kafka is away.")):
        try:
            fail(error)
        except Exception as caught:  # noqa: BLE001 - both
            log_failure(caught)
    assert "ValueError: (message withheld: it may hold values) at test_app.py" in caplog.text
    assert "TransportError: Kafka is away." in caplog.text
    assert "Gildong" not in caplog.text


def test_what_a_forgotten_task_raised_is_told_without_its_message(caplog):
    async def run():
        asyncio.get_running_loop().set_exception_handler(log_forgotten)
        task = asyncio.ensure_future(asyncio.to_thread(fail, ValueError("Gildong Hong")))
        await asyncio.wait([task])
        del task
        gc.collect()

    with caplog.at_level(logging.ERROR):
        asyncio.run(run())
    assert "Task exception was never retrieved" in caplog.text
    assert "test_app.py" in caplog.text
    assert "Gildong" not in caplog.text
