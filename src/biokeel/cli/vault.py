"""`biokeel vault`: counts and the audit, for the privacy officer. Nothing here shows an identifier."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from biokeel.cli.terminal import terminal

if TYPE_CHECKING:
    from biokeel.vault.store import Vault


def register(app: typer.Typer) -> None:
    """Add the group `vault`."""
    vault = typer.Typer(name="vault", help="The vault: counts, and the proof of its audit.", no_args_is_help=True)
    audit = typer.Typer(name="audit", help="The tamper-evident audit.", no_args_is_help=True)
    vault.command("status")(status)
    audit.command("verify")(verify)
    audit.command("head")(head)
    vault.add_typer(audit)
    app.add_typer(vault)


def status() -> None:
    """Show how many participants, parked events and dead letters the vault holds."""
    vault = _open()
    try:
        counts = vault.status()
    finally:
        vault.close()
    table = Table("what", "count")
    table.add_row("participants", str(counts.participants))
    table.add_row("participants who withdrew", str(counts.withdrawn))
    table.add_row("identifiers", str(counts.identifiers))
    table.add_row("person events applied", str(counts.applied))
    for state, count in counts.parked.items():
        table.add_row(f"parked events, {state}", str(count))
    for reason, count in counts.sealed.items():
        table.add_row(f"sealed, {reason}", str(count))
    table.add_row("audit entries", str(counts.audit_entries))
    terminal().print(table)


def head() -> None:
    """Print the head of the audit. Keep it where the vault's administrators cannot change it."""
    vault = _open()
    try:
        print(vault.audit_head())
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
        print(fault)
    if report.faults:
        raise typer.Exit(1)
    print(f"{report.entries} entries, none changed. Head: {report.head}")


def _open() -> Vault:
    from biokeel.contracts.topics import Zone
    from biokeel.settings import Settings
    from biokeel.vault.store import Vault

    return Vault.open(Settings.load(Zone.VAULT))
