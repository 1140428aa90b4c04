"""How fast a source's own files go into Kafka: `biokeel publish` on FHIR bundles, without the command around it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.bundles import EVENTS, write_bundles
from bench.end_to_end import BenchError
from bench.registers import CLINIC_ID
from biokeel.contracts.catalogue import DirectoryCatalogue
from biokeel.source.client import Publisher
from biokeel.source.files import Source, publish_files

if TYPE_CHECKING:
    from pathlib import Path

    from biokeel.stack.stack import Stack


@dataclass(frozen=True, slots=True)
class PublishFigures:
    """`files` of `megabytes` (10^6 bytes) in all, from reading the first to Kafka's last acknowledgement."""

    files: int
    megabytes: float
    events: int
    seconds: float
    cpu_seconds: float


def run_publish(stack: Stack, folder: Path, people: int) -> PublishFigures:
    """Publish a bundle for each of `people`, while no worker works. Raises `BenchError` where events are missing."""
    files = write_bundles(folder, people)
    size = sum(file.stat().st_size for file in files)
    settings = stack.source(CLINIC_ID)
    source = Source(CLINIC_ID, b"k" * 32, "bench")
    began, used = time.perf_counter(), time.process_time()
    with Publisher(settings, DirectoryCatalogue(settings.schemas_dir)) as publisher:
        results = publish_files(files, source, publisher)
    seconds, cpu = time.perf_counter() - began, time.process_time() - used
    events = sum(result.sent.total() for result in results)
    if events != people * EVENTS:
        raise BenchError(f"{events:,} events came of bundles that hold {people * EVENTS:,}.")
    return PublishFigures(len(files), size / 1e6, events, seconds, cpu)
