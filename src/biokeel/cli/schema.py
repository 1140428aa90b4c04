"""biokeel schema: check, lock, list and show the contracts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from biokeel.cli.terminal import say
from biokeel.errors import IncompatibleSchema, SchemaError

if TYPE_CHECKING:
    from biokeel.contracts.compatibility import Refusal
    from biokeel.contracts.topics import EventType

Root = Annotated[Path | None, typer.Option("--schemas", help="The directory catalogue; default BIOKEEL_SCHEMAS_DIR.")]

commands = typer.Typer(help="The contracts: Avro schemas, their ids and the gate that a change must pass.")


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.add_typer(commands, name="schema", no_args_is_help=True)


@commands.command()
def check(schemas: Root = None) -> None:
    """Lint every schema, and hold each change against the versions that were locked before."""
    from biokeel.contracts.lock import changed

    root = _root(schemas)
    faults = _faults(root)
    for fault in faults:
        say(f"refused  {fault}")
    if faults:
        raise IncompatibleSchema(f"The gate refuses {len(faults)} thing(s) in {root}.", "See the lines above.")
    waiting = [str(event) for event, _ in changed(root)]
    if waiting:
        raise SchemaError(
            f"Good, but not locked: {', '.join(waiting)}.", "Run biokeel schema lock and commit what it writes."
        )
    say("All schemas pass.")


@commands.command()
def lock(schemas: Root = None) -> None:
    """Give every changed schema its next version and id, if the gate lets the change through."""
    from biokeel.contracts import lock as locking

    root = _root(schemas)
    faults = _faults(root)
    for fault in faults:
        say(f"refused  {fault}")
    if faults:
        raise IncompatibleSchema("Nothing is locked: the gate refuses the lines above.", "Mend them and try again.")
    new = locking.lock(root)
    for entry in new:
        say(f"locked   {entry.subject} version {entry.version} as id {entry.id}")
    if not new:
        say("Nothing has changed.")


@commands.command("register")
def register_(schemas: Root = None) -> None:
    """Register every locked version in the schema registry of BIOKEEL_SCHEMA_REGISTRY_URL; what is there stays."""
    from biokeel.contracts.catalogue import DirectoryCatalogue
    from biokeel.contracts.registry import RegistryCatalogue
    from biokeel.settings import Settings

    settings = Settings.load()
    settings.require("schema_registry_url")
    locked = DirectoryCatalogue(_root(schemas))
    registry = RegistryCatalogue({"url": settings.schema_registry_url}, locked)
    for event in locked.events():
        for version in locked.versions(event):
            typer.echo(f"{version.subject} version {version.version} has id {registry.register(version)}")


@commands.command("list")
def list_(schemas: Root = None) -> None:
    """List every version of every schema with its id."""
    from rich.table import Table

    from biokeel.cli.terminal import terminal
    from biokeel.contracts.catalogue import DirectoryCatalogue

    catalogue = DirectoryCatalogue(_root(schemas))
    table = Table("event", "version", "id", "fields", "fingerprint")
    for event in catalogue.events():
        for registered in catalogue.versions(event):
            row = (registered.version, registered.id, len(registered.schema.fields), registered.fingerprint)
            table.add_row(str(event), *map(str, row))
    terminal().print(table)


@commands.command()
def show(event: Annotated[str, typer.Argument(help="For example clinical.glucose.")], schemas: Root = None) -> None:
    """Show the fields of an event type: type, unit, privacy tag, form or range, and meaning."""
    from rich.table import Table

    from biokeel.cli.terminal import terminal
    from biokeel.contracts.catalogue import DirectoryCatalogue

    registered = DirectoryCatalogue(_root(schemas)).reader(_event(event))
    table = Table("field", "type", "null", "unit", "tag", "may hold", "meaning", title=registered.schema.doc)
    for field in registered.schema.fields:
        null = "yes" if field.nullable else ""
        table.add_row(field.name, field.kind, null, field.unit or "", field.tag, field.demand, field.doc)
    terminal().print(table)


@commands.command()
def forms(schemas: Root = None) -> None:
    """Print, as the Markdown table of docs/privacy.md, what of each field may cross the privacy wall."""
    from biokeel.contracts.document import forms_of
    from biokeel.contracts.schema import load_schemas

    typer.echo(forms_of(load_schemas(_root(schemas)).values()), nl=False)


@commands.command()
def models(
    schemas: Root = None,
    out: Annotated[Path | None, typer.Option(help="The file to write; default: print it.")] = None,
) -> None:
    """Write typed pydantic models, Python source, of every event type's newest locked schema."""
    from biokeel.contracts.catalogue import DirectoryCatalogue
    from biokeel.source.modelling import models_of

    catalogue = DirectoryCatalogue(_root(schemas))
    text = models_of(catalogue.reader(event).schema for event in catalogue.events())
    if out is None:
        typer.echo(text, nl=False)
    else:
        out.write_text(text, encoding="utf-8")


def _root(schemas: Path | None) -> Path:
    from biokeel.settings import Settings

    return schemas or Settings.load().schemas_dir


def _event(text: str) -> EventType:
    from biokeel.contracts.topics import event_type

    try:
        return event_type(text)
    except KeyError:
        raise SchemaError(
            f"There is no event type {text}.", "biokeel schema list names those that there are."
        ) from None


def _faults(root: Path) -> list[Refusal]:
    """What lint and gate say: each changed schema is held against all its locked versions."""
    from biokeel.contracts.catalogue import history_path, read_avro, read_lock
    from biokeel.contracts.compatibility import Refusal, refusals
    from biokeel.contracts.lint import lint
    from biokeel.contracts.lock import changed
    from biokeel.contracts.schema import load_schemas

    faults = lint(load_schemas(root).values())
    entries = read_lock(root)
    for event, avro in changed(root):
        for entry in (entry for entry in entries if entry.subject == event.subject):
            faults += [
                Refusal(f"{event}.{fault.where}", f"against version {entry.version}, {fault.what}", fault.todo)
                for fault in refusals(read_avro(history_path(root, event, entry.version)), avro)
            ]
    return faults
