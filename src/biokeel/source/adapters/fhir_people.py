"""Which numbers of a FHIR Patient are sent, under which schemes: what the source's table says, and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from biokeel.source.adapters.base import Subject, Unusable, subject_of
from biokeel.source.schemes import Schemes
from biokeel.vault.identifiers import normalise

_TYPES: Final = "http://terminology.hl7.org/CodeSystem/v2-0203"

NOT_MAPPED: Final = "identifiers of a system that no identifier table maps"
NO_SYSTEM: Final = "identifiers without a system"
OUTDATED: Final = "identifiers that are no longer in use"
NO_VALUE: Final = "identifiers without a value"


@dataclass(frozen=True, slots=True, repr=False)
class Person:
    """A person of a file: the subject of their events, and the further identifiers that the enrolment binds."""

    subject: Subject
    others: tuple[Subject, ...] = ()

    @property
    def everything(self) -> tuple[Subject, ...]:
        """All that the enrolment binds."""
        return (self.subject, *self.others)


@dataclass(slots=True, repr=False)
class Numbers:
    """What a list of Identifiers comes to: subjects, best known first; what is not sent, by reason; what is wrong."""

    subjects: list[Subject] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def numbers_of(identifiers: Any, schemes: Schemes) -> Numbers:
    """The numbers in a list of FHIR Identifiers that `schemes` maps, each once, in the table's order and then by value.

    Raises `Unusable` where it is no list of Identifiers.
    """
    found = Numbers()
    parts = [] if identifiers is None else identifiers
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        raise Unusable("identifier is no list of Identifiers")
    subjects: dict[str, Subject] = {}
    for index, part in enumerate(parts):
        scheme = _scheme(part, schemes)
        if scheme is None:
            found.left_out[NOT_MAPPED if part.get("system") else NO_SYSTEM] += 1
        elif part.get("use") == "old":
            # It may have been given to somebody else since.
            found.left_out[OUTDATED] += 1
        elif part.get("value") is None:
            found.left_out[NO_VALUE] += 1
        else:
            try:
                subject = subject_of(scheme, part["value"], f"identifier {index}: its value")
            except Unusable as fault:
                found.faults.append(str(fault))
            else:
                subjects.setdefault(message_of(subject), subject)
    ranks = {scheme: rank for rank, scheme in enumerate(schemes.ranked())}
    found.subjects = sorted(subjects.values(), key=lambda each: (ranks[each.scheme], each.value))
    return found


def _scheme(identifier: dict[str, Any], schemes: Schemes) -> str | None:
    system = identifier.get("system")
    if isinstance(system, str) and system in schemes.systems:
        return schemes.systems[system]
    concept = identifier.get("type")
    codings = concept.get("coding") if isinstance(concept, dict) else None
    for coding in codings if isinstance(codings, list) else []:
        if isinstance(coding, dict) and coding.get("system") == _TYPES and str(coding.get("code")) in schemes.types:
            return schemes.types[coding["code"]]
    return None


def message_of(subject: Subject) -> str:
    """The subject in the one writing that the vault knows it by."""
    form = normalise(subject.scheme, subject.value)
    assert form is not None, "subject_of has seen its form"
    return form.message


def contradicts(person: Person, said: Iterable[Subject]) -> bool:
    """Whether `said` names a number of a scheme in which `person` has others only."""
    own = {message_of(each) for each in person.everything}
    schemes = {each.scheme for each in person.everything}
    return any(each.scheme in schemes and message_of(each) not in own for each in said)


def person_of(numbers: Sequence[Subject], own: Subject | None) -> Person:
    """The person with `numbers`, best known first, and `own`, the id that a server gives. Raises `Unusable`."""
    everything = [*numbers, *([own] if own else [])]
    if not everything:
        raise Unusable("no id of a server, no UUID, and no identifier that the identifier table maps")
    return Person(everything[0], tuple(everything[1:]))
