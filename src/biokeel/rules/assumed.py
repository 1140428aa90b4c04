"""What a dry run assumes: everybody is enrolled and has consented; what files say of a person is believed.

Who is enrolled, and what they consented to, only the vault knows. What the files themselves say is applied by the
vault's own functions to a roll in memory, so that two enrolments that contradict each other are found, and a rule about
age sees the birth year.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from biokeel.contracts.sources import Register, Source
from biokeel.contracts.topics import Domain
from biokeel.reasons import Reason
from biokeel.vault.consent import CONSENT
from biokeel.vault.enrolment import Roll, apply
from biokeel.vault.identifiers import normalise
from biokeel.vault.keys import Key
from biokeel.vault.known import PERSON

if TYPE_CHECKING:
    from collections.abc import Sequence

    from biokeel.contracts.topics import EventType
    from biokeel.vault.enrolment import PersonEvent
    from biokeel.vault.identifiers import Identifier

_EVERYTHING: Final = sum(CONSENT.values())
_COLUMNS: Final = PERSON | {"valid": pl.Boolean()}


class _Unlimited(Source):
    """A source of which nobody has said yet what it may send."""

    def may_send(self, event: EventType) -> bool:
        """Whatever it is."""
        del event
        return True

    def may_speak_of(self, scheme: str) -> bool:
        """Whoever it is."""
        del scheme
        return True


def unlimited(source_id: str) -> Register:
    """A register in which `source_id`, and nobody else, may send everything about everybody."""
    return Register(
        [
            _Unlimited(
                id=source_id,
                name=source_id,
                contact=source_id,
                events=(f"{Domain.CLINICAL}.*",),
                schemes=("KR_RRN",),
                time_zone="UTC",
                cadence_seconds=1,
            )
        ]
    )


def is_registered(source: Source) -> bool:
    """Whether somebody has said what `source` may send."""
    return not isinstance(source, _Unlimited)


class AssumedPeople:
    """People as far as the files of one run say who they are, with numbers that mean nothing outside of it."""

    def __init__(self) -> None:
        self._roll = Roll((Key.new(),))
        self._strangers: dict[str, int] = {}

    def apply(self, kind: str, events: Sequence[PersonEvent]) -> list[Reason | None]:
        """Why each of `events`, of type `person.<kind>`, would be sealed; None where it is applied, or would wait."""
        verdicts = [apply(self._roll, kind, event) for event in events]
        self._roll.entries.clear()  # of an audit that nobody keeps
        self._roll.bound.clear()
        self._roll.merges.clear()
        return [verdict if isinstance(verdict, Reason) else None for verdict in verdicts]

    def look_up(self, schemes: pl.Series, subjects: pl.Series) -> pl.DataFrame:
        """`PERSON` and `valid` (whether the identifier has its scheme's form) of each row."""
        pairs = pl.DataFrame({"scheme": schemes, "text": subjects})
        distinct = pairs.unique(maintain_order=True)
        rows = [self._person(normalise(scheme, text)) for scheme, text in distinct.iter_rows()]
        people = pl.DataFrame(rows, _COLUMNS, orient="row")
        found = pairs.join(distinct.hstack(people), on=["scheme", "text"], how="left", maintain_order="left")
        return found.select(*_COLUMNS)

    def _person(self, identifier: Identifier | None) -> tuple[object, ...]:
        """One row of `look_up`."""
        if identifier is None:
            return 0, None, None, None, _EVERYTHING, 0, False, False
        person = self._roll.owner(identifier)
        if person is not None:
            number = person.participant
            return number, person.enrolled_on, person.birth_year, person.sex, _EVERYTHING, number, False, True
        number = self._strangers.setdefault(identifier.message, -1 - len(self._strangers))
        return number, None, None, None, _EVERYTHING, number, False, True
