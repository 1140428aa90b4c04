"""A mapping file into a `Mapping`, or everything that is wrong with it: file, line, what, and what to do.

A scalar `?`, or one that begins with TODO, is a question that nobody has answered yet: such a file is refused.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from collections.abc import Mapping as AnyMapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from biokeel.contracts.compatibility import Refusal
from biokeel.contracts.schema import EventSchema
from biokeel.contracts.topics import EventType
from biokeel.errors import AdapterError
from biokeel.source.mappings.contract import held_against
from biokeel.source.mappings.model import Mapping

UNDECIDED: Final = "?"
TODO: Final = "TODO"
LARGEST: Final = 1 << 20
"""Bytes of the largest mapping file."""

Schemas = AnyMapping[EventType, EventSchema]
Place = tuple[str | int, ...]


def load_mapping(path: Path, schemas: Schemas) -> Mapping:
    """The mapping in `path`. Raises `AdapterError` naming every fault with its line."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise AdapterError(f"Cannot read {path}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise AdapterError(f"{path} is no text in UTF-8.", "Save it as UTF-8.") from None
    found = parse_mapping(text, str(path), schemas)
    if isinstance(found, Mapping):
        return found
    raise AdapterError(f"The mapping cannot be used. {' '.join(map(str, found))}", "docs/mapping.md explains the file.")


def parse_mapping(text: str, where: str, schemas: Schemas) -> Mapping | list[Refusal]:
    """The mapping that `text` is, or everything that is wrong with it; `where` says whose text it is."""
    if len(text) > LARGEST:
        return [Refusal(where, "it is larger than a mapping file can be.", "Name the mapping file.")]
    try:
        tree = YAML(typ="rt", pure=True).load(io.StringIO(text))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"{where}, line {mark.line + 1}" if mark else where
        return [Refusal(line, f"it is no YAML ({error.problem or 'structure'}).", "Mind colons, quotes and indents.")]
    except (YAMLError, ValueError, RecursionError):
        return [Refusal(where, "it is no YAML.", "Mind colons, quotes and indents.")]
    if not isinstance(tree, CommentedMap):
        return [Refusal(where, "it is no mapping file.", "Begin with `name: ...`; see docs/mapping.md.")]
    open_questions = [
        Refusal(f"{where}, line {_line(tree, place)}", f"{_path(place)} is still to be decided.", "Decide it.")
        for place in _undecided(tree, ())
    ]
    if open_questions:
        return open_questions
    try:
        mapping = Mapping.model_validate(_plain(tree))
    except ValidationError as error:
        return [_fault(where, tree, fault) for fault in error.errors(include_input=False, include_url=False)]
    faults = held_against(mapping, schemas)
    if faults:
        return [Refusal(f"{where}, line {_line(tree, place)}", what, todo) for place, what, todo in faults]
    return mapping


def _fault(where: str, tree: CommentedMap, fault: Any) -> Refusal:
    """One of pydantic's errors in our words; Any because its type is a TypedDict of a private module."""
    kind, place = fault["type"], tuple(fault["loc"])
    at = f"{where}, line {_line(tree, place)}"
    name = _path(_known(tree, place) or place)
    if kind == "extra_forbidden":
        return Refusal(at, f"{_path(place)} is no key of a mapping file.", "docs/mapping.md lists the keys.")
    if kind == "missing":
        return Refusal(at, f"{_path(place)} is missing.", "docs/mapping.md has an example.")
    if kind == "string_type":
        return Refusal(at, f"{name} is no text.", "Put it in quotation marks.")
    why = str(fault["ctx"]["error"]) if kind == "value_error" else fault["msg"]
    return Refusal(at, f"{name}: {why}.", "docs/mapping.md explains it.")


def _known(tree: Any, place: Place) -> Place:
    """As much of `place` as there is in `tree`: pydantic adds names of its own for unions and keys."""
    known: list[str | int] = []
    for step in place:
        if (isinstance(tree, CommentedMap) and step in tree) or (
            isinstance(tree, CommentedSeq) and isinstance(step, int) and step < len(tree)
        ):
            tree = tree[step]
        elif known and step in ("[key]", known[-1]):
            continue
        else:
            break
        known.append(step)
    return tuple(known)


def _line(tree: Any, place: Place) -> int:
    """The line in which the last known step of `place` stands."""
    line = int(tree.lc.line) + 1
    for step in _known(tree, place):
        keyed = isinstance(tree, CommentedMap)
        positions = tree.lc.data or {}
        if step in positions:
            line = int(positions[step][0]) + 1
        tree = tree[step]
        if not keyed and isinstance(tree, CommentedMap | CommentedSeq):
            line = int(tree.lc.line) + 1
    return line


def _path(place: Iterable[str | int]) -> str:
    """A place for people: `events 2, fields, value`; items are counted from 1."""
    words: list[str] = []
    for step in place:
        if isinstance(step, int) and words:
            words[-1] += f" {step + 1}"
        else:
            words.append(str(step))
    return ", ".join(words)


def _undecided(tree: Any, place: Place) -> Iterable[Place]:
    if isinstance(tree, CommentedMap):
        for key, value in tree.items():
            if _is_question(key):
                yield (*place, key)
            yield from _undecided(value, (*place, key))
    elif isinstance(tree, CommentedSeq):
        for index, value in enumerate(tree):
            yield from _undecided(value, (*place, index))
    elif _is_question(tree):
        yield place


def _is_question(value: object) -> bool:
    return isinstance(value, str) and (value.strip() == UNDECIDED or value.startswith(TODO))


def _plain(tree: Any) -> Any:
    """The tree in Python's own types, which strict models want."""
    if isinstance(tree, CommentedMap):
        return {str(key) if isinstance(key, str) else key: _plain(value) for key, value in tree.items()}
    if isinstance(tree, CommentedSeq):
        return [_plain(value) for value in tree]
    for kind in (bool, int, float, str):
        if isinstance(tree, kind):
            return kind(tree)
    return tree
