"""What the command says when something goes wrong that nobody foresaw."""

import pytest
import typer

from biokeel import cli


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
