"""Access control entries of Kafka, as data: what a plan compares, and how Kafka is asked for them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from biokeel.admin.answers import answered

if TYPE_CHECKING:
    from confluent_kafka.admin import AclBinding, AclBindingFilter, AdminClient  # type: ignore[attr-defined]

Kind = Literal["TOPIC", "GROUP", "TRANSACTIONAL_ID", "CLUSTER"]

CLUSTER: Final = "kafka-cluster"
"""The one resource of the kind CLUSTER."""
_USER: Final = "User:"
_EVERY_HOST: Final = "*"


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """That a user may do something, or that it may not: a refusal counts more than any right.

    `prefixed`: it holds for everything whose name begins with `name`. From whichever host.
    """

    user: str
    kind: Kind
    name: str
    operation: str
    prefixed: bool = False
    allow: bool = True


def add_rights(admin: AdminClient, rights: Iterable[Right]) -> None:
    """Write `rights`; what is there already stays. Raises `AdminError` where Kafka refuses."""
    if bindings := [_binding(right) for right in rights]:
        answered(admin.create_acls(bindings).values(), "take an access control entry")


def take_rights(admin: AdminClient, rights: Iterable[Right]) -> None:
    """Delete `rights`; what is not there is no fault. Raises `AdminError` where Kafka refuses."""
    if filters := [_filter(right) for right in rights]:
        answered(admin.delete_acls(filters).values(), "delete an access control entry")


def rights_held(admin: AdminClient) -> frozenset[Right]:
    """Every right in Kafka that a user has from every host. Raises `AdminError` where Kafka refuses."""
    from confluent_kafka.admin import (  # type: ignore[attr-defined]  # it does not say what it exports
        AclBindingFilter,
        AclOperation,
        AclPermissionType,
        ResourcePatternType,
        ResourceType,
    )

    everything = AclBindingFilter(
        ResourceType.ANY,
        None,  # type: ignore[arg-type]  # it says that it wants names, and takes none for any
        ResourcePatternType.ANY,
        None,  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        AclOperation.ANY,
        AclPermissionType.ANY,
    )
    (bindings,) = answered([admin.describe_acls(everything)], "list its access control entries")
    return frozenset(
        _right(binding) for binding in bindings if binding.principal.startswith(_USER) and binding.host == _EVERY_HOST
    )


def _right(binding: Any) -> Right:  # its types name every way to write an enum
    from confluent_kafka.admin import AclPermissionType, ResourcePatternType, ResourceType  # type: ignore[attr-defined]

    kind: Any = "CLUSTER" if binding.restype == ResourceType.BROKER else binding.restype.name
    return Right(
        binding.principal.removeprefix(_USER),
        kind,
        binding.name,
        binding.operation.name,
        binding.resource_pattern_type == ResourcePatternType.PREFIXED,
        binding.permission_type == AclPermissionType.ALLOW,
    )


def _binding(right: Right) -> AclBinding:
    from confluent_kafka.admin import AclBinding  # type: ignore[attr-defined]

    return AclBinding(*_parts(right))


def _filter(right: Right) -> AclBindingFilter:
    from confluent_kafka.admin import AclBindingFilter  # type: ignore[attr-defined]

    return AclBindingFilter(*_parts(right))


def _parts(right: Right) -> tuple[Any, ...]:  # its types name every way to write an enum
    from confluent_kafka.admin import (  # type: ignore[attr-defined]
        AclOperation,
        AclPermissionType,
        ResourcePatternType,
        ResourceType,
    )

    return (
        ResourceType.BROKER if right.kind == "CLUSTER" else ResourceType[right.kind],
        right.name,
        ResourcePatternType.PREFIXED if right.prefixed else ResourcePatternType.LITERAL,
        _USER + right.user,
        _EVERY_HOST,
        AclOperation[right.operation],
        AclPermissionType.ALLOW if right.allow else AclPermissionType.DENY,
    )
