"""Plain objects in the store: linking state, claim checks, and the check that the store keeps its word.

The client's errors become `StoreUnavailable` and `StoreRefused` (`biokeel.s3`).
"""

from __future__ import annotations

import os
import uuid
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from biokeel import s3
from biokeel.errors import LandingError, StoreRefused

if TYPE_CHECKING:
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    from biokeel.settings import Settings


class Objects(Protocol):
    """Named byte strings. Keys are relative, parts divided by `/`.

    A `put` is whole or not at all: a process that dies in it leaves the old object or the new one.
    """

    def put(self, key: str, data: bytes) -> None:
        """Write the object, replacing one of that name."""
        ...

    def put_new(self, key: str, data: bytes) -> bool:
        """Write the object only if there is none of that name; whether it was written."""
        ...

    def get(self, key: str) -> bytes:
        """The object's bytes. Raises `LandingError` where there is none."""
        ...

    def find(self, key: str) -> bytes | None:
        """The object's bytes, None where there is none."""
        ...

    def sizes(self, prefix: str) -> dict[str, int]:
        """Every key that begins with `prefix`, sorted, with the size of its object in bytes."""
        ...

    def keys(self, prefix: str) -> list[str]:
        """Every key that begins with `prefix`, sorted."""
        return list(self.sizes(prefix))

    def delete(self, key: str) -> None:
        """Delete the object; nothing happens where there is none."""
        ...


class S3Objects(Objects):
    """`Objects` in a bucket of an S3-compatible store. Safe to use from several threads."""

    def __init__(self, settings: Settings, bucket: str) -> None:
        self._settings = settings
        self._bucket = bucket

    @cached_property
    def _client(self) -> S3Client:
        return s3.client(self._settings)

    def put(self, key: str, data: bytes) -> None:
        """See `Objects`."""
        with s3.mapped(self._bucket, key):
            self._client.put_object(Bucket=self._bucket, Key=key, Body=data)

    def put_new(self, key: str, data: bytes) -> bool:
        """See `Objects`. An answer lost after the write is retried, and then says False."""
        with s3.mapped(self._bucket, key), s3.answers(409, 412) as refused:
            self._client.put_object(Bucket=self._bucket, Key=key, Body=data, IfNoneMatch="*")
        return not refused

    def get(self, key: str) -> bytes:
        """See `Objects`."""
        with s3.mapped(self._bucket, key):
            return self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()

    def find(self, key: str) -> bytes | None:
        """See `Objects`."""
        with s3.mapped(self._bucket, key):
            try:
                return self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
            except self._client.exceptions.NoSuchKey:
                return None

    def sizes(self, prefix: str) -> dict[str, int]:
        """See `Objects`."""
        with s3.mapped(self._bucket, prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
            return dict(sorted((found["Key"], found["Size"]) for page in pages for found in page.get("Contents", ())))

    def delete(self, key: str) -> None:
        """See `Objects`."""
        with s3.mapped(self._bucket, key):
            self._client.delete_object(Bucket=self._bucket, Key=key)


class DirectoryObjects(Objects):
    """`Objects` as files below a folder; whole or not at all, as the file system renames and links."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, key: str, data: bytes) -> None:
        """See `Objects`."""
        self._aside(key, data).replace(self._folder / key)

    def put_new(self, key: str, data: bytes) -> bool:
        """See `Objects`."""
        aside = self._aside(key, data)
        try:
            os.link(aside, self._folder / key)
        except FileExistsError:
            return False
        finally:
            aside.unlink()
        return True

    def get(self, key: str) -> bytes:
        """See `Objects`."""
        try:
            return (self._folder / key).read_bytes()
        except FileNotFoundError:
            raise LandingError(f"There is no object {key}.") from None

    def find(self, key: str) -> bytes | None:
        """See `Objects`."""
        try:
            return (self._folder / key).read_bytes()
        except FileNotFoundError:
            return None

    def sizes(self, prefix: str) -> dict[str, int]:
        """See `Objects`."""
        start = self._folder / prefix.rpartition("/")[0]
        files = {path.relative_to(self._folder).as_posix(): path for path in start.rglob("*") if path.is_file()}
        return {key: files[key].stat().st_size for key in sorted(files) if key.startswith(prefix)}

    def delete(self, key: str) -> None:
        """See `Objects`."""
        (self._folder / key).unlink(missing_ok=True)

    def _aside(self, key: str, data: bytes) -> Path:
        path = self._folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        aside.write_bytes(data)
        return aside


def check_store(objects: Objects) -> None:
    """Make sure that of two conditional creates of one object the second is refused; leaves nothing behind.

    Two writers that both believe to have written the same Delta version lose a commit without a word, so every
    worker that lands calls this first. Raises `StoreRefused`.
    """
    key = f"state/conditional-put/{uuid.uuid4().hex}"
    try:
        objects.put_new(key, b"first")
        if objects.put_new(key, b"second") or objects.get(key) != b"first":
            raise StoreRefused(
                "The object store does not honour If-None-Match: two writers could both create the same commit.",
                "Use a store that does (Amazon S3, MinIO, Ceph, versitygw, S3Proxy 2.6 or newer).",
            )
    finally:
        objects.delete(key)
