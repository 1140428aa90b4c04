"""FHIR Observation, and the Observations that a DiagnosticReport contains, into measurements.

What an Observation says itself, and what each of its components says, are parts, each known by its code: a part goes
its own way, and one that cannot be read costs only itself. A part is a blood pressure, a vital sign or a glucose by its
LOINC code, else a laboratory result where the Observation's category, or that of the report or panel it belongs to,
says laboratory.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

import orjson

from biokeel.contracts.topics import event_type
from biokeel.source.adapters.base import Record, Unusable
from biokeel.source.adapters.fhir_codes import (
    HIRA_PROCEDURE,
    LOINC,
    OBSERVATION_CATEGORY,
    Coding,
    best,
    codes_in,
    codings,
    display,
    is_of_laboratory,
)
from biokeel.source.adapters.fhir_common import Case, Made, OfQuantity
from biokeel.source.adapters.fhir_references import Resource
from biokeel.source.adapters.fhir_values import (
    Quantity,
    absent_reason,
    interpretation,
    reference_range,
    result,
    value_quantity,
    values_of,
)
from biokeel.source.adapters.units import convert

BLOOD_PRESSURE: Final = event_type("clinical.blood_pressure")
GLUCOSE: Final = event_type("clinical.glucose")
LAB_RESULT: Final = event_type("clinical.lab_result")
VITAL_SIGN: Final = event_type("clinical.vital_sign")

PANELS: Final = ("85354-9", "55284-4")
SYSTOLIC: Final = "8480-6"
DIASTOLIC: Final = "8462-4"
HEART_RATE: Final = "8867-4"
PRESSURE_UNIT: Final = "mm[Hg]"
_PRESSURE_FIELDS: Final = {SYSTOLIC: "systolic", DIASTOLIC: "diastolic", HEART_RATE: "heart_rate"}
_QUANTITY: Final = "valueQuantity"
GLUCOSE_CODES: Final[dict[str, tuple[str | None, str | None]]] = {
    # LOINC code: (specimen, relation to meal)
    "2339-0": ("blood", None),
    "2345-7": ("serum", None),
    "2340-8": ("blood", None),
    "41653-7": ("capillary_blood", None),
    "32016-8": ("capillary_blood", None),
    "1558-6": ("serum", "fasting"),
    "1556-0": ("capillary_blood", "fasting"),
    "1521-4": ("serum", "after_meal"),
    "14743-9": ("capillary_blood", None),
    "14749-6": ("serum", None),
    "15074-8": ("blood", None),
    "74774-1": (None, None),
    "99504-3": ("interstitial_fluid", None),
}
"""Mass and substance concentrations; a code says specimen and, some of them, the meal."""
_GLUCOSE_UNITS: Final = ("mg/dL", "mmol/L")
_VITAL_SIGNS: Final[tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]] = (
    # The codes of the profiles of R4's vital signs first, and the unit that others are converted into.
    (("8867-4", "40443-4", "8889-8"), ("/min",)),
    (("2708-6", "59408-5"), ("%",)),
    (("8310-5", "8328-7", "8331-1", "8332-9", "8333-7", "75539-7"), ("Cel", "[degF]")),
    (("29463-7", "3141-9", "3142-7"), ("kg", "g", "[lb_av]")),
    (("8302-2", "3137-7", "3138-5", "8306-3", "8308-9"), ("cm", "m", "[in_i]")),
)
_VITAL_UNITS: Final = {code: units for codes, units in _VITAL_SIGNS for code in codes}
_RANKS: Final = {code: rank for rank, code in enumerate((SYSTOLIC, DIASTOLIC, *GLUCOSE_CODES, *_VITAL_UNITS))}
"""Codes that make a part an event type of its own; of several in one concept the first here counts."""
_CATEGORIES: Final = frozenset(
    {"social-history", "vital-signs", "imaging", "laboratory", "procedure", "survey", "exam", "therapy", "activity"}
)
_UNDONE: Final = frozenset({"registered", "cancelled"})
_TIMES: Final = ("effectiveDateTime", "effectiveInstant", "effectivePeriod", "effectiveTiming")


def observation(case: Case) -> Iterator[Made]:
    """The events of an Observation; none for surveys and the like that are no event type of ours."""
    resource = case.resource
    if resource.get("focus"):
        # Of a fetus, a donor, a spouse: the subject is only whose record it stands in.
        case.leave_out("Observation of somebody or something else than its subject (focus)")
        return
    found = codings(resource.get("code"))
    components = parts_of(resource, "component")
    own = codes_in(found, LOINC)
    panel = next((code for code in PANELS if code in own), None) or _panel_by_its_parts(components)
    if panel:
        yield from _pressure_panel(case, panel, components)
        return
    if single := next((code for code in (SYSTOLIC, DIASTOLIC) if code in own), None):
        case.pressures.add(case, single, _single(case))
        return
    members = _members(resource)
    if values_of(resource) or absent_reason(resource) or not (components or members or resource.get("hasMember")):
        yield from _part(case, resource, found, "")
    elif not components and not members:
        case.leave_out("Observation that only groups others")
    for component, codes, part in named(components) if components else ():
        try:
            yield from _part(case, component, codes, part)
        except Unusable as fault:
            case.problem(f"component {components.index(component)}: {fault}")
    if members:
        yield from contained_results(case, members)


def report(case: Case) -> Iterator[Made]:
    """The events of the results that a DiagnosticReport contains; those that stand beside it are their own."""
    results = case.resource.get("result")
    for reference in results if isinstance(results, list) else ():
        if case.bundle.target(case.holder, reference) is None:
            case.leave_out("DiagnosticReport.result that is not in the file")
    members = _members(case.resource)
    if not members:
        case.leave_out("DiagnosticReport")
    yield from contained_results(case, members)


def _members(resource: Resource) -> list[Resource]:
    return [each for each in parts_of(resource, "contained") if each.get("resourceType") == "Observation"]


def contained_results(case: Case, members: Sequence[Resource]) -> Iterator[Made]:
    """The events of Observations that `case` contains, each a part of it; what one lacks (time, category) is its."""
    own = {name: case.resource[name] for name in ("category", "issued", "meta", *_TIMES) if case.resource.get(name)}
    for member, _, part in named(members):
        times = {name for name in _TIMES if member.get(name)}
        inherited = {
            name: found for name, found in own.items() if name not in member and not (times and name in _TIMES)
        }
        inside = case.contained(inherited | member, part)
        try:
            yield from observation(inside)
        except Unusable as fault:
            case.problem(f"a contained Observation: {fault}")


def parts_of(resource: Resource, name: str) -> list[Resource]:
    """The list of objects that the element `name` is. Raises `Unusable`."""
    found = resource.get(name)
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise Unusable(f"its {name} does not have the structure of FHIR R4")
    return found


def named(parts: Sequence[Resource]) -> list[tuple[Resource, list[Coding], str]]:
    """Each of `parts` with its codings and its name, which is its code.

    Several of one code are told by the order of their contents: then the order in which they stand means nothing.
    """
    read = [(part, codings(part.get("code"))) for part in parts]
    names = [_name_of(codes) for _, codes in read]
    counts = Counter(names)
    made = []
    for (part, codes), name in zip(read, names, strict=True):
        if counts[name] > 1:
            alike = sorted(_content(each) for each, other in zip(parts, names, strict=True) if other == name)
            place = alike.index(_content(part))
            made.append((part, codes, f"{name}/{place}" if place else name))
        else:
            made.append((part, codes, name))
    return made


def are_several_of_one_code(parts: Sequence[Resource]) -> bool:
    """Whether some of `parts` are told from each other by their contents alone."""
    names = [_name_of(codings(part.get("code"))) for part in parts]
    return len(set(names)) < len(names)


def _content(part: Resource) -> bytes:
    return orjson.dumps(part, option=orjson.OPT_SORT_KEYS)


def _name_of(codes: Sequence[Coding]) -> str:
    found = _measured(codes) or best(codes, (LOINC, HIRA_PROCEDURE))
    if found is None:
        return "#"
    return f"#{found.code}" if found.system == LOINC else f"#{found.system}|{found.code}"


def _measured(codes: Sequence[Coding]) -> Coding | None:
    """The coding that makes a part an event type of its own: a glucose, a vital sign, one of a blood pressure."""
    known = [code for code in codes_in(codes, LOINC) if code in _RANKS]
    return Coding(LOINC, min(known, key=_RANKS.__getitem__)) if known else None


def _part(case: Case, holder: Resource, codes: Sequence[Coding], part: str) -> Iterator[Made]:
    """The event of what `holder`, the Observation or a component, says of itself. Raises `Unusable`."""
    if holder.get("modifierExtension"):
        raise Unusable("modifierExtension: what it says may turn round what the resource means")
    measured = _measured(codes)
    if measured is not None and measured.code in (SYSTOLIC, DIASTOLIC):
        raise Unusable("a systolic or diastolic pressure without the other")
    if measured is None and not _is_laboratory(case, codes):
        return
    if not values_of(holder):
        if case.resource.get("status") in _UNDONE:
            case.leave_out("Observation that is registered or cancelled, without a value")
            return
        if measured is not None and absent_reason(holder):
            case.leave_out("Observation that says why it has no value")
            return
    if measured is None:
        yield _laboratory(case, holder, codes, part)
    elif measured.code in GLUCOSE_CODES:
        yield _glucose(case, holder, measured.code, part)
    else:
        yield _vital_sign(case, holder, measured.code, part)


def _is_laboratory(case: Case, codes: Sequence[Coding]) -> bool:
    """Whether a part is a laboratory result. Raises `Unusable` where nothing says what it is."""
    if is_of_laboratory(case.resource):
        return True
    categories = parts_of(case.resource, "category")
    if _CATEGORIES & {code for each in categories for code in codes_in(codings(each), OBSERVATION_CATEGORY, "")}:
        case.leave_out(f"Observation, {_shown(codes)}")
        return False
    if case.bundle.is_of_laboratory(case.resource):
        return True
    raise Unusable("no category that says whether it is a laboratory result")


_IS_LOINC: Final = re.compile("[1-9][0-9]{0,5}-[0-9]")


def _shown(codes: Sequence[Coding]) -> str:
    """What a part measures, by its LOINC code where it has one: a code is nobody's, but not all that is written is."""
    return next((f"LOINC {code}" for code in codes_in(codes, LOINC) if _IS_LOINC.fullmatch(code)), "without LOINC")


def _observed(case: Case, event: Any, part: str) -> Record:
    return case.envelope(event, case.first_moment(*_TIMES), part) | {"status": status_of(case.resource)}


def status_of(resource: Resource) -> str:
    """The status of a resource. Raises `Unusable` where it is no text."""
    status = resource.get("status") or "unknown"
    if not isinstance(status, str):
        raise Unusable("status is no text")
    return status


def _laboratory(case: Case, holder: Resource, codes: Sequence[Coding], part: str) -> Made:
    coding = best(codes, (LOINC, HIRA_PROCEDURE))
    if coding is None:
        raise Unusable("code has no coding in LOINC or HIRA EDI")
    found = result(holder)
    try:
        usual = reference_range(holder, found.get("value_unit"), coding.code)
    except Unusable as fault:
        case.problem(f"{fault}; the range is not sent")
        usual = {}
    else:
        if holder.get("referenceRange") and not usual:
            case.leave_out("referenceRange that is not the normal one for everybody, or a text only")
    meaning = interpretation(holder)
    if holder.get("interpretation") and meaning is None:
        case.leave_out("interpretation without a code of HL7's")
    record = {
        "code": coding.code,
        "code_system": "LOINC" if coding.system == LOINC else "HIRA-EDI",
        "display": display(holder.get("code")),
        "interpretation": meaning,
    }
    made = _observed(case, LAB_RESULT, part) | record | found | usual
    number = _number_of(holder, found)
    return Made(LAB_RESULT, made, part, number)


def _number_of(holder: Resource, found: Record) -> tuple[OfQuantity, ...]:
    if values_of(holder) != [_QUANTITY]:
        return ()
    return (OfQuantity("value", holder[_QUANTITY], found["value_unit"], found["value_unit"]),)


def _glucose(case: Case, holder: Resource, code: str, part: str) -> Made:
    found = value_quantity(holder)
    value, number = _in_one_of(found, _GLUCOSE_UNITS, holder)
    specimen, meal = GLUCOSE_CODES[code]
    record = {
        "code": code,
        "value": value,
        "value_unit": number.wanted,
        "comparator": found.comparator,
        "relation_to_meal": meal,
        "specimen": specimen,
    }
    return Made(GLUCOSE, _observed(case, GLUCOSE, part) | record, part, (number,))


def _vital_sign(case: Case, holder: Resource, code: str, part: str) -> Made:
    value, number = _in_one_of(value_quantity(holder).exact("valueQuantity"), _VITAL_UNITS[code], holder)
    record = {"code": code, "value": value, "value_unit": number.wanted}
    return Made(VITAL_SIGN, _observed(case, VITAL_SIGN, part) | record, part, (number,))


def _in_one_of(found: Quantity, units: Sequence[str], holder: Resource) -> tuple[float, OfQuantity]:
    """`holder`'s number in its own unit, or in the first of `units` that it can be in. Raises `Unusable`."""
    if found.unit is None:
        raise Unusable("valueQuantity has no unit")
    if found.unit in units:
        return found.value, OfQuantity("value", holder[_QUANTITY], found.unit, found.unit)
    for unit in units:
        if (value := convert(found.value, found.unit, unit)) is not None:
            return value, OfQuantity("value", holder[_QUANTITY], found.unit, unit)
    raise Unusable("the unit of valueQuantity is no unit of what it measures")


def _pressure_panel(case: Case, panel: str, components: Sequence[Resource]) -> Iterator[Made]:
    """The blood pressure of a panel's components. What a component measures beside the pressure is its own event."""
    if not components:
        case.leave_out("Observation that only groups others")
        return
    read: dict[str, float | None] = {}
    numbers: list[OfQuantity] = []
    units = {SYSTOLIC: PRESSURE_UNIT, DIASTOLIC: PRESSURE_UNIT, HEART_RATE: "/min"}
    for component in components:
        found = {*codes_in(codings(component.get("code")), LOINC)}
        code = next((each for each in units if each in found), None)
        if component.get("modifierExtension"):
            case.problem("a component with a modifierExtension, which may turn round what it means")
            continue
        if code is None:
            case.leave_out(f"component of a blood pressure, {_shown(codings(component.get('code')))}")
            continue
        if not values_of(component) and absent_reason(component):
            case.leave_out("component that says why it has no value")
            continue
        try:
            found_quantity = value_quantity(component).exact("valueQuantity")
            value = found_quantity.in_unit(units[code], "valueQuantity")
        except Unusable as fault:
            case.problem(f"component {code}: {fault}")
            continue
        if read.get(code, value) != value:
            raise Unusable(f"two components {code} that say different things")
        if code not in read:
            numbers.append(
                OfQuantity(_PRESSURE_FIELDS[code], component[_QUANTITY], found_quantity.unit or "", units[code])
            )
        read[code] = value
    if SYSTOLIC not in read and DIASTOLIC not in read:
        return
    yield Made(BLOOD_PRESSURE, _observed(case, BLOOD_PRESSURE, "") | pressure(panel, read), "", tuple(numbers))


def _panel_by_its_parts(components: Sequence[Resource]) -> str | None:
    """The code of a blood pressure panel where the components are one, whatever the whole is called."""
    codes = {code for each in components for code in codes_in(codings(each.get("code")), LOINC)}
    return PANELS[0] if {SYSTOLIC, DIASTOLIC} <= codes else None


def _single(case: Case) -> tuple[float, Record]:
    """The pressure (mm[Hg]) that an Observation without a panel measures, and its envelope. Raises `Unusable`."""
    value = value_quantity(case.resource).exact("valueQuantity").in_unit(PRESSURE_UNIT, "valueQuantity")
    return value, _observed(case, BLOOD_PRESSURE, "")


def pressure(panel: str, read: dict[str, float | None]) -> Record:
    """The fields of a blood pressure by LOINC code."""
    return {
        "panel_code": panel,
        **{name: read.get(code) for code, name in _PRESSURE_FIELDS.items()},
        "body_position": None,
    }
