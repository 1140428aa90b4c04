"""FHIR references and fullUrls as R4 writes them (hl7.org/fhir/R4/references.html, bundle.html#references). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from uuid import UUID

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


def global_name(full_url: str) -> str | None:
    """The UUID or OID that a `urn:` fullUrl is: nothing else in the world has it. None for a name of this file only."""
    if full_url.startswith(_UUID):
        try:
            uuid = UUID(full_url.removeprefix(_UUID))
        except ValueError:
            return None
        return str(uuid) if uuid.int else None
    return full_url if _OID.fullmatch(full_url) else None


def label(url: str) -> str:
    """`url` as fullUrls and references are compared: UUIDs in lower case, a server's address in one writing."""
    if found := absolute(url):
        return found.key
    return url.lower() if url[: len(_UUID)].lower() == _UUID else url


def is_conditional(text: str) -> bool:
    """Whether a reference is a search, which another day finds somebody else."""
    return "?" in text


def references_in(resource: Resource) -> Iterator[str]:
    """Every literal reference in `resource`, however deep."""
    waiting: list[Any] = [resource]
    while waiting:
        for name, value in _parts(waiting.pop()):
            if isinstance(value, dict | list):
                waiting.append(value)
            elif name == "reference" and isinstance(value, str):
                yield value


def _parts(node: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        yield from node.items()
    else:
        yield from (("", part) for part in node)


def literal(reference: Any) -> str | None:
    """The text of a Reference; None where it has none. Raises `Unusable` where it is none at all."""
    if not isinstance(reference, dict):
        raise Unusable("a reference is no JSON object")
    text = reference.get("reference")
    if text is not None and (not isinstance(text, str) or not text):
        raise Unusable("a reference is no text")
    return text
