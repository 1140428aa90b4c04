"""Big files of a source on their way into the landing bucket: whole or not at all, once, and to be gone on with.

An object is named by its source and its content, `<source>/<sha256><ending>`: nothing of a person, and the same file
is the same object. How far an upload is stands in the store, not in a file beside it
(`biokeel.s3.Bucket.put_file_new`).

| the process dies | what the next one finds | so |
| --- | --- | --- |
| while it reads the file for its hash | nothing | it reads again |
| between two parts | the parts | it sends the others |
| after the last part, before the object is there | all parts | it finishes the upload |
| after that, before the event is published | the object | it publishes the event |
| after the event is in Kafka | both | it publishes the event again, with the same id: a repeat |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from biokeel import s3
from biokeel.errors import AdapterError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from biokeel.s3 import Content
    from biokeel.settings import Settings


class Uploaded(NamedTuple):
    """An object in the landing bucket. `was_there`: nothing had to be sent."""

    uri: str
    content: Content
    was_there: bool


def upload(
    path: Path, ending: str, settings: Settings, source_id: str, on: Callable[[int], None] = lambda _: None
) -> Uploaded:
    """Bring the file `path` into the landing bucket, under a name that ends in `ending` (".vcf.gz").

    `on` hears bytes, twice as many as the file has: it is read for its hash, and to be sent. Raises `AdapterError`
    where it cannot be read, and what `biokeel.s3.Bucket.put_file_new` raises.
    """
    try:
        with path.open("rb") as file:
            content = s3.content_of(file, on)
            if not content.size:
                raise AdapterError(f"{path.name} is empty.")
            file.seek(0)
            key = f"{source_id}/{content.sha256}{ending}"
            new = s3.Bucket(settings, settings.landing_bucket).put_file_new(key, file, content, on)
    except OSError as error:
        raise AdapterError(f"Cannot read {path.name}: {error.strerror}.") from None
    return Uploaded(f"s3://{settings.landing_bucket}/{key}", content, not new)
