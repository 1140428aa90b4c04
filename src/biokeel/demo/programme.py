"""The made-up programme's institutions: what each is registered for, and publishing as each of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

from biokeel.contracts.sources import Quota, Source, file_of, written
from biokeel.contracts.topics import PERSON_EVENTS
from biokeel.demo.people import CENTRES, OFFICE, SITES, SYSTEMS, VENDORS
from biokeel.source.client import Publisher

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import polars as pl

    from biokeel.contracts.catalogue import Catalogue
    from biokeel.contracts.codec import Codec
    from biokeel.contracts.topics import EventType
    from biokeel.settings import Settings

DEMO: Final = "demo"
"""Who publishes what `biokeel demo-data` writes, and the demo's real files."""
SILENT: Final = "closed-clinic"
"""A source that never sends anything, so that its alarm can be seen."""
_KINDS: Final = (("hospital", "clinical", SITES), ("sample", "genome", CENTRES), ("app", "lifestyle", VENDORS))
_SCHEMES: Final = ("KR_RRN", "KR_FRN", *(f"{kind}/{place}" for kind, _, places in _KINDS for place in places))
_FULL_SPEED: Final = Quota(produce_bytes_per_second=100_000_000, request_percentage=200)


def institutions() -> Iterator[Source]:
    """The enrolment office, every hospital, centre and vendor, each registered for what it sends, and a silent one."""
    persons = tuple(map(str, PERSON_EVENTS))
    yield _institution(OFFICE, persons, _SCHEMES)
    for kind, domain, places in _KINDS:
        for place in places:
            yield _institution(place + SYSTEMS[kind], (f"{domain}.*",), (f"{kind}/{place}",))
    closed = _institution(SILENT, ("clinical.glucose",), ("hospital/closed",))
    yield closed.model_copy(update={"cadence_seconds": 5})


def write_register(folder: Path, *more: Source) -> None:
    """Write the files of `institutions`, and of `more`, into `folder`, which need not exist yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for source in (*institutions(), *more):
        file_of(folder, source.id).write_text(written(source), encoding="utf-8")


def _institution(source_id: str, events: tuple[str, ...], schemes: tuple[str, ...]) -> Source:
    return Source(
        id=source_id,
        name=f"The made-up programme's {source_id}",
        contact="whoever runs this demo",
        events=events,
        schemes=schemes,
        time_zone="Asia/Seoul",
        cadence_seconds=86_400,
        partitions=2,
        quota=_FULL_SPEED,
    )


class Publishers:
    """A publisher for each of several sources; a context manager, and flushes when it is left."""

    def __init__(self, settings: Mapping[str, Settings], catalogue: Catalogue) -> None:
        """`settings` are those of each source, by id."""
        self._publishers = {source: Publisher(each, catalogue) for source, each in settings.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.flush()

    def __getitem__(self, source: str) -> Publisher:
        return self._publishers[source]

    @property
    def codec(self) -> Codec:
        """The codec that events are written with."""
        return next(iter(self._publishers.values())).codec

    def publish(self, event: EventType, rows: pl.DataFrame) -> int:
        """Queue `rows`, each as the source that it names, and as any of those where it names one that is none of ours.

        Returns how many. Raises as `Publisher.publish` does.
        """
        parts = rows.partition_by("source_id", as_dict=True, maintain_order=True)
        someone = next((source for (source,) in parts if source in self._publishers), "")
        return sum(
            self._publishers.get(source, self[someone]).publish(event, part) for (source,), part in parts.items()
        )

    def publish_raw(self, source: str, event: EventType, values: Sequence[bytes | None]) -> list[int]:
        """Send `values` as they are, as `source`, to its partition 0; returns their offsets."""
        return self[source].publish_raw(event, values)

    def flush(self) -> None:
        """Wait until Kafka has everything."""
        for publisher in self._publishers.values():
            publisher.flush()
