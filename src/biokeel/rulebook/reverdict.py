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

A **withdrawal** moves landed rows that fail a critical rule of the version that judges. An **undo** moves what the
operation that it undoes has moved, and that still lies where that brought it: rows that it had landed go back to
quarantine with the verdict of then; rows that it had moved to quarantine come back as they were, by the table above.

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
from biokeel.rulebook.operations import Purpose, left_out
from biokeel.validate.stage import validate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from biokeel.contracts.schema import EventSchema
    from biokeel.land.lake import Lake
    from biokeel.rulebook.operations import Operation, Request
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
    """Some candidates. `moves` are those that the operation moves, as its kind says. `counts` says how many they are
    (`COUNTS`), `left` how many are left where they are, by why.
    """

    moves: pl.DataFrame
    counts: pl.DataFrame
    left: Counter[str]


class Selection:
    """The rows of a lake that an operation would move, of all pseudo partitions or of one.

    What is a candidate, and what becomes of it, is said by the kinds of it below.
    """

    table = "quarantine"
    """Where candidates lie."""

    def __init__(self, lake: Lake, schema: EventSchema, request: Request, number: int) -> None:
        """`number` is the operation's, or the next one's.

        Raises `StoreUnavailable`, and `BookBroken` where the list of participants is not what it was.
        """
        self.schema = schema
        self.request = request
        self.number = number
        self.tables = tables_of(lake, schema)
        self._left_out = pl.Series(left_out(lake.objects, schema.event, request.without), dtype=pl.String)

    def chunks(self, partition: int | None = None) -> Iterator[Chunk]:
        """The candidates of `partition` (None: of all), chunk by chunk in their order. Raises `StoreUnavailable`."""
        if self.table not in self.tables:
            return
        mine = self.tables[self.table].filter(self.wanted())
        if partition is not None:
            mine = mine.filter(pl.col("pseudo_partition") == partition)
        blocks = collect(mine.group_by(list(POSITION)).len()).sort(list(POSITION))
        for at, first, last in _together(blocks, CHUNK_ROWS):
            these = (pl.col("pseudo_partition") == at) & pl.col("pseudo_offset").is_between(first, last)
            for some in collect(mine.filter(these)).sort(_ORDER).iter_slices(CHUNK_ROWS):
                left: Counter[str] = Counter()
                moves, failed = self.chosen(some, left)
                by = ("pseudo_partition", "source_id", "rules")
                named = failed.with_columns(pl.col("failed_rules").list.join(", ").alias("rules"))
                counts = named.group_by(by).agg(pl.len().cast(pl.Int64).alias("rows"))
                yield Chunk(moves, counts.select(*COUNTS), left)

    def wanted(self) -> pl.Expr:
        """The candidates among the rows of the table."""
        raise NotImplementedError

    def chosen(self, rows: pl.DataFrame, left: Counter[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Of candidates those that move, as they are written, and as they (or what they failed) are told.

        Counts the others in `left`, by why.
        """
        raise NotImplementedError

    def matching(self) -> pl.Expr:
        """Rows that the request's filter matches, rules apart, and that no later operation brought where they are."""
        request = self.request
        partition, offset = pl.col("pseudo_partition"), pl.col("pseudo_offset")
        chosen = pl.any_horizontal(
            pl.lit(value=False), *((partition == p) & (offset <= last) for p, last in request.positions().items())
        )
        chosen &= _operation() < self.number
        if request.source:
            chosen &= pl.col("source_id") == request.source
        if request.since:
            chosen &= pl.lit(request.since).str.to_datetime("us", time_zone="UTC") <= _RECORDED
        if request.until:
            chosen &= pl.lit(request.until).str.to_datetime("us", time_zone="UTC") > _RECORDED
        return chosen

    def releasable(self, rows: pl.DataFrame, left: Counter[str]) -> pl.DataFrame:
        """The quarantined `rows` that may land at all, whatever their values are."""
        person = pl.when(pl.col("participant_id").is_in(self._left_out.implode())).then(pl.lit(STOPPED))
        rows = _kept(rows, rows.select(person).to_series(), left)
        rows = _kept(rows, self._in_place(rows), left)
        return _kept(rows, self._not_outdated(rows), left)

    def _in_place(self, rows: pl.DataFrame) -> pl.Series:
        """Whether each row is the one that says where its event lies: null, or that it is not.

        Empty where it was this very operation that moved it.
        """
        operations = [
            table.filter(pl.col("operation").is_not_null())
            .select(*FIRST, pl.col("operation").alias("later"))
            .join(rows.lazy().select(FIRST), on=FIRST, how="semi")
            for table in self.tables.values()
        ]
        latest = collect(pl.concat(operations)).group_by(FIRST).agg(pl.col("later").max())
        found = rows.join(latest, on=FIRST, how="left", maintain_order="left")
        later = pl.col("later").fill_null(0)
        return found.select(
            pl.when(later == self.number).then(pl.lit("")).when(later > _operation()).then(pl.lit(MOVED))
        ).to_series()

    def _not_outdated(self, rows: pl.DataFrame) -> pl.Series:
        """Why each row is not the newest version of its event; null where it is."""
        versions = [
            (table if name != "quarantine" else table.filter(pl.col("reason") != Reason.REPEATED.value))
            .with_columns(is_withdrawal(table.collect_schema().names()).alias("withdrawal"))
            .select({*KEY, *_VERSION})
            .join(rows.lazy().select(KEY), on=KEY, how="semi")
            for name, table in self.tables.items()
        ]
        newest = collect(pl.concat(versions, how="diagonal")).sort(_VERSION).unique(KEY, keep="last")
        newest = newest.select(*KEY, "withdrawal", *(pl.col(name).alias(f"newest_{name}") for name in _FIRST))
        found = rows.join(newest, on=KEY, how="left", maintain_order="left")
        other = pl.any_horizontal(pl.col(name) != pl.col(f"newest_{name}") for name in _FIRST)
        word = pl.when("withdrawal").then(pl.lit(BY_SOURCE)).otherwise(pl.lit(NEWER))
        return found.select(pl.when(other).then(word)).to_series()


class Judged(Selection):
    """A selection by what a version says. `limit`: how many events of a chunk may be set aside."""

    def __init__(
        self,
        lake: Lake,
        schema: EventSchema,
        request: Request,
        number: int,
        *,
        suite: CompiledSuite,
        limit: int,
    ) -> None:
        """See `Selection`."""
        super().__init__(lake, schema, request, number)
        self.suite = suite
        self.limit = limit


class Releasable(Judged):
    """Quarantined rows that pass the version. `moves` are a `ValidatedBatch`'s rows, with `OPERATION_STAMPS`."""

    def wanted(self) -> pl.Expr:
        """See `Selection`."""
        chosen = self.matching() & pl.col("reason").is_in(_MENDABLE)
        return chosen & _failing(self.request.rules) if self.request.rules else chosen

    def chosen(self, rows: pl.DataFrame, left: Counter[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
        """See `Selection`."""
        rows = self.releasable(rows, left)
        moves = self._passing(rows, left)
        return moves, rows.join(moves.select(FIRST), on=FIRST, how="semi")

    def _passing(self, rows: pl.DataFrame, left: Counter[str]) -> pl.DataFrame:
        """The rows that the version lets pass, stamped."""
        batch = as_batch(self.schema, rows)
        frame = batch.frame.with_columns(rows["suite_version"].alias("earlier_version"))
        stamped = PseudonymisedBatch(batch.event, frame)

        def stage(first: int, end: int) -> pl.DataFrame:
            some = stamped.rows(first, end)
            accepted = validate(some, self.suite).accepted.frame
            states = {p: PersonState() for p in accepted["pseudo_partition"].unique()}
            link(ValidatedBatch(some.event, accepted.sort("pseudo_partition")), states)
            left[FAILS] += end - first - accepted.height
            return accepted

        def set_aside(row: int, _error: BaseException) -> pl.DataFrame:
            left[STAGE] += 1
            return validate(stamped.rows(row, row), self.suite).accepted.frame

        def place(row: int) -> str:
            return "Releasing {}/{}@{}".format(*frame.select(*POSITION, "first_offset").row(row))

        passing = pl.concat(guarded(stage, set_aside, frame.height, place, self.limit))
        return passing.with_columns(pl.lit(self.number, pl.Int64).alias("operation"))


class Withdrawable(Judged):
    """Landed rows that fail a critical rule of the version. `moves` have the columns of the quarantine table."""

    table = "curated"

    def wanted(self) -> pl.Expr:
        """See `Selection`."""
        return self.matching()

    def chosen(self, rows: pl.DataFrame, left: Counter[str]) -> tuple[pl.DataFrame, pl.DataFrame]:  # noqa: ARG002 - what passes is not left behind: it is where it belongs
        """See `Selection`."""
        stopped = validate(as_batch(self.schema, rows), self.suite).rejected.frame
        if self.request.rules:
            stopped = stopped.filter(_failing(self.request.rules))
        verdicts = stopped.select(*ROW, "reason", "failed_rules", pl.col("suite_version").alias("version"))
        moves = _moved_to_quarantine(rows.join(verdicts, on=ROW, maintain_order="left"), self.number)
        return moves, moves


class TakenBack(Selection):
    """Landed rows that an operation brought in, and that an undo takes back to quarantine, with the verdict of then."""

    table = "curated"

    def wanted(self) -> pl.Expr:
        """See `Selection`."""
        return pl.col("operation") == self.request.undoes

    def chosen(self, rows: pl.DataFrame, left: Counter[str]) -> tuple[pl.DataFrame, pl.DataFrame]:  # noqa: ARG002 - all of them move
        """See `Selection`."""
        before = self.tables["quarantine"].filter(_operation() < self.request.undoes)
        before = before.filter(pl.col("reason").is_in(_MENDABLE)).join(rows.lazy().select(FIRST), on=FIRST, how="semi")
        verdicts = collect(
            before.select(
                *FIRST, "reason", "failed_rules", pl.col("suite_version").alias("version"), _operation().alias("order")
            )
        )
        latest = verdicts.sort("order").unique(FIRST, keep="last").drop("order")
        moves = _moved_to_quarantine(rows.join(latest, on=FIRST, maintain_order="left"), self.number)
        return moves, moves


class BroughtBack(Selection):
    """Rows that an operation moved to quarantine, and that an undo brings back as they were."""

    def wanted(self) -> pl.Expr:
        """See `Selection`."""
        return pl.col("operation") == self.request.undoes

    def chosen(self, rows: pl.DataFrame, left: Counter[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
        """See `Selection`."""
        rows = self.releasable(rows, left)
        moves = rows.with_columns(
            pl.lit(self.number, pl.Int64).alias("operation"),
            suite_version="earlier_version",
            earlier_version="suite_version",
        )
        return moves.drop("reason", "failed_rules"), rows


def goes_in(operations: Sequence[Operation], request: Request) -> bool:
    """Whether `request` brings rows into the curated table, rather than out of it; `operations` are those before it."""
    if request.purpose is Purpose.UNDO:
        return not goes_in(operations, operations[request.undoes - 1].requested)
    return request.purpose is Purpose.RELEASE


def _moved_to_quarantine(rows: pl.DataFrame, number: int) -> pl.DataFrame:
    """Rows of the curated table as they are written to quarantine; `version` judged them. Their warnings stay."""
    return rows.with_columns(
        pl.lit(number, pl.Int64).alias("operation"), earlier_version="suite_version", suite_version="version"
    ).drop("version")


def _failing(rules: Sequence[str]) -> pl.Expr:
    return pl.col("failed_rules").list.eval(pl.element().is_in(list(rules))).list.any()


def _kept(rows: pl.DataFrame, why: pl.Series, left: Counter[str]) -> pl.DataFrame:
    """The rows for which `why` is null; the others are counted, but for those that this operation has moved."""
    told = why.drop_nulls()
    left.update(told.filter(told != "").to_list())
    return rows.filter(why.is_null())


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
