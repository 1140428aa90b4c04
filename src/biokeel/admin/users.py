"""Who may do what in Kafka: the users of the local stack and their access control lists.

The wall is held by the broker, not by good manners: the research user cannot read a raw topic, a source can only write
them, and an operator sees positions and lag of everything but the events of neither source nor person.

| user | topics | groups |
| --- | --- | --- |
| vault | read and write `raw.*`, write `pseudo.*` | all |
| research | read `pseudo.*` | its workers' own; describe all |
| operator | describe all, read `pseudo.*` | describe all |
| admin | create and change all, give users, rights and quotas; read and write none | none |
| books | describe `raw.*`, write `receipts.*` | none |
| broker | everything; used by the broker and by the stack's own set-up only | everything |
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING

from biokeel.admin.rights import CLUSTER, Kind, Right, add_rights

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

PLAIN_MODULE = "org.apache.kafka.common.security.plain.PlainLoginModule"
SCRAM_MODULE = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
"""How the broker checks users whose credentials it keeps itself: sources."""
RAW, PSEUDO, RECEIPTS, ANY = "raw.", "pseudo.", "receipts.", "*"
RESEARCH_GROUPS = "biokeel-curate"
"""In another's group, the vault's or a source's, research would see no event, but take partitions away from it."""


class User(StrEnum):
    """Users of Kafka; the first two are the zones."""

    VAULT = "vault"
    RESEARCH = "research"
    OPERATOR = "operator"
    BOOKS = "books"
    ADMIN = "admin"
    BROKER = "broker"


def _all(user: User, kind: Kind, name: str, *operations: str) -> tuple[Right, ...]:
    """Rights on everything of a kind (`ANY`), on the cluster, or on all names that begin with `name`."""
    prefixed = name not in (ANY, CLUSTER)
    return tuple(Right(user.value, kind, name, operation, prefixed) for operation in operations)


RIGHTS: tuple[Right, ...] = (
    *_all(User.VAULT, "TOPIC", RAW, "READ", "WRITE"),
    *_all(User.VAULT, "TOPIC", PSEUDO, "READ", "WRITE"),
    *_all(User.VAULT, "GROUP", ANY, "READ", "DESCRIBE"),
    *_all(User.RESEARCH, "TOPIC", PSEUDO, "READ"),
    *_all(User.RESEARCH, "GROUP", RESEARCH_GROUPS, "READ"),
    *_all(User.RESEARCH, "GROUP", ANY, "DESCRIBE"),
    *_all(User.OPERATOR, "TOPIC", ANY, "DESCRIBE", "DESCRIBE_CONFIGS"),
    *_all(User.OPERATOR, "TOPIC", PSEUDO, "READ"),
    *_all(User.OPERATOR, "GROUP", ANY, "DESCRIBE"),
    *_all(User.OPERATOR, "CLUSTER", CLUSTER, "DESCRIBE"),
    *_all(User.BOOKS, "TOPIC", RAW, "DESCRIBE"),
    *_all(User.BOOKS, "TOPIC", RECEIPTS, "WRITE"),
    *_all(User.ADMIN, "TOPIC", ANY, "DESCRIBE", "DESCRIBE_CONFIGS", "CREATE", "ALTER", "ALTER_CONFIGS"),
    *_all(User.ADMIN, "CLUSTER", CLUSTER, "DESCRIBE", "DESCRIBE_CONFIGS", "CREATE", "ALTER", "ALTER_CONFIGS"),
)
"""What each user may do. To read or to write implies to describe; what is not named is refused."""


def new_passwords() -> dict[str, str]:
    """A random password for each user."""
    return {user.value: secrets.token_hex(16) for user in User}


def jaas(passwords: Mapping[str, str]) -> str:
    """The broker's log-in module, with every user's password; it belongs into a file that only its owner reads."""
    users = " ".join(f'user_{name}="{password}"' for name, password in passwords.items())
    return f'{PLAIN_MODULE} required username="{User.BROKER}" password="{passwords[User.BROKER]}" {users};'


def grant(admin: AdminClient) -> None:
    """Write the access control lists; what is there already stays. Raises `AdminError` where Kafka refuses.

    A process that dies in between leaves a user with too few rights, never with too many.
    """
    add_rights(admin, RIGHTS)
