"""Messages that are made to hurt: broken in every way, too big, bombs, and ten versions of a schema at a time."""

import asyncio
import datetime as dt
import json
import os
import shutil
import subprocess
import sys
import time
import zlib
from pathlib import Path

import polars as pl
from aiokafka import AIOKafkaProducer

from biokeel.contracts.catalogue import DirectoryCatalogue
from biokeel.contracts.codec import Codec
from biokeel.contracts.framing import frame as framed
from biokeel.contracts.lock import lock
from biokeel.contracts.schema import schema_path
from biokeel.contracts.topics import Zone, event_type
from biokeel.source.columns import conform
from biokeel.testing.events import SOURCE, random_frame
from tests.faults.plan import experiment
from tests.faults.proofs import CANARY
from tests.faults.traffic import PRESSURE, pressures

SHARE = 0.01
BOMB_BYTES = 400 << 20
ROOM_BYTES = 600 << 20
"""What a worker may need of memory at most when it meets a bomb."""
VERSIONS = 10


@experiment("1 % poison of each kind, a message of 10 MB", full=20, seconds=12)
def poisoned(run):
    """Everything that is broken is sealed, and its neighbours land."""
    world = run.world
    sealed = world.settled().total("sealed")
    kinds = poisons(world, run.rng)
    rows = 1500
    good = encoded(world, pressures(world.schema, f"poison{run.rng.random()}", rows, late=0))
    messages = [*good, *(poison for kind in kinds for poison in kind(good, int(rows * SHARE)))]
    run.rng.shuffle(messages)
    messages.insert(rows // 2, CANARY.encode() * ((10 << 20) // len(CANARY)))
    world.sent += len(world.publisher.publish_raw(PRESSURE, messages, partition=run.rng.randrange(4)))
    run.harmed()
    books = world.settled()
    assert books.total("sealed") - sealed == len(messages) - rows


def encoded(world, frame):
    return world.publisher.codec.encode(PRESSURE, frame).to_pylist()


def poisons(world, rng):
    """Functions (good messages, number) → that many broken ones, of one kind each."""
    other = event_type("clinical.glucose")
    of_another = world.publisher.codec.encode(other, random_frame(world.catalogue.reader(other).schema, 50)).to_pylist()

    def changed(**columns):
        def make(_good, number):
            frame = pressures(world.schema, f"changed{rng.random()}", number, late=0)
            return encoded(world, frame.with_columns(**columns))

        return make

    return [
        lambda good, number: [value[: rng.randrange(6, len(value) - 1)] for value in good[:number]],
        lambda good, number: [value + CANARY.encode() for value in good[:number]],
        lambda good, number: [framed(99_999_999) + value[5:] for value in good[:number]],
        lambda _good, number: [b""] * number,
        lambda _good, number: [None] * number,
        lambda _good, number: [rng.randbytes(rng.randrange(1, 200)).replace(b"\0", b"x") for _ in range(number)],
        lambda _good, number: [rng.choice(of_another) for _ in range(number)],
        changed(event_id=pl.lit("8503152773104")),
        changed(occurred_at=pl.lit(dt.datetime(1700, 1, 1, tzinfo=dt.UTC)).cast(pl.Datetime("ms", "UTC"))),
        changed(status=pl.lit("850315-2773104")),
    ]


@experiment("a decompression bomb in a batch of Kafka's", full=3, seconds=25, limit=300)
def kafka_bomb(run):
    """400 MB of one byte are some 400 kB in Kafka: the broker takes them, the worker must seal them and live."""
    world = run.world
    sealed = world.settled().total("sealed")
    asyncio.run(_bomb(world.stack.settings(Zone.VAULT), ("gzip", "zstd", "lz4")[run.number % 3]))
    world.sent += 1
    world.publish(300, late=0)
    run.harmed()
    assert world.settled().total("sealed") - sealed == 1
    high = peak(world.running["pseudonymise-1"].pid)
    run.record.notes.append(f"run {run.number}: the pseudonymiser's peak was {high >> 20} MiB")
    assert high < ROOM_BYTES, f"the pseudonymiser took {high >> 20} MiB"


async def _bomb(settings, compression):
    """librdkafka will not send it: it measures before it compresses."""
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka_bootstrap,
        security_protocol=settings.kafka_security_protocol,
        sasl_mechanism="PLAIN",
        sasl_plain_username=settings.kafka_username,
        sasl_plain_password=settings.kafka_password.get_secret_value(),
        compression_type=compression,
        max_request_size=BOMB_BYTES + 4096,
        max_batch_size=BOMB_BYTES + 4096,
    )
    await producer.start()
    try:
        await producer.send_and_wait(PRESSURE.raw_topic(SOURCE), bytes(BOMB_BYTES), partition=3)
    finally:
        await producer.stop()


def peak(pid):
    """The most memory that a process has had, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text("utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) << 10 if "VmHWM:" in status else 0


@experiment("a decompression bomb in an Avro container", full=1, quick=0, seconds=8)
def container_bomb(run):
    """`biokeel publish` reads no Avro containers: it must refuse this one for that, quickly and in little memory."""
    path = run.world.folder / "bomb.avro"
    path.write_bytes(container())
    command = [sys.executable, "-m", "biokeel", "publish", str(path), "--source-id", SOURCE]
    own = {"BIOKEEL_STATE_DIR": str(run.world.stack.state_dir)}
    process = subprocess.Popen(command, env=os.environ | own, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    high = 0  # by looking: what wait4 says is at least what this process has, which made the bomb
    while process.poll() is None:
        high = max(high, peak(process.pid))
        time.sleep(0.02)
    assert process.returncode == 1, f"publish ended with {process.returncode}"
    assert high < ROOM_BYTES, f"publish took {high >> 20} MiB"
    run.record.notes.append(f"refused in {high >> 20} MiB")


def container():
    """An object container file of one deflated block that is 400 MB of nothing."""

    def number(value):
        value <<= 1
        found = b""
        while value > 0x7F:
            found += bytes([value & 0x7F | 0x80])
            value >>= 7
        return found + bytes([value])

    def text(value):
        return number(len(value)) + value

    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = b"".join([*(compressor.compress(bytes(1 << 20)) for _ in range(BOMB_BYTES >> 20)), compressor.flush()])
    head = number(2) + text(b"avro.schema") + text(b'"bytes"') + text(b"avro.codec") + text(b"deflate") + number(0)
    return b"Obj\x01" + head + bytes(16) + number(1) + text(block) + bytes(16)


@experiment("ten versions of a schema in one batch", full=3, seconds=30, proof=False)
def ten_versions(run):
    world = run.fresh_world()
    folder = world.folder / "schemas"
    shutil.copytree(world.stack.settings(Zone.VAULT).schemas_dir, folder)
    messages = []
    for version in range(1, VERSIONS + 1):
        if version > 1:
            grown(folder, version)
        catalogue = DirectoryCatalogue(folder)
        schema = catalogue.reader(PRESSURE).schema
        frame = pressures(world.schema, f"version{version}-{run.rng.random()}", 60, late=0)
        frame = frame.with_columns(pl.lit("a").alias(f"extra_{each}") for each in range(2, version + 1))
        messages += Codec(catalogue, 1 << 20).encode(PRESSURE, conform(schema, frame)).to_pylist()
    run.rng.shuffle(messages)
    world.sent += len(world.publisher.publish_raw(PRESSURE, messages))
    run.harmed()
    world.environment["BIOKEEL_SCHEMAS_DIR"] = str(folder)
    world.ensure()
    run.recovered(world)
    run.record.events += world.sent
    assert not world.settled().total("sealed")


def grown(folder, version):
    """Add an optional field to the schema of blood pressures, and lock it as a new version."""
    path = schema_path(folder, PRESSURE)
    schema = json.loads(path.read_text("utf-8"))
    field = {
        "name": f"extra_{version}",
        "biokeel:form": {"values": ["a"], "of": "the experiment"},
        "type": ["null", "string"],
        "default": None,
        "doc": "Added by an experiment.",
        "confluent:tags": ["NONE"],
    }
    schema["fields"].append(field)
    path.write_text(json.dumps(schema), "utf-8")
    lock(folder)
