"""Whatever the envelope, the documents within are the same; and what is not well formed is refused with its place."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from biokeel.errors import AdapterError
from biokeel.source.adapters import envelope
from biokeel.source.adapters.base import Report
from biokeel.source.adapters.envelope import Shape, documents, open_text, peek, read_json
from biokeel.source.adapters.strict_json import BadJson, loads, twins

KOREAN = [{"환자": "홍길동", "메모": "검사 결과 정상"}, {"환자": "김영희", "수": 2}]

keys = st.text('abcd:\\"\n가', min_size=1, max_size=4)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | keys,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(keys, values, min_size=1, max_size=4)


def written(found: list[dict[str, Any]], shape: Shape, *, indent: int | None = None) -> str:
    if shape is Shape.LINES:
        return "".join(json.dumps(each, ensure_ascii=False) + "\n\n" for each in found)
    return json.dumps(found if shape is Shape.ARRAY else found[0], ensure_ascii=False, indent=indent)


def read(path: Path) -> tuple[list[dict[str, Any]], Report]:
    report = Report()
    return [document for _, document in documents(path, report)], report


@given(st.lists(objects, min_size=2, max_size=4), st.sampled_from(Shape), st.booleans(), st.booleans(), st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_envelope_changes_no_document(
    tmp_path: Path, found: list[dict[str, Any]], shape: Shape, packed: bool, streamed: bool, data: st.DataObject
) -> None:
    if shape is Shape.OTHER:
        return
    text = written(found, shape, indent=data.draw(st.sampled_from([None, 1])))
    encoding = data.draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]))
    content = text.encode(encoding)
    path = tmp_path / ("a.json.gz" if packed else "a.json")
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(envelope, "WHOLE_BYTES", 0 if streamed else 1 << 20)
        envelope._peek.cache_clear()
        envelope._read_whole.cache_clear()
        read_again, report = read(path)
    assert read_again == (found if shape is not Shape.OBJECT else found[:1])
    assert not report.problems


@pytest.mark.parametrize("shape", [Shape.ARRAY, Shape.LINES])
@pytest.mark.parametrize("encoding", ["cp949", "euc-kr", "utf-16", "utf-8-sig"])
def test_korean_text_is_read_in_each_encoding_that_korea_uses(tmp_path: Path, shape: Shape, encoding: str) -> None:
    path = tmp_path / "k.json"
    path.write_bytes(written(KOREAN, shape).encode(encoding))
    assert read(path)[0] == KOREAN
    with open_text(path) as text:
        assert text.read() == written(KOREAN, shape)


def test_korean_text_far_behind_the_beginning_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "k.ndjson"
    lines = [json.dumps({"a": "b" * 1000}).encode()] * 3000 + [
        json.dumps(KOREAN[0], ensure_ascii=False).encode("cp949")
    ]
    path.write_bytes(b"\n".join(lines))
    assert read(path)[0][-1] == KOREAN[0]


@pytest.mark.parametrize("text", ["Müller", "Äpfel, Ärzte", "Žižka €", "résumé çà et là"])
def test_what_is_not_korean_is_not_taken_for_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "w.json"
    path.write_bytes(json.dumps({"a": text}, ensure_ascii=False).encode("cp1252", "ignore"))
    with pytest.raises(AdapterError, match="encoding that nothing tells"):
        read(path)


def test_a_declared_encoding_is_believed(tmp_path: Path) -> None:
    path = tmp_path / "w.json"
    path.write_bytes(json.dumps({"a": "Müller"}, ensure_ascii=False).encode("latin-1"))
    assert [each for _, each in documents(path, Report(), "latin-1")] == [{"a": "Müller"}]


@pytest.mark.parametrize("first", ['{"resourceType": "Pat', '"resourceType": "Patient"}', "{'a': 1}", "nonsense"])
@pytest.mark.parametrize("name", ["a.ndjson", "a.json", "a.txt"])
def test_a_first_record_that_is_broken_is_a_problem_and_the_file_is_still_lines(
    tmp_path: Path, first: str, name: str
) -> None:
    path = tmp_path / name
    path.write_text(f'{first}\n{{"a": 1}}\n{{"a": 2}}\n')
    found, report = read(path)
    assert found == [{"a": 1}, {"a": 2}]
    assert [problem.position for problem in report.problems] == ["line 1"]


def test_an_object_that_is_written_over_lines_is_one_object(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"entry": [\n{"a": 1}\n]}')
    assert peek(path).shape is Shape.OBJECT
    assert read(path)[0] == [{"entry": [{"a": 1}]}]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"a": NaN}', "no JSON: unexpected character, expected a JSON value"),
        ('{"a": 1e999}', "no JSON: number is infinity when parsed as double"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', 'no JSON: the key "c" stands twice in one object'),
        ('{"a": ' + "[" * 500 + "]" * 500 + "}", "no JSON: it is nested too deep"),
        ('{"a": ' + "[" * 9000, "no JSON: it is nested too deep"),
        ("[1]", "no JSON object"),
        ('{"a": 1', "no JSON: unexpected end of data"),
    ],
)
def test_a_line_that_is_not_well_formed_costs_itself_only(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "a.ndjson"
    path.write_text(f'{{"a": 1}}\n\n{line}\n{{"a": 2}}')
    found, report = read(path)
    assert found == [{"a": 1}, {"a": 2}]
    assert [(problem.position, problem.reason) for problem in report.problems] == [("line 3", reason)]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("element", "reason"),
    [
        ('{"b": [{"c": 1, "c": 2}]}', 'the key "c" stands twice in one object'),
        ("[1]", "no JSON object"),
        ("7", "no JSON object"),
    ],
)
def test_an_element_that_is_not_well_formed_costs_itself_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, element: str, reason: str, streamed: bool
) -> None:
    monkeypatch.setattr(envelope, "WHOLE_BYTES", 0 if streamed else 1 << 20)
    path = tmp_path / "a.json"
    path.write_text(f'[{{"a": 1}},\n{element}, {{"a": 2}}]')
    found, report = read(path)
    assert found == [{"a": 1}, {"a": 2}]
    ((position, said),) = [(problem.position, problem.reason) for problem in report.problems]
    assert position.startswith("entry 1")
    assert said == reason


def test_a_key_that_stands_twice_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"a": 1,\n "b": {"status": 1,\n "status": 2}}')
    with pytest.raises(AdapterError, match=r'"status" stands twice in one object: line 3'):
        read_json(path)


def test_a_key_that_is_no_field_s_name_is_not_quoted(tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson"
    path.write_text('{"800203-2000009": 1, "800203-2000009": 2}\n')
    _, report = read(path)
    assert [each.reason for each in report.problems] == [
        'no JSON: the key "(not a field\'s name)" stands twice in one object'
    ]


@st.composite
def texts(draw: st.DrawFn) -> str:
    """JSON whose objects may hold a key twice, in any writing."""
    some = st.one_of(keys, st.integers().map(str))

    def value(depth: int) -> str:
        kind = draw(st.sampled_from("vvao")) if depth < 3 else "v"
        if kind == "v":
            return json.dumps(draw(some), ensure_ascii=draw(st.booleans()))
        if kind == "a":
            return "[" + ",".join(value(depth + 1) for _ in range(draw(st.integers(0, 3)))) + "]"
        members = []
        for _ in range(draw(st.integers(0, 3))):
            name = json.dumps(draw(keys)).replace(":", draw(st.sampled_from([":", "\\u003a"])))
            members.append(name + draw(st.sampled_from([":", " : ", "\n:"])) + value(depth + 1))
        return "{" + ",".join(members) + "}"

    return value(0)


@given(texts())
def test_every_key_that_stands_twice_is_found_and_no_other(text: str) -> None:
    doubled = []

    def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
        doubled.append(len(members) != len(dict(members)))
        return dict(members)

    plain = json.loads(text, object_pairs_hook=pairs)
    assert bool(list(twins(text.encode()))) == any(doubled)
    if any(doubled):
        with pytest.raises(BadJson, match="stands twice"):
            loads(text.encode())
    else:
        assert loads(text.encode()) == plain


def bomb(size: int) -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    return b"".join([packer.compress(b" " * (1 << 20)) for _ in range(size >> 20)]) + packer.flush()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lambda: bomb(100 << 20), "unpacks to more than 400 times its size"),
        (lambda: gzip.compress(b'{"a": 1}\n' * 9000)[:-9], "cut short"),
        (lambda: gzip.compress(b'{"a": 1}\n' * 9000)[:-3] + b"xyz", "damaged gzip file"),
        (lambda: gzip.compress(b'{"a": 1}\n')[:-4], "cut short"),
    ],
)
def test_an_archive_that_is_damaged_or_a_bomb_is_refused(
    tmp_path: Path, content: Callable[[], bytes], reason: str
) -> None:
    path = tmp_path / "a.ndjson.gz"
    path.write_bytes(content())
    with pytest.raises(AdapterError, match=reason):
        read(path)


def test_a_small_archive_of_a_long_array_is_read_in_a_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envelope, "WHOLE_BYTES", 100_000)
    monkeypatch.setattr(envelope, "MOST_BYTES", 200_000)
    path = tmp_path / "a.json.gz"
    path.write_bytes(gzip.compress(json.dumps([{"a": number} for number in range(50_000)]).encode()))
    assert path.stat().st_size < 200_000
    assert read(path)[0] == [{"a": number} for number in range(50_000)]


def test_one_object_that_is_too_long_is_refused_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(envelope, "MOST_BYTES", 1_000)
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"a": "b" * 2_000}))
    with pytest.raises(AdapterError, match="Write a record a line"):
        read(path)


def test_lines_are_read_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson"
    path.write_text((json.dumps({"a": "b" * 2_000}) + "\n") * 30_000)
    tracemalloc.start()
    try:
        assert sum(1 for _ in documents(path, Report())) == 30_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert path.stat().st_size > 60e6
    assert peak < 10e6


def test_an_archive_of_several_members_is_one_file(tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson.gz"
    path.write_bytes(gzip.compress(b'{"a": 1}\n{"a"') + gzip.compress(b": 2}\n") + b"\x00" * 512)
    assert read(path)[0] == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize("name", ["a.ndjson", "a.ndjson.gz", "a.json"])
def test_progress_is_told_in_bytes_of_the_file_as_it_lies(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    content = b'{"a": 1}\n' * 300_000 if "nd" in name else b'{"a": [1, 2]}'
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    told: list[int] = []
    for _ in documents(path, Report(bytes_read=told.append)):
        pass
    assert sum(told) == path.stat().st_size
