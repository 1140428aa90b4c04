"""The contracts as a table for people: what of each field may cross the privacy wall."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from biokeel.contracts.forms import Values
from biokeel.contracts.schema import Coarsening, Tag

if TYPE_CHECKING:
    from collections.abc import Iterable

    from biokeel.contracts.schema import EventSchema, Field

_MOST_WORDS: Final = 20
"""Words of a closed set that are all named; of a longer one the first few."""


def forms_of(schemas: Iterable[EventSchema]) -> str:
    """A Markdown table of every payload field of `schemas`: tag, and what may cross."""
    head = ("| field | tag | what may cross |", "| --- | --- | --- |")
    rows = (
        f"| `{schema.event}.{field.name}` | `{field.tag}` | {_crosses(field)} |"
        for schema in schemas
        for field in schema.payload
    )
    return "\n".join((*head, *rows)) + "\n"


def _crosses(field: Field) -> str:
    if field.tag is Tag.NONE:
        return _kept(field)
    coarse = {Coarsening.YEAR: "its year", Coarsening.PROVINCE: "its province"}
    return coarse.get(field.coarsen, "nothing") if field.coarsen is not None else "nothing"


def _kept(field: Field) -> str:
    form = field.form
    if isinstance(form, Values):
        words = form.values if len(form.values) <= _MOST_WORDS else form.values[:8]
        more = f" … {len(form.values)} in all" if len(words) < len(form.values) else ""
        return f"a {form.meaning}: {', '.join(f'`{_cell(word)}`' for word in words)}{more}"
    if form is not None:
        return form.meaning
    unit = f" {field.unit}" if field.is_number and field.unit and field.unit != "1" else ""
    return f"{field.demand}{unit}".replace(" see ", ", in the unit of ") if field.demand else "true or false"


def _cell(word: str) -> str:
    return word.replace("|", "\\|")
