"""An event of a variant file goes on once its file is checked, and is sealed by name where the file is refused."""

from __future__ import annotations

import gzip
from pathlib import Path

import polars as pl
import pytest

from biokeel.contracts.ids import encode_ids
from biokeel.contracts.topics import event_type
from biokeel.contracts.variants import READY
from biokeel.errors import EngineError, StoreUnavailable
from biokeel.files import child
from biokeel.files.child import Answer
from biokeel.files.metrics import FilesMetrics
from biokeel.files.worker import turn
from biokeel.reasons import Reason
from biokeel.vault.decisions import Decisions
from biokeel.vault.files import FileVerdict
from tests.files.checked_world import LANDING, SAMPLE, Files, FolderBucket
from tests.pseudonymise.conftest import World, offsets, origin, stride, tmp_path, world
from tests.pseudonymise.test_crashes import books, every_death
from tests.variant_files import vcf

__all__ = ["stride", "tmp_path", "world"]

ENROLMENT = event_type("person.enrolment")


@pytest.fixture
def files(world: World) -> Files:
    return Files(world)


def sealed(files: Files, wall) -> list[tuple[int, str | None]]:
    return [(offset, reason) for offset, place, reason in files.books(wall) if place == "sealed"]


def test_an_event_waits_for_the_check_and_goes_on_with_what_stands_in_its_files_place(files: Files) -> None:
    wall = files.world.wall()
    files.world.enrol(wall, SAMPLE)
    claimed = files.put()
    assert wall.process(files.claim(claimed)).parked == 1
    assert files.release(wall) == []
    (verdict,) = files.check(wall)
    (row,) = files.release(wall)
    name = encode_ids(pl.Series([row["participant"]])).item()
    assert files.checked.keys() == [f"{name}/{row['sha256']}.vcf.gz"]
    made = (files.checked.folder / files.checked.keys()[0]).read_bytes()
    assert (row["stream"], row["raw_offset"], row["first_offset"]) == ("parking", 0, 0)
    assert (row["size_bytes"], row["file_format"], row["reference_build"]) == (len(made), "vcf.gz", "GRCh38")
    assert row["sha256"] != claimed["sha256"]
    assert verdict == FileVerdict(row["participant"], size=len(made), sha256=str(row["sha256"]), file_format="vcf.gz")
    text = gzip.decompress(made).decode()
    assert f"\tFORMAT\t{name}\n" in text
    assert SAMPLE not in text
    assert files.books(wall) == [(0, "released", None)]
    assert files.check(wall) == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"uri": f"s3://{LANDING}/hospital-one/none.vcf.gz"}, Reason.FILE_MISSING),
        ({"size_bytes": 5}, Reason.FILE_HASH),
        ({"sha256": "0123456789abcdef" * 4}, Reason.FILE_HASH),
        ({"file_format": "bcf"}, Reason.FILE_FORMAT),
        ({"reference_build": "GRCh37"}, Reason.FILE_BUILD),
        ({"sample_names": ["KB-99999"]}, Reason.FILE_NOT_THE_SUBJECTS),
        ({"sample_names": [SAMPLE, "KB-99999"], "sample_count": 2}, Reason.FILE_NOT_THE_SUBJECTS),
        ({"sample_names": [SAMPLE, "unknown"], "sample_count": 2}, Reason.FILE_NOT_THE_SUBJECTS),
        ({"sample_names": [SAMPLE, "KB-54321"], "sample_count": 2}, Reason.FILE_SAMPLES),
    ],
)
def test_an_event_whose_file_is_refused_is_sealed_by_name_and_nothing_is_written(
    files: Files, change: dict[str, object], reason: Reason
) -> None:
    wall = files.world.wall()
    other = {"scheme": "hospital/one", "value": "KB-54321", "period": None}
    files.world.enrol(wall, SAMPLE, identifiers=[{"scheme": other["scheme"], "value": other["value"]}])
    files.world.enrol(wall, "KB-99999")
    wall.process(files.claim(files.put() | change))
    (verdict,) = files.check(wall)
    assert verdict is not None
    assert verdict.reason is reason  # type: ignore[attr-defined]
    result = wall.releases(READY, origin(0), 10)
    assert (result.batch, dict(result.counts)) == (None, {reason: 1})
    assert sealed(files, wall) == [(0, reason)]
    assert files.checked.keys() == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"uri": "not a uri"}, Reason.FILE_URI),
        ({"uri": "s3://another/hospital-one/a.vcf.gz"}, Reason.FILE_URI),
        ({"uri": f"s3://{LANDING}/hospital-two/a.vcf.gz"}, Reason.FILE_URI),
        ({"uri": f"s3://{LANDING}/hospital-one/"}, Reason.FILE_URI),
        ({"uri": f"s3://{LANDING}/hospital-one/a\n"}, Reason.FILE_URI),
        ({"sample_names": [SAMPLE, "b", "c"]}, Reason.FILE_SAMPLES),
        ({"sample_names": []}, Reason.FILE_SAMPLES),
    ],
)
def test_what_the_event_alone_shows_to_be_wrong_is_sealed_at_once(files: Files, change, reason: Reason) -> None:
    wall = files.world.wall()
    files.world.enrol(wall, SAMPLE)
    assert dict(wall.process(files.claim(files.put() | change)).counts) == {reason: 1}
    assert files.check(wall) == []


def test_a_file_of_broken_bytes_is_refused_with_the_rule_that_it_breaks(files: Files) -> None:
    wall = files.world.wall()
    files.world.enrol(wall, SAMPLE)
    wall.process(files.claim(files.put(vcf((SAMPLE,), records=["nothing"]))))
    (verdict,) = files.check(wall)
    assert verdict.reason is Reason.FILE_NOT_A_VCF  # type: ignore[attr-defined]
    assert verdict.detail  # type: ignore[attr-defined]


def test_an_event_waits_for_its_person_first_and_for_its_file_then(files: Files) -> None:
    wall = files.world.wall()
    assert wall.process(files.claim(files.put())).parked == 1
    assert files.check(wall) == []
    files.world.enrol(wall, SAMPLE)
    assert files.release(wall) == []
    assert len(files.check(wall)) == 1
    assert [row["first_offset"] for row in files.release(wall)] == [0]
    assert files.books(wall) == [(0, "released", None)]


def test_who_has_not_consented_or_has_withdrawn_has_no_file_written(files: Files) -> None:
    wall = files.world.wall()
    files.world.enrol(wall, SAMPLE, consent_scope=["clinical"])
    assert dict(wall.process(files.claim(files.put())).counts) == {Reason.NO_CONSENT: 1}
    files.world.person(wall, "consent_change", {"subject_id": SAMPLE, "consent_scope": ["genome"]})
    wall.process(files.claim(files.put(name="b.vcf.gz")))
    files.world.person(wall, "withdrawal", {"subject_id": SAMPLE})
    assert files.check(wall) == [None]
    assert files.release(wall) == []
    assert sealed(files, wall) == [(0, Reason.NO_CONSENT), (1, Reason.WITHDRAWN)]
    assert files.checked.keys() == []


def test_a_withdrawal_after_the_check_seals_the_event(files: Files) -> None:
    wall = files.world.wall()
    files.world.enrol(wall, SAMPLE)
    wall.process(files.claim(files.put()))
    files.check(wall)
    files.world.person(wall, "withdrawal", {"subject_id": SAMPLE})
    assert files.release(wall) == []
    assert sealed(files, wall) == [(0, Reason.WITHDRAWN)]


def test_a_person_who_is_merged_after_the_check_has_the_file_written_with_the_new_id(files: Files) -> None:
    wall = files.world.wall()
    files.world.enrol(wall, SAMPLE)
    files.world.enrol(wall, "Q-1")
    wall.process(files.claim(files.put()))
    (first,) = files.check(wall)
    files.world.person(wall, "merge", {"subject_id": "Q-1", "merged_id": SAMPLE})
    assert files.release(wall) == [], "the file has another's ID"
    (second,) = files.check(wall)
    assert first.participant != second.participant  # type: ignore[attr-defined]
    (row,) = files.release(wall)
    assert (row["participant"], row["sha256"]) == (second.participant, second.sha256)  # type: ignore[attr-defined]
    assert files.books(wall) == [(0, "released", None)]


def test_people_who_change_while_a_file_is_looked_at_do_not_make_it_be_looked_at_again(
    files: Files, monkeypatch
) -> None:
    wall = files.world.wall()
    files.world.enrol(wall, SAMPLE)
    files.world.enrol(wall, "Q-1")
    wall.process(files.claim(files.put()))
    runs = 0
    real = child.run

    def run(*given):
        nonlocal runs
        runs += 1
        files.world.person(wall, "consent_change", {"subject_id": "Q-1", "consent_scope": ["genome"]})
        return real(*given)

    monkeypatch.setattr(child, "run", run)
    assert len(files.check(wall)) == 1
    assert runs == 1
    assert len(files.release(wall)) == 1


def test_a_merge_while_a_file_is_looked_at_makes_it_be_looked_at_again_and_writes_one(
    files: Files, monkeypatch
) -> None:
    wall = files.world.wall()
    files.world.enrol(wall, SAMPLE)
    files.world.enrol(wall, "Q-1")
    wall.process(files.claim(files.put()))
    real, runs = child.run, 0

    def run(*given):
        nonlocal runs
        runs += 1
        if runs == 1:
            files.world.person(wall, "merge", {"subject_id": "Q-1", "merged_id": SAMPLE})
        return real(*given)

    monkeypatch.setattr(child, "run", run)
    (verdict,) = files.check(wall)
    assert runs == 2
    (row,) = files.release(wall)
    assert row["participant"] == verdict.participant  # type: ignore[attr-defined]
    assert len(files.checked.keys()) == 1


def test_an_event_that_takes_another_back_needs_no_file(files: Files) -> None:
    wall = files.world.wall()
    files.world.enrol(wall, SAMPLE)
    result = wall.process(files.claim(files.put() | {"status": "entered-in-error"}))
    assert offsets(result.batch) == [0]


def test_an_event_that_went_on_before_files_were_checked_goes_on_again(files: Files) -> None:
    files.world.landing = ""
    wall = files.world.wall()
    files.world.enrol(wall, SAMPLE)
    batch = files.claim({**files.put(), "uri": "not a uri"})
    assert offsets(wall.process(batch).batch) == [0]
    files.world.landing = LANDING
    assert offsets(files.world.wall().process(batch).batch) == [0]


def test_two_events_of_one_file_have_one_object_and_two_checkers_decide_once(files: Files) -> None:
    wall = files.world.wall()
    files.world.enrol(wall, SAMPLE)
    wall.process(files.claim(files.put(), files.put()))
    one, two = files.checker(wall), files.checker(files.world.wall())
    waiting = wall._vault.waits_for_files(10)
    assert [one.check(*each) is not None for each in waiting] == [True, True]
    assert [two.check(*each) for each in waiting] == [None, None]
    assert [row["raw_offset"] for row in files.release(wall)] == [0, 1]
    assert len(files.checked.keys()) == 1


def test_what_waits_for_its_file_is_in_the_books_and_no_verdict_tells_of_a_person(files: Files) -> None:
    wall = files.world.wall()
    files.world.enrol(wall, SAMPLE)
    wall.process(files.claim(files.put()))
    decisions = Decisions.open(files.world.settings)
    assert decisions.whole().frame.filter(pl.col("event") == str(READY))["place"].to_list() == ["parked"]
    files.check(wall)
    assert decisions.whole().frame.filter(pl.col("event") == str(READY))["place"].to_list() == ["parked"]
    files.release(wall)
    log = decisions.since(-1, 0)
    assert log is not None
    assert log.frame.filter(pl.col("event") == str(READY))["place"].to_list() == ["parked", "released"]
    decisions.close()


@pytest.mark.parametrize("method", ["size_of", "fetch", "put_file_new"])
def test_a_store_that_is_away_refuses_no_file(files: Files, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    wall = files.world.wall()
    files.world.enrol(wall, SAMPLE)
    wall.process(files.claim(files.put()))

    def away(*_):
        raise StoreUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(FolderBucket, method, away)
        with pytest.raises(StoreUnavailable):
            files.check(wall)
    assert files.books(wall) == [(0, "parked", None)]
    files.check(wall)
    assert len(files.release(wall)) == 1


def test_a_check_that_comes_to_nothing_keeps_its_event_waiting_and_lets_the_others_on(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    wall = files.world.wall()
    files.world.enrol(wall, SAMPLE)
    wall.process(files.claim(files.put(), files.put()))
    real, runs = child.run, 0

    def run(*given):
        nonlocal runs
        runs += 1
        if runs == 1:
            raise EngineError("ended by somebody")
        return real(*given)

    monkeypatch.setattr(child, "run", run)
    metrics = FilesMetrics()
    assert not turn(files.checker(wall), metrics)
    assert [offset for offset, place, _ in files.books(wall) if place == "parked"] == [0, 1]
    assert [row["first_offset"] for row in files.release(wall)] == [1]
    assert turn(files.checker(wall), metrics)
    assert [row["first_offset"] for row in files.release(wall)] == [0]
    assert metrics.registry.get_sample_value("biokeel_files_checked_total", {"reason": "good"}) == 2


# -- death at every step


@pytest.mark.parametrize("late", [False, True])
def test_dying_at_any_statement_of_the_whole_way_of_a_file_loses_and_doubles_nothing(
    tmp_path: Path, late: bool, stride: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One good file, one that is refused; with `late`, the person is enrolled after the events came.

    The process that rewrites has no part in what is durable, so it is one here that is quicker.
    """

    def run(source, target, _size, _claimed, names):
        target.write("".join(names).encode() + source.read())
        return Answer(None)

    monkeypatch.setattr(child, "run", run)
    start = Files(World(tmp_path / "start"))
    wall = start.world.wall()
    enrol = start.world.batch(ENROLMENT, [{"subject_id": SAMPLE}])
    if not late:
        wall.process(enrol)
    batch = start.claim(start.put(), start.put() | {"sha256": "0123456789abcdef" * 4})
    start.world.close()

    def act(files: Files, wall, emit) -> None:
        result = wall.process(batch)
        assert result.batch is None
        if late:
            wall.process(enrol)
            files.release(wall, emit)
        files.check(wall)
        files.release(wall, emit)

    def state(files: Files):
        return [books(files.world), len(files.checked.keys())]

    def sent(emitted: list[tuple[object, ...]]):
        """Which events went on, and how many they are with their numbers and contents: one number has one content."""
        return {each[2] for each in emitted}, len({each[1:] for each in emitted})

    steps, want = every_death(tmp_path, stride, lambda folder: Files(World(folder)), act, act, state, sent)
    assert [each[2] for each in want] == [0]
    assert steps >= 20
