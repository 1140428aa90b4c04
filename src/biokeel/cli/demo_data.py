"""`biokeel demo-data`: made-up participants and events, with known defects, as files to publish."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add `demo-data`."""
    app.command("demo-data")(demo_data)


def demo_data(
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    people: Annotated[int, typer.Option(help="Participants.", min=1)] = 1_000,
    seed: Annotated[int, typer.Option(help="The same seed makes the same files.", min=0)] = 1,
    defects: Annotated[float, typer.Option(help="Share of defective events.", min=0, max=0.5)] = 0.02,
) -> None:
    """Write ready records for `biokeel publish OUT/files`, and what must become of each event in `OUT/labels.jsonl`.

    Everybody in it is made up.
    """
    from rich.table import Table

    from biokeel.cli.terminal import terminal
    from biokeel.contracts.codec import Codec
    from biokeel.contracts.registry import open_catalogue
    from biokeel.demo import demo_corpus
    from biokeel.demo.programme import DEMO
    from biokeel.settings import Settings

    settings = Settings.load()
    corpus = demo_corpus(people, seed, defects)
    paths = corpus.write(
        out, Codec(open_catalogue(settings.schemas_dir, settings.schema_registry_url), settings.max_event_bytes)
    )
    table = Table(title=f"{people:,} made-up participants, {len(corpus):,} messages, {len(paths)} files in {out}")
    for heading in ("expected verdict", "reason", "defect"):
        table.add_column(heading)
    table.add_column("events", justify="right")
    fates = corpus.labels.group_by("verdict", "reason", "defect").len().sort("verdict", "reason", "defect")
    for verdict, reason, defect, count in fates.iter_rows():
        table.add_row(verdict, reason or "", defect or "", f"{count:,}")
    table.add_row("sealed", "wire.*", "broken messages", f"{corpus.broken:,}")
    console = terminal()
    console.print(table)
    console.print(f"Publish them: biokeel publish {out / 'files'} --source-id {DEMO}", soft_wrap=True)
    console.print(f"What must become of each event: {out / 'labels.jsonl'}", soft_wrap=True)
