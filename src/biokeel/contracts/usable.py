"""Whether events that were written with somebody's schema can be read into ours.

A registry holds what any client registered. Such a schema needs no doc, tag or form: it only says how its events are
written. But it must be Avro, it must not let a few bytes stand for a value without end, and what our schema needs must
be in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import fastavro

from biokeel.contracts.columns import is_nullable, without_null
from biokeel.contracts.resolve import PROMOTIONS
from biokeel.errors import UnusableSchema

if TYPE_CHECKING:
    from collections.abc import Mapping

_DEEPEST: Final = 32
_PRIMITIVES: Final = frozenset({"boolean", "int", "long", "float", "double", "bytes", "string"})


def require_usable(avro: Any, reader: Mapping[str, Any]) -> None:
    """Raises `UnusableSchema` if events written with `avro` cannot be read into the record `reader`.

    What it says names fields of `reader` only: a foreign field's name may be anything.
    """
    try:
        parsed = fastavro.parse_schema(avro)
        _require_finite(parsed, ())
        _require_fields(parsed, reader)
    except UnusableSchema:
        raise
    except Exception:  # noqa: BLE001 - fastavro raises whatever the text leads it to; the text is at fault
        raise UnusableSchema("it is no Avro schema") from None


def _require_finite(avro: Any, outer: tuple[str, ...]) -> None:
    """Refuse what nests without end or very deep, and a value of no bytes, of which there may be billions.

    `outer` are the names of the types around, of those without one their kind.
    """
    if len(outer) > _DEEPEST:
        raise UnusableSchema("its types nest too deep")
    if isinstance(avro, list):
        for branch in avro:
            if branch != "null":
                _require_finite(branch, outer)
    elif isinstance(avro, str):
        if avro in outer:
            raise UnusableSchema("a type holds itself")
        if avro == "null":
            raise UnusableSchema("a value takes no bytes")
    elif avro["type"] == "record":
        if not avro["fields"]:
            raise UnusableSchema("a value takes no bytes")
        for field in avro["fields"]:
            _require_finite(field["type"], (*outer, avro["name"]))
    elif avro["type"] in ("array", "map"):
        _require_finite(avro["items" if avro["type"] == "array" else "values"], (*outer, avro["type"]))
    elif avro["type"] == "fixed" and avro["size"] < 1:
        raise UnusableSchema("a value takes no bytes")


def _require_fields(writer: Any, reader: Mapping[str, Any]) -> None:
    """Refuse what Avro cannot resolve whatever an event holds, and what would read a number in another unit."""
    if not isinstance(writer, dict) or writer["type"] != "record":
        raise UnusableSchema("it is no record")
    if writer["name"].rpartition(".")[2] != reader["name"].rpartition(".")[2]:
        raise UnusableSchema("the record has another name")
    written = {field["name"]: field for field in writer["fields"]}
    if len(written) < len(writer["fields"]):
        raise UnusableSchema("it has a field twice")
    for field in reader["fields"]:
        names = (field["name"], *field.get("aliases", ()))
        source = next((written[name] for name in names if name in written), None)
        if source is None:
            if "default" not in field:
                raise UnusableSchema(f"{field['name']} is missing")
        elif not _may_match(source["type"], field["type"]):
            raise UnusableSchema(f"{field['name']} has another type")
        elif source.get("unit", field.get("unit")) != field.get("unit"):
            raise UnusableSchema(f"{field['name']} has another unit")


def _may_match(writer: Any, reader: Any) -> bool:
    """Whether some value of the type `writer` can be read as `reader`; whether each can, its datum tells."""
    if is_nullable(writer) and is_nullable(reader) and writer in (["null"], "null"):
        return True
    old, new = without_null(writer), without_null(reader)
    if isinstance(old, list):
        return any(_may_match(branch, new) for branch in old if branch != "null")
    kinds = _kind(old), _kind(new)
    # A type by its name is one that stands further up: its datum tells.
    known = kinds[0] in _PRIMITIVES or isinstance(old, dict)
    return not known or (_logical(old, new) and (kinds[0] == kinds[1] or kinds in PROMOTIONS))


def _kind(avro: Any) -> str:
    return str(avro["type"]) if isinstance(avro, dict) else str(avro)


def _logical(writer: Any, reader: Any) -> bool:
    """Whether the types mean the same; one without a meaning of its own is taken for what ours says."""
    names = [avro.get("logicalType") if isinstance(avro, dict) else None for avro in (writer, reader)]
    return names[0] is None or names[0] == names[1]
