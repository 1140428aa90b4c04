"""What is wrong with a mapping file is told with its line, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from biokeel.errors import AdapterError
from biokeel.source.mappings.library import SHIPPED
from biokeel.source.mappings.load import Schemas, load_mapping, parse_mapping
from biokeel.source.mappings.model import Mapping

GOOD = """\
name: t
columns:
  id: id
  who: who
  when: when
  value: value
subject: {scheme: hospital, column: who}
record_key: id
events:
  - event: clinical.glucose
    fields:
      occurred_at: {column: when}
      code: {constant: 2339-0}
      value: {column: value, unit: mg/dL}
      status: {constant: final}
"""


def faults(text: str, schemas: Schemas) -> list[str]:
    found = parse_mapping(text, "m.yaml", schemas)
    return [] if isinstance(found, Mapping) else [str(each) for each in found]


def test_the_good_one_is_good(schemas: Schemas) -> None:
    assert faults(GOOD, schemas) == []


@pytest.mark.parametrize(
    ("old", "new", "line", "word"),
    [
        ("clinical.glucose", "clinical.gluccose", 10, "no event type"),
        ("status: {constant: final}", "statuus: {constant: final}", 15, "no field statuus"),
        ("status: {constant: final}", "specimen: {constant: blood}", 11, "wants status"),
        ("unit: mg/dL", "unit: mg/kg", 14, "mg/kg is no unit"),
        ("unit: mg/dL", "formats: iso", 14, "the unit of value is not said"),
        ("constant: final", "constant: finished", 15, "form"),
        ("constant: 2339-0", "constant: 2339-1", 13, "form"),
        ("{column: value,", "{column: valu,", 14, "valu stands not under columns"),
        ("column: who}", "column: whom}", 7, "whom"),
        ("record_key: id\n", "", 8, "record_key is missing"),
        ("record_key: id", "record_key: nr", 8, "nr"),
        ("  value: value", "  value: when", 6, "under two names"),
        ("record_key: id", "record_key: id\ntimes: {zone: Mars}", 9, "zone"),
        ("record_key: id", 'record_key: id\ntimes: {formats: "%d/%m/%y"}', 9, "%Y"),
        ("record_key: id", 'record_key: id\ntimes: {formats: ["%d/%m/%Y", "%m/%d/%Y"]}', 9, "both ways"),
        ("record_key: id", "record_key: id\nfile: {decimal: ',', grouping: ','}", 9, "same sign"),
        ("record_key: id", "record_key: id\ncolour: red", 9, "colour is no key"),
        ("record_key: id", "record_key: id\nleave_out: [{when: {who: 7}, why: seven}]", 9, "quotation marks"),
        (
            "record_key: id",
            "record_key: id\nleave_out:\n  - {when: {who: {code: icd-11}}, why: none}",
            10,
            "code system",
        ),
        ("record_key: id", "record_key: id\nleave_out:\n  - {when: {who: {matches: '('}}, why: none}", 10, "regular"),
        ("name: t", 'name: "?"', 1, "still to be decided"),
        ("unit: mg/dL", 'unit: "TODO which?"', 14, "still to be decided"),
        ("{scheme: hospital, column: who}", "{column: who}", 7, "scheme"),
        ("{constant: final}", "{constant: final, column: who}", 15, "one of"),
        ("name: t", "name: t\nname: u", 2, "no YAML"),
        ("name: t", "name: [t", 2, "no YAML"),
        ("occurred_at: {column: when}", "occurred_at: {column: when}\n      event_id: {column: id}", 13, "itself"),
    ],
)
def test_a_fault_is_told_with_its_line(schemas: Schemas, old: str, new: str, line: int, word: str) -> None:
    assert old in GOOD
    found = faults(GOOD.replace(old, new), schemas)
    assert found, "it is refused"
    assert any(word in fault and f"m.yaml, line {line}:" in fault for fault in found), found


def test_two_events_of_one_type_need_names(schemas: Schemas) -> None:
    again = GOOD + GOOD[GOOD.index("  - event") :]
    assert any("more than once" in fault for fault in faults(again, schemas))


def test_all_faults_of_a_file_are_told_at_once_and_name_the_file(schemas: Schemas, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(GOOD.replace("2339-0", "2339-1").replace("unit: mg/dL", "unit: mg/kg"))
    with pytest.raises(AdapterError) as told:
        load_mapping(path, schemas)
    assert str(told.value).count("own.yaml, line") == 2
    with pytest.raises(AdapterError, match="Cannot read"):
        load_mapping(tmp_path / "none.yaml", schemas)


def test_an_unknown_field_in_any_shipped_mapping_is_found(schemas: Schemas) -> None:
    for path in SHIPPED.glob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        if "      occurred_at:" in text:
            assert any(
                "no field" in fault for fault in faults(text.replace("  occurred_at:", "  happened_at:"), schemas)
            )
