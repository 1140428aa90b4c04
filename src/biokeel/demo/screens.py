"""What `biokeel demo` shows once everything has landed."""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

from biokeel.errors import BooksDoNotBalance

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    import polars as pl
    from rich.console import Console

    from biokeel.contracts.receipts import Receipt
    from biokeel.demo import DemoCorpus, Verdict
    from biokeel.land.lake import Lake
    from biokeel.settings import Settings

    ShowPerson = Callable[[str, pl.DataFrame, dict[str, Any] | None, Console], None]
    """Prints a participant: ID, timeline, summary."""

NEWEST: Final = 2
"""Events of each type that are shown of the participant, so that the record fits a screen."""
LINES: Final = 2
"""Receipts of each kind that are shown."""
HEARD_SECONDS: Final = 60.0
"""How long to wait for the books' worker, which looks every few seconds."""
SNAPSHOT_SECONDS: Final = 30.0
"""How long to wait for the workers' snapshots of the linking state; they write them after some seconds of idleness."""


def show_verdicts(corpus: DemoCorpus, broken: int, lake: Lake, vault_zone: Settings, console: Console) -> None:
    """Compare each event's verdict with its label. Raises `BooksDoNotBalance` where one differs.

    Tables are compared by event id, which only the vault zone can tell from what the source sent; what stays in that
    zone can only be seen from outside as being in no table.
    """
    import polars as pl
    from rich.table import Table

    from biokeel.demo import Verdict
    from biokeel.land.contents import CURATED, LakeReader

    landed = pl.concat(
        _ids(lake, uri, Verdict.CURATED if name == CURATED else Verdict.QUARANTINED)
        for _event, name, uri in LakeReader(lake).tables()
    )
    labels = _as_in_tables(corpus.labels.filter(pl.col("verdict") != Verdict.APPLIED), vault_zone)
    found = labels.join(landed, on="event_id", how="left", maintain_order="left").with_columns(
        right=pl.when(pl.col("verdict").is_in([Verdict.CURATED, Verdict.QUARANTINED]))
        .then(pl.col("found").eq_missing(pl.col("verdict")))
        .otherwise(pl.col("found").is_null())
    )
    table = Table("what was done to the event", "verdict", "why", title="Known defects")
    table.add_column("events", justify="right")
    table.add_column("as it should be", justify="right")
    fates = found.group_by("defect", "verdict", "reason").agg(pl.len(), pl.col("right").sum())
    for defect, verdict, reason, count, right in fates.sort("verdict", "reason", "defect").iter_rows():
        table.add_row(defect or "nothing", verdict, reason or "", f"{count:,}", f"{right:,}")
    table.add_row("broken in its bytes", Verdict.SEALED, "wire.*", f"{broken:,}", "see the books")
    console.print(table)
    if wrong := int((~found["right"]).sum()):
        raise BooksDoNotBalance(f"{wrong} of {found.height} known events did not get the verdict they should get.")


def _as_in_tables(labels: pl.DataFrame, vault_zone: Settings) -> pl.DataFrame:
    """`labels` with the event ids that rows have; what is no event id stays as it is, and is in no table."""
    from biokeel.contracts.grammars import EVENT_ID
    from biokeel.vault.store import Vault

    vault = Vault.open(vault_zone)
    ids = labels["event_id"]
    formed = ids.str.contains(EVENT_ID)
    hidden = ids.scatter(formed.arg_true(), vault.event_ids.hide(ids.filter(formed)))
    vault.close()
    return labels.with_columns(hidden)


def _ids(lake: Lake, uri: str, verdict: Verdict) -> pl.DataFrame:
    import polars as pl

    from biokeel.demo import Verdict
    from biokeel.land.reading import scan
    from biokeel.reasons import Reason

    rows = scan(uri, lake)
    if verdict == Verdict.QUARANTINED:  # What was sent again as it was has its verdict already.
        rows = rows.filter(pl.col("reason") != str(Reason.REPEATED))
    return rows.select("event_id", pl.lit(str(verdict)).alias("found")).collect()


def show_participant(lake: Lake, curated: int, console: Console, show: ShowPerson) -> None:
    """Show who has all three domains and the fewest events: a record that fits a screen.

    The participants table is made from the workers' snapshots, which they write once they have nothing else to do;
    `curated` says how many events it must know of in the end, and `show` prints them.
    """
    from biokeel.land import person
    from biokeel.land.maintenance import refresh_participants
    from biokeel.land.reading import scan
    from biokeel.link.participants import from_snapshots

    deadline = time.monotonic() + SNAPSHOT_SECONDS
    with console.status("Waiting for the participants table"):
        while refresh_participants(lake, from_snapshots) is None or _known(lake) < curated:
            if time.monotonic() > deadline:
                console.print("The participants table does not know of all events yet.")
                break
            time.sleep(0.5)
    whole = scan(lake.participants, lake).filter("has_genome", "has_clinical", "has_lifestyle")
    chosen = whole.sort("events", "participant_id").select("participant_id").head(1).collect()["participant_id"]
    if chosen.is_empty():
        console.print("Nobody has events of all three domains; try more people.")
        return
    timeline = person.timeline(lake, chosen[0])
    newest = timeline.group_by("event", maintain_order=True).tail(NEWEST).sort("occurred_at")
    show(chosen[0], newest, person.summary(lake, chosen[0]), console)
    console.print(f"Shown: the newest {NEWEST} events of each type, of {timeline.height}.")


def _known(lake: Lake) -> int:
    from biokeel.land.reading import scan

    return int(scan(lake.participants, lake).select("events").sum().collect().item())


def show_quarantined(lake: Lake, settings: Settings, console: Console) -> None:
    """Show two examples of each domain: which rule a row failed, and why there is such a rule.

    Of the two the second had a value that did not cross the wall.
    """
    import polars as pl
    from rich.table import Table

    from biokeel.batch import At
    from biokeel.contracts.schema import load_schemas
    from biokeel.land.reading import scan
    from biokeel.reasons import Reason
    from biokeel.rulebook.follow import FollowedBook

    book = FollowedBook(lake.objects, load_schemas(settings.schemas_dir), four_eyes=settings.four_eyes)
    table = Table("event", "participant", title="Quarantined")
    for column in ("came from", "failed rule", "why there is such a rule"):
        table.add_column(column, overflow="fold")
    columns = ("participant_id", "failed_rules", "withheld", "source_id", "first_partition", "first_offset")
    shown = set()
    for event in lake.events():
        judged = scan(lake.quarantine(event), lake).filter(pl.col("reason") == str(Reason.RULE))
        of_each = (judged.filter(pl.col("withheld").is_null() == is_whole) for is_whole in (True, False))
        for rows in pl.collect_all([some.select(columns).head(1) for some in of_each]):
            for participant, (rule, *_), withheld, *at in rows.iter_rows():
                if (event.domain, withheld is None) in shown:
                    continue
                notes = next(known.notes for known in book.current(event).rules if known.id == rule)
                table.add_row(str(event), participant, At(*at).of(event), rule, notes)
                shown.add((event.domain, withheld is None))
    console.print(table)


def show_receipts(source: Settings, events: int, console: Console, line_of: Callable[[Receipt], str]) -> None:
    """Show what a source hears of its `events`, as `line_of` tells it, in few lines of each kind.

    Raises `BooksDoNotBalance` where it has not heard of all of them after `HEARD_SECONDS`.
    """
    from biokeel.source.receipts import Follower, told

    deadline = time.monotonic() + HEARD_SECONDS
    with console.status("Waiting for receipts"):
        while True:
            receipts = list(told(Follower(source), on=False))
            heard = sum(len(each) for each in receipts if not each.amends)
            if heard >= events:
                break
            if time.monotonic() > deadline:
                raise BooksDoNotBalance(f"{source.source_id} heard of {heard} of its {events} events.", "See the log.")
            time.sleep(1.0)
    console.print(f"{source.source_id} sent {events:,} events, and hears in {len(receipts):,} records:")
    shown: Counter[tuple[str, str]] = Counter()
    for each in receipts:
        kind = str(each.outcome), each.reason
        shown[kind] += 1
        if shown[kind] <= LINES:
            console.print(f"  {line_of(each)}", soft_wrap=True, highlight=False)
    if left := sum(max(0, count - LINES) for count in shown.values()):
        console.print(f"  and {left:,} more like these")


def show_silent(lake: Lake, silent: str, console: Console) -> None:
    """Show the alarm of a source that sends nothing. Raises `BooksDoNotBalance` where there is none in time."""
    from biokeel.books.published import Published

    deadline = time.monotonic() + HEARD_SECONDS
    while True:
        seen = Published.read(lake.objects)
        found = [alarm.sentence for alarm in seen.alarms if alarm.source == silent] if seen is not None else []
        if found:
            console.print(f"An alarm: {found[0]}", soft_wrap=True)
            return
        if time.monotonic() > deadline:
            raise BooksDoNotBalance(f"Nobody says that {silent} is silent.", "See the log of the books' worker.")
        time.sleep(1.0)


def farewell(state_dir: Path, console: Console) -> None:
    """Say where everything is and how to go on."""
    lake = state_dir / "objects" / "data" / "biokeel-lake"
    console.rule("Done: every event is accounted for")
    console.print(f"The tables stay in {lake}. Read one with polars:", soft_wrap=True)
    console.print(f"  pl.read_delta('{lake}/curated/clinical/blood_pressure')", soft_wrap=True, highlight=False)
    console.print("Look around with the stack running again:")
    where = f"BIOKEEL_STATE_DIR={state_dir} BIOKEEL_SOURCES_DIR={state_dir / 'register'}"
    console.print(f"  {where} {Path(sys.executable).parent}/biokeel stack up", soft_wrap=True)
