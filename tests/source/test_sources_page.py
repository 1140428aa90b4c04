"""What the page for sources shows about who is whom is what happens."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from biokeel.settings import PROJECT_ROOT
from biokeel.source.adapters.base import Context, Report
from biokeel.source.adapters.fhir import read_fhir
from biokeel.source.adapters.fhir_people import NOT_MAPPED
from biokeel.source.schemes import load_schemes


@pytest.fixture(scope="module")
def section() -> str:
    page = (PROJECT_ROOT / "docs" / "sources.md").read_text(encoding="utf-8")
    return page.split("## Who is whom", 1)[1].split("\n## ", 1)[0]


def block(section: str, language: str) -> str:
    return re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)[0]


def test_the_example_gives_what_the_page_says(section: str, context: Context, tmp_path: Path) -> None:
    (tmp_path / "identifiers.toml").write_text(block(section, "toml"), "utf-8")
    (tmp_path / "bundle.json").write_text(block(section, "json"), "utf-8")
    site = replace(context, site="seoul-1", subject=None, schemes=load_schemes(tmp_path / "identifiers.toml"))
    report = Report()
    rows = [row for event, rows, _ in read_fhir(tmp_path / "bundle.json", site, report) for row in shown(event, rows)]
    promised = re.findall(
        r"^\| entry \d+ \| `([\w.]+)` \| `(.*?)` (\S+) \|(?: `(.*?)` (\S+))? \|$", section, re.MULTILINE
    )
    assert rows == promised
    assert report.left_out == {NOT_MAPPED: 1}
    ((place, reason),) = [(problem.position, problem.reason) for problem in report.problems]
    assert place == "entry 3"
    assert f"`{reason}`" in section.replace("\n", " ")


def shown(event: Any, rows: Any) -> list[tuple[str, ...]]:
    found = []
    for row in rows:
        further = [(each["scheme"], each["value"]) for each in row.get("identifiers", [])] or [("", "")]
        found.append((str(event), row["subject_scheme"], row["subject_id"], *further[0]))
    return found


def test_every_key_of_the_table_is_explained(section: str) -> None:
    from biokeel.source.schemes import _Table

    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == set(_Table.model_fields)
