"""`biokeel suite`: what stewards do with suites before and after they publish them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from biokeel.cli import (
    suite_backtest,
    suite_book,
    suite_profile,
    suite_release,
    suite_report,
    suite_shadow,
    suite_windows,
)
from biokeel.cli.terminal import say

if TYPE_CHECKING:
    from biokeel.contracts.schema import EventSchema
    from biokeel.contracts.topics import EventType
    from biokeel.validate.lint import Reading

Events = Annotated[
    list[str] | None, typer.Argument(help="Event types, such as clinical.blood_pressure; all where none is named.")
]


def register(app: typer.Typer) -> None:
    """Add `biokeel suite`."""
    group = typer.Typer(no_args_is_help=True, help="Quality rules: list, check and test the suites.")
    group.command("list")(list_suites)
    group.command("check")(check)
    group.command("test")(run_samples_of)
    group.command("convert")(convert)
    suite_book.register(group)
    suite_backtest.register(group)
    suite_shadow.register(group)
    suite_windows.register(group)
    suite_report.register(group)
    suite_profile.register(group)
    suite_release.register(group)
    app.add_typer(group, name="suite")


def list_suites() -> None:
    """List the suite of each event type: the version in force, the draft's, and the draft's rules by severity.

    Then the waivers in force.
    """
    from biokeel.rulebook.shown import ShownRules, ShownVersion
    from biokeel.validate.rules import Severity

    rules = ShownRules().look()
    known = {} if isinstance(rules, str) else rules
    head = f"{'event type':<28}{'in force':<20}{'draft':<20}"
    say(head + "".join(f"{severity:>10}" for severity in Severity))
    for event, reading in _readings(None):
        counts = "".join(f"{sum(rule.severity is severity for rule in reading.rules):>10}" for severity in Severity)
        version = known.get(event, ShownVersion()).version or "-"
        say(f"{event!s:<28}{version:<20}{reading.suite.version if reading.suite else 'broken':<20}{counts}")
    if isinstance(rules, str):
        say(f"What is in force is not known: {rules}")
    for event, shown in known.items():
        if shown.fault:
            say(f"{event}: {shown.fault}")
        for waiver in shown.waivers:
            say(f"{event}: {waiver.told()}")


def check(events: Events = None) -> None:
    """Say what is wrong with suites, and how each expectation will run. Exit status 1 where anything is wrong.

    Great Expectations itself is asked too, which takes some seconds. Where event types are named, each rule's source
    is told.
    """
    from biokeel.validate.native import native_findings
    from biokeel.validate.suites import suite_path

    root, _ = _roots()
    faulty = 0
    for event, reading in _readings(events):
        findings = list(reading.findings)
        if reading.suite is not None:
            findings += native_findings(suite_path(root, event).read_text(encoding="utf-8"))
        state = f"version {reading.suite.version}" if reading.suite and not findings else f"{len(findings)} to mend"
        say(f"{event}: {len(reading.rules)} rules, {state}")
        for rule in reading.rules:
            say(f"  {rule.id:<36}{rule.severity:<10}{rule.runs} ({rule.expectation})")
            if events and rule.source:
                say(f"    source: {rule.source}")
        for remark in _idle_waivers(reading):
            say(f"  remark   {remark}")
        for finding in findings:
            say(f"  refused  {finding}")
        faulty += len(findings)
    if faulty:
        raise typer.Exit(1)


def _idle_waivers(reading: Reading) -> list[str]:
    """Waivers that let nothing land any more, or never did: no fault of the suite, but hardly what was meant."""
    from datetime import UTC, datetime

    from biokeel.contracts.sources import read
    from biokeel.errors import ContractError
    from biokeel.settings import Settings

    waivers = [(rule.id, waiver) for rule in reading.rules for waiver in rule.waivers]
    if not waivers:
        return []
    today = datetime.now(UTC).date()
    over = [f"{rule} is {each}; that is over." for rule, each in waivers if each.expired(today)]
    try:
        known = {source.id for source in read(Settings.load().sources_dir)[0]}
    except ContractError as error:
        return [*over, f"whose sources the waivers name is not known: {error}"]
    return over + [
        f"{rule} is waived for {each.source}, which is not registered."
        for rule, each in waivers
        if each.source not in known
    ]


def run_samples_of(events: Events = None) -> None:
    """Run the sample rows that stand beside the suites. Exit status 1 where a verdict is not the expected one."""
    from biokeel.validate.samples import run_samples, samples_path

    root, _ = _roots()
    wrong = 0
    for event, reading in _readings(events):
        path = samples_path(root, event)
        if reading.suite is None or not path.is_file():
            what = "the suite is broken: see biokeel suite check" if reading.suite is None else f"no {path.name}"
            say(f"{event}: {what}")
            wrong += 1
            continue
        report = run_samples(reading.suite, path.read_text(encoding="utf-8"))
        say(f"{event}: {report.samples} samples, {len(report.surprises)} surprises")
        for surprise in report.surprises:
            missed = f"; should fail {', '.join(surprise.missed)}" if surprise.missed else ""
            unforeseen = f"; fails {', '.join(surprise.unforeseen)}" if surprise.unforeseen else ""
            say(f"  sample {surprise.why}{missed}{unforeseen}")
        if report.untried:
            say(f"  no sample fails {', '.join(report.untried)}")
        wrong += len(report.surprises)
    if wrong:
        raise typer.Exit(1)


def convert(
    file: Annotated[Path, typer.Argument(help="A suite of Great Expectations 0.x.", exists=True, dir_okay=False)],
    event: Annotated[
        str, typer.Option(help="Its event type, such as clinical.glucose; the suite's name if absent.")
    ] = "",
    severity: Annotated[str, typer.Option(help="Of every rule: critical, warning or info.")] = "warning",
) -> None:
    """Print a suite of Great Expectations 0.x in the form of 1.x, and say what is left to do.

    Exit status 1 where `suite check` would refuse the result, above all for reasons that nobody wrote yet.
    """
    from biokeel.contracts.schema import load_schema
    from biokeel.errors import SuiteError
    from biokeel.validate.lint import read_suite
    from biokeel.validate.old_suites import convert_suite
    from biokeel.validate.rules import Severity

    if severity not in set(Severity):
        raise SuiteError(f"{severity} is no severity.", f"Write {', '.join(Severity)}.")
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SuiteError(f"{file} cannot be read ({type(error).__name__}).", "Save it as UTF-8.") from None
    converted = convert_suite(text, event, Severity(severity))
    say(converted.rstrip("\n"), lines=True)
    name = str(json.loads(converted)["name"])
    findings = read_suite(converted, load_schema(_roots()[1], _event(name))).findings
    for finding in findings:
        say(f"left to do  {finding}", stderr=True)
    if findings:
        raise typer.Exit(1)


def _roots() -> tuple[Path, Path]:
    from biokeel.settings import Settings

    settings = Settings.load()
    return settings.expectations_dir, settings.schemas_dir


def _readings(names: list[str] | None) -> list[tuple[EventType, Reading]]:
    """Each named event type (all landed ones where none is named) with its suite as far as it can be read."""
    from biokeel.contracts.schema import load_schema

    root, schemas = _roots()
    events = [_event(name) for name in names] if names else _landed()
    return [(event, _reading(root, event, load_schema(schemas, event))) for event in events]


def _landed() -> list[EventType]:
    from biokeel.contracts.schema import event_types

    return [event for event in event_types(_roots()[1]) if not event.is_person]


def _event(name: str) -> EventType:
    from biokeel.errors import SuiteError

    landed = _landed()
    found = next((event for event in landed if str(event) == name), None)
    if found is None:
        raise SuiteError(f"{name} is no event type that lands.", f"There are {', '.join(map(str, landed))}.")
    return found


def _reading(root: Path, event: EventType, schema: EventSchema) -> Reading:
    from biokeel.validate.findings import Finding
    from biokeel.validate.lint import Reading, read_suite
    from biokeel.validate.suites import suite_path

    path = suite_path(root, event)
    try:
        return read_suite(path.read_text(encoding="utf-8"), schema)
    except (OSError, UnicodeDecodeError) as error:
        return Reading(None, (), (Finding("", f"cannot read {path} ({type(error).__name__})."),))
