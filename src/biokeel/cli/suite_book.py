"""`biokeel suite`, the book of rules: drafts, their review, what is in force, and who may say so."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from biokeel.cli.terminal import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from biokeel.contracts.catalogue import Schemas
    from biokeel.contracts.topics import EventType
    from biokeel.land.lake import Lake
    from biokeel.rulebook.book import Page
    from biokeel.rulebook.standing import Standing
    from biokeel.rules.history import Span
    from biokeel.rules.keys import StewardKey
    from biokeel.rules.reverdict import Reverdict
    from biokeel.rules.review import Review, Waiting
    from biokeel.settings import Settings

Event = Annotated[str, typer.Argument(help="Event type, such as clinical.blood_pressure.")]
Submission = Annotated[str, typer.Argument(help="The submission's digest, 12 digits of it at least.")]
Reason = Annotated[str, typer.Option("--reason", help="Why, for those who read it in years.")]
Force = Annotated[
    str, typer.Option("--force", help="Why it may quarantine more of the last week than is usual.", metavar="REASON")
]
KeyFile = Annotated[
    Path | None, typer.Option("--key-file", help="Your key file, where it is not BIOKEEL_STEWARD_KEY_FILE.")
]


def register(group: typer.Typer) -> None:
    """Add what concerns the book to `biokeel suite`."""
    for command in (draft, rebase, diff, submit, review, approve, reject, rollback, history):
        group.command()(command)
    stewards = typer.Typer(no_args_is_help=True, help="Who may submit and approve.")
    stewards.command("key")(make_key)
    stewards.command("add")(add_steward)
    stewards.command("list")(list_stewards)
    group.add_typer(stewards, name="steward")


def draft(
    event: Event,
    replace: Annotated[bool, typer.Option("--replace", help="Also over edits that no version has.")] = False,
) -> None:
    """Take the version in force out as a file to edit, in the folder of suites; its parent is noted beside it."""
    from biokeel.rules.drafts import take_out

    desk = Desk.open()
    kind = desk.event(event)
    standing = desk.review.standing(kind)
    path = take_out(desk.settings.expectations_dir, kind, standing, replace=replace)
    say(f"{path}: version {standing.page.stamp}. Edit it, then: biokeel suite diff, check, test, submit {event}")


def rebase(event: Event) -> None:
    """Put a draft on top of the version in force, rule by rule, where another came in force since it was made.

    Exit status 1 where both changed a rule: the draft's is kept, and the rule is named.
    """
    from biokeel.rules import drafts

    desk = Desk.open()
    kind, root = desk.event(event), desk.settings.expectations_dir
    standing = desk.review.standing(kind)
    rebased = drafts.rebase(drafts.read_draft(root, kind), standing)
    drafts.write_draft(root, kind, standing, rebased.text)
    say(f"The draft of {event} is made from version {standing.page.stamp} now. See: biokeel suite diff {event}")
    for rule in rebased.conflicts:
        say(f"  {rule}: changed by the version in force, too; the draft's is kept. Look at it.")
    if rebased.conflicts:
        raise typer.Exit(1)


def diff(
    event: Event,
    before: Annotated[int | None, typer.Option("--from", help="Version; the one in force where none is given.")] = None,
    after: Annotated[int | None, typer.Option("--to", help="Version; the draft where none is given.")] = None,
) -> None:
    """Say in sentences, rule by rule, what the draft would change, or what one version says otherwise than another."""
    from biokeel.rules.differences import differences
    from biokeel.validate.suites import read_text

    desk = Desk.open()
    kind = desk.event(event)
    standing = desk.review.standing(kind)
    old = standing.page if before is None else _page(standing, before)
    new = None if after is None else _page(standing, after)
    text = read_text(desk.settings.expectations_dir, kind) if new is None else new.version.submitted.suite
    said = differences(old.version.submitted.suite, text)
    say(f"{event}: version {old.stamp} and {'the draft' if new is None else f'version {new.stamp}'}")
    for sentence in said or ["They say the same."]:
        say(f"  {sentence}")


def submit(event: Event, reason: Reason = "", force: Force = "", key_file: KeyFile = None) -> None:
    """Submit the draft of an event type for approval. Refused where it does not check, or its samples fail."""
    from biokeel.rules.drafts import read_draft

    desk = Desk.open()
    kind = desk.event(event)
    waiting = desk.review.submit(
        kind, read_draft(desk.settings.expectations_dir, kind), desk.key(key_file), reason, force
    )
    _say_waiting(kind, waiting, desk.review.standing(kind))


def review(
    events: Annotated[list[str] | None, typer.Argument(help="Event types; all where none is named.")] = None,
) -> None:
    """Show what waits for approval, with what it would change."""
    from biokeel.cli.suite_release import say_waiting

    desk = Desk.open()
    kinds = [desk.event(event) for event in events] if events else list(desk.schemas)
    found = 0
    for kind in kinds:
        for waiting in desk.review.waiting(kind):
            _say_waiting(kind, waiting, desk.review.standing(kind))
            found += 1
        operations = desk.reverdict.waiting(kind)
        say_waiting(str(kind), operations)
        found += len(operations)
    if not found:
        say("Nothing waits for approval.")


def approve(event: Event, submission: Submission, key_file: KeyFile = None) -> None:
    """Put what was submitted in force, as another steward than its author. Workers follow within seconds.

    The same for an operation that waits for a second person (`biokeel suite release`).
    """
    desk = Desk.open()
    kind, key = desk.event(event), desk.key(key_file)
    if (operation := desk.reverdict.approve(kind, submission, key)) is not None:
        say(f"{event}: operation {operation.number} is ordered; workers begin within seconds.")
        return
    page = desk.review.approve(kind, submission, key)
    say(f"{event}: version {page.stamp} is in force; workers follow within seconds.")


def reject(event: Event, submission: Submission, reason: Reason = "", key_file: KeyFile = None) -> None:
    """Say that what was submitted is not to be in force, and why; its author may do so, too."""
    desk = Desk.open()
    kind, key = desk.event(event), desk.key(key_file)
    if not desk.reverdict.reject(kind, submission, key, reason):
        desk.review.reject(kind, submission, key, reason)
    say(f"{event}: {submission} is rejected.")


def rollback(
    event: Event,
    to: Annotated[int, typer.Option("--to", help="The version whose text is to be in force again.")],
    reason: Reason = "",
    force: Force = "",
    key_file: KeyFile = None,
) -> None:
    """Submit the text of an older version once more; it is approved like any other, and becomes a new version."""
    desk = Desk.open()
    kind = desk.event(event)
    waiting = desk.review.roll_back(kind, to, desk.key(key_file), reason, force)
    _say_waiting(kind, waiting, desk.review.standing(kind))


def history(
    event: Annotated[
        str | None, typer.Argument(help="Event type; what is in force of all where none is named.")
    ] = None,
) -> None:
    """Show the versions of a suite: who wrote and approved it, why, and from which block of which partition it judged.

    Exit status 1 where something is wrong with the book.
    """
    from biokeel.rules.history import judged

    desk = Desk.open()
    if event is None:
        faults = [_say_in_force(desk, kind) for kind in desk.schemas]
    else:
        kind = desk.event(event)
        faults = [_say_in_force(desk, kind)]
        spans = judged(desk.lake, kind)
        pages = desk.review.standing(kind).chain.pages
        for page in reversed(pages):
            _say_version(page, spans.get(page.stamp, []))
        for stamp in sorted(spans.keys() - {page.stamp for page in pages}):
            faults.append(
                f"Rows were judged by {stamp}, which the book does not have: its pages are not those of then."
            )
            say(f"  {faults[-1]}")
    if any(faults):
        raise typer.Exit(1)


def make_key(name: Annotated[str, typer.Argument(help="Your name as a steward.")], key_file: KeyFile = None) -> None:
    """Make your key file, which only you may read, and print its public half for who introduces you."""
    from biokeel.rules.keys import make_key_file

    path = key_file or _key_path(_settings(), name)
    made = make_key_file(path, name)
    say(f"{path} is the key of {name}; keep it from everybody else. Its public half:")
    say(made.public)


def add_steward(
    name: Annotated[str, typer.Argument(help="The steward's name: small letters, digits, dots, hyphens.")],
    public: Annotated[str, typer.Option("--public", help="The public half of a key that the steward made.")] = "",
    key_file: Annotated[Path | None, typer.Option("--key-file", help="The new steward's key file.")] = None,
    by: Annotated[Path | None, typer.Option("--by", help="Your key file; else BIOKEEL_STEWARD_KEY_FILE.")] = None,
) -> None:
    """Make a steward known to the book, on the word of one that it knows. Makes a key file where no key is given."""
    from biokeel.rules.keys import load_key_file, make_key_file

    desk = Desk.open()
    if public:
        introducer = desk.key(by)
    else:
        path = key_file or _key_path(desk.settings, name)
        made = make_key_file(path, name)
        public = made.public
        introducer = desk.key(by) if desk.review.stewards().number else made
        if by is not None:
            introducer = load_key_file(by)
        say(f"{path} is the key of {name}; keep it from everybody else. BIOKEEL_STEWARD_KEY_FILE={path}")
    new = desk.review.introduce(name, public, introducer)
    say(f"{name} is a steward{', introduced by ' + introducer.name if new else ' already'}.")


def list_stewards() -> None:
    """List the stewards with their public keys. Exit status 1 where something is wrong with their pages."""
    stewards = Desk.open().review.stewards()
    for name, key in stewards.keys.items():
        say(f"{name:<24}{key}")
    if stewards.fault:
        say(f"refused  {stewards.fault}")
        raise typer.Exit(1)


class Desk:
    """What every command here needs, with a steward's rights."""

    def __init__(self, settings: Settings, lake: Lake, schemas: Schemas, review: Review, reverdict: Reverdict) -> None:
        self.settings = settings
        self.lake = lake
        self.schemas = schemas
        self.review = review
        self.reverdict = reverdict

    @classmethod
    def open(cls) -> Desk:
        """By the settings. Raises `StoreUnavailable` where the store takes no connections."""
        from biokeel.contracts.catalogue import DirectoryCatalogue, Schemas
        from biokeel.land.lake import Lake
        from biokeel.observe.reach import require_store
        from biokeel.rules.of_the_book import last_week
        from biokeel.rules.reverdict import Reverdict
        from biokeel.rules.review import Review

        settings = _settings()
        require_store(settings)
        lake = Lake.of(settings)
        schemas = Schemas(DirectoryCatalogue(settings.schemas_dir), landed=True)
        review = Review(
            lake.objects, schemas, four_eyes=settings.four_eyes, share_of_last_week=last_week(lake, schemas)
        )
        reverdict = Reverdict(lake, schemas, review, four_eyes=settings.four_eyes)
        return cls(settings, lake, schemas, review, reverdict)

    def event(self, name: str) -> EventType:
        """The event type of that name. Raises `SuiteError` where none lands."""
        from biokeel.errors import SuiteError

        found = next((event for event in self.schemas if str(event) == name), None)
        if found is None:
            raise SuiteError(f"{name} is no event type that lands.", f"There are {', '.join(map(str, self.schemas))}.")
        return found

    def key(self, file: Path | None) -> StewardKey:
        """The steward's key, from `file` or where the settings say."""
        from biokeel.rules.keys import load_key_file

        return load_key_file(file or self.settings.steward_key_file)


def _settings() -> Settings:
    from biokeel.settings import STEWARD, Settings

    return Settings.load(STEWARD)


def _key_path(settings: Settings, name: str) -> Path:
    return settings.state_dir / "stewards" / f"{name}.key"


def _page(standing: Standing, number: int) -> Page:
    from biokeel.errors import SuiteError

    found = next((page for page in standing.chain.pages if page.number == number), None)
    if found is None:
        raise SuiteError(f"The book holds no version {number}.", "See biokeel suite history.")
    return found


def _say_waiting(event: EventType, waiting: Waiting, standing: Standing) -> None:
    from biokeel.rules.differences import differences

    made = waiting.submission
    say(f"{event}: {made.kind} {waiting.digest[:12]} of {made.author}, {made.at}: {made.reason}")
    if made.forced:
        say(f"  It quarantines more than is usual: {made.forced}")
    if waiting.outdated:
        say(f"  Outdated: made from version {made.parent}, and {standing.page.stamp} is in force; to be rebased.")
        return
    for sentence in differences(standing.page.version.submitted.suite, made.suite):
        say(f"  {sentence}")
    say(f"  Another steward: biokeel suite approve {event} {waiting.digest[:12]} (or reject)")


def _say_in_force(desk: Desk, event: EventType) -> str:
    """Print what is in force of `event`; what is wrong, empty where nothing is."""
    from biokeel.errors import SuiteError

    try:
        standing = desk.review.standing(event)
    except SuiteError as error:
        say(f"{event}: nothing is in force. {error}")
        return str(error)
    say(f"{event}: version {standing.page.stamp} is in force, {_people(standing.page)}")
    if standing.fault:
        say(f"  {standing.fault}")
    return standing.fault


def _people(page: Page) -> str:
    submitted = page.version.submitted
    if page.number == 1:
        return "what the installation began with"
    alone = page.is_alone or not page.version.four_eyes
    eyes = ", four eyes off" if alone else ""
    return f"{submitted.kind} of {submitted.author}, approved by {page.version.approver}{eyes}"


def _say_version(page: Page, spans: Sequence[Span]) -> None:
    submitted = page.version.submitted
    origin = f" from version {submitted.parent}" if submitted.parent else ""
    say(f"  {page.stamp:<20}{page.version.at}  {_people(page)}{origin}: {submitted.reason}")
    if submitted.forced:
        say(f"    Forced: {submitted.forced}")
    for span in spans:
        say(f"    partition {span.partition} from block {span.first} to {span.last}: {span.rows:,} rows")
    if not spans:
        say("    has judged no row that is in the tables")
