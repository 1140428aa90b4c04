"""What is done with a field for its privacy tag.

| tag | what becomes of the field |
| --- | --- |
| `NONE` | kept where it has its form or range, else withheld (`biokeel.pseudonymise.withhold`) |
| `QUASI` | coarsened: a date to its year (`<name>_year`), an address to its province (`<name>_province`), or dropped |
| `DIRECT`, `LINK`, `FREE_TEXT` | dropped |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from biokeel.contracts.lint import form_faults
from biokeel.contracts.schema import Coarsening, Tag
from biokeel.errors import SchemaError
from biokeel.pseudonymise.registration import numbers_like_registration
from biokeel.pseudonymise.withhold import Withholder

if TYPE_CHECKING:
    from biokeel.contracts.schema import EventSchema, Field

PROVINCES: Final[dict[str, tuple[str, ...]]] = {
    "KR-11": ("서울",),
    "KR-26": ("부산",),
    "KR-27": ("대구",),
    "KR-28": ("인천",),
    "KR-29": ("광주",),
    "KR-30": ("대전",),
    "KR-31": ("울산",),
    "KR-41": ("경기",),
    "KR-42": ("강원",),
    "KR-43": ("충북", "충청북도"),
    "KR-44": ("충남", "충청남도"),
    "KR-45": ("전북", "전라북도"),
    "KR-46": ("전남", "전라남도"),
    "KR-47": ("경북", "경상북도"),
    "KR-48": ("경남", "경상남도"),
    "KR-49": ("제주",),
    "KR-50": ("세종",),
}
"""How addresses in each province (ISO 3166-2:KR) begin."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What one event type's rows become: `withhold` says what of the kept fields, `coarsened` are expressions."""

    withhold: Withholder
    coarsened: tuple[pl.Expr, ...]

    @classmethod
    def of(cls, schema: EventSchema) -> Policy:
        """The policy of a schema.

        Raises `SchemaError` for a kept field whose form or range is not declared, or does not hold: no such schema is
        let in, whoever wrote it.
        """
        if fault := next(form_faults(schema), None):
            raise SchemaError(f"Schema {fault.where}: {fault.what}", fault.todo)
        quasi = (field for field in schema.payload if field.tag is Tag.QUASI)
        coarsened = (coarsen(field) for field in quasi)
        withhold = Withholder(schema.kept(), numbers_like_registration)
        return cls(withhold, tuple(each for each in coarsened if each is not None))


def coarsen(field: Field) -> pl.Expr | None:
    """The expression that a QUASI field is made into, with its new name; None where the field is dropped."""
    column = pl.col(field.name)
    match field.coarsen:
        case Coarsening.YEAR:
            return column.dt.year().cast(pl.Int32).alias(f"{field.name}_year")
        case Coarsening.PROVINCE:
            return _province(column).alias(f"{field.name}_province")
        case _:
            return None


def _province(column: pl.Expr) -> pl.Expr:
    """The ISO code of the province that an address begins with, after its postal code; null where it is not plain."""
    begin = column.str.replace(r"^[\s(\[]*[0-9-]{5,7}[\s)\]]*", "").str.strip_chars_start()
    result = pl.lit(None, dtype=pl.String)
    for code, names in PROVINCES.items():
        matches = pl.any_horizontal(*(begin.str.starts_with(name) for name in names))
        result = pl.when(matches).then(pl.lit(code)).otherwise(result)
    return result
