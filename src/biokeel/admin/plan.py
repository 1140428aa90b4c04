"""What Kafka must have for the registered sources, and the steps from what it has to there.

A plan is data, made by a pure function of the register and of what Kafka holds (`make_plan`); `biokeel.admin.cluster`
carries it out. The order of the steps is the promise: whatever a source must not do any longer is taken away first,
and what a new source needs is granted last, its user at the very end. A plan that stops after any step, or in the
middle of one, has given nobody a right that the register does not grant, and a plan made anew from there has the steps
that are left. What holds events is never deleted, and no topic is: the plan names what stays.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from biokeel.admin.rights import Kind, Right
from biokeel.admin.topics import CONFIG, RECEIPTS_CONFIG
from biokeel.contracts.grammars import SOURCE_ID
from biokeel.contracts.sources import Register, Source
from biokeel.contracts.topics import EventType, receipts_topic
from biokeel.errors import AdminError

_RAW: Final = re.compile(rf"raw\.({SOURCE_ID[1:-1]})\.([a-z][a-z0-9_]*\.[a-z][a-z0-9_]*)")
_RECEIPTS: Final = re.compile(rf"receipts\.({SOURCE_ID[1:-1]})")
BYTES, REQUESTS = "producer_byte_rate", "request_percentage"
"""Kafka's names of the quotas that a register sets."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic: how many partitions, and its configuration by Kafka's names."""

    partitions: int
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Held:
    """What Kafka holds: topics by name, rights, users that log in by SCRAM-SHA-512, and quotas by user."""

    topics: Mapping[str, Topic] = field(default_factory=dict)
    rights: frozenset[Right] = frozenset()
    users: frozenset[str] = frozenset()
    quotas: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TakeRights:
    """Delete access control entries."""

    rights: tuple[Right, ...]
    says: str

    def __str__(self) -> str:
        return self.says


@dataclass(frozen=True, slots=True)
class AddRights:
    """Write access control entries, of which a refusal is one too."""

    rights: tuple[Right, ...]
    says: str

    def __str__(self) -> str:
        return self.says


@dataclass(frozen=True, slots=True)
class RemoveUser:
    """Let a user log in no more."""

    user: str

    def __str__(self) -> str:
        return f"remove the user {self.user}: it is registered no longer"


@dataclass(frozen=True, slots=True)
class CreateTopic:
    """Create a topic."""

    name: str
    topic: Topic

    def __str__(self) -> str:
        count = self.topic.partitions
        return f"create topic {self.name}, {count} partition{'' if count == 1 else 's'}"


@dataclass(frozen=True, slots=True)
class AddPartitions:
    """Give a topic more partitions."""

    name: str
    there: int
    wanted: int

    def __str__(self) -> str:
        return f"raise partitions of {self.name} from {self.there} to {self.wanted}"


@dataclass(frozen=True, slots=True)
class SetQuota:
    """Set quotas of a user, or remove them (None)."""

    user: str
    values: Mapping[str, float | None]

    def __str__(self) -> str:
        if None in self.values.values():
            return f"remove the quotas of {self.user}: it is registered no longer"
        bounds = [f"{self.values[BYTES]:,.0f} bytes a second"] if BYTES in self.values else []
        bounds += [f"{self.values[REQUESTS]:g} % of a thread"] if REQUESTS in self.values else []
        return f"set the quota of {self.user} to {' and '.join(bounds)}"


@dataclass(frozen=True, slots=True)
class MakeUser:
    """Write a source's credentials' file and let it log in with what stands there."""

    user: str
    there: bool

    def __str__(self) -> str:
        if self.there:
            return f"give the user {self.user} a new password, written into its credentials' file"
        return f"make the user {self.user} (SCRAM-SHA-512), its password written into its credentials' file"


Step = TakeRights | AddRights | RemoveUser | CreateTopic | AddPartitions | SetQuota | MakeUser


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in their order, and a sentence for each thing that differs from the register and stays all the same."""

    steps: tuple[Step, ...]
    stays: tuple[str, ...]


def topics_of(source: Source, events: Collection[EventType]) -> dict[str, Topic]:
    """The topics of a source: one for each of `events` that it may send, and its receipts."""
    raw = {event.raw_topic(source.id): Topic(source.partitions, CONFIG) for event in events if source.may_send(event)}
    return raw | {receipts_topic(source.id): Topic(1, RECEIPTS_CONFIG)}


def topics_wanted(
    register: Register, events: Collection[EventType], pseudo_partitions: int, *, part: bool = False
) -> dict[str, Topic]:
    """Every topic that Biokeel needs: of each source, and a pseudo topic for each of `events` that is landed.

    `part`: pseudo topics only for what one of these sources may send.
    """
    sources = register.values()
    sent = (event for event in events if not part or any(source.may_send(event) for source in sources))
    wanted = {event.pseudo_topic: Topic(pseudo_partitions, CONFIG) for event in sent if not event.is_person}
    for source in sources:
        wanted |= topics_of(source, events)
    return wanted


def rights_of(source_id: str) -> tuple[AddRights, ...]:
    """What a registered source may do.

    Names of its own end in a dot, or hospital-a could write what hospital-ab may. To write idempotently needs no right
    of its own (KIP-679); to write in transactions does.
    """
    own, receipts = f"{source_id}.", receipts_topic(source_id)

    def rights(kind: Kind, name: str, *operations: str, prefixed: bool = True) -> tuple[Right, ...]:
        return tuple(Right(source_id, kind, name, operation, prefixed) for operation in operations)

    return (
        AddRights(rights("TOPIC", f"raw.{own}", "DESCRIBE", "WRITE"), f"let {source_id} write topics raw.{own}*"),
        AddRights(
            rights("TOPIC", receipts, "DESCRIBE", "READ", prefixed=False), f"let {source_id} read topic {receipts}"
        ),
        AddRights(rights("GROUP", own, "READ"), f"let {source_id} read as groups {own}*"),
        AddRights(
            rights("TRANSACTIONAL_ID", own, "DESCRIBE", "WRITE"), f"let {source_id} write in transactions {own}*"
        ),
    )


def quota_of(source: Source) -> dict[str, float]:
    """The quotas of a source by Kafka's names."""
    return {
        BYTES: float(source.quota.produce_bytes_per_second),
        REQUESTS: float(source.quota.request_percentage),
    }


def make_plan(
    register: Register,
    events: Collection[EventType],
    pseudo_partitions: int,
    held: Held,
    *,
    part: bool = False,
    passwords: Collection[str] = (),
) -> Plan:
    """The steps from `held` to what `register` and the event types there are (`events`) want.

    `part`: the register names some of the sources only, and nothing is taken from others. `passwords`: sources that get
    a new one, or whose new one is not yet known to be in Kafka. Raises `AdminError` where a new source's id is the name
    of a user that no plan has made.
    """
    sources = list(register.values())
    gone = [] if part else sorted(_seen(held) - set(register))
    for source in sources:
        _refuse_stranger(source.id, held)
    wanted = topics_wanted(register, events, pseudo_partitions, part=part)
    return Plan(
        (
            *(step for source in sources for step in _taken(source, held)),
            *(step for source_id in gone for step in _removed(source_id, held)),
            *(CreateTopic(name, topic) for name, topic in wanted.items() if name not in held.topics),
            *_grown(wanted, held),
            *(step for source in sources for step in _quota(source, held)),
            *(step for source in sources for step in _granted(source, held)),
            *(
                MakeUser(source.id, source.id in held.users)
                for source in sources
                if source.id not in held.users or source.id in passwords
            ),
        ),
        (
            *_other_topics(wanted, held),
            *(sentence for source in sources for sentence in _other_events(source, held)),
            *(
                f"topic {name} stays, with what it holds: {source_id} is registered no longer."
                for source_id in gone
                for name in sorted(held.topics)
                if _owner(name) == source_id
            ),
            *(sentence for source in sources for sentence in _other_rights(source, held)),
        ),
    )


def _owner(topic: str) -> str | None:
    """The source whose topic this is, None for a topic that is no source's."""
    found = _RAW.fullmatch(topic) or _RECEIPTS.fullmatch(topic)
    return found[1] if found else None


def _seen(held: Held) -> set[str]:
    """Sources that a plan was carried out for at some time, as far as Kafka still shows it.

    Its receipts topic shows it for ever, so that what a plan had begun to take away is found again.
    """
    owners = {owner for name in held.topics if (owner := _owner(name))}
    return owners | {right.user for right in held.rights if right.user and _own(right, right.user)}


def _refuse_stranger(source_id: str, held: Held) -> None:
    if source_id in held.users and source_id not in _seen(held):
        raise AdminError(
            f"Kafka has a user {source_id} already, and nothing that shows it to be a source.",
            "Give the source another id, or remove that user if nobody needs it.",
        )


def _own(right: Right, source_id: str) -> bool:
    """Whether `right` is about what belongs to `source_id`; only such rights does a plan touch."""
    own = f"{source_id}."
    if right.kind == "TOPIC":
        return right.name.startswith(f"raw.{own}") or right.name == receipts_topic(source_id)
    return right.kind in ("GROUP", "TRANSACTIONAL_ID") and right.name.startswith(own)


def _refusals(source: Source, held: Held) -> dict[str, Right]:
    """For each raw topic of the source whose event it may not send any longer: that it may not write it.

    The right to write is by prefix, so it would cover these too.
    """
    granted = set(source.events)
    refused = {}
    for name in held.topics:
        found = _RAW.fullmatch(name)
        if found and found[1] == source.id and not {found[2], f"{found[2].partition('.')[0]}.*"} & granted:
            refused[name] = Right(source.id, "TOPIC", name, "WRITE", allow=False)
    return refused


def _rights_there(source_id: str, held: Held) -> set[Right]:
    return {right for right in held.rights if right.user == source_id and _own(right, source_id)}


def _rights_wanted(source_id: str) -> set[Right]:
    return {right for step in rights_of(source_id) for right in step.rights}


def _taken(source: Source, held: Held) -> Iterator[Step]:
    there = _rights_there(source.id, held)
    for name, refusal in sorted(_refusals(source, held).items()):
        if refusal not in there:
            yield AddRights((refusal,), f"take from {source.id} the right to write {name}: it may send that no longer")
    surplus = {right for right in there if right.allow} - _rights_wanted(source.id)
    for right in sorted(surplus):
        says = f"take from {source.id} the right to {right.operation} {right.kind} {right.name}: no plan gives that"
        yield TakeRights((right,), says)


def _removed(source_id: str, held: Held) -> Iterator[Step]:
    """Rights first, so that a connection that is open can do nothing more; refusals last."""
    there = _rights_there(source_id, held)
    for allow, what in ((True, "all its rights"), (False, "what refused it single topics")):
        if rights := tuple(sorted(right for right in there if right.allow is allow)):
            yield TakeRights(rights, f"take from {source_id} {what}: it is registered no longer")
    if source_id in held.users:
        yield RemoveUser(source_id)
    if set_ := {name: None for name in (BYTES, REQUESTS) if name in held.quotas.get(source_id, {})}:
        yield SetQuota(source_id, set_)


def _grown(wanted: Mapping[str, Topic], held: Held) -> Iterator[Step]:
    for name, topic in wanted.items():
        there = held.topics.get(name)
        # Participants are never spread anew, so a pseudo topic would gain empty partitions only.
        if there and there.partitions < topic.partitions and _owner(name):
            yield AddPartitions(name, there.partitions, topic.partitions)


def _quota(source: Source, held: Held) -> Iterator[Step]:
    there = held.quotas.get(source.id, {})
    if differ := {name: value for name, value in quota_of(source).items() if there.get(name) != value}:
        yield SetQuota(source.id, differ)


def _granted(source: Source, held: Held) -> Iterator[Step]:
    there = _rights_there(source.id, held)
    for step in rights_of(source.id):
        if missing := tuple(right for right in step.rights if right not in there):
            yield AddRights(missing, step.says)
    refusals = set(_refusals(source, held).values())
    for right in sorted(right for right in there if not right.allow and right not in refusals):
        if right.operation == "WRITE" and _RAW.fullmatch(right.name) and not right.prefixed:
            yield TakeRights((right,), f"let {source.id} write {right.name} again")


def _other_topics(wanted: Mapping[str, Topic], held: Held) -> Iterator[str]:
    for name, topic in wanted.items():
        there = held.topics.get(name)
        if there is None:
            continue
        if there.partitions > topic.partitions or (there.partitions < topic.partitions and not _owner(name)):
            yield f"topic {name} has {there.partitions} partitions, not {topic.partitions}; it stays so."
        for key, value in topic.config.items():
            if (is_ := there.config.get(key, value)) != value:
                yield f"topic {name} has {key}={is_}, not {value}; it stays so."


def _other_events(source: Source, held: Held) -> Iterable[str]:
    return (
        f"topic {name} stays, with what it holds: {source.id} may send that no longer."
        for name in sorted(_refusals(source, held))
    )


def _other_rights(source: Source, held: Held) -> Iterable[str]:
    return (
        f"{source.id} has a right that is not the register's: {right.operation} {right.kind} {right.name}"
        f"{'*' if right.prefixed else ''}; it stays. See that it is meant."
        for right in sorted(held.rights)
        if right.user == source.id and right.allow and not _own(right, source.id)
    )
