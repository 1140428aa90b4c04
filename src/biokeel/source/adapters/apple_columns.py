"""Many samples of HealthKit at once, by columns: an export has millions, of which hardly one is unusual.

Only what is plainly right is read here. Everything else (another form of time, a unit that its type has not, a number
below zero) is left to the way of single samples, which says what is wrong with it, or what is right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import polars as pl

from biokeel.source.adapters.apple_samples import Attributes

_COLUMNS: Final = {
    "type": "type",
    "source": "sourceName",
    "unit": "unit",
    "value": "value",
    "start": "startDate",
    "end": "endDate",
    "creation": "creationDate",
}
_TIME: Final = r"^\d{4}-\d\d-\d\d (?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d [+-](?:0\d|1[0-4])[0-5]\d$"
_NUMBER: Final = r"^[0-9]{1,15}(?:\.[0-9]{1,15})?$"
_SEPARATOR: Final = "\x1f"

Factors = Mapping[tuple[str, str], float]
"""By type and unit, what a number is multiplied with."""


def read_samples(
    attributes: Sequence[Attributes], factors: Factors, without_unit: str
) -> tuple[pl.DataFrame, list[int]]:
    """The samples of `attributes` that are plainly right, and the numbers of the others.

    Columns: `row` (its number), `type`, `source`, `unit`, `value` Float64 (multiplied with its factor; of the type
    `without_unit` as it is), `begun`, `ended`, `created` Int64 (ms since 1970), `offset` Int64 (minutes).
    """
    texts = pl.DataFrame(
        {ours: [each.get(theirs) for each in attributes] for ours, theirs in _COLUMNS.items()},
        schema=dict.fromkeys(_COLUMNS, pl.String),
    )
    unit = by_type_and_unit({names: float(factor) for names, factor in factors.items()}, pl.Float64)
    hours, minutes = (pl.col("start").str.slice(at, 2).cast(pl.Int64, strict=False) for at in (21, 23))
    read = (
        texts.lazy()
        .with_row_index("row")
        .select(
            pl.col("row").cast(pl.Int64),
            "type",
            pl.col("source").fill_null(""),
            "unit",
            value=pl.when(pl.col("value").str.contains(_NUMBER)).then(pl.col("value").cast(pl.Float64, strict=False))
            * pl.when(pl.col("type") == without_unit).then(1.0).otherwise(unit),
            begun=_moment("start"),
            ended=pl.when(pl.col("end") == pl.col("start")).then(_moment("start")).otherwise(_moment("end")),
            created=_moment("creation"),
            offset=(hours * 60 + minutes) * pl.when(pl.col("start").str.slice(20, 1) == "-").then(-1).otherwise(1),
        )
        .collect()
    )
    wanted = ("value", "begun", "ended", "created", "offset")
    right = pl.all_horizontal(pl.col(name).is_not_null() for name in wanted) & (pl.col("ended") >= pl.col("begun"))
    good = read.filter(right)
    if good.height == len(attributes):
        return good, []
    return good, read.filter(~right.fill_null(value=False))["row"].to_list()


def by_type_and_unit(said: Mapping[tuple[str, str], object], dtype: type[pl.DataType]) -> pl.Expr:
    """What `said` says of the columns `type` and `unit`; null where it says nothing."""
    known = {_SEPARATOR.join(names): each for names, each in said.items()}
    name = pl.concat_str("type", pl.lit(_SEPARATOR), "unit")
    return name.replace_strict(list(known), list(known.values()), default=None, return_dtype=dtype)


def _moment(name: str) -> pl.Expr:
    text = pl.col(name)
    read = text.str.to_datetime("%Y-%m-%d %H:%M:%S %z", time_unit="ms", strict=False)
    return pl.when(text.str.contains(_TIME)).then(read.dt.epoch("ms"))
