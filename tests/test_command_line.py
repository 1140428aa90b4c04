"""What the command says when something goes wrong that nobody foresaw."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
import typer

from biokeel import cli
from biokeel.settings import PROJECT_ROOT
from tests import commands


def test_a_defect_is_told_by_type_and_place_and_never_by_the_value_it_stumbled_over(monkeypatch, capsys):
    def broken():
        int("Gildong Hong")

    def build():
        app = typer.Typer(pretty_exceptions_enable=False)
        app.command()(broken)
        return app

    monkeypatch.setattr(cli, "build", build)
    monkeypatch.setattr("sys.argv", ["biokeel"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr().err
    assert ended.value.code == 1
    assert said.startswith("biokeel: A defect of Biokeel: ValueError: (message withheld")
    assert "broken" in said
    assert "Gildong" not in said


EVIL = "\x1b[2J[red]x\u202e"
SHOWN = "\\u001b[2J[red]x\\u202e"


def command(*arguments, **environment):
    """All that a command printed, to a pipe."""
    done = commands.biokeel(*arguments, given=os.environ | {"COLUMNS": "300"} | environment)
    return done.stdout + done.stderr


def harmless(text):
    return text.replace("\n", "").isprintable()


def test_files_with_hostile_names_are_named_harmlessly_in_every_report(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / f"{EVIL}.json").write_text("{")
    (folder / "b\nc.json").write_text("")
    (folder / os.fsdecode(b"\xff.csv")).write_text("")
    common = ("--source-id", "demo-one", "--dry-run", "--key-file", str(tmp_path / "key"))
    report = command("publish", str(folder), *common)
    assert harmless(report)
    assert {f"{SHOWN}.json", "b\\nc.json", "\\udcff.csv"} <= {cell.strip() for cell in re.split("[│\n]", report)}
    missing = command("publish", str(tmp_path / EVIL), *common)
    assert harmless(missing)
    assert SHOWN in missing
    option = command("publish", "--" + EVIL, *common)
    assert harmless(option)
    assert "No such option" in option


def test_a_hostile_name_in_a_schema_or_a_suite_is_shown_harmlessly(tmp_path):
    for name in ("schemas", "expectations"):
        shutil.copytree(PROJECT_ROOT / name, tmp_path / name)
    schema = tmp_path / "schemas" / "lifestyle" / "sleep.avsc"
    avro = json.loads(schema.read_text())
    avro["fields"].append({"name": EVIL, "type": "string", "doc": "x", "confluent:tags": ["NONE"]})
    schema.write_text(json.dumps(avro))
    suite = tmp_path / "expectations" / "lifestyle" / "sleep.json"
    rules = json.loads(suite.read_text())
    rules["expectations"][0]["meta"]["rule"] = EVIL
    rules["expectations"][1]["type"] = EVIL
    suite.write_text(json.dumps(rules))
    for report in (
        command("schema", "check", "--schemas", str(tmp_path / "schemas")),
        command("suite", "check", "lifestyle.sleep", BIOKEEL_EXPECTATIONS_DIR=str(tmp_path / "expectations")),
    ):
        assert harmless(report), report
        assert "\\u001b[2J" in report


def test_polars_is_told_not_to_wake_up_all_the_time_before_it_is_loaded() -> None:
    code = (
        "import os, sys; sys.argv = ['biokeel', 'suite', '--help']; from biokeel.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print('polars' in sys.modules, os.environ['POLARS_DISABLE_HTTP_RATE_LIMIT'])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "False 1"
