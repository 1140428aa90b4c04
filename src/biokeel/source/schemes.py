"""Which numbers are which subject scheme: the table that a source keeps of its identifier systems and FHIR servers.

A number alone is nobody: `4002` of one numbering system, of another, and as a server's own id are three people. So
each system and each server has a scheme of its own; only the source knows which, and says so in a small file, TOML or
JSON (`publish --identifiers`, `BIOKEEL_IDENTIFIERS`):

```toml
own_server = "https://emr.seoul-1.example/fhir"     # whose the resources are that name no server

[systems]                                           # Identifier.system, best known first
"urn:oid:1.2.410.100110.9.1" = "hospital/seoul-1"
"https://mois.example/rrn" = "KR_RRN"

[types]                                             # where an identifier names no system of the table
NNKOR = "KR_RRN"

[servers]
"https://emr.seoul-1.example/fhir" = "hospital/seoul-1-emr"
```

A scheme stands once; `shared = ["KR_RRN"]` names those that several systems, or several servers, do share.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from biokeel.contracts.grammars import SUBJECT_SCHEME
from biokeel.contracts.sources import DIGEST_CHARACTERS, SITE_CHARACTERS
from biokeel.errors import SettingsError
from biokeel.vault.identifiers import REGISTRATION_SCHEMES

_PORTS: Final = {"http": 80, "https": 443}
_PRIVATE: Final = re.compile(r"[\s?#@]")

_SCHEMES: Final = "KR_RRN, KR_FRN, hospital/<site>, sample/<centre> or app/<vendor>"


def server_of(url: str) -> str | None:
    """The service base `url` in one writing, None where it is none.

    Host in lower case, no default port, no slash at the end; `http` and `https` of one address are one server.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme.lower() not in _PORTS or not parts.hostname or _PRIVATE.search(url):
        return None
    shown = "" if port in {None, _PORTS[parts.scheme.lower()]} else f":{port}"
    return f"https://{parts.hostname}{shown}{parts.path.rstrip('/')}"


Scheme = Annotated[str, StringConstraints(pattern=SUBJECT_SCHEME)]
System = Annotated[str, StringConstraints(pattern=r"^\S+$")]


class _Table(BaseModel):
    """The file, key by key."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    own_server: str | None = None
    shared: list[Scheme] = Field(default_factory=list)
    systems: dict[System, Scheme] = Field(default_factory=dict)
    types: dict[Literal["NNKOR"], Literal["KR_RRN", "KR_FRN"]] = Field(default_factory=dict)
    servers: dict[str, Scheme] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Schemes:
    """The table; the empty one where the source keeps none. Systems stand in the order in which they are preferred."""

    systems: dict[str, str] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    servers: dict[str, str] = field(default_factory=dict)
    own_server: str = ""

    def ranked(self) -> tuple[str, ...]:
        """The schemes of persons' numbers, the one that is preferred as a subject first."""
        return tuple(dict.fromkeys([*self.systems.values(), *self.types.values()]))

    def of_server(self, server: str, site: str) -> str:
        """The scheme of the ids that `server` (as `server_of` writes it, "" for one that nobody names) gives.

        Where the table does not name the server it is made from `site` and the server's digest. A server that nobody
        names has the site's own scheme, unless the table gives that to somebody else.
        """
        if server in self.servers:
            return self.servers[server]
        plain = f"hospital/{site}"
        if not server and plain not in {*self.systems.values(), *self.servers.values()}:
            return plain
        return f"hospital/{site[:SITE_CHARACTERS]}.{sha256(server.encode()).hexdigest()[:DIGEST_CHARACTERS]}"


def load_schemes(path: Path | None) -> Schemes:
    """The table in `path`, the empty one for None. Raises `SettingsError` naming file and key, never what it holds."""
    if path is None:
        return Schemes()
    try:
        table = _Table.model_validate(_read(path))
    except ValidationError as error:
        raise _refused(path, _faults(error)) from None
    if faults := [*_no_servers(table), *_shared_unsaid(table)]:
        raise _refused(path, faults)
    servers = {server_of(url) or "": scheme for url, scheme in table.servers.items()}
    return Schemes(
        table.systems,
        {str(code): scheme for code, scheme in table.types.items()},
        servers,
        server_of(table.own_server or "") or "",
    )


def _read(path: Path) -> Any:
    """What TOML or JSON says; a key that stands twice is refused, because only one of the two would count."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise SettingsError(f"Cannot read the identifier table {path}: {reason}.") from None
    try:
        if text.lstrip().startswith("{"):
            return json.loads(text, object_pairs_hook=_once)
        return tomllib.loads(text)
    except json.JSONDecodeError as error:
        raise _refused(path, [f"line {error.lineno} is no JSON"]) from None
    except tomllib.TOMLDecodeError as error:
        # Its message may quote the line; the place stands in brackets at its end.
        place = re.search(r"\(at ([^()]+)\)$", str(error))
        raise _refused(path, [f"{place[1] if place else 'it'} is no TOML, or a key stands twice"]) from None
    except KeyError as error:
        raise _refused(path, [f"key {error.args[0]} stands twice"]) from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    for key, count in Counter(key for key, _ in pairs).items():
        if count > 1:
            raise KeyError(key)
    return dict(pairs)


def _faults(error: ValidationError) -> Iterable[str]:
    for fault in error.errors(include_input=False, include_url=False):
        key = ".".join(str(part) for part in fault["loc"] if part != "[key]")
        what = {
            "extra_forbidden": "is no key of this table",
            "string_pattern_mismatch": "is no URI" if "[key]" in fault["loc"] else f"wants a scheme ({_SCHEMES})",
            "literal_error": "is not to be had: a type names no numbering system, but for NNKOR, which is KR_RRN",
        }
        yield f"{key} {what.get(fault['type'], 'has not the right type')}"


def _no_servers(table: _Table) -> Iterable[str]:
    addresses = {f"servers.{url}": server_of(url) for url in table.servers}
    writings = Counter(addresses.values())
    if table.own_server is not None:
        addresses["own_server"] = server_of(table.own_server)
    for key, server in addresses.items():
        if server is None:
            yield f"{key} is no http or https address of a FHIR server"
        elif writings[server] > 1 and key != "own_server":
            yield f"{key} is the same server as another key, written otherwise"


def _shared_unsaid(table: _Table) -> Iterable[str]:
    """What would put two people's numbers into one scheme without the file saying that it is meant."""
    systems, servers = Counter(table.systems.values()), Counter(table.servers.values())
    for key, scheme in table.servers.items():
        if scheme in REGISTRATION_SCHEMES or scheme in systems:
            yield f"servers.{key} has the scheme of people's numbers; a server's ids are a scheme of their own"
    for group, counts, entries in (("systems", systems, table.systems), ("servers", servers, table.servers)):
        for key, scheme in entries.items():
            if counts[scheme] > 1 and scheme not in table.shared:
                yield f"{group}.{key} has the scheme of another; if the two are one, name it under shared"


def _refused(path: Path, faults: Iterable[str]) -> SettingsError:
    return SettingsError(
        f"The identifier table {path} cannot be used: {'; '.join(faults)}.", "docs/sources.md says what it may hold."
    )
