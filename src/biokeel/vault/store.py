"""The vault: who is who, what waits and what was stopped. One object for each process.

**Replays.** Kafka gives events again after a crash. What the vault decided the first time stands:

| the first time | found by | the second time |
| --- | --- | --- |
| parked, sealed or applied | its coordinates | not sent a second way |
| let through | offset up to `Snapshot.decided`, no coordinates | let through, whatever consent says by now, |
| | | as the participant of the first time, whatever was merged since |
| not decided (died before `decide` returned) | offset above `Snapshot.decided` | decided as if for the first time |

So nothing is both published and sealed, whenever the process died.

One transaction decides a batch, of however many partitions of a topic: all of it or nothing.

**Concurrency.** Any number of processes may work on one vault. `decide` and `offer` look again, in the transaction in
which they write, whether what they were told is still so; if not, they write nothing and the caller starts over.
"""

from __future__ import annotations

import hmac
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
import sqlalchemy as sa

from biokeel.batch import SealedRejection
from biokeel.contracts.signatures import PublicKeys
from biokeel.errors import VaultError, VaultKeyError
from biokeel.reasons import Reason
from biokeel.vault import age, decision_log, files, schema
from biokeel.vault.audit import Audit, AuditHead, AuditReport, Entry
from biokeel.vault.consent import CONSENT, unstated
from biokeel.vault.database import EXPECTED, Database, chunks
from biokeel.vault.decisions import books
from biokeel.vault.enrolment import Roll, Waits, apply, create, named
from biokeel.vault.event_ids import EventIdCipher, require_ids
from biokeel.vault.keys import Keys, load_key_file
from biokeel.vault.merges import before_merges
from biokeel.vault.parking import ParkedEvent, Parking, ToPark, now_ms
from biokeel.vault.people import People, find_digests
from biokeel.vault.seal import Sealer
from biokeel.vault.tables import (
    APPLIED,
    AUDIT,
    CLIENT,
    DEAD_LETTER,
    IDENTIFIER,
    META,
    PARKED,
    PARTICIPANT,
    PROGRESS,
    SPREAD,
    VOID,
    Parked,
)
from biokeel.vault.tables import (
    place as columns_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import numpy.typing as npt

    from biokeel.batch import At, RawBatch, RawPartition
    from biokeel.contracts.clients import Client
    from biokeel.contracts.signatures import Signer
    from biokeel.contracts.topics import Domain, EventType
    from biokeel.settings import Settings
    from biokeel.vault.enrolment import PersonEvent
    from biokeel.vault.files import FileVerdict
    from biokeel.vault.identifiers import Identifier
    from biokeel.vault.tables import Run, Spans

    Numbers = npt.NDArray[np.int64]

READ_ANEW: Final = frozenset({Reason.UNKNOWN_SCHEMA, Reason.UNUSABLE_SCHEMA})
"""Reasons that may be gone once a schema is known: the events were never read."""
_EVENTS_A_TRANSACTION: Final = 2_000
"""Person events of one transaction: about 0.2 s, for which other workers wait."""

_GENERATION: Final = sa.select(META.c.value).where(META.c.name == "generation")
_DECIDED: Final = sa.select(PROGRESS.c.source, PROGRESS.c.partition, PROGRESS.c.decided).where(
    PROGRESS.c.event == sa.bindparam("event")
)
"""Of all sources' partitions, which are a few hundred: a statement that is always the same is made once. Making one
takes longer here than running it."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the vault knew when a batch was begun.

    `decided`: of each partition that was asked for the last offset decided upon, or -1.
    """

    generation: int
    decided: Mapping[RawPartition, int]


@dataclass(slots=True)
class Applied:
    """What became of person events; a replayed one counts nowhere."""

    applied: int = 0
    parked: int = 0
    sealed: Counter[Reason] = field(default_factory=Counter)

    def add(self, more: Applied) -> None:
        """Count `more`, too."""
        self.applied += more.applied
        self.parked += more.parked
        self.sealed += more.sealed


@dataclass(frozen=True, slots=True)
class VaultStatus:
    """Counts only. `parked` by state, `sealed` by reason."""

    participants: int
    withdrawn: int
    identifiers: int
    parked: dict[str, int]
    sealed: dict[str, int]
    applied: int
    audit_entries: int


class Vault:
    """One process' handle on the vault. One thread at a time."""

    def __init__(self, database: Database, keys: Keys, unstated: int) -> None:
        self._database = database
        self._keys = keys
        self._unstated = unstated
        self._people = People(database, keys.lookup, unstated)
        self._parking = Parking(database, Sealer(keys.sealing), keys.lookup)
        self._audit = Audit(keys.audit)
        self.event_ids = EventIdCipher(keys.event_ids)
        """Turns the event ids of sources into those of rows."""

    @classmethod
    def open(cls, settings: Settings) -> Vault:
        """Open (and the first time create) the vault that `vault_url` and `vault_key_file` name.

        Raises `SettingsError` where they are not set or `unstated_consent` names no domain, `VaultKeyError` where the
        keys are not the vault's, `VaultUnavailable` where the database does not answer. Two processes may create it at
        once.
        """
        settings.require("vault_url", "vault_key_file")
        assert settings.vault_key_file is not None
        unstated_consent = unstated(settings.unstated_consent)
        keys = load_key_file(settings.vault_key_file)
        database = Database(settings.vault_url)
        # Of the keys these two never change.
        proof = hmac.new(keys.audit.secret, b"biokeel vault" + keys.event_ids.secret, "sha256").hexdigest()
        with database.write() as connection:
            schema.prepare(connection)
            database.insert_new(
                connection, META, [{"name": "generation", "value": "0"}, {"name": "keys", "value": proof}]
            )
            written = connection.execute(sa.select(META.c.value).where(META.c.name == "keys")).scalar_one()
        if not hmac.compare_digest(written, proof):
            database.close()
            raise VaultKeyError("The key file is not the one of this vault.", "Check BIOKEEL_VAULT_KEY_FILE.")
        return cls(database, keys, unstated_consent)

    @property
    def signer(self) -> Signer:
        """What signs the blocks that leave the vault zone."""
        return self._keys.signer

    @property
    def block_keys(self) -> PublicKeys:
        """What the blocks are signed with that the vault zone has published, as far back as its key file goes."""
        return PublicKeys(self._keys.public_keys)

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    # -- deciding events

    def snapshot(self, event: EventType, origins: Iterable[RawPartition]) -> Snapshot:
        """Where things stand before a batch of `origins`."""
        with self._database.read() as connection:
            return _snapshot(connection, event, origins)

    def settled(self, event: EventType, spans: Spans) -> set[At]:
        """What of `spans` (by raw partition its first and last offset) was parked, sealed or applied before."""
        with self._database.read() as connection:
            return self._parking.settled(connection, event, spans)

    def forgotten(self, event: EventType, origins: Iterable[RawPartition]) -> list[tuple[RawPartition, int, int]]:
        """Spans (first and last offset) whose decisions an older backup did not hold: they are made anew."""
        with self._database.read() as connection:
            return age.forgotten(connection, event, origins)

    def look_up(self, schemes: pl.Series, ids: pl.Series, generation: int) -> pl.DataFrame:
        """Who each (scheme, identifier as written) is: see `biokeel.vault.people.People.look_up`."""
        return self._people.look_up(schemes, ids, generation)

    def as_decided(self, batch: RawBatch, stream: str, people: pl.DataFrame, numbers: Numbers) -> pl.DataFrame:
        """`people` of a look-up, each participant as it was when its event was decided, whatever was merged since.

        `numbers`: of each row of `batch` its offset (stream `raw`) or release number (stream `parking`), -1 for what is
        open yet.
        """
        decided = numbers >= 0
        if not decided.any():
            return people
        first = people["first"]
        moved = decided & (first != people["participant"]).fill_null(value=False).to_numpy()
        then = people["participant"]
        with self._database.read() as connection:
            for which in np.unique(batch.which[moved]).tolist():
                rows = np.flatnonzero(moved & (batch.which == which))
                place = (batch.event, batch.origins[which], stream)
                then = then.scatter(rows, before_merges(connection, place, first[rows], pl.Series(numbers[rows])))
        return people.with_columns(then)

    def decide(
        self,
        event: EventType,
        snapshot: Snapshot,
        last: Mapping[RawPartition, int],
        *,
        parked: Sequence[ToPark],
        sealed: Sequence[SealedRejection],
        anew: Spans | None = None,
    ) -> bool:
        """Park and seal, and write down that every offset of each partition up to `last` is decided.

        `anew`: spans with offsets that an older backup had `forgotten`; now it is known of them again.
        All of it or nothing, for all partitions together. False, with nothing written, where the world is no longer
        that of `snapshot`, which is of the same partitions: somebody changed people, somebody in `parked` was enrolled
        meanwhile, or another worker decided on one of the partitions; or where a person event that waited for its
        person is not applied yet. Then apply what waited, and start over.
        Dying before it returns leaves all of it or nothing, too.
        """
        with self._database.write(shared=True) as connection:
            if self._has_moved(connection, event, snapshot) or self._is_known(connection, parked):
                return False
            if not self._go_on(connection, event, snapshot, last):
                connection.rollback()
                return False
            self._parking.park(connection, event, parked)
            self._parking.bury(connection, event, sealed)
            age.decided_anew(connection, event, anew or {})
        return True

    def _go_on(
        self, connection: sa.Connection, event: EventType, snapshot: Snapshot, last: Mapping[RawPartition, int]
    ) -> bool:
        """Write that each partition is decided up to `last`, unless one stands elsewhere than in `snapshot` by now.

        Where several decide side by side, both may have found `snapshot` still so. The second then waits here for the
        first to commit, and finds another number than it expects.
        """
        rows = [
            {
                "event": str(event),
                **origin._asdict(),
                "decided": max(reached, snapshot.decided[origin]),
                EXPECTED: snapshot.decided[origin],
            }
            for origin, reached in last.items()
        ]
        return self._database.replace(connection, PROGRESS, rows, PROGRESS.c.decided) == len(rows)

    def leave_out(self, event: EventType, void: Sequence[Run]) -> None:
        """Write down that the offsets of `void` hold no event, so that nobody waits for them.

        Whoever dies after it, or has done it before, does it again when Kafka gives these offsets again.
        """
        rows = [{"event": str(event), **origin._asdict(), "first": first, "last": last} for origin, first, last in void]
        with self._database.write(shared=True) as connection:
            self._database.insert_new(connection, VOID, rows)
            runs = [{"reason": "", **origin._asdict(), "first": first, "last": last} for origin, first, last in void]
            decision_log.write_runs(connection, self._database, event, decision_log.VOID, runs)

    def heard(self, source: str, clients: Iterable[Client]) -> None:
        """Note that `source` sends with `clients`. Repeating it changes no more than the time."""
        rows = [{"source": source, **client._asdict(), "seen": now_ms()} for client in clients]
        with self._database.write(shared=True) as connection:
            self._database.upsert(connection, CLIENT, rows)

    def create(self, identifiers: Sequence[Identifier]) -> None:
        """Make a participant for each identifier that is nobody's (policy `create`). Repeating it changes nothing."""
        for some in chunks(identifiers, _EVENTS_A_TRANSACTION):
            with self._database.write() as connection:
                roll = Roll.load(connection, self._keys.lookup, some)
                for identifier in some:
                    create(roll, identifier)
                self._save(connection, roll)

    def partitions(self, topic: str, found: int) -> int:
        """Over how many partitions people are spread in pseudo `topic`: what `found` was the first time, for ever.

        Repeats are dropped, and people's rows numbered, by partition. Were participants spread anew after a topic grew,
        a replay would land a second time, and everybody's numbers would begin again.
        """
        with self._database.write() as connection:
            self._database.insert_new(connection, SPREAD, [{"topic": topic, "partitions": found}])
            return int(connection.execute(sa.select(SPREAD.c.partitions).where(SPREAD.c.topic == topic)).scalar_one())

    # -- files that events claim

    def waits_for_files(self, limit: int) -> list[tuple[EventType, At]]:
        """Up to `limit` events that wait for the check of their file, those that wait longest first."""
        with self._database.read() as connection:
            return self._parking.waits_for_files(connection, limit)

    def of_file(self, event: EventType, at: At) -> tuple[int, bytes] | None:
        """The generation of people and the event, null where it does not wait for its file (any more)."""
        with self._database.read() as connection:
            payload = self._parking.of_file(connection, event, at)
            generation = int(connection.execute(_GENERATION).scalar_one())
        return None if payload is None else (generation, payload)

    def file_checked(self, event: EventType, at: At, generation: int, verdict: FileVerdict | None) -> bool:
        """Write what the check found, and let the event on to be judged by it; null: it is to be judged without.

        All of it or nothing. False, with nothing written, where the event does not wait for its file any more (another
        worker was first), or people have changed since `generation`, so that the file may be somebody else's by now.
        Raises `VaultError` where the new file was deleted since it was written, or is being.
        """
        with self._database.write() as connection:
            if self._parking.of_file(connection, event, at) is None:
                return False
            if verdict is not None:
                if int(connection.execute(_GENERATION).scalar_one()) != generation:
                    return False
                files.write(connection, self._database, event, at, verdict)
            self._parking.give_numbers(connection, [(str(event), at)])
        return True

    def file_verdicts(self, event: EventType, origin: RawPartition, offsets: Sequence[int]) -> dict[int, FileVerdict]:
        """By offset, what was found of the files of events of one raw partition."""
        with self._database.read() as connection:
            return files.verdicts(connection, event, origin, offsets)

    def named_files(self) -> tuple[set[str], int]:
        """The keys of all files that an event names, and since when (ms) that is known: see `biokeel.vault.files`."""
        with self._database.read() as connection:
            return files.named(connection), files.known_since(connection)

    def file_deletions(self, key: str) -> int:
        """What a verdict about the file `key` must say. Raises `VaultError` where it is being deleted."""
        with self._database.read() as connection:
            return files.deletions(connection, key)

    def condemned_files(self) -> list[str]:
        """What is to be deleted, and may not have been."""
        with self._database.read() as connection:
            return files.condemned(connection)

    def condemn_file(self, key: str) -> bool:
        """Let no verdict name the file `key` until `delete_file`; false, and nothing written, where one does."""
        with self._database.write() as connection:
            return files.condemn(connection, self._database, key)

    def delete_file(self, key: str, delete: Callable[[str], None]) -> bool:
        """Call `delete` with a condemned `key`, and note it; false, and nothing done, where it is not condemned.

        If the process dies here, `key` stays condemned and the next one deletes it once more: no verdict names it.
        """
        with self._database.write() as connection:
            if not files.deleted(connection, key):
                return False
            delete(key)
        return True

    # -- releasing

    def ready(self, event: EventType, limit: int, origin: RawPartition | None = None) -> list[ParkedEvent]:
        """Parked events that have their release number and are not marked released, lowest first."""
        with self._database.read() as connection:
            return self._parking.ready(connection, event, limit, origin)

    def ready_at(self) -> set[tuple[EventType, RawPartition]]:
        """The event types and raw partitions that have events for `ready`: one cheap look for all of them."""
        with self._database.read() as connection:
            return self._parking.ready_at(connection)

    def waiting(self) -> dict[EventType, int]:
        """How many events of each type are parked and not released; a type without any is left out."""
        with self._database.read() as connection:
            return self._parking.waiting(connection)

    def offer(
        self,
        event: EventType,
        origin: RawPartition,
        snapshot: Snapshot,
        offsets: Sequence[int],
        *,
        sealed: Sequence[SealedRejection],
        strangers: Sequence[ToPark],
    ) -> bool:
        """Write down which parked events are good (`offsets`) and which are not (`sealed`).

        `strangers` were read only now, and their person is not enrolled: they wait. False, with nothing written, for
        the reasons that `decide` has.
        """
        with self._database.write(shared=True) as connection:
            if self._has_moved(connection, event, snapshot) or self._is_known(connection, strangers):
                return False
            self._parking.wait(connection, event, strangers)
            self._parking.offer(connection, event, origin, offsets)
            self._parking.unpark(connection, event, [each.at for each in sealed])
            self._parking.bury(connection, event, sealed)
        return True

    def released(self, event: EventType, origin: RawPartition, up_to_release_number: int) -> None:
        """Mark offered events as safely in Kafka; their sealed bytes are dropped. Call it after Kafka's flush."""
        with self._database.write(shared=True) as connection:
            self._parking.release(connection, event, origin, up_to_release_number)

    def redrive(self, event: EventType, reason: Reason) -> int:
        """Let the dead letters of `event` with `reason` be judged again, as parked events; how many there were.

        Each goes on, waits or is sealed again, once, by whichever worker holds its partition. It stands in the audit. A
        process that dies in here has moved whole transactions of some thousand events; the rest is sealed as before.
        Raises `VaultError` for a reason that judging again does not change.
        """
        if reason not in READ_ANEW:
            raise VaultError(
                f"An event that is sealed as {reason} stays sealed.",
                f"Only what could not be read can be read later: {', '.join(sorted(READ_ANEW))}.",
            )
        total = 0
        with self._database.read() as connection:
            # What a worker seals again meanwhile is not taken up once more, or this would never end.
            newest = self._parking.newest_dead(connection, event, reason)
        while True:
            with self._database.write() as connection:
                count = self._parking.redrive(connection, event, reason, _EVENTS_A_TRANSACTION, newest)
                if not count:
                    return total
                detail = {"event": str(event), "reason": str(reason), "events": count}
                self._audit.append(connection, [Entry("redrive", None, detail)])
            total += count

    # -- people

    def apply(
        self,
        event: EventType,
        events: Sequence[PersonEvent],
        sealed: Sequence[SealedRejection] = (),
        *,
        parked: bool = False,
    ) -> Applied:
        """Apply person events in order, and seal those that were rejected before; each once, however often it comes.

        They may be of several partitions.

        `parked`: they come out of parking, because the person they name was enrolled. A process that dies in here has
        applied whole transactions of some thousand events; the replay does the rest.
        """
        result = Applied()
        buried = list(sealed)
        # At least one transaction, for the rejected.
        for start in range(0, max(1, len(events)), _EVENTS_A_TRANSACTION):
            some = events[start : start + _EVENTS_A_TRANSACTION]
            with self._database.write() as connection:
                result.add(self._apply(connection, event, some, buried, parked=parked))
            buried = []
        return result

    def _apply(
        self,
        connection: sa.Connection,
        event: EventType,
        events: Sequence[PersonEvent],
        rejected: Sequence[SealedRejection],
        *,
        parked: bool,
    ) -> Applied:
        places = {each.at for each in events} | {each.at for each in rejected}
        if parked:
            # Another worker may have applied them since they were read.
            still = self._parking.numbered(connection, event, places)
            self._parking.unpark(connection, event, still)
            done = places - still
        else:
            done = self._parking.settled(connection, event, _spans(places))
        events = [each for each in events if each.at not in done]
        sealed = [each for each in rejected if each.at not in done]
        waiting: list[ToPark] = []
        applied: list[At] = []
        roll = Roll.load(connection, self._keys.lookup, [each for one in events for each in named(one)])
        for each in events:
            verdict = apply(roll, event.name, each)
            if verdict is None:
                roll.entries[-1].detail.update(columns_of(event, each.at))
                applied.append(each.at)
            elif isinstance(verdict, Waits):
                waiting.append(ToPark(each.at, verdict.identifier, each.payload))
            else:
                sealed.append(SealedRejection(each.at, verdict, f"person.{event.name}", each.payload))
        # Before what was bound lets events out: an event may wait for what a later one of this very batch binds.
        self._parking.park(connection, event, waiting)
        self._save(connection, roll)
        self._parking.apply(connection, event, applied)
        self._parking.bury(connection, event, sealed)
        return Applied(len(applied), len(waiting), Counter(each.reason for each in sealed))

    def _save(self, connection: sa.Connection, roll: Roll) -> None:
        """Write a roll with its audit, and let the events out that waited for it."""
        roll.save(connection, self._database)
        self._audit.append(connection, roll.entries)
        self._parking.number(connection, roll.bound)
        if roll.stale:
            value = sa.cast(sa.cast(META.c.value, sa.BigInteger) + 1, sa.String(128))
            connection.execute(sa.update(META).where(META.c.name == "generation").values(value=value))

    def _has_moved(self, connection: sa.Connection, event: EventType, snapshot: Snapshot) -> bool:
        """Whether the world is no longer that of `snapshot`, or what waited for an enrolment is about to change it.

        A consent that was narrowed before the person was enrolled is applied after the enrolment, in a transaction of
        its own. Whoever enrolled may die in between; nothing may be let through by the enrolment alone meanwhile.
        """
        return _snapshot(connection, event, snapshot.decided) != snapshot or self._parking.holds_people(connection)

    def _is_known(self, connection: sa.Connection, parked: Sequence[ToPark]) -> bool:
        waited = [each.identifier for each in parked if each.identifier is not None]
        digests = {identifier.digest(key) for identifier in waited for key in self._keys.lookup}
        return bool(find_digests(connection, list(digests)))

    # -- after a restore

    def known(self, places: Iterable[age.Place]) -> dict[age.Place, int]:
        """The last offset of each raw partition (topic, number) that the vault knows of, -1 for none."""
        with self._database.read() as connection:
            return age.known(connection, places)

    def may_be_behind(self) -> bool:
        """Whether an operator has accepted that the vault knows less than was published."""
        with self._database.read() as connection:
            return age.is_accepted(connection)

    def forget_acceptance(self) -> None:
        """The vault has caught up, or is a restored one: being behind is news again."""
        with self._database.write() as connection:
            age.forget_acceptance(connection)

    def accept(self, goes_on: Mapping[age.Place, int]) -> None:
        """Accept what a restored older vault has lost, and go on from there: see `biokeel.vault.age.accept`."""
        with self._database.write() as connection:
            age.accept(connection, self._database, self._audit, goes_on)

    # -- seeing it

    def books(self, event: EventType, origin: RawPartition) -> pl.DataFrame:
        """Where events of a raw partition are: `offset` Int64, `place` (parked|released|sealed|applied), `reason`.

        An event that was let through at once is in no row: it is in Kafka.
        """
        with self._database.read() as connection:
            return books(connection, event, origin)

    def audit_head(self) -> AuditHead:
        """The last entry of the audit, to be kept where the vault's administrators cannot change it."""
        with self._database.read() as connection:
            return self._audit.head(connection)

    def turn_event_ids(self, ids: pl.Series, *, to_rows: bool) -> list[str]:
        """The sources' event ids behind those of rows, or with `to_rows` the other way round; the audit says how many.

        Raises `ContractError` where one of `ids` is no event id.
        """
        turned = (self.event_ids.hide if to_rows else self.event_ids.show)(require_ids(ids)).to_list()
        with self._database.write() as connection:
            self._audit.append(connection, [Entry("event ids", None, {"count": len(turned), "to_rows": to_rows})])
        return turned

    def stopped(self, domain: Domain) -> pl.Series:
        """The participants (Int64, sorted) whose events of `domain` are stopped today: withdrawn, or no consent to it.

        Merged ones are as who they were merged into. It is written into the audit, before anybody is read: to read a
        million takes seconds, for which nobody shall wait.
        """
        with self._database.write() as connection:
            self._audit.append(connection, [Entry("stopped people listed", None, {"domain": str(domain)})])
        with self._database.read() as connection:
            columns = (PARTICIPANT.c.participant, PARTICIPANT.c.consent, PARTICIPANT.c.withdrawal)
            people = connection.execute(sa.select(*columns, PARTICIPANT.c.merged_into)).all()
        into = {number: merged for number, _, _, merged in people if merged is not None}
        stops = {
            number: withdrawal is not None or not (self._unstated if consent is None else consent) & CONSENT[domain]
            for number, consent, withdrawal, _ in people
        }
        found = [number for number in stops if stops[number] or stops.get(_last(into, number), False)]
        return pl.Series(sorted(found), dtype=pl.Int64)

    def verify_audit(self, kept: AuditHead | None = None) -> AuditReport:
        """Walk the whole audit; `kept` is a head from elsewhere, without which a cut tail cannot be seen."""
        with self._database.read() as connection:
            return self._audit.verify(connection, kept)

    def status(self) -> VaultStatus:
        """Counts of everything, nothing else."""
        with self._database.read() as connection:

            def count(table: sa.Table, *where: sa.ColumnElement[bool]) -> int:
                return int(connection.execute(sa.select(sa.func.count()).select_from(table).where(*where)).scalar_one())

            def by(column: sa.Column[str]) -> dict[str, int]:
                query = sa.select(column, sa.func.count()).group_by(column).order_by(column)
                return {str(name): int(number) for name, number in connection.execute(query)}

            alive = PARTICIPANT.c.merged_into.is_(None)
            return VaultStatus(
                participants=count(PARTICIPANT, alive),
                withdrawn=count(PARTICIPANT, alive, PARTICIPANT.c.withdrawal.is_not(None)),
                identifiers=count(IDENTIFIER),
                parked={str(state): 0 for state in Parked} | by(PARKED.c.state),
                sealed=by(DEAD_LETTER.c.reason),
                applied=count(APPLIED),
                audit_entries=count(AUDIT),
            )


def _snapshot(connection: sa.Connection, event: EventType, origins: Iterable[RawPartition]) -> Snapshot:
    generation = connection.execute(_GENERATION).scalar_one()
    rows = connection.execute(_DECIDED, {"event": str(event)})
    known = {(source, partition): int(decided) for source, partition, decided in rows}
    return Snapshot(int(generation), {origin: known.get(origin, -1) for origin in origins})


def _last(into: Mapping[int, int], number: int) -> int:
    """Whom `number` is merged into in the end."""
    while number in into:
        number = into[number]
    return number


def _spans(places: Iterable[At]) -> dict[RawPartition, tuple[int, int]]:
    """By raw partition, the first and the last offset of `places`."""
    spans: dict[RawPartition, tuple[int, int]] = {}
    for at in places:
        first, last = spans.get(at.origin, (at.offset, at.offset))
        spans[at.origin] = min(first, at.offset), max(last, at.offset)
    return spans
