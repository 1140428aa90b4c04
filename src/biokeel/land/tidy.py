"""Keeping one row of each event in the curated table: the newest version, unless it was withdrawn.

A source's corrections land as rows, and so do repeats that the stream has forgotten. What is not to be shown moves from
the curated table to the event type's `history` table, with `why` (`superseded`, `repeated`, `withdrawn`) and
`moved_at`. Two tables have no common commit, so one `tidy` goes through these steps:

1. **find** the keys of all rows that landed since the last tidy, or that a steward's operation brought there since,
   among them withdrawals (they lie in the quarantine table), and of each the rows that are not the one to show. Only
   columns of keys are read of older rows.
   *Crash after it*: nothing has happened.
2. **append** these rows to the history table, but those that it has already. *Crash after it*: they are in both tables;
   the books count them once, as curated still; the next tidy finds them again and goes on with step 3.
3. **delete** them from the curated table by their coordinates. *Crash after it*: the next tidy finds nothing of them.
4. **note** in the history table how far the curated table was read: app transactions `<topic>/<p>/tidied` and
   `<topic>/<p>/tidied/operated` for each pseudo partition. *Crash after it*: it is done.

Workers only append, and their positions are app transactions of the curated table, which a delete does not touch. A
delete that meets an append is refused by delta-rs and tried again on the newer table; rows are named by coordinates, so
it is the same delete. Of two tidies at once the second is refused at step 2 or 4, for each such commit carries a number
under one name, and raises `CommitConflict`. Two can delete at once only after one history holds what both delete.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import polars as pl
from deltalake import CommitProperties, DeltaTable, Transaction, WriterProperties

from biokeel.batch import ROW
from biokeel.contracts.identity import KEY, VERSION, contents, is_withdrawal
from biokeel.errors import CommitConflict
from biokeel.land.checkpoint import Mapped, append, conflicts, is_above, nothing
from biokeel.land.columns import CURATED_STAMPS, curated_columns
from biokeel.land.operated import first_open
from biokeel.land.positions import partitions_of, positions_of
from biokeel.land.reading import collect, scan
from biokeel.land.tables import open_table
from biokeel.reasons import Reason

if TYPE_CHECKING:
    import datetime as dt

    from biokeel.contracts.schema import EventSchema
    from biokeel.contracts.topics import EventType
    from biokeel.land.lake import Lake

HISTORY_STAMPS: Final[dict[str, pl.DataType]] = {"why": pl.String(), "moved_at": pl.Datetime("ms", "UTC")}
STEPS: Final = ("tidy.appended", "tidy.deleted")
"""The points between which a process can die."""
ATTEMPTS: Final = 6
"""Tries of one delete, each on the newest table."""
ROWS_A_DELETE: Final = 10_000
"""Rows that one commit deletes: the log keeps their coordinates as text."""
_WRITER: Final = WriterProperties(compression="ZSTD", compression_level=3)


@dataclass(frozen=True, slots=True)
class Tidied:
    """How many rows left the curated table, by why."""

    superseded: int = 0
    repeated: int = 0
    withdrawn: int = 0


def tidy(lake: Lake, schema: EventSchema, now: dt.datetime, *, reached: Callable[[str], None] = nothing) -> Tidied:
    """Move what is not to be shown of `schema`'s event type to its history; `now` is noted as `moved_at`.

    Reads nothing but the logs where nothing landed since. Safe beside workers, and to be called again after any error.
    Raises `CommitConflict` where another tidy or a compaction was quicker, `StoreUnavailable` where the store is away.
    """
    uri = lake.curated(schema.event)
    with Mapped(uri):
        if not DeltaTable.is_deltatable(uri, lake.options):
            return Tidied()
    columns = curated_columns(schema)
    curated = open_table(uri, lake.options, columns)
    with Mapped(lake.quarantine(schema.event)):
        quarantine = DeltaTable(lake.quarantine(schema.event), storage_options=lake.options)
    history = open_table(lake.history(schema.event), lake.options, columns | HISTORY_STAMPS)
    partitions = partitions_of(curated, quarantine)
    topic = schema.event.pseudo_topic
    landed, operated = (positions_of(curated, topic, partitions, name) for name in ("", "/operated"))
    tidied, known = (positions_of(history, topic, partitions, name) for name in ("/tidied", "/tidied/operated"))
    if (landed, operated) == (tidied, known):
        return Tidied()
    found = _found(lake, curated, quarantine, is_above(tidied) | _operated_since(known), columns)
    if found.height:
        _append(lake, history, topic, found.with_columns(pl.lit(now).alias("moved_at")))
        reached("tidy.appended")
        delete(curated, found)
        reached("tidy.deleted")
    _note(history, topic, landed, operated)
    counts = dict(found["why"].value_counts().iter_rows())
    return Tidied(**counts)


def begin_again(lake: Lake, event: EventType, partitions: Iterable[int]) -> None:
    """The curated table was put back to an older version: the next `tidy` reads all of it. Safe to repeat."""
    uri = lake.history(event)
    with Mapped(uri):
        if not DeltaTable.is_deltatable(uri, lake.options):
            return
        history = DeltaTable(uri, storage_options=lake.options)
    nothing_yet = dict.fromkeys(partitions, -1)
    _note(history, event.pseudo_topic, nothing_yet, nothing_yet)


def _found(
    lake: Lake, curated: DeltaTable, quarantine: DeltaTable, is_new: pl.Expr, columns: Mapping[str, object]
) -> pl.DataFrame:
    """The rows that are to leave `curated`, whole, with `why`; `is_new` says which rows came since the last tidy."""
    rows = scan(curated, lake).with_columns(is_withdrawal(columns).alias("withdrawal"))
    withdrawals = (
        scan(quarantine, lake)
        .filter(pl.col("reason") == Reason.RETRACTED.value)
        .with_columns(pl.lit(value=True).alias("withdrawal"))
    )
    new = pl.concat([each.filter(is_new).select(KEY) for each in (rows, withdrawals)]).unique()
    keys = collect(new)
    known = (*KEY, *(name for name in VERSION if name not in ROW), *(name for name in ROW if name not in KEY))
    mine = collect(rows.select(known).join(keys.lazy(), on=KEY, how="semi"))
    theirs = collect(withdrawals.select(known).join(keys.lazy(), on=KEY, how="semi"))
    several = mine.filter(pl.len().over(KEY) > 1) if mine.height else mine
    withdrawn = mine.filter("withdrawal") if mine.height else mine
    asked = pl.concat([several.select(KEY), withdrawn.select(KEY), theirs.select(KEY)]).unique()
    candidates = mine.join(asked, on=KEY, how="semi")
    whole = collect(rows.join(candidates.lazy().select(ROW), on=ROW, how="semi"))
    judged = whole.with_columns(contents(whole.drop("withdrawal"), stamps=CURATED_STAMPS).alias("content"))
    return _why(judged, theirs).drop("withdrawal", "content")


def _why(rows: pl.DataFrame, withdrawals: pl.DataFrame) -> pl.DataFrame:
    """Those of `rows` that are not to be shown, with `why`.

    In the order of versions, rows that follow each other and say the same are repeats, but one; that one of the last
    such run is shown, unless it, or a withdrawal that is newer than it, withdraws the key.
    """
    newest = withdrawals.select(*KEY, *VERSION).sort(VERSION).unique(KEY, keep="last")
    newest = newest.select(*KEY, pl.struct("recorded_at").alias("taken_back"))
    ordered = rows.sort(*KEY, *VERSION)
    begins = (pl.col("content") != pl.col("content").shift().over(KEY)).fill_null(value=True)
    ordered = ordered.with_columns(begins.cum_sum().over(KEY).alias("run"))
    # Of those that say the same, the newest version holds the row's place, of equal ones the one that came first.
    same = (*KEY, "run")
    holds = (pl.col("recorded_at").eq_missing(pl.col("recorded_at").max())).arg_max().over(same)
    ordered = ordered.with_columns((pl.int_range(pl.len()).over(same) == holds).alias("holds"))
    ordered = ordered.join(newest, on=KEY, how="left", maintain_order="left")
    back = pl.col("taken_back").struct.field("recorded_at")
    # A version of one time with its withdrawal is the older of the two.
    taken_back = back.is_not_null() & (back >= pl.col("recorded_at").max().over(KEY))
    gone = taken_back | pl.col("withdrawal").last().over(KEY)
    last = pl.col("run") == pl.col("run").max().over(KEY)
    why = (
        pl.when(~pl.col("holds"))
        .then(pl.lit("repeated"))
        .when(gone)
        .then(pl.lit("withdrawn"))
        .when(~last)
        .then(pl.lit("superseded"))
    )
    moved = ordered.with_columns(why.alias("why")).filter(pl.col("why").is_not_null())
    return moved.drop("holds", "run", "taken_back")


def _append(lake: Lake, history: DeltaTable, topic: str, rows: pl.DataFrame) -> None:
    """Step 2."""
    # An operation may bring a row back that has been here: as it is now, it is another.
    same = (*ROW, "operation")
    there = collect(
        scan(history, lake).select(same).join(rows.lazy().select(same), on=same, how="semi", nulls_equal=True)
    )
    more = rows.join(there, on=same, how="anti", nulls_equal=True)
    if more.height:
        _commit(history, topic, more, {})


def _note(history: DeltaTable, topic: str, landed: Mapping[int, int], operated: Mapping[int, int]) -> None:
    """Step 4."""
    steps = {f"{partition}/tidied/operated": step for partition, step in operated.items()}
    _commit(history, topic, None, {f"{partition}/tidied": offset for partition, offset in landed.items()} | steps)


def _operated_since(known: Mapping[int, int]) -> pl.Expr:
    """Whether a steward's operation brought a row there that had not been done by the steps in `known`."""
    partition, operation = pl.col("pseudo_partition"), pl.col("operation").fill_null(-1)
    return pl.any_horizontal((partition == p) & (operation >= first_open(step)) for p, step in known.items())


def _commit(history: DeltaTable, topic: str, rows: pl.DataFrame | None, positions: Mapping[str, int]) -> None:
    # Whatever the number is: delta-rs refuses it if another has committed under this name since `history` was read.
    versions = {**positions, "tidy": secrets.randbits(62)}
    with Mapped(history.table_uri), conflicts():
        append(history, rows, {f"{topic}/{name}": version for name, version in versions.items()}, _WRITER)


def delete(
    curated: DeltaTable, rows: pl.DataFrame, versions: Mapping[str, int] = MappingProxyType({}), only: str = "TRUE"
) -> None:
    """Step 3, in commits of `ROWS_A_DELETE`: delete these rows, those that `only` (SQL) is true of.

    Each commit that takes out any has `versions` as app transactions.
    """
    properties = CommitProperties(app_transactions=[Transaction(*each) for each in versions.items()])
    for part in rows.select(*ROW, "pseudo_partition", "pseudo_offset").sort(pl.all()).iter_slices(ROWS_A_DELETE):
        predicate = f"({' OR '.join(_named(part))}) AND {only}"
        for attempt in range(ATTEMPTS):
            try:
                with Mapped(curated.table_uri), conflicts():
                    curated.update_incremental()
                    curated.delete(predicate, writer_properties=_WRITER, commit_properties=properties)
                break
            except CommitConflict:
                if attempt == ATTEMPTS - 1:
                    raise


def _named(rows: pl.DataFrame) -> Iterator[str]:
    """The rows as SQL. The bounds of pseudo offsets let files be left out that hold none of them."""
    named = ("stream", "source_id", "raw_partition", "pseudo_partition")
    for part in rows.partition_by(named, maintain_order=True):
        stream, source, raw, pseudo = part.select(named).row(0)
        offsets = ",".join(map(str, part["raw_offset"]))
        blocks = part["pseudo_offset"].sort()
        yield (
            f"(pseudo_partition = {pseudo} AND pseudo_offset >= {blocks[0]} AND pseudo_offset <= {blocks[-1]} "
            f"AND stream = '{stream}' AND source_id = '{source}' AND raw_partition = {raw} "
            f"AND raw_offset IN ({offsets}))"
        )
