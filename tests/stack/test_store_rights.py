"""Who may do what in the object store: each right and each refusal is tried on the real one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from biokeel.admin.users import User
from biokeel.settings import STEWARD, Settings
from biokeel.stack import objectstore
from biokeel.stack.stack import Stack
from biokeel.stack.state import SOURCES

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.integration

LAKE, LANDING, GENOME = Settings().lake_bucket, Settings().landing_bucket, Settings().genome_bucket
REFUSED, NO_SUCH, READ_ONLY = 403, 404, 501
THERE = "there"
ACTIONS = {
    "list": lambda s3, bucket: s3.list_objects_v2(Bucket=bucket),
    "get": lambda s3, bucket: s3.get_object(Bucket=bucket, Key=THERE),
    "put": lambda s3, bucket: s3.put_object(Bucket=bucket, Key="new", Body=b"new"),
    "put only new": lambda s3, bucket: s3.put_object(Bucket=bucket, Key=f"once-{id(s3)}", Body=b"", IfNoneMatch="*"),
    "delete": lambda s3, bucket: s3.delete_object(Bucket=bucket, Key="new"),
    "delete several": lambda s3, bucket: s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "new"}]}),
    "upload in parts": lambda s3, bucket: s3.create_multipart_upload(Bucket=bucket, Key="parts"),
    "open to all": lambda s3, bucket: s3.put_object_acl(Bucket=bucket, Key="opened", ACL="public-read"),
}
READS = {"list", "get"}
ALL = dict.fromkeys(ACTIONS)
ELSEWHERE = {action: None if action.startswith("delete") else NO_SUCH for action in ACTIONS}
"""Of a bucket that the user's back end does not have: to delete from it is no error, and does nothing."""
RIGHTS = {
    (User.RESEARCH, LAKE): ALL,
    (User.RESEARCH, LANDING): dict.fromkeys(ACTIONS, REFUSED),
    (User.OPERATOR, LAKE): {action: None if action in READS else READ_ONLY for action in ACTIONS},
    (User.OPERATOR, LANDING): dict.fromkeys(ACTIONS, REFUSED),
    (STEWARD, LAKE): ALL,
    (STEWARD, LANDING): dict.fromkeys(ACTIONS, REFUSED),
    (STEWARD, GENOME): ELSEWHERE,
    (SOURCES, LAKE): {action: NO_SUCH if action in READS else READ_ONLY for action in ACTIONS},
    (SOURCES, LANDING): ALL,
    (User.VAULT, GENOME): ALL,
    (User.VAULT, LANDING): dict.fromkeys(ACTIONS, REFUSED),
    (User.VAULT, LAKE): ELSEWHERE,
    (User.RESEARCH, GENOME): ELSEWHERE,
    (SOURCES, GENOME): {action: NO_SUCH if action in READS else READ_ONLY for action in ACTIONS},
    (User.OPERATOR, GENOME): {action: NO_SUCH if action in READS else READ_ONLY for action in ACTIONS},
}
"""The status with which each action is refused; None: it is done."""


@pytest.fixture(scope="module", autouse=True)
def objects(stack: Stack) -> Iterator[None]:
    """An object of each key in both buckets, put there by those who may."""
    places = [(objectstore.client(stack.state, User.RESEARCH), LAKE)]
    places.append((objectstore.client(stack.state, SOURCES), LANDING))
    places.append((objectstore.client(stack.state, User.VAULT), GENOME))
    for s3, bucket in places:
        for key in (THERE, "opened"):
            s3.put_object(Bucket=bucket, Key=key, Body=b"there")
    yield
    for s3, bucket in places:
        for found in s3.list_objects_v2(Bucket=bucket)["Contents"]:
            s3.delete_object(Bucket=bucket, Key=found["Key"])


def status(action, s3: S3Client, *arguments) -> int | None:
    """The HTTP status with which the store refuses, None where it does not."""
    try:
        action(s3, *arguments)
    except ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"]
    return None


@pytest.mark.parametrize(("user", "bucket"), RIGHTS, ids=str)
def test_each_key_pair_does_in_each_bucket_what_its_side_may_and_nothing_else(stack: Stack, user, bucket) -> None:
    s3 = objectstore.client(stack.state, user)
    assert {name: status(action, s3, bucket) for name, action in ACTIONS.items()} == RIGHTS[user, bucket]


@pytest.mark.parametrize(
    ("user", "seen"), [(User.RESEARCH, LAKE), (User.OPERATOR, LAKE), (SOURCES, LANDING), (User.VAULT, GENOME)]
)
def test_each_key_pair_sees_one_bucket_only(stack: Stack, user, seen) -> None:
    assert [bucket["Name"] for bucket in objectstore.client(stack.state, user).list_buckets()["Buckets"]] == [seen]


@pytest.mark.parametrize("user", [User.OPERATOR, SOURCES])
@pytest.mark.parametrize("name", [LAKE, "another"])
def test_neither_a_source_nor_an_operator_can_make_a_bucket(stack: Stack, user, name) -> None:
    assert status(lambda s3: s3.create_bucket(Bucket=name), objectstore.client(stack.state, user)) is not None


def test_no_copy_carries_an_object_out_of_a_bucket_that_its_user_cannot_read(stack: Stack) -> None:
    for user, source, target in ((SOURCES, LAKE, LANDING), (User.RESEARCH, LANDING, LAKE)):
        s3 = objectstore.client(stack.state, user)
        carried = {"CopySource": f"{source}/{THERE}"}
        assert status(lambda s3, to, how: s3.copy_object(Bucket=to, Key="c", **how), s3, target, carried) in {403, 404}


@pytest.mark.parametrize("key", [f"../../data/{LAKE}/{THERE}", f"/../../data/{LAKE}/{THERE}"])
def test_no_key_leads_out_of_the_landing_bucket(stack: Stack, key) -> None:
    s3 = objectstore.client(stack.state, SOURCES)
    assert status(lambda s3: s3.get_object(Bucket=LANDING, Key=key), s3) in {400, 404}
    assert status(lambda s3: s3.put_object(Bucket=LANDING, Key=key, Body=b"evil"), s3) == 400
    lake = stack.state_dir / "objects" / "data" / LAKE
    assert (lake / THERE).read_bytes() == b"there"


def test_a_request_without_a_signature_sees_nothing_of_the_lake_not_even_what_its_writer_opened_to_all(stack) -> None:
    import httpx

    objectstore.client(stack.state, User.RESEARCH).put_object_acl(Bucket=LAKE, Key="opened", ACL="public-read")
    at = objectstore.endpoint(stack.state)
    for path in ("/", f"/{LAKE}", f"/{LAKE}/{THERE}", f"/{LAKE}/opened"):
        assert httpx.get(at + path).status_code in {403, 404}, path


def test_the_vaults_side_reads_what_sources_put_down_and_has_the_genome_bucket_to_itself(stack: Stack) -> None:
    settings = stack.settings(User.VAULT)
    assert (settings.s3_access_key, settings.landing_access_key) == (
        stack.state.key_pairs[User.VAULT].access,
        stack.state.key_pairs[SOURCES].access,
    )
    assert not any(stack.settings(user).landing_access_key for user in (User.RESEARCH, User.OPERATOR, User.BOOKS))


def test_an_object_of_a_hundred_megabytes_is_written_at_once(stack) -> None:
    client = objectstore.client(stack.state, User.RESEARCH)
    bucket = stack.settings(User.RESEARCH).lake_bucket
    client.put_object(Bucket=bucket, Key="test/large", Body=bytes(100 << 20), IfNoneMatch="*")
    assert client.head_object(Bucket=bucket, Key="test/large")["ContentLength"] == 100 << 20
    client.delete_object(Bucket=bucket, Key="test/large")
