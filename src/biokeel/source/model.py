"""What the typed models of events share: `biokeel.source.models` has one for each event type, made from its schema."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, ClassVar, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints

from biokeel.contracts.grammars import EVENT_ID
from biokeel.source.adapters.base import Record, Subject, Unusable, subject_of

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_PLAIN: Final = frozenset((str, float, int, bool, type(None)))
_DAY_ZERO: Final = dt.date(1970, 1, 1)


def _subject(written: object) -> object:
    """A pair as a subject, in the form of its scheme."""
    if isinstance(written, Subject):
        written = written.scheme, written.value
    if not isinstance(written, tuple | list) or len(written) != 2 or not isinstance(written[0], str):
        raise ValueError("a subject is a pair: the scheme, and the person's identifier under it")
    try:
        return subject_of(written[0], written[1], "the identifier")
    except Unusable as error:
        raise ValueError(str(error)) from None


SubjectPair = Annotated[Subject, BeforeValidator(_subject)]


class Part(BaseModel):
    """A record within an event. What it holds is never printed, nor told in what is raised."""

    # Errors that quote what was put in would carry identifiers and values into logs.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        """Nothing: a model may hold a name."""
        return []

    def ready(self) -> Record:
        """The fields as a ready record has them."""
        return {name: value if type(value) in _PLAIN else _ready(value) for name, value in self.__dict__.items()}


class EventModel(Part):
    """An event of a source.

    `subject` is a pair, scheme and identifier. The event's id follows from `record_key`, what the source itself calls
    the record; or it is given. `source_id` is the client's where it is left out.
    """

    event_type: ClassVar[str]

    record_key: str | None = None
    event_id: Annotated[str, StringConstraints(pattern=EVENT_ID)] | None = None
    source_id: str | None = None
    subject: SubjectPair

    def ready(self) -> Record:
        """The event as a ready record, with `record_key` where it has one."""
        record = super().ready()
        subject = record.pop("subject")
        record["subject_scheme"], record["subject_id"] = subject.scheme, subject.value
        return record


def _ready(value: Any) -> Any:
    """Times in milliseconds, days since 1970, parts as dictionaries."""
    kind = type(value)
    if kind is dt.datetime:
        since = value - _EPOCH
        return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000
    if kind is dt.date:
        return (value - _DAY_ZERO).days
    if kind is list:
        return [_ready(each) for each in value]
    return value.ready() if isinstance(value, Part) else value
