"""A limit of one rule slid over many values in one pass: how many rows fail at each, and which way they would go.

Each row is put into one of few classes, by how many of the values it lies beyond; counts of classes added up give the
exact count at each value. What makes a row one that the rule is about at all (a value, `row_condition`) is judged by
the stage, as a rule that every such row fails; so is the rule's other limit.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from biokeel.errors import SuiteError
from biokeel.rules.backtest_suites import read_written
from biokeel.validate.rules import Severity

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy.typing as npt

    from biokeel.contracts.schema import EventSchema
    from biokeel.rules.backtest_suites import Written
    from biokeel.rules.backtest_verdicts import Truths
    from biokeel.validate.rules import Rule

MOST_VALUES: Final = 2_000
BETWEEN: Final = "expect_column_values_to_be_between"
COUNTS: Final = {"was_stopped": pl.Boolean(), "others_stop": pl.Boolean(), "beyond": pl.Int64(), "rows": pl.Int64()}
"""Columns of a sweep's counts: `beyond` is a row's class."""
_WRITTEN: Final = re.compile(
    r"(?P<what>[\w.]+)\.(?P<limit>min|max)=(?P<first>[^.:]+(?:\.\d+)?)\.\.(?P<last>[^:]+)(?::(?P<step>.+))?"
)
_ABOUT, _OTHER = "sweep.about", "sweep.other"


@dataclass(frozen=True, slots=True)
class Point:
    """One value of the limit: rows that fail the rule with it, and that change sides for it."""

    value: float
    failing: int
    newly_quarantined: int
    released: int


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep found: `now` is the limit as the draft has it, None where it has none yet."""

    rule: str
    column: str
    limit: str
    now: float | None
    critical: bool
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Sweep:
    """A rule's limit and the values to try, rising. `about` fails for rows that the rule judges, `other` for those
    beyond its other limit.
    """

    rule: Rule
    column: str
    limit: str
    now: float | None
    strict: bool
    values: npt.NDArray[Any]  # int64 or float64, as they were written
    about: str
    other: str | None
    asked: Mapping[str, Rule]

    def classes(self, values: pl.Series, failed: Mapping[str, Truths]) -> npt.NDArray[np.int64]:
        """The class of each row: of `values`, which is the rule's column, how many limits it lies beyond.

        `failed` are the answers to `asked`. Whatever its value, a row beyond the other limit fails at each value of
        this one, and a row that the rule is not about fails at none.
        """
        steps = self.values.astype(values.to_numpy().dtype) if values.dtype == pl.Float32 else self.values
        passed = self.limit == "max"
        # With max, a row fails at the values below its own; with min, at the values above it.
        at = np.searchsorted(steps, values.fill_null(0).to_numpy(), side="right" if passed == self.strict else "left")
        beyond = np.asarray(at if passed else len(steps) - at, np.int64)
        about = failed.get(self.about)
        if about is None:
            return np.zeros_like(beyond)
        other = failed.get(self.other) if self.other else None
        if other is not None:
            beyond[other] = len(steps)
        beyond[~about] = 0
        return beyond

    def swept(self, counts: pl.DataFrame) -> Swept:
        """The points of all `COUNTS`."""
        critical = self.rule.severity is Severity.CRITICAL
        reach = np.zeros((2, 2, len(self.values) + 1), np.int64)
        for was, others, beyond, rows in counts.select(*COUNTS).iter_rows():
            reach[int(was), int(others), beyond] += rows
        # The n-th row from the far end of the values fails where its class is above n.
        failing = reach[..., ::-1].cumsum(axis=-1)[..., ::-1][..., 1:]
        every = reach.sum(axis=-1, keepdims=True)
        if self.limit == "min":
            failing = failing[..., ::-1]
        stopped = failing if critical else np.zeros_like(failing)
        newly = every[0, 1] + stopped[0, 0]
        released = (every[1, 0] - stopped[1, 0]) + np.zeros_like(newly)
        columns = zip(self.values.tolist(), failing.sum(axis=(0, 1)), newly, released, strict=True)
        points = tuple(Point(value, int(some), int(more), int(less)) for value, some, more, less in columns)
        return Swept(self.rule.id, self.column, self.limit, self.now, critical, points)


def read_sweep(text: str, draft: Written, schema: EventSchema) -> Sweep:
    """The sweep that `text` asks for: `systolic.max=250..320` or `bp.systolic.range.max=250..320:5`.

    Raises `SuiteError` where it is malformed, or the draft has no one rule of that name or column.
    """
    match = _WRITTEN.fullmatch(text.replace(" ", ""))
    if match is None:
        raise SuiteError(f"The sweep {text!r} is malformed.", "Write systolic.max=250..320 or systolic.max=250..320:5.")
    limit = match["limit"]
    rule = _named(match["what"], limit, draft)
    kwargs = draft.arguments[rule.id]
    if not draft.suite.columns.types[kwargs["column"]].is_numeric():
        raise SuiteError(
            f"{kwargs['column']} is no number, so its limit cannot be slid.", "Name a rule about a number."
        )
    if rule.waivers:
        raise SuiteError(
            f"{rule.id} is waived for a source, so what a limit stops depends on whose rows they are.",
            "Sweep a draft without its waivers.",
        )
    about, other, asked = _parts(rule, kwargs, limit, schema)
    now = kwargs.get(f"{limit}_value")
    strict = bool(kwargs.get(f"strict_{limit}"))
    return Sweep(rule, kwargs["column"], limit, now, strict, _values(match), about, other, asked)


def _named(what: str, limit: str, draft: Written) -> Rule:
    """The range rule with the id `what`, or of that column: of several the one with such a limit, or the critical one.

    Raises `SuiteError` where that is none, or several still.
    """
    rules = {rule.id: rule for rule in draft.suite.row_rules if rule.expectation == BETWEEN}
    if what in rules:
        return rules[what]
    chosen = [rule for name, rule in rules.items() if draft.arguments[name]["column"] == what]
    chosen = [rule for rule in chosen if draft.arguments[rule.id].get(f"{limit}_value") is not None] or chosen
    chosen = [rule for rule in chosen if rule.severity is Severity.CRITICAL] or chosen
    if len(chosen) != 1:
        raise SuiteError(
            f"{what} is {'the column of several' if chosen else 'no'} range rules of {draft.suite.event}.",
            f"Name one rule: {', '.join(rule.id for rule in chosen) or ', '.join(sorted(rules))}.",
        )
    return chosen[0]


def _parts(
    rule: Rule, kwargs: Mapping[str, Any], limit: str, schema: EventSchema
) -> tuple[str, str | None, dict[str, Rule]]:
    """What asks whom the rule is about, what asks for its other limit (None: it has none), and the rules that ask."""
    common = {name: kwargs[name] for name in ("column", "row_condition", "condition_parser") if name in kwargs}
    far = "min" if limit == "max" else "max"
    parts = [_expectation(_ABOUT, "expect_column_values_to_be_null", common)]
    if kwargs.get(f"{far}_value") is not None:
        limits = {name: kwargs[name] for name in (f"{far}_value", f"strict_{far}") if name in kwargs}
        parts.append(_expectation(_OTHER, BETWEEN, common | limits))
    text = json.dumps({"name": str(schema.event), "expectations": parts})
    written = read_written(text, schema, f"The sweep of {rule.id}")
    return (
        written.asks[_ABOUT],
        written.asks.get(_OTHER),
        {written.asks[name]: each for name, each in written.rules.items()},
    )


def _expectation(rule: str, kind: str, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    meta = {"rule": rule, "notes": "part of a sweep"}
    return {"type": kind, "kwargs": kwargs, "severity": Severity.INFO.value, "meta": meta}


def _values(match: re.Match[str]) -> npt.NDArray[Any]:
    try:
        first, last = Decimal(match["first"]), Decimal(match["last"])
        whole = first == int(first) and last == int(last)
        step = Decimal(match["step"]) if match["step"] else Decimal(1) if whole else (last - first) / 20
        count = int((last - first) / step) + 1 if step > 0 else 0
    except (InvalidOperation, OverflowError, ValueError):
        raise SuiteError("A sweep goes from one number to another.", "Write systolic.max=250..320:5.") from None
    if not 0 < count <= MOST_VALUES:
        raise SuiteError(
            f"A sweep has 1 to {MOST_VALUES:,} values, and goes upwards.", "Write systolic.max=250..320:5."
        )
    values = [first + step * number for number in range(count)]
    return np.array([int(each) for each in values] if _whole(values) else [float(each) for each in values])


def _whole(values: Iterable[Decimal]) -> bool:
    return all(value == int(value) for value in values)
