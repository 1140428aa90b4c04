"""Sample rows beside a suite, each with the verdict that its author expects: the steward's own tests.

`expectations/<domain>/<event>.samples.json`:

```json
{"defaults": {"status": "final", "systolic": 120},
 "samples": [{"why": "a typing error", "row": {"systolic": 900}, "failed": ["bp.systolic.range"]}]}
```

A sample's row is `defaults` with `row` laid over it; what neither names is null. Times are texts with a zone, dates are
texts. `failed` (critical), `warnings` and `counted` (info) are the rule ids that the row must fail, no more and no
fewer; each is empty where it is not given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from biokeel.batch import PseudonymisedBatch
from biokeel.errors import SuiteError
from biokeel.validate.columns import Columns, Kind, kind_of
from biokeel.validate.document import read_document
from biokeel.validate.rules import CompiledSuite, Severity
from biokeel.validate.stage import judge

if TYPE_CHECKING:
    from pathlib import Path

    from biokeel.contracts.topics import EventType

_LISTS: Final = {"failed": Severity.CRITICAL, "warnings": Severity.WARNING, "counted": Severity.INFO}


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample row, `fields` by column name, and the rule ids that it must fail."""

    why: str
    fields: Mapping[str, Any]
    expected: frozenset[str]


@dataclass(frozen=True, slots=True)
class Surprise:
    """A sample whose verdict differs: rules that it should have failed and did not, and the other way round."""

    why: str
    missed: tuple[str, ...]
    unforeseen: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SampleReport:
    """What running the samples of one suite says; `untried` are row rules that no sample expects to fail."""

    samples: int
    surprises: tuple[Surprise, ...]
    untried: tuple[str, ...]


def samples_path(root: Path, event: EventType) -> Path:
    """Where the samples of `event` lie below the directory of suites."""
    return root / event.domain / f"{event.name}.samples.json"


def run_samples(suite: CompiledSuite, text: str) -> SampleReport:
    """Judge the samples in the JSON `text` by `suite`.

    Raises `SuiteError` where the samples cannot be read, name a column or a rule that is not there, or expect a rule
    under another severity than its own.
    """
    samples = _read(suite, text)
    frame = pl.concat([_row(number, each.fields, suite.columns) for number, each in enumerate(samples, start=1)])
    failed = judge(PseudonymisedBatch(suite.event, frame), suite).failed
    surprises = []
    for sample, flags in zip(
        samples, failed.iter_rows(named=True) if failed.width else ({},) * len(samples), strict=True
    ):
        got = frozenset(rule for rule, is_failed in flags.items() if is_failed)
        if got != sample.expected:
            surprises.append(
                Surprise(sample.why, tuple(sorted(sample.expected - got)), tuple(sorted(got - sample.expected)))
            )
    tried = frozenset().union(*(sample.expected for sample in samples))
    untried = tuple(rule.id for rule in suite.row_rules if rule.id not in tried)
    return SampleReport(len(samples), tuple(surprises), untried)


def _read(suite: CompiledSuite, text: str) -> list[Sample]:
    document, findings = read_document(text)
    if findings:
        raise SuiteError(f"The samples of {suite.event} cannot be read: {findings[0]}")
    entries = document.get("samples") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not entries:
        raise SuiteError(f"The samples of {suite.event} are empty.", 'Write {"defaults": {...}, "samples": [...]}.')
    severities = {rule.id: rule.severity for rule in suite.row_rules}
    defaults = document.get("defaults", {})
    return [_sample(number, entry, defaults, severities) for number, entry in enumerate(entries, start=1)]


def _sample(number: int, entry: Any, defaults: Any, severities: Mapping[str, Severity]) -> Sample:
    where = f"Sample {number}:"
    if not isinstance(entry, dict) or not isinstance(defaults, dict) or not isinstance(entry.get("row"), dict):
        raise SuiteError(f"{where} it is an object with why and row.")
    if unknown := sorted(entry.keys() - _LISTS.keys() - {"why", "row"}):
        raise SuiteError(f"{where} unknown keys: {', '.join(unknown)}.", f"There are why, row, {', '.join(_LISTS)}.")
    expected: set[str] = set()
    for name, severity in _LISTS.items():
        rules = entry.get(name, [])
        if not isinstance(rules, list) or not all(isinstance(rule, str) for rule in rules):
            raise SuiteError(f"{where} {name} must be a list of rule ids.")
        for rule in rules:
            if severities.get(rule) is not severity:
                raise SuiteError(f"{where} the suite has no {severity} row rule {rule!r}.", "Check id and severity.")
            expected.add(rule)
    return Sample(f"{number}: {entry.get('why', '')}", defaults | entry["row"], frozenset(expected))


def _row(number: int, fields: Mapping[str, Any], columns: Columns) -> pl.DataFrame:
    stored = {name: dtype for name, dtype in columns.types.items() if name not in columns.derived}
    if unknown := sorted(fields.keys() - stored.keys()):
        raise SuiteError(f"Sample {number}: no column {', '.join(unknown)}.", f"There are {', '.join(sorted(stored))}.")
    try:
        values = {name: _value(fields.get(name), dtype) for name, dtype in stored.items()}
        return pl.DataFrame({name: [value] for name, value in values.items()}, schema=stored)
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
        raise SuiteError(
            f"Sample {number}: a value does not suit its column.", "Times are written like 2024-05-01T09:30:00+09:00."
        ) from None


def _value(value: Any, dtype: pl.DataType) -> Any:
    if value is None:
        return None
    kind = kind_of(dtype)
    if kind is Kind.TIME:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise ValueError("a time without a zone")
        return moment
    if kind is Kind.DATE:
        return date.fromisoformat(value)
    return float(value) if dtype.is_float() else value
