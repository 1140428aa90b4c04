"""S3Proxy, an S3-compatible object store on a folder: its configuration, its command, and when it is ready.

It creates objects atomically and honours `If-None-Match: *`, which is what landing needs; it has no versioning and no
object lock, and its `If-Match` is not atomic, so nothing here relies on these.

It knows no policies, but several back ends in one process, each with the key pair of one user. A user sees the buckets
in its back end's folder and no others, so the rights are made of folders:

| user | the lake bucket, in `data` | the landing bucket, in `landing` | the genome bucket, in `genome` |
| --- | --- | --- | --- |
| research | reads and writes | refused | does not exist |
| operator | reads | refused | does not exist |
| books | reads and writes (it writes below `state/books/` only) | refused | does not exist |
| steward | reads and writes (it writes below `rules/` only) | refused | does not exist |
| source | does not exist (404 to reads, refused to writes) | reads and writes | does not exist |
| vault | does not exist | refused | reads and writes |

It can neither let a user write and not read (sources of one store see each other's files) nor hold rights by prefix,
and what one user has in a bucket no other can have less of. So to read the landing bucket the vault's side is given the
sources' key pair, and nobody reads the genome bucket but who writes it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from biokeel.admin.private import write_private
from biokeel.admin.users import User
from biokeel.errors import StackError, StoreRefused
from biokeel.settings import STEWARD
from biokeel.stack import java
from biokeel.stack.state import HOST, SOURCES, State
from biokeel.stack.supervisor import Program, Supervisor

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from biokeel.settings import Settings

NAME = "objectstore"
REGION = "us-east-1"
HEAP = ("-Xms64m", "-Xmx512m")
LARGEST = 128 << 20
"""Bytes of an object that is written at once. The store holds it in memory to check its signature; without this line it
takes 32 MiB, and books were larger once while their follower caught up with a hundred million events."""
READY_SECONDS = 60.0
PROBE_SECONDS = 0.05
PROBE_KEY = ".biokeel/conditional-put"

LAKE, LANDING, GENOME = "data", "landing", "genome"
"""The folders of the back ends' buckets."""

_PROPERTIES = """\
s3proxy.endpoint=http://{host}:{port}
s3proxy.authorization=aws-v2-or-v4
s3proxy.identity={pair.access}
s3proxy.credential={pair.secret}
s3proxy.v4-max-non-chunked-request-size={largest}
jclouds.provider=filesystem-nio2
jclouds.filesystem.basedir={folder}
jclouds.identity=unused
jclouds.credential=unused
"""
_READ_ONLY = "s3proxy.read-only-blobstore=true\n"
_ONE_BUCKET = "s3proxy.bucket-locator.1={bucket}\n"
"""This back end is for requests of this user about this bucket only, and other users are refused it."""


@dataclass(frozen=True, slots=True)
class BackEnd:
    """What a user may do in a folder: everything, or read; where `landing` is set, for the landing bucket only."""

    user: str
    folder: str
    writes: bool
    landing: bool = False

    @property
    def name(self) -> str:
        """Of its configuration file."""
        return f"{self.user}-{'write' if self.writes else 'read'}.properties"


BACK_ENDS = (
    BackEnd(User.RESEARCH, LAKE, writes=True),
    BackEnd(User.OPERATOR, LAKE, writes=False),
    BackEnd(User.BOOKS, LAKE, writes=True),
    BackEnd(STEWARD, LAKE, writes=True),
    BackEnd(User.VAULT, GENOME, writes=True),
    # A source could make any bucket in its folder, the lake's name too, and write into that in good faith.
    BackEnd(SOURCES, LANDING, writes=False),
    # The last: requests without a signature go there, where nothing of the lake can be reached.
    BackEnd(SOURCES, LANDING, writes=True, landing=True),
)


def endpoint(state: State) -> str:
    """The URL of the store."""
    return f"http://{HOST}:{state.ports.objectstore}"


def prepare(state: State, settings: Settings, folder: Path, class_path: Sequence[Path]) -> Program:
    """Write the configuration and say how to start the store.

    Raises `StackError` where two buckets have one name: one could not have rights of its own.
    """
    if len({settings.lake_bucket, settings.landing_bucket, settings.genome_bucket}) < 3:
        raise StackError(
            "The lake, what sources put down and checked genome files cannot share a bucket.",
            "Set BIOKEEL_LAKE_BUCKET, BIOKEEL_LANDING_BUCKET and BIOKEEL_GENOME_BUCKET to three names.",
        )
    arguments: list[str] = []
    for back_end in BACK_ENDS:
        buckets = folder / back_end.folder
        buckets.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(folder / back_end.name, _properties(back_end, state, settings.landing_bucket, buckets))
        arguments += ("--properties", str(folder / back_end.name))
    command = java.command(class_path, "org.gaul.s3proxy.Main", arguments, (*HEAP, *java.STORE))
    return Program(NAME, command, java.environment() | {"LOG_LEVEL": "warn"})


def _properties(back_end: BackEnd, state: State, landing_bucket: str, folder: Path) -> str:
    pair = state.key_pairs[back_end.user]
    written = _PROPERTIES.format(host=HOST, port=state.ports.objectstore, pair=pair, folder=folder, largest=LARGEST)
    if not back_end.writes:
        written += _READ_ONLY
    if back_end.landing:
        written += _ONE_BUCKET.format(bucket=landing_bucket)
    return written


def client(state: State, user: str) -> S3Client:
    """A boto3 client of the store with the rights of `user`.

    It neither retries nor waits long, for the store is on this machine.
    """
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=endpoint(state),
        region_name=REGION,
        aws_access_key_id=state.key_pairs[user].access,
        aws_secret_access_key=state.key_pairs[user].secret,
        config=Config(
            connect_timeout=2, read_timeout=10, retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}
        ),
    )


def wait_ready(state: State, settings: Settings, supervisor: Supervisor) -> None:
    """Return when the store answers, has the buckets, and was seen to refuse a second conditional PUT.

    Each bucket is made by the user who writes it, and the PUT is of the one who lands. Raises `ProcessDied`,
    `StoreRefused`, or `StackError` after `READY_SECONDS`.
    """
    lands = client(state, User.RESEARCH)
    _wait_answer(lands, supervisor)
    writers = {settings.landing_bucket: client(state, SOURCES), settings.genome_bucket: client(state, User.VAULT)}
    for bucket, writer in {settings.lake_bucket: lands, **writers}.items():
        if bucket not in {present["Name"] for present in writer.list_buckets()["Buckets"]}:
            writer.create_bucket(Bucket=bucket)
    check_conditional_put(lands, settings.lake_bucket)


def _wait_answer(s3: S3Client, supervisor: Supervisor) -> None:
    from botocore.exceptions import BotoCoreError, ClientError

    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            s3.list_buckets()
        except (BotoCoreError, ClientError) as error:
            if supervisor.ended_within(NAME, PROBE_SECONDS):
                raise supervisor.ended_early(NAME) from error
            if time.monotonic() > deadline:
                raise StackError(
                    f"The object store did not answer within {READY_SECONDS:g} s ({type(error).__name__}).",
                    f"See {supervisor.log(NAME)}.",
                ) from error
        else:
            return


def check_conditional_put(s3: S3Client, bucket: str) -> None:
    """Raise `StoreRefused` unless the store refuses a second `PUT` with `If-None-Match: *`: landing relies on it."""
    from botocore.exceptions import ClientError

    s3.delete_object(Bucket=bucket, Key=PROBE_KEY)
    s3.put_object(Bucket=bucket, Key=PROBE_KEY, Body=b"first", IfNoneMatch="*")
    try:
        s3.put_object(Bucket=bucket, Key=PROBE_KEY, Body=b"second", IfNoneMatch="*")
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if status == 412:
            return
        raise StoreRefused(f"The object store answered a conditional PUT with HTTP status {status}.") from error
    raise StoreRefused(
        "The object store took a second PUT with If-None-Match: *, so writers would overwrite each other's commits.",
        "Use a store that honours it (see docs/operations.md).",
    )
