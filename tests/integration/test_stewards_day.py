"""A steward's day, by commands, on the real parts while events flow: a wrong limit, and the way back from it."""

import json
import os
import shutil
import time

import polars as pl
import pytest

from biokeel.books.bookkeeper import Bookkeeper
from biokeel.contracts.topics import Zone, event_type
from biokeel.land.check import faults
from biokeel.land.lake import Lake
from biokeel.land.reading import scan
from biokeel.settings import PROJECT_ROOT
from biokeel.source.receipts import Follower, told
from biokeel.stack.stack import Stack
from biokeel.validate.suites import suite_path
from tests.commands import biokeel, environment

pytestmark = [pytest.mark.integration, pytest.mark.long]

PRESSURE = event_type("clinical.blood_pressure")
EVENT = str(PRESSURE)
RULE = "bp.systolic.range"
PATIENCE_SECONDS = 90
WRONG, RIGHT = 150, 300
"""Upper limits in mm[Hg]: 160 is high, and real."""
SAMPLES = {
    "defaults": {
        "source_id": "hospital/demo",
        "occurred_at": "2024-05-01T09:30:00+09:00",
        "recorded_at": "2024-05-01T09:45:00+09:00",
        "panel_code": "85354-9",
        "systolic": 124,
        "diastolic": 79,
        "status": "final",
    },
    "samples": [
        {"why": "a good one", "row": {}},
        {"why": "a typing error", "row": {"systolic": 900}, "failed": [RULE], "warnings": ["bp.systolic.usual"]},
    ],
}


class Day:
    """A stack with workers, two stewards, and a source that goes on sending."""

    def __init__(self, stack, folder):
        self.stack, self.folder = stack, folder
        self.lake = Lake.of(stack.settings(Zone.RESEARCH))
        self.books = Bookkeeper.of(stack.state_dir)
        self.drafts = folder / "expectations"
        shutil.copytree(PROJECT_ROOT / "expectations", self.drafts)
        self.sent = 0
        self.keys = {name: folder / f"{name}.key" for name in ("ann", "ben")}
        self.suite("steward", "add", "ann", "--key-file", str(self.keys["ann"]))
        self.suite("steward", "add", "ben", "--key-file", str(self.keys["ben"]), "--by", str(self.keys["ann"]))

    def run(self, *arguments, by="ann"):
        given = environment(
            BIOKEEL_STATE_DIR=str(self.stack.state_dir),
            BIOKEEL_EXPECTATIONS_DIR=str(self.drafts),
            BIOKEEL_STEWARD_KEY_FILE=str(self.keys[by]),
            BIOKEEL_SOURCES_DIR=os.environ["BIOKEEL_SOURCES_DIR"],
        )
        done = biokeel(*arguments, given=given)
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return done.stdout

    def suite(self, *arguments, by="ann"):
        return self.run("suite", *arguments, by=by)

    def publish(self, *systolic):
        """One event for each value, of seven people in turn; none waits for its landing."""
        now = int(time.time() * 1000)
        records = [
            {
                "event": EVENT,
                "key": f"bp-{number}",
                "subject_scheme": "hospital/a",
                "subject_id": f"number-{number % 7}",
                "occurred_at": now - 60_000 * (number + 1),
                "recorded_at": now,
                "panel_code": "85354-9",
                "systolic": float(value),
                "diastolic": 80.0,
                "status": "final",
            }
            for number, value in enumerate(systolic, start=self.sent)
        ]
        self.sent += len(records)
        path = self.folder / f"{self.sent}.jsonl"
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
        self.run("publish", str(path), "--source-id", "demo-one", "--enrol", "--consent", "clinical")

    def lie(self):
        """Once everything has landed, how many events are curated and how many quarantined."""
        self.until(lambda: self.books.look().balanced, "the books balance")
        sums = next(each for each in self.books.look().events if each.event == PRESSURE).figures()
        return sums["curated"], sums["quarantined"]

    def until(self, reached, what):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (found := reached()):
            assert time.monotonic() < deadline, what
            time.sleep(0.5)
        return found

    def put_in_force(self, limit, reason):
        """Draft a limit, look at what it changes, and let another steward approve it; what the backtest says."""
        self.suite("draft", EVENT, "--replace")
        path = suite_path(self.drafts, PRESSURE)
        suite = json.loads(path.read_text())
        (rule,) = (each for each in suite["expectations"] if each["meta"].get("rule") == RULE)
        rule["kwargs"]["max_value"] = limit
        path.write_text(json.dumps(suite))
        path.with_name("blood_pressure.samples.json").write_text(json.dumps(SAMPLES))
        assert f"becomes {limit}" in self.suite("diff", EVENT)
        plot = self.folder / f"{limit}.png"
        found = json.loads(self.suite("backtest", EVENT, "--json", "--plot", str(plot)))
        assert plot.stat().st_size
        said = self.suite("submit", EVENT, "--reason", reason, "--force", reason)
        (digest,) = {word for word in said.split() if len(word) == 12 and set(word) <= set("0123456789abcdef")}
        self.suite("approve", EVENT, digest, by="ben")
        return found

    def carried_out(self):
        """The operations, once all of them are done."""

        def asked():
            states = json.loads(self.suite("operations", EVENT, "--json"))["operations"]
            return states if not any(each["open_in"] for each in states) else None

        return self.until(asked, "workers carry the operation out")

    def heard(self):
        """By offset, what its source has heard last of each event."""
        lies = {}
        for receipt in told(Follower(self.stack.source("demo-one")), on=False):
            if receipt.event == EVENT:
                for first, last in receipt.offsets:
                    lies |= {(receipt.partition, offset): str(receipt.outcome) for offset in range(first, last + 1)}
        return list(lies.values())


@pytest.fixture(scope="module")
def day(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BIOKEEL_FLUSH_SECONDS", "1")
        with Stack.start(tmp_path_factory.mktemp("stewards-day"), workers=1) as stack:
            yield Day(stack, tmp_path_factory.mktemp("desk"))


def test_a_wrong_limit_is_mended_its_rows_released_once_and_all_of_it_undone_while_events_flow(day):
    # Morning: a limit that is far too low comes in force, and good events are quarantined.
    day.publish(*range(110, 130))
    assert day.lie() == (20, 0)
    assert day.put_in_force(WRONG, "a typing error")["newly_quarantined"] == 0

    def followed():
        day.publish(160)
        return day.lie()[1]

    day.until(followed, "the worker follows the book")
    day.publish(*[120, 161, 162, 163] * 5)
    landed, stopped = day.lie()
    assert stopped >= 16
    assert day.until(lambda: day.heard().count("quarantined") == stopped, "the source hears of it")

    # Noon: the steward sees what it did, mends it, and another one approves.
    assert RULE in day.suite("report", EVENT, "--since", "yesterday")
    # A backtest judges all that came, the probes too that landed before the worker followed.
    assert day.put_in_force(RIGHT, "150 was a typing error for 300")["released"] >= stopped

    # Afternoon: what was stopped is released, while the source goes on sending.
    people = day.folder / "stopped.txt"
    day.run("vault", "stopped", EVENT, "--to", str(people))
    preview = json.loads(day.suite("release", EVENT, "--rule", RULE, "--json"))
    assert (preview["rows"], preview["by_rule"], preview["operation"]) == (stopped, {RULE: stopped}, None)
    order = ("--rule", RULE, "--without", str(people), "--yes", "--reason", "they were right")
    assert "Operation 1 is ordered" in day.suite("release", EVENT, *order)
    day.publish(*range(111, 121))
    (released,) = day.carried_out()
    assert released["moved"] == stopped
    day.publish(*range(111, 116))
    assert day.lie() == (day.sent, 0)
    assert day.until(lambda: set(day.heard()) == {"landed"}, "the source hears of it")
    assert json.loads(day.suite("release", EVENT, "--json"))["rows"] == 0, "once"
    rows = scan(day.lake.curated(PRESSURE), day.lake).collect()
    assert rows.filter(operation=1)["earlier_version"].str.starts_with("2+").all()
    assert rows.filter(operation=1)["suite_version"].str.starts_with("3+").all()
    for of_person in rows.partition_by("participant_id"):
        assert sorted(of_person["sequence"]) == list(range(1, of_person.height + 1))

    # Evening: the same rolled back, and nothing is lost.
    assert "Operation 2 is ordered" in day.suite("undo", EVENT, "1", "--yes", "--reason", "a rehearsal")
    day.publish(*range(117, 119))
    assert [each["moved"] for each in day.carried_out()] == [stopped, stopped]
    assert day.lie() == (day.sent - stopped, stopped)
    assert day.until(lambda: day.heard().count("quarantined") == stopped, "the source hears of it")
    day.run("verify", "--full")
    assert list(faults(day.lake, PRESSURE)) == []
    assert landed + stopped + 17 == day.sent
    stays = scan(day.lake.quarantine(PRESSURE), day.lake).filter(pl.col("operation") == 2).collect()
    assert stays["suite_version"].str.starts_with("2+").all()
