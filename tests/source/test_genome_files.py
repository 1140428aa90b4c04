"""A variant file of a source: looked at, uploaded, claimed; and gone on with wherever it was stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from biokeel import s3
from biokeel.cli import build
from biokeel.errors import AdapterError, LandingError
from biokeel.settings import Settings
from biokeel.source.adapters.base import Subject
from biokeel.source.files import Source
from biokeel.source.genome_files import claim_check, look_at
from biokeel.source.times import moment
from biokeel.source.uploads import Uploaded, upload
from biokeel.stack.stack import Stack
from tests.pseudonymise.conftest import stride
from tests.variant_files import contigs, vcf, write

__all__ = ["stride"]

SOURCE = Source("test-centre", b"key")
PERSON = Subject("sample/test-centre", "KB-1")

# -- looking at it


@pytest.mark.parametrize(
    ("name", "kind"), [("a.vcf", "vcf"), ("a.vcf.gz", "vcf.gz"), ("a.vcf.gzip", "vcf.gz"), ("a.txt", "vcf")]
)
def test_the_format_is_what_the_bytes_are_and_not_what_the_name_says(tmp_path: Path, name: str, kind: str) -> None:
    found = look_at(write(tmp_path / name, vcf()), "", ["KB-1"])
    assert (found.kind, found.build, found.header.samples) == (kind, "GRCh38", ("KB-1",))


def test_a_gvcf_defines_its_allele_and_a_bcf_is_read(tmp_path: Path) -> None:
    import pysam

    gvcf = vcf(header=('##ALT=<ID=NON_REF,Description="Any other">',), records=())
    assert look_at(write(tmp_path / "g.vcf.gz", gvcf), "", ["KB-1"]).kind == "gvcf.gz"
    path = str(write(tmp_path / "a.vcf", vcf()))
    bcf = str(tmp_path / "a.bcf")
    with pysam.VariantFile(path) as read, pysam.VariantFile(bcf, "wb", header=read.header) as written:
        for each in read:
            written.write(each)
    found = look_at(tmp_path / "a.bcf", "GRCh38", ["KB-1"])
    assert (found.kind, found.header.samples) == ("bcf", ("KB-1",))


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "does not begin"),
        (b"\x1f\x8b", "no whole gzip"),
        (b"\x1f\x8bnot really", "no whole gzip"),
        (b"MSH|^~\\&|LAB", "does not begin"),
        (bytes(range(256)), "does not begin"),
        (b"BCF\x02\x02\x10\x00\x00\x00nothing of a head", "does not begin"),
        (b"##fileformat=VCFv4.2\n\xff", "UTF-8"),
    ],
)
def test_what_is_no_variant_file_is_refused_before_anything_is_sent(tmp_path: Path, data: bytes, told: str) -> None:
    path = tmp_path / "a.vcf.gz"
    path.write_bytes(data)
    with pytest.raises(AdapterError, match=told):
        look_at(path, "", ["KB-1"])


def test_a_file_of_others_samples_of_another_build_or_without_contigs_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.vcf.gz", vcf(("KB-1", "KB-2")))
    for samples in (["KB-1"], ["KB-3", "KB-2"], []):
        with pytest.raises(AdapterError, match="are not those that were named") as error:
            look_at(path, "", samples)
        assert "KB-" not in str(error.value)
    with pytest.raises(AdapterError, match="stands on GRCh38"):
        look_at(path, "GRCh37", ["KB-1", "KB-2"])
    none = vcf().replace("\n".join(contigs()) + "\n", "##contig=<ID=chr1>\n")
    with pytest.raises(AdapterError, match="does not say on which reference genome"):
        look_at(write(tmp_path / "b.vcf", none), "GRCh38", ["KB-1"])


def test_a_time_that_cannot_be_the_files_is_refused_and_can_be_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.vcf.gz", vcf())
    for wrong in (0, 315_532_800, 32_503_680_000):
        os.utime(path, (wrong, wrong))
        with pytest.raises(AdapterError, match="--occurred-at"):
            look_at(path, "", ["KB-1"])
    said = moment("2024-05-01", None)
    assert said is not None
    event = claim_check(look_at(path, "", ["KB-1"], said), Uploaded("", s3.Content(1, "a"), False), PERSON, SOURCE)
    assert (event["occurred_at"], event["occurred_precision"]) == (said.at, "day")


def test_the_claim_check_has_an_id_of_the_content_and_of_whose_it_is(tmp_path: Path) -> None:
    found = look_at(write(tmp_path / "a.vcf.gz", vcf()), "", ["KB-1"])

    def event_id(sha256: str = "a" * 64, subject: Subject = PERSON, uri: str = "s3://b/k") -> str:
        return str(claim_check(found, Uploaded(uri, s3.Content(9, sha256), False), subject, SOURCE)["event_id"])

    assert event_id() == event_id(uri="s3://elsewhere/k")
    assert len({event_id(), event_id("b" * 64), event_id(subject=Subject("sample/test-centre", "KB-2"))}) == 3


# -- uploading it, to the real store

PART = 5 << 20  # the least that S3 takes
DYING = f"""
import os, signal, sys
from pathlib import Path
from biokeel import s3
from biokeel.settings import Settings
from biokeel.source.uploads import upload

at, when = int(sys.argv[2]), sys.argv[3]
s3.PART_BYTES = {PART}
made, calls = s3.client, 0

def count(**_):
    global calls
    calls += 1
    if calls == at:
        os.kill(os.getpid(), signal.SIGKILL)

def dying(settings):
    client = made(settings)
    client.meta.events.register({{"before": "before-send.s3", "after": "after-call.s3"}}[when], count)
    return client

s3.client = dying
print(upload(Path(sys.argv[1]), ".vcf.gz", Settings(), "test-centre").was_there)
"""


@pytest.fixture
def settings(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """The way into the landing bucket that every source has; parts are small."""
    found = stack.source("hospital-a")
    monkeypatch.setattr(s3, "PART_BYTES", PART)
    yield found
    clear(found)


def clear(settings: Settings) -> None:
    """Delete what the tests have put down, and what they have begun to."""
    client = s3.client(settings)
    for key in keys(settings):
        client.delete_object(Bucket=settings.landing_bucket, Key=key)
    for key, upload_id in unfinished(settings):
        client.abort_multipart_upload(Bucket=settings.landing_bucket, Key=key, UploadId=upload_id)


def keys(settings: Settings) -> list[str]:
    found = s3.client(settings).list_objects_v2(Bucket=settings.landing_bucket, Prefix="test-centre/")
    return [each["Key"] for each in found.get("Contents", ())]


def objects(settings: Settings) -> dict[str, bytes]:
    client, bucket = s3.client(settings), settings.landing_bucket
    return {key: client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys(settings)}


def unfinished(settings: Settings) -> list[tuple[str, str]]:
    found = s3.client(settings).list_multipart_uploads(Bucket=settings.landing_bucket, Prefix="test-centre/")
    return [(each["Key"], each["UploadId"]) for each in found.get("Uploads", ())]


@pytest.fixture
def big(tmp_path: Path) -> Path:
    """Of two parts and a half."""
    path = tmp_path / "big.vcf.gz"
    path.write_bytes(os.urandom(5 * PART // 2))
    return path


@pytest.mark.integration
def test_a_file_is_uploaded_once_under_a_name_of_its_source_and_content(settings: Settings, big: Path) -> None:
    heard: list[int] = []
    first = upload(big, ".vcf.gz", settings, "test-centre", heard.append)
    again = upload(big, ".vcf.gz", settings, "test-centre")
    assert (first.was_there, again.was_there, first.uri, first.content) == (False, True, again.uri, again.content)
    assert first.uri == f"s3://{settings.landing_bucket}/test-centre/{first.content.sha256}.vcf.gz"
    assert objects(settings) == {first.uri.split("/", 3)[3]: big.read_bytes()}
    assert sum(heard) == 2 * big.stat().st_size
    assert not unfinished(settings)


@pytest.mark.integration
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_process_that_is_killed_at_any_call_leaves_what_the_next_one_goes_on_with(
    settings: Settings, big: Path, when: str, stride: int, subtests: pytest.Subtests
) -> None:
    environment = os.environ | {
        f"BIOKEEL_{name.upper()}": value
        for name, value in {
            "s3_endpoint": settings.s3_endpoint,
            "s3_access_key": settings.s3_access_key,
            "s3_secret_key": settings.s3_secret_key.get_secret_value(),
        }.items()
    }
    at = 1
    while True:
        content = os.urandom(5 * PART // 2)
        big.write_bytes(content)
        command = [sys.executable, "-c", DYING, str(big), str(at), when]
        ended = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=120)
        with subtests.test(call=at):
            assert ended.returncode in (0, -signal.SIGKILL), ended.stderr
            upload(big, ".vcf.gz", settings, "test-centre")
            assert list(objects(settings).values()) == [content]
            assert not unfinished(settings)
        clear(settings)
        if ended.returncode == 0:
            break
        at += stride
    # Whether it is there, uploads that were begun, a new one, its parts, three parts sent, the end; nobody dies then.
    assert 9 <= at < 9 + stride


@pytest.mark.integration
def test_parts_that_are_there_are_not_sent_again_and_a_damaged_one_is(settings: Settings, big: Path) -> None:
    with big.open("rb") as file:
        content = s3.content_of(file)
    key = f"test-centre/{content.sha256}.vcf.gz"
    client, place = s3.client(settings), {"Bucket": settings.landing_bucket, "Key": key}
    upload_id = client.create_multipart_upload(**place)["UploadId"]
    for number, data in ((1, big.read_bytes()[:PART]), (2, b"x" * PART)):
        client.upload_part(**place, UploadId=upload_id, PartNumber=number, Body=data)
    sent: list[int] = []
    made = s3.client

    def watched(settings: Settings):  # type: ignore[no-untyped-def]
        found = made(settings)
        found.meta.events.register(
            "provide-client-params.s3.UploadPart", lambda params, **_: sent.append(params["PartNumber"])
        )
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(s3, "client", watched)
        upload(big, ".vcf.gz", settings, "test-centre")
    assert sent == [2, 3]
    assert objects(settings) == {key: big.read_bytes()}


@pytest.mark.integration
def test_a_file_that_changes_while_it_is_sent_becomes_no_object(settings: Settings, big: Path) -> None:
    size = big.stat().st_size
    read = 0

    def changing(count: int) -> None:
        nonlocal read
        read += count
        if read == size:
            with big.open("r+b") as file:
                file.seek(PART)
                file.write(b"changed")

    with pytest.raises(LandingError, match="changed while it was sent"):
        upload(big, ".vcf.gz", settings, "test-centre", changing)
    assert not objects(settings)
    assert not unfinished(settings)


@pytest.mark.integration
def test_two_uploads_of_one_file_at_once_make_one_object(settings: Settings, big: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: upload(big, ".vcf.gz", settings, "test-centre"), range(4)))
    assert len({each.uri for each in done}) == 1
    assert list(objects(settings).values()) == [big.read_bytes()]


@pytest.mark.integration
def test_an_object_of_another_size_under_the_name_is_told(settings: Settings, big: Path) -> None:
    with big.open("rb") as file:
        content = s3.content_of(file)
    s3.client(settings).put_object(
        Bucket=settings.landing_bucket, Key=f"test-centre/{content.sha256}.vcf.gz", Body=b"other"
    )
    with pytest.raises(LandingError, match="another size"):
        upload(big, ".vcf.gz", settings, "test-centre")


def test_an_empty_file_and_one_that_is_not_there_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    for name, told in (("empty", "is empty"), ("none", "No such file")):
        with pytest.raises(AdapterError, match=told):
            upload(tmp_path / name, ".vcf.gz", Settings(), "test-centre")


@pytest.mark.parametrize(("size", "part"), [(1, 16 << 20), (160 << 30, 17_179_870), (5 << 40, 549_755_814)])
def test_an_object_has_no_more_parts_than_a_store_takes(size: int, part: int) -> None:
    assert s3.part_bytes(size) == part
    assert -(-size // part) <= 10_000


# -- the command


def test_a_dry_run_says_what_the_file_is_and_names_no_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIOKEEL_SOURCES_DIR", str(tmp_path))
    path = write(tmp_path / "a.vcf.gz", vcf())
    command = ["publish", "genome", str(path), "--source-id", "test-centre", "--dry-run", "--sample"]
    result = CliRunner().invoke(build(), [*command, "KB-1"])
    assert result.exit_code == 0, result.output
    assert "vcf.gz, GRCh38, samples: 1" in result.output
    unseen = CliRunner().invoke(build(), [*command, "-"], input="KB-1\n")
    assert unseen.output == result.output
    assert "KB-1" not in result.output
    assert isinstance(CliRunner().invoke(build(), [*command, "KB-2"]).exception, AdapterError)


def test_a_folder_named_genome_is_still_published_as_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIOKEEL_SOURCES_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "genome").mkdir()
    (tmp_path / "genome" / "a.txt").write_text("nothing")
    result = CliRunner().invoke(build(), ["publish", "genome", "--source-id", "emr", "--dry-run"])
    assert "a.txt" in result.output
