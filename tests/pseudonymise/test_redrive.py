"""Events that were sealed because their schema was not known are judged again once it is, each once."""

import pytest
from typer.testing import CliRunner

from biokeel import cli
from biokeel.contracts.codec import Codec
from biokeel.contracts.topics import event_type
from biokeel.errors import UnknownSchema, VaultError
from biokeel.pseudonymise.wall import Wall
from biokeel.reasons import Reason
from tests.pseudonymise.conftest import CATALOGUE, GLUCOSE, REGISTER, drain, offsets, origin
from tests.pseudonymise.test_crashes import every_step, release

pytestmark = pytest.mark.usefixtures("each_database")

ENROLMENT = event_type("person.enrolment")


class Before:
    """The catalogue as it was before the schemas were locked."""

    reader, id_of = CATALOGUE.reader, CATALOGUE.id_of

    def by_id(self, schema_id):
        raise UnknownSchema(f"Schema id {schema_id} is not here.")


def before(world):
    """A wall that knows no schema yet."""
    return Wall(Codec(Before(), 1 << 20), world.vault(), world.schemas, lambda: REGISTER)


def enrol(world, wall, *subjects):
    world.enrol(wall, *subjects, consent_stated=True)


def places(world, event=GLUCOSE, partition=0):
    return [(row["place"], row["reason"]) for row in world.vault().books(event, origin(partition)).to_dicts()]


UNKNOWN = ("sealed", "wire.unknown_schema")


def test_each_goes_on_once_in_its_order_and_keeps_where_it_first_stood(world):
    wall = world.wall()
    enrol(world, wall, "P-1", "P-2")
    old = world.glucose("P-1", "P-2", "P-1")
    assert before(world).process(old).counts == {Reason.UNKNOWN_SCHEMA: 3}
    assert world.vault().redrive(GLUCOSE, Reason.UNKNOWN_SCHEMA) == 3
    assert places(world) == [("parked", None)] * 3
    batch = wall.releases(GLUCOSE, origin(0), 10).batch
    assert batch.frame["stream"].unique().to_list() == ["parking"]
    assert batch.frame.select("raw_offset", "first_offset").rows() == [(0, 0), (1, 1), (2, 2)]
    wall.released(GLUCOSE, origin(0), 2)
    assert places(world) == [("released", None)] * 3
    assert world.vault().redrive(GLUCOSE, Reason.UNKNOWN_SCHEMA) == 0
    assert offsets(wall.process(old).batch) == [], "a replay of the first offsets finds them"
    assert drain(wall) == []


def test_one_whose_person_is_not_enrolled_waits_for_the_enrolment_and_stops_no_other(world):
    wall = world.wall()
    enrol(world, wall, "P-1")
    before(world).process(world.glucose("P-2", "P-1"))
    world.vault().redrive(GLUCOSE, Reason.UNKNOWN_SCHEMA)
    assert drain(wall) == [1]
    assert places(world) == [("parked", None), ("released", None)]
    assert not wall.ready_at()
    enrol(world, wall, "P-2")
    assert drain(wall) == [0]


def test_with_policy_create_a_participant_is_made_for_it_who_has_consented_to_nothing(world):
    before(world).process(world.glucose("P-9"))
    world.vault().redrive(GLUCOSE, Reason.UNKNOWN_SCHEMA)
    assert drain(world.wall("create")) == []
    assert places(world) == [("sealed", "privacy.no_consent")]
    assert world.vault().status().participants == 1


def test_what_still_cannot_be_read_or_breaks_a_rule_is_sealed_again_with_its_reason_of_today(world):
    wall = world.wall()
    enrol(world, wall, "P-1")
    old = before(world)
    old.process(world.batch(GLUCOSE, [{"subject_id": "P-1"}, {"subject_id": "P-1", "code": "a@b.example"}]))
    world.vault().redrive(GLUCOSE, Reason.UNKNOWN_SCHEMA)
    assert drain(old) == []
    assert places(world) == [UNKNOWN, UNKNOWN]
    world.vault().redrive(GLUCOSE, Reason.UNKNOWN_SCHEMA)
    assert drain(wall) == [0]
    assert places(world) == [("released", None), ("sealed", "privacy.leak")]


def test_person_events_are_applied_once_and_let_out_what_waited(world):
    wall = world.wall()
    wall.process(world.glucose("P-1"))
    before(world).process(world.batch(ENROLMENT, [{"subject_id": "P-1", "consent_stated": True}]))
    assert places(world, ENROLMENT) == [UNKNOWN]
    world.vault().redrive(ENROLMENT, Reason.UNKNOWN_SCHEMA)
    assert (ENROLMENT, origin(0)) in wall.ready_at()
    assert wall.releases(ENROLMENT, origin(0), 10).applied == 1
    assert places(world, ENROLMENT) == [("applied", None)]
    assert drain(wall) == [0]


def test_other_events_and_other_reasons_stay_where_they_are(world):
    wall = world.wall()
    enrol(world, wall, "P-1")
    wall.process(world.batch(GLUCOSE, [{"subject_id": "P-1", "code": "a@b.example"}]))
    before(world).process(world.glucose("P-1"))
    vault = world.vault()
    assert vault.redrive(event_type("clinical.diagnosis"), Reason.UNKNOWN_SCHEMA) == 0
    with pytest.raises(VaultError, match=r"privacy\.leak stays sealed"):
        vault.redrive(GLUCOSE, Reason.LEAK)
    assert vault.redrive(GLUCOSE, Reason.UNKNOWN_SCHEMA) == 1
    assert places(world) == [("sealed", "privacy.leak"), ("parked", None)]


def test_it_stands_in_the_audit_which_holds(world):
    before(world).process(world.glucose("P-1"))
    entries = world.vault().status().audit_entries
    world.vault().redrive(GLUCOSE, Reason.UNKNOWN_SCHEMA)
    assert world.vault().status().audit_entries == entries + 1
    assert world.vault().verify_audit().faults == ()


def test_dying_at_any_statement_leaves_each_event_in_one_place_and_emits_it_with_one_number(tmp_path, stride):
    def prepare(world, wall):
        enrol(world, wall, "P-1", "P-2")
        before(world).process(world.glucose("P-1", "P-3", "P-2"))
        return []

    def act(wall, _, emit):
        wall._vault.redrive(GLUCOSE, Reason.UNKNOWN_SCHEMA)
        release(wall, emit)

    assert every_step(tmp_path, stride, prepare, act) > 15


def test_the_command_says_how_many_and_refuses_what_does_not_exist(world, monkeypatch):
    before(world).process(world.glucose("P-1", "P-2"))
    monkeypatch.setenv("BIOKEEL_VAULT_URL", world.settings.vault_url)
    monkeypatch.setenv("BIOKEEL_VAULT_KEY_FILE", str(world.settings.vault_key_file))

    def run(*words):
        return CliRunner().invoke(cli.build(), ["vault", "redrive", *words])

    assert isinstance(run("--reason", "wire.unheard").exception, VaultError)
    assert run("--reason", "wire.unknown_schema", "--event", "clinical.sleep").exit_code == 1
    assert "2 events of clinical.glucose are judged again" in run("--reason", "wire.unknown_schema").output
    assert run("--reason", "wire.unknown_schema").output == ""
