"""`biokeel source`: the register of sources, and what Kafka has for each of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from biokeel.cli.dry_run import dry_run
from biokeel.cli.source_map import source_map
from biokeel.cli.terminal import say, terminal
from biokeel.errors import ContractError, SettingsError, TransportError

if TYPE_CHECKING:
    from rich.table import Table

    from biokeel.contracts.compatibility import Refusal
    from biokeel.contracts.sources import Register, Source
    from biokeel.settings import Settings

commands = typer.Typer(help="Who may send events: the register of sources, and what Kafka has for each of them.")
commands.command("dry-run")(dry_run)
commands.command("map")(source_map)

Yes = Annotated[bool, typer.Option("--yes", help="Ask nothing.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="Of a-z, 0-9 and hyphen, for example hospital-a.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.add_typer(commands, name="source", no_args_is_help=True)


@commands.command("list")
def list_() -> None:
    """List the registered sources, and what is strange about each as the books saw it last."""
    from biokeel.books.published import seen_last

    sources, seen = _register(_settings()), seen_last()
    if isinstance(seen, str):
        terminal().print(table(sources, {}))
        say(f"What they send is not known here: {seen}", stderr=True)
        return
    strange: dict[str, list[str]] = {}
    for alarm in seen.alarms:
        strange.setdefault(alarm.source, []).append(alarm.sentence)
    says = {source: "\n".join(strange.get(source, ["nothing"])) for source in sources}
    terminal().print(table(sources, says))


@commands.command()
def show(source_id: Id) -> None:
    """Show what a source may send, how fast, and where; nothing of how it logs in."""
    from rich.table import Table

    from biokeel.admin.credentials import Credentials
    from biokeel.admin.plan import topics_of
    from biokeel.contracts.catalogue import locked_events

    settings = _settings()
    source = _one(_register(settings), source_id)
    file = Credentials(settings).file(source_id)
    topics = (
        f"{name} ({topic.partitions})" for name, topic in topics_of(source, locked_events(settings.schemas_dir)).items()
    )
    rows = {
        "name": source.name,
        "contact": source.contact,
        "may send": "\n".join(source.events),
        "may speak of": "\n".join(source.schemes),
        "time zone": source.time_zone,
        "silent after": _duration(source.cadence_seconds),
        "software": ", ".join(source.software) or "any",
        "quota": f"{source.quota.produce_bytes_per_second:,} bytes/s, {source.quota.request_percentage} % of a thread",
        "topics (partitions)": "\n".join(topics),
        "credentials": str(file) if file.exists() else "not on this machine",
    }
    shown = Table(show_header=False, title=source.id)
    for name, value in rows.items():
        shown.add_row(name, value)
    terminal().print(shown)


@commands.command()
def check(
    files: Annotated[list[Path] | None, typer.Argument(metavar="[FILES]", help="Default: the whole register.")] = None,
) -> None:
    """Say what is wrong with the files of the register. Exit status 1 where anything is wrong."""
    from biokeel.contracts.catalogue import locked_events
    from biokeel.contracts.sources import Register, Source, read, read_file, shared_schemes
    from biokeel.settings import Settings

    settings = Settings.load()
    known = locked_events(settings.schemas_dir)
    if files:
        found = [read_file(file, known) for file in files]
        sources = [each for each in found if isinstance(each, Source)]
        faults = [fault for each in found if not isinstance(each, Source) for fault in each]
    else:
        sources, faults = read(settings.sources_dir, known)
    if faults:
        _refuse(faults)
    for sentence in shared_schemes(Register(sources)):
        say(f"warning  {sentence}")
    say(f"{len(sources)} sources pass.")


@commands.command()
def apply(
    yes: Yes = False,
    plan: Annotated[bool, typer.Option("--plan", help="Show what would be done, and do nothing.")] = False,
) -> None:
    """Give Kafka what the register wants: topics, users, rights, quotas. Shows the plan and asks before it begins.

    Run it again after whatever went wrong: it does what is left. No topic is ever deleted.
    """
    settings = _admin_settings()
    _apply(settings, _register(settings), new_passwords=(), ask=not yes, plan_only=plan)


@commands.command()
def add(
    source_id: Id,
    *,
    name: Annotated[str | None, typer.Option(help="The institution's name for people.")] = None,
    contact: Annotated[str | None, typer.Option(help="Where its data office is reached.")] = None,
    events: Annotated[
        str | None, typer.Option(help="What it may send, by comma: clinical.*,person.enrolment; person events by name.")
    ] = None,
    schemes: Annotated[
        str | None, typer.Option(help="Identifier schemes that it may speak of, by comma: KR_RRN,hospital/seoul-1.")
    ] = None,
    time_zone: Annotated[str | None, typer.Option(help="Its time zone.")] = None,
    cadence_seconds: Annotated[int | None, typer.Option(help="It is silent after so long without an event.")] = None,
    partitions: Annotated[int | None, typer.Option(help="Of each of its raw topics.")] = None,
    bytes_per_second: Annotated[int | None, typer.Option(help="Its quota of produced bytes a second.")] = None,
    request_percentage: Annotated[int | None, typer.Option(help="Its quota of a broker thread, per cent.")] = None,
    software: Annotated[
        str | None,
        typer.Option(help="Client software that it may state, by comma: name, or name/oldest version; none: any."),
    ] = None,
    new_password: Annotated[
        bool, typer.Option("--new-password", help="Give it another password; the old one counts no longer.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Register a source: ask what it needs, write its file, give Kafka what it wants, write its credentials' file.

    Every answer can be an option. What has a file already is not asked about and stays as it is: edit the file and
    run `biokeel source apply`, or run this again after whatever went wrong.
    """
    from biokeel.contracts.catalogue import locked_events
    from biokeel.contracts.sources import Register, Source, file_of, read_file

    settings = _admin_settings()
    given: dict[str, Any] = {
        "name": name,
        "contact": contact,
        "events": events,
        "schemes": schemes,
        "time_zone": time_zone,
        "cadence_seconds": cadence_seconds,
        "partitions": partitions,
        "software": software,
    }
    quota = {"produce_bytes_per_second": bytes_per_second, "request_percentage": request_percentage}
    file = file_of(settings.sources_dir, source_id)
    if file.exists():
        if any(answer is not None for answer in (*given.values(), *quota.values())):
            raise SettingsError(f"{source_id} has a file already, {file}.", "Edit it, then run biokeel source apply.")
        found = read_file(file, locked_events(settings.schemas_dir))
        source = found if isinstance(found, Source) else _refuse(found)
    else:
        source = _asked(
            source_id, given, {key: value for key, value in quota.items() if value is not None}, ask=not yes
        )
        _write(settings.sources_dir, source)
        say(f"Written: {file}")
    passwords = {source_id} if new_password else set()
    try:
        _apply(settings, Register([source]), part=True, new_passwords=passwords, ask=not yes)
    except (TransportError, SettingsError) as error:
        say(f"Registered, but Kafka has nothing for it yet: {error}")
        say("When Kafka is reached, run: biokeel source apply")
        return
    _hand_over(settings, source_id)


def table(sources: Register, says: Mapping[str, str]) -> Table:
    """The registered sources as a table; `says`: a sentence about some of them, by id."""
    from rich.table import Table

    from biokeel.contracts.catalogue import locked_events

    events = locked_events(_settings().schemas_dir)
    strange = ["what is strange"] if says else []
    shown = Table("id", "name", "event types", "speaks of", "silent after", "contact", *strange)
    for source in sources.values():
        row = [
            source.id,
            source.name,
            str(sum(map(source.may_send, events))),
            "\n".join(source.schemes),
            _duration(source.cadence_seconds),
            source.contact,
        ]
        shown.add_row(*row, *([says.get(source.id, "")] if says else []))
    return shown


def _duration(seconds: int) -> str:
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds % length == 0:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def _settings() -> Settings:
    """Where the register lies: as whoever watches is told it, which is the one that a running stack goes by."""
    from biokeel.settings import OPERATOR, Settings

    return Settings.load(OPERATOR)


def _admin_settings() -> Settings:
    from biokeel.settings import ADMIN, Settings

    return Settings.load(ADMIN)


def _register(settings: Settings) -> Register:
    from biokeel.contracts.sources import Register

    return Register.load(settings.sources_dir)


def _one(register: Register, source_id: str) -> Source:
    try:
        return register[source_id]
    except KeyError:
        raise ContractError(
            f"No source is registered as {source_id}.", f"Registered are: {', '.join(register) or 'none'}."
        ) from None


def _refuse(faults: list[Refusal]) -> NoReturn:
    """Print the faults and raise."""
    for fault in faults:
        say(f"refused  {fault}")
    raise ContractError(f"{len(faults)} thing(s) are wrong with the register.", "See the lines above.")


def _asked(source_id: str, given: dict[str, Any], quota: dict[str, int], *, ask: bool) -> Source:
    """The source that the options describe; what is missing, or wrong, is asked for where somebody may be asked."""
    from biokeel.contracts.catalogue import locked_events
    from biokeel.contracts.sources import Source, parse

    known = locked_events(_settings().schemas_dir)
    defaults: dict[str, str | int] = {
        "time_zone": "Asia/Seoul",
        "cadence_seconds": 3600,
        "partitions": 4,
        "software": "",
    }
    answers = {key: value for key, value in given.items() if value is not None}
    for key, field in Source.model_fields.items():
        if key in given and key not in answers:
            answers[key] = _answer(key, str(field.description), defaults.get(key), ask=ask)
    while True:
        content: dict[str, Any] = {"id": source_id, **{key: _parted(key, value) for key, value in answers.items()}}
        found = parse(content | {"quota": quota}, "your answers", known)
        if isinstance(found, Source):
            return found
        wrong = [key for key in answers if any(f", {key}" in fault.where for fault in found)]
        if not ask or not wrong:
            _refuse(found)
        for fault in found:
            say(str(fault))
        for key in wrong:
            answers[key] = _answer(key, str(Source.model_fields[key].description), defaults.get(key), ask=True)


def _answer(key: str, wants: str, default: str | int | None, *, ask: bool) -> str | int:
    if ask:
        answer: str | int = typer.prompt(f"{key.replace('_', ' ')} ({wants})", default=default)
        return answer
    if default is None:
        raise SettingsError(
            f"Not given: --{key.replace('_', '-')}, {wants}.", "Give it, or leave --yes out to be asked."
        )
    return default


def _parted(key: str, answer: str | int) -> str | int | list[str]:
    """Lists are written with commas."""
    if key in ("events", "schemes", "software"):
        return [part for each in str(answer).split(",") if (part := each.strip())]
    return answer


def _write(folder: Path, source: Source) -> None:
    from biokeel.contracts.sources import file_of, written
    from biokeel.settings import SHIPPED

    if folder.is_relative_to(SHIPPED):
        raise SettingsError(
            f"The register in {folder} is an example that comes with Biokeel.",
            "Make a folder sources here, or set BIOKEEL_SOURCES_DIR to one.",
        )
    file = file_of(folder, source.id)
    new = file.with_name(f".{file.name}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        new.write_text(written(source), encoding="utf-8")
        new.replace(file)
    except OSError as error:
        raise SettingsError(f"{file} cannot be written ({error.strerror}).", "Make its folder writable.") from None


def _apply(
    settings: Settings,
    register: Register,
    *,
    new_passwords: Collection[str],
    ask: bool,
    part: bool = False,
    plan_only: bool = False,
) -> None:
    """Show the plan and carry it out, unless somebody says no; see `make_plan` for `part`."""
    from biokeel.observe.reach import require_kafka

    require_kafka(settings)

    from biokeel.admin.cluster import Cluster
    from biokeel.admin.credentials import Credentials
    from biokeel.admin.plan import make_plan
    from biokeel.contracts.catalogue import locked_events
    from biokeel.testing.crash import reached

    cluster, credentials = Cluster(settings), Credentials(settings)
    plan = make_plan(
        register,
        locked_events(settings.schemas_dir),
        settings.pseudo_partitions,
        cluster.held(),
        part=part,
        passwords=credentials.unfinished() | set(new_passwords),
    )
    for step in plan.steps:
        say(f"  {step}")
    for sentence in plan.stays:
        say(f"  note: {sentence}")
    if not plan.steps:
        say("Kafka has what the register wants.")
        return
    if plan_only:
        say(f"{len(plan.steps)} steps; nothing is done yet.")
        return
    if ask:
        typer.confirm(f"Carry out these {len(plan.steps)} steps?", abort=True)
    cluster.carry_out(plan, credentials, new_passwords=new_passwords, passed=reached)
    say(f"Done: {len(plan.steps)} steps.")


def _hand_over(settings: Settings, source_id: str) -> None:
    """What the institution's engineer needs, in three lines."""
    from biokeel.admin.credentials import Credentials

    file = Credentials(settings).file(source_id)
    if file.exists():
        say(f"Take along: {file} (whoever has it is {source_id}; hand it over by a way that nobody reads)")
    else:
        say("Take along: the credentials' file, which is not on this machine any more (--new-password makes another)")
    say(f"Publish:    set -a; . ./{file.name}; set +a; biokeel publish FILES --source-id {source_id}")
    say("Read:       docs/sources.md (event types, what a field may hold, who is whom, from code)")
