"""What a mapping file may say: which tables it is for, and what each of their rows becomes.

Everything is said, nothing is guessed: the form of dates, the decimal sign, the unit of each number, whose number the
subject is. `docs/mapping.md` explains the file to whoever writes one. Columns have a name of the mapping's own, so that
one mapping reads the same table in several languages.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Final, Literal, TypeAlias
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

SOURCE_ZONE: Final = "source"
"""The zone that whoever publishes names with `--zone`."""
ISO: Final = "iso"
EPOCH_MS: Final = "epoch_ms"
EPOCH_S: Final = "epoch_s"
EPOCH_DAY: Final = "epoch_day_ms"
"""A local day, written as the milliseconds of its midnight in UTC."""
WORDS: Final = (ISO, EPOCH_MS, EPOCH_S, EPOCH_DAY)
"""Forms of times that are no pattern of strptime."""
_DIRECTIVE: Final = re.compile(r"%(.)")
_DIRECTIVES: Final = frozenset("YmdHIMSp")


def _pair(written: object) -> object:
    """One text, or a list of them, as a tuple."""
    if isinstance(written, str):
        return (written,)
    return tuple(written) if isinstance(written, list) else written


def _time_form(form: str) -> str:
    if form in WORDS:
        return form
    used = _DIRECTIVE.findall(form.replace("%.f", ""))
    if not set(used) <= _DIRECTIVES or "Y" not in used or len(used) != len(set(used)):
        raise ValueError(
            f"a time's form is {', '.join(WORDS)}, or made of %Y (four digits) %m %d %H %I %M %S %p and %.f"
        )
    if ("I" in used) != ("p" in used) or {"H", "I"} <= set(used):
        raise ValueError("%I (1 to 12) goes with %p (AM or PM), and %H (0 to 23) without")
    return form


def _zone(name: str) -> str:
    if name != SOURCE_ZONE:
        try:
            ZoneInfo(name)
        except (OSError, KeyError, ValueError):
            raise ValueError(f"a zone is {SOURCE_ZONE}, UTC, or an IANA name such as Asia/Seoul") from None
    return name


Name = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
Names = Annotated[tuple[Name, ...], BeforeValidator(_pair), Field(min_length=1)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_pair)]
Forms = Annotated[tuple[Annotated[str, AfterValidator(_time_form)], ...], BeforeValidator(_pair), Field(min_length=1)]
Zone = Annotated[str, AfterValidator(_zone)]
Ours = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
"""A name that the mapping gives: of a column, a part."""
Constant: TypeAlias = str | float | int | bool | list[str]


class Part(BaseModel):
    """A part of a mapping file."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, hide_input_in_errors=True, populate_by_name=True
    )


class Column(Part):
    """A column by the names that its header may have. An optional one may be absent: all its cells are empty then."""

    names: Names
    optional: bool = False


def _column(written: object) -> object:
    return {"names": written} if isinstance(written, str | list) else written


class FileRules(Part):
    """How the file is written. `missing` are words that stand for no value.

    `any_case`: names of columns may be written in capitals or not. Where its columns alone do not tell, a file is
    recognised by `first_line` (how its first line begins), `exact` (its header has no other columns than those that the
    mapping names) and `named` (a word in the file's own name).
    """

    delimiter: Annotated[str, StringConstraints(min_length=1, max_length=1)] = ","
    encoding: str | None = None
    decimal: Literal[".", ","] = "."
    grouping: Literal[",", ".", " ", "'", ""] = ""
    missing: Texts = ()
    first_line: str | None = None
    exact: bool = False
    any_case: bool = False
    named: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_.-]+$")] | None = None

    @model_validator(mode="after")
    def _apart(self) -> FileRules:
        if self.grouping == self.decimal:
            raise ValueError("decimal and grouping are the same sign")
        if not self.delimiter.isascii() or self.delimiter in '"\n\r.0123456789':
            raise ValueError("a delimiter is one ASCII character, no digit, point or quotation mark")
        return self


class Subject(Part):
    """Whose the rows are: `column` under `scheme`, or without a column the person whom `--subject` names.

    `system` names a numbering of its own at the site: `hospital/<site>-<system>`.
    """

    scheme: Literal["hospital", "app", "sample", "KR_RRN", "KR_FRN"] | None = None
    system: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]{1,12}$")] | None = None
    column: Ours | None = None

    @model_validator(mode="after")
    def _whole(self) -> Subject:
        if self.column is not None and self.scheme is None:
            raise ValueError("say the scheme of the column: hospital, app, sample (each with --site), KR_RRN or KR_FRN")
        return self


class Decision(Part):
    """Forms of `column` of which one holds for the whole file, told by dates such as the 31st: else it is refused."""

    column: Ours
    among: Annotated[tuple[Forms, ...], BeforeValidator(_pair), Field(min_length=2)]


class Times(Part):
    """How times are written. `offset` is the column with the local offset (`UTC+0900`) of times that are in `zone`."""

    formats: Forms = (ISO,)
    decide: Decision | None = None
    zone: Zone = SOURCE_ZONE
    offset: Ours | None = None


class Test(Part):
    """What a cell must be for a row to count: all that is said here.

    A list names its words, and `not` those that it must not be: an empty cell is none of them. `code` is a system of
    `contracts.grammars` whose form it must have, `matches` a regular expression; `not_code` and `not_matches` the other
    way round.
    """

    among: Texts | None = None
    but: Annotated[Texts | None, Field(alias="not")] = None
    is_: Annotated[Literal["present", "empty", "number"] | None, Field(alias="is")] = None
    code: str | None = None
    not_code: str | None = None
    matches: Annotated[str, StringConstraints(max_length=200)] | None = None
    not_matches: Annotated[str, StringConstraints(max_length=200)] | None = None


def _test(written: object) -> object:
    if isinstance(written, int | float):
        raise ValueError("a word that looks like a number stands in quotation marks")  # noqa: TRY004 - pydantic's way
    return {"among": written} if isinstance(written, str | list) else written


When = dict[Ours, Annotated[Test, BeforeValidator(_test)]]


class UnitColumn(Part):
    """The unit stands in a column, in UCUM or in words that `map` makes UCUM."""

    column: Ours
    map: dict[str, str] = {}


class FieldRule(Part):
    """Where a field's value comes from: a column (of several the first that is not empty), or a constant.

    `map` translates words (null: no value); one that it does not hold is a problem, or `otherwise`. `empty` and
    `present` are what an empty cell, and one that is not, stand for. `unit` is the number's, which is converted to the
    field's. `zone` and `formats` are of a time, and `clock` is the column with its hour where that is one of its own.
    `bounds` are words for a value out of what can be measured (`Low`: `<40`). `when`: the rows that fill the field,
    where several rows are one event.
    """

    column: Annotated[tuple[Ours, ...], BeforeValidator(_pair)] = ()
    constant: Constant | None = None
    map: dict[str, Constant | None] | None = None
    otherwise: Constant | None = None
    empty: Constant | None = None
    present: Constant | None = None
    unit: str | UnitColumn | None = None
    formats: Forms | None = None
    zone: Zone | None = None
    clock: Ours | None = None
    bounds: dict[str, str] = {}
    when: When = {}
    same_as: Literal["recorded_at"] | None = None

    @model_validator(mode="after")
    def _one(self) -> FieldRule:
        if sum((bool(self.column), self.constant is not None, self.same_as is not None)) != 1:
            raise ValueError("a field comes from one of: column, constant, same_as")
        if self.otherwise is not None and self.map is None:
            raise ValueError("otherwise goes with a map")
        return self


class EventRule(Part):
    """What some rows become: `event`, for rows that fit `when`. `part` tells apart several events of a type in a row.

    `together` lists columns: the rows in which all of these are the same are one event.
    """

    event: str
    when: When = {}
    part: Ours | None = None
    together: Annotated[tuple[Ours, ...], BeforeValidator(_pair)] = ()
    fields: Annotated[dict[str, FieldRule], Field(min_length=1)]


class LeftOut(Part):
    """Rows that are no event of ours, or of which none can be made, and why: `why` is counted in the report."""

    when: Annotated[When, Field(min_length=1)]
    why: Annotated[str, StringConstraints(min_length=3, max_length=120)]


class Mapping(Part):
    """A mapping file. Its `name` is a part of the ids of all its events: it stays when the file is edited."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,59}$")]
    source: str = ""
    site: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]*$")] | None = None
    file: FileRules = FileRules()
    columns: Annotated[dict[Ours, Annotated[Column, BeforeValidator(_column)]], Field(min_length=1)]
    ignored: Annotated[dict[Name, str], Field(description="columns that are not read, and why")] = {}
    subject: Subject = Subject()
    times: Times = Times()
    record_key: Annotated[tuple[Ours, ...], BeforeValidator(_pair)] = ()
    leave_out: Annotated[tuple[LeftOut, ...], BeforeValidator(_pair)] = ()
    refuse: Annotated[tuple[LeftOut, ...], BeforeValidator(_pair)] = ()
    events: Annotated[tuple[EventRule, ...], BeforeValidator(_pair)] = ()

    def resolved(self, header: Sequence[str]) -> dict[str, list[int]]:
        """Where in a header each column of the mapping stands: once, not at all, or more often than it may."""
        names = [self._folded(name) for name in header]
        wanted = {own: frozenset(map(self._folded, each.names)) for own, each in self.columns.items()}
        return {own: [at for at, name in enumerate(names) if name in some] for own, some in wanted.items()}

    def fits(self, header: Sequence[str]) -> bool:
        """Whether a header has every column that must be there."""
        found = self.resolved(header)
        return all(found[own] or each.optional for own, each in self.columns.items())

    def knows(self, name: str) -> bool:
        """Whether the mapping names a column of a header."""
        return self._folded(name) in map(self._folded, self.named)

    def _folded(self, name: str) -> str:
        return name.lower() if self.file.any_case else name

    @property
    def named(self) -> frozenset[str]:
        """Every name of the header that the mapping knows."""
        return frozenset(name for each in self.columns.values() for name in each.names) | self.ignored.keys()

    @property
    def wanted(self) -> list[tuple[str, ...]]:
        """The names of each column that a table of this mapping must have."""
        return [each.names for each in self.columns.values() if not each.optional]
