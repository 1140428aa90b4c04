"""What a kept field may hold: the form of a text, the range of a number or a time. Nothing else crosses the wall.

A field declares its form beside its tag (`biokeel:form`), one of:

```json
{"codes": ["loinc"]}                                     a code of one of these systems (`contracts.grammars`)
{"values": ["final", "amended"], "of": "FHIR R4 observation-status"}                a closed set, and whose it is
{"values": ["DRAGEN"], "versions": true, "of": "the programme's list of software"}  the same, each with any version
{"codes_of": "code_system", "systems": {"KCD-8": "kcd"}}    a code of the system that the other field names
{"pattern": "^F[0-9]{1,6}$", "of": "food codes"}            a bounded, anchored regular expression
```

and its range as `"biokeel:range": [least, greatest]`, both included: numbers, or for times texts such as
`"1900-01-01T00:00:00Z"`. A form says what is technically possible; what is plausible is the suites' to say.
"""

from __future__ import annotations

import datetime as dt
import re
from abc import ABC, abstractmethod
from functools import cached_property
from typing import Annotated, Any, Final

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from biokeel.contracts.grammars import GRAMMARS, VERSION_NUMBERS
from biokeel.errors import SchemaError

FORM: Final = "biokeel:form"
RANGE: Final = "biokeel:range"
VERSION: Final = rf"(?:[ -]v?{VERSION_NUMBERS})?"
"""What may follow the name of a software."""

_PROBES: Final = (
    "김철수",
    "홍 길동",
    "Hong Gildong",
    "kim",
    "gildong_hong",
    "KIM",
    "900101-1234567",
    "9001011234567",
    "19900101-1234567",
    "010-1234-5678",
    "01012345678",
    "1012345678",
    "a@b.kr",
    "M12345678",
    "M123A4567",
    "11-22-333333-44",
    "ABC12345678",
)
"""Texts (nobody's) of kinds that no pattern may let through: names, registration, phone, passport and other numbers."""


class Form(BaseModel, ABC):
    """The form of a text field."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @property
    @abstractmethod
    def meaning(self) -> str:
        """What may stand in the field, for people: goes on from "not a …" or "a …"."""

    @property
    def beside(self) -> str | None:
        """The field that says which form counts, where there is one."""
        return None

    @property
    def closed(self) -> bool:
        """Whether all that fits was written down by the programme: then nothing can hide in it."""
        return False

    @property
    def open(self) -> bool:
        """Whether what identifies somebody might fit, so that what fits is searched all the same."""
        return False

    @abstractmethod
    def fits(self, texts: pl.Series, beside: pl.Series | None = None) -> pl.Series:
        """Which of `texts` (String without nulls) have the form; `beside` is the other field's value of each."""

    @abstractmethod
    def takes_in(self, older: Form) -> bool:
        """Whether everything that fits `older` is known to fit this form too."""


class Values(Form):
    """A closed set of words, `of` whom."""

    values: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]
    of: Annotated[str, Field(min_length=1)]
    versions: bool = False

    @property
    def meaning(self) -> str:
        """Its origin."""
        return f"word of {self.of}" + (", with its version" if self.versions else "")

    @property
    def closed(self) -> bool:
        """Versions are numbers that anybody can choose."""
        return not self.versions

    @cached_property
    def _set(self) -> pl.Series:
        return pl.Series(self.values, dtype=pl.String)

    @cached_property
    def _shape(self) -> str:
        return f"^(?:{'|'.join(map(re.escape, self.values))}){VERSION}$"

    def fits(self, texts: pl.Series, beside: pl.Series | None = None) -> pl.Series:  # noqa: ARG002
        """Words of the set."""
        return texts.str.contains(self._shape) if self.versions else texts.is_in(self._set.implode())

    def takes_in(self, older: Form) -> bool:
        """A set may grow."""
        return isinstance(older, Values) and self.versions >= older.versions and {*older.values} <= {*self.values}


class Codes(Form):
    """A code of one of some systems."""

    codes: Annotated[tuple[str, ...], Field(min_length=1)]

    @property
    def meaning(self) -> str:
        """The systems' titles."""
        return " or ".join(GRAMMARS[name].title for name in self.codes)

    @property
    def open(self) -> bool:
        """As the grammars say."""
        return any(GRAMMARS[name].open for name in self.codes)

    def fits(self, texts: pl.Series, beside: pl.Series | None = None) -> pl.Series:  # noqa: ARG002
        """Codes of any of the systems."""
        first, *others = (GRAMMARS[name].fits(texts) for name in self.codes)
        for other in others:
            first |= other
        return first

    def takes_in(self, older: Form) -> bool:
        """Systems may be added."""
        return isinstance(older, Codes) and {*older.codes} <= {*self.codes}


class CodesOf(Form):
    """A code of the system that the field `codes_of` names; no text fits beside a name that is not in `systems`."""

    codes_of: str
    systems: Annotated[dict[str, str], Field(min_length=1)]

    @property
    def meaning(self) -> str:
        """What counts."""
        return f"code of the system that {self.codes_of} names ({', '.join(self.systems)})"

    @property
    def beside(self) -> str | None:
        """The field with the system."""
        return self.codes_of

    @property
    def open(self) -> bool:
        """As the grammars say."""
        return any(GRAMMARS[name].open for name in self.systems.values())

    def fits(self, texts: pl.Series, beside: pl.Series | None = None) -> pl.Series:
        """Codes of each text's own system."""
        assert beside is not None, "the caller asks `beside` for its name"
        good = pl.repeat(False, len(texts), dtype=pl.Boolean, eager=True)
        for system in beside.unique().drop_nulls():
            if system in self.systems:
                here = (beside == system).fill_null(value=False)
                some = GRAMMARS[self.systems[system]].fits(texts.filter(here))
                good = good.scatter(here.arg_true(), some)
        return good

    def takes_in(self, older: Form) -> bool:
        """Systems may be added."""
        return (
            isinstance(older, CodesOf)
            and self.codes_of == older.codes_of
            and older.systems.items() <= self.systems.items()
        )


class Pattern(Form):
    """A regular expression that the programme wrote down, `of` what."""

    pattern: str
    of: Annotated[str, Field(min_length=1)]

    @property
    def meaning(self) -> str:
        """Its origin."""
        return self.of

    @property
    def open(self) -> bool:
        """Nobody has said what else fits."""
        return True

    def fits(self, texts: pl.Series, beside: pl.Series | None = None) -> pl.Series:  # noqa: ARG002
        """What the pattern matches."""
        return texts.str.contains(self.pattern)

    def takes_in(self, older: Form) -> bool:
        """Of two patterns nobody can tell."""
        return self == older


_KINDS: Final[dict[str, type[Form]]] = {"values": Values, "codes": Codes, "codes_of": CodesOf, "pattern": Pattern}


def read_form(written: Any, where: str) -> Form:
    """The form that a schema writes. Raises `SchemaError`, beginning with `where`, for what is none."""
    kind = next((kind for key, kind in _KINDS.items() if isinstance(written, dict) and key in written), None)
    if kind is None:
        raise SchemaError(f"{where} {FORM} is no form.", f"Write an object with one of {', '.join(_KINDS)}.")
    try:
        form = kind.model_validate(written)
    except ValidationError as error:
        places = ", ".join(sorted({".".join(map(str, fault["loc"])) or "all of it" for fault in error.errors()}))
        raise SchemaError(f"{where} {FORM} is malformed at {places}.", "See biokeel.contracts.forms.") from None
    names = form.codes if isinstance(form, Codes) else form.systems.values() if isinstance(form, CodesOf) else ()
    if unknown := sorted(set(names) - GRAMMARS.keys()):
        raise SchemaError(f"{where} {FORM} names no grammar: {', '.join(unknown)}.", f"One of {', '.join(GRAMMARS)}.")
    if isinstance(form, Pattern):
        _require_plain(form.pattern, where)
    if isinstance(form, Values) and len({*form.values}) < len(form.values):
        raise SchemaError(f"{where} {FORM} names a value twice.", "Name it once.")
    return form


def _require_plain(pattern: str, where: str) -> None:
    """Raise `SchemaError` for a pattern that is not anchored, not bounded, or that lets identifiers through."""
    try:
        re.compile(pattern)
        pl.select(pl.lit("").str.contains(pattern, strict=True))
    except (re.error, pl.exceptions.PolarsError):
        raise SchemaError(
            f"{where} the pattern is malformed, or polars does not know it.", "Write it plainly."
        ) from None
    outside = _outside_of_brackets(pattern)
    if not (outside.startswith("^") and outside.endswith("$")) or re.search(r"[\^$]", outside[1:-1]):
        raise SchemaError(f"{where} the pattern is not anchored.", "Write ^(?:…|…)$, with no other ^ or $.")
    if _choices_at_the_top(outside):
        raise SchemaError(f"{where} an anchor of the pattern holds for one choice only.", "Write ^(?:…|…)$.")
    if re.search(r"[*+]|\{[0-9]*,\}", outside):
        raise SchemaError(
            f"{where} the pattern repeats without a bound: some engines take exponential time for that, and a text of"
            " any length would fit.",
            "Write {0,n} in place of * and {1,n} in place of +.",
        )
    if any(re.search(pattern, probe) for probe in _PROBES):
        raise SchemaError(
            f"{where} the pattern lets names or numbers of people through.",
            "Name the values, or write what tells a code from them: fixed letters, hyphens, few digits.",
        )


def _outside_of_brackets(pattern: str) -> str:
    """`pattern` with each escaped character, and each bracket expression, as one dot."""
    return re.sub(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", ".", pattern, flags=re.DOTALL)


def _choices_at_the_top(outside: str) -> bool:
    depth = 0
    for character in outside:
        depth += (character == "(") - (character == ")")
        if character == "|" and not depth:
            return True
    return False


class Range(BaseModel):
    """The numbers, or times, that are technically possible: from `least` to `greatest`, both included."""

    model_config = ConfigDict(frozen=True)

    least: float | int | dt.datetime
    greatest: float | int | dt.datetime

    @property
    def meaning(self) -> str:
        """The range in words, as the schema writes it."""
        return f"from {_written(self.least)} to {_written(self.greatest)}"

    def takes_in(self, older: Range) -> bool:
        """Whether every number of `older` is in here, too."""
        return type(self.least) is type(older.least) and self.least <= older.least and older.greatest <= self.greatest  # type: ignore[operator]


def read_range(written: Any, *, times: bool, where: str) -> Range:
    """The range that a schema writes. Raises `SchemaError`, beginning with `where`, for what is none."""
    kind = "two times such as 1900-01-01T00:00:00Z" if times else "two numbers"
    todo = f"Write {RANGE} as a list of {kind}: the least and the greatest that is technically possible."
    if not isinstance(written, list) or len(written) != 2:
        raise SchemaError(f"{where} {RANGE} is no range.", todo)
    try:
        least, greatest = map(_time if times else _number, written)
    except (TypeError, ValueError):
        raise SchemaError(f"{where} {RANGE} is no range.", todo) from None
    if not least < greatest:  # type: ignore[operator]
        raise SchemaError(f"{where} {RANGE} is upside down.", todo)
    return Range(least=least, greatest=greatest)


def _number(written: Any) -> float | int:
    if isinstance(written, bool) or not isinstance(written, int | float):
        raise TypeError
    return written


def _time(written: Any) -> dt.datetime:
    time = dt.datetime.fromisoformat(written)
    if time.tzinfo is None:
        raise ValueError(written)
    return time


def _written(end: float | dt.datetime) -> str:
    return end.isoformat() if isinstance(end, dt.datetime) else f"{end:,}"
