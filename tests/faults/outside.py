"""What workers lean on goes away: the vault's database, and the schema registry. And sources that repeat themselves."""

import os
import sqlite3
import subprocess
import sys
import threading

import orjson

from biokeel.contracts.framing import frame as framed
from biokeel.contracts.registry import RegistryCatalogue
from biokeel.source.client import Publisher
from biokeel.testing.events import SOURCE
from tests.contracts.registry_server import Registry
from tests.event_types import EVENTS
from tests.faults.plan import experiment
from tests.faults.traffic import PRESSURE, pressures


@experiment("the vault's database locked for a minute", full=1, seconds=80, supervised=True)
def vault_locked(run):
    """Another program holds its only writer's place, for longer than the 60 s that a worker waits by itself."""
    world, restarts = run.world, run.world.restarts
    database = world.stack.state_dir / "vault" / "vault.sqlite"
    holder = sqlite3.connect(database, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        world.publish(500, late=0.5)
        world.publisher.publish_raw(PRESSURE, [b"to be sealed"])
        world.sent += 1
        world.live(66)
        assert world.bookkeeper.look().total("missing"), "the lock stopped nothing"
        assert world.restarts == restarts, "a worker is to wait for its vault"
    finally:
        holder.rollback()
        holder.close()
    run.harmed()
    world.enrol(f"late{world.tags}-", range(20))


@experiment("the vault away for a minute, its worker restarted", full=1, seconds=80, supervised=True)
def vault_away(run):
    """Its volume is not there: a worker must not start on an empty vault that it makes itself."""
    world = run.world
    world.send(rows=300)
    world.settled()
    folder = world.stack.state_dir / "vault"
    away = folder.with_name("vault-away")
    world.kill("pseudonymise-1")
    folder.rename(away)
    try:
        world.start("pseudonymise-1")
        world.publish(300, late=0)
        world.live(60)
        made = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    finally:
        if folder.exists():
            world.kill("pseudonymise-1")
            folder.rename(folder.with_name("vault-made-meanwhile"))
        away.rename(folder)
    world.ensure()
    run.harmed()
    assert not made, f"a worker made {made} where the vault was missing"


@experiment("the schema registry away for a minute", full=1, seconds=90, supervised=True)
def registry_away(run):
    """What is known goes on; a message of an unknown schema waits for the registry's word and is not sealed before."""
    world = run.world
    with Registry(world.catalogue, *EVENTS) as registry:
        threading.Thread(target=registry.serve_forever, daemon=True).start()
        world.environment["BIOKEEL_SCHEMA_REGISTRY_URL"] = registry.url
        # Its ids are its own: who publishes asks it, too.
        of_directory, ids = world.publisher, RegistryCatalogue({"url": registry.url}, world.catalogue)
        world.publisher = Publisher(world.stack.source(SOURCE), ids)
        try:
            # What was written with the directory's ids is read by who knows these.
            world.settled()
            for name in list(world.running):
                world.end(name)
            world.ensure()
            world.send(rows=400)
            world.settled()
            sealed, restarts = world.bookkeeper.look().total("sealed"), world.restarts
            registry.down = True
            world.publish(400, late=0)
            unknown = [framed(99_999_998) + b"of a schema that nobody can tell about now"]
            world.sent += len(world.publisher.publish_raw(PRESSURE, unknown, partition=3))
            world.live(60)
            early = world.bookkeeper.look().total("sealed") - sealed
            registry.down = False
            run.harmed()
            run.recovered(world, timed=False)
            assert world.restarts == restarts, "a worker is to wait for the registry"
            assert not early, "a message was sealed for a schema that nobody could look up"
        finally:
            registry.down = False
            world.publisher = of_directory
            world.environment.pop("BIOKEEL_SCHEMA_REGISTRY_URL")
            for name in list(world.running):
                world.end(name)
            registry.shutdown()
    world.ensure()


@experiment("the same file twice; half a file, then the whole", full=5, seconds=22)
def repeated_files(run):
    """By the books: every message that Kafka holds is in one place. What repeats mean is told elsewhere."""
    world = run.world
    whole, half = world.folder / "whole.jsonl", world.folder / "half.jsonl"
    rows = pressures(world.schema, f"file{run.rng.random()}", 400, late=0).to_dicts()
    lines = [orjson.dumps({"event": str(PRESSURE), **row}, option=orjson.OPT_UTC_Z) + b"\n" for row in rows]
    whole.write_bytes(b"".join(lines))
    half.write_bytes(b"".join(lines[: len(lines) // 2]))
    before = in_kafka(world)
    for path in (whole, whole, half, whole):
        published(world, path)
    added = in_kafka(world) - before
    assert added == len(lines) * 3 + len(lines) // 2
    world.sent += added
    run.harmed()


def in_kafka(world):
    """How many messages lie in the raw topics."""
    marks = world.bookkeeper.watermarks()
    return sum(high - low for of_event in marks.values() for low, high in of_event.values())


def published(world, path):
    command = [sys.executable, "-m", "biokeel", "publish", str(path), "--source-id", SOURCE]
    own = {"BIOKEEL_STATE_DIR": str(world.stack.state_dir)}
    done = subprocess.run(command, env=os.environ | own, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-200:]
