"""Who may do what in Kafka: the users of the local stack and their access control lists.

The wall is held by the broker, not by good manners: the research user cannot read a raw topic, a source can only write
them, and an operator sees positions and lag of everything but the events of neither source nor person.

| user | topics | groups |
| --- | --- | --- |
| vault | read and write `raw.*`, write `pseudo.*` | all |
| research | read `pseudo.*` | all but the vault's |
| source | write `raw.*` | none |
| operator | describe and create all, read `pseudo.*` | describe all |
| books | describe `raw.*`, write `receipts.*` | none |
| broker | everything; used by the broker and by the stack's own set-up only | everything |
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING

from biokeel.errors import StackError

if TYPE_CHECKING:
    from confluent_kafka.admin import AclBinding, AdminClient  # type: ignore[attr-defined]

PLAIN_MODULE = "org.apache.kafka.common.security.plain.PlainLoginModule"
ACL_SECONDS = 30.0
RAW, PSEUDO, RECEIPTS, ANY = "raw.", "pseudo.", "receipts.", "*"
VAULT_GROUPS = "biokeel-pseudonymise"


class User(StrEnum):
    """Users of Kafka; the first two are the zones."""

    VAULT = "vault"
    RESEARCH = "research"
    SOURCE = "source"
    OPERATOR = "operator"
    BOOKS = "books"
    BROKER = "broker"


RIGHTS: tuple[tuple[User, str, str, tuple[str, ...]], ...] = (
    (User.VAULT, "TOPIC", RAW, ("READ", "WRITE")),
    (User.VAULT, "TOPIC", PSEUDO, ("READ", "WRITE")),
    (User.VAULT, "GROUP", ANY, ("READ", "DESCRIBE")),
    (User.RESEARCH, "TOPIC", PSEUDO, ("READ",)),
    (User.RESEARCH, "GROUP", ANY, ("READ", "DESCRIBE")),
    (User.SOURCE, "TOPIC", RAW, ("WRITE",)),
    (User.OPERATOR, "TOPIC", ANY, ("DESCRIBE", "DESCRIBE_CONFIGS", "CREATE")),
    (User.OPERATOR, "TOPIC", PSEUDO, ("READ",)),
    (User.OPERATOR, "GROUP", ANY, ("DESCRIBE",)),
    (User.BOOKS, "TOPIC", RAW, ("DESCRIBE",)),
    (User.BOOKS, "TOPIC", RECEIPTS, ("WRITE",)),
    (User.OPERATOR, "CLUSTER", "kafka-cluster", ("DESCRIBE", "CREATE")),
)
"""What each user may do. To read or to write implies to describe; what is not named is refused."""
REFUSALS: tuple[tuple[User, str, str, tuple[str, ...]], ...] = (
    # Joining the vault's group would not show an event, but would take partitions away from the pseudonymiser.
    (User.RESEARCH, "GROUP", VAULT_GROUPS, ("READ",)),
)


def new_passwords() -> dict[str, str]:
    """A random password for each user."""
    return {user.value: secrets.token_hex(16) for user in User}


def jaas(passwords: Mapping[str, str]) -> str:
    """The broker's log-in module, with every user's password; it belongs into a file that only its owner reads."""
    users = " ".join(f'user_{name}="{password}"' for name, password in passwords.items())
    return f'{PLAIN_MODULE} required username="{User.BROKER}" password="{passwords[User.BROKER]}" {users};'


def grant(admin: AdminClient) -> None:
    """Write the access control lists; what is there already stays. Raises `StackError` where Kafka refuses.

    A process that dies in between leaves a user with too few rights, never with too many: refusals come first.
    """
    from confluent_kafka import KafkaException

    for bindings in (list(_bindings(REFUSALS, allow=False)), list(_bindings(RIGHTS, allow=True))):
        for future in admin.create_acls(bindings, request_timeout=ACL_SECONDS).values():
            try:
                future.result(ACL_SECONDS)
            except KafkaException as error:
                raise StackError(
                    f"Kafka did not take an access control list ({error.args[0].name()}).", "See logs/kafka-broker.log."
                ) from error
            except TimeoutError as error:
                raise StackError(
                    f"Kafka did not take an access control list within {ACL_SECONDS:g} s.",
                    "See logs/kafka-broker.log.",
                ) from error


def _bindings(rights: tuple[tuple[User, str, str, tuple[str, ...]], ...], *, allow: bool) -> Iterator[AclBinding]:
    from confluent_kafka.admin import (  # type: ignore[attr-defined]  # it does not say what it exports
        AclBinding,
        AclOperation,
        AclPermissionType,
        ResourcePatternType,
        ResourceType,
    )

    permission = AclPermissionType.ALLOW if allow else AclPermissionType.DENY
    for user, kind, name, operations in rights:
        prefix = ResourcePatternType.PREFIXED if name not in (ANY, "kafka-cluster") else ResourcePatternType.LITERAL
        resource = ResourceType.BROKER if kind == "CLUSTER" else ResourceType[kind]
        for operation in operations:
            yield AclBinding(resource, name, prefix, f"User:{user}", "*", AclOperation[operation], permission)
