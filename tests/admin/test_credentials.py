"""The credentials' files: never half, never readable by others, never another password than Kafka's."""

from __future__ import annotations

from pathlib import Path

import pytest

from biokeel.admin.credentials import LANDING, Credentials
from biokeel.admin.private import read_settings, write_settings
from biokeel.errors import AdminError
from biokeel.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path, kafka_bootstrap="kafka:9092", kafka_security_protocol="SASL_SSL")


def test_a_new_password_waits_under_another_name_until_kafka_knows_it(settings: Settings, tmp_path: Path) -> None:
    credentials = Credentials(settings)
    password = credentials.password("lab", new=False)
    assert not credentials.file("lab").exists()
    assert credentials.unfinished() == {"lab"}
    assert Credentials(settings).password("lab", new=True) == password  # who begins anew goes on with what was begun
    credentials.known("lab")
    assert not credentials.unfinished()
    assert read_settings(tmp_path / "sources" / "lab.env") == {
        "source_id": "lab",
        "kafka_bootstrap": "kafka:9092",
        "kafka_security_protocol": "SASL_SSL",
        "kafka_sasl_mechanism": "SCRAM-SHA-512",
        "kafka_username": "lab",
        "kafka_password": password,
    }


def test_only_the_owner_reads_the_files(settings: Settings) -> None:
    credentials = Credentials(settings)
    credentials.password("lab", new=False)
    credentials.known("lab")
    assert credentials.file("lab").stat().st_mode & 0o777 == 0o600
    assert credentials.file("lab").parent.stat().st_mode & 0o777 == 0o700


def test_a_password_stays_unless_a_new_one_is_asked_for(settings: Settings) -> None:
    credentials = Credentials(settings)
    first = credentials.password("lab", new=False)
    credentials.known("lab")
    assert credentials.password("lab", new=False) == first
    second = credentials.password("lab", new=True)
    assert second != first
    assert read_settings(credentials.file("lab"))["kafka_password"] == first  # until Kafka has taken the other
    credentials.known("lab")
    assert read_settings(credentials.file("lab"))["kafka_password"] == second


def test_what_every_source_is_given_stands_in_each_file(settings: Settings) -> None:
    write_settings(settings.state_dir / LANDING, {"s3_access_key": "k"}, "test")
    credentials = Credentials(settings)
    credentials.password("lab", new=False)
    credentials.known("lab")
    assert read_settings(credentials.file("lab"))["s3_access_key"] == "k"


def test_settings_load_a_credentials_file_as_a_side(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BIOKEEL_SOURCE_ID", raising=False)
    credentials = Credentials(settings)
    password = credentials.password("lab", new=False)
    credentials.known("lab")
    loaded = Settings.load("sources/lab", state_dir=settings.state_dir)
    assert loaded.source_id == "lab"
    assert loaded.kafka_client()["sasl.mechanism"] == "SCRAM-SHA-512"
    assert loaded.kafka_client()["sasl.password"] == password


def test_a_file_is_written_anew_with_its_password_when_kafka_has_another_address(settings: Settings) -> None:
    credentials = Credentials(settings)
    password = credentials.password("lab", new=False)
    credentials.known("lab")
    moved = Credentials(settings.model_copy(update={"kafka_bootstrap": "kafka:9093"}))
    moved.rewrite("lab")
    written = read_settings(moved.file("lab"))
    assert (written["kafka_bootstrap"], written["kafka_password"]) == ("kafka:9093", password)
    assert not moved.unfinished()


def test_a_file_without_a_password_and_a_folder_that_cannot_be_made_are_named(settings: Settings) -> None:
    credentials = Credentials(settings)
    credentials.file("lab").parent.mkdir()
    credentials.file("lab").write_text("BIOKEEL_SOURCE_ID='lab'\n")
    with pytest.raises(AdminError, match=r"lab\.env holds no password"):
        credentials.password("lab", new=False)
    (settings.state_dir / "sources" / "lab.env").unlink()
    (settings.state_dir / "sources").rmdir()
    (settings.state_dir / "sources").write_text("")
    with pytest.raises(AdminError, match="cannot be written"):
        credentials.password("lab", new=False)
