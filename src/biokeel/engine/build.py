"""Puts the two workers together from settings: what each may open is decided here, and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from biokeel.engine.curate.worker import CurateWorker
    from biokeel.engine.kafka.transport import Consumption
    from biokeel.engine.pseudonymise import PseudonymiseWorker
    from biokeel.observe.metrics import WorkerMetrics
    from biokeel.settings import Settings


def pseudonymise_worker(settings: Settings, metrics: WorkerMetrics) -> tuple[Consumption, PseudonymiseWorker]:
    """The worker of the vault zone: it opens the vault, and never the lake.

    Raises `VaultError` for a vault that is older than what was published.
    """
    from biokeel.contracts.catalogue import Schemas
    from biokeel.contracts.codec import Codec
    from biokeel.contracts.registry import open_catalogue
    from biokeel.contracts.sources import FollowedRegister
    from biokeel.engine.consistency import require_current
    from biokeel.engine.kafka.producer import BlockProducer
    from biokeel.engine.pseudonymise import PseudonymiseWorker, consumption
    from biokeel.pseudonymise.wall import Wall
    from biokeel.vault.store import Vault

    catalogue = open_catalogue(settings.schemas_dir, settings.schema_registry_url)
    codec = Codec(catalogue, settings.max_event_bytes)
    register = FollowedRegister(settings.sources_dir)
    vault = Vault.open(settings)
    require_current(settings, vault)
    wall = Wall(
        codec,
        vault,
        Schemas(catalogue),
        register.current,
        unknown_person=settings.unknown_person,
        set_aside=settings.set_aside_events,
        landing=settings.landing_bucket if settings.variant_files == "check" else "",
    )
    worker = PseudonymiseWorker(settings, metrics, wall, catalogue, BlockProducer(settings), signer=vault.signer)
    return consumption(settings, register.current, catalogue.events), worker


def curate_worker(settings: Settings, metrics: WorkerMetrics) -> tuple[Consumption, CurateWorker]:
    """The worker of the research zone: it opens the lake, and never a raw topic or the vault.

    An event type without a version in force waits, and says so; the others flow. Raises `SettingsError` without a
    public key of the vault zone's, `StoreRefused` for a store that does not keep its word.
    """
    from biokeel.contracts.catalogue import Schemas
    from biokeel.contracts.registry import open_catalogue
    from biokeel.contracts.signatures import PublicKeys
    from biokeel.engine.curate.worker import CurateWorker, consumption
    from biokeel.land.lake import Lake
    from biokeel.land.objects import check_store
    from biokeel.rulebook.follow import FollowedBook

    keys = PublicKeys.of_setting(settings.block_public_keys)
    catalogue = open_catalogue(settings.schemas_dir, settings.schema_registry_url)
    schemas = Schemas(catalogue, landed=True)
    lake = Lake.of(settings)
    check_store(lake.objects)
    book = FollowedBook(lake.objects, schemas, begin=settings.expectations_dir, four_eyes=settings.four_eyes)
    return consumption(settings, book.events), CurateWorker(settings, metrics, lake, schemas, book, keys=keys)
