"""What a FHIR Observation, or a component of one, says was found: value[x], dataAbsentReason, referenceRange.

Each function raises `Unusable` for what has no place in the contract, naming the element and never its content.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from biokeel.source.adapters.base import Record, Unusable
from biokeel.source.adapters.fhir_codes import (
    ABSENT_REASON,
    INTERPRETATION,
    LOINC,
    RANGE_MEANING,
    SNOMED,
    UCUM,
    codes_in,
    codings,
    system_of,
    word,
)
from biokeel.source.adapters.fhir_references import Resource
from biokeel.source.adapters.numbers import number, number_of_text
from biokeel.source.adapters.units import MOLAR_MASS, UNITS, convert, unit_of_text

_COMPARATORS: Final = frozenset({"<", "<=", ">=", ">"})
_ABSENT: Final = frozenset(
    {
        "unknown", "asked-unknown", "temp-unknown", "not-asked", "asked-declined", "masked", "not-applicable",
        "unsupported", "as-text", "error", "not-a-number", "negative-infinity", "positive-infinity", "not-performed",
        "not-permitted",
    }
)  # fmt: skip
_NAMES: Final = frozenset(
    {
        "valueQuantity", "valueCodeableConcept", "valueString", "valueBoolean", "valueInteger", "valueRange",
        "valueRatio", "valueSampledData", "valueTime", "valueDateTime", "valuePeriod",
    }
)  # fmt: skip
"""The value[x] of an Observation in R4."""
_EXTENDED: Final = ("_valueString", "_valueBoolean", "_valueInteger", "_valueTime", "_valueDateTime")
_ABSENT_URL: Final = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with its UCUM unit, None where it has none; `comparator` where the number is only a bound."""

    value: float
    unit: str | None
    comparator: str | None = None

    def in_unit(self, wanted: str, name: str, molar_mass: float | None = None) -> float:
        """The number in the unit `wanted`. Raises `Unusable`, naming `name`."""
        if self.unit is None:
            raise Unusable(f"{name} has no unit")
        found = convert(self.value, self.unit, wanted, molar_mass)
        if found is None:
            raise Unusable(f"the unit of {name} is no unit of what it measures")
        return found

    def exact(self, name: str) -> Quantity:
        """Itself, where it is no bound. Raises `Unusable`."""
        if self.comparator is not None:
            raise Unusable(f"{name} is only a bound (comparator)")
        return self


def quantity(found: Any, name: str) -> Quantity:
    """A FHIR Quantity. A number that is written as a text counts where its unit is stated. Raises `Unusable`."""
    if not isinstance(found, dict):
        raise Unusable(f"{name} is no Quantity")
    unit = unit_of(found, name)
    value = found.get("value")
    if value is None:
        raise Unusable(f"{name} has no value")
    if isinstance(value, str) and unit is None:
        raise Unusable(f"{name} is a text without a unit")
    comparator = found.get("comparator")
    if comparator is not None and comparator not in _COMPARATORS:
        raise Unusable(f"{name} has a comparator that R4 does not know")
    read = number_of_text(value, name) if isinstance(value, str) else number(value, name)
    return Quantity(read, unit, comparator)


def unit_of(found: dict[str, Any], name: str) -> str | None:
    """The UCUM unit of a Quantity: its code where that is UCUM's, else the unit that its text means; None for none.

    A code of another system, or of none, is no code of a unit: it counts as the text does. Raises `Unusable` for a unit
    that is not known.
    """
    system, code, text = found.get("system"), found.get("code"), found.get("unit")
    if isinstance(code, str) and isinstance(system, str) and system_of(system) == UCUM:
        return code if code in UNITS else unit_of_text(code) or code
    texts = [each for each in (text, code if system is None else None) if isinstance(each, str) and each.strip()]
    for each in texts:
        if (known := unit_of_text(each)) is not None:
            return known
    if texts or code is not None:
        raise Unusable(f"the unit of {name} has no UCUM code and no name that is known")
    return None


def values_of(holder: Resource) -> list[str]:
    """The names of the value[x] elements that `holder` has."""
    return [name for name in holder.keys() & _NAMES if holder[name] is not None]


def absent_reason(holder: Resource) -> str | None:
    """Why `holder` has no value; None where it does not say. A reason of another code system is `unknown`."""
    if (reason := holder.get("dataAbsentReason")) is not None:
        return word(reason, ABSENT_REASON, _ABSENT) or "unknown"
    if holder.keys().isdisjoint(_EXTENDED):
        return None
    for name in _EXTENDED:
        # The data-absent-reason extension stands where a primitive value would.
        extra = holder.get(name)
        extensions = extra.get("extension") if isinstance(extra, dict) else None
        for extension in extensions if isinstance(extensions, list) else ():
            if isinstance(extension, dict) and extension.get("url") == _ABSENT_URL:
                code = extension.get("valueCode")
                return code if code in _ABSENT else "unknown"
    return None


def value_quantity(holder: Resource) -> Quantity:
    """The one value of `holder`, which must be a Quantity. Raises `Unusable`."""
    match values_of(holder):
        case ["valueQuantity"]:
            return quantity(holder["valueQuantity"], "valueQuantity")
        case [other]:
            raise Unusable(f"{other} where a valueQuantity belongs")
        case []:
            raise Unusable("no value")
    raise Unusable("several values")


def result(holder: Resource) -> Record:
    """The fields of a laboratory result that `holder`'s value[x] or dataAbsentReason fills. Raises `Unusable`."""
    match values_of(holder), absent_reason(holder):
        case [], None:
            raise Unusable("no value and no dataAbsentReason")
        case [], reason:
            return {"absent_reason": reason}
        case [name], None:
            make = _VALUES.get(name)
            if make is None:
                raise Unusable(f"{name} has no place in the contract")
            return make(holder[name])
        case [_], _:
            raise Unusable("a value and a dataAbsentReason")
    raise Unusable("several values")


def _of_quantity(found: Any) -> Record:
    read = quantity(found, "valueQuantity")
    if read.unit is None:
        raise Unusable("valueQuantity has no unit")
    return {"value": read.value, "value_unit": read.unit, "comparator": read.comparator}


def _of_integer(found: Any) -> Record:
    if isinstance(found, bool) or not isinstance(found, int):
        raise Unusable("valueInteger is no whole number")
    return {"value": number(found, "valueInteger"), "value_unit": "1"}


def _of_boolean(found: Any) -> Record:
    if not isinstance(found, bool):
        raise Unusable("valueBoolean is neither true nor false")
    return {"value_boolean": found}


def _of_range(found: Any) -> Record:
    low, high = ends(found, "valueRange")
    unit = next((end.unit for end in (low, high) if end is not None and end.unit is not None), None)
    if unit is None:
        raise Unusable("valueRange has no unit")
    return {
        "value_low": low.exact("valueRange.low").in_unit(unit, "valueRange.low") if low else None,
        "value_high": high.exact("valueRange.high").in_unit(unit, "valueRange.high") if high else None,
        "value_unit": unit,
    }


def _of_ratio(found: Any) -> Record:
    if not isinstance(found, dict):
        raise Unusable("valueRatio is no Ratio")
    above = quantity(found.get("numerator"), "valueRatio.numerator")
    below = quantity(found.get("denominator"), "valueRatio.denominator").exact("valueRatio.denominator")
    if below.value == 0:
        raise Unusable("valueRatio is of a denominator that is zero")
    if above.unit == below.unit or {above.unit, below.unit} <= {None, "1"}:
        return {
            "value_numerator": above.value,
            "value_denominator": below.value,
            "comparator": above.comparator,
        }
    per = f"{above.unit}/{below.unit}"
    if below.value == 1 and per in UNITS:
        return {"value": above.value, "value_unit": per, "comparator": above.comparator}
    raise Unusable("valueRatio is of two units that make no unit of ours")


def _of_concept(found: Any) -> Record:
    answers = codings(found)
    if snomed := codes_in(answers, SNOMED):
        return {"value_code": snomed[0], "value_system": SNOMED}
    if of_loinc := [code for code in codes_in(answers, LOINC) if code.startswith("LA")]:
        return {"value_code": of_loinc[0], "value_system": "LOINC-ANSWER"}
    if answers:
        raise Unusable("valueCodeableConcept has no coding in SNOMED CT and no answer of LOINC")
    raise Unusable("valueCodeableConcept is a text only, which does not cross the privacy wall")


def _of_string(found: Any) -> Record:
    del found
    raise Unusable("valueString is a text, which does not cross the privacy wall")


_VALUES: Final = {
    "valueQuantity": _of_quantity,
    "valueInteger": _of_integer,
    "valueBoolean": _of_boolean,
    "valueRange": _of_range,
    "valueRatio": _of_ratio,
    "valueCodeableConcept": _of_concept,
    "valueString": _of_string,
}


def ends(found: Any, name: str) -> tuple[Quantity | None, Quantity | None]:
    """Low and high of a FHIR Range. Raises `Unusable`, also where it has neither."""
    if not isinstance(found, dict):
        raise Unusable(f"{name} is no Range")
    low, high = (
        quantity(found[end], f"{name}.{end}") if found.get(end) is not None else None for end in ("low", "high")
    )
    if low is None and high is None:
        raise Unusable(f"{name} has neither low nor high")
    if low is not None and high is not None and _lies_above(low, high):
        raise Unusable(f"{name}.low lies above its high")
    return low, high


def _lies_above(low: Quantity, high: Quantity) -> bool:
    """Whether the ends of a Range are upside down, which R4 forbids; False where their units do not tell."""
    unit = low.unit or high.unit
    if unit is None:
        return low.value > high.value
    found = convert(low.value, unit, high.unit or unit)
    return found is not None and found > high.value


def reference_range(holder: Resource, unit: str | None, code: str) -> Record:
    """The one range that is normal for everybody, in the unit of the result. Raises `Unusable` where that is not to be.

    R4: a range without a type is the normal one. A range for some people only (`appliesTo`, `age`) says nothing of a
    person of whom the Observation says nothing; it is left out.
    """
    usual = [each for each in _ranges(holder) if _is_usual(each)]
    if not usual or unit is None:
        return {}
    if len(usual) > 1:
        raise Unusable("several referenceRanges are normal")
    low, high = ends(usual[0], "referenceRange")
    mass = MOLAR_MASS.get(code)
    return {
        f"reference_{name}": end.exact(f"referenceRange.{name}").in_unit(unit, f"referenceRange.{name}", mass)
        for name, end in (("low", low), ("high", high))
        if end is not None
    }


def _ranges(holder: Resource) -> Iterator[dict[str, Any]]:
    found = holder.get("referenceRange")
    for each in found if isinstance(found, Sequence) else ():
        if not isinstance(each, dict):
            raise Unusable("referenceRange is no list of ranges")
        yield each


def _is_usual(found: dict[str, Any]) -> bool:
    if found.get("appliesTo") or found.get("age") or (found.get("low") is None and found.get("high") is None):
        return False
    return found.get("type") is None or word(found["type"], RANGE_MEANING, ("normal",)) is not None


def interpretation(holder: Resource) -> str | None:
    """The first of `holder`'s interpretations that has a code of HL7's."""
    found = holder.get("interpretation")
    for concept in found if isinstance(found, list) else ():
        read = codings(concept)
        if codes := codes_in(read, INTERPRETATION, ""):
            return codes[0]
    return None
