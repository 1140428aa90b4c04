"""`biokeel worker`: the two applications, and who keeps the books, checks genome files and counts beside the stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import typer

from biokeel.contracts.topics import Zone

if TYPE_CHECKING:
    from biokeel.settings import Settings

_LONGEST: Final = 86_400.0
"""Seconds after which the check of one file counts as stuck: its own limits are far below."""


def register(app: typer.Typer) -> None:
    """Add `worker pseudonymise`, `worker curate`, `worker books`, `worker files` and `worker windows`."""
    group = typer.Typer(help="Run a worker until it is told to stop; start more of them to share the partitions.")
    group.command()(pseudonymise)
    group.command()(curate)
    group.command()(books)
    group.command()(files)
    group.command()(windows)
    app.add_typer(group, name="worker")


def pseudonymise() -> None:
    """Vault zone: take raw events through the privacy wall, on to the pseudo topics."""
    from biokeel.observe.reach import require_kafka

    settings = _settings(Zone.VAULT)
    settings.require("kafka_bootstrap", "vault_url", "vault_key_file")
    require_kafka(settings)
    _work("pseudonymise", settings)


def curate() -> None:
    """Research zone: validate and link pseudonymised events, and land them as tables."""
    from biokeel.observe.reach import require_kafka, require_store

    settings = _settings(Zone.RESEARCH)
    settings.require("kafka_bootstrap", "s3_endpoint")
    require_kafka(settings)
    require_store(settings)
    _work("curate", settings)


def books() -> None:
    """Follow tables and vault by coordinates: keep the books, tell sources what became of their events. One is enough.

    A second one stands by: of two, one goes on and the other begins from what that one saved.
    """
    from biokeel.books.metrics import BooksMetrics
    from biokeel.books.worker import run_until_signal
    from biokeel.observe.reach import require_kafka, require_store
    from biokeel.observe.serve import serve_metrics
    from biokeel.settings import BOOKS

    settings = _settings(BOOKS)
    settings.require("kafka_bootstrap", "vault_url", "s3_endpoint")
    require_kafka(settings)
    require_store(settings)
    metrics = BooksMetrics()
    where = settings.state_dir, settings.metrics_host, settings.metrics_port
    with serve_metrics(metrics, *where, stuck_after=settings.stuck_seconds):
        status = run_until_signal(settings, metrics)
    raise typer.Exit(status)


def files() -> None:
    """Vault zone: check genome files that sources put down, and write them anew for researchers, by participant."""
    from biokeel.files.metrics import FilesMetrics
    from biokeel.files.worker import run_until_signal
    from biokeel.observe.reach import require_store
    from biokeel.observe.serve import serve_metrics

    settings = _settings(Zone.VAULT)
    settings.require("vault_url", "vault_key_file")
    require_store(settings)
    metrics = FilesMetrics()
    with serve_metrics(metrics, settings.state_dir, settings.metrics_host, settings.metrics_port, stuck_after=_LONGEST):
        status = run_until_signal(settings, metrics)
    raise typer.Exit(status)


def windows() -> None:
    """Research zone: beside the stream, from what has landed, count for shadows, judge windows and thresholds.

    One is enough; a second one stands by.
    """
    from biokeel.observe.logs import leave
    from biokeel.observe.reach import require_store
    from biokeel.observe.serve import serve_metrics
    from biokeel.rules.beside import run_until_signal
    from biokeel.rules.beside_metrics import BesideMetrics

    settings = _settings(Zone.RESEARCH)
    settings.require("s3_endpoint")
    require_store(settings)
    metrics = BesideMetrics()
    where = settings.state_dir, settings.metrics_host, settings.metrics_port
    with serve_metrics(metrics, *where, stuck_after=settings.stuck_seconds):
        status = run_until_signal(settings, metrics)
    leave(status)


def _settings(zone: str) -> Settings:
    from biokeel.observe.logs import configure_logs
    from biokeel.settings import Settings

    settings = Settings.load(zone)
    configure_logs(settings.log_level)
    return settings


def _work(kind: Literal["pseudonymise", "curate"], settings: Settings) -> None:
    from biokeel.engine.app import run
    from biokeel.engine.build import curate_worker, pseudonymise_worker
    from biokeel.observe.logs import leave
    from biokeel.observe.metrics import WorkerMetrics

    build = pseudonymise_worker if kind == "pseudonymise" else curate_worker
    metrics = WorkerMetrics(kind)
    with metrics.serve(
        settings.state_dir, settings.metrics_port, host=settings.metrics_host, stuck_after=settings.stuck_seconds
    ):
        status = run(settings, *build(settings, metrics))
    leave(status)
