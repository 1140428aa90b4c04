"""Drafts: the files of suites that stewards edit, and which version of the book each was made from.

Beside `<event>.json` and `<event>.samples.json` stands `<event>.parent`, one line: the stamp of the version that the
draft was made from (`3+0f12ab34cd56`). The suite's own text is as the steward writes it.

The text is written before the line. A process that dies in between leaves a draft whose parent is an older one: it
cannot be submitted, and `rebase`, run again, comes to the same text.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from biokeel.errors import NotApproved, SuiteError
from biokeel.validate.lint import place_of
from biokeel.validate.samples import samples_path
from biokeel.validate.suites import read_text, suite_path

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from biokeel.contracts.topics import EventType
    from biokeel.rulebook.standing import Standing


@dataclass(frozen=True, slots=True)
class Draft:
    """A draft's text, the stamp of its parent (empty where none is noted), and its samples, where there are any."""

    text: str
    parent: str
    samples: str | None


class Rebased(NamedTuple):
    """A draft's text on top of another version; `conflicts` are rules that both changed: they are as in the draft."""

    text: str
    conflicts: tuple[str, ...]


def parent_path(root: Path, event: EventType) -> Path:
    """Where a draft's parent is noted, below the directory of suites."""
    return root / event.domain / f"{event.name}.parent"


def read_draft(root: Path, event: EventType) -> Draft:
    """The draft of `event` below `root`. Raises `SuiteError` where there is none."""
    noted, samples = parent_path(root, event), samples_path(root, event)
    return Draft(
        read_text(root, event),
        noted.read_text(encoding="utf-8").strip() if noted.is_file() else "",
        samples.read_text(encoding="utf-8") if samples.is_file() else None,
    )


def take_out(root: Path, event: EventType, standing: Standing, *, replace: bool = False) -> Path:
    """Write the version in force as the draft of `event`; the file to edit.

    Raises `NotApproved` where the file holds what no version says, unless that may be replaced.
    """
    path = suite_path(root, event)
    known = {page.version.submitted.suite for page in standing.chain.pages}
    if path.is_file() and not replace and read_text(root, event) not in known:
        raise NotApproved(
            f"{path} holds edits that no version has.",
            f"Submit them (after biokeel suite rebase {event}), or replace them with --replace.",
        )
    write_draft(root, event, standing, standing.page.version.submitted.suite)
    return path


def write_draft(root: Path, event: EventType, standing: Standing, text: str) -> None:
    """Write `text` as a draft that is made from the version in force."""
    path = suite_path(root, event)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        parent_path(root, event).write_text(standing.page.stamp + "\n", encoding="utf-8")
    except OSError as error:
        raise SuiteError(f"Cannot write the draft {path}: {error.strerror}.", "Set BIOKEEL_EXPECTATIONS_DIR.") from None


def rebase(draft: Draft, standing: Standing) -> Rebased:
    """`draft` on top of the version in force, rule by rule: what it changed against its parent, and all the rest anew.

    A draft without a known parent is taken for one of the first version. Raises `SuiteError` where it is not JSON.
    """
    pages = standing.chain.pages
    parent = next((page for page in pages if page.stamp == draft.parent), pages[0])
    base, mine, theirs = (
        _Parts.of(text) for text in (parent.version.submitted.suite, draft.text, standing.page.version.submitted.suite)
    )
    conflicts = tuple(
        rule
        for rule in {**mine.rules, **base.rules}
        if mine.rules.get(rule) != base.rules.get(rule)
        and theirs.rules.get(rule) not in (base.rules.get(rule), mine.rules.get(rule))
    )
    merged = dict(theirs.rules)
    for rule in base.rules:
        if rule not in mine.rules:
            merged.pop(rule, None)
    merged |= {rule: said for rule, said in mine.rules.items() if said != base.rules.get(rule)}
    document = theirs.document | {
        name: value for name, value in mine.document.items() if value != base.document.get(name)
    }
    document |= {"expectations": list(merged.values())}
    return Rebased(json.dumps(document, ensure_ascii=False, indent=2) + "\n", conflicts)


@dataclass(frozen=True, slots=True)
class _Parts:
    """A suite's document, and its expectations by rule id."""

    document: dict[str, Any]
    rules: dict[str, Any]

    @classmethod
    def of(cls, text: str) -> _Parts:
        try:
            document = json.loads(text)
            return cls(document, rules_of(document))
        except (ValueError, TypeError, AttributeError):
            raise SuiteError("The draft is no suite that can be read.", "See biokeel suite check.") from None


def rules_of(document: dict[str, Any]) -> dict[str, Any]:
    """The expectations of a suite's document by rule id, or by place where one has none."""
    expectations: Iterable[Any] = document.get("expectations", [])
    return {place_of(each, number): each for number, each in enumerate(expectations, start=1)}
