"""The process of the vault zone that checks files: looks what waits, checks one after the other, for ever.

Several may run: what two of them check at once is written once and decided once.
"""

from __future__ import annotations

import logging
import signal
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from biokeel.errors import (
    EngineError,
    LandingError,
    StoreRefused,
    StoreUnavailable,
    VaultError,
    VaultUnavailable,
    describe,
)
from biokeel.files.check import Checker

if TYPE_CHECKING:
    from biokeel.files.metrics import FilesMetrics
    from biokeel.settings import Settings

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0
AWAY_SECONDS: Final = 5.0
"""How long it waits for a vault or a store that does not answer, or after a check that came to nothing."""
AT_A_TIME: Final = 20
"""Events of one look: of those that wait, several workers look at much the same."""


def checker_of(settings: Settings) -> Checker:
    """A checker with the rights of `settings`: of the vault zone, which reads what sources put down.

    Raises `SettingsError`, `VaultKeyError`, `ContractError` where it cannot begin.
    """
    from biokeel.contracts.codec import Codec
    from biokeel.contracts.registry import open_catalogue
    from biokeel.contracts.sources import FollowedRegister
    from biokeel.s3 import Bucket
    from biokeel.vault.store import Vault

    settings.require("vault_url", "vault_key_file", "s3_endpoint", "s3_access_key")
    return Checker(
        Vault.open(settings),
        Codec(open_catalogue(settings.schemas_dir, settings.schema_registry_url), settings.max_event_bytes),
        FollowedRegister(settings.sources_dir).current,
        Bucket(settings.at_landing(), settings.landing_bucket),
        Bucket(settings, settings.genome_bucket),
        Path(tempfile.gettempdir()),
    )


def turn(checker: Checker, metrics: FilesMetrics) -> bool:
    """Check what waits now; whether there was any, and all of it came to an end.

    Raises `VaultUnavailable`, `StoreUnavailable` and `StoreRefused`; what was checked by then is done.
    """
    waiting = checker.vault.waits_for_files(AT_A_TIME)
    whole = bool(waiting)
    for event, at in waiting:
        metrics.beat()
        try:
            verdict = checker.check(event, at)
        except (StoreUnavailable, StoreRefused, VaultUnavailable):
            raise
        except (EngineError, LandingError, VaultError) as error:
            log.error("The file of an event at %s was not checked: %s", at.of(event), describe(error))  # noqa: TRY400 - what it quotes is not logged
            whole = False
            continue
        if verdict is not None:
            metrics.checked(verdict.reason or "")
            said = "good" if verdict.reason is None else f"{verdict.reason}: {verdict.detail}"
            log.info("The file of the event at %s: %s", at.of(event), said)
    return whole


def run_until_signal(settings: Settings, metrics: FilesMetrics) -> int:
    """Run to the end: 0 after SIGTERM or SIGINT, 1 after a failure, which is logged.

    What is checked when the signal comes is finished, or, if that takes too long for who sent it, begun anew later.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        checker = checker_of(settings)
        away_since, pause = 0.0, 0.0
        while not stop.wait(pause):
            metrics.beat()
            try:
                pause = 0.0 if turn(checker, metrics) else LOOK_SECONDS
                away_since = 0.0
            except (StoreUnavailable, VaultUnavailable) as error:
                away_since, pause = away_since or time.monotonic(), AWAY_SECONDS
                log.warning("Files wait to be checked: %s", error)
            metrics.waiting(time.monotonic() - away_since if away_since else 0.0)
    except Exception as error:  # noqa: BLE001 - the last place; every failure is logged the same way
        log.critical("The check of files ends: %s", describe(error))
        return 1
    return 0
