"""The documentation names everything that a user may meet."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from biokeel.cli import build
from biokeel.contracts.document import forms_of
from biokeel.contracts.schema import load_schemas
from biokeel.reasons import Reason
from biokeel.settings import PROJECT_ROOT, Settings
from tests.event_types import EVENTS

DOCS = PROJECT_ROOT / "docs"


def text(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def command_paths(command: object, prefix: str = "biokeel") -> list[str]:
    children = getattr(command, "commands", None)
    if not children:
        return [prefix]
    return [path for name, child in children.items() for path in command_paths(child, f"{prefix} {name}")]


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_stands_in_the_page_for_sources_with_its_owner_and_meaning(reason: Reason) -> None:
    row = f"| `{reason}` | {reason.owner} | {reason.meaning} |"
    assert row in text("sources.md")


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_stands_in_the_page_for_operators(name: str) -> None:
    field = Settings.model_fields[name]
    assert f"`BIOKEEL_{name.upper()}`" in text("operations.md")
    assert str(field.description) in text("operations.md")


@pytest.mark.parametrize("event", EVENTS, ids=str)
def test_every_event_type_stands_in_the_page_for_sources(event: object) -> None:
    assert f"`{event}`" in text("sources.md")


def test_every_command_stands_in_the_reference_of_commands() -> None:
    reference = text("commands.md")
    missing = [path for path in command_paths(typer.main.get_command(build())) if f"`{path}" not in reference]
    assert not missing


def test_every_relative_link_leads_to_a_file() -> None:
    pages = [PROJECT_ROOT / "README.md", *DOCS.rglob("*.md")]
    broken = [
        f"{page.name}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]
    assert not broken


def test_every_page_that_code_names_is_there() -> None:
    code = [*(PROJECT_ROOT / "src").rglob("*.py"), *(PROJECT_ROOT / "bench").rglob("*.py")]
    named = {page for file in code for page in re.findall(r"docs/[\w./-]+\.md", file.read_text(encoding="utf-8"))}
    assert len(named) > 10
    assert [page for page in sorted(named) if not (PROJECT_ROOT / page).is_file()] == []


def test_no_page_names_a_host_of_a_registry_or_a_folder_of_some_machine() -> None:
    pages = [path for path in PROJECT_ROOT.rglob("*.md") if ".venv" not in path.parts]
    told = re.compile(r"pypi\.org|repo1?\.maven|files\.pythonhosted|/work/|/root/|/home/")
    assert not [str(page) for page in pages if told.search(Path(page).read_text(encoding="utf-8"))]


def test_the_page_about_privacy_says_of_every_field_what_may_cross() -> None:
    assert forms_of(load_schemas(PROJECT_ROOT / "schemas").values()) in text("privacy.md")
