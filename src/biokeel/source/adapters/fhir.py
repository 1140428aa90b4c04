"""FHIR R4: bundles and single resources, one in a file, in an array, or one a line (bulk export).

| resource | event |
| --- | --- |
| Patient | person.enrolment |
| Observation of a blood pressure, as a panel or as two that belong together | clinical.blood_pressure |
| Observation, or a component of one, with a glucose code | clinical.glucose |
| … with a code of heart rate, oxygen saturation, temperature, weight or height | clinical.vital_sign |
| … of category laboratory, or of a laboratory's report or panel | clinical.lab_result |
| Observations that a DiagnosticReport contains | as above |
| Condition | clinical.diagnosis |
| MedicationRequest, MedicationStatement, MedicationAdministration | clinical.medication |

Who the subject is: `fhir_bundle`. What a resource made before and no longer says: `fhir_withdrawals`. Files of another
version: `fhir_versions`. Everything else is left out and counted by its type; so is a Consent, whose provisions name no
domain of ours without a table of codes that nobody has agreed on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from operator import itemgetter
from pathlib import Path
from typing import Final

import orjson

from biokeel.errors import AdapterError
from biokeel.source.adapters import fhir_clinical, fhir_observations, fhir_patient
from biokeel.source.adapters.base import MALFORMED, Batch, Context, Held, Report, Unusable
from biokeel.source.adapters.envelope import written_documents
from biokeel.source.adapters.fhir_alike import Alike, Read
from biokeel.source.adapters.fhir_bundle import Bundle, Deletion
from biokeel.source.adapters.fhir_common import Case, Made, Maker
from biokeel.source.adapters.fhir_pressures import Pressures
from biokeel.source.adapters.fhir_references import Resource
from biokeel.source.adapters.fhir_versions import version_of_any
from biokeel.source.adapters.fhir_withdrawals import deleted, digest, makes_events, note, withdrawn
from biokeel.source.memory import Memory, OfOneFile

MAKERS: Final[dict[str, Maker]] = {
    "Patient": fhir_patient.enrolment,
    "Observation": fhir_observations.observation,
    "DiagnosticReport": fhir_observations.report,
    "Condition": fhir_clinical.diagnosis,
    "MedicationRequest": fhir_clinical.medication,
    "MedicationStatement": fhir_clinical.medication,
    "MedicationAdministration": fhir_clinical.medication,
}
_READ_WITH: Final = dict.fromkeys(("Observation", "DiagnosticReport"), ("Patient", "Observation"))
"""What is read with a resource that contains it, by the type of that; with all others a Patient, as the subject."""
_TOGETHER: Final = 128
"""Single resources, one a line, that wait for one another."""
_WHOLE: Final = "the document"
"""The place of a file's only document."""


def read_fhir(path: Path, context: Context, report: Report) -> Iterator[Batch]:
    """Yield the events of a FHIR JSON file.

    Raises `AdapterError` where it is no bundle or resource, or one of another version than R4. Of a file of several
    documents what came before the first sign of another version may have been handed on, beyond `BATCH_ROWS` events.
    """
    file = _File(path.name, context, report)
    for place, document, line in written_documents(path, report):
        file.read(place, document, line)
        if file.held.full:
            yield from file.hand_on()
    file.end()
    yield from file.hand_on()


class _File:
    """One file while it is read."""

    def __init__(self, name: str, context: Context, report: Report) -> None:
        self._name = name
        self._context = context
        self._report = report
        self._pressures = Pressures(report)
        self._waiting: list[tuple[int, Bundle]] = []
        """Single resources, with their numbers in the file: what is remembered of several is asked for at once."""
        self._alike = Alike(context, report, self._aside)
        self._count = 0
        self.held = Held()

    def hand_on(self) -> list[Batch]:
        """The events that are held."""
        return self.held.hand_on()

    def read(self, place: str, document: Resource, line: bytes) -> None:
        """Hold the events of a bundle or resource, which may be that of a `line`. Raises `AdapterError`."""
        self._count += 1
        if not line or not self._alike.is_tried:
            self._by_itself(self._count, place, document)
        elif not self._alike.add(self._count, place, document, line):
            self._by_itself(self._count, place, orjson.loads(line))
        if self._alike.full or len(self._waiting) >= _TOGETHER:
            self._take()

    def _aside(self, place: str, document: Resource) -> Read | None:
        """What a single resource comes to, which nobody hears of; null where that is no plain reading."""
        report = Report()
        bundle = Bundle.of(document, self._context, report, place)
        pressures = Pressures(report)
        case = Case(document, self._context, bundle, place, report, document, pressures)
        try:
            made = [] if case.is_withdrawn else _made(MAKERS[case.kind], case)
        except Unusable:
            return None
        return None if case.is_withdrawn or pressures.taken else Read(case, made, report)

    def _by_itself(self, number: int, place: str, document: Resource) -> None:
        """Let a document wait that is no row of a known form. Raises `AdapterError`."""
        alone = place == _WHOLE
        kind = document.get("resourceType")
        if not isinstance(kind, str):
            fault = "it has no resourceType"
            if alone:
                raise AdapterError(f"{self._name} is JSON, but no FHIR resource: {fault}.")
            self._report.problem(place, f"no FHIR resource: {fault}")
            return
        if (version := version_of_any(document)) is not None:
            raise AdapterError(f"{self._name} is {version}: nothing of it is read.", "Export it as FHIR R4 (4.0.1).")
        if kind == "Bundle" and _is_continued(document):
            self._report.leave_out(place, "the next page of a search, which is not in the file")
        try:
            bundle = Bundle.of(document, self._context, self._report, "the resource" if alone else place)
        except Unusable as fault:
            if alone:
                raise AdapterError(f"{self._name} {fault}.") from None
            self._report.problem(place, f"{kind}: it {fault}")
            return
        # What no event is made of may be of any size, and waits for nobody.
        if kind not in MAKERS and not bundle.is_bundle:
            self._read(bundle)
            return
        self._waiting.append((number, bundle))
        if bundle.is_bundle:
            self._take()

    def end(self) -> None:
        """The file has ended: read what waits, and put together the pressures that have no other half yet."""
        self._take()
        self._pair(rest=True)

    def _take(self) -> None:
        """Hold the events of the documents that wait, those of one record in the order of the file."""
        waiting, self._waiting = self._waiting, []
        keys = {key for _, bundle in waiting for key in self._keys(bundle)}
        batches, others = self._alike.take(keys)
        for batch in batches:
            self.held.add_frame(batch)
        for row in others:
            document = orjson.loads(row.text)
            waiting.append((row.number, Bundle.of(document, self._context, self._report, row.place)))
        if others:
            waiting.sort(key=itemgetter(0))
            keys.update(key for _, bundle in waiting for key in self._keys(bundle))
        if self._context.memory is not None:
            self._context.memory.ahead(keys)
        for _, bundle in waiting:
            self._read(bundle)

    def _read(self, bundle: Bundle) -> None:
        memory = self._context.memory or (OfOneFile() if bundle.has_versions else None)
        for position, resource in bundle.resources:
            self._resource(position, resource, bundle, memory)
        for deletion in bundle.deletions:
            self._delete(deletion, memory)
        self._pair(rest=bundle.is_bundle)

    def _keys(self, bundle: Bundle) -> Iterator[bytes]:
        """What a memory will be asked for, as far as it can be told."""
        for _, resource in bundle.resources:
            if makes_events(str(resource.get("resourceType"))):
                with suppress(Unusable):
                    yield digest(self._context, bundle.key(resource))
        for deletion in bundle.deletions:
            if deletion.key is not None:
                yield digest(self._context, deletion.key)

    def _delete(self, deletion: Deletion, memory: Memory | None) -> None:
        try:
            self._hold(deleted(deletion, self._context, memory), deletion.position)
        except Unusable as fault:
            if deletion.kind == "Patient" or makes_events(deletion.kind) or deletion.key is None:
                self._report.problem(deletion.position, f"{deletion.kind}: {fault}")
            else:
                self._report.leave_out(deletion.position, f"deletion of {deletion.kind}")

    def _resource(self, position: str, resource: Resource, bundle: Bundle, memory: Memory | None) -> None:
        kind = str(resource.get("resourceType", "?"))
        maker = MAKERS.get(kind)
        if maker is None:
            self._report.leave_out(position, kind)
            self._note_contained(position, resource)
            return
        case = Case(resource, self._context, bundle, position, self._report, resource, self._pressures)
        waiting = self._pressures.taken
        try:
            if case.is_withdrawn and makes_events(kind):
                self._hold(withdrawn(case, memory), position)
                return
            _require_plain(resource)
            made = _made(maker, case)
            self._hold(made, position)
            # A pressure that waits for its other half is noted with it.
            if memory is not None and makes_events(kind) and (made or self._pressures.taken == waiting):
                self._hold(note(self._context, case.key, case.subject, case.recorded_at, made, memory), position)
        except Unusable as fault:
            case.problem(str(fault))
        self._note_contained(position, resource)

    def _note_contained(self, position: str, resource: Resource) -> None:
        """Say of what a resource contains, and nobody reads, that it might have been an event."""
        contained, kind = resource.get("contained"), str(resource.get("resourceType"))
        for each in contained if isinstance(contained, list) else ():
            inside = each.get("resourceType") if isinstance(each, dict) else None
            if inside in MAKERS and inside not in _READ_WITH.get(kind, ("Patient",)):
                self._report.problem(position, f"a contained {inside}: only a report or panel is read with its results")
        parameters = resource.get("parameter") if kind == "Parameters" else None
        for each in parameters if isinstance(parameters, list) else ():
            if isinstance(each, dict) and isinstance(each.get("resource"), dict):
                self._report.problem(position, "Parameters: a resource in it is not read; send the resource itself")

    def _pair(self, *, rest: bool) -> None:
        for pair in self._pressures.pairs(rest=rest):
            self._hold([pair.made], pair.position)
            context, at = self._context, pair.made.record["recorded_at"]
            for key in pair.keys:
                self._hold(note(context, key, pair.subject, at, [pair.made], context.memory), pair.position)

    def _hold(self, made: Iterable[Made], position: str) -> None:
        for each in made:
            self.held.add(each.event, each.record, position)


def _require_plain(resource: Resource) -> None:
    """Raise `Unusable` where a resource says that it means something else than its elements do.

    R4 forbids to read one with a modifier extension, or implicit rules, that the reader does not know.
    """
    for name in ("modifierExtension", "implicitRules"):
        if resource.get(name):
            raise Unusable(f"{name}: what it says may turn round what the resource means")


def _is_continued(bundle: Resource) -> bool:
    links = bundle.get("link")
    return isinstance(links, list) and any(isinstance(each, dict) and each.get("relation") == "next" for each in links)


def _made(maker: Maker, case: Case) -> list[Made]:
    try:
        return list(maker(case))
    except MALFORMED:
        # What is a list where FHIR has an object, or the other way round; the exception would quote the value.
        raise Unusable("its JSON does not have the structure of FHIR R4") from None
