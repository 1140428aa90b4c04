from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biokeel.books import saved
from biokeel.books.balance import balance
from biokeel.books.intervals import NOTHING
from biokeel.books.places import Place, Teller
from biokeel.books.saved import Saved, from_bytes, to_bytes
from biokeel.books.state import Part, PartState, Position, State, differences
from tests.books.telling import GLUCOSE, aside, curated, history, listed, quarantined, said, some, vault

OTHER = Part("app-a", "lifestyle.sleep", 3)
ROWS = [
    curated(),
    curated("parking"),
    curated(withheld="status"),
    quarantined(rules="a,b", suite="2"),
    quarantined("parking"),
    quarantined("quarantine", operation="2"),
    curated("quarantine", operation="1"),
    aside(Place.REPEATED),
    history(Place.SUPERSEDED),
    history(Place.WITHDRAWN, "parking"),
]
DECIDED = [vault(Place.PARKED), vault(Place.SEALED, "wire.empty"), vault(Place.SEALED, "privacy.leak"), None]
parts = st.sampled_from([GLUCOSE, OTHER])
rows = st.tuples(parts, st.sampled_from(ROWS), st.integers(0, 12))
decisions = st.tuples(parts, st.sampled_from(DECIDED), st.lists(st.integers(0, 12), min_size=1).map(lambda v: some(*v)))


def saying(counts):
    by_label = {}
    for part, label, offset in counts.elements():
        by_label.setdefault(part, {}).setdefault(label, []).append(offset)
    return {key: bag for part, labels in by_label.items() for key, bag in said(labels, part).items()}


@st.composite
def histories(draw):
    """Steps of a life: rows added and removed (never one that is not there), and decisions."""
    there, steps = Counter(), []
    for _ in range(draw(st.integers(1, 5))):
        if draw(st.booleans()):
            removed = Counter(draw(st.lists(st.sampled_from(sorted(there.elements())), max_size=4)) if there else [])
            removed &= there
            added = Counter(draw(st.lists(rows, max_size=6)))
            there = there + added - removed
            steps.append((added, removed))
        else:
            steps.append(draw(st.lists(decisions, max_size=4)))
    return there, steps


def lived(steps):
    state, told = State(), []
    for step in steps:
        told += state.rows(*map(saying, step)) if isinstance(step, tuple) else state.decided(step)
    return state, told


def views(state):
    return {
        part: {name: listed(those) for name, those in each.within(0, 20).lies.items()}
        for part, each in state.parts.items()
    }


@given(histories())
def test_books_that_grew_are_those_made_of_what_is_there_in_the_end(life):
    there, steps = life
    state, _ = lived(steps)
    new = State()
    for teller in (Teller.CURATED, Teller.QUARANTINE, Teller.HISTORY):
        new.replace(None, teller, saying(Counter({key: n for key, n in there.items() if key[1].teller is teller})))
    for step in (step for step in steps if not isinstance(step, tuple)):
        new.decided(step)
    assert differences(state, new) == []
    assert differences(new, state) == []


@given(histories())
def test_who_hears_only_what_changes_knows_where_every_event_lies(life):
    _, steps = life
    state, told = lived(steps)
    heard, ever = {}, set()
    for part, label, offsets, amends in told:
        for offset in listed(offsets):
            assert ((part, offset) in ever) == amends
        for offset in listed(offsets):
            ever.add((part, offset))
            heard[part, offset] = label
    for part, each in state.parts.items():
        settled = each.within(0, 20)
        lies = Counter(offset for those in settled.lies.values() for offset in listed(those))
        for label, those in settled.lies.items():
            # One that lies in two places is told of twice, in either order.
            assert all(heard[part, offset] == label for offset in listed(those) if lies[offset] == 1)
            assert all(offset in each.told for offset in listed(those))


@given(histories(), st.dictionaries(st.sampled_from(["hospital-a", "app-a"]), st.integers(0, 1 << 50)))
def test_saved_books_are_read_as_they_were(life, sent):
    state, _ = lived(life[1])
    state.tables["clinical.glucose", Teller.CURATED] = Position(17, 1 << 40)
    state.vault = Position(3, 4)
    saved = Saved(state, 5.5, sent, [("hospital-a", b'{"number":1}')], {"hospital-a": [1, 2]})
    found = from_bytes(to_bytes(saved))
    assert found is not None
    assert differences(found.state, state) == []
    assert views(found.state) == views(state)
    assert {part: each.told for part, each in found.state.parts.items()} == {
        part: each.told for part, each in state.parts.items()
    }
    assert (found.state.tables, found.state.vault) == (state.tables, state.vault)
    assert (found.at, found.sent, found.outbox, found.history) == (5.5, sent, saved.outbox, saved.history)


@pytest.mark.parametrize("cut", [0, 1, 100, -1])
def test_what_cannot_be_read_is_as_nothing(cut, monkeypatch):
    data = to_bytes(Saved(lived([[(GLUCOSE, vault(Place.PARKED), some(1, 2))]])[0]))
    assert from_bytes(data[:cut]) is None or cut == -1
    monkeypatch.setattr(saved, "FORMAT", saved.FORMAT + 1)
    assert from_bytes(data) is None, "another release wrote it"


def test_taking_out_what_is_not_there_changes_nothing():
    state = State()
    state.rows(said({curated(): [1, 2]}), {})
    with pytest.raises(LookupError):
        state.rows(said({curated(): [3]}), said({quarantined(): [2]}))
    assert listed(state.parts[GLUCOSE].labels[curated()].all) == [1, 2]


def test_a_life_is_told_step_by_step():
    state = State()

    def told(steps):
        return [(each.label.place.value, listed(each.offsets), each.amends) for each in steps]

    assert told(state.rows(said({curated(): [0, 1, 2], quarantined(): [3]}), {})) == [
        ("curated", [0, 1, 2], False),
        ("quarantined", [3], False),
    ]
    assert told(state.decided([(GLUCOSE, vault(Place.PARKED), some(4, 5))])) == [("parked", [4, 5], False)]
    # Its person came; it is on its way for a moment, and nothing is said.
    assert told(state.decided([(GLUCOSE, None, some(4))])) == []
    assert told(state.rows(said({curated("parking"): [4]}), {})) == [("curated", [4], True)]
    # It has landed before the vault says that it was released.
    assert told(state.rows(said({curated("parking"): [5]}), {})) == [("curated", [5], True)]
    assert told(state.decided([(GLUCOSE, None, some(5))])) == []
    # A correction: history first, then out of the curated table.
    assert told(state.rows(said({history(Place.SUPERSEDED): [1]}), {})) == []
    assert told(state.rows({}, said({curated(): [1]}))) == [("superseded", [1], True)]
    # Let in again from quarantine.
    assert told(state.rows(said({curated("quarantine", operation="1"): [3]}), {})) == [("curated", [3], True)]
    # Rewritten files say the same.
    assert told(state.rows(said({curated(): [0, 2]}), said({curated(): [0, 2]}))) == []
    found = balance(GLUCOSE, state.parts[GLUCOSE], (0, 6))
    assert (found.missing, found.doubled) == (NOTHING, NOTHING)


def test_the_vault_seals_what_it_had_parked():
    state = State()
    parked = (GLUCOSE, vault(Place.PARKED), some(1, 2))
    told = state.decided([parked, (GLUCOSE, vault(Place.SEALED, "privacy.leak"), some(2))])
    assert [(each.label.place, listed(each.offsets)) for each in told] == [("parked", [1]), ("sealed", [2])]


def test_what_differs_is_named():
    one, other = State(), State()
    one.rows(said({curated(): [1, 2, 3]}), {})
    other.rows(said({curated(): [2, 3, 9, 9]}), {})
    (told,) = differences(one, other)
    assert told.startswith("raw.hospital-a.clinical.glucose/0: as curated (curated) the books have 1 offsets that are ")
    assert told.endswith("not, and lack 1 that are; the first @1.")
    assert differences(one, one) == []
    assert PartState() == PartState()
