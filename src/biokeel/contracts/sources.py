"""The register of sources: who may send what, about whose numbers, how often and how fast.

Each source has a file of its own, `<id>.toml`, in one folder (`BIOKEEL_SOURCES_DIR`):

```toml
id = "hospital-a"
name = "Hospital A"
contact = "data-office@hospital-a.example"
events = ["clinical.*", "person.enrolment"]
schemes = ["KR_RRN", "hospital/seoul-1"]
time_zone = "Asia/Seoul"
cadence_seconds = 3600
partitions = 4
software = ["biokeel-python/0.1"]

[quota]
produce_bytes_per_second = 10_000_000
request_percentage = 25
```

What each key means stands beside it in `Source`. A file is as good as what the programme has agreed with the
institution: unknown keys are refused, because a mistyped one would grant or withhold something that nobody sees.
"""

from __future__ import annotations

import logging
import re
import time
import tomllib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

import tomli_w
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    StringConstraints,
    ValidationError,
    ValidationInfo,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from biokeel.contracts.compatibility import Refusal
from biokeel.contracts.grammars import SOURCE_ID, SUBJECT_SCHEME, VERSION_NUMBERS
from biokeel.contracts.topics import Domain, EventType, event_type
from biokeel.errors import ContractError

log = logging.getLogger(__name__)

RESERVED: Final = frozenset({"vault", "research", "source", "operator", "admin", "books", "broker"})
"""Users of the programme's own: a source of that name would have their rights."""
SITE_CHARACTERS: Final = 31
"""Characters of a site that go into the derived scheme `hospital/<site>.<digest>` of one of its servers."""
DIGEST_CHARACTERS: Final = 16
"""Hexadecimal digits of the server's digest in such a scheme: 64 bits, so that no two servers ever share one."""
LOOK_SECONDS: Final = 1.0
"""A running worker looks at the files at most this often."""

_HOSPITAL: Final = "hospital/"
_DERIVED: Final = re.compile(rf"({_HOSPITAL}.+)\.[0-9a-f]{{{DIGEST_CHARACTERS}}}")
_UNKNOWN_EVENT: Final = "unknown_event"
_PERSON: Final = f"{Domain.PERSON}."
_LINE: Final = r"^\S(?:[^\p{C}]*[^\p{C}\s])?$"


def _not_ours(name: str) -> str:
    if name in RESERVED:
        raise ValueError
    return name


def _some(texts: tuple[str, ...]) -> tuple[str, ...]:
    if not texts:
        raise ValueError
    return texts


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (OSError, KeyError):
        raise ValueError from None
    return name


def _can_be(pattern: str) -> bool:
    domain, _, name = pattern.partition(".")
    try:
        return domain in set(Domain) if name == "*" else bool(event_type(pattern))
    except KeyError:
        return False


def _known(pattern: str, info: ValidationInfo) -> str:
    """Refuse `person.*`, and what can name no event type, or none of those in the context where there is one."""
    if pattern == _PERSON + "*":
        raise ValueError
    if not _can_be(pattern) or (info.context is not None and pattern not in info.context):
        raise PydanticCustomError(_UNKNOWN_EVENT, "{pattern}", {"pattern": pattern})
    return pattern


Line = Annotated[str, StringConstraints(pattern=_LINE, max_length=200)]
EventPattern = Annotated[
    str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*\.(?:\*|[a-z][a-z0-9_]*)$"), AfterValidator(_known)
]
Scheme = Annotated[str, StringConstraints(pattern=SUBJECT_SCHEME)]
Software = Annotated[str, StringConstraints(pattern=rf"^[A-Za-z0-9][A-Za-z0-9._+-]{{0,63}}(?:/{VERSION_NUMBERS})?$")]


class Quota(BaseModel):
    """What Kafka lets a source use; above it the broker makes its client wait, and refuses nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    produce_bytes_per_second: Annotated[PositiveInt, Field(description="bytes a second, a whole number above 0")] = (
        10_000_000
    )
    request_percentage: Annotated[
        PositiveInt, Field(description="per cent of one of the broker's threads, a whole number above 0")
    ] = 25


class Source(BaseModel):
    """One registered source. Each description says what the field wants, as `biokeel source check` tells it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    id: Annotated[
        Annotated[str, StringConstraints(pattern=SOURCE_ID), AfterValidator(_not_ours)],
        Field(
            description="1 to 40 of a-z, 0-9 and hyphen, the first no hyphen; it is also the file's name, and none of "
            + ", ".join(sorted(RESERVED))
        ),
    ]
    name: Annotated[Line, Field(description="the institution's name for people, one line")]
    contact: Annotated[Line, Field(description="where the institution's data office is reached, one line")]
    events: Annotated[
        tuple[EventPattern, ...],
        AfterValidator(_some),
        Field(
            strict=False,
            description="what it may send, as <domain>.<event>, or <domain>.* for a whole domain; person events each "
            "by name; at least one",
        ),
    ]
    schemes: Annotated[
        tuple[Scheme, ...],
        AfterValidator(_some),
        Field(
            strict=False,
            description="identifier schemes that it may speak of: KR_RRN, KR_FRN, hospital/<site>, sample/<centre> or "
            "app/<vendor>; at least one",
        ),
    ]
    time_zone: Annotated[
        str, AfterValidator(_zone), Field(description="its time zone by the IANA name, such as Asia/Seoul")
    ]
    cadence_seconds: Annotated[
        PositiveInt,
        Field(description="seconds without an event after which it counts as silent, a whole number above 0"),
    ]
    partitions: Annotated[
        PositiveInt, Field(le=1024, description="partitions of each of its raw topics, 1 to 1024")
    ] = 4
    software: Annotated[
        tuple[Software, ...],
        Field(
            strict=False,
            description="names of client software that it may state, each alone or with its oldest version, as "
            "biokeel-python/0.1; none for any",
        ),
    ] = ()
    quota: Annotated[Quota, Field(description="the table [quota]")] = Quota()

    def may_send(self, event: EventType) -> bool:
        """Whether it was granted `event`; a person event only by its own name."""
        return str(event) in self.events or f"{event.domain}.*" in self.events

    def may_speak_of(self, scheme: str) -> bool:
        """Whether it was granted identifiers of `scheme`.

        Who may speak of `hospital/<site>` may also speak of the schemes that the SDK derives for the FHIR servers of
        that site, `hospital/<site>.<16 hexadecimal digits>`.
        """
        if scheme in self.schemes:
            return True
        derived = _DERIVED.fullmatch(scheme)
        return derived is not None and any(derived[1] == _site(granted) for granted in self.schemes)


def _site(scheme: str) -> str:
    """What derived schemes of `scheme` begin with: a long site is cut, so that the digest has room."""
    return scheme[: len(_HOSPITAL) + SITE_CHARACTERS] if scheme.startswith(_HOSPITAL) else ""


class Register(Mapping[str, Source]):
    """All registered sources by id, in the order of their ids. Never changes; two are equal if their sources are."""

    def __init__(self, sources: Iterable[Source] = ()) -> None:
        self._by_id = {source.id: source for source in sorted(sources, key=lambda source: source.id)}

    @classmethod
    def load(cls, folder: Path, known: Collection[EventType] | None = None) -> Register:
        """The sources whose files lie in `folder`; `known` are the event types that there are, None for any.

        Raises `ContractError` naming every fault with its file and field, and what to do.
        """
        sources, faults = read(folder, known)
        if faults:
            raise ContractError(
                f"The register of sources cannot be used. {' '.join(map(str, faults))}",
                "Run biokeel source check until it finds nothing.",
            )
        return cls(sources)

    def __getitem__(self, key: str) -> Source:
        return self._by_id[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_id)

    def __len__(self) -> int:
        return len(self._by_id)

    def __repr__(self) -> str:
        return f"Register({', '.join(self)})"


def file_of(folder: Path, source_id: str) -> Path:
    """Where the file of a source lies."""
    return folder / f"{source_id}.toml"


def read(folder: Path, known: Collection[EventType] | None = None) -> tuple[list[Source], list[Refusal]]:
    """The good sources in `folder`, and every fault of the others.

    Raises `ContractError` where the folder cannot be read.
    """
    sources, faults = [], []
    for path in _files(folder):
        found = read_file(path, known)
        if isinstance(found, Source):
            sources.append(found)
        else:
            faults += found
    return sources, faults


def read_file(path: Path, known: Collection[EventType] | None = None) -> Source | list[Refusal]:
    """The source in `path`, or everything that is wrong with the file."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        return [Refusal(str(path), f"it cannot be read ({error.strerror}).", "Let its owner make it readable.")]
    except UnicodeDecodeError:
        return [Refusal(str(path), "it is no text in UTF-8.", "Save it as UTF-8.")]
    except tomllib.TOMLDecodeError as error:
        # Its message may quote the line; the place stands in brackets at its end.
        place = re.search(r"\(at ([^()]+)\)$", str(error))
        return [Refusal(str(path), f"{place[1] if place else 'it'} is no TOML.", "docs/operations.md has an example.")]
    found = parse(content, str(path), known)
    if content.get("id", path.stem) == path.stem:
        return found
    other = Refusal(f"{path}, id", "it is not the file's name.", "Let the file be <id>.toml.")
    return [other, *([] if isinstance(found, Source) else found)]


def parse(content: Mapping[str, Any], where: str, known: Collection[EventType] | None = None) -> Source | list[Refusal]:
    """The source that `content` describes, or everything that is wrong with it; `where` says whose content it is."""
    names = None if known is None else {str(event) for event in known} | {f"{event.domain}.*" for event in known}
    try:
        return Source.model_validate(content, context=names)
    except ValidationError as error:
        return [_fault(where, fault) for fault in error.errors(include_input=False, include_url=False)]


def shared_schemes(register: Register) -> list[str]:
    """A sentence for each scheme that belongs to one place and is granted to several sources.

    A registration number is everybody's by nature. A hospital's numbers may be two sources' (its records and its
    laboratory); if it is not meant, one can speak of the other's patients.
    """
    holders: dict[str, list[str]] = {}
    for source in register.values():
        for scheme in source.schemes:
            if "/" in scheme:
                holders.setdefault(scheme, []).append(source.id)
    return [
        f"{scheme} is granted to {' and '.join(ids)}: each can speak of the others' people. See that it is meant."
        for scheme, ids in sorted(holders.items())
        if len(ids) > 1
    ]


def written(source: Source) -> str:
    """The text of the file of `source`, as `read_file` reads it."""
    return tomli_w.dumps(source.model_dump(mode="json"), multiline_strings=False)


def _files(folder: Path) -> list[Path]:
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise ContractError(
            f"The register of sources, {folder}, cannot be read ({error.strerror}).", "Set BIOKEEL_SOURCES_DIR."
        ) from None
    # What editors leave beside a file begins with a dot.
    return [path for path in paths if path.suffix == ".toml" and not path.name.startswith(".")]


def _fault(where: str, fault: ErrorDetails) -> Refusal:
    """A fault of pydantic's in our words; of what the file holds only an event's name is repeated."""
    kind, place = fault["type"], fault["loc"]
    top, fields = place[0], Source.model_fields
    if top == "quota" and len(place) > 1:
        top, fields = place[1], Quota.model_fields
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")
    where = f"{where}, {path}"
    if kind == "extra_forbidden":
        return Refusal(where, "there is no such key.", f"Remove it; there are {', '.join(fields)}.")
    if kind == _UNKNOWN_EVENT:
        return Refusal(
            where, f"there is no event type {fault['msg']}.", "biokeel schema list names those that there are."
        )
    what = "it is missing." if kind == "missing" else "it is not what the register takes."
    return Refusal(where, what, f"Write {fields[str(top)].description}.")


class FollowedRegister:
    """The register as its files stand now, for a worker that runs for months: it takes up a new source by itself.

    A file that is broken while the worker runs stops nothing: the last good register goes on, and the log says so
    once. At the start it raises `ContractError`, because then there is none that could go on. `current` is cheap:
    the files are looked at once in `LOOK_SECONDS` and read when one of them has changed. Nothing is kept on disk, so a
    process that dies reads all of it at its next start.
    """

    def __init__(
        self,
        folder: Path,
        known: Collection[EventType] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._known = known
        self._clock = clock
        self._looked = clock()
        # Looked at before they are read: a change in between is seen by the next look.
        self._seen = self._look()
        self._register = Register.load(folder, known)

    def current(self) -> Register:
        """The newest good register; the same object as long as nothing has changed."""
        now = self._clock()
        if now - self._looked < LOOK_SECONDS:
            return self._register
        self._looked = now
        if (seen := self._look()) != self._seen:
            self._seen = seen
            self._read()
        return self._register

    def _read(self) -> None:
        try:
            self._register = Register.load(self._folder, self._known)
        except ContractError as error:
            log.error("The register of sources stays as it was: %s", error)  # noqa: TRY400 - the sentence says it all
        else:
            log.info("The register of sources was read anew: %d sources.", len(self._register))

    def _look(self) -> tuple[tuple[str, int, int, int], ...]:
        """Name, inode, time of change and size of each file; nothing where the folder cannot be read."""
        try:
            found = [(path.name, path.stat()) for path in _files(self._folder)]
        except (ContractError, OSError):  # the folder is away, or a file went between the listing and here
            return ()
        return tuple((name, stat.st_ino, stat.st_mtime_ns, stat.st_size) for name, stat in found)
