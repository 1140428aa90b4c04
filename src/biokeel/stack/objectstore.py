"""S3Proxy, an S3-compatible object store on a folder: its configuration, its command, and when it is ready.

It creates objects atomically and honours `If-None-Match: *`, which is what landing needs; it has no versioning and no
object lock, and its `If-Match` is not atomic, so nothing here relies on these.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from biokeel.errors import StackError, StoreRefused
from biokeel.stack import java
from biokeel.stack.state import HOST, State, write_private
from biokeel.stack.supervisor import Program, Supervisor

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

NAME = "objectstore"
REGION = "us-east-1"
HEAP = ("-Xms64m", "-Xmx256m")
READY_SECONDS = 60.0
PROBE_SECONDS = 0.05
PROBE_KEY = ".biokeel/conditional-put"

_PROPERTIES = """\
s3proxy.endpoint=http://{host}:{port}
s3proxy.authorization=aws-v2-or-v4
s3proxy.identity={access_key}
s3proxy.credential={secret_key}
jclouds.provider=filesystem-nio2
jclouds.filesystem.basedir={data}
jclouds.identity=unused
jclouds.credential=unused
"""


def endpoint(state: State) -> str:
    """The URL of the store."""
    return f"http://{HOST}:{state.ports.objectstore}"


def prepare(state: State, folder: Path, class_path: Sequence[Path]) -> Program:
    """Write the configuration and say how to start the store."""
    data = folder / "data"
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    properties = folder / "s3proxy.properties"
    write_private(
        properties,
        _PROPERTIES.format(
            host=HOST,
            port=state.ports.objectstore,
            access_key=state.access_key,
            secret_key=state.secret_key,
            data=data,
        ),
    )
    command = java.command(class_path, "org.gaul.s3proxy.Main", ("--properties", str(properties)), (*HEAP, *java.STORE))
    return Program(NAME, command, java.environment() | {"LOG_LEVEL": "warn"})


def client(state: State) -> S3Client:
    """A boto3 client of the store; it neither retries nor waits long, for the store is on this machine."""
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=endpoint(state),
        region_name=REGION,
        aws_access_key_id=state.access_key,
        aws_secret_access_key=state.secret_key,
        config=Config(
            connect_timeout=2, read_timeout=10, retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}
        ),
    )


def wait_ready(state: State, supervisor: Supervisor, buckets: Sequence[str]) -> None:
    """Return when the store answers, has the buckets, and was seen to refuse a second conditional PUT.

    Raises `ProcessDied`, `StoreRefused`, or `StackError` after `READY_SECONDS`.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    s3 = client(state)
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            present = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
            break
        except (BotoCoreError, ClientError) as error:
            if supervisor.ended_within(NAME, PROBE_SECONDS):
                raise supervisor.ended_early(NAME) from error
            if time.monotonic() > deadline:
                raise StackError(
                    f"The object store did not answer within {READY_SECONDS:g} s ({type(error).__name__}).",
                    f"See {supervisor.log(NAME)}.",
                ) from error
    for bucket in buckets:
        if bucket not in present:
            s3.create_bucket(Bucket=bucket)
    check_conditional_put(s3, buckets[0])


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
