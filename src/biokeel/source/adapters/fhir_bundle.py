"""A FHIR file as a whole: which resource is which, what its references point at, and who its people are.

A resource is known by the server and the type/id of its fullUrl; by the UUID of a `urn:uuid:` fullUrl; without either
by its id, on the server that the file is of. A file is of the server that the source's table calls its own; else of
the one server that its fullUrls and its references to Patients name; else of one that nobody names. Where a file names
several, a bare id says nothing. The id of what a transaction creates (POST) is no id: its server will give it another.

What can mean two resources or two people is refused, never guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, NamedTuple

import orjson

from biokeel.source.adapters.base import Context, Report, Subject, Unusable, content_key, known_subject, subject_of
from biokeel.source.adapters.fhir_codes import is_of_laboratory
from biokeel.source.adapters.fhir_people import Numbers, Person, contradicts, message_of, numbers_of, person_of
from biokeel.source.adapters.fhir_references import (
    Address,
    Resource,
    absolute,
    global_name,
    is_conditional,
    is_id,
    label,
    literal,
    pointed_at,
    relative,
)
from biokeel.source.times import moment

REPEATED: Final = "Patient that the file holds in a newer version or once more"
_SEVERAL: Final = "the file speaks of several servers, and nothing says which of them is meant"
_LABORATORY_HOLDERS: Final = {"DiagnosticReport": "result", "Observation": "hasMember"}
"""Resources that hold results, and the element that does."""
_DEEPEST: Final = 8
"""Bundles in bundles that are read."""
_CREATING: Final = frozenset({"transaction", "batch"})
_PATIENT: Final = "Patient"


@dataclass(repr=False, eq=False)
class Entry:
    """A resource of the file and how it is known; `fault` says why it is not known at all.

    `server` is None where several are possible. `id` is None where no server has given one. `name` is a UUID or OID.
    """

    position: str
    resource: Resource
    kind: str
    label: str | None = None
    server: str | None = None
    id: str | None = None
    name: str | None = None
    at_own_url: bool = False
    fault: str = ""

    @cached_property
    def key(self) -> str:
        """What no other resource has: two entries with one key are two versions of one resource."""
        if self.name:
            return f"{self.kind}/{self.name}"
        if self.id and self.server is not None:
            return Address(self.server, self.kind, self.id).key
        if self.id:
            return _placeless(self.kind, self.id)
        try:
            return f"{self.kind}/{content_key(self.resource)}"
        except TypeError:  # Too deep to be written again; `Bundle.key` refuses it.
            return _placeless(self.kind, self.position)


@dataclass(frozen=True, slots=True)
class Deletion:
    """A resource that a history or a transaction takes away. `key` is None, and `fault` says why, for no known one.

    `at` is when (ms), None where that is not said. A history has the newest first: what stands before it is newer, and
    `overtaken` says that something does.
    """

    position: str
    kind: str
    key: str | None
    at: int | None
    fault: str = ""
    overtaken: bool = False


class Bundle:
    """The resources of one file: `resources` with their positions, in its order, and its `deletions`.

    `is_bundle` is false where it is one resource alone.
    """

    def __init__(
        self, entries: Sequence[Entry], *, is_history: bool, server: _Server, context: Context, is_bundle: bool
    ) -> None:
        self.is_bundle = is_bundle
        self._context = context
        self._server = server
        self._is_history = is_history
        self._entries = {id(entry.resource): entry for entry in entries}
        self._by_key: dict[str, list[Entry]] = {}
        self._by_label: dict[str, list[Entry]] = {}
        self._by_local_id: dict[tuple[str, str], list[Entry]] = {}
        for entry in entries:
            self._by_key.setdefault(entry.key, []).append(entry)
            if entry.label is not None:
                self._by_label.setdefault(entry.label, []).append(entry)
            if (local := _local_id(entry)) is not None:
                self._by_local_id.setdefault((entry.kind, local), []).append(entry)
        self._people: dict[str, Person | str] = {}
        self._claims: dict[str, str] = {}
        self.resources = [(entry.position, entry.resource) for entry in entries]
        self.deletions: list[Deletion] = []

    @classmethod
    def of(cls, document: Resource, context: Context, report: Report, place: str = "the resource") -> Bundle:
        """All resources of a bundle, or the one resource, which stands at `place` in its file.

        What is not sent of their people goes into `report`. Raises `Unusable` where the file is nested too deep.
        """
        if document["resourceType"] != "Bundle":
            return cls._of_one(document, context, report, place)
        written = [*_written(document, place)]
        entries = [_entry(each.position, each.entry, creates=each.creates) for each in written if each.is_resource]
        server = _Server(document, entries, context.schemes.own_server)
        for entry in entries:
            if entry.id is not None and not entry.at_own_url:
                entry.server = server()
        is_history = document.get("type") == "history"
        bundle = cls(entries, is_history=is_history, server=server, context=context, is_bundle=True)
        newer: set[str] = set()
        known = iter(entries)
        for each in written:
            if each.is_resource:
                newer.add(next(known).key)
            elif each.is_deletion:
                deletion = _deletion(each, server())
                overtaken = is_history and deletion.at is None and deletion.key in newer
                bundle.deletions.append(replace(deletion, overtaken=overtaken))
        for each in written:
            if not each.is_resource and not each.is_deletion:
                _note_empty(each, report)
        bundle._meet_people(report)
        return bundle

    @classmethod
    def _of_one(cls, resource: Resource, context: Context, report: Report, place: str) -> Bundle:
        entry = _entry(place, {"resource": resource}, creates=False)
        server = _Server(resource, (entry,), context.schemes.own_server)
        if entry.id is not None:
            entry.server = server()
        bundle = cls((entry,), is_history=False, server=server, context=context, is_bundle=False)
        if entry.kind == _PATIENT:
            bundle._meet_people(report)
        return bundle

    def key(self, resource: Resource) -> str:
        """The source's own key of `resource`, the same whenever the file is sent; two servers' records never share one.

        A resource without id and UUID is known by its person and content. Raises `Unusable` where `subject` does.
        """
        entry = self._entries[id(resource)]
        if entry.name or (entry.id and entry.server is not None):
            return entry.key
        own = f"{entry.kind}/{entry.id or content_key(resource)}"
        if entry.kind == _PATIENT and not entry.id:
            return own
        # Two people's files may hold the very same words, and two servers the very same id.
        subject = self.subject(resource)
        return f"{subject.scheme}/{subject.value}/{own}"

    def person(self, resource: Resource) -> Person:
        """Who the Patient `resource` is. Raises `Unusable` where that is not to be told."""
        return self._person(self._entries[id(resource)])

    def subject(self, resource: Resource) -> Subject:
        """Whom `resource` is about: one of the identifiers that the person's enrolment binds. Raises `Unusable`."""
        entry = self._entries[id(resource)]
        if entry.fault:
            raise Unusable(entry.fault)
        return self._person(entry).subject if entry.kind == _PATIENT else self._about(entry, resource.get("subject"))

    def subject_at(self, holder: Resource, reference: Any) -> Subject:
        """Whom a reference names that stands in `holder`, or in what it contains. Raises `Unusable`."""
        return self._about(self._entries[id(holder)], reference)

    @property
    def has_versions(self) -> bool:
        """Whether the bundle holds a resource more than once, or takes one away."""
        return bool(self.deletions) or len(self._by_key) < len(self._entries)

    def target(self, holder: Resource, reference: Any) -> Resource | None:
        """The resource that `reference` of `holder` points at: contained in it, or in the bundle; None if neither.

        Raises `Unusable` where two resources are meant.
        """
        text = literal(reference) if reference is not None else None
        found = self._resolve(self._entries[id(holder)], text) if text else None
        return found.resource if isinstance(found, Entry) else None

    def is_of_laboratory(self, resource: Resource) -> bool:
        """Whether a report or a panel of a laboratory in the file holds `resource` as one of its results."""
        return id(resource) in self._of_laboratory

    @cached_property
    def _of_laboratory(self) -> set[int]:
        """What the laboratory's reports and panels point at, and what these point at."""
        holders = [each for each in self._entries.values() if each.kind in _LABORATORY_HOLDERS]
        waiting = [each for each in holders if is_of_laboratory(each.resource)]
        found: set[int] = set()
        while waiting:
            holder = waiting.pop()
            references = holder.resource.get(_LABORATORY_HOLDERS[holder.kind])
            for reference in references if isinstance(references, list) else ():
                try:
                    member = self.target(holder.resource, reference)
                except Unusable:
                    continue
                entry = self._entries.get(id(member))
                if entry is not None and id(member) not in found and entry.kind == "Observation":
                    found.add(id(member))
                    waiting.append(entry)
        return found

    # -- references

    def _resolve(self, holder: Entry, text: str) -> Entry | Address | None:
        """What `text` points at: an entry (or a resource contained in `holder`), or an address outside the file."""
        if is_conditional(text):
            raise Unusable("a conditional reference: what it finds may change")
        if text.startswith("#"):
            return _contained(holder, text[1:])
        if ":" in text and (found := self._by_label.get(label(text))):
            return self._the_one(found)
        if address := absolute(text):
            known = self._by_key.get(address.key)
            return self._the_one(known) if known else self._elsewhere(address)
        named = relative(text, self._base_of(holder) or "")
        return self._relative(holder, named) if named else None

    def _elsewhere(self, address: Address) -> Address:
        """`address`, which is of no entry. Raises `Unusable` where an entry may be it whose server is not known."""
        if _placeless(address.kind, address.id) in self._by_key:
            raise Unusable(f"an entry has that id, and {_SEVERAL}")
        return address

    def _relative(self, holder: Entry, address: Address) -> Entry | Address:
        """What a relative reference means: a resource on the holder's server, in the file or not.

        An entry that only its fullUrl tells may have the same id and be another resource. R4 lets no relative reference
        mean it; many who write one mean it all the same.
        """
        if not holder.at_own_url:
            beside = self._by_local_id.get((address.kind, address.id), [])
            if any(entry.name != address.id for entry in beside):
                raise Unusable("a relative reference, and an entry with that id which only its fullUrl tells")
            if beside:
                return self._the_one(beside)
        if self._base_of(holder) is None:
            raise Unusable(f"a relative reference: {_SEVERAL}")
        found = self._by_key.get(address.key)
        return self._the_one(found) if found else self._elsewhere(address)

    def _base_of(self, holder: Entry) -> str | None:
        return holder.server if holder.at_own_url else self._server()

    def _the_one(self, entries: Iterable[Entry]) -> Entry:
        found = {entry.key: entry for entry in entries}
        if len(found) > 1:
            raise Unusable("a reference that matches two different resources")
        return self._newest(next(iter(found)))

    def _newest(self, key: str) -> Entry:
        """The version of a resource that counts. Raises `Unusable` where nothing says which of two it is."""
        versions = self._by_key[key]
        first = versions[0]
        if first.fault:
            raise Unusable(first.fault)
        others = [each for each in versions[1:] if _content(each) != _content(first)]
        if not others:
            return first
        clash = Unusable(f"two different resources under one id: {first.position} and {others[0].position}")
        if any(each.at_own_url != first.at_own_url for each in others):
            raise clash
        times = {at.at: each for each in (first, *others) if (at := moment(_meta(each, "lastUpdated"), None))}
        if len(times) == len(others) + 1:
            return times[max(times)]
        if self._is_history:  # R4 wants the newest first.
            return first
        raise clash

    # -- people

    def _meet_people(self, report: Report) -> None:
        """Tell who each Patient is, and refuse those who claim one another's identifiers."""
        spare = set()
        numbers: dict[str, Numbers] = {}
        for key, versions in self._by_key.items():
            if versions[0].kind != _PATIENT:
                continue
            try:
                newest = self._newest(key)
                numbers[key] = numbers_of(newest.resource.get("identifier"), self._context.schemes)
            except Unusable as fault:
                self._people[key] = str(fault)
                continue
            spare |= {id(each.resource) for each in versions if each is not newest}
            for what in numbers[key].left_out.elements():
                report.leave_out(newest.position, what)
            for fault_of_number in numbers[key].faults:
                report.problem(newest.position, f"{_PATIENT}: {fault_of_number}; it is not sent")
            self._people[key] = self._told(newest, numbers[key].subjects)
        if spare:
            for position, each in self.resources:
                if id(each) in spare:
                    report.leave_out(position, REPEATED)
            self.resources = [(position, each) for position, each in self.resources if id(each) not in spare]
        self._refuse_shared({key: each.subjects for key, each in numbers.items()})

    def _told(self, entry: Entry, numbers: list[Subject]) -> Person | str:
        try:
            own = self._own(entry)
        except Unusable as fault:
            if not numbers:
                return str(fault)
            own = None
        try:
            return person_of(numbers, own)
        except Unusable as fault:
            return str(fault)

    def _own(self, entry: Entry) -> Subject | None:
        """The identifier of a Patient that is no number of the person's: a server's id, or the UUID of its fullUrl."""
        schemes, site = self._context.schemes, self._context.site
        if entry.name:
            return subject_of(schemes.of_server("", site), entry.name, "fullUrl")
        if entry.id is None:
            return None
        if entry.server is None:
            raise Unusable(_SEVERAL)
        return subject_of(schemes.of_server(entry.server, site), entry.id, "id")

    def _refuse_shared(self, numbers: dict[str, list[Subject]]) -> None:
        owners: dict[str, list[str]] = {}
        for key, subjects in numbers.items():
            for subject in subjects:
                owners.setdefault(message_of(subject), []).append(key)
        for message, keys in owners.items():
            self._claims[message] = keys[0]
            if len(keys) > 1:
                places = ", ".join(self._by_key[key][0].position for key in keys)
                for key in keys:
                    self._people[key] = f"one identifier is claimed by different Patients: {places}"

    def _person(self, entry: Entry) -> Person:
        if entry.fault:
            raise Unusable(entry.fault)
        if entry.kind != _PATIENT:
            raise Unusable("subject is no Patient")
        found = self._people[entry.key]
        if isinstance(found, str):
            raise Unusable(found)
        return found

    def _about(self, holder: Entry, reference: Any) -> Subject:
        """The subject that a Reference names, literally, by an identifier, or both."""
        if not reference:
            raise Unusable("no subject")
        text = literal(reference)
        kind = reference.get("type")
        if kind is not None and str(kind).rsplit("/", 1)[-1] != _PATIENT:
            raise Unusable("subject is no Patient")
        identifier = reference.get("identifier")
        said = numbers_of([identifier], self._context.schemes) if identifier else Numbers()
        if text is None:
            if not identifier:
                raise Unusable("no subject")
            return self._by_numbers(said, "subject.identifier")
        found = self._resolve(holder, text)
        if found is None:
            raise Unusable("subject " + ("points at nothing in the file" if ":" in text else "is no reference of R4"))
        if isinstance(found, Address):
            if found.kind != _PATIENT:
                raise Unusable("subject is no Patient")
            return self._outside(found, said)
        if found.kind != _PATIENT:
            raise Unusable("subject is no Patient")
        if text.startswith("#"):
            within = numbers_of(found.resource.get("identifier"), self._context.schemes)
            within.subjects += said.subjects
            return self._by_numbers(within, "the contained Patient")
        person = self._person(found)
        if said.subjects and contradicts(person, said.subjects):
            raise Unusable("subject.reference and subject.identifier are two people")
        return person.subject

    def _by_numbers(self, said: Numbers, where: str) -> Subject:
        """The person of the file that has these numbers; a person who is not in the file is the first of them."""
        if not said.subjects:
            none = "has no identifier that the identifier table maps"
            raise Unusable(f"{where}: {said.faults[0]}" if said.faults else f"{where} {none}")
        owners = {key for each in said.subjects if (key := self._claims.get(message_of(each))) is not None}
        if len(owners) > 1:
            raise Unusable(f"{where} has identifiers of different Patients")
        if not owners:
            return said.subjects[0]
        person = self._person(self._newest(owners.pop()))
        if contradicts(person, said.subjects):
            raise Unusable(f"{where} has identifiers of different Patients")
        return person.subject

    def _outside(self, address: Address, said: Numbers) -> Subject:
        """A Patient who is not in the file: by number where the reference has one, else by the server's id."""
        if said.subjects:
            return self._by_numbers(said, "subject.identifier")
        return known_subject(self._context.schemes.of_server(address.server, self._context.site), address.id, "subject")


def _entry(position: str, entry: dict[str, Any], *, creates: bool) -> Entry:
    """`entry` as it is known by itself, before the file's own server is known."""
    resource: Resource = entry["resource"]
    kind = str(resource.get("resourceType", "?"))
    full_url, given = entry.get("fullUrl"), resource.get("id")
    if (full_url is not None and not isinstance(full_url, str)) or (given is not None and not isinstance(given, str)):
        return Entry(position, resource, kind, fault="id or fullUrl is no text")
    if given and not is_id(given):
        return Entry(position, resource, kind, fault="id is no id of FHIR")
    request = entry.get("request")
    method = request.get("method") if isinstance(request, dict) else None
    named = label(full_url) if full_url and ":" in full_url else None
    address = absolute(full_url) if full_url and named and not named.startswith("urn:") else None
    if address is not None:
        if address.kind != kind or given not in {None, address.id}:
            return Entry(position, resource, kind, fault="fullUrl is the address of another resource")
        return Entry(position, resource, kind, address.key, address.server, address.id, at_own_url=True)
    name = global_name(named or "")
    if method == "PUT":
        written = relative(str(request.get("url")), "") if isinstance(request, dict) else None
        at = written.id if written and written.kind == kind else None
        if at is not None and given not in {None, at}:
            return Entry(position, resource, kind, fault="request.url is the address of another resource")
        if at is not None:
            return Entry(position, resource, kind, named, id=at)
    if name:
        return Entry(position, resource, kind, named, name=name)
    return Entry(position, resource, kind, named, id=None if creates and method == "POST" else given or None)


class _Server:
    """The server of what names none itself, found out when somebody asks: it takes a look at the whole file."""

    def __init__(self, document: Resource, entries: Sequence[Entry], own: str) -> None:
        self._file = (document, entries, own)
        self._found: list[str | None] = []

    def __call__(self) -> str | None:
        if not self._found:
            self._found.append(_server_of_file(*self._file))
        return self._found[0]


class _Written(NamedTuple):
    """One entry as it is written, its place, and whether its bundle creates what it posts."""

    position: str
    entry: dict[str, Any]
    creates: bool

    @property
    def is_resource(self) -> bool:
        return isinstance(self.entry.get("resource"), dict)

    @property
    def is_deletion(self) -> bool:
        request = self.entry.get("request")
        return isinstance(request, dict) and request.get("method") == "DELETE" and not self.is_resource


def _written(bundle: Resource, place: str, depth: int = 0) -> Iterator[_Written]:
    """The entries of a bundle and of the bundles in it, as a batch answers a search with one. Raises `Unusable`."""
    if not isinstance(bundle.get("type"), str):
        raise Unusable("is a FHIR bundle without a type, which R4 requires")
    entries = bundle.get("entry", [])
    if not isinstance(entries, list):
        raise Unusable("is a FHIR bundle whose entry is no list")
    if depth > _DEEPEST:
        raise Unusable("is nested too deep")
    before = "" if place == "the resource" else f"{place}, "
    for index, entry in enumerate(entries):
        position = f"{before}entry {index}"
        if not isinstance(entry, dict):
            yield _Written(position, {}, creates=False)
            continue
        resource = entry.get("resource")
        if isinstance(resource, dict) and resource.get("resourceType") == "Bundle":
            yield from _written(resource, position, depth + 1)
        else:
            yield _Written(position, entry, creates=bundle["type"] in _CREATING)


def _note_empty(written: _Written, report: Report) -> None:
    """Count an entry without a resource; where it is the answer that there is an error, it is a problem."""
    response = written.entry.get("response")
    status = response.get("status") if isinstance(response, dict) else None
    if isinstance(status, str) and status[:1] in {"4", "5"}:
        report.problem(written.position, "Bundle: the server answered with an error, so what was asked for is not here")
    else:
        report.leave_out(written.position, "entry without a resource")


def _deletion(written: _Written, server: str | None) -> Deletion:
    """What an entry takes away: the resource of its fullUrl, else the one that its request names."""
    entry = written.entry
    full_url, url = entry.get("fullUrl"), entry["request"].get("url")
    address = absolute(full_url) if isinstance(full_url, str) else None
    if address is None and isinstance(url, str):
        address = absolute(url) or relative(url, server or "")
    response = entry.get("response")
    at = moment(response.get("lastModified") if isinstance(response, dict) else None, None)
    if address is None:
        return Deletion(written.position, "?", None, None, "a deletion of what no URL names")
    if not address.server and server is None:
        return Deletion(written.position, address.kind, None, None, f"a deletion: {_SEVERAL}")
    return Deletion(written.position, address.kind, address.key, at.at if at else None)


def _placeless(kind: str, name: str) -> str:
    """The key of an entry that is known within the file only."""
    return f"{kind}/?/{name}"


def _server_of_file(document: Resource, entries: Sequence[Entry], own: str) -> str | None:
    """The server of what names none itself; "" for one that nobody names, None where it may be one of several."""
    if own:
        return own
    at_urls = {entry.server for entry in entries if entry.at_own_url}
    pointed = list(pointed_at(document))
    of_people = at_urls | {found.server for found in pointed if found.kind == _PATIENT}
    named = of_people | {found.server for found in pointed}
    if not of_people:
        return ""
    return named.pop() if len(named) == 1 else None


def _contained(holder: Entry, name: str) -> Entry:
    parts = holder.resource.get("contained")
    found = [part for part in parts or [] if isinstance(part, dict) and part.get("id") == name]
    if len(found) != 1:
        raise Unusable("a reference that matches " + ("two contained resources" if found else "nothing contained"))
    return Entry(holder.position, found[0], str(found[0].get("resourceType", "?")))


def _local_id(entry: Entry) -> str | None:
    """The id of a resource that is known otherwise: it tells it from others of the file only."""
    found = entry.resource.get("id") if entry.name or entry.id is None else None
    return found if isinstance(found, str) else None


def _content(entry: Entry) -> bytes:
    """The resource in one writing. Raises `Unusable` where it is nested too deep."""
    try:
        return orjson.dumps(entry.resource, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        raise Unusable("it is nested too deep") from None


def _meta(entry: Entry, name: str) -> object:
    meta = entry.resource.get("meta")
    return meta.get(name) if isinstance(meta, dict) else None
