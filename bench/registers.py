"""The sources that the benchmark's stacks register: of one clinic, of the made-up programme, and of very many.

Each has quotas that no run comes near: what is measured is how fast the workers are, not how well Kafka holds back.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from biokeel.contracts.sources import Quota, Source, file_of, written
from biokeel.contracts.topics import PERSON_EVENTS, Domain
from biokeel.demo.events import PLANS
from biokeel.demo.people import OFFICE
from biokeel.demo.programme import SILENT, institutions

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

OFFICE_ID: Final = "bench-office"
"""Who enrols everybody."""
CLINIC_ID: Final = "bench-clinic"
"""Who sends all blood pressures, and bundles."""
SCHEME: Final = "app/bench"
CLINIC_PARTITIONS: Final = 4
MIX_PARTITIONS: Final = 12
"""Raw partitions of each event type over all sources, so that runs compare with those of one topic for all."""
THIN_SOURCES: Final = 50
THIN_PARTITIONS: Final = 4
MADE_EVENTS: Final = tuple(PLANS)
"""What the benchmark makes events of: the eleven landed types of the demo."""
THIN_EVENTS: Final = tuple(event for event in MADE_EVENTS if event.domain is not Domain.GENOME)
"""The eight types of which there is much."""

_ENROLMENT: Final = "person.enrolment"
_UNLIMITED: Final = Quota(produce_bytes_per_second=10**9, request_percentage=10_000)


def of_a_clinic() -> tuple[Source, ...]:
    """An office and a clinic, which enrols, too: 64 raw partitions, and 4 of vital signs, which its bundles hold."""
    office = [str(event) for event in PERSON_EVENTS if event.name != "withdrawal"]
    return (
        _source(OFFICE_ID, office, CLINIC_PARTITIONS),
        _source(CLINIC_ID, [*map(str, MADE_EVENTS), "clinical.vital_sign", _ENROLMENT], CLINIC_PARTITIONS),
    )


def of_the_mix() -> tuple[Source, ...]:
    """The made-up programme's institutions, and the office in place of its own: 192 raw partitions, 132 of them landed.

    An event type has `MIX_PARTITIONS`, shared out among those who send it.
    """
    places = [source for source in institutions() if source.id not in (OFFICE, SILENT)]
    senders = Counter(event for source in places for event in MADE_EVENTS if source.may_send(event))
    shares = {source.id: MIX_PARTITIONS // next(senders[e] for e in senders if source.may_send(e)) for source in places}
    return (_office(MIX_PARTITIONS), *(_source(each.id, _made(each), shares[each.id]) for each in places))


def of_many() -> tuple[Source, ...]:
    """Very many sources, which may all send `THIN_EVENTS`: 1,600 raw partitions, besides those of an office."""
    names = [str(event) for event in THIN_EVENTS]
    many = (_source(thin_id(number), names, THIN_PARTITIONS) for number in range(THIN_SOURCES))
    return (_office(THIN_PARTITIONS), *many)


def thin_id(number: int) -> str:
    """The id of the source with this number."""
    return f"bench-thin-{number:02}"


def write_register(folder: Path, sources: Iterable[Source]) -> None:
    """Write a file for each of `sources` into `folder`, which need not exist yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for source in sources:
        file_of(folder, source.id).write_text(written(source), encoding="utf-8")


def raw_partitions(sources: Iterable[Source]) -> int:
    """How many raw partitions all of them have."""
    return sum(source.partitions * sum(map(source.may_send, (*MADE_EVENTS, *PERSON_EVENTS))) for source in sources)


def _made(source: Source) -> list[str]:
    return [str(event) for event in MADE_EVENTS if source.may_send(event)]


def _office(partitions: int) -> Source:
    return _source(OFFICE_ID, map(str, PERSON_EVENTS), partitions)


def _source(source_id: str, events: Iterable[str], partitions: int) -> Source:
    return Source(
        id=source_id,
        name="Of the benchmark",
        contact="whoever runs the benchmark",
        events=tuple(events),
        schemes=(SCHEME,),
        time_zone="Asia/Seoul",
        cadence_seconds=86_400,
        partitions=partitions,
        quota=_UNLIMITED,
    )
