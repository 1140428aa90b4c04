"""`biokeel vault`: counts, the audit and backups. Nothing here shows an identifier."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from biokeel.cli.terminal import say, terminal

if TYPE_CHECKING:
    from biokeel.settings import Settings
    from biokeel.vault.store import Vault


def register(app: typer.Typer) -> None:
    """Add the group `vault`."""
    vault = typer.Typer(name="vault", help="The vault: counts, the proof of its audit, backups.", no_args_is_help=True)
    audit = typer.Typer(name="audit", help="The tamper-evident audit.", no_args_is_help=True)
    vault.command("status")(status)
    vault.command("backup")(backup)
    vault.command("restore")(restore)
    vault.command("migrate")(migrate)
    vault.command("accept")(accept)
    vault.command("redrive")(redrive)
    vault.command("tidy-files")(tidy_files)
    vault.command("stopped")(stopped)
    vault.command("event-id")(event_id)
    vault.command("block-keys")(block_keys)
    audit.command("verify")(verify)
    audit.command("head")(head)
    vault.add_typer(audit)
    app.add_typer(vault)


def status() -> None:
    """Show how many participants, parked events and dead letters the vault holds."""
    from biokeel.vault.tables import Parked

    vault = _open()
    try:
        counts = vault.status()
    finally:
        vault.close()
    names = {
        Parked.WAITING: "parked events, their person is not enrolled",
        Parked.NUMBERED: "parked events, their person has come, go on next",
        Parked.OFFERED: "parked events, on their way to Kafka just now",
        Parked.RELEASED: "events that were parked and have gone on",
    }
    table = Table("what", "count")
    table.add_row("participants", str(counts.participants))
    table.add_row("participants who withdrew", str(counts.withdrawn))
    table.add_row("identifiers", str(counts.identifiers))
    table.add_row("person events applied", str(counts.applied))
    for state, count in counts.parked.items():
        table.add_row(names[Parked(state)], str(count))
    for reason, count in counts.sealed.items():
        table.add_row(f"sealed events, {reason}", str(count))
    table.add_row("audit entries", str(counts.audit_entries))
    terminal().print(table)


def stopped(
    event: Annotated[str, typer.Argument(help="Event type, such as clinical.blood_pressure.")],
    to: Annotated[Path, typer.Option("--to", help="A new file.", show_default=False)],
) -> None:
    """Write the participants whose events of a type are stopped today, withdrawn or without consent, into a file.

    For `biokeel suite release`: what came before is in the lake, and only the vault knows who has withdrawn since.
    """
    from biokeel.contracts.ids import encode_ids
    from biokeel.contracts.topics import event_type

    if to.exists():
        raise typer.BadParameter(f"{to} is there already; name a new file.", param_hint="--to")
    domain = event_type(event).domain
    vault = _open()
    try:
        people = vault.stopped(domain)
    finally:
        vault.close()
    with to.open("x", encoding="ascii") as file:
        file.writelines(f"{each}\n" for each in encode_ids(people))
    say(f"{to}: {len(people):,} participants whose events of {domain} are stopped.")


def event_id(
    ids: Annotated[list[str], typer.Argument(help="Event ids as rows have them.", show_default=False)],
    *,
    of_source: Annotated[bool, typer.Option("--of-source", help="They are a source's: say the rows' ids.")] = False,
) -> None:
    """Turn event ids of rows back into those that the source chose, or the other way round.

    Rows carry an id that only this zone can tell from the source's: so a source's question about an event of its own
    is answered here. It is written into the audit.
    """
    import polars as pl

    vault = _open()
    try:
        turned = vault.turn_event_ids(pl.Series(ids, dtype=pl.String), to_rows=of_source)
    finally:
        vault.close()
    for each in turned:
        print(each)


def backup(target: Annotated[Path, typer.Argument(help="A new file.", show_default=False)]) -> None:
    """Write the vault to an encrypted file, as it stands in this moment; workers go on meanwhile.

    The keys are not in it: keep the key file elsewhere, too.
    """
    from biokeel.vault.backup import back_up

    made = back_up(_settings(), target)
    say(
        f"{target}: {made.size:,} bytes of vault, encrypted under key {made.key_id}. It does not open without that key."
    )


def migrate() -> None:
    """Bring the vault's tables up to this release's, or make them in an empty database; all of it or nothing.

    Back the vault up and stop its workers first. On PostgreSQL it is for the owner's account, and
    deploy/postgresql/roles.sql is run once more after it.
    """
    from biokeel.vault.database import Database
    from biokeel.vault.schema import HEAD
    from biokeel.vault.schema import migrate as bring

    settings = _settings()
    settings.require("vault_url")
    database = Database(settings.vault_url)
    try:
        before = bring(database)
    finally:
        database.close()
    if before == HEAD:
        say(f"The vault's tables are those of this release ({HEAD}).")
    else:
        say(f"The vault's tables are those of this release now: {HEAD}, before {before or 'there were none'}.")


def restore(
    source: Annotated[Path, typer.Argument(help="A file of `biokeel vault backup`.", show_default=False)],
) -> None:
    """Put a backup in the place of the vault; what stood there is kept beside it. Refused while anybody uses the vault.

    Says how far the backup is behind what was published. Workers refuse to start on a vault that is.
    """
    from biokeel.engine.consistency import behind, told
    from biokeel.vault.backup import restore as put_back

    settings = _settings()
    made, former = put_back(settings, source)
    at = dt.datetime.fromtimestamp(made.made_at, dt.UTC).isoformat(sep=" ", timespec="seconds")
    say(f"The vault is that of {at}." + (f" The former one is {former}." if former else ""))
    vault = _open()
    try:
        lacking = behind(settings, vault)
    finally:
        vault.close()
    say(
        f"It is older than what was published: {told(lacking)}. Workers will not start on it: see docs/operations.md."
        if lacking
        else "It knows all that was published: start the workers."
    )


def accept(
    *,
    loss: Annotated[bool, typer.Option("--loss", help="Yes, I have read in docs/operations.md what is lost.")] = False,
) -> None:
    """Go on with a restored vault that is older than what was published. No worker may run. It stands in the audit.

    What was parked or sealed since the backup is gone, and people who were enrolled since get new IDs.
    """
    from biokeel.engine.consistency import behind, place_group, taken_up_to, told
    from biokeel.engine.kafka.groups import members
    from biokeel.engine.pseudonymise import GROUP
    from biokeel.errors import VaultError

    settings = _settings()
    vault = _open()
    try:
        if not (lacking := behind(settings, vault)):
            say("The vault knows all that was published: there is nothing to accept.")
            return
        say(f"The vault is older than what was published: {told(lacking)}.")
        if not loss:
            raise VaultError("Nothing was changed.", "Restore a newer backup, or say --loss: docs/operations.md.")
        if count := members(settings, GROUP):
            raise VaultError(f"{count} pseudonymise workers run.", "Stop them (biokeel stack down), then try again.")
        vault.accept(place_group(settings, vault, taken_up_to(settings, vault.block_keys)))
    finally:
        vault.close()
    say("Accepted. Start the workers; biokeel verify then names the events that sources should publish again.")


def block_keys(
    *,
    prepare: Annotated[bool, typer.Option("--prepare", help="Add the next key, which signs nothing yet.")] = False,
    use: Annotated[
        bool, typer.Option("--use", help="Sign with the next key, from the next start of each worker.")
    ] = False,
    drop: Annotated[bool, typer.Option("--drop", help="Forget the older keys.")] = False,
) -> None:
    """Print the public keys of what signs blocks, as BIOKEEL_BLOCK_PUBLIC_KEYS wants them; change the key in steps.

    First prepare a key, and give what is printed to every curate worker; only then use it. docs/operations.md has it.
    """
    from biokeel.errors import VaultError
    from biokeel.vault.keys import drop_block_keys, load_key_file, prepare_block_key, use_block_key

    settings = _settings()
    settings.require("vault_key_file")
    assert settings.vault_key_file is not None
    if prepare + use + drop > 1:
        raise VaultError("These are steps.", "Take one at a time, and read in docs/operations.md what lies between.")
    change = prepare_block_key if prepare else use_block_key if use else drop_block_keys if drop else load_key_file
    print(",".join(change(settings.vault_key_file).public_keys))


def redrive(
    reason: Annotated[str, typer.Option(help="For example wire.unknown_schema.", show_default=False)],
    event: Annotated[str, typer.Option(help="For example clinical.glucose; default all.")] = "",
) -> None:
    """Judge sealed events that could not be read once more: their schema is known by now. Each goes on at most once.

    Workers go on meanwhile, and must know the schema before. What still cannot be read is sealed again.
    """
    from biokeel.contracts.catalogue import locked_events
    from biokeel.errors import SchemaError, VaultError
    from biokeel.reasons import Reason
    from biokeel.settings import Settings

    try:
        why = Reason(reason)
    except ValueError:
        raise VaultError(f"There is no reason {reason}.", "docs/sources.md lists them.") from None
    known = locked_events(Settings.load().schemas_dir)
    events = [each for each in known if event in ("", str(each))]
    if not events:
        raise SchemaError(f"There is no event type {event}.", f"One of: {', '.join(map(str, known))}.")
    vault = _open()
    try:
        for each in events:
            if count := vault.redrive(each, why):
                say(f"{count} events of {each} are judged again; biokeel status shows what becomes of them.")
    finally:
        vault.close()


def tidy_files(
    older_than_hours: Annotated[int, typer.Option(help="Files that are younger are left alone.", min=1)] = 72,
    *,
    delete: Annotated[bool, typer.Option("--delete", help="Delete; without it they are only counted.")] = False,
) -> None:
    """Count, or delete, checked genome files that no event names: what a check left behind that came to no end.

    Safe while workers check files; where the command ends early, the next one goes on.
    """
    from biokeel.files.tidy import tidy_files as tidy
    from biokeel.s3 import Bucket

    settings = _settings()
    settings.require("s3_endpoint", "s3_access_key")
    before = dt.datetime.now(dt.UTC) - dt.timedelta(hours=older_than_hours)
    vault = _open()
    try:
        found = tidy(vault, Bucket(settings, settings.genome_bucket), before, delete=delete)
    finally:
        vault.close()
    say(f"Named by no event, and older than {older_than_hours} h: {found.files} files of {found.size:,} bytes.")
    say(f"Uploads that were never finished: {found.unfinished}.")
    if found.kept:
        say(f"Left alone: {found.kept} from before an older vault was accepted, which may have lost what names them.")
    say(f"{found.deleted} files deleted." if delete else "Add --delete to delete them.")


def head() -> None:
    """Print the head of the audit. Keep it where the vault's administrators cannot change it."""
    vault = _open()
    try:
        say(str(vault.audit_head()))
    finally:
        vault.close()


def verify(
    kept: Annotated[str, typer.Option("--head", help="A head from elsewhere; without it no cut tail is seen.")] = "",
) -> None:
    """Walk the whole audit: an edit, a deletion or a swap is found, and a cut tail where a head is given.

    Exit status 1 if anything is wrong.
    """
    from biokeel.vault.audit import AuditHead

    vault = _open()
    try:
        report = vault.verify_audit(AuditHead.parse(kept) if kept else None)
    finally:
        vault.close()
    for fault in report.faults:
        say(str(fault))
    if report.faults:
        raise typer.Exit(1)
    say(f"{report.entries} entries, none changed. Head: {report.head}")


def _settings() -> Settings:
    from biokeel.contracts.topics import Zone
    from biokeel.settings import Settings

    return Settings.load(Zone.VAULT)


def _open() -> Vault:
    from biokeel.vault.store import Vault

    return Vault.open(_settings())
