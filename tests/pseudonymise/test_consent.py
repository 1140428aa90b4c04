"""Consent is what a person decided: no enrolment widens it, and the order of arrival does not matter."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from biokeel.errors import SettingsError
from biokeel.pseudonymise.wall import Wall
from biokeel.reasons import Reason
from biokeel.vault.consent import CONSENT, to_words
from biokeel.vault.tables import AUDIT
from tests.examples import examples
from tests.pseudonymise.conftest import GLUCOSE, MEMORY, START, World, drain

pytestmark = pytest.mark.usefixtures("each_database")

EVERYTHING = ["clinical", "genome", "lifestyle"]
SCOPES = st.lists(st.sampled_from(EVERYTHING), unique=True)
UNSTATED = {"consent_stated": False, "consent_scope": EVERYTHING}


@dataclass(frozen=True)
class Enrolment:
    """`scope` None: the source does not know what the person agreed to."""

    scope: tuple[str, ...] | None


@dataclass(frozen=True)
class Change:
    day: int
    scope: tuple[str, ...]


Said = Enrolment | Change


def said() -> st.SearchStrategy[list[Said]]:
    """What a person's sources say of consent, in the order of its arrival; some of it comes again and again."""
    scope = SCOPES.map(tuple)
    one = st.builds(Enrolment, st.none() | scope) | st.builds(Change, st.integers(0, 2), scope)
    return st.lists(one, min_size=1, max_size=6).flatmap(
        lambda some: st.lists(st.sampled_from(some), max_size=3).flatmap(
            lambda again: st.permutations([*some, Enrolment(None), *again])
        )
    )


def holds(arrived: Sequence[Said], unstated: set[str]) -> set[str]:
    """The model: of the newest changes the narrower; without any, of what enrolments state; else the setting."""
    changes = [each for each in arrived if isinstance(each, Change)]
    newest = max((each.day for each in changes), default=None)
    said_ = [set(each.scope) for each in changes if each.day == newest] or [
        set(each.scope) for each in arrived if isinstance(each, Enrolment) and each.scope is not None
    ]
    return reduce(set.intersection, said_) if said_ else unstated


def consent(world: World, wall: Wall, subject: str) -> set[str] | None:
    """The domains that count as consented to, None for nobody."""
    frame = world.codec.decode(world.glucose(subject)).accepted.frame
    generation = wall._vault.snapshot(GLUCOSE, [0]).generation
    (found,) = wall._vault.look_up(frame["subject_scheme"], frame["subject_id"], generation)["consent"].to_list()
    return None if found is None else set(to_words(found) or ())


def change(world: World, wall: Wall, subject: str, day: int, *scope: str) -> None:
    at = START + dt.timedelta(days=day)
    row = {"subject_id": subject, "consent_scope": list(scope), "occurred_at": at}
    world.person(wall, "consent_change", row)


def arrive(world: World, wall: Wall, subject: str, each: Said) -> None:
    if isinstance(each, Change):
        change(world, wall, subject, each.day, *each.scope)
    elif each.scope is None:
        world.enrol(wall, subject, **UNSTATED)
    else:
        world.enrol(wall, subject, consent_scope=list(each.scope))


@pytest.fixture(scope="module")
def long_lived() -> Iterator[World]:
    """One vault for many people, each of whom is new to it."""
    with TemporaryDirectory(dir=MEMORY if os.access(MEMORY, os.W_OK) else None) as folder:
        made = World(Path(folder), unstated_consent="clinical")
        yield made
        made.close()


NUMBERS = count()


@settings(deadline=None, max_examples=examples(25))
@given(arrivals=said())
def test_in_any_order_of_arrival_consent_is_what_was_decided_and_no_enrolment_widens_it(long_lived, arrivals):
    world, subject = long_lived, f"L-{next(NUMBERS)}"
    wall = world.wall()
    for number, each in enumerate(arrivals):
        before = consent(world, wall, subject)
        arrive(world, wall, subject, each)
        now, arrived = consent(world, wall, subject), arrivals[: number + 1]
        if not any(isinstance(one, Enrolment) for one in arrived):
            assert now is None
            continue
        assert now == holds(arrived, {"clinical"})
        if isinstance(each, Enrolment) and any(one != Enrolment(None) for one in arrivals[:number]) and before:
            assert now <= before


def test_a_hospital_that_exports_its_patients_again_does_not_widen_what_a_person_has_narrowed(world):
    wall = world.wall()
    world.enrol(wall, "P-1")
    change(world, wall, "P-1", 1, "genome")
    world.enrol(wall, "P-1", occurred_at=START + dt.timedelta(days=30))
    assert consent(world, wall, "P-1") == {"genome"}
    assert wall.process(world.glucose("P-1")).counts == {Reason.NO_CONSENT: 1}


def test_an_enrolment_that_arrives_late_narrows_what_others_stated_and_nothing_that_was_decided(world):
    wall = world.wall()
    world.enrol(wall, "P-1", "P-2", consent_scope=["clinical", "genome"])
    change(world, wall, "P-2", 1, "clinical", "genome")
    world.enrol(wall, "P-1", "P-2", consent_scope=["clinical", "lifestyle"], occurred_at=START - dt.timedelta(days=9))
    assert consent(world, wall, "P-1") == {"clinical"}
    assert consent(world, wall, "P-2") == {"clinical", "genome"}


def test_an_older_consent_change_that_arrives_late_changes_nothing_and_of_two_at_once_the_narrower_holds(world):
    wall = world.wall()
    world.enrol(wall, "P-1")
    change(world, wall, "P-1", 5, "genome", "clinical")
    change(world, wall, "P-1", 4)
    assert consent(world, wall, "P-1") == {"genome", "clinical"}
    change(world, wall, "P-1", 5, "clinical", "lifestyle")
    assert consent(world, wall, "P-1") == {"clinical"}
    change(world, wall, "P-1", 6, *EVERYTHING)
    assert consent(world, wall, "P-1") == set(EVERYTHING)


def test_a_consent_change_from_before_the_enrolment_counts_as_much_as_one_after_it(world):
    wall = world.wall()
    change(world, wall, "P-1", -400, "genome")
    world.enrol(wall, "P-1")
    assert consent(world, wall, "P-1") == {"genome"}


def test_who_was_never_asked_consents_to_nothing_unless_the_setting_says_so(tmp_path):
    strict, lenient = World(tmp_path / "strict"), World(tmp_path / "lenient", "clinical, lifestyle")
    for world, counts, domains in ((strict, {Reason.NO_CONSENT: 1}, set()), (lenient, {}, {"clinical", "lifestyle"})):
        wall = world.wall()
        world.enrol(wall, "P-1", **UNSTATED)
        assert wall.process(world.glucose("P-1")).counts == counts
        assert consent(world, wall, "P-1") == domains
        world.close()


def test_what_the_setting_says_is_never_stored_so_that_a_statement_replaces_it_and_another_setting_counts(tmp_path):
    world = World(tmp_path, "clinical")
    wall = world.wall()
    world.enrol(wall, "P-1", "P-2", **UNSTATED)
    world.enrol(wall, "P-1", consent_scope=["genome"])
    world.enrol(wall, "P-1", **UNSTATED)
    assert consent(world, wall, "P-1") == {"genome"}
    assert consent(world, wall, "P-2") == {"clinical"}
    world.close()
    later = World(tmp_path)
    assert consent(later, later.wall(), "P-1") == {"genome"}
    assert consent(later, later.wall(), "P-2") == set()
    later.close()


def test_a_participant_that_policy_create_makes_was_not_asked_either(tmp_path):
    strict, lenient = World(tmp_path / "strict"), World(tmp_path / "lenient", "clinical")
    assert strict.wall("create").process(strict.glucose("P-1")).counts == {Reason.NO_CONSENT: 1}
    wall = lenient.wall("create")
    assert len(wall.process(lenient.glucose("P-1")).batch) == 1
    lenient.enrol(wall, "P-1", consent_scope=["genome", "lifestyle"])
    assert consent(lenient, wall, "P-1") == {"genome", "lifestyle"}
    strict.close()
    lenient.close()


def test_policy_create_applies_a_decision_that_waited_for_the_person_before_it_lets_anything_through(tmp_path):
    world = World(tmp_path, "clinical")
    change(world, world.wall(), "P-1", 1, "genome")
    assert world.wall("create").process(world.glucose("P-1")).counts == {Reason.NO_CONSENT: 1}
    world.close()


def test_of_two_people_who_are_merged_the_narrower_consent_holds_until_the_person_decides_anew(world):
    wall = world.wall()
    world.enrol(wall, "P-1", consent_scope=["clinical", "genome"])
    world.enrol(wall, "P-2")
    change(world, wall, "P-2", 3, "clinical", "lifestyle")
    world.person(wall, "merge", {"subject_id": "P-1", "merged_id": "P-2"})
    assert consent(world, wall, "P-1") == {"clinical"}
    world.enrol(wall, "P-2")
    change(world, wall, "P-1", 2, *EVERYTHING)
    assert consent(world, wall, "P-2") == {"clinical"}
    change(world, wall, "P-1", 4, *EVERYTHING)
    assert consent(world, wall, "P-2") == set(EVERYTHING)


def test_a_person_who_was_asked_under_one_of_two_merged_identities_has_answered_for_both(world):
    wall = world.wall()
    world.enrol(wall, "P-1", "P-3", **UNSTATED)
    world.enrol(wall, "P-2", consent_scope=["clinical"])
    world.person(wall, "merge", {"subject_id": "P-1", "merged_id": "P-2"})
    world.person(wall, "merge", {"subject_id": "P-1", "merged_id": "P-3"})
    assert consent(world, wall, "P-3") == {"clinical"}


class Died(BaseException):
    """No code may catch it, as none can catch SIGKILL."""


def test_nothing_is_let_through_between_an_enrolment_and_a_narrower_decision_that_waited_for_it(world, monkeypatch):
    victim, other = world.wall(), world.wall()
    other.process(world.glucose("P-1"))
    change(world, victim, "P-1", 1, "genome")

    def die() -> None:
        raise Died

    monkeypatch.setattr(victim, "_drain", die)
    with pytest.raises(Died):
        world.enrol(victim, "P-1")
    assert drain(other) == []
    assert other.process(world.glucose("P-1")).counts == {Reason.NO_CONSENT: 1}
    assert consent(world, other, "P-1") == {"genome"}


def test_a_replay_decides_as_before_whatever_was_decided_and_set_since(tmp_path):
    lenient = World(tmp_path, "clinical")
    wall = lenient.wall()
    lenient.enrol(wall, "P-1", "P-2", **UNSTATED)
    assert len(wall.process(through := lenient.glucose("P-1", "P-2")).batch) == 2
    change(lenient, wall, "P-1", 1)
    lenient.close()
    strict = World(tmp_path)
    assert len(strict.wall().process(through).batch) == 2
    strict.close()


def entries(world: World, action: str) -> list[dict[str, object]]:
    with world.vault()._database.read() as connection:
        rows = connection.execute(sa.select(AUDIT.c.detail).where(AUDIT.c.action == action).order_by(AUDIT.c.sequence))
        return [json.loads(row.detail) for row in rows]


def test_the_audit_says_what_each_event_stated_whether_it_counted_and_what_held_after_it(world):
    wall = world.wall()
    world.enrol(wall, "P-1", **UNSTATED)
    world.enrol(wall, "P-1", consent_scope=["genome", "clinical"])
    change(world, wall, "P-1", 2, "genome")
    change(world, wall, "P-1", 1, *EVERYTHING)
    world.enrol(wall, "P-1")
    world.enrol(wall, "P-2", consent_scope=[])
    world.person(wall, "merge", {"subject_id": "P-1", "merged_id": "P-2"})

    def told(action: str) -> list[tuple[object, ...]]:
        return [tuple(map(each.get, ("consent", "superseded", "holds"))) for each in entries(world, action)]

    assert told("enrol") == [
        (None, False, None),
        (["clinical", "genome"], False, ["clinical", "genome"]),
        (EVERYTHING, True, ["genome"]),
        ([], False, []),
    ]
    assert told("consent") == [(["genome"], False, ["genome"]), (EVERYTHING, True, ["genome"])]
    assert told("merge") == [(None, None, [])]


def test_an_enrolment_whose_scope_is_no_domain_is_refused_whether_or_not_it_states_a_consent(world):
    wall = world.wall()
    refused = world.enrol(wall, "P-1", consent_stated=False, consent_scope=["whatever"])
    assert refused.counts == {Reason.PERSON_INVALID: 1}
    assert world.enrol(wall, "P-2", consent_scope=["whatever"]).counts == {Reason.PERSON_INVALID: 1}
    assert world.enrol(wall, "P-3", consent_scope=["person"]).counts == {Reason.PERSON_INVALID: 1}


def test_a_setting_that_names_no_domain_is_refused_with_the_words_that_it_may_have(tmp_path):
    with pytest.raises(SettingsError, match="BIOKEEL_UNSTATED_CONSENT") as refusal:
        World(tmp_path, "clinical,all").vault()
    assert all(str(domain) in str(refusal.value) for domain in CONSENT)
    assert "all" not in str(refusal.value).split()
