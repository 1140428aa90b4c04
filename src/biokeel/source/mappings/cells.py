"""Columns of text into numbers, times and words: strictly, and each cell for itself.

Every function says of each cell what it is, and whether it is nothing (`bad`); an empty cell (null) stays null and is
not bad.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import tzinfo
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import polars as pl

from biokeel.source.mappings.model import EPOCH_DAY, EPOCH_MS, EPOCH_S, ISO, Constant, FileRules

_PRECISION: Final = (("%f", "millisecond"), ("%S", "second"), ("%M", "minute"), ("%H", "minute"), ("%I", "minute"),
                     ("%d", "day"), ("%m", "month"), ("%Y", "year"))  # fmt: skip
"""The finest part of a form says how precise its times are."""
_Y, _2 = "[0-9]{4}", "[0-9]{2}"
_ISO_PARTS: Final[tuple[tuple[str, str], ...]] = (
    # Shape, and what completes it to `YYYY-MM-DDTHH:MM:SS.mmm`. A leap second is the last one of its minute.
    (f"^{_Y}$", "-01-01T00:00:00"),
    (f"^{_Y}-{_2}$", "-01T00:00:00"),
    (f"^{_Y}-{_2}-{_2}$", "T00:00:00"),
    (f"^{_Y}-{_2}-{_2}T{_2}:{_2}$", ":00"),
    (f"^{_Y}-{_2}-{_2}T{_2}:{_2}:{_2}$", ""),
    (f"^{_Y}-{_2}-{_2}T{_2}:{_2}:{_2}[.][0-9]{{1,9}}$", ""),
)
_ISO_PRECISION: Final = ("year", "month", "day", "minute", "second", "millisecond")
_OFFSET: Final = r"(Z|[+-][0-9]{2}:?[0-9]{2})$"
_STATED_OFFSET: Final = r"^(?:UTC|GMT)?([+-])([0-9]{2}):?([0-9]{2})$"
_DIGITS: Final = {"Y": "[0-9]{4}", "m": "[0-9]{1,2}", "d": "[0-9]{1,2}", "H": "[0-9]{1,2}", "I": "[0-9]{1,2}",
                  "M": "[0-9]{2}", "S": "[0-9]{2}", "p": "[AaPp][Mm]"}  # fmt: skip
_FIRST_EPOCH, _LAST_EPOCH = 631_152_000_000, 4_102_444_800_000
"""1990 and 2100 in ms: what a device counts since 1970 lies between; seconds taken for milliseconds do not."""
_DAY: Final = 86_400_000
_MOST_OFFSET: Final = 840
"""Minutes of the largest offset from UTC."""


class Numbers(NamedTuple):
    """Values, and which cells hold none. `comparator` says of a value that is only a bound on which side it is."""

    values: pl.Series
    bad: pl.Series
    comparator: pl.Series


class Moments(NamedTuple):
    """Milliseconds since 1970 UTC, offset in minutes, precision, and which cells are no time."""

    at: pl.Series
    offset: pl.Series
    precision: pl.Series
    bad: pl.Series


def numbers(texts: pl.Series, rules: FileRules, bounds: Mapping[str, str]) -> Numbers:
    """Decimal numbers in ASCII digits with the file's signs; what is written with `<` or `>` is a bound."""
    if bounds:
        texts = texts.replace(list(bounds), list(bounds.values()))
    comparator = texts.str.extract(r"^(<=|>=|<|>)\s*", 1)
    plain = texts.str.replace(r"^(?:<=|>=|<|>)\s*", "") if comparator.null_count() < len(comparator) else texts
    point = re.escape(rules.decimal)
    digits = "[0-9]+"
    if rules.grouping:
        digits = rf"(?:[0-9]{{1,3}}(?:{re.escape(rules.grouping)}[0-9]{{3}})+|[0-9]+)"
    shape = rf"^[+-]?(?:{digits}(?:{point}[0-9]*)?|{point}[0-9]+)(?:[eE][+-]?[0-9]{{1,3}})?$"
    fits = plain.str.contains(shape)
    if rules.grouping:
        plain = plain.str.replace_all(rules.grouping, "", literal=True)
    if rules.decimal != ".":
        plain = plain.str.replace_all(rules.decimal, ".", literal=True)
    values = plain.set(~fits, None).cast(pl.Float64, strict=False)
    values = values.set(~values.is_finite(), None)
    return Numbers(values, values.is_null() & texts.is_not_null(), comparator)


def whole(found: Numbers) -> Numbers:
    """The same, where a fraction is no value."""
    fits = (found.values == found.values.floor()) & (found.values.abs() < 2**53)
    values = found.values.set(~fits, None)
    return Numbers(values.cast(pl.Int64), found.bad | (values.is_null() & found.values.is_not_null()), found.comparator)


def words(
    texts: pl.Series, known: Mapping[str, Constant | None], otherwise: Constant | None, dtype: pl.DataType
) -> tuple[pl.Series, pl.Series]:
    """What a map makes of each word, null for one that stands for nothing, and which words it does not hold."""
    there = texts.is_not_null()
    result = texts.replace_strict(list(known), list(known.values()), default=otherwise, return_dtype=dtype)
    unknown = ~texts.is_in(list(known)) & there if otherwise is None else ~there & there
    return result.set(~there, None), unknown


def moments(texts: pl.Series, forms: Sequence[str], zone: tzinfo | None) -> Moments:
    """Times in one of `forms`, the first that fits; what names no offset is in `zone` (null: UTC, offset unknown)."""
    at = pl.Series(texts.name, [None], dtype=pl.Int64).new_from_index(0, len(texts))
    offset = at.cast(pl.Int32)
    precision = at.cast(pl.String)
    for form in forms:
        open_ = at.is_null() & texts.is_not_null()
        if not open_.any():
            break
        found = _in_form(texts if open_.all() else texts.set(~open_, None), form, zone)
        at, offset, precision = (
            found.at if at.null_count() == len(at) else at.zip_with(at.is_not_null(), found.at),
            offset.zip_with(~open_, found.offset),
            precision.zip_with(~open_, found.precision),
        )
    return Moments(at, offset, precision, at.is_null() & texts.is_not_null())


def stated_offsets(texts: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Minutes from UTC that `UTC+0900`, `+09:00` and the like say, and which cells say none."""
    parts = pl.DataFrame([texts.alias("t")]).select(
        sign=pl.col("t").str.extract(_STATED_OFFSET, 1),
        hours=pl.col("t").str.extract(_STATED_OFFSET, 2).cast(pl.Int32, strict=False),
        minutes=pl.col("t").str.extract(_STATED_OFFSET, 3).cast(pl.Int32, strict=False),
    )
    total = parts["hours"] * 60 + parts["minutes"]
    total = total.set(total > _MOST_OFFSET, None)
    total = total.zip_with((parts["sign"] != "-").fill_null(value=True), -total)
    return total, total.is_null() & texts.is_not_null()


def days(texts: pl.Series, forms: Sequence[str]) -> tuple[pl.Series, pl.Series]:
    """Whole dates, and which cells are none: a year alone is no date."""
    found = moments(texts, forms, None)
    dates = found.at.cast(pl.Datetime("ms")).cast(pl.Date)
    dates = dates.set(found.precision.is_in(["year", "month"]), None)
    return dates, dates.is_null() & texts.is_not_null()


def _in_form(texts: pl.Series, form: str, zone: tzinfo | None) -> Moments:
    if form in (EPOCH_MS, EPOCH_S, EPOCH_DAY):
        return _epoch(texts, form, zone)
    if form == ISO:
        return _iso(texts, zone)
    shape = re.sub(
        r"%(\w)", lambda found: _DIGITS[found[1]], re.escape(form.replace("%.f", "\x00")).replace("\\%", "%")
    )
    shape = shape.replace("\\\x00", "\x00").replace("\x00", r"(?:\.[0-9]{1,9})?")
    fits = texts.str.contains(f"^{shape}$").fill_null(value=False)
    local = _strptime(texts.set(~fits, None), _complete(form)[0], _complete(form)[1])
    finest = "millisecond" if "%.f" in form else next(word for part, word in _PRECISION if part in form)
    return _placed(local, pl.Series([finest], dtype=pl.String).new_from_index(0, len(texts)), zone)


def _complete(form: str) -> tuple[str, str]:
    """The form, and what is added to it and to the text so that it names a day and a minute."""
    added = "".join(
        part
        for part, needed in ((" %m", "%m" not in form), (" %d", "%d" not in form), (" %H:%M", not _has_hour(form)))
        if needed
    )
    if _has_hour(form) and "%M" not in form:
        added += " %M"
    text = added.replace("%m", "01").replace("%d", "01").replace("%H", "00").replace("%M", "00")
    return form + added, text


def _has_hour(form: str) -> bool:
    return "%H" in form or "%I" in form


def _strptime(texts: pl.Series, form: str, added: str) -> pl.Series:
    whole_texts = pl.DataFrame([texts.alias("t")]).select(pl.col("t") + added).to_series() if added else texts
    return whole_texts.str.strptime(pl.Datetime("ms"), form, strict=False, exact=True)


def _utc_seconds(texts: pl.Series) -> Moments | None:
    """Times that are all written as `2024-05-01T09:00:00Z`, as most files have them; null where one is not."""
    there = texts.drop_nulls()
    if len(there) and not (there.str.len_bytes().eq(20).all() and there.str.ends_with("Z").all()):
        return None
    clock = texts.str.strptime(pl.Datetime("ms"), "%Y-%m-%dT%H:%M:%SZ", strict=False, exact=True)
    if clock.null_count() > texts.null_count():
        return None
    rows = len(texts)
    return Moments(
        clock.cast(pl.Int64),
        pl.Series([0], dtype=pl.Int32).new_from_index(0, rows),
        pl.Series(["second"]).new_from_index(0, rows),
        texts.is_null() & texts.is_not_null(),
    )


def _iso(texts: pl.Series, zone: tzinfo | None) -> Moments:
    if (plain := _utc_seconds(texts)) is not None:
        return plain
    frame = pl.DataFrame([texts.alias("t")]).with_columns(
        pl.when(pl.col("t").str.contains("T|[0-9] [0-9]|Z$")).then(pl.col("t").str.extract(_OFFSET, 1)).alias("offset")
    )
    frame = frame.with_columns(
        pl.when(pl.col("offset").is_not_null())
        .then(pl.col("t").str.replace(rf"\s*{_OFFSET}", ""))
        .otherwise(pl.col("t"))
        .str.replace(f"^({_Y}-{_2}-{_2}) ({_2}:)", "${1}T${2}")
        .alias("local")
    )
    local, precision = pl.lit(None, pl.String), pl.lit(None, pl.String)
    for (shape, added), word in zip(reversed(_ISO_PARTS), reversed(_ISO_PRECISION), strict=True):
        fits = pl.col("local").str.contains(shape)
        local = pl.when(fits).then(pl.col("local") + added).otherwise(local)
        precision = pl.when(fits).then(pl.lit(word)).otherwise(precision)
    # Chrono takes 60 for a leap second; it is the second before, as in every clock without one.
    frame = frame.with_columns(local.str.replace(r":60(\.|$)", ":59${1}").alias("whole"), precision.alias("precision"))
    clock = frame["whole"].str.strptime(pl.Datetime("ms"), "%Y-%m-%dT%H:%M:%S%.f", strict=False, exact=True)
    placed = _placed(clock, frame["precision"], zone)
    stated = frame["offset"].is_not_null()
    if not stated.any():
        return placed
    minutes, bad = stated_offsets(frame["offset"].str.replace("^Z$", "+0000"))
    at = clock.cast(pl.Int64) - minutes.cast(pl.Int64) * 60_000
    timed = stated & ~bad & frame["precision"].is_in(["minute", "second", "millisecond"])
    at = at.set(~timed, None)
    return Moments(
        placed.at.zip_with(~stated, at), placed.offset.zip_with(~stated, minutes), placed.precision, placed.bad
    )


def _epoch(texts: pl.Series, form: str, zone: tzinfo | None) -> Moments:
    counted = texts.set(~texts.str.contains("^[0-9]{1,15}$").fill_null(value=False), None).cast(pl.Int64, strict=False)
    at = counted * (1000 if form == EPOCH_S else 1)
    at = at.set(~at.is_between(_FIRST_EPOCH, _LAST_EPOCH), None)
    if form == EPOCH_DAY:
        days = at.set(at % _DAY != 0, None).cast(pl.Datetime("ms"))
        return _placed(days, pl.Series(["day"]).new_from_index(0, len(texts)), zone)
    nothing = pl.Series([None], dtype=pl.Int32).new_from_index(0, len(texts))
    word = "second" if form == EPOCH_S else "millisecond"
    return Moments(at, nothing, pl.Series([word]).new_from_index(0, len(texts)), at.is_null() & texts.is_not_null())


def _placed(local: pl.Series, precision: pl.Series, zone: tzinfo | None) -> Moments:
    """`local` clock times in `zone`: an hour that comes twice is the first, one that does not come is no time."""
    if zone is None:
        nothing = pl.Series([None], dtype=pl.Int32).new_from_index(0, len(local))
        return Moments(local.cast(pl.Int64), nothing, precision, local.is_null())
    if isinstance(zone, ZoneInfo):
        there = local.dt.replace_time_zone(str(zone), ambiguous="earliest", non_existent="null")
        offset = ((there.dt.base_utc_offset() + there.dt.dst_offset()).dt.total_minutes()).cast(pl.Int32)
        return Moments(there.dt.convert_time_zone("UTC").cast(pl.Int64), offset, precision, there.is_null())
    fixed = zone.utcoffset(None)
    assert fixed is not None, "a zone is of the IANA database, or a fixed offset"
    minutes = int(fixed.total_seconds() // 60)
    offsets = pl.Series([minutes], dtype=pl.Int32).new_from_index(0, len(local))
    return Moments(local.cast(pl.Int64) - minutes * 60_000, offsets, precision, local.is_null())
