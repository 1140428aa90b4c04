"""`biokeel source`: asking, linting, listing; and registering a source on the running stack."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from biokeel.admin.cluster import Cluster
from biokeel.admin.credentials import Credentials
from biokeel.admin.private import read_settings
from biokeel.admin.users import User
from biokeel.cli import source as command
from biokeel.contracts.sources import Register
from biokeel.errors import AdminError, ContractError, SettingsError
from biokeel.settings import SHIPPED, Settings
from biokeel.stack.stack import Stack
from tests.kafka_rights import produce

ANSWERS = {
    "--name": "Clinic A",
    "--contact": "it@clinic-a.example",
    "--events": "clinical.glucose, person.enrolment",
    "--schemes": "KR_RRN,hospital/clinic-a",
    "--partitions": "1",
}
OPTIONS = [word for pair in ANSWERS.items() for word in pair]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Run a command in an empty state directory with an empty register."""
    (tmp_path / "sources").mkdir()
    monkeypatch.setenv("BIOKEEL_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("BIOKEEL_SOURCES_DIR", str(tmp_path / "sources"))
    app = typer.Typer()
    command.register(app)

    def call(*arguments: str, said: str = "") -> Result:
        return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["source", *arguments], input=said)

    return call


@pytest.fixture
def on_stack(run, stack: Stack, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.setenv("BIOKEEL_STATE_DIR", str(stack.state_dir))
    return run


def test_a_source_is_added_by_options_alone_and_waits_for_kafka(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    result = run("add", "clinic-a", *OPTIONS, "--yes")
    assert result.exit_code == 0, result.output
    assert "When Kafka is reached, run: biokeel source apply" in result.output
    added = Register.load(tmp_path / "sources")["clinic-a"]
    assert added.events == ("clinical.glucose", "person.enrolment")
    assert added.schemes == ("KR_RRN", "hospital/clinic-a")
    assert (added.partitions, added.time_zone, added.cadence_seconds) == (1, "Asia/Seoul", 3600)


def test_a_source_is_added_by_answers_and_a_wrong_one_is_asked_for_again(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    said = "Clinic A\nit@clinic-a.example\nclinical.nose\nKR_RRN\n\n\n\n\nclinical.glucose\n"
    result = run("add", "clinic-a", said=said)
    assert result.exit_code == 0, result.output
    assert "there is no event type clinical.nose" in result.output
    assert Register.load(tmp_path / "sources")["clinic-a"].events == ("clinical.glucose",)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("Clinic/A", *OPTIONS), "your answers, id"),
        (("operator", *OPTIONS), "your answers, id"),
        (("clinic-a", *OPTIONS, "--events", "person.*"), "your answers, events[0]"),
        (("clinic-a", *OPTIONS, "--bytes-per-second", "0"), "your answers, quota.produce_bytes_per_second"),
    ],
)
def test_what_the_register_does_not_take_is_named_and_nothing_is_written(  # type: ignore[no-untyped-def]
    run, tmp_path: Path, arguments: tuple[str, ...], told: str
) -> None:
    result = run("add", *arguments, "--yes")
    assert isinstance(result.exception, ContractError)
    assert told in result.output
    assert not list((tmp_path / "sources").iterdir())


def test_unattended_a_missing_answer_is_named(run) -> None:  # type: ignore[no-untyped-def]
    result = run("add", "clinic-a", "--name", "A", "--yes")
    assert isinstance(result.exception, SettingsError)
    assert "--contact" in str(result.exception)


def test_what_has_a_file_is_changed_in_the_file_only(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    run("add", "clinic-a", *OPTIONS, "--yes")
    result = run("add", "clinic-a", "--partitions", "9", "--yes")
    assert isinstance(result.exception, SettingsError)
    assert "Edit it" in str(result.exception)
    assert Register.load(tmp_path / "sources")["clinic-a"].partitions == 1


def test_the_register_that_is_shipped_is_not_written(run, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("BIOKEEL_SOURCES_DIR", str(SHIPPED / "sources"))
    result = run("add", "clinic-a", *OPTIONS, "--yes")
    assert isinstance(result.exception, SettingsError)
    assert "BIOKEEL_SOURCES_DIR" in str(result.exception)
    assert not (SHIPPED / "sources").exists()


def test_check_names_every_fault_and_ends_with_an_error(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    run("add", "clinic-a", *OPTIONS, "--yes")
    assert run("check").output == "1 sources pass.\n"
    (tmp_path / "sources" / "broken.toml").write_text("id = 'broken'\nbla = 1\n")
    result = run("check")
    assert isinstance(result.exception, ContractError)
    assert re.search(r"refused  .*broken\.toml, bla: there is no such key", result.output)
    assert re.search(r"refused  .*broken\.toml, name: it is missing", result.output)
    assert run("check", str(tmp_path / "sources" / "clinic-a.toml")).exit_code == 0


def test_check_warns_of_a_scheme_that_two_sources_have(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    run("add", "clinic-a", *OPTIONS, "--yes")
    run("add", "clinic-b", *OPTIONS, "--yes")
    result = run("check")
    assert result.exit_code == 0
    assert "warning  hospital/clinic-a is granted to clinic-a and clinic-b" in result.output


def test_list_and_show_say_what_the_register_says(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    run("add", "clinic-a", *OPTIONS, "--yes")
    listed = run("list").output
    for word in ("clinic-a", "Clinic A", "hospital/clinic-a", "1 h", "it@clinic-a.example"):
        assert word in listed
    shown = run("show", "clinic-a").output
    for word in ("raw.clinic-a.clinical.glucose (1)", "receipts.clinic-a (1)", "10,000,000 bytes/s", "not on this"):
        assert word in shown
    assert isinstance(run("show", "clinic-b").exception, ContractError)


def test_a_list_has_room_for_a_sentence_about_each_source(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    run("add", "clinic-a", *OPTIONS, "--yes")
    register = Register.load(tmp_path / "sources")
    assert "what is" not in [column.header for column in command.table(register, {}).columns]
    assert list(command.table(register, {"clinic-a": "silent"}).columns[-1].cells) == ["silent"]


@pytest.mark.integration
def test_a_source_that_is_added_on_the_stack_publishes_with_its_file(on_stack, stack: Stack, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    result = on_stack("add", "reg-cli", *OPTIONS, said="\n\n\ny\n")
    assert result.exit_code == 0, result.output
    file = Credentials(stack.settings(User.ADMIN)).file("reg-cli")
    password = read_settings(file)["kafka_password"]
    assert password not in result.output
    assert "create topic raw.reg-cli.clinical.glucose, 1 partition\n" in result.output
    last = result.output.splitlines()[-3:]
    assert [line.split(":")[0] for line in last] == ["Take along", "Publish", "Read"]
    assert str(file) in last[0]
    assert "biokeel publish FILES --source-id reg-cli" in last[1]
    of_source = Settings.load("sources/reg-cli", state_dir=stack.state_dir)
    assert produce(of_source, "raw.reg-cli.clinical.glucose") is None
    assert of_source.s3_access_key

    again = on_stack("add", "reg-cli", "--yes")
    assert again.exit_code == 0
    assert "Kafka has what the register wants." in again.output
    assert read_settings(file)["kafka_password"] == password
    assert on_stack("add", "reg-cli", "--new-password", "--yes").exit_code == 0
    assert read_settings(file)["kafka_password"] != password


@pytest.mark.integration
def test_a_plan_is_shown_and_nothing_is_done_without_a_yes(on_stack, stack: Stack, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    cluster = Cluster(stack.settings(User.ADMIN))
    before = cluster.held()
    refused = on_stack("add", "reg-no", *OPTIONS, said="\n\n\nn\n")
    assert refused.exit_code == 1
    assert "let reg-no write topics raw.reg-no.*" in refused.output
    planned = on_stack("apply", "--plan")
    assert "let reg-no write topics raw.reg-no.*" in planned.output
    assert "nothing is done yet" in planned.output
    assert cluster.held() == before


@pytest.mark.integration
def test_who_is_no_administrator_applies_nothing(on_stack, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    operator = stack.settings(User.OPERATOR)
    monkeypatch.setenv("BIOKEEL_KAFKA_USERNAME", operator.kafka_username)
    monkeypatch.setenv("BIOKEEL_KAFKA_PASSWORD", operator.kafka_password.get_secret_value())
    result = on_stack("add", "reg-no", *OPTIONS, "--yes")
    assert isinstance(result.exception, AdminError)
    assert "administrator" in str(result.exception)
