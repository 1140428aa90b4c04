"""Drafts are submitted, approved by another, rejected, rolled back; whoever dies or is quicker."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from biokeel.errors import BookBroken, NotApproved
from biokeel.rulebook.pages import Kind, Submission, digest_of, submission_key
from biokeel.rules.drafts import Draft
from biokeel.rules.keys import StewardKey
from tests.rulebook.desk import ANNA, BORA, SAMPLES, SCHEMAS, SLEEP, Desk, MemoryObjects, steward, suite


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_draft_is_in_force_once_another_steward_approves_it(desk: Desk) -> None:
    review = desk.review()
    waiting = review.submit(SLEEP, desk.draft(900), ANNA, "Nobody sleeps for fifteen hours.")
    assert [each.digest for each in review.waiting(SLEEP)] == [waiting.digest]
    page = review.approve(SLEEP, waiting.digest[:12], BORA)
    assert review.waiting(SLEEP) == []
    version = desk.worker().standing(SLEEP).page.version
    assert page.version == version
    assert (version.number, version.submitted.parent, version.submitted.author, version.approver) == (
        2,
        1,
        "anna",
        "bora",
    )
    assert version.submitted.reason == "Nobody sleeps for fifteen hours."
    assert version.submitted.kind is Kind.DRAFT


def test_an_author_never_approves_but_where_four_eyes_are_off_and_then_the_version_says_so(desk: Desk) -> None:
    digest = desk.submit(900)
    with pytest.raises(NotApproved, match="is the author"):
        desk.review().approve(SLEEP, digest, ANNA)
    page = desk.review(four_eyes=False).approve(SLEEP, digest, ANNA)
    assert page.is_alone
    assert not page.version.four_eyes


@pytest.mark.parametrize("who", [steward("cho"), steward("bora")], ids=["unknown", "another key"])
def test_whom_the_book_does_not_know_by_this_key_can_neither_submit_nor_decide(desk: Desk, who: StewardKey) -> None:
    digest, review = desk.submit(900), desk.review()
    for attempt in (
        lambda: desk.submit(800, who),
        lambda: review.approve(SLEEP, digest, who),
        lambda: review.reject(SLEEP, digest, who, "no"),
        lambda: review.roll_back(SLEEP, 1, who, "no"),
    ):
        with pytest.raises(NotApproved, match="The book knows"):
            attempt()
    assert desk.worker().standing(SLEEP).page.number == 1


def test_a_key_has_one_name_and_a_name_one_key(desk: Desk) -> None:
    review = desk.review()
    assert not review.introduce("bora", BORA.public, ANNA), "known already: nothing to do"
    with pytest.raises(NotApproved, match="This key is bora's"):
        review.introduce("bora-too", BORA.public, BORA)
    with pytest.raises(NotApproved, match="another key"):
        review.introduce("bora", steward("bora").public, ANNA)
    with pytest.raises(NotApproved, match="no steward"):
        review.introduce("cho", steward("cho").public, steward("dora"))


def test_the_first_steward_introduces_itself_and_nobody_else(desk: Desk) -> None:
    for key in [key for key in desk.objects.held if "stewards" in key]:
        desk.objects.delete(key)
    with pytest.raises(NotApproved, match="introduces itself"):
        desk.review().introduce("cho", steward("cho").public, ANNA)
    assert desk.review().introduce("anna", ANNA.public, ANNA)


def test_of_two_drafts_of_one_parent_the_second_is_refused_wherever_it_stands(desk: Desk) -> None:
    review = desk.review()
    drafted, first, second = desk.draft(700), desk.submit(900), desk.submit(800, BORA)
    review.approve(SLEEP, first, BORA)
    with pytest.raises(NotApproved, match="biokeel suite rebase"):
        review.approve(SLEEP, second, ANNA)
    with pytest.raises(NotApproved, match="biokeel suite rebase"):
        review.submit(SLEEP, drafted, ANNA, "late")
    assert [each.outdated for each in review.waiting(SLEEP)] == [True]
    assert desk.worker().standing(SLEEP).page.number == 2


@pytest.mark.parametrize(
    ("text", "samples", "why"),
    [
        ("{", SAMPLES, "not JSON"),
        (suite(900).replace("between", "betwixt"), SAMPLES, "expect_column_values_to_be_betwixt"),
        (suite(900).replace("minutes_asleep", "minutes"), SAMPLES, "minutes"),
        (suite(2000), SAMPLES, "sample 1: long has another verdict"),
        (suite(900), None, "no sample rows"),
        (suite(1440), SAMPLES, "changes nothing"),
    ],
    ids=["no JSON", "unknown expectation", "unknown column", "samples fail", "no samples", "the same"],
)
def test_a_draft_that_does_not_check_or_whose_samples_fail_is_refused(
    desk: Desk, text: str, samples: str | None, why: str
) -> None:
    stamp = desk.worker().standing(SLEEP).page.stamp
    with pytest.raises(NotApproved, match=why):
        desk.review().submit(SLEEP, Draft(text, stamp, samples), ANNA, "because")
    assert desk.review().waiting(SLEEP) == []


def test_without_a_reason_nothing_is_submitted_rejected_or_rolled_back(desk: Desk) -> None:
    digest, review = desk.submit(900), desk.review()
    for attempt in (
        lambda: review.submit(SLEEP, desk.draft(800), ANNA, " "),
        lambda: review.reject(SLEEP, digest, BORA, ""),
    ):
        with pytest.raises(NotApproved, match="no reason"):
            attempt()


def test_what_would_quarantine_more_than_a_share_of_the_last_week_needs_a_reason_of_its_own(desk: Desk) -> None:
    asked: list[Any] = []

    def share(standing: Any, text: str) -> float:
        asked.append((standing.page.number, text))
        return 0.25

    review = desk.review(share=share)
    with pytest.raises(NotApproved, match=r"25\.0%.*--force"):
        review.submit(SLEEP, desk.draft(900), ANNA, "because")
    assert asked == [(1, suite(900))]
    waiting = review.submit(SLEEP, desk.draft(900), ANNA, "because", "The device was sold with a wrong clock.")
    page = review.approve(SLEEP, waiting.digest, BORA)
    assert page.version.submitted.forced == "The device was sold with a wrong clock."


def test_a_rollback_is_a_new_version_with_the_old_text_and_is_reviewed_like_any_other(desk: Desk) -> None:
    desk.publish(900)
    review = desk.review()
    with pytest.raises(NotApproved, match="changes nothing"):
        review.roll_back(SLEEP, 2, ANNA, "no")
    with pytest.raises(NotApproved, match="no version 9"):
        review.roll_back(SLEEP, 9, ANNA, "no")
    waiting = review.roll_back(SLEEP, 1, ANNA, "It was wrong.")
    with pytest.raises(NotApproved, match="author"):
        review.approve(SLEEP, waiting.digest, ANNA)
    page = review.approve(SLEEP, waiting.digest, BORA)
    assert page.number == 3
    assert page.version.submitted.kind is Kind.ROLLBACK
    assert page.version.submitted.suite == suite(1440)


def test_what_was_rejected_is_not_approved_and_what_is_in_force_is_not_rejected(desk: Desk) -> None:
    review, digest = desk.review(), desk.submit(900)
    review.reject(SLEEP, digest, BORA, "Shift workers do.")
    assert review.waiting(SLEEP) == []
    with pytest.raises(NotApproved, match="bora rejected it: Shift workers do"):
        review.approve(SLEEP, digest, BORA)
    with pytest.raises(NotApproved, match="rejected"):
        review.reject(SLEEP, digest, ANNA, "again")
    other = desk.submit(800)
    review.approve(SLEEP, other, BORA)
    with pytest.raises(NotApproved, match="in force"):
        review.reject(SLEEP, other, BORA, "late")


def test_a_submission_that_somebody_forged_is_not_shown_and_not_approved(desk: Desk) -> None:
    said = {"event": str(SLEEP), "kind": Kind.DRAFT, "parent": 1, "suite": suite(1), "author": "anna", "reason": "x"}
    forged = Submission(**said, at="2026-01-01T00:00:00+00:00").signed(steward("anna").key).to_bytes()
    desk.objects.put(submission_key(SLEEP, digest_of(forged)), forged)
    good = desk.submit(900)
    desk.objects.put(submission_key(SLEEP, "00" * 32), desk.objects.held[submission_key(SLEEP, good)])
    assert [each.digest for each in desk.review().waiting(SLEEP)] == [good]
    for digest in (digest_of(forged), "00" * 32):
        with pytest.raises(BookBroken):
            desk.review().approve(SLEEP, digest, BORA)


def test_nothing_is_added_to_a_book_that_is_broken(desk: Desk) -> None:
    desk.publish(900)
    digest = desk.submit(800)
    desk.objects.held[desk.page(3)] = b"junk"
    with pytest.raises(BookBroken, match="000003"):
        desk.review().approve(SLEEP, digest, BORA)
    assert desk.worker().standing(SLEEP).page.number == 2


class Dies(MemoryObjects):
    """The process dies at its `at`-th write, before it or after it."""

    def __init__(self, held: dict[str, bytes], at: int, *, after: bool) -> None:
        super().__init__()
        self.held, self.left, self.after = held, at, after

    def put(self, key: str, data: bytes) -> None:
        self._write(lambda: super(Dies, self).put(key, data))

    def put_new(self, key: str, data: bytes) -> bool:
        return bool(self._write(lambda: super(Dies, self).put_new(key, data)))

    def _write(self, write: Callable[[], Any]) -> Any:
        self.left -= 1
        if self.left == 0 and not self.after:
            raise KeyboardInterrupt
        wrote = write()
        if self.left == 0:
            raise KeyboardInterrupt
        return wrote


def whole_way(desk: Desk) -> None:
    """A steward is introduced, a draft submitted and approved, another rejected, the first rolled back."""
    review = desk.review()
    review.introduce("cho", CHO.public, ANNA)
    if desk.worker().standing(SLEEP).page.number == 1:
        desk.review().approve(SLEEP, desk.submit(900), CHO)
    if desk.worker().standing(SLEEP).page.number == 2:
        if not any("rejected" in key for key in desk.objects.held):
            review.reject(SLEEP, desk.submit(800), CHO, "no")
        review.approve(SLEEP, review.roll_back(SLEEP, 1, ANNA, "back").digest, BORA)


CHO = steward("cho")


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", range(1, 11))
def test_who_dies_at_any_write_and_begins_again_comes_to_the_same_book(desk: Desk, at: int, after: bool) -> None:
    held = desk.objects.held
    dying = Dies(held, at, after=after)
    desk.objects = dying
    died = False
    try:
        whole_way(desk)
    except KeyboardInterrupt:
        died = True
    assert died == (at <= 9), "there are nine writes"
    desk.objects = MemoryObjects()
    desk.objects.held = held
    worker = desk.worker()
    for _ in SCHEMAS:
        worker.look()
    assert worker.standing(SLEEP).fault == "", "whatever stands there now, holds"
    whole_way(desk)
    standing = desk.worker().standing(SLEEP)
    assert [page.version.submitted.kind for page in standing.chain.pages] == [Kind.FIRST, Kind.DRAFT, Kind.ROLLBACK]
    assert standing.fault == ""
    assert desk.review().waiting(SLEEP) == []
    assert list(desk.review().stewards().keys) == ["anna", "bora", "cho"]


def test_who_approves_what_somebody_else_just_approved_finds_it_in_force(desk: Desk) -> None:
    digest = desk.submit(900)
    desk.review().introduce("cho", CHO.public, ANNA)

    class Quicker(MemoryObjects):
        def put_new(self, key: str, data: bytes) -> bool:
            if key == desk.page(2) and key not in self.held:
                desk.review().approve(SLEEP, digest, CHO)
            return super().put_new(key, data)

    own = Quicker()
    own.held = desk.objects.held
    theirs, desk.objects = desk.objects, own
    review = desk.review()
    desk.objects = theirs
    assert review.approve(SLEEP, digest, BORA).version.approver == "cho"
    assert json.loads(own.held[desk.page(2)])["approver"] == "cho"
