"""The evolution gate: which changes of a schema it lets through, and why it refuses the others.

Schemas change while events of every older version lie in topics and sources of every older version go on sending. So
a change must be readable both ways: new code reads old events (backward), old code reads new ones (forward). And it
must not weaken what a field promises: its unit, its doc, its privacy tag. A form may take in more (a value set that
grows, a wider range), never less, since sources go on sending what they were promised would be kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from biokeel.contracts.columns import is_nullable, named_types, without_null
from biokeel.contracts.forms import FORM, RANGE, read_form, read_range
from biokeel.contracts.resolve import PROMOTIONS, bare
from biokeel.contracts.schema import Tag

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

STRENGTH: Final = {Tag.NONE: 0, Tag.QUASI: 1, Tag.FREE_TEXT: 2, Tag.LINK: 3, Tag.DIRECT: 3}
"""How strictly each tag protects a field; a field's tag may not move to a weaker one."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One reason to refuse a change: where in the schema, what is wrong, what to do instead."""

    where: str
    what: str
    todo: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what} {self.todo}"


def refusals(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Refusal]:
    """Every reason to refuse that the Avro record `new` follows `old`; none if the change may pass."""
    if (old["name"], old.get("namespace")) != (new["name"], new.get("namespace")):
        return [Refusal(str(old["name"]), "the record has another name.", "Keep its name and namespace.")]
    return [*_promises(old, new, ""), *_unreadable(old, new, "", "backward"), *_unreadable(new, old, "", "forward")]


def _promises(old: Mapping[str, Any], new: Mapping[str, Any], path: str) -> Iterator[Refusal]:
    """What fields promise to people: docs, units and tags."""
    before = {field["name"]: field for field in old["fields"]}
    for field in new["fields"]:
        where = path + field["name"]
        known = before.get(field["name"])
        if not field.get("doc"):
            yield Refusal(where, "no doc.", "Say what the field holds, with its unit.")
        if not field.get("confluent:tags") and (known is None or known.get("confluent:tags")):
            yield Refusal(where, "no privacy tag.", f"Set confluent:tags to one of {', '.join(Tag)}.")
        if known is None:
            continue
        if field.get("unit") != known.get("unit"):
            units = f"from {known.get('unit')} to {field.get('unit')}"
            yield Refusal(where, f"the unit changes {units}.", "Add a field with the new unit beside it.")
        if _weaker(known, field):
            yield Refusal(where, "the privacy tag is weakened.", "The privacy officer must decide; add a new field.")
        yield from _narrower(known, field, where)
        inner_old, inner_new = _record(known["type"]), _record(field["type"])
        if inner_old and inner_new:
            yield from _promises(inner_old, inner_new, where + ".")


def _narrower(old: Mapping[str, Any], new: Mapping[str, Any], where: str) -> Iterator[Refusal]:
    """A form or a range under which true values of before would be withheld, or that is gone."""
    todo = "Let it take in what it did, and more if need be; or add a field beside it."
    if FORM in old and (FORM not in new or not read_form(new[FORM], where).takes_in(read_form(old[FORM], where))):
        yield Refusal(where, f"{FORM} is gone, or does not take in all that it did.", todo)
    if RANGE in old:
        before, after = (
            read_range(each[RANGE], times=isinstance(each[RANGE][0], str), where=where) if RANGE in each else None
            for each in (old, new)
        )
        if before is not None and (after is None or not after.takes_in(before)):
            yield Refusal(where, f"{RANGE} is gone, or narrower than it was.", todo)


def _weaker(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    before, after = (
        max((STRENGTH[Tag(tag)] for tag in field.get("confluent:tags", ()) if tag in set(Tag)), default=0)
        for field in (old, new)
    )
    coarsened = old.get("biokeel:coarsen")
    return after < before or (coarsened is not None and new.get("biokeel:coarsen") not in (coarsened, "drop", None))


def _unreadable(writer: Any, reader: Any, path: str, direction: str) -> Iterator[Refusal]:
    """Why an event written with the record `writer` might not be readable with `reader`."""
    written = {field["name"]: field for field in writer["fields"]}
    for field in reader["fields"]:
        where = path + field["name"]
        names = (field["name"], *field.get("aliases", ()))
        source = next((written[name] for name in names if name in written), None)
        if source is not None:
            yield from _unreadable_type(source["type"], field["type"], where, direction)
        elif "default" not in field:
            if direction == "backward":
                yield Refusal(where, "not backward compatible: a new field without a default.", "Give it a default.")
            else:
                todo = "Keep it, or give it a default one version earlier."
                yield Refusal(where, "not forward compatible: a field without a default is gone.", todo)


def _unreadable_type(writer: Any, reader: Any, where: str, direction: str) -> Iterator[Refusal]:
    old, new = without_null(writer), without_null(reader)
    if is_nullable(writer) and not is_nullable(reader):
        yield Refusal(where, f"not {direction} compatible: it may be null on one side only.", "Add a new field.")
    elif isinstance(old, dict) and isinstance(new, dict) and old["type"] == new["type"]:
        yield from _unreadable_parts(old, new, where, direction)
    elif bare(old) != bare(new) and not _promoted(old, new):
        yield Refusal(where, f"not {direction} compatible: its type changes.", "Add a field with the new type.")


def _unreadable_parts(old: Any, new: Any, where: str, direction: str) -> Iterator[Refusal]:
    kind = old["type"]
    if kind == "record" and old["name"] == new["name"]:
        yield from _unreadable(old, new, where + ".", direction)
    elif kind in ("array", "map"):
        part = "items" if kind == "array" else "values"
        yield from _unreadable_type(old[part], new[part], where, direction)
    elif kind == "enum" and old["name"] == new["name"] and set(old["symbols"]) <= {*new["symbols"]}:
        return
    elif bare(old) != bare(new):
        yield Refusal(where, f"not {direction} compatible: its type changes.", "Add a field with the new type.")


def _promoted(old: Any, new: Any) -> bool:
    return isinstance(old, str) and isinstance(new, str) and (old, new) in PROMOTIONS


def _record(avro: Any) -> Mapping[str, Any] | None:
    """The first record inside a field's type, if there is one."""
    records = [kind for kind in named_types(without_null(avro)).values() if kind["type"] == "record"]
    return records[0] if records else None
