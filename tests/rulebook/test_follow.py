"""Workers follow the book: what is in force, what is not, and what stays in force whatever happens to the book."""

from __future__ import annotations

import json
import logging
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biokeel.errors import BookBroken, StoreUnavailable, SuiteError
from biokeel.rulebook import follow, standing
from biokeel.rulebook.book import Book, first_version
from biokeel.rulebook.pages import Kind, Submission, Version, digest_of
from biokeel.validate.suites import suite_path
from tests.rulebook.desk import ANNA, BORA, DIET, SCHEMAS, SLEEP, Desk, MemoryObjects, steward, suite


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def look(worker: Any) -> str:
    worker.look()
    return str(worker.current(SLEEP).version)


def test_the_first_start_writes_version_1_of_each_event_type_and_the_second_finds_it(desk: Desk) -> None:
    first = desk.objects.held[desk.page(1)]
    suite_path(desk.folder, SLEEP).write_text(suite(7))
    worker = desk.worker()
    assert set(worker.events()) == {SLEEP, DIET}
    assert desk.objects.held[desk.page(1)] == first
    assert worker.current(SLEEP).version == f"1+{digest_of(first)[:12]}"


def test_of_two_workers_that_begin_at_once_both_have_what_one_of_them_wrote(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a", MemoryObjects())
    objects = MemoryObjects()
    barrier = threading.Barrier(2)

    class Slow(MemoryObjects):
        def sizes(self, prefix: str) -> dict[str, int]:
            found = objects.sizes(prefix)
            if not found:
                barrier.wait(10)
            return found

        find, put, put_new = objects.find, objects.put, objects.put_new

    found: list[str] = []

    def begin(limit: int) -> None:
        folder = tmp_path / str(limit)
        suite_path(folder, SLEEP).parent.mkdir(parents=True)
        suite_path(folder, SLEEP).write_text(suite(limit))
        worker = follow.FollowedBook(Slow(), {SLEEP: SCHEMAS[SLEEP]}, begin=folder)
        found.append(worker.current(SLEEP).version)

    workers = [threading.Thread(target=begin, args=(limit,)) for limit in (10, 20)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(found) == 2
    assert len(set(found)) == 1
    assert [key for key in objects.held if key.startswith(f"rules/{SLEEP}/")] == [desk.page(1)]


def test_a_new_version_is_in_force_after_the_next_look_and_after_a_restart(desk: Desk) -> None:
    worker = desk.worker()
    before = worker.current(SLEEP).version
    stamp = desk.publish(900)
    assert worker.current(SLEEP).version == before
    assert look(worker) == stamp == desk.worker().current(SLEEP).version
    assert stamp.startswith("2+")


def test_a_look_costs_two_gets_however_many_event_types_there_are(desk: Desk) -> None:
    worker = desk.worker()
    worker.events()
    worker.look()
    desk.objects.calls.clear()
    for _ in range(4):
        worker.look()
    assert len(desk.objects.calls) == 8
    assert {call.split()[0] for call in desk.objects.calls} == {"find"}


def test_a_version_whose_writer_died_before_it_said_so_is_found_in_its_turn(desk: Desk) -> None:
    worker = desk.worker()
    worker.events()
    worker.look()
    newest = desk.objects.held["rules/newest"]
    stamp = desk.publish(900)
    desk.objects.held["rules/newest"] = newest
    assert stamp in {look(worker) for _ in range(2 * len(SCHEMAS))}, "operations have every second turn"


def test_a_store_that_is_away_changes_nothing_and_is_told_once(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    worker = desk.worker()
    worker.events()
    stamp = worker.current(SLEEP).version
    desk.objects.away = True
    caplog.clear()
    assert [look(worker) for _ in range(3)] == [stamp] * 3
    assert len(caplog.records) == 1
    desk.objects.away = False
    later = desk.publish(900)
    assert look(worker) == later


def test_a_worker_that_starts_while_the_store_is_away_says_so(desk: Desk) -> None:
    desk.objects.away = True
    with pytest.raises(StoreUnavailable):
        desk.worker().events()


def forged(desk: Desk, number: int, **changed: Any) -> Version:
    """A version like one by ANNA, approved by BORA, with what `changed` says before it is signed."""
    pages = Book(desk.objects).chain(SLEEP).pages
    author, approver = changed.pop("by", (ANNA, BORA))
    said: dict[str, Any] = {
        "event": str(SLEEP),
        "kind": Kind.DRAFT,
        "parent": pages[-1].number,
        "suite": suite(5),
        "author": author.name,
        "reason": "x",
        "at": "2026-01-01T00:00:00+00:00",
    }
    submitted = Submission(**(said | changed.pop("submitted", {}))).signed(author.key)
    page: dict[str, Any] = {
        "number": number,
        "previous": pages[-1].digest,
        "submitted": submitted,
        "approver": approver.name,
        "four_eyes": True,
        "at": "2026-01-01T00:00:00+00:00",
    }
    return Version(**(page | changed)).signed(approver.key)


STRANGER = steward("stranger")
IMPOSTOR = steward("bora")


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"by": (ANNA, ANNA)}, "approved by its author"),
        ({"by": (STRANGER, BORA)}, "names stranger"),
        ({"by": (ANNA, IMPOSTOR)}, "not signed by bora"),
        ({"previous": "00" * 32}, "follows another version|was changed"),
        ({"number": 3}, "holds version 3"),
        ({"submitted": {"event": str(DIET)}}, "of lifestyle.diet"),
        ({"submitted": {"kind": Kind.FIRST, "parent": 0}}, "first version, or has no parent"),
        ({"submitted": {"parent": 2}}, "no parent before it"),
    ],
)
def test_a_page_that_is_not_approved_by_two_stewards_for_its_place_is_named_and_not_in_force(
    desk: Desk, changed: dict[str, Any], why: str
) -> None:
    worker = desk.worker()
    stamp = worker.current(SLEEP).version
    desk.objects.held[desk.page(2)] = forged(desk, **({"number": 2} | changed)).to_bytes()
    desk.objects.held["rules/newest"] = b"x"
    assert look(worker) == stamp
    assert __import__("re").search(why, worker.standing(SLEEP).fault), worker.standing(SLEEP).fault
    if "previous" not in changed:
        assert desk.worker().current(SLEEP).version == stamp


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b'{"number": "2"}', b"\xff\xfe", b'{"a":1}'])
def test_bytes_that_are_no_page_end_the_chain_there(desk: Desk, data: bytes) -> None:
    stamp = desk.publish(900)
    desk.objects.held[desk.page(3)] = data
    standing = desk.worker().standing(SLEEP)
    assert standing.page.stamp == stamp
    assert desk.page(3) in standing.fault


def test_a_text_that_was_changed_under_its_signatures_is_named_and_the_version_before_stays(desk: Desk) -> None:
    first = desk.worker().current(SLEEP).version
    desk.publish(900)
    page = json.loads(desk.objects.held[desk.page(2)])
    page["submitted"]["suite"] = suite(1)
    desk.objects.held[desk.page(2)] = json.dumps(page).encode()
    standing = desk.worker().standing(SLEEP)
    assert standing.page.stamp == first
    assert "not signed by anna" in standing.fault


def test_a_page_below_that_was_written_anew_is_not_in_force_and_nor_is_what_followed_it(desk: Desk) -> None:
    worker = desk.worker()
    stamp = desk.publish(900)
    assert look(worker) == stamp
    desk.objects.held[desk.page(1)] = first_version(SLEEP, suite(1), "2026-01-01T00:00:00+00:00").to_bytes()
    with pytest.raises(SuiteError, match="was changed after it was written"):
        desk.worker().current(SLEEP)
    desk.objects.held["rules/newest"] = b"x"
    assert look(worker) == stamp, "who runs keeps what it has"


def test_a_gap_is_named_and_nothing_above_it_is_in_force(desk: Desk) -> None:
    worker, first = desk.worker(), desk.worker().current(SLEEP).version
    desk.publish(900)
    stamp = desk.publish(800)
    assert look(worker) == stamp
    second = desk.objects.held.pop(desk.page(2))
    standing = desk.worker().standing(SLEEP)
    assert standing.page.stamp == first
    assert f"{desk.page(2)} is missing" in standing.fault
    late = desk.worker()
    late.events()
    desk.objects.held[desk.page(2)] = second
    desk.objects.held["rules/newest"] = b"mended"
    assert look(late) == stamp, "put back, it holds again"
    assert late.standing(SLEEP).fault == ""


def test_a_version_that_this_release_cannot_compile_is_named_and_the_last_that_compiles_stays(desk: Desk) -> None:
    worker = desk.worker()
    stamp = worker.current(SLEEP).version
    broken = suite(900).replace("expect_column_values_to_be_between", "expect_something_of_a_later_release")
    desk.objects.held[desk.page(2)] = forged(desk, 2, submitted={"suite": broken}).to_bytes()
    desk.objects.held["rules/newest"] = b"x"
    assert look(worker) == stamp == desk.worker().current(SLEEP).version
    assert "Version 2" in worker.standing(SLEEP).fault
    assert len(worker.standing(SLEEP).chain.pages) == 2, "it is in the book, and the next version follows it"


def test_a_suite_on_which_reading_itself_raises_stops_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = desk.worker()
    stamp = worker.current(SLEEP).version
    desk.publish(900)

    def raises(*_: object) -> None:
        raise TypeError("a defect")

    monkeypatch.setattr(standing, "read_suite", raises)
    assert look(worker) == stamp
    assert "cannot be read by this release (TypeError" in worker.standing(SLEEP).fault


def test_what_its_author_approved_alone_is_in_force_only_where_four_eyes_are_off(desk: Desk) -> None:
    first = desk.worker().current(SLEEP).version
    alone = desk.publish(900, ANNA, ANNA)
    assert desk.worker(four_eyes=False).current(SLEEP).version == alone
    strict = desk.worker()
    assert strict.current(SLEEP).version == first
    assert "alone" in strict.standing(SLEEP).fault
    both = desk.publish(800)
    assert look(strict) == both, "the chain goes on over it"


def test_an_event_type_that_begins_with_a_broken_suite_waits_and_the_others_flow(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk(tmp_path)
    desk.objects.held.clear()
    suite_path(tmp_path, SLEEP).write_text("{")
    worker = desk.worker()
    assert worker.events() == (DIET,)
    worker.look()
    assert worker.events() == (DIET,)
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 1
    assert not [key for key in desk.objects.held if str(SLEEP) in key], "a suite that does not compile never enters"
    suite_path(tmp_path, SLEEP).write_text(suite(1))
    worker.look()
    assert set(worker.events()) == {SLEEP, DIET}


def test_a_reader_begins_no_book(tmp_path: Path) -> None:
    objects = MemoryObjects()
    with pytest.raises(SuiteError, match="no version"):
        follow.FollowedBook(objects, SCHEMAS).current(SLEEP)
    assert not objects.held


def test_a_steward_whose_page_was_changed_has_signed_nothing_any_more(desk: Desk) -> None:
    first = desk.worker().current(SLEEP).version
    desk.publish(900)
    page = json.loads(desk.objects.held["rules/stewards/000002.json"])
    page["key"] = STRANGER.public
    desk.objects.held["rules/stewards/000002.json"] = json.dumps(page).encode()
    assert desk.worker().current(SLEEP).version == first
    assert "not signed by anna" in Book(desk.objects).stewards().fault
    with pytest.raises(BookBroken):
        desk.review().introduce("cho", STRANGER.public, ANNA)


NASTY = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["\ud800", "\x00", "", "00" * 32, "é" * 40, [], {}, [[]], {"a": 1}]),
)


@st.composite
def mutated(draw: st.DrawFn, data: bytes) -> bytes:
    """A page in which one place, at any depth, says something else, or whose bytes were cut or turned."""
    if draw(st.booleans()):
        at = draw(st.integers(0, len(data) - 1))
        turned = bytes([data[at] ^ draw(st.integers(0, 255))])
        return data[:at] + (turned + data[at + 1 :] if draw(st.booleans()) else b"")
    document = json.loads(data)
    inside = draw(st.sampled_from([document, document["submitted"]]))
    name = draw(st.sampled_from([*inside, "more"]))
    if draw(st.booleans()) and name in inside:
        del inside[name]
    else:
        inside[name] = draw(NASTY)
    return json.dumps(document).encode("utf-8", "surrogatepass")


@given(st.data())
def test_whatever_stands_in_the_next_page_no_look_raises_and_only_what_was_signed_is_in_force(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    desk = Desk(tmp_path_factory.mktemp("desk"))
    worker = desk.worker()
    stamp = worker.current(SLEEP).version
    good = forged(desk, 2).to_bytes()
    changed = data.draw(mutated(good))
    desk.objects.held[desk.page(2)] = changed
    desk.objects.held["rules/newest"] = b"x"
    after = look(worker)
    if after != stamp:
        assert json.loads(changed) == json.loads(good), "another writing of the same words"
    assert worker.standing(SLEEP).fault or after != stamp
