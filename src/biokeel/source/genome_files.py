"""A variant file of a source: what its header says, and the claim check that is published once it is uploaded."""

from __future__ import annotations

import gzip
import time
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from biokeel.contracts.variants import BUILDS, READY, read_start
from biokeel.errors import AdapterError, NotAVariantFile
from biokeel.source.ids import EventIds
from biokeel.source.times import Moment

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from biokeel.contracts.variants import VariantHeader
    from biokeel.source.adapters.base import Record, Subject
    from biokeel.source.files import Source
    from biokeel.source.uploads import Uploaded

EARLIEST: Final = 1_230_768_000_000
"""2009: before any VCF, which was made for the 1000 Genomes Project's pilot. Milliseconds since 1970."""

_GZIP: Final = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class VariantFile:
    """A file as its header describes it. `kind` is one of the schema's formats."""

    path: Path
    kind: str
    header: VariantHeader
    build: str
    completed: Moment


def look_at(path: Path, build: str, samples: Sequence[str], completed: Moment | None = None) -> VariantFile:
    """What is to be told of `path`, before anything of it is sent.

    `build` and `samples` are what the source says of it; an empty `build` is what the contigs show. `completed`: when
    the file was complete, else the time of its last change. Raises `AdapterError` where the file is no variant file,
    or not the one that is spoken of.
    """
    kind, header = _read(path)
    if sorted(header.samples) != sorted(samples):
        raise AdapterError(f"The samples of {path.name} are not those that were named.", "Name each with --sample.")
    shown = header.build()
    if shown is None:
        raise AdapterError(
            f"{path.name} does not say on which reference genome it stands: the contigs of its header have no length,"
            " or those of several.",
            f"Its chromosomes must be those of one of {', '.join(BUILDS)}.",
        )
    if build not in ("", shown):
        raise AdapterError(f"{path.name} stands on {shown} by the lengths of its contigs, and not on {build}.")
    at = completed or Moment(int(path.stat().st_mtime) * 1000, None)
    if not EARLIEST <= at.at <= time.time() * 1000:
        raise AdapterError(f"{path.name} cannot have been complete at that time.", "Name --occurred-at.")
    return VariantFile(path, kind, header, shown, at)


def claim_check(file: VariantFile, uploaded: Uploaded, subject: Subject, source: Source) -> Record:
    """The event that says where the file lies. Its id is of the content and of whose it is."""
    content = uploaded.content
    key = f"{content.sha256}\x1f{subject.scheme}\x1f{subject.value}"
    return {
        "event_id": EventIds(source.source_id, source.key).of(READY, key),
        "source_id": source.source_id,
        "subject_scheme": subject.scheme,
        "subject_id": subject.value,
        "occurred_at": file.completed.at,
        "occurred_offset_minutes": file.completed.offset_minutes,
        "occurred_precision": file.completed.precision,
        "recorded_at": file.completed.at,
        "uri": uploaded.uri,
        "size_bytes": content.size,
        "sha256": content.sha256,
        "file_format": file.kind,
        "reference_build": file.build,
        "sample_names": list(file.header.samples),
        "sample_count": len(file.header.samples),
        "status": "final",
    }


def _read(path: Path) -> tuple[str, VariantHeader]:
    """Format and header of `path`. Raises `AdapterError`."""
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == _GZIP
            raw.seek(0)
            unpacked = gzip.GzipFile(fileobj=raw) if packed else raw
            is_bcf, header = read_start(cast("BinaryIO", unpacked))
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise AdapterError(f"{path.name} is no whole gzip file.") from None
    except OSError as error:
        raise AdapterError(f"Cannot read {path.name}: {error.strerror}.") from None
    except NotAVariantFile as error:
        raise AdapterError(f"{path.name} is no variant file. {error}") from None
    plain = "gvcf" if header.is_gvcf else "vcf"
    return "bcf" if is_bcf else plain + ".gz" * packed, header
