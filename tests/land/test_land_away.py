"""A store that does not answer is an error of ours, in seconds, that says what to check."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from pydantic import SecretStr

from biokeel.books.places import Teller
from biokeel.books.state import BEGINNING
from biokeel.books.tables import Tables
from biokeel.contracts.schema import load_schema
from biokeel.contracts.topics import event_type
from biokeel.errors import SettingsError, StoreUnavailable
from biokeel.land import person
from biokeel.land.lake import Lake
from biokeel.land.objects import check_store
from biokeel.land.tables import EventTables
from biokeel.settings import Settings

EVENT = event_type("clinical.glucose")
SCHEMA = load_schema(Path(__file__).parents[2] / "schemas", EVENT)


@pytest.fixture
def away(tmp_path):
    """A lake on a port where nobody listens: held, so that nobody will, and never accepted from."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        settings = Settings(
            state_dir=tmp_path,
            s3_endpoint=f"http://127.0.0.1:{held.getsockname()[1]}",
            s3_access_key="key",
            s3_secret_key=SecretStr("hidden-secret"),
        )
        yield Lake.of(settings)


@pytest.mark.parametrize(
    "call",
    [
        lambda lake: EventTables(lake, SCHEMA),
        lambda lake: Tables(lake).whole(EVENT, Teller.CURATED),
        lambda lake: Tables(lake).news(EVENT, Teller.CURATED, BEGINNING),
        lambda lake: person.summary(lake, "X"),
        lambda lake: check_store(lake.objects),
    ],
    ids=["open", "books", "news", "person", "check"],
)
def test_a_store_that_is_away_is_unavailable(away, call):
    with pytest.raises(StoreUnavailable) as caught:
        call(away)
    assert "hidden-secret" not in repr(caught.value)


def test_a_store_that_goes_away_before_a_position_is_read_is_unavailable(tmp_path, monkeypatch):
    """delta-rs asks the store for what a table says of an app transaction; a worker waits for that, too."""
    tables = EventTables(Lake.local(tmp_path), SCHEMA)

    def away(*_arguments):
        raise OSError("the store does not answer")

    monkeypatch.setattr("deltalake.DeltaTable.transaction_version", away)
    with pytest.raises(StoreUnavailable):
        tables.curated.position(0)


def test_the_secret_of_the_store_does_not_show(away):
    assert "hidden-secret" not in repr(away)


def test_without_settings_of_a_store_the_missing_ones_are_named(tmp_path):
    with pytest.raises(SettingsError, match="BIOKEEL_S3_ENDPOINT"):
        Lake.of(Settings(state_dir=tmp_path))
