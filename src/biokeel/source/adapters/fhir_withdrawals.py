"""What a resource made before and no longer says: withdrawn, part by part.

An event id follows from the server, type and id of a resource and from the code of the part, so what a version of a
resource made can be named by whoever knows its parts. A withdrawal is an event with that id and the status
`entered-in-error`, at the `recorded_at` of the version that takes it back; nothing else of it is judged.

What holds:

- A resource that says entered-in-error withdraws all that any version of it was made into. Where no memory knows it,
  it withdraws what its type is made into without parts (an Observation: a blood pressure, a glucose, a laboratory
  result, a vital sign) and the parts that it still names; what else there was nobody can tell, and that is counted.
- A version that has a part no longer withdraws it, as far as a memory (`biokeel.source.memory`) or the same file knows
  the other version. The order in which versions come does not matter: what the newest has not is withdrawn at its time.
- A deletion names a URL and no person, so it withdraws what the memory or the same file knows, and is a problem where
  neither does.
- A version that cannot be read at all withdraws nothing: the resource is a problem.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from biokeel.contracts.identity import ENTERED_IN_ERROR
from biokeel.contracts.topics import EventType, event_type
from biokeel.source.adapters.base import Context, Record, Subject, Unusable
from biokeel.source.adapters.fhir_bundle import Deletion
from biokeel.source.adapters.fhir_clinical import DIAGNOSIS, MEDICATION
from biokeel.source.adapters.fhir_common import Case, Made
from biokeel.source.adapters.fhir_observations import (
    BLOOD_PRESSURE,
    GLUCOSE,
    LAB_RESULT,
    VITAL_SIGN,
    named,
    parts_of,
)
from biokeel.source.memory import Memory, Past, Trace

_MADE_OF: Final[dict[str, tuple[EventType, ...]]] = {
    "Observation": (BLOOD_PRESSURE, GLUCOSE, LAB_RESULT, VITAL_SIGN),
    "Condition": (DIAGNOSIS,),
    "MedicationRequest": (MEDICATION,),
    "MedicationStatement": (MEDICATION,),
    "MedicationAdministration": (MEDICATION,),
    "DiagnosticReport": (),
}
"""The event types that a resource without parts may have been made into."""
_OF_PARTS: Final = (GLUCOSE, LAB_RESULT, VITAL_SIGN)
_FIELDS: Final[dict[EventType, Record]] = {
    BLOOD_PRESSURE: {"panel_code": "", "status": ENTERED_IN_ERROR},
    GLUCOSE: {"code": "", "value_unit": "", "status": ENTERED_IN_ERROR},
    LAB_RESULT: {"code": "", "status": ENTERED_IN_ERROR},
    VITAL_SIGN: {"code": "", "value_unit": "", "status": ENTERED_IN_ERROR},
    DIAGNOSIS: {"code_system": "", "code": "", "verification_status": ENTERED_IN_ERROR},
    MEDICATION: {"code_system": "", "code": "", "kind": "", "status": ENTERED_IN_ERROR},
}
"""What a withdrawal says beside its envelope: its status, and nothing where the schema wants something."""

UNKNOWN_PARTS: Final = (
    "withdrawals of resources that no memory knows: of parts that they no longer name nothing is said"
)


def withdrawn(case: Case, memory: Memory | None) -> Iterator[Made]:
    """The withdrawals of a resource that says that it should never have been recorded. Raises `Unusable`."""
    past = memory.recall(digest(case.context, case.key)) if memory else None
    if past is not None:
        yield from note(case.context, case.key, _subject(case, past), case.recorded_at, (), memory)
        return
    parts = _named_parts(case)
    if case.kind in {"Observation", "DiagnosticReport"} and not parts:
        case.leave_out(UNKNOWN_PARTS)
    ids = case.context.ids
    found = [(event, "") for event in _MADE_OF[case.kind]]
    found += [(event, part) for part in parts for event in _OF_PARTS]
    subject = case.subject
    traces = [Trace(str(event), ids.of(event, case.key + part), case.recorded_at) for event, part in found]
    yield from (_withdrawal(case.context, each, subject, case.recorded_at) for each in traces)
    if memory is not None:
        past = Past(case.recorded_at, frozenset(), frozenset(traces), subject.scheme, subject.value)
        memory.note(digest(case.context, case.key), past)


def _subject(case: Case, past: Past) -> Subject:
    """Whose it is: who it was before, if it says nobody that can be told."""
    try:
        return case.subject
    except Unusable:
        return Subject(past.scheme, past.value)


def _named_parts(case: Case) -> list[str]:
    """The parts that a resource still names: its components, and what it contains with theirs."""
    found = []
    try:
        inside = [each for each in parts_of(case.resource, "contained") if each.get("resourceType") == "Observation"]
        found += [part for _, _, part in named(parts_of(case.resource, "component"))]
        for member, _, part in named(inside):
            found += [part, *(part + each for _, _, each in named(parts_of(member, "component")))]
    except Unusable:
        pass  # What is no part of R4 names none.
    return found


def note(  # noqa: PLR0917 - said by every caller in this order
    context: Context, key: str, subject: Subject, version: int, made: Sequence[Made], memory: Memory | None
) -> Iterator[Made]:
    """Remember what a version of the resource `key` was made into; withdraw what the newest version has not."""
    if memory is None:
        return
    now = frozenset(Trace(str(each.event), each.record["event_id"], each.record["occurred_at"]) for each in made)
    address = digest(context, key)
    past = memory.recall(address)
    if past is None:
        if now:
            memory.note(address, Past(version, now, now, subject.scheme, subject.value))
        return
    if version >= past.version:
        newest, gone = now, _without(past.ever, now)
    else:
        newest, gone = past.now, _without(now, past.now)
        version, subject = past.version, Subject(past.scheme, past.value)
    memory.note(address, Past(version, newest, past.ever | now, subject.scheme, subject.value))
    yield from (_withdrawal(context, each, subject, version) for each in gone)


def _without(traces: Iterable[Trace], others: Iterable[Trace]) -> list[Trace]:
    """The events of `traces` whose ids are none of `others`', each once."""
    ids = {each.event_id for each in others}
    return sorted({each.event_id: each for each in traces if each.event_id not in ids}.values())


def deleted(deletion: Deletion, context: Context, memory: Memory | None) -> Iterator[Made]:
    """The withdrawals that a deletion comes to. Raises `Unusable` where nobody knows what it took away, or whose."""
    if deletion.fault:
        raise Unusable(deletion.fault)
    if deletion.kind == "Patient":
        raise Unusable("a deletion: a person leaves by person.withdrawal, which somebody must decide")
    key = deletion.key or ""
    past = memory.recall(digest(context, key)) if memory and deletion.kind in _MADE_OF else None
    if past is None:
        raise Unusable(
            "a deletion: neither this file nor what was sent before tells what it took away, and whose it was"
        )
    if deletion.overtaken or (deletion.at is not None and deletion.at < past.version):
        return  # It was written again since.
    at = deletion.at if deletion.at is not None else max(context.recorded_at, past.version)
    yield from note(context, key, Subject(past.scheme, past.value), at, (), memory)


def makes_events(kind: str) -> bool:
    """Whether resources of a type may have been made into events."""
    return kind in _MADE_OF


def digest(context: Context, key: str) -> bytes:
    """What a memory knows the resource `key` by."""
    return context.ids.digest("fhir", key)


def _withdrawal(context: Context, trace: Trace, subject: Subject, at: int) -> Made:
    event = event_type(trace.event)
    envelope: dict[str, Any] = {
        "event_id": trace.event_id,
        "source_id": context.source_id,
        "subject_scheme": subject.scheme,
        "subject_id": subject.value,
        "occurred_at": trace.occurred_at,
        "recorded_at": at,
    }
    return Made(event, envelope | _FIELDS[event])
