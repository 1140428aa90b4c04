"""FHIR references and fullUrls as R4 writes them (hl7.org/fhir/R4/references.html, bundle.html#references). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import orjson

from biokeel.source.adapters.base import Unusable
from biokeel.source.schemes import server_of

Resource: TypeAlias = dict[str, Any]
"""A FHIR resource as JSON has it; Any because it is whatever the file says."""

_ID: Final = r"[!-\".0->@-~$-,-]+"
"""More than R4 allows, and nothing that has two writings: plain characters other than `/`, `?` and `#`."""
_RESOURCE: Final = rf"(?P<kind>[A-Z][A-Za-z]*)/(?P<id>{_ID})(?:/_history/{_ID})?"
_IS_ID: Final = re.compile(_ID)
_RELATIVE: Final = re.compile(_RESOURCE)
_ABSOLUTE: Final = re.compile(rf"(?P<base>https?://[^?#\s]+)/{_RESOURCE}", re.IGNORECASE)
_OID: Final = re.compile(r"urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+")
_UUID: Final = "urn:uuid:"
_IS_UUID: Final = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NIL: Final = "00000000-0000-0000-0000-000000000000"
_POINTER: Final = re.compile(rb'"reference":"([Hh][Tt][Tt][Pp][^"\\]+)"')


@dataclass(frozen=True, slots=True, repr=False)
class Address:
    """Where a resource is: on a server (as `server_of` writes it, "" for one that nobody names), by type and id."""

    server: str
    kind: str
    id: str

    @property
    def key(self) -> str:
        """The address as one text, the same for all writings."""
        return f"{self.server}/{self.kind}/{self.id}" if self.server else f"{self.kind}/{self.id}"


def absolute(text: str) -> Address | None:
    """The address that an absolute RESTful URL names, whichever version it names; None for anything else."""
    found = _ABSOLUTE.fullmatch(text)
    server = server_of(found["base"]) if found else None
    return Address(server, found["kind"], found["id"]) if found and server else None


def relative(text: str, server: str) -> Address | None:
    """The address on `server` that a relative reference names, whichever version it names; None for anything else."""
    found = _RELATIVE.fullmatch(text)
    return Address(server, found["kind"], found["id"]) if found else None


def is_id(text: str) -> bool:
    """Whether `text` can be the id of a resource."""
    return _IS_ID.fullmatch(text) is not None


def global_name(name: str) -> str | None:
    """The UUID or OID that a fullUrl (as `label` writes it) is: nothing else in the world has it.

    None for a name of this file only.
    """
    if name.startswith(_UUID):
        uuid = name.removeprefix(_UUID)
        return uuid if _IS_UUID.fullmatch(uuid) and uuid != _NIL else None
    return name if _OID.fullmatch(name) else None


def label(url: str) -> str:
    """`url` as fullUrls and references are compared: UUIDs in lower case, a server's address in one writing."""
    if url[: len(_UUID)].lower() == _UUID:
        return url.lower()
    found = absolute(url)
    return found.key if found else url


def is_conditional(text: str) -> bool:
    """Whether a reference is a search, which another day finds somebody else."""
    return "?" in text


def pointed_at(document: Resource) -> Iterator[Address]:
    """The addresses of all absolute references in `document`, however deep. Raises `Unusable` where it is too deep.

    They are looked for in its JSON, written anew so that each has one writing: to walk through it takes ten times as
    long.
    """
    try:
        text = orjson.dumps(document)
    except TypeError:
        raise Unusable("is nested too deep") from None
    for found in set(_POINTER.findall(text)):
        if address := absolute(found.decode()):
            yield address


def has_absolute_reference(part: Any) -> bool:
    """Whether there is an absolute reference in a part of a resource. Raises `TypeError` where it is too deep."""
    return _POINTER.search(orjson.dumps(part)) is not None


def literal(reference: Any) -> str | None:
    """The text of a Reference; None where it has none. Raises `Unusable` where it is none at all."""
    if not isinstance(reference, dict):
        raise Unusable("a reference is no JSON object")
    text = reference.get("reference")
    if text is not None and (not isinstance(text, str) or not text):
        raise Unusable("a reference is no text")
    return text
