"""Units: the UCUM unit that a text means, and a number in another unit of the same kind.

What is not in these tables is not guessed: a text that is no unit is None, and so is a number that cannot be converted.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from functools import lru_cache
from typing import Final, get_args

from biokeel.source.models import LabResultValueUnit

UNITS: Final[frozenset[str]] = frozenset(get_args(LabResultValueUnit))
"""The UCUM units that the programme's forms know."""

_TEXTS: Final = {
    "mmhg": "mm[Hg]", "mm hg": "mm[Hg]", "torr": "mm[Hg]", "cmh2o": "cm[H2O]",
    "bpm": "/min", "beats/min": "/min", "beats/minute": "/min", "beat/min": "/min", "회/분": "/min", "회/min": "/min",
    "/분": "/min", "breaths/min": "/min", "breaths/minute": "/min",
    "°c": "Cel", "degc": "Cel", "deg c": "Cel", "celsius": "Cel", "°f": "[degF]", "degf": "[degF]", "deg f": "[degF]",
    "fahrenheit": "[degF]",
    "lb": "[lb_av]", "lbs": "[lb_av]", "pound": "[lb_av]", "pounds": "[lb_av]", "in": "[in_i]", "inch": "[in_i]",
    "inches": "[in_i]", "ft": "[ft_i]", "kgs": "kg", "percent": "%",
    "k/ul": "10*3/uL", "thou/ul": "10*3/uL", "mm/hr": "mm/h", "sec": "s", "초": "s",
    "/hpf": "/[HPF]", "/lpf": "/[LPF]", "ratio": "{ratio}", "index": "{index}", "inr": "{INR}",
    "ml/min/1.73m2": "mL/min/{1.73_m2}", "ml/min/1.73 m2": "mL/min/{1.73_m2}", "ml/min/1.73m^2": "mL/min/{1.73_m2}",
    "ml/min/1.73 m^2": "mL/min/{1.73_m2}", "kg/m^2": "kg/m2",
    "mg/24h": "mg/(24.h)", "mg/24hr": "mg/(24.h)", "g/24h": "g/(24.h)", "g/24hr": "g/(24.h)",
    "tablet": "{tablet}", "tablets": "{tablet}", "tab": "{tablet}", "{tbl}": "{tablet}", "정": "{tablet}",
    "알": "{tablet}", "capsule": "{capsule}", "capsules": "{capsule}", "cap": "{capsule}", "캡슐": "{capsule}",
    "{beats}/min": "/min", "{bpm}": "/min", "{breaths}/min": "/min",
}  # fmt: skip
"""Units as people write them, in small letters, and what they are in UCUM."""
_MOLAR: Final = {"mM": "mmol/L", "uM": "umol/L", "nM": "nmol/L", "pM": "pmol/L"}
"""Moles in a litre, as laboratories write them: with a small m these are lengths."""
_TWO_MEANINGS: Final = frozenset({"G/L", "G/l", "MM", "UM", "NM", "PM", "mS", "MS"})
"""Texts that are not told without their case: 10*9/L of laboratories in Europe or g/L, amounts or lengths, seconds or
siemens."""
_INTERNATIONAL: Final = re.compile(r"^(|k|m|u)iu(?=/|$)")
_POWER: Final = re.compile(r"^x?\s*10\s?(?:\^|\*\*|\*|e)\s?(3|4|5|6|9|12)(?=/|$)")
_SUPERSCRIPT: Final = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_DIGITS: Final = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")

_SMALL: Final = {
    small: unit
    for small, count in Counter(unit.lower() for unit in UNITS).items()
    if count == 1 and len(small) > 1
    for unit in UNITS
    if unit.lower() == small
}
"""Units that are told without their case: no other one is written with the same letters."""


@lru_cache(maxsize=4096)
def unit_of_text(text: str) -> str | None:
    """The UCUM unit that a text means: itself, another case of it, or a way people write it. None for anything else."""
    plain = _SUPERSCRIPT.sub(lambda found: "^" + found[0].translate(_DIGITS), text.strip())
    plain = unicodedata.normalize("NFKC", plain).replace("μ", "u").replace("µ", "u")
    if plain in UNITS and plain not in _TEXTS:
        return plain
    if plain in _MOLAR or plain in _TWO_MEANINGS:
        return _MOLAR.get(plain)
    small = plain.lower()
    small = re.sub(r"\s*/\s*", "/", small)
    if small.startswith("mcg"):
        small = "ug" + small[3:]
    if (known := _TEXTS.get(small)) is not None:
        return known
    small = _POWER.sub(r"10*\1", small)
    small = _INTERNATIONAL.sub(r"\1[iu]", small)
    return _SMALL.get(small)


_LINEAR: Final[tuple[dict[str, float], ...]] = (
    # Pascal; UCUM has a metre of mercury column as 133.322 kPa, of water as 9.80665 kPa.
    {"mm[Hg]": 133.322, "kPa": 1e3, "Pa": 1.0, "hPa": 100.0, "cm[H2O]": 98.0665, "mbar": 100.0, "bar": 1e5},
    {"Hz": 1.0, "/min": 1 / 60, "/h": 1 / 3600},
    {"kg": 1e3, "g": 1.0, "mg": 1e-3, "ug": 1e-6, "ng": 1e-9, "[lb_av]": 453.59237, "[oz_av]": 28.349523125},
    {"m": 1.0, "cm": 1e-2, "mm": 1e-3, "[in_i]": 0.0254, "[ft_i]": 0.3048},
    {"1": 1.0, "%": 1e-2},
    # Grams in a litre.
    {
        "g/L": 1.0, "g/dL": 10.0, "g/mL": 1e3, "mg/mL": 1.0, "mg/dL": 1e-2, "mg/L": 1e-3, "ug/mL": 1e-3, "ug/dL": 1e-5,
        "ug/L": 1e-6, "ng/mL": 1e-6, "ng/dL": 1e-8, "ng/L": 1e-9, "pg/mL": 1e-9, "pg/dL": 1e-11, "pg/L": 1e-12,
    },
    # Moles in a litre.
    {
        "mol/L": 1.0, "mmol/L": 1e-3, "umol/mL": 1e-3, "umol/L": 1e-6, "nmol/mL": 1e-6, "nmol/L": 1e-9, "pmol/mL": 1e-9,
        "pmol/L": 1e-12,
    },
    # Things in a litre.
    {
        "/L": 1.0, "/mL": 1e3, "/uL": 1e6, "{cells}/uL": 1e6, "10*3/mL": 1e6, "10*6/L": 1e6, "10*5/L": 1e5,
        "10*3/uL": 1e9, "10*9/L": 1e9, "10*6/mL": 1e9, "10*4/uL": 1e10, "10*6/uL": 1e12, "10*12/L": 1e12,
    },
    {"U/L": 1.0, "U/mL": 1e3, "U/dL": 10.0, "kU/L": 1e3, "mU/L": 1e-3, "mU/mL": 1.0, "uU/mL": 1e-3, "uU/L": 1e-6},
    {"[IU]/L": 1.0, "[IU]/mL": 1e3, "[IU]/dL": 10.0, "m[IU]/L": 1e-3, "m[IU]/mL": 1.0, "u[IU]/mL": 1e-3,
     "k[IU]/L": 1e3, "k[IU]/mL": 1e6},
)  # fmt: skip
"""Units of one kind each, with what one of them is in the unit that has 1. By UCUM 2.1."""
_MASS, _AMOUNT = _LINEAR[5], _LINEAR[6]
_OFFSETS: Final = {"Cel": (1.0, 273.15), "K": (1.0, 0.0), "[degF]": (5 / 9, 459.67 * 5 / 9)}
"""Temperatures: (one degree in kelvin, kelvin at 0)."""

MOLAR_MASS: Final[dict[str, float]] = {
    code: mass
    for mass, codes in (
        (180.156, "2339-0 2345-7 2340-8 41653-7 32016-8 1558-6 1556-0 1521-4 14743-9 14749-6 15074-8 74774-1 99504-3"),
        (386.66, "2093-3 14647-2 2085-9 14646-4 13457-7 18262-6 2089-1 39469-2 22748-8"),
        (885.45, "2571-8 14927-8"),
        (113.12, "2160-0 38483-4 14682-9"),
        (28.014, "3094-0 6299-2"),
        (168.11, "3084-1 14933-6"),
        (584.67, "1975-2 14631-6"),
        (40.078, "17861-6 49765-1 2000-8"),
    )
    for code in codes.split()
}
"""Grams of a mole, by the LOINC code of what is measured: glucose, cholesterol, triglycerides (as triolein),
creatinine, urea nitrogen (two atoms a mole of urea), urate, bilirubin, calcium. By IUPAC's standard atomic weights."""


def convert(value: float, unit: str, wanted: str, molar_mass: float | None = None) -> float | None:
    """`value` of `unit` in the unit `wanted`, to twelve digits; None where the two are not of one kind.

    With `molar_mass` (g/mol) a mass in a volume is an amount in it and the other way round.
    """
    if unit == wanted:
        return value
    if unit in _OFFSETS and wanted in _OFFSETS:
        degree, zero = _OFFSETS[unit]
        degree_wanted, zero_wanted = _OFFSETS[wanted]
        return _plain((value * degree + zero - zero_wanted) / degree_wanted)
    for kind in _LINEAR:
        if unit in kind and wanted in kind:
            return _plain(value * kind[unit] / kind[wanted])
    if molar_mass is not None:
        if unit in _MASS and wanted in _AMOUNT:
            return _plain(value * _MASS[unit] / molar_mass / _AMOUNT[wanted])
        if unit in _AMOUNT and wanted in _MASS:
            return _plain(value * _AMOUNT[unit] * molar_mass / _MASS[wanted])
    return None


def _plain(number: float) -> float:
    """Without the noise of binary fractions: 37.0 and not 37.00000000000001."""
    return float(f"{number:.12g}") if math.isfinite(number) else number
