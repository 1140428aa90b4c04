"""docs/mapping.md is run: its example is read, and each key of a mapping file stands in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from biokeel.settings import PROJECT_ROOT
from biokeel.source.mappings.load import Schemas
from biokeel.source.mappings.model import Mapping
from biokeel.source.mappings.run import Table
from tests.source.mappings.conftest import mapping_of, read_table

PAGE = (PROJECT_ROOT / "docs" / "mapping.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


def test_the_example_becomes_what_the_page_says(schemas: Schemas, tmp_path: Path) -> None:
    path = tmp_path / "lab.csv"
    path.write_text(block("csv"), encoding="utf-8")
    found = read_table(Table(mapping_of(block("yaml"), schemas), schemas), path)
    glucose = found.frames["clinical.glucose"].row(0, named=True)
    assert (glucose["value"], glucose["value_unit"], glucose["occurred_offset_minutes"]) == (98.5, "mg/dL", 120)
    lab = found.frames["clinical.lab_result"].row(0, named=True)
    assert (lab["code"], lab["value"], lab["subject_id"]) == ("2160-0", 0.9, "P-17")
    assert dict(found.report.left_out) == {"a comment": 1}
    assert ("line 5", "no event of the mapping is for such a line") in found.problems
    assert found.frames["clinical.glucose"].select("value", "comparator").rows() == [(98.5, None), (20.0, "<")]
    assert found.frames["clinical.glucose"]["occurred_precision"].to_list() == ["minute", "minute"]


@pytest.mark.parametrize("key", Mapping.model_fields)
def test_every_key_of_a_mapping_stands_in_the_page(key: str) -> None:
    assert f"`{key}`" in PAGE
