"""A wall that waits for files, a checker, and buckets in a folder: what is written there outlives who wrote it."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from biokeel.batch import At
from biokeel.contracts.variants import READY
from biokeel.errors import LandingError
from biokeel.files.check import Checker
from biokeel.pseudonymise.wall import Wall
from biokeel.s3 import Content, Stored, content_of
from tests.pseudonymise.conftest import REGISTER, World, origin
from tests.variant_files import vcf, write

LANDING = "biokeel-landing"
SAMPLE = "KB-12345"


class FolderBucket:
    """What `Checker` needs of `biokeel.s3.Bucket`."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.folder = folder / name
        self.folder.mkdir(exist_ok=True)

    def size_of(self, key: str) -> int | None:
        path = self.folder / key
        return path.stat().st_size if path.exists() else None

    def fetch(self, key: str, file: BinaryIO) -> None:
        try:
            file.write((self.folder / key).read_bytes())
        except FileNotFoundError:
            raise LandingError("none") from None

    def put_file_new(self, key: str, file: BinaryIO, content: Content) -> bool:
        assert content_of(file) == content
        file.seek(0)
        path = self.folder / key
        path.parent.mkdir(exist_ok=True)
        if path.exists():
            assert path.read_bytes() == file.read(), "one name has one content"
            return False
        aside = path.with_name(f".{os.getpid()}")
        aside.write_bytes(file.read())
        aside.rename(path)
        return True

    def stored(self) -> Iterator[Stored]:
        for key in self.keys():
            found = (self.folder / key).stat()
            yield Stored(key, dt.datetime.fromtimestamp(found.st_mtime, dt.UTC), found.st_size)

    def delete(self, key: str) -> None:
        (self.folder / key).unlink(missing_ok=True)

    def keys(self) -> list[str]:
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())


class Files:
    """A world whose wall waits for files."""

    def __init__(self, world: World) -> None:
        self.world = world
        world.landing = LANDING
        self.landing, self.checked = FolderBucket(world.folder, LANDING), FolderBucket(world.folder, "biokeel-genome")

    def wall(self) -> Wall:
        return self.world.wall()

    def close(self) -> None:
        self.world.close()

    def checker(self, wall: Wall) -> Checker:
        buckets = self.landing, self.checked
        return Checker(wall._vault, self.world.codec, lambda: REGISTER, *buckets, self.world.folder)

    def put(
        self, text: str = vcf((SAMPLE,)), name: str = "a.vcf.gz", source: str = "hospital-one"
    ) -> dict[str, object]:
        """Put a file down; the fields of the event that claims it."""
        path = self.landing.folder / source / name
        path.parent.mkdir(exist_ok=True)
        write(path, text)
        with path.open("rb") as file:
            content = content_of(file)
        return {
            "uri": f"s3://{LANDING}/{source}/{name}",
            "size_bytes": content.size,
            "sha256": content.sha256,
            "file_format": name.partition(".")[2],
            "reference_build": "GRCh38",
            "sample_names": [SAMPLE],
            "sample_count": 1,
            "status": "final",
        }

    def claim(self, *rows: dict[str, object], subject: str = SAMPLE, partition: int = 0):
        return self.world.batch(READY, [{"subject_id": subject, **row} for row in rows], partition)

    def check(self, wall: Wall) -> list[object]:
        """Check all that waits; the verdicts."""
        checker = self.checker(wall)
        return [checker.check(event, at) for event, at in wall._vault.waits_for_files(100)]

    def books(self, wall: Wall) -> list[tuple[int, str, str | None]]:
        return wall._vault.books(READY, origin(0)).rows()

    def release(self, wall: Wall, emit=lambda _: None) -> list[dict[str, object]]:
        """What goes on of what waited, marked as the worker marks it."""
        got: list[dict[str, object]] = []
        while (batch := wall.releases(READY, origin(0), 2).batch) is not None:
            for row in batch.frame.iter_rows(named=True):
                got.append(row)
                emit((row["stream"], row["raw_offset"], row["first_offset"], row["sha256"], row["participant"]))
            wall.released(READY, origin(0), int(batch.frame["raw_offset"].max()))
        return got


def at(offset: int) -> At:
    return At("hospital-one", 0, offset)
