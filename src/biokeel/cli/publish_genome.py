"""`biokeel publish genome`: a variant file into the landing bucket, and its claim check into its raw topic."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from biokeel.cli.files_of_a_source import (
    KeyFile,
    Site,
    SourceId,
    SubjectText,
    Zone,
    progress_over,
    require_registered,
    source_of,
)

if TYPE_CHECKING:
    from biokeel.source.adapters.base import Subject
    from biokeel.source.files import Source


def publish_genome(
    file: Annotated[Path, typer.Argument(help="A VCF, gVCF or BCF.", show_default=False)],
    *,
    source_id: SourceId,
    sample: Annotated[
        list[str],
        typer.Option(
            help="A sample of the file, as its header names it; repeat it for others of the same person; - reads one"
            " from standard input, unseen.",
        ),
    ],
    site: Site = "",
    subject: SubjectText = "",
    build: Annotated[
        str, typer.Option(help="GRCh37, GRCh38 or T2T-CHM13v2.0; else what the lengths of its contigs show.")
    ] = "",
    occurred_at: Annotated[
        str, typer.Option(help="When the file was complete, ISO 8601; else its last change.", show_default=False)
    ] = "",
    zone: Zone = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Look at the file, send nothing.")] = False,
    key_file: KeyFile = None,
) -> None:
    """Upload a variant file, then publish genome.variant_file_ready. Run it again after it was stopped: it goes on.

    Its person is the first --sample under sample/<site>, or --subject. A file that is there is not sent again.
    """
    from biokeel.cli.terminal import say, terminal
    from biokeel.contracts.registry import open_catalogue
    from biokeel.contracts.variants import READY
    from biokeel.observe.reach import require_kafka, require_store
    from biokeel.settings import Settings, side_of
    from biokeel.source.client import Publisher
    from biokeel.source.genome_files import claim_check, look_at
    from biokeel.source.uploads import upload

    settings = Settings.load(side_of(source_id))
    names = [sys.stdin.readline().strip() if name == "-" else name for name in sample]
    source = source_of(
        settings,
        source_id,
        site=site,
        subject=subject,
        zone=zone,
        day_month="",
        identifiers=None,
        key_file=key_file,
        make_key=not dry_run,
        occurred_at=occurred_at,
    )
    require_registered(settings, source_id)
    whose = source.subject or _of_sample(source, names[0])
    found = look_at(file, build, names, source.stated.at)
    if dry_run:
        say(f"{file.name}: {found.kind}, {found.build}, samples: {len(names)}. Nothing was sent.")
        return
    require_kafka(settings)
    require_store(settings)
    catalogue = open_catalogue(settings.schemas_dir, settings.schema_registry_url)
    console = terminal()
    with progress_over(console) as progress:
        task = progress.add_task("", total=2 * file.stat().st_size)
        uploaded = upload(file, f".{found.kind}", settings, source_id, lambda size: progress.advance(task, size))
    with Publisher(settings, catalogue) as publisher:
        publisher.publish(READY, [claim_check(found, uploaded, whose, source)])
    how = "was there already" if uploaded.was_there else f"uploaded, {uploaded.content.size:,} bytes"
    say(f"{file.name}: {how}. Published {READY}: its receipt says what became of it.")


def _of_sample(source: Source, name: str) -> Subject:
    """The person of a sample. Raises `typer.BadParameter`."""
    from biokeel.source.adapters.base import Unusable, subject_of

    try:
        return subject_of(f"sample/{source.site or source.source_id}", name, "--sample")
    except Unusable as error:
        raise typer.BadParameter(f"{error}.") from None
