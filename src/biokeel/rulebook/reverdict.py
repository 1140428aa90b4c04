"""Which rows a steward's operation is about, which of them it leaves where they are, and why: the same for the preview
and for the worker that carries it out.

Candidates are the rows that match the request's filter, up to its positions, and that no later operation brought where
they are. Of these a **release** leaves in quarantine, in this order:

| word | what |
| --- | --- |
| stopped in the vault | its person has withdrawn since, or does not consent any more, by the list of the request |
| moved since | an operation after the one that brought it there has released it |
| withdrawn by its source | the source has since said that the event was entered in error |
| a newer version is there | of the same event, landed or quarantined: the older value must not come after it |
| fails still | by the version that judges |
| a stage fails on it | as it did when it came |

Repeats and withdrawals lie in the quarantine table for no rule's sake, and are no candidates; a repeat is no newer
version either, since it says what has landed. The tables are read as
they stand when this begins, in chunks of bounded size: candidates in the order of blocks and coordinates, and of other
rows only those of the same events. Nothing is written.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from biokeel.batch import POSITION, ROW, PseudonymisedBatch, ValidatedBatch
from biokeel.contracts.identity import KEY, VERSION, is_withdrawal
from biokeel.land.operated import as_batch, tables_of
from biokeel.land.quarantine import FIRST
from biokeel.land.reading import collect
from biokeel.link.stage import link
from biokeel.link.state import PersonState
from biokeel.poison import guarded
from biokeel.reasons import Reason
from biokeel.rulebook.operations import left_out
from biokeel.validate.stage import validate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from biokeel.contracts.schema import EventSchema
    from biokeel.land.lake import Lake
    from biokeel.rulebook.operations import Request
    from biokeel.validate.rules import CompiledSuite

CHUNK_ROWS: Final = 100_000
"""Candidates that are looked at together, and at most moved by one commit: some 50 MB."""
COUNTS: Final[dict[str, pl.DataType]] = {
    "pseudo_partition": pl.Int32(),
    "source_id": pl.String(),
    "rules": pl.String(),
    "rows": pl.Int64(),
}
"""`rules` are those that the rows have failed, by comma."""
STOPPED: Final = "stopped in the vault"
MOVED, BY_SOURCE, NEWER = "moved since", "withdrawn by its source", "a newer version is there"
FAILS, STAGE = "fails still", "a stage fails on it"
_MENDABLE: Final = (Reason.RULE.value, Reason.STAGE_FAILED.value)
_ORDER: Final = ("pseudo_partition", "pseudo_offset", *ROW)
_VERSION: Final = tuple(name for name in VERSION if name != "raw_offset")
_FIRST: Final = ("first_partition", "first_offset")
_RECORDED: Final = pl.coalesce("recorded_at", "occurred_at")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some candidates. `moves` are those that the operation moves: a `ValidatedBatch`'s columns, stamped by the version
    that judges, `operation` and `earlier_version`. `counts` says how many they are (`COUNTS`), `left` how many are left
    where they are, by why.
    """

    moves: pl.DataFrame
    counts: pl.DataFrame
    left: Counter[str]


class Releasable:
    """The rows of a lake that `request` would release, of all pseudo partitions or of one."""

    def __init__(
        self,
        lake: Lake,
        schema: EventSchema,
        request: Request,
        *,
        number: int,
        suite: CompiledSuite,
        limit: int,
    ) -> None:
        """`number` is the operation's, or the next one's; `limit` how many events of a chunk may be set aside.

        Raises `StoreUnavailable`, and `BookBroken` where the list of participants is not what it was.
        """
        self._schema = schema
        self._request = request
        self._number = number
        self._suite = suite
        self._limit = limit
        self._left_out = pl.Series(left_out(lake.objects, schema.event, request.without), dtype=pl.String)
        self._tables = tables_of(lake, schema)

    def chunks(self, partition: int | None = None) -> Iterator[Chunk]:
        """The candidates of `partition` (None: of all), chunk by chunk in their order. Raises `StoreUnavailable`."""
        if "quarantine" not in self._tables:
            return
        mine = self._tables["quarantine"].filter(self._wanted())
        if partition is not None:
            mine = mine.filter(pl.col("pseudo_partition") == partition)
        blocks = collect(mine.group_by(list(POSITION)).len()).sort(list(POSITION))
        for at, first, last in _together(blocks, CHUNK_ROWS):
            these = (pl.col("pseudo_partition") == at) & pl.col("pseudo_offset").is_between(first, last)
            for some in collect(mine.filter(these)).sort(_ORDER).iter_slices(CHUNK_ROWS):
                yield self._sorted(some)

    def _wanted(self) -> pl.Expr:
        """The candidates among the rows of the quarantine table."""
        request = self._request
        partition, offset = pl.col("pseudo_partition"), pl.col("pseudo_offset")
        chosen = pl.any_horizontal(
            pl.lit(value=False), *((partition == p) & (offset <= last) for p, last in request.positions().items())
        )
        chosen &= pl.col("reason").is_in(_MENDABLE) & (_operation() < self._number)
        if request.rules:
            chosen &= pl.col("failed_rules").list.eval(pl.element().is_in(request.rules)).list.any()
        if request.source:
            chosen &= pl.col("source_id") == request.source
        if request.since:
            chosen &= pl.lit(request.since).str.to_datetime("us", time_zone="UTC") <= _RECORDED
        if request.until:
            chosen &= pl.lit(request.until).str.to_datetime("us", time_zone="UTC") > _RECORDED
        return chosen

    def _sorted(self, rows: pl.DataFrame) -> Chunk:
        """The chunk of these candidates."""
        left: Counter[str] = Counter()
        person = pl.when(pl.col("participant_id").is_in(self._left_out.implode())).then(pl.lit(STOPPED))
        rows = self._kept(rows, rows.select(person).to_series(), left)
        rows = self._kept(rows, self._in_place(rows), left)
        rows = self._kept(rows, self._not_outdated(rows), left)
        moves = self._passing(rows, left)
        those = rows.join(moves.select(FIRST), on=FIRST, how="semi")
        rules = pl.col("failed_rules").list.join(", ").alias("rules")
        counts = those.group_by("pseudo_partition", "source_id", rules).agg(pl.len().cast(pl.Int64).alias("rows"))
        return Chunk(moves, counts.select(*COUNTS), left)

    def _kept(self, rows: pl.DataFrame, why: pl.Series, left: Counter[str]) -> pl.DataFrame:
        """The rows for which `why` is null; the others are counted, but for those that this operation has moved."""
        left.update(why.drop_nulls().filter(why.drop_nulls() != "").to_list())
        return rows.filter(why.is_null())

    def _in_place(self, rows: pl.DataFrame) -> pl.Series:
        """Whether each row is the one that says where its event lies: null, or that it is not.

        Empty where it was this very operation that moved it.
        """
        operations = [
            table.filter(pl.col("operation").is_not_null())
            .select(*FIRST, pl.col("operation").alias("later"))
            .join(rows.lazy().select(FIRST), on=FIRST, how="semi")
            for table in self._tables.values()
        ]
        latest = collect(pl.concat(operations)).group_by(FIRST).agg(pl.col("later").max())
        found = rows.join(latest, on=FIRST, how="left", maintain_order="left")
        later = pl.col("later").fill_null(0)
        return found.select(
            pl.when(later == self._number).then(pl.lit("")).when(later > _operation()).then(pl.lit(MOVED))
        ).to_series()

    def _not_outdated(self, rows: pl.DataFrame) -> pl.Series:
        """Why each row is not the newest version of its event; null where it is."""
        versions = [
            (table if name != "quarantine" else table.filter(pl.col("reason") != Reason.REPEATED.value))
            .with_columns(is_withdrawal(table.collect_schema().names()).alias("withdrawal"))
            .select({*KEY, *_VERSION})
            .join(rows.lazy().select(KEY), on=KEY, how="semi")
            for name, table in self._tables.items()
        ]
        newest = collect(pl.concat(versions, how="diagonal")).sort(_VERSION).unique(KEY, keep="last")
        newest = newest.select(*KEY, "withdrawal", *(pl.col(name).alias(f"newest_{name}") for name in _FIRST))
        found = rows.join(newest, on=KEY, how="left", maintain_order="left")
        other = pl.any_horizontal(pl.col(name) != pl.col(f"newest_{name}") for name in _FIRST)
        word = pl.when("withdrawal").then(pl.lit(BY_SOURCE)).otherwise(pl.lit(NEWER))
        return found.select(pl.when(other).then(word)).to_series()

    def _passing(self, rows: pl.DataFrame, left: Counter[str]) -> pl.DataFrame:
        """The rows that the version lets pass, stamped."""
        batch = as_batch(self._schema, rows)
        frame = batch.frame.with_columns(rows["suite_version"].alias("earlier_version"))
        stamped = PseudonymisedBatch(batch.event, frame)

        def stage(first: int, end: int) -> pl.DataFrame:
            some = stamped.rows(first, end)
            accepted = validate(some, self._suite).accepted.frame
            states = {p: PersonState() for p in accepted["pseudo_partition"].unique()}
            link(ValidatedBatch(some.event, accepted.sort("pseudo_partition")), states)
            left[FAILS] += end - first - accepted.height
            return accepted

        def set_aside(row: int, _error: BaseException) -> pl.DataFrame:
            left[STAGE] += 1
            return validate(stamped.rows(row, row), self._suite).accepted.frame

        def place(row: int) -> str:
            return "Releasing {}/{}@{}".format(*frame.select(*POSITION, "first_offset").row(row))

        passing = pl.concat(guarded(stage, set_aside, frame.height, place, self._limit))
        return passing.with_columns(pl.lit(self._number, pl.Int64).alias("operation"))


def _operation() -> pl.Expr:
    return pl.col("operation").fill_null(0)


def _together(blocks: pl.DataFrame, rows: int) -> Iterator[tuple[int, int, int]]:
    """Runs of `blocks` (`POSITION`, `len`) with at most so many rows, or of one: partition, first and last offset."""
    run: tuple[int, int, int] | None = None
    held = 0
    for partition, offset, count in blocks.iter_rows():
        if run is not None and (run[0] != partition or held + count > rows):
            yield run
            run, held = None, 0
        run = (partition, offset if run is None else run[1], offset)
        held += count
    if run is not None:
        yield run
