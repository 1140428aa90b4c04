"""Rules suggested from what has landed, each with what speaks for it: to be kept or dropped one by one by a steward.

What lies in the curated table says how the data are, and nothing about how they should be: a suggestion is always a
warning, and its notes say what it was made from, until a steward writes the guideline there.

**Few people.** No number and no value is told that fewer than `least` people stand behind: a limit comes from
quantiles beyond which as many people have a value, a value of a set is had by as many, and where a range, an order or a
rule about missing values would rest on fewer than `RANGE_PEOPLE` times as many, there is none. Values that fewer have
are counted and not named.

| kind | is suggested where |
| --- | --- |
| range | always, for a number; also by sex, by age band, or both, where the groups differ |
| values | a text has `MOST_VALUES` values or fewer that enough people have, and these are 99 % of what is there |
| present | a field is missing in 1 % of rows or fewer |
| order | of two times, or two numbers of one unit, the one is never less than the other in 99.9 % of rows |
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace
from itertools import permutations
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from biokeel.batch import PseudonymisedBatch
from biokeel.contracts.schema import Tag
from biokeel.errors import NothingLanded
from biokeel.land.pieces import read
from biokeel.rules.backtest_rows import LANDED, Rows, Scope
from biokeel.rules.backtest_suites import read_written
from biokeel.validate.columns import Columns, Kind, kind_of
from biokeel.validate.rules import Severity
from biokeel.validate.stage import judge

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from biokeel.contracts.schema import EventSchema
    from biokeel.land.lake import Lake
    from biokeel.rules.backtest_suites import Written

LEAST_PEOPLE: Final = 10
"""People behind anything that is told, at least: the usual threshold for counts in health statistics."""
RANGE_PEOPLE: Final = 20
"""A range rests on this many times as many people, so that its quantiles are 5 % and 95 % at the closest."""
LOOKED_AT: Final = 1_000_000
"""Rows that a profile is made from if nothing else is said: some 200 bytes each in memory."""
MOST_VALUES: Final = 50
_TAIL: Final = 0.01
_FACTOR: Final = 2
"""A limit is this many times as far from the median as the quantile: 4.7 standard deviations of a normal distribution,
as Tukey's outer fences are (Exploratory Data Analysis, 1977), and it follows a skew."""
_BANDS: Final = (
    ("0_1", 0, 2),
    ("2_11", 2, 12),
    ("12_17", 12, 18),
    ("18_39", 18, 40),
    ("40_64", 40, 65),
    ("65", 65, 150),
)
"""Age groups by age_years: those of ICH E11 (below 2, 12 and 18) and E7 (65 and above); adults cut at 40."""
_SEXES: Final = ("female", "male")
_RULES_AT_A_TIME: Final = 100
_BETWEEN: Final = "expect_column_values_to_be_between"
_IN_SET: Final = "expect_column_values_to_be_in_set"
_PRESENT: Final = "expect_column_values_to_not_be_null"
_ORDER: Final = "expect_column_pair_values_a_to_be_greater_than_b"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a suggestion was made from: `rows` with a value, of `people`; `quantiles` by name; how many would fail."""

    rows: int
    people: int
    quantiles: Mapping[str, float] = field(default_factory=dict)
    left_out: str = ""
    failing: int = 0

    @property
    def share(self) -> float:
        """Of the rows, those that would fail."""
        return self.failing / self.rows if self.rows else 0.0


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A rule as it would stand in a suite. `in_force`: ids of rules that say something of the same kind already."""

    rule: str
    expectation: Mapping[str, Any]  # as JSON has it
    evidence: Evidence
    in_force: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Profile:
    """The suggestions for one event type, from `rows` that landed, of `people`."""

    event: str
    rows: int
    people: int
    least: int
    suggestions: tuple[Suggestion, ...]


@dataclass(frozen=True, slots=True)
class _Idea:
    """A suggestion before it is known what would fail: `about` ends its id, `words` say what it was made from."""

    about: str
    kind: str
    kwargs: Mapping[str, Any]
    evidence: Evidence
    words: str


def profile(
    lake: Lake, schema: EventSchema, force: Written | None, *, scope: Scope, least: int = LEAST_PEOPLE
) -> Profile:
    """Suggest rules for `schema`'s event type from the landed rows of `scope`; `force` is the suite in force.

    Raises `NothingLanded`, `StoreUnavailable`.
    """
    columns = Columns.of(schema)
    told = _told(schema, columns)
    frame = _landed(lake, schema, columns, told, scope)
    looked = _Looked(frame, schema, columns, told, least)
    ideas = [*looked.present(), *looked.ranges(), *looked.sets(), *looked.orders()]
    prefix = next(iter(force.suite.rules)).id.split(".")[0] if force else schema.event.name
    suggestions = _with_failing(schema, frame, prefix, ideas, force)
    return Profile(str(schema.event), frame.height, frame["participant"].n_unique(), least, tuple(suggestions))


def draft_of(schema: EventSchema, force_text: str | None, kept: Sequence[Suggestion]) -> str:
    """A draft: the suite in force, whose text is given, with the suggestions that were kept behind its rules."""
    document = json.loads(force_text) if force_text else {"name": str(schema.event), "expectations": []}
    document["expectations"] = [*document["expectations"], *(each.expectation for each in kept)]
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def _told(schema: EventSchema, columns: Columns) -> list[str]:
    """The columns that suggestions are about: fields tagged NONE, and what is derived from such."""
    payload = [each.name for each in schema.payload if each.tag is Tag.NONE and each.name in columns.types]
    open_ = {each.name for each in schema.fields if each.tag is Tag.NONE}
    return [*payload, *(name for name, each in columns.derived.items() if open_.issuperset(each.inputs))]


def _landed(lake: Lake, schema: EventSchema, columns: Columns, told: Sequence[str], scope: Scope) -> pl.DataFrame:
    """The landed rows: the `told` columns as rules see them, what these and `age_years` are made of, `participant`."""
    rows = Rows(lake, schema.event, scope)
    wanted = [*told, "sex", "age_years", "occurred_at"]
    stored, expressions = columns.view(wanted)
    parts = []
    for lies, piece in rows:
        if lies == LANDED:
            chosen = rows.look(lies, piece).frame["row"]
            part = read(lake, piece, {**stored, "participant_id": pl.String()})[chosen]
            person = part["participant_id"].hash().alias("participant")
            others = [each for each in stored if each not in wanted]
            parts.append(part.select(*others, *expressions).with_columns(person))
    if not any(part.height for part in parts):
        raise NothingLanded(f"No row of {schema.event} has landed that could be looked at.", "Widen --since or --last.")
    return pl.concat(parts)


@dataclass(frozen=True, slots=True)
class _Seen:
    """How the values of a number are spread over people, of whom each counts once, however many rows they have.

    `quartiles` are those of people's medians. Of 1 % of people, and of enough, the least value is `low` or lower; of as
    many the greatest is `high` or higher.
    """

    rows: int
    people: int
    low: float
    quartiles: tuple[float, float, float]
    high: float
    beyond: tuple[float, float]
    """The shares of rows below `low` and above `high`."""

    @classmethod
    def of(cls, values: pl.DataFrame, least: int) -> _Seen | None:
        """Of rows with `participant` and `value`; None where too few people stand behind them, or all are equal."""
        value = pl.col("value")
        each = values.group_by("participant").agg(value.min().alias("least"), value.median(), value.max().alias("most"))
        people = each.height
        if people < least * RANGE_PEOPLE:
            return None
        far = max(least, math.ceil(people * _TAIL)) - 1
        low, high = float(each["least"].sort()[far]), float(each["most"].sort(descending=True)[far])
        usual = each["value"].sort()
        quartiles = [float(usual[people * quarter // 4]) for quarter in (1, 2, 3)]
        if not low < high:
            return None
        beyond = float((values["value"] < low).mean() or 0), float((values["value"] > high).mean() or 0)  # type: ignore[arg-type]
        return cls(values.height, people, low, (quartiles[0], quartiles[1], quartiles[2]), high, beyond)

    def told(self) -> dict[str, float]:
        """The quantiles by name."""
        first, median, third = self.quartiles
        return {"low": self.low, "25%": first, "50%": median, "75%": third, "high": self.high}

    def limits(self, *, whole: bool) -> tuple[float, float]:
        """The range, rounded outwards by a hundredth of its width at most; not below 0 where hardly anything is."""
        median = self.quartiles[1]
        low, high = median - _FACTOR * (median - self.low), median + _FACTOR * (self.high - median)
        digits = 2 - math.floor(math.log10(high - low))
        digits = min(digits, 0) if whole else digits
        step = 10.0**-digits
        low, high = round(math.floor(low / step) * step, digits), round(math.ceil(high / step) * step, digits)
        low = max(low, 0) if self.low >= 0 else low
        return (int(low), int(high)) if digits <= 0 else (low, high)

    def differs(self, whole: _Seen) -> bool:
        """Whether a group is so unlike the whole that a range of its own says more."""
        first, median, third = whole.quartiles
        shifted = abs(self.quartiles[1] - median) >= (third - first) / 2 > 0
        return shifted or self.high - self.low <= (whole.high - whole.low) * 2 / 3

    def words(self) -> str:
        """For the notes of a rule."""
        (first, median, third), (below, above) = self.quartiles, self.beyond
        return (
            f"Of half of the people it is usually from {first:g} to {third:g}; {below:.1%} of rows lie below "
            f"{self.low:g}, {above:.1%} above {self.high:g}. The limits are twice as far from the median, {median:g}."
        )


@dataclass(frozen=True, slots=True)
class _Group:
    """A group of people: `about` ends the id of its rule, `condition` picks its rows."""

    about: str
    condition: str
    seen: _Seen

    @property
    def kwargs(self) -> dict[str, str]:
        """What an expectation about the group has."""
        return {"row_condition": self.condition, "condition_parser": "pandas"}


def _groups(values: pl.DataFrame, whole: _Seen, least: int) -> list[_Group]:
    """The groups that deserve a range of their own: by age, and within an age or alone by sex, where they differ."""
    sexes = [(sex, f'sex == "{sex}"', pl.col("sex") == sex) for sex in _SEXES]
    age = pl.col("age_years")
    bands = [
        (f"age_{name}", f"age_years >= {low} and age_years < {high}", (age >= low) & (age < high))
        for name, low, high in _BANDS
    ]
    by_age = _differing(values, whole, bands, least)
    if not by_age:
        return _differing(values, whole, sexes, least)
    rows_of = {about: rows for about, _, rows in bands}
    within = [
        [
            _Group(f"{group.about}_{each.about}", f"{group.condition} and {each.condition}", each.seen)
            for each in _differing(values.filter(rows_of[group.about]), group.seen, sexes, least)
        ]
        or [group]
        for group in by_age
    ]
    return [group for groups in within for group in groups]


def _differing(
    values: pl.DataFrame, whole: _Seen, parts: Sequence[tuple[str, str, pl.Expr]], least: int
) -> list[_Group]:
    """The groups of `parts` that enough people are in, if any of them differs from the whole."""
    groups = [
        _Group(about, condition, seen)
        for about, condition, rows in parts
        if (seen := _Seen.of(values.filter(rows), least)) is not None
    ]
    return groups if any(group.seen.differs(whole) for group in groups) else []


class _Looked:
    """What is seen in the rows of one event type."""

    def __init__(
        self, frame: pl.DataFrame, schema: EventSchema, columns: Columns, told: Sequence[str], least: int
    ) -> None:
        self._frame = frame
        self._fields = {each.name: each for each in schema.payload}
        self._types = {name: columns.types[name] for name in told}
        self._least = least

    def present(self) -> Iterator[_Idea]:
        """Rules that a field is there."""
        people = self._frame["participant"].n_unique()
        for name in self._types:
            missing = self._frame[name].null_count()
            if name not in self._fields or people < self._least * RANGE_PEOPLE or missing > self._frame.height / 100:
                continue
            evidence = Evidence(self._frame.height, people)
            yield _Idea(f"{name}.profiled_present", _PRESENT, {"column": name}, evidence, "It is hardly ever missing.")

    def ranges(self) -> Iterator[_Idea]:
        """Ranges of numbers: of all, and of groups where they differ."""
        for name, kind in self._types.items():
            if kind_of(kind) is not Kind.NUMBER:
                continue
            values = self._frame.select("participant", "sex", "age_years", pl.col(name).alias("value")).drop_nulls(
                "value"
            )
            values = values.filter(pl.col("value").is_finite()) if kind.is_float() else values
            whole = _Seen.of(values, self._least)
            if whole is None:
                continue
            yield self._range(name, whole, "", {})
            for group in _groups(values, whole, self._least):
                yield self._range(name, group.seen, f"_{group.about}", group.kwargs)

    def sets(self) -> Iterator[_Idea]:
        """Sets of values of texts."""
        for name, kind in self._types.items():
            if kind_of(kind) is not Kind.TEXT:
                continue
            there = self._frame.select("participant", value=name).drop_nulls()
            counts = there.group_by("value").agg(
                pl.len().alias("rows"), pl.col("participant").n_unique().alias("people")
            )
            enough = counts.filter(pl.col("people") >= self._least).sort("rows", "value", descending=[True, False])
            rows = int(counts["rows"].sum())
            if not 0 < enough.height <= MOST_VALUES or int(enough["rows"].sum()) < 0.99 * rows:
                continue
            rare = counts.height - enough.height
            left_out = f"{rare} values that fewer than {self._least} people have are left out" if rare else ""
            evidence = Evidence(rows, there["participant"].n_unique(), left_out=left_out)
            words = f"{enough.height} values, each of {self._least} people or more."
            kwargs = {"column": name, "value_set": enough["value"].to_list()}
            yield _Idea(f"{name}.profiled_values", _IN_SET, kwargs, evidence, words)

    def orders(self) -> Iterator[_Idea]:
        """Orders of two times, or of two numbers of one unit."""
        for later, earlier in permutations((*self._types, "occurred_at"), 2):
            if not self._comparable(later, earlier):
                continue
            both = self._frame.select("participant", a=later, b=earlier).drop_nulls()
            people = both["participant"].n_unique()
            if people < self._least * RANGE_PEOPLE:
                continue
            ordered = int((both["a"] >= both["b"]).sum())
            # Where all of one lie above all of the other, their ranges say it already; where all are equal, nothing.
            apart = both["a"].min() > both["b"].max()  # type: ignore[operator]
            if ordered >= 0.999 * both.height and not apart and not (both["a"] == both["b"]).all():
                kwargs = {
                    "column_A": later,
                    "column_B": earlier,
                    "or_equal": True,
                    "ignore_row_if": "either_value_is_missing",
                }
                words = f"{ordered / both.height:.3%} of rows keep this order."
                yield _Idea(
                    f"{later}.profiled_not_below_{earlier}", _ORDER, kwargs, Evidence(both.height, people), words
                )

    def _range(self, name: str, seen: _Seen, suffix: str, condition: Mapping[str, Any]) -> _Idea:
        low, high = seen.limits(whole=self._types[name].is_integer())
        kwargs = {"column": name, "min_value": low, "max_value": high, **condition}
        return _Idea(
            f"{name}.profiled_range{suffix}",
            _BETWEEN,
            kwargs,
            Evidence(seen.rows, seen.people, seen.told()),
            seen.words(),
        )

    def _comparable(self, one: str, other: str) -> bool:
        kinds = [kind_of(self._frame.schema[name]) for name in (one, other)]
        if kinds[0] is not kinds[1] or kinds[0] not in {Kind.NUMBER, Kind.TIME, Kind.DATE}:
            return False
        if kinds[0] is not Kind.NUMBER:
            return True
        units = [self._fields[name].unit if name in self._fields else None for name in (one, other)]
        return units[0] is not None and units[0] == units[1]


def _with_failing(
    schema: EventSchema, frame: pl.DataFrame, prefix: str, ideas: Sequence[_Idea], force: Written | None
) -> Iterator[Suggestion]:
    """The suggestions, each with how many of the rows would fail, as the stage judges them."""
    taken = {rule.id for rule in force.suite.rules} if force else set()
    batch = PseudonymisedBatch(schema.event, frame)
    for first in range(0, len(ideas), _RULES_AT_A_TIME):
        named = []
        for idea in ideas[first : first + _RULES_AT_A_TIME]:
            rule = f"{prefix}.{idea.about}".lower()
            while rule in taken:
                rule += "_again"
            taken.add(rule)
            named.append((rule, idea))
        text = json.dumps(
            {"name": str(schema.event), "expectations": [_expectation(rule, idea, "tried") for rule, idea in named]}
        )
        counts = judge(batch, read_written(text, schema, "The suggestions").suite).counts
        for rule, idea in named:
            evidence = replace(idea.evidence, failing=counts.get(rule, 0))
            left_out = f" {evidence.left_out}." if evidence.left_out else ""
            notes = (
                f"Suggested by a profile of {evidence.rows:,} landed rows of {evidence.people:,} people; "
                f"{evidence.failing:,} of them ({evidence.share:.3%}) would fail. {idea.words}{left_out} "
                "Write here which guideline says so."
            )
            yield Suggestion(rule, _expectation(rule, idea, notes), evidence, tuple(_same_kind(idea, force)))


def _expectation(rule: str, idea: _Idea, notes: str) -> dict[str, Any]:
    return {
        "type": idea.kind,
        "kwargs": dict(idea.kwargs),
        "severity": Severity.WARNING.value,
        "meta": {"rule": rule, "notes": notes},
    }


def _same_kind(idea: _Idea, force: Written | None) -> Iterator[str]:
    """Rules in force of the same type about the same columns and rows."""
    about = ("column", "column_A", "column_B", "row_condition")
    for name, rule in force.rules.items() if force else ():
        arguments = force.arguments[name] if force else {}
        if rule.expectation == idea.kind and all(arguments.get(each) == idea.kwargs.get(each) for each in about):
            yield name
