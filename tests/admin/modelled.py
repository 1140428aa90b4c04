"""Kafka as a plan sees it, in memory: what each step does to what is held, as the broker does it."""

from __future__ import annotations

from dataclasses import replace

from biokeel.admin.plan import (
    AddPartitions,
    AddRights,
    CreateTopic,
    Held,
    MakeUser,
    RemoveUser,
    SetQuota,
    Step,
    TakeRights,
)


def after(held: Held, step: Step) -> Held:
    """What Kafka holds after `step`."""
    match step:
        case AddRights(rights):
            return replace(held, rights=held.rights | set(rights))
        case TakeRights(rights):
            return replace(held, rights=held.rights - set(rights))
        case CreateTopic(name, topic):
            assert name not in held.topics
            return replace(held, topics={**held.topics, name: topic})
        case AddPartitions(name, there, wanted):
            assert held.topics[name].partitions == there < wanted
            return replace(held, topics={**held.topics, name: replace(held.topics[name], partitions=wanted)})
        case SetQuota(user, values):
            left = {name: value for name, value in ({**held.quotas.get(user, {})} | {**values}).items() if value}
            others = {name: quota for name, quota in held.quotas.items() if name != user}
            return replace(held, quotas=others | ({user: left} if left else {}))
        case MakeUser(user):
            return replace(held, users=held.users | {user})
        case RemoveUser(user):
            return replace(held, users=held.users - {user})


def may_write(held: Held, user: str, topic: str) -> bool:
    """Whether the broker lets `user` write `topic`: a refusal counts more than any right."""
    matching = [
        right
        for right in held.rights
        if right.user == user
        and right.kind == "TOPIC"
        and right.operation == "WRITE"
        and (topic.startswith(right.name) if right.prefixed else topic == right.name)
    ]
    return bool(matching) and all(right.allow for right in matching)


def may_read(held: Held, user: str, topic: str) -> bool:
    """Whether the broker lets `user` read `topic`."""
    return any(
        right.user == user
        and right.kind == "TOPIC"
        and right.operation == "READ"
        and (topic.startswith(right.name) if right.prefixed else topic == right.name)
        for right in held.rights
    )
