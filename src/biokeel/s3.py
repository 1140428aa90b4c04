"""The client of an S3-compatible store, and its errors as ours. botocore stops here.

botocore is what boto3 stands on. Its client is the same, without boto3's transfers of files, which nobody wants and
which take a tenth of a second to import.

Whoever speaks to a store has rights of its own in it: the settings say which.
"""

from __future__ import annotations

import base64
from contextlib import contextmanager
from hashlib import md5, sha256
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple, cast

from biokeel.errors import LandingError, StoreRefused, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

    from biokeel.settings import Settings

PART_BYTES: Final = 16 << 20
"""Of an object that is written in parts; as much of it is in memory."""
_MOST_PARTS: Final = 10_000
"""S3's limit."""

_PASSING: Final = frozenset({"", "BadDigest", "IncompleteBody", "RequestTimeout"})
"""Answers of status 400 that are about this one transfer. So is taken one whose reason is its number: it is none of
S3's, but of the server below it (S3Proxy's, for whatever it did not expect)."""


class Content(NamedTuple):
    """What a file holds: its size in bytes, and its SHA-256 as 64 hexadecimal digits."""

    size: int
    sha256: str


def content_of(file: BinaryIO, read: Callable[[int], None] = lambda _: None) -> Content:
    """The content of `file` from where it stands to its end; `read` hears how many bytes were read each time."""
    digest, size = sha256(), 0
    while some := file.read(PART_BYTES):
        digest.update(some)
        size += len(some)
        read(len(some))
    return Content(size, digest.hexdigest())


def client(settings: Settings) -> S3Client:
    """A client with the way in that `settings` hold. Safe to use from several threads."""
    from botocore.config import Config
    from botocore.session import get_session

    made = get_session().create_client(
        "s3",
        endpoint_url=settings.s3_endpoint,
        region_name=settings.s3_region,
        aws_access_key_id=settings.s3_access_key,
        aws_secret_access_key=settings.s3_secret_key.get_secret_value(),
        config=Config(
            s3={"addressing_style": "path"},
            retries={"max_attempts": 5, "mode": "standard"},
            connect_timeout=5,
            read_timeout=60,
            # Not every S3-compatible store knows the checksum trailers that newer clients send unasked.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )
    return cast("S3Client", made)


def part_bytes(size: int) -> int:
    """Bytes of each part, but the last, of an object of `size` bytes: the same whenever one goes on with it."""
    return max(PART_BYTES, -(-size // _MOST_PARTS))


@contextmanager
def mapped(bucket: str, key: str) -> Iterator[None]:
    """Raise errors of a call about `key` as `LandingError` (there is none), `StoreRefused`, `StoreUnavailable`."""
    from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

    try:
        yield
    except ClientError as error:
        status, code = status_of(error), str(error.response.get("Error", {}).get("Code", ""))
        what = f"The object store answered {status} ({code or 'without a reason'}) for {key} in bucket {bucket}."
        if status == 404:
            raise LandingError(what, "The object or the bucket does not exist.") from error
        if status in {401, 403, 405, 501} or (status == 400 and code not in _PASSING and not code.isdigit()):
            raise StoreRefused(what, "Check BIOKEEL_S3_ACCESS_KEY, its rights, and the bucket.") from error
        raise StoreUnavailable(what) from error
    except (BotoCoreError, HTTPClientError) as error:
        raise StoreUnavailable(
            f"The object store does not answer ({type(error).__name__}).", "Check BIOKEEL_S3_ENDPOINT."
        ) from error


@contextmanager
def answers(*statuses: int) -> Iterator[list[int]]:
    """Take an answer with one of `statuses` for no error: it is in the list that this gives."""
    from botocore.exceptions import ClientError

    found: list[int] = []
    try:
        yield found
    except ClientError as error:
        if status_of(error) not in statuses:
            raise
        found.append(status_of(error))


def status_of(error: Exception) -> int:
    """The HTTP status of an error of the client, 0 where it has none."""
    response = getattr(error, "response", {})
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


class Stored(NamedTuple):
    """An object, or parts of one that was not finished (`upload`): its key, when it was written, its size in bytes."""

    key: str
    at: datetime
    size: int
    upload: str = ""


class Bucket:
    """The objects of one bucket, by a client with the rights of `settings`."""

    def __init__(self, settings: Settings, name: str) -> None:
        self.name = name
        self._client = client(settings)

    def size_of(self, key: str) -> int | None:
        """The size of an object in bytes, null where there is none."""
        with mapped(self.name, key), answers(404):
            return self._client.head_object(Bucket=self.name, Key=key)["ContentLength"]
        return None

    def fetch(self, key: str, file: BinaryIO) -> None:
        """Write an object's bytes to `file`, a piece at a time. Raises `LandingError` where there is none."""
        with mapped(self.name, key):
            file.writelines(self._client.get_object(Bucket=self.name, Key=key)["Body"].iter_chunks(1 << 20))

    def delete(self, key: str) -> None:
        """Delete an object; nothing happens where there is none."""
        with mapped(self.name, key):
            self._client.delete_object(Bucket=self.name, Key=key)

    def stored(self) -> Iterator[Stored]:
        """Every object, then every upload that was begun and neither finished nor given up (its size is not said)."""
        with mapped(self.name, ""):
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self.name):
                for each in page.get("Contents", ()):
                    yield Stored(each["Key"], each["LastModified"], each["Size"])
            for uploads in self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self.name):
                for begun in uploads.get("Uploads", ()):
                    yield Stored(begun["Key"], begun["Initiated"], 0, begun["UploadId"])

    def give_up(self, unfinished: Stored) -> None:
        """Delete the parts of an upload; who is just going on with it sends them again."""
        with mapped(self.name, unfinished.key), answers(404):
            self._client.abort_multipart_upload(Bucket=self.name, Key=unfinished.key, UploadId=unfinished.upload)

    def put_file_new(
        self, key: str, file: BinaryIO, content: Content, sent: Callable[[int], None] = lambda _: None
    ) -> bool:
        """Write `file` in parts as the object `key`, if there is none; whether it was written now.

        `key` names the content, so that whoever writes it writes the same. `file` stands at its beginning and holds
        `content`; that is seen again while it is read, before there is an object. A process that dies in here has
        written the object or leaves parts of it; the next call finds these in the store, and sends what is missing.
        `sent` hears how many bytes are there, part by part.

        Raises `LandingError` where the file is not `content` any more, or another object has the name; else as
        `mapped`.
        """
        if (there := self.size_of(key)) is not None:
            return self._is_it(there, key, content)
        with mapped(self.name, key):
            upload = (
                self._unfinished(key) or self._client.create_multipart_upload(Bucket=self.name, Key=key)["UploadId"]
            )
            # 404: somebody has finished this very upload; 409, 412: or another one of the same name.
            with answers(404, 409, 412) as refused:
                parts, read = self._put_parts(key, upload, file, content.size, sent)
                if read == content:
                    self._client.complete_multipart_upload(
                        Bucket=self.name, Key=key, UploadId=upload, MultipartUpload={"Parts": parts}, IfNoneMatch="*"
                    )
                    return True
            with answers(404):
                self._client.abort_multipart_upload(Bucket=self.name, Key=key, UploadId=upload)
        if not refused:
            raise LandingError("A file was changed while it was sent.", "Let who writes it finish, and send it again.")
        if (there := self.size_of(key)) is not None:
            return self._is_it(there, key, content)
        raise StoreUnavailable(f"The object store answered {refused[0]} for parts of {key}.", "Try again.")

    def _is_it(self, size: int, key: str, content: Content) -> bool:
        if size != content.size:
            raise LandingError(
                f"The object {key} in bucket {self.name} has another size than its content.", "Delete it."
            )
        return False

    def _unfinished(self, key: str) -> str | None:
        """The newest upload of `key` that was begun and neither finished nor given up."""
        pages = self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self.name, Prefix=key)
        found = [each for page in pages for each in page.get("Uploads", ()) if each["Key"] == key]
        return max(found, key=lambda each: each["Initiated"])["UploadId"] if found else None

    def _put_parts(
        self, key: str, upload: str, file: BinaryIO, size: int, sent: Callable[[int], None]
    ) -> tuple[list[CompletedPartTypeDef], Content]:
        """Send the parts that are not there yet; the parts, and what was read of the file."""
        pages = self._client.get_paginator("list_parts").paginate(Bucket=self.name, Key=key, UploadId=upload)
        # A part's tag is its MD5, but where the store encrypts under keys of its own: there all are sent again.
        there = {part["PartNumber"]: part["ETag"] for page in pages for part in page.get("Parts", ())}
        whole, read = sha256(), 0
        parts: list[CompletedPartTypeDef] = []
        while some := file.read(part_bytes(size)):
            number = len(parts) + 1
            digest = md5(some, usedforsecurity=False)
            whole.update(some)
            read += len(some)
            tag = f'"{digest.hexdigest()}"'
            if there.get(number) != tag:
                check = base64.b64encode(digest.digest()).decode()
                tag = self._client.upload_part(
                    Bucket=self.name, Key=key, UploadId=upload, PartNumber=number, Body=some, ContentMD5=check
                )["ETag"]
            parts.append({"PartNumber": number, "ETag": tag})
            sent(len(some))
        return parts, Content(read, whole.hexdigest())
