"""The runbooks of docs/operations.md, run as they stand there, on a stack that was really damaged before."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
import typer
from deltalake import DeltaTable
from polars.testing import assert_frame_equal

from biokeel.batch import ROW
from biokeel.books.bookkeeper import Bookkeeper
from biokeel.cli import build
from biokeel.contracts.topics import EventType, Zone, event_type
from biokeel.engine.curate.worker import GROUP as CURATE
from biokeel.engine.pseudonymise import GROUP as PSEUDONYMISE
from biokeel.land.contents import CURATED, LakeReader
from biokeel.land.lake import Lake
from biokeel.land.reading import collect, scan
from biokeel.settings import PROJECT_ROOT, Settings
from biokeel.stack import kafka, state
from tests.stack.stack_helpers import until

PAGE = (PROJECT_ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
SECONDS = 600
EVENT = event_type("clinical.blood_pressure")


def blocks(heading: str) -> list[str]:
    """The fenced blocks below `heading`, up to the next heading."""
    (text,) = re.findall(rf"^### {re.escape(heading)}\n(.*?)(?=^##)", PAGE, re.DOTALL | re.MULTILINE)
    return re.findall(r"^```\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def lines() -> list[str]:
    """Every command of biokeel in the page's runbooks and tables."""
    fenced = [
        line for block in re.findall(r"^```\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE) for line in block.split("\n")
    ]
    quoted = re.findall(r"`(biokeel [^`]+)`", PAGE)
    return [line.split("#")[0].strip() for line in (*fenced, *quoted) if line.startswith("biokeel ")]


def test_every_command_on_the_page_for_operators_is_one_that_the_command_line_takes() -> None:
    top = typer.main.get_command(build())
    assert len(lines()) > 20
    for line in lines():
        command, words = top, shlex.split(line)[1:]
        while hasattr(command, "commands"):
            command, words = command.commands[words[0]], words[1:]
        known = {option for each in command.params for option in each.opts + each.secondary_opts}
        assert {word for word in words if word.startswith("-")} <= known, line


class World:
    """A detached stack in a folder of its own, driven by the command line as an operator does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state_dir = folder / "state"
        program = folder / "bin" / "biokeel"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m biokeel "$@"\n')
        program.chmod(0o755)
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("BIOKEEL_")} | {
            "PYTHONPATH": str(PROJECT_ROOT / "src"),
            "PATH": f"{program.parent}:{os.environ['PATH']}",
            "BIOKEEL_STATE_DIR": str(self.state_dir),
            "BIOKEEL_FLUSH_SECONDS": "1",
            "BIOKEEL_CACHE_DIR": str(Settings.load().cache_dir),
            "BIOKEEL_SCHEMAS_DIR": str(PROJECT_ROOT / "schemas"),
            "BIOKEEL_EXPECTATIONS_DIR": str(PROJECT_ROOT / "expectations"),
            "BIOKEEL_SOURCES_DIR": str(PROJECT_ROOT / "sources"),
        }

    def run(self, script: str, status: int = 0) -> str:
        """Run lines of the shell, ending at the first that fails; what they printed."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == status, done.stdout
        return done.stdout

    def publish(self, seed: int) -> None:
        self.run(f"biokeel demo-data --people 30 --seed {seed} --out demo-{seed}")
        self.run(f"biokeel publish demo-{seed}/files --source-id demo")
        self.run("biokeel verify --wait 60")

    def books(self) -> dict[str, int]:
        """Where all events are, in sum."""
        books = Bookkeeper.of(self.state_dir).look()
        assert books.balanced, books.as_json()
        found = {name: books.total(name) for name in ("raw", "curated", "parked", "sealed", "applied")}
        # One number: the repeat of a row that fails its suite is a repeat in one batch with it, and fails in another.
        return found | {"quarantined": books.total("quarantined") + books.total("repeated")}

    def send_again(self, seed: int) -> None:
        """What was sent before comes again, now that workers are back: none of it makes a row, so that everybody has
        the ID, and every partition the memory, of before."""
        before = self.books()
        self.run(f"biokeel publish demo-{seed}/files --source-id demo")
        self.run("biokeel verify --wait 60")
        after = self.books()
        assert after["raw"] > before["raw"]
        assert after["curated"] == before["curated"]

    def rows(self) -> dict[EventType, pl.DataFrame]:
        """Every curated row, whole."""
        reader = LakeReader(self.lake())
        tables = [(event, uri) for event, name, uri in reader.tables() if name == CURATED]
        return {event: collect(scan(uri, self.lake())).sort(ROW) for event, uri in tables}

    def lake(self) -> Lake:
        return Lake.of(Settings.load(Zone.RESEARCH, state_dir=self.state_dir))

    def admin(self):
        """A client of Kafka with all rights."""
        from confluent_kafka.admin import AdminClient

        return AdminClient(kafka._admin_config(state.load_or_create(self.state_dir / "stack" / "state.json")))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = World(tmp_path_factory.mktemp("runbooks"))
    made.run("biokeel stack up --detach --no-console")
    try:
        made.publish(1)
        made.publish(2)
        yield made
    finally:
        made.run("biokeel stack down")


def without_workers(world):
    world.run("biokeel stack down; biokeel stack up --workers 0 --no-console --detach")


@pytest.mark.long
@pytest.mark.integration
@pytest.mark.timeout(1800)
class TestRunbooks:
    """In this order, one stack after another's disaster."""

    def test_a_lost_consumer_group(self, world):
        before = world.books()
        without_workers(world)
        admin = world.admin()
        time.sleep(12)  # the broker keeps a named member for its session
        for future in admin.delete_consumer_groups([PSEUDONYMISE, CURATE]).values():
            future.result(30)
        world.run("biokeel stack down")
        for block in blocks("A lost consumer group"):
            world.run(block)
        assert world.books() == before
        world.send_again(1)
        assert "sound" in world.run("biokeel lake verify")

    def test_a_table_is_to_go_back(self, world):
        before = world.books()
        look, back = blocks("A table is to go back to an older version")
        uri = world.lake().curated(EVENT)
        damaged = DeltaTable(uri, storage_options=world.lake().options)
        assert damaged.delete("systolic < 130")["num_deleted_rows"] > 0
        assert "DELETE" in world.run("biokeel lake history clinical.blood_pressure")
        said = world.run(look)
        assert "Nothing was changed." in said
        refused = world.run("biokeel lake restore clinical.blood_pressure --version 1", status=1)
        assert "curate workers run" in refused
        world.run(back)
        assert world.books() == before

    def test_maintenance(self, world):
        before = world.books()
        world.run("biokeel lake optimize; biokeel lake optimize --order clinical.blood_pressure")
        assert "could be deleted" in world.run("biokeel lake vacuum --retention-hours 1")
        world.run("biokeel lake vacuum --delete; biokeel lake verify; biokeel lake tables")
        assert world.books() == before

    def test_the_lake_is_lost(self, world):
        before, rows = world.books(), world.rows()
        assert sum(map(len, rows.values())) == before["curated"]
        for key in world.lake().objects.keys(""):
            world.lake().objects.delete(key)
        (block,) = blocks("The lake is lost")
        world.run(block)
        world.environment["BIOKEEL_LAKE_BUCKET"] = "biokeel-lake-2"
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("BIOKEEL_LAKE_BUCKET", "biokeel-lake-2")
            assert world.books() == before
            assert world.rows().keys() == rows.keys()
            for event, found in world.rows().items():
                assert_frame_equal(found, rows[event])

    def test_the_vault_is_lost(self, world, monkeypatch):
        monkeypatch.setenv("BIOKEEL_LAKE_BUCKET", "biokeel-lake-2")
        before = world.books()
        world.run("biokeel vault backup vault.backup")
        in_use = world.run("biokeel vault restore vault.backup", status=1)
        assert "in use" in in_use
        world.run("biokeel stack down")
        for file in (world.state_dir / "vault").glob("vault.sqlite*"):
            file.unlink()
        (block,) = blocks("The vault is lost, and the backup knows all")
        assert "It knows all that was published" in world.run(block)
        assert world.books() == before
        world.send_again(2)

    def test_the_backup_is_older(self, world, monkeypatch):
        monkeypatch.setenv("BIOKEEL_LAKE_BUCKET", "biokeel-lake-2")
        world.publish(3)
        published = world.books()
        # Refused first: the steps without the one that accepts.
        (block,) = blocks("The vault is lost, and the backup is older")
        careless = block.replace("biokeel vault accept --loss\n", "")
        assert "It is older than what was published" in world.run(careless)
        log = world.state_dir / "logs" / "pseudonymise-1.log"
        until(
            lambda: "The vault is older than what was published" in log.read_text("utf-8"), 120, "a worker that refuses"
        )
        curated = LakeReader(world.lake()).counts()["rows"].sum()
        world.run(block)
        world.run("biokeel verify --wait 20", status=1)
        books = Bookkeeper.of(world.state_dir).look()
        assert books.total("doubled") == 0
        lost = sum(published[place] for place in ("parked", "sealed")) - books.total("parked") - books.total("sealed")
        assert books.total("missing") == lost > 0
        assert LakeReader(world.lake()).counts()["rows"].sum() == curated
        # And it goes on: what is published from now on arrives.
        world.run("biokeel demo-data --people 5 --seed 4 --out demo-4; biokeel publish demo-4/files --source-id demo")
        world.run("biokeel verify --wait 30", status=1)
        after = Bookkeeper.of(world.state_dir).look()
        assert after.total("missing") == lost
        assert after.total("doubled") == 0
        assert LakeReader(world.lake()).counts()["rows"].sum() > curated
