"""Names from outside, as a terminal gets them."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

from biokeel.cli.terminal import say
from biokeel.observe.screen import Screen
from biokeel.observe.visible import visible

ANY = st.text(st.characters(), max_size=30)
"""Any characters, half of a surrogate pair too: so Python reads the bytes of a file name that are no UTF-8."""
EVIL = "\x1b[2J[red]x\u202e\u009b31m:smile:\udce9"


def is_harmless(text):
    """Whether a terminal shows all of it: nothing that controls it, hides, or turns the order of what follows."""
    return all(char.isprintable() or char in "\u3000\u00a0" or char.isspace() for char in text) and not any(
        char < " " or char in "\x7f\x85\u2028\u2029" for char in text
    )


def printed(what):
    file = io.StringIO()
    Screen(file=file, width=400, force_terminal=False).print(what)
    return file.getvalue()


@given(ANY)
def test_whatever_a_name_holds_what_is_shown_of_it_controls_no_terminal_and_can_be_encoded(name):
    shown = visible(name)
    assert is_harmless(shown)
    shown.encode()
    assert visible(shown) == shown


@given(ANY)
def test_a_name_that_is_harmless_is_shown_as_it_is(name):
    assert visible(name) == name or not is_harmless(name)


@given(ANY)
def test_json_stays_the_same_json(text):
    assert json.loads(visible(json.dumps([text], ensure_ascii=False))) == [text]


@given(ANY)
def test_a_line_stays_one_line_and_a_table_shows_every_character_of_a_cell(name):
    table = Table("file")
    table.add_row(visible(name))
    lines = printed(table).splitlines()
    assert len(lines) == 5
    assert all(is_harmless(line) for line in lines)
    assert visible(name).strip() in printed(table)


@given(ANY)
def test_a_screen_shows_any_string_without_markup_or_control(name):
    assert all(is_harmless(line) for line in printed(name).split("\n"))


def test_a_screen_takes_brackets_and_colons_for_what_they_are():
    assert printed("[red]a[/] :smile: [/nothing]") == "[red]a[/] :smile: [/nothing]\n"


def test_a_hostile_name_is_written_out(capsys):
    say(EVIL)
    shown = capsys.readouterr().out
    assert shown == "\\u001b[2J[red]x\\u202e\\u009b31m:smile:\\udce9\n"


def test_what_has_several_lines_by_itself_may_keep_them(capsys):
    say("a\nb\x1b", lines=True)
    say("a\nb")
    assert capsys.readouterr().out == "a\nb\\u001b\na\\nb\n"


@pytest.mark.parametrize("name", ["홍길동.json", "Nguyễn Văn.csv", "a　b", "🧬.vcf"])
def test_names_in_any_script_are_shown_as_they_are(name):
    assert visible(name) == name
