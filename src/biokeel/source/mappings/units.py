"""Conversion between UCUM units of one kind: what a column is in, to what a field wants.

Factors are exact by definition (UCUM 2.1; the international pound, inch and mile of 1959; the thermochemical calorie
of 4.184 J).
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final

_KINDS: Final[tuple[dict[str, str], ...]] = (
    {"ms": "1/1000", "s": "1", "min": "60", "h": "3600", "d": "86400"},
    {
        "mm": "1/1000",
        "cm": "1/100",
        "m": "1",
        "km": "1000",
        "[in_i]": "0.0254",
        "[ft_i]": "0.3048",
        "[mi_i]": "1609.344",
    },
    {"ug": "1/1000000", "mg": "1/1000", "g": "1", "kg": "1000", "[lb_av]": "453.59237", "[oz_av]": "28.349523125"},
    {"cal": "1", "kcal": "1000", "J": "1000/4184", "kJ": "1000000/4184"},
    {"mg/L": "1", "mg/dL": "10", "mg/mL": "1000", "g/L": "1000", "g/dL": "10000"},
    {"umol/L": "1", "mmol/L": "1000", "mol/L": "1000000"},
    {"%": "1", "1": "100"},
)


def factor(unit: str, wanted: str) -> Fraction | None:
    """What a number in `unit` is multiplied by to be in `wanted`; null where they are not of one kind."""
    if unit == wanted:
        return Fraction(1)
    for kind in _KINDS:
        if unit in kind and wanted in kind:
            return Fraction(kind[unit]) / Fraction(kind[wanted])
    return None
