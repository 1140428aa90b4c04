"""Kafka as an administrator finds and changes it: what there is, and the steps of a plan carried out."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, cast

from biokeel.admin.answers import SECONDS, answered
from biokeel.admin.credentials import Credentials
from biokeel.admin.plan import (
    AddPartitions,
    AddRights,
    CreateTopic,
    Held,
    MakeUser,
    Plan,
    RemoveUser,
    SetQuota,
    Step,
    TakeRights,
    Topic,
)
from biokeel.admin.quotas import quotas_held, set_quotas
from biokeel.admin.rights import add_rights, rights_held, take_rights
from biokeel.admin.topics import PAUSE_SECONDS, admin_client, create, grow, wait_led
from biokeel.errors import AdminError

if TYPE_CHECKING:
    from confluent_kafka.admin import UserScramCredentialAlteration  # type: ignore[attr-defined]

    from biokeel.settings import Settings

CREDENTIALS_WRITTEN: Final = "apply.credentials_written"
USERS_MADE: Final = "apply.users_made"
STEPS_DONE: Final = "apply.steps_done"
"""Points that `carry_out` passes: after each group of like steps, and within the making of users."""
_OURS: Final = ("raw.", "pseudo.", "receipts.")
_ITERATIONS: Final = 8192
"""What a SCRAM password is hashed with; Kafka's least is 4,096. As the passwords are random, more gains nothing."""

Passed = Callable[[str], None]


def nothing(_point: str) -> None:
    """Let a point pass."""


class Cluster:
    """Kafka, by the rights of the user of `settings`, who has to be an administrator."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._admin = admin_client(settings)

    def held(self) -> Held:
        """What there is. Raises `AdminError` where Kafka does not say."""
        return Held(self._topics(), rights_held(self._admin), self._users(), quotas_held(self._settings))

    def carry_out(
        self, plan: Plan, credentials: Credentials, *, new_passwords: Collection[str] = (), passed: Passed = nothing
    ) -> None:
        """Carry out the steps in their order; like steps that follow each other go to Kafka in one call.

        A process that dies anywhere leaves part of the plan done; a plan made anew has the rest. Raises `AdminError`
        where Kafka refuses.
        """
        new = frozenset(new_passwords)
        for kind, steps in groupby(plan.steps, type):
            self._do(kind, list(steps), credentials, new, passed)
            passed(STEPS_DONE)
        wait_led(self._admin, [step.name for step in plan.steps if isinstance(step, CreateTopic | AddPartitions)])
        self._wait_known(plan)

    def _wait_known(self, plan: Plan) -> None:
        """Wait until the broker goes by what its controller has taken: a right counts a moment after it is written.

        Raises `AdminError` after `SECONDS`.
        """
        added = {right for step in plan.steps if isinstance(step, AddRights) for right in step.rights}
        taken = {right for step in plan.steps if isinstance(step, TakeRights) for right in step.rights}
        made = {step.user for step in plan.steps if isinstance(step, MakeUser)}
        deadline = time.monotonic() + SECONDS
        while not (
            added <= (rights := rights_held(self._admin)) and taken.isdisjoint(rights) and made <= self._users()
        ):
            if time.monotonic() > deadline:
                raise AdminError(
                    f"Kafka does not go by its new rights after {SECONDS:g} s.", "See its log and apply again."
                )
            time.sleep(PAUSE_SECONDS)

    def _do(
        self, kind: type[Step], steps: Sequence[Any], credentials: Credentials, new: frozenset[str], passed: Passed
    ) -> None:
        """Carry out steps of one kind."""
        if kind is AddRights:
            add_rights(self._admin, [right for step in steps for right in step.rights])
        elif kind is TakeRights:
            take_rights(self._admin, [right for step in steps for right in step.rights])
        elif kind is CreateTopic:
            create(self._admin, {step.name: (step.topic.partitions, step.topic.config) for step in steps})
        elif kind is AddPartitions:
            grow(self._admin, {step.name: step.wanted for step in steps})
        elif kind is SetQuota:
            set_quotas(self._settings, {step.user: step.values for step in steps})
        elif kind is RemoveUser:
            self._remove_users([step.user for step in steps])
        elif kind is MakeUser:
            self._make_users([step.user for step in steps], credentials, new, passed)

    def _make_users(self, users: Sequence[str], credentials: Credentials, new: frozenset[str], passed: Passed) -> None:
        from confluent_kafka.admin import (  # type: ignore[attr-defined]  # it does not say what it exports
            ScramCredentialInfo,
            ScramMechanism,
            UserScramCredentialUpsertion,
        )

        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, _ITERATIONS)
        passwords = {user: credentials.password(user, new=user in new) for user in users}
        passed(CREDENTIALS_WRITTEN)
        self._alter_users(
            [UserScramCredentialUpsertion(user, info, password.encode()) for user, password in passwords.items()],
            "make a user",
        )
        passed(USERS_MADE)
        for user in users:
            credentials.known(user)

    def _remove_users(self, users: Sequence[str]) -> None:
        from confluent_kafka.admin import ScramMechanism, UserScramCredentialDeletion  # type: ignore[attr-defined]

        self._alter_users(
            [UserScramCredentialDeletion(user, ScramMechanism.SCRAM_SHA_512) for user in users], "remove a user"
        )

    def _alter_users(self, alterations: list[UserScramCredentialAlteration], what: str) -> None:
        answered(self._admin.alter_user_scram_credentials(alterations).values(), what)

    def _users(self) -> frozenset[str]:
        from confluent_kafka.admin import ScramMechanism  # type: ignore[attr-defined]

        future = self._admin.describe_user_scram_credentials()
        (users,) = answered([cast("Any", future)], "list its users")
        return frozenset(
            name
            for name, description in users.items()
            if any(info.mechanism == ScramMechanism.SCRAM_SHA_512 for info in description.scram_credential_infos)
        )

    def _topics(self) -> dict[str, Topic]:
        from confluent_kafka.admin import ConfigResource  # type: ignore[attr-defined]

        known = self._admin.list_topics(timeout=SECONDS).topics
        ours = [name for name in known if name.startswith(_OURS)]
        if not ours:
            return {}
        futures = self._admin.describe_configs([ConfigResource(ConfigResource.Type.TOPIC, name) for name in ours])
        configs = dict(zip((r.name for r in futures), answered(futures.values(), "describe a topic"), strict=True))
        return {
            name: Topic(len(known[name].partitions), {key: entry.value for key, entry in configs[name].items()})
            for name in ours
        }
