"""Genome files on the real parts: uploaded, checked by a worker that dies at every step, landed or sealed, once."""

from __future__ import annotations

import datetime as dt
import gzip
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from biokeel import s3
from biokeel.books.bookkeeper import Bookkeeper
from biokeel.contracts.catalogue import DirectoryCatalogue
from biokeel.contracts.receipts import Outcome
from biokeel.contracts.sources import file_of, written
from biokeel.contracts.topics import Zone, event_type
from biokeel.contracts.variants import READY
from biokeel.files.tidy import Tidied, tidy_files
from biokeel.land.lake import Lake
from biokeel.reasons import Reason
from biokeel.source.client import Publisher
from biokeel.source.sdk import SourceClient
from biokeel.stack.stack import Stack
from biokeel.testing.crash import POINTS
from biokeel.vault.store import Vault
from tests import commands
from tests.registers import source
from tests.variant_files import vcf, write

pytestmark = pytest.mark.integration

CENTRE = "centre-z"
SAMPLE = "KB-12345"
POINTS_OF_FILES = [point for point in POINTS if point.startswith("files.")]
ENROLMENT = event_type("person.enrolment")
SECONDS = 120


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    register = tmp_path_factory.mktemp("register")
    granted = source(CENTRE, schemes=(f"sample/{CENTRE}",), partitions=1)
    file_of(register, CENTRE).write_text(written(granted))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BIOKEEL_SOURCES_DIR", str(register))
        patch.setenv("BIOKEEL_FLUSH_SECONDS", "1")
        patch.setenv("BIOKEEL_VARIANT_FILES", "check")
        with Stack.start(tmp_path_factory.mktemp("genome-files"), workers=1) as running:
            # The one of the stack lives on; these tests have their own, which die.
            running.kill("files")
            yield running


def enrol(stack: Stack, *samples: str) -> None:
    now = dt.datetime(2024, 5, 1, tzinfo=dt.UTC)
    rows = [
        {
            "event_id": f"{number:032x}",
            "source_id": CENTRE,
            "subject_scheme": f"sample/{CENTRE}",
            "subject_id": sample,
            "occurred_at": int(now.timestamp()) * 1000,
            "recorded_at": int(now.timestamp()) * 1000,
            "identifiers": [],
            "sex": "female",
            "consent_scope": ["genome"],
            "consent_stated": True,
        }
        for number, sample in enumerate(samples)
    ]
    settings = stack.source(CENTRE)
    with Publisher(settings, DirectoryCatalogue(settings.schemas_dir)) as publisher:
        publisher.publish(ENROLMENT, rows)


def publish(stack: Stack, path: Path, sample: str) -> subprocess.CompletedProcess[str]:
    command = ["publish", "genome", str(path), "--source-id", CENTRE, "--sample", "-"]
    given = os.environ | {"BIOKEEL_STATE_DIR": str(stack.state_dir)}
    done = commands.biokeel(*command, given=given, said=f"{sample}\n")
    assert done.returncode == 0, done.stderr
    return done


def worker(stack: Stack, crash_at: str = "") -> subprocess.Popen[bytes]:
    environment = os.environ | {"BIOKEEL_STATE_DIR": str(stack.state_dir), "BIOKEEL_CRASH_AT": crash_at}
    return subprocess.Popen([sys.executable, "-m", "biokeel", "worker", "files"], env=environment)


def until(stack: Stack, **places: int):
    bookkeeper = Bookkeeper.of(stack.state_dir)
    deadline = time.monotonic() + SECONDS
    while True:
        books = bookkeeper.look()
        if books.balanced and all(books.total(place) == count for place, count in places.items()):
            return books
        assert time.monotonic() < deadline, books.as_json()
        time.sleep(0.5)


def checked(stack: Stack) -> dict[str, bytes]:
    settings = stack.settings(Zone.VAULT)
    client = s3.client(settings)
    found = client.list_objects_v2(Bucket=settings.genome_bucket).get("Contents", ())
    return {
        each["Key"]: client.get_object(Bucket=settings.genome_bucket, Key=each["Key"])["Body"].read() for each in found
    }


def test_a_file_lands_once_and_another_is_sealed_by_name_though_the_worker_dies_at_every_step(stack, tmp_path) -> None:
    enrol(stack, SAMPLE, "KB-99999")
    good = write(tmp_path / "good.vcf.gz", vcf((SAMPLE,)))
    bad = write(tmp_path / "bad.vcf.gz", vcf((SAMPLE,), records=["nothing"]))
    said = publish(stack, good, SAMPLE).stdout
    assert "uploaded" in said
    assert SAMPLE not in said
    publish(stack, bad, SAMPLE)
    until(stack, raw=4, applied=2, parked=2)
    assert checked(stack) == {}
    for point in POINTS_OF_FILES:
        dying = worker(stack, point)
        assert dying.wait(SECONDS) == -signal.SIGKILL, point
    living = worker(stack)
    try:
        books = until(stack, raw=4, applied=2, parked=0, curated=1, sealed=1)
    finally:
        living.terminate()
        assert living.wait(SECONDS) == 0
    assert books.balanced

    lake = Lake.of(stack.settings(Zone.RESEARCH))
    (row,) = pl.read_delta(lake.curated(READY), storage_options=lake.options).to_dicts()
    ((key, data),) = checked(stack).items()
    assert key == f"{row['participant_id']}/{row['sha256']}.vcf.gz"
    assert row["size_bytes"] == len(data)
    assert row["stream"] == "parking"
    text = gzip.decompress(data).decode()
    assert f"\tFORMAT\t{row['participant_id']}\n" in text
    assert SAMPLE not in text

    # Published again, as after a lost answer: nothing is uploaded, and the event is a repeat.
    assert "was there already" in publish(stack, good, SAMPLE).stdout
    living = worker(stack)
    try:
        until(stack, raw=5, parked=0, curated=1, sealed=1, repeated=1)
    finally:
        living.terminate()
        living.wait(SECONDS)
    assert list(checked(stack)) == [key]

    # What a check has left behind is found and deleted; what the event names is not.
    settings = stack.settings(Zone.VAULT)
    bucket, vault = s3.Bucket(settings, settings.genome_bucket), Vault.open(settings)
    left = key.replace("/", "/0", 1)
    s3.client(settings).put_object(Bucket=bucket.name, Key=left, Body=b"left")
    s3.client(settings).create_multipart_upload(Bucket=bucket.name, Key=left)
    later = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    assert tidy_files(vault, bucket, later, delete=True) == Tidied(files=1, size=4, unfinished=1, deleted=1)
    assert tidy_files(vault, bucket, later, delete=True) == Tidied()
    vault.close()
    assert list(checked(stack)) == [key]

    deadline = time.monotonic() + SECONDS
    with SourceClient.from_file(stack.state_dir / "sources" / f"{CENTRE}.env", tmp_path / "spool") as client:
        while True:
            of_files = [each for each in client.receipts() if each.event == str(READY)]
            last = {
                offset: each for each in of_files for first, end in each.offsets for offset in range(first, end + 1)
            }
            if {each.outcome for each in last.values()} == {Outcome.LANDED, Outcome.SEALED, Outcome.REPEATED}:
                break
            assert time.monotonic() < deadline, of_files
            time.sleep(1)
    assert [each.reason for each in last.values() if each.outcome is Outcome.SEALED] == [Reason.FILE_NOT_A_VCF]
