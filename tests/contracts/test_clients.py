import pytest
from hypothesis import given
from hypothesis import strategies as st

from biokeel.contracts.clients import Client, client_of

REGISTERED = ("biokeel-python/0.2", "export")


@pytest.mark.parametrize(
    ("stated", "client"),
    [
        (b"biokeel-python/0.1.0", Client("biokeel-python", "0.1.0")),
        (b"biokeel-python/0.3.0.dev1+g12", Client("biokeel-python", "0.3.0")),
        (b"export", Client("export", "")),
        (b"export/next", Client("", "")),
        (b"other/1.0", Client("", "")),
        (b"export/1234", Client("", "")),
        (b"export of Kim/1", Client("", "")),
        (b"\xff\xfe", Client("", "")),
        (b"", Client("", "")),
    ],
)
def test_a_client_is_a_registered_name_and_the_numbers_of_its_version(stated, client):
    assert client_of(stated, REGISTERED) == client


@given(st.one_of(st.binary(), st.from_regex(rb"(export|biokeel-python)(/[0-9.a-z]{0,20})?", fullmatch=True)))
def test_nothing_that_a_source_chooses_is_kept_but_short_numbers(stated):
    client = client_of(stated, REGISTERED)
    assert client.name in {"", "biokeel-python", "export"}
    assert all(len(number) <= 3 for number in client.version.split("."))
    assert len(client.version) <= 15
