"""Lakes for the conformance tests: in a folder, and in buckets of the real S3-compatible store."""

from __future__ import annotations

import itertools

import pytest

from biokeel.land.lake import Lake
from biokeel.settings import Settings
from tests.signing import SIGNER

_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def store_settings(tmp_path_factory):
    """Settings of a running S3Proxy, the object store of the local stack without the rest of it."""
    from biokeel.admin.users import User
    from biokeel.stack import artifacts, objectstore, state
    from biokeel.stack.processes import Ledger
    from biokeel.stack.supervisor import Supervisor

    folder = tmp_path_factory.mktemp("store")
    settings = Settings.load(state_dir=folder)
    paths = artifacts.class_paths(artifacts.read_lock(), settings.cache_dir)
    (folder / "logs").mkdir()
    made = state.load_or_create(folder / "state.json")
    supervisor = Supervisor(folder / "logs", Ledger(folder / "processes.json"), lambda _text: None)
    try:
        supervisor.start(objectstore.prepare(made, settings, folder / "objects", paths[artifacts.OBJECTSTORE]))
        objectstore.wait_ready(made, settings, supervisor)
        pair = made.key_pairs[User.RESEARCH]
        yield settings.model_copy(
            update={
                "block_public_keys": SIGNER.public,
                "s3_endpoint": objectstore.endpoint(made),
                "s3_access_key": pair.access,
                "s3_secret_key": type(settings.s3_secret_key)(pair.secret),
            }
        )
    finally:
        supervisor.close()


@pytest.fixture
def new_bucket(store_settings):
    """A function that makes a lake in a bucket of its own, and the settings that lead there."""

    def make():
        import boto3

        name = f"lake-{next(_NUMBERS)}"
        client = boto3.client(
            "s3",
            endpoint_url=store_settings.s3_endpoint,
            region_name=store_settings.s3_region,
            aws_access_key_id=store_settings.s3_access_key,
            aws_secret_access_key=store_settings.s3_secret_key.get_secret_value(),
        )
        client.create_bucket(Bucket=name)
        settings = store_settings.model_copy(update={"lake_bucket": name})
        return Lake.of(settings), settings

    return make


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.integration)])
def lakes(request, tmp_path):
    """A function that makes empty lakes on the store in question."""
    if request.param == "s3":
        new_bucket = request.getfixturevalue("new_bucket")
        return lambda: new_bucket()[0]

    def make():
        folder = tmp_path / f"lake-{next(_NUMBERS)}"
        folder.mkdir()
        return Lake.local(folder)

    return make
