"""`biokeel participant`: one person, by participant ID, across the three domains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from biokeel.cli.terminal import say
from biokeel.errors import LandingError

if TYPE_CHECKING:
    import polars as pl
    from rich.console import Console
    from rich.table import Table

MOST_ROWS = 200
"""Events that the table shows; `--json` shows all."""


def register(app: typer.Typer) -> None:
    """Add the commands of this group."""
    group = typer.Typer(help="One person across the three domains, by participant ID.", no_args_is_help=True)
    group.command("show")(show)
    app.add_typer(group, name="participant")


def show(
    participant_id: Annotated[str, typer.Argument(metavar="ID", help="Participant ID, 14 characters.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as one JSON object.")] = False,
) -> None:
    """Show a person's events of all domains in the order in which they happened, and what there is in all."""
    from biokeel.contracts.ids import decode_id, encode_id
    from biokeel.land import person
    from biokeel.land.lake import Lake
    from biokeel.settings import OPERATOR, Settings

    # To the number and back: a reader may have typed it in lower case, or with an O for a zero.
    text = encode_id(decode_id(participant_id))
    lake = Lake.of(Settings.load(OPERATOR))
    timeline, summary = person.timeline(lake, text), person.summary(lake, text)
    if timeline.is_empty() and summary is None:
        raise LandingError("No event of this participant has landed.", "Is the ID of this programme, and the lake?")
    if as_json:
        print_json(text, timeline, summary)
    else:
        print_tables(text, timeline, summary)


def print_json(participant_id: str, timeline: pl.DataFrame, summary: dict[str, Any] | None) -> None:
    """Print `{"participant_id", "summary", "events": [...]}`; times are ISO 8601."""
    import orjson

    events = [row | {"fields": orjson.loads(row["fields"])} for row in timeline.iter_rows(named=True)]
    whole = {"participant_id": participant_id, "summary": summary, "events": events}
    say(orjson.dumps(whole, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z).decode(), lines=True)


def print_tables(
    participant_id: str, timeline: pl.DataFrame, summary: dict[str, Any] | None, console: Console | None = None
) -> None:
    """Print the summary and the newest `MOST_ROWS` events as tables."""
    import orjson
    from rich.table import Table

    from biokeel.cli.terminal import terminal

    console = console or terminal()
    console.print(_summary_table(participant_id, summary))
    console.print(_summary_line(timeline, summary))
    table = Table("when", "event", "nr", "age", "days since enrolment", "what", "source", title="Events", expand=True)
    for row in timeline.tail(MOST_ROWS).iter_rows(named=True):
        fields = orjson.loads(row["fields"])
        told = "  ".join(f"{name}={_short(value)}" for name, value in fields.items() if value is not None)
        flag = f"  ! {', '.join(row['warnings'])}" if row["warnings"] else ""
        table.add_row(
            f"{row['occurred_at']:%Y-%m-%d %H:%M}Z",
            row["event"],
            str(row["sequence"]),
            _short(row["age_at_event"]),
            _short(row["days_since_enrolment"]),
            told + flag,
            row["source_id"],
        )
    console.print(table)
    if timeline.height > MOST_ROWS:
        console.print(f"{timeline.height - MOST_ROWS} older events are not shown; --json has all.")


def _summary_table(participant_id: str, summary: dict[str, Any] | None) -> Table:
    from rich.table import Table

    table = Table("event", "events", "first", "last", title=f"Participant {participant_id}")
    known = summary or {}
    for name in (key.removesuffix("_count") for key in known if key.endswith("_count")):
        if count := known[f"{name}_count"]:
            first, last = (f"{known[f'{name}_{end}_at']:%Y-%m-%d}" for end in ("first", "last"))
            table.add_row(name.replace("_", ".", 1), str(count), first, last)
    return table


def _summary_line(timeline: pl.DataFrame, summary: dict[str, Any] | None) -> str:
    if summary is None:
        return "Not in the participants table yet: biokeel lake refresh"
    have = [name.removeprefix("has_") for name in summary if name.startswith("has_") and summary[name]]
    newer = timeline.height - summary["events"]
    landed = f" {newer} events landed since the last refresh." if newer > 0 else ""
    return f"Has {', '.join(have) or 'nothing yet'}.{landed}"


def _short(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:g}" if isinstance(value, float) else str(value)
