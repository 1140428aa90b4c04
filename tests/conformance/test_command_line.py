"""What the command line as a whole promises: its version, and no traceback and no value of an error not foreseen."""

import pytest

from biokeel import __version__, cli


def test_it_says_its_version(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["biokeel", "--version"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 0
    assert capsys.readouterr().out == f"biokeel {__version__}\n"


def test_an_error_that_was_not_foreseen_is_told_by_its_type_and_place_and_never_by_its_message(capsys, monkeypatch):
    def build():
        raise ValueError("900101-1234567")

    monkeypatch.setattr(cli, "build", build)
    with pytest.raises(SystemExit) as end:
        cli.main()
    told = capsys.readouterr().err
    assert end.value.code == 1
    assert "ValueError" in told
    assert "test_command_line.py" in told
    assert "900101" not in told
    assert "Traceback" not in told
    assert told.count("\n") == 1
