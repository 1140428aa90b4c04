"""What is proved besides the books: rows say what was sent, of whom it was sent; no identifier is outside the vault
zone; no position goes back.
"""

from __future__ import annotations

import json
import re
import time
from collections import defaultdict
from pathlib import Path

import polars as pl
from confluent_kafka import Consumer, TopicPartition

from biokeel.admin.users import User
from biokeel.contracts.blocks import read_block
from biokeel.contracts.signatures import PublicKeys
from biokeel.contracts.topics import event_of
from biokeel.engine.kafka.watermarks import pseudo_watermarks
from biokeel.land.reading import collect, scan
from tests.block_bytes import memory
from tests.event_types import LANDED_EVENTS

CANARY = "zqxjhong"
"""Part of every name, account and number of the people of these experiments, in any case of letters."""
CARRIED = ("event_id", "source_id", "occurred_at", "recorded_at", "systolic", "diastolic", "heart_rate", "status")
"""Fields that a row has as they were sent."""
judged = pl.col("judged")
READ_SECONDS = 60.0
"""How long the new blocks of all topics may take to be read."""


class Content:
    """What was sent of one event type, and whether the tables say just that."""

    def __init__(self, lake, event, highest, event_ids):
        """Rows with a `systolic` above `highest` are to be quarantined, the others to be curated.

        `event_ids`: the vault zone's cipher, which knows which row is which event.
        """
        self._event_ids = event_ids
        self._lake = lake
        self._event = event
        self._highest = highest
        self._sent = []

    def sent(self, frame, *, judged=True):
        """`frame` was published; not `judged`: either verdict is right."""
        self._sent.append(frame.drop("subject_scheme").with_columns(judged=pl.lit(judged)))

    def check(self):
        """Fail where a row is missing, has the wrong verdict or other values, or is of somebody else.

        That each is there once is for the books. Each person's rows are numbered from 1 without a gap.
        """
        if not self._sent:
            return
        whole = pl.concat(self._sent)
        sent = whole.with_columns(self._event_ids.hide(whole["event_id"])).lazy()
        event, lake = self._event, self._lake
        tables = {"curated": lake.curated(event), "quarantine": lake.quarantine(event)}
        rows = {name: collect(scan(uri, lake)) for name, uri in tables.items()}
        ids = [table.select("event_id", pl.lit(name).alias("table")) for name, table in rows.items()]
        places = collect(sent.join(pl.concat(ids).lazy(), on="event_id", how="left"))
        failing = places["systolic"] > self._highest
        wrong = places.filter(judged & (pl.lit(failing) != (pl.col("table") == "quarantine")).fill_null(value=True))
        assert wrong.is_empty(), f"{wrong.height} rows of {places.height} have a wrong verdict or none"
        found = pl.concat([table.select(*CARRIED, "participant_id") for table in rows.values()])
        both = collect(found.lazy().join(sent, on="event_id", suffix="_sent"))
        differs = pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}_sent")) for name in CARRIED[1:])
        assert not both.filter(differs).height, f"{both.filter(differs).height} rows say something else than was sent"
        pairs = both.select("subject_id", "participant_id").unique()
        assert pairs["subject_id"].is_unique().all(), "somebody has two IDs"
        assert pairs["participant_id"].is_unique().all(), "an ID is of two people"
        numbered = rows["curated"].group_by("participant_id").agg(pl.col("sequence").sort())
        gap = numbered.filter(pl.col("sequence") != pl.int_ranges(1, pl.col("sequence").list.len() + 1))
        assert gap.is_empty(), f"the rows of {gap.height} people are not numbered from 1 without a gap"


class Positions:
    """Follows the app transactions of every table's commits: each may only rise."""

    def __init__(self, bucket):
        self._bucket = bucket
        self._next = defaultdict(int)
        self._highest = defaultdict(lambda: -1)

    def check(self):
        """Read the commits that are new, and fail where a position or a mark goes back."""
        for log in self._bucket.glob("*/*/*/_delta_log"):
            while (commit := log / f"{self._next[log]:020d}.json").is_file():
                self._follow(log, commit)
                self._next[log] += 1
            assert not (later := sorted(log.glob("*.json"))[-1:]) or later[0].name < commit.name, f"{commit} is gone"
        assert self._highest, "no position is to be seen"

    def _follow(self, log, commit):
        for line in commit.read_text("utf-8").splitlines():
            transaction = json.loads(line).get("txn")
            if transaction is None or transaction["appId"].endswith("/writer"):
                continue
            key = (log, transaction["appId"])
            assert transaction["version"] >= self._highest[key], f"{key[1]} goes back in {commit.parent.parent}"
            self._highest[key] = transaction["version"]


class Leaks:
    """Looks for `CANARY` in whatever is new outside the vault zone: objects, logs, run files, pseudo topics."""

    def __init__(self, stack, *folders):
        self._stack = stack
        self._keys = PublicKeys.of_setting(stack.settings(User.OPERATOR).block_public_keys)
        self._folders = [stack.state_dir / name for name in ("objects/data", "logs", "run")] + list(folders)
        self._seen = {}
        self._offsets = defaultdict(int)
        self.read = 0

    def check(self):
        """Fail, naming the places and never the text, where it is found."""
        found = {where for where, text in self._new() if CANARY in text.lower()}
        assert not found, f"an identifier stands in {sorted(found)[:5]}"

    def _new(self):
        for folder in self._folders:
            for path in folder.rglob("*"):
                yield "a name", path.name
                yield from self._file(path)
        yield from self._topics()

    def _file(self, path):
        try:
            status = path.stat()
            stamp = (status.st_mtime_ns, status.st_size)
            if not path.is_file() or self._seen.get(path) == stamp:
                return
            text = _text(path)
        except FileNotFoundError:
            return  # a snapshot that was replaced meanwhile
        self._seen[path] = stamp
        self.read += len(text)
        yield (
            str(path.relative_to(self._folders[0].parent)) if path.is_relative_to(self._folders[0]) else path.name,
            text,
        )

    def _topics(self):
        """All new blocks of all pseudo topics, read together: one by one each partition would wait for a fetch."""
        settings = self._stack.settings(User.OPERATOR)
        ends = {
            (event.pseudo_topic, partition): end
            for event in LANDED_EVENTS
            for partition, (_, end) in pseudo_watermarks(settings, event).items()
        }
        left = {at: end for at, end in ends.items() if end > self._offsets[at]}
        if not left:
            return
        consumer = Consumer({**settings.kafka_client(), "group.id": "none", "enable.auto.commit": False})
        try:
            consumer.assign([TopicPartition(*at, self._offsets[at]) for at in left])
            until = time.monotonic() + READ_SECONDS
            while left:
                assert time.monotonic() < until, f"blocks of {sorted(left)[:3]} cannot be read"
                for message in consumer.consume(500, timeout=0.1):
                    assert message.error() is None, message.error().name()
                    yield message.topic(), self._block(message)
                    at = message.topic(), message.partition()
                    self._offsets[at] = message.offset() + 1
                    if self._offsets[at] >= left.get(at, 0):
                        left.pop(at, None)
        finally:
            consumer.close()

    def _block(self, message):
        frame = read_block(
            event_of(message.topic()), message.partition(), message.value(), message.headers(), self._keys
        ).frame
        self.read += frame.height
        return repr((message.key(), message.headers())) + _strings(frame) + memory(message.value()).decode("latin-1")


def _text(path):
    if path.suffix == ".parquet" and path.stat().st_size:
        return _strings(pl.read_parquet(path, hive_partitioning=False))
    return path.read_bytes().decode("latin-1")


def _strings(frame):
    return frame.select(pl.col(pl.String)).unique().write_csv()


def open_files(pid):
    """How many files and connections a process holds."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def resident(pid):
    """Memory of a process, in MiB."""
    status = Path(f"/proc/{pid}/status").read_text("utf-8")
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) >> 10
