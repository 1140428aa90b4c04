"""The table of identifier systems and FHIR servers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biokeel.errors import SettingsError
from biokeel.source.schemes import Schemes, load_schemes, server_of
from biokeel.vault.identifiers import SCHEME_PATTERN

TABLE = """
own_server = "https://EMR.example/fhir/"
[systems]
"urn:oid:1.2" = "hospital/one"
"https://numbers.example/rrn" = "KR_RRN"
[types]
NNKOR = "KR_RRN"
[servers]
"http://emr.example/fhir" = "hospital/one-emr"
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "identifiers.toml"
    path.write_text(text, "utf-8")
    return path


def test_toml_and_json_say_the_same(tmp_path: Path) -> None:
    import tomllib

    toml = load_schemes(written(tmp_path, TABLE))
    assert load_schemes(written(tmp_path, json.dumps(tomllib.loads(TABLE)))) == toml
    assert toml.own_server == "https://emr.example/fhir"
    assert toml.ranked() == ("hospital/one", "KR_RRN")
    assert toml.of_server("https://emr.example/fhir", "one") == "hospital/one-emr"


def test_no_file_is_the_empty_table() -> None:
    assert load_schemes(None) == Schemes()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('[system]\n"urn:a" = "hospital/one"', "system is no key"),
        ('[systems]\n"urn:a" = "clinic/secret"', "systems.urn:a wants a scheme"),
        ('[systems]\n"urn:a" = 7', "systems.urn:a has not the right type"),
        ('[systems]\n"" = "hospital/one"', "is no URI"),
        ('[types]\nMR = "hospital/one"', "types.MR"),
        ('[types]\nNNKOR = "hospital/one"', "types.NNKOR"),
        ('[servers]\n"emr.example" = "hospital/one"', "servers.emr.example is no http"),
        ('[servers]\n"https://a/f" = "hospital/a"\n"http://a/f/" = "hospital/b"', "same server"),
        ('own_server = "urn:oid:1.2"', "own_server is no http"),
        ('[systems]\n"urn:a" = "hospital/one"\n"urn:b" = "hospital/one"', "systems.urn:b has the scheme of another"),
        ('[servers]\n"https://a/f" = "hospital/a"\n"https://b/f" = "hospital/a"', "servers.https://b/f has the scheme"),
        (
            'shared = ["hospital/a"]\n[systems]\n"urn:a" = "hospital/a"\n[servers]\n"https://a/f" = "hospital/a"',
            "people",
        ),
        ('[servers]\n"https://a/f" = "KR_RRN"', "people's numbers"),
        ('[systems]\n"urn:a" = "hospital/one"\n"urn:a" = "hospital/two"', "stands twice"),
        ('{"systems": {"urn:a": "hospital/one", "urn:a": "hospital/two"}}', "key urn:a stands twice"),
        ("{", "line 1 is no JSON"),
        ("systems", "no TOML"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused_with_file_and_key(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(SettingsError, match=re.escape("identifiers.toml")) as caught:
        load_schemes(written(tmp_path, text))
    assert fault in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_table_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        load_schemes(tmp_path / "gone.toml")
    (tmp_path / "t.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="UTF-8"):
        load_schemes(tmp_path / "t.toml")


def test_a_scheme_may_stand_twice_where_the_file_says_that_it_is_shared(tmp_path: Path) -> None:
    text = 'shared = ["KR_RRN"]\n[systems]\n"urn:a" = "KR_RRN"\n"urn:b" = "KR_RRN"'
    assert load_schemes(written(tmp_path, text)).ranked() == ("KR_RRN",)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://A.example/fhir", "https://a.example/fhir/"),
        ("http://a.example/fhir", "https://a.example:443/fhir"),
        ("http://a.example:80/fhir", "https://a.example/fhir"),
    ],
)
def test_two_writings_of_a_base_are_one_server(one: str, other: str) -> None:
    assert server_of(one) == server_of(other) is not None


def test_path_and_port_tell_servers_apart() -> None:
    bases = [
        "https://a/fhir",
        "https://a/FHIR",
        "https://a:8443/fhir",
        "https://a",
        "https://b/fhir",
        "http://a:443/fhir",
    ]
    assert len({server_of(base) for base in bases}) == len(bases)
    assert [server_of(base) for base in ("ftp://a/f", "https:///f", "https://a:x/f", "https://u@a/f", "a/f")] == [
        None
    ] * 5


@given(st.from_regex(r"[a-z0-9][a-z0-9.-]{0,47}", fullmatch=True), st.sampled_from(["", "https://a/f", "https://b/f"]))
def test_the_scheme_of_a_server_has_the_form_of_schemes_and_is_no_other_servers(site: str, server: str) -> None:
    taken = Schemes(systems={"urn:a": f"hospital/{site}"})
    for table in (Schemes(), taken):
        scheme = table.of_server(server, site)
        assert re.fullmatch(SCHEME_PATTERN, scheme)
        assert len({table.of_server(other, site) for other in ("", "https://a/f", "https://b/f")}) == 3
    assert taken.of_server("", site) != f"hospital/{site}", "a server's ids are no hospital numbers"
