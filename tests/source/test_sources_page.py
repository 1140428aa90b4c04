"""What the page for sources shows is what happens: every example of it is run, here or where `ELSEWHERE` says."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from biokeel.cli import build
from biokeel.cli.publish import FILES
from biokeel.settings import PROJECT_ROOT
from biokeel.source.adapters.base import Context, Report
from biokeel.source.adapters.fhir import read_fhir
from biokeel.source.adapters.fhir_people import NOT_MAPPED
from biokeel.source.schemes import load_schemes

PAGE = (PROJECT_ROOT / "docs" / "sources.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
ELSEWHERE = frozenset({"python", "java"})
"""Languages whose blocks run as they stand in test_sdk_kafka.py and test_foreign_clients.py."""


@pytest.fixture(scope="module")
def section() -> str:
    return PAGE.split("## Who is whom", 1)[1].split("\n## ", 1)[0]


def commands() -> list[str]:
    """The command lines of the page, in blocks and in running text, without their remarks."""
    in_blocks = [line.partition("#")[0].strip() for kind, text in BLOCKS if not kind for line in text.splitlines()]
    in_text = re.findall(r"`(biokeel [a-z][^`]*)`", PAGE)
    return list(dict.fromkeys(line for line in (*in_blocks, *in_text) if line))


def test_every_block_of_the_page_is_of_a_kind_that_some_test_runs() -> None:
    assert {kind for kind, _ in BLOCKS} == {"", "json", "toml", *ELSEWHERE}
    assert all(line.startswith("biokeel ") for kind, text in BLOCKS if not kind for line in text.splitlines())


@pytest.fixture
def exports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place to stand with a folder of every file that the page shows, `hospital-a.toml` and `identifiers.toml`."""
    (tmp_path / "exports").mkdir()
    for number, (kind, text) in enumerate(BLOCKS):
        if kind == "json":
            (tmp_path / "exports" / f"{number}.json").write_text(text, "utf-8")
        if kind == "toml":
            (tmp_path / "identifiers.toml").write_text(text, "utf-8")
    shutil.copy(PROJECT_ROOT / "tests" / "sources" / "hospital-a.toml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BIOKEEL_STATE_DIR", str(tmp_path / "state"))
    return tmp_path


def reads_files(line: str) -> bool:
    # What is noted is what Kafka has: tests/integration/test_institutions.py runs those lines.
    on_kafka = "publish genome" in line or "--submission" in line
    return line.startswith(("biokeel publish", "biokeel source dry-run")) and not on_kafka


@pytest.mark.parametrize("line", list(filter(reads_files, commands())))
def test_a_command_of_the_page_that_reads_files_reads_those_of_the_page(exports: Path, line: str) -> None:
    words = shlex.split(line)[1:]
    words += [] if "dry-run" in line else ["--dry-run"]
    words += [] if "exports/" in words else ["exports/"]
    words += [] if "--source" in line else ["--source-id", "hospital-a"]
    result = CliRunner(env={"COLUMNS": "200"}).invoke(build(), words)
    assert result.exit_code == 2, result.output
    assert "a conditional reference" in result.output, "the one problem, of entry 3"
    assert "clinical.glucose" in result.output


@pytest.mark.parametrize("line", [line for line in commands() if not reads_files(line)])
def test_the_words_of_every_other_command_are_known(line: str) -> None:
    words = shlex.split(line)[1:]
    command: Any = get_command(build())  # Typer's own kind of command, or of group
    while hasattr(command, "commands"):
        # `publish FILES` is the command of its group that has no name.
        command = command.commands[words.pop(0) if words[0] in command.commands else FILES]
    known = {option for each in command.params for option in (*each.opts, *each.secondary_opts)}
    assert {word for word in words if word.startswith("--")} <= known


def test_a_ready_record_of_the_page_is_one_event(exports: Path) -> None:
    (text,) = [text for kind, text in BLOCKS if kind == "json" and '"record_key"' in text]
    (exports / "records.jsonl").write_text(text * 2, "utf-8")
    words = ["publish", "records.jsonl", "--source-id", "hospital-a", "--dry-run", "--report", "json"]
    result = CliRunner().invoke(build(), words)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["events"] == {"clinical.glucose": 2}


def test_every_key_of_the_report_is_explained(exports: Path) -> None:
    words = ["publish", "exports/", "--source-id", "hospital-a", "--dry-run", "--report", "json"]
    found = json.loads(CliRunner().invoke(build(), words).stdout)
    table = PAGE.split("`--report json` prints", 1)[1].split("\n### ", 1)[0]
    assert set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)))) == set(found)


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
