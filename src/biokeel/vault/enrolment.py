"""What person events do: enrolment, identifier_link, consent_change, merge, withdrawal.

Events are applied in the order of their partition, some thousand in one transaction, against a `Roll`: the participants
and identifiers that they name, read at its beginning and written back at its end. A process that dies in between has
applied none of them; a replay finds those of earlier transactions by their coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from biokeel.reasons import Reason
from biokeel.vault.audit import Entry
from biokeel.vault.consent import Consent, to_domains, to_words
from biokeel.vault.database import chunks
from biokeel.vault.ids import new_participant
from biokeel.vault.merges import mark
from biokeel.vault.tables import IDENTIFIER, PARTICIPANT

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterable, Sequence

    from biokeel.batch import At
    from biokeel.vault.database import Database
    from biokeel.vault.identifiers import Identifier
    from biokeel.vault.keys import Key

WITHDRAWALS: Final = ("further_collection", "erasure")


@dataclass(frozen=True, slots=True, repr=False)
class PersonEvent:
    """One decoded person event, coarsened: what else the source sent was dropped before. Its payload is for sealing.

    Fields that its event type does not have are empty.
    """

    at: At
    payload: bytes
    subject: Identifier
    decided_at: int
    """Milliseconds since 1970."""
    day: dt.date
    """The day of `decided_at` where the person is."""
    identifiers: tuple[Identifier | None, ...] = ()
    """Further identifiers; None for one without its scheme's form."""
    consent_scope: tuple[str, ...] | None = ()
    """None where an enrolment states no consent: its source knows the person, not what they agreed to."""
    birth_year: int | None = None
    sex: str | None = None
    province: str | None = None
    merged: Identifier | None = None
    scope: str = ""


@dataclass(slots=True)
class Participant:
    """A row of the participant table, while a transaction changes it."""

    participant: int
    enrolled_on: dt.date | None
    birth_year: int | None
    sex: str | None
    province: str | None
    consent: int | None
    consent_at: int | None
    withdrawal: str | None
    merged_into: int | None = None

    def row(self) -> dict[str, Any]:
        """As the table has it."""
        return {name: getattr(self, name) for name in self.__slots__}

    @property
    def consents(self) -> Consent:
        """What is on record of the person's consent."""
        return Consent(self.consent, self.consent_at)


@dataclass(frozen=True, slots=True)
class Waits:
    """The event must wait for this identifier to be enrolled."""

    identifier: Identifier


Verdict = Reason | Waits | None
"""Why an event is not applied: sealed for a reason, or parked; None where it was applied."""


@dataclass(slots=True)
class Roll:
    """The participants and identifiers that some events name. `load` reads it, `save` writes what changed."""

    keys: tuple[Key, ...]
    people: dict[int, Participant] = field(default_factory=dict)
    owners: dict[bytes, int] = field(default_factory=dict)
    bound: list[Identifier] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    merges: list[tuple[int, int]] = field(default_factory=list)
    stale: bool = False
    """Whether what caches of other processes hold about a known person has changed."""
    _changed: set[int] = field(default_factory=set)

    @classmethod
    def load(cls, connection: sa.Connection, keys: tuple[Key, ...], identifiers: Iterable[Identifier]) -> Roll:
        """What the vault knows of `identifiers`, under any key."""
        roll = cls(keys)
        current = {identifier.digest(key): identifier.digest(keys[0]) for identifier in identifiers for key in keys}
        for some in chunks(list(current)):
            query = sa.select(IDENTIFIER.c.digest, IDENTIFIER.c.participant).where(IDENTIFIER.c.digest.in_(some))
            for digest, participant in connection.execute(query):
                roll.owners[current[digest]] = participant
        for some in chunks(list(set(roll.owners.values()))):
            for row in connection.execute(sa.select(PARTICIPANT).where(PARTICIPANT.c.participant.in_(some))):
                roll.people[row.participant] = Participant(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name
        return roll

    def owner(self, identifier: Identifier) -> Participant | None:
        """Whose identifier it is."""
        participant = self.owners.get(identifier.digest(self.keys[0]))
        return None if participant is None else self.people[participant]

    def bind(self, identifier: Identifier, person: Participant) -> None:
        """Make `identifier`, which is nobody's or the person's already, the person's."""
        digest = identifier.digest(self.keys[0])
        if digest not in self.owners:
            self.owners[digest] = person.participant
            self.bound.append(identifier)

    def add(self, person: Participant) -> None:
        """A new participant."""
        self.people[person.participant] = person
        self._changed.add(person.participant)

    def change(self, person: Participant, **values: Any) -> None:  # values of Participant's fields
        """Change a person; a change makes cached copies stale."""
        for name, value in values.items():
            if getattr(person, name) != value:
                setattr(person, name, value)
                self._changed.add(person.participant)
                self.stale = True

    def merge(self, other: Participant, person: Participant) -> None:
        """Give everything that is `other`'s to `person`."""
        self.change(other, merged_into=person.participant)
        self.merges.append((other.participant, person.participant))
        for digest, owner in self.owners.items():
            if owner == other.participant:
                self.owners[digest] = person.participant

    def save(self, connection: sa.Connection, database: Database) -> None:
        """Write what changed, in the caller's transaction."""
        database.upsert(connection, PARTICIPANT, [self.people[number].row() for number in sorted(self._changed)])
        key = self.keys[0]
        rows = []
        for identifier in self.bound:
            digest = identifier.digest(key)
            owner = self.owners[digest]
            rows.append(
                {"digest": digest, "scheme": identifier.scheme, "key_id": key.id, "participant": owner, "first": owner}
            )
        database.insert_new(connection, IDENTIFIER, rows)
        for other, person in self.merges:
            connection.execute(
                sa.update(IDENTIFIER).where(IDENTIFIER.c.participant == other).values(participant=person)
            )
        mark(connection, [other for other, _ in self.merges])


def named(event: PersonEvent) -> list[Identifier]:
    """Every identifier that an event names."""
    further = [identifier for identifier in event.identifiers if identifier is not None]
    return [event.subject, *further, *([event.merged] if event.merged is not None else [])]


def create(roll: Roll, identifier: Identifier) -> None:
    """A participant for an identifier that nobody enrolled (policy `create`): no enrolment day, no consent stated."""
    if roll.owner(identifier) is None:
        person = Participant(new_participant(), None, None, None, None, *Consent(), None)
        roll.add(person)
        roll.bind(identifier, person)
        roll.entries.append(Entry("create", person.participant, {"scheme": identifier.scheme}))


def apply(roll: Roll, kind: str, event: PersonEvent) -> Verdict:
    """Apply one event of type `person.<kind>` to `roll`. What is not applied changes nothing."""
    return _APPLY[kind](roll, event)


def _enrol(roll: Roll, event: PersonEvent) -> Verdict:
    identifiers = [event.subject, *event.identifiers]
    stated = None if event.consent_scope is None else to_domains(event.consent_scope)
    no_domain = stated is None and event.consent_scope is not None
    if no_domain or any(identifier is None for identifier in identifiers):
        return Reason.PERSON_INVALID
    owners = {owner.participant: owner for each in identifiers if each and (owner := roll.owner(each))}
    if len(owners) > 1:
        return Reason.PERSON_CONFLICT
    person = next(iter(owners.values()), None)
    if person is None:
        consents = Consent().stated(stated)
        person = Participant(
            new_participant(), event.day, event.birth_year, event.sex, event.province, *consents, withdrawal=None
        )
        roll.add(person)
    elif person.withdrawal is not None:
        return Reason.WITHDRAWN
    else:
        roll.change(
            person,
            # The first enrolment is the one: a second one adds what is missing.
            enrolled_on=min(filter(None, (person.enrolled_on, event.day))),
            birth_year=person.birth_year if person.birth_year is not None else event.birth_year,
            sex=person.sex if person.sex is not None else event.sex,
            province=person.province if person.province is not None else event.province,
            consent=person.consents.stated(stated).domains,
        )
    superseded = stated is not None and person.consent_at is not None
    detail = {"consent": to_words(stated), "superseded": superseded, "holds": to_words(person.consent)}
    _link_all(roll, "enrol", person, identifiers, detail)
    return None


def _link(roll: Roll, event: PersonEvent) -> Verdict:
    if not event.identifiers or any(identifier is None for identifier in event.identifiers):
        return Reason.PERSON_INVALID
    person = roll.owner(event.subject)
    if person is None:
        return Waits(event.subject)
    owners = [roll.owner(each) for each in event.identifiers if each]
    if any(owner is not None and owner is not person for owner in owners):
        return Reason.PERSON_CONFLICT
    _link_all(roll, "link", person, event.identifiers, {})
    return None


def _link_all(
    roll: Roll,
    action: str,
    person: Participant,
    identifiers: Sequence[Identifier | None],
    detail: dict[str, Any],
) -> None:
    schemes = []
    for identifier in identifiers:
        if identifier is not None:
            roll.bind(identifier, person)
            schemes.append(identifier.scheme)
    roll.entries.append(Entry(action, person.participant, {"schemes": sorted(schemes), **detail}))


def _change_consent(roll: Roll, event: PersonEvent) -> Verdict:
    domains = to_domains(event.consent_scope or ())
    if domains is None:
        return Reason.PERSON_INVALID
    person = roll.owner(event.subject)
    if person is None:
        return Waits(event.subject)
    after = person.consents.decided(domains, event.decided_at)
    roll.change(person, consent=after.domains, consent_at=after.decided_at)
    detail = {
        "consent": to_words(domains),
        "decided_at": event.decided_at,
        # An older decision that arrives later does not undo a newer one.
        "superseded": after.decided_at != event.decided_at,
        "holds": to_words(after.domains),
    }
    roll.entries.append(Entry("consent", person.participant, detail))
    return None


def _merge(roll: Roll, event: PersonEvent) -> Verdict:
    if event.merged is None:
        return Reason.PERSON_INVALID
    person, other = roll.owner(event.subject), roll.owner(event.merged)
    if person is None:
        return Waits(event.subject)
    if other is None:
        return Waits(event.merged)
    if other is not person:
        consents = person.consents.merged(other.consents)
        roll.change(
            person,
            enrolled_on=min(filter(None, (person.enrolled_on, other.enrolled_on)), default=None),
            birth_year=person.birth_year if person.birth_year is not None else other.birth_year,
            sex=person.sex if person.sex is not None else other.sex,
            province=person.province if person.province is not None else other.province,
            consent=consents.domains,
            consent_at=consents.decided_at,
            withdrawal=person.withdrawal or other.withdrawal,
        )
        roll.merge(other, person)
    detail = {"merged": other.participant, "holds": to_words(person.consent)}
    roll.entries.append(Entry("merge", person.participant, detail))
    return None


def _withdraw(roll: Roll, event: PersonEvent) -> Verdict:
    if event.scope not in WITHDRAWALS:
        return Reason.PERSON_INVALID
    person = roll.owner(event.subject)
    if person is None:
        return Waits(event.subject)
    roll.change(person, withdrawal="erasure" if "erasure" in (person.withdrawal, event.scope) else event.scope)
    roll.entries.append(Entry("withdraw", person.participant, {"scope": event.scope}))
    return None


_APPLY: Final[dict[str, Callable[[Roll, PersonEvent], Verdict]]] = {
    "enrolment": _enrol,
    "identifier_link": _link,
    "consent_change": _change_consent,
    "merge": _merge,
    "withdrawal": _withdraw,
}
