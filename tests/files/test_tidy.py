"""A file that no event names is found and deleted; one that an event names, or may name in a moment, never is."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from biokeel.contracts.topics import event_type
from biokeel.errors import VaultError
from biokeel.files import child
from biokeel.files.child import Answer
from biokeel.files.tidy import Tidied, tidy_files
from tests.files.checked_world import SAMPLE, Files, FolderBucket
from tests.pseudonymise.conftest import World, stride, tmp_path
from tests.pseudonymise.test_crashes import every_death

__all__ = ["stride", "tmp_path"]
ENROLMENT = event_type("person.enrolment")
LATER = dt.datetime(2100, 1, 1, tzinfo=dt.UTC)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(source: Any, target: Any, _size: object, _claimed: object, names: list[str]) -> Answer:
        target.write("".join(names).encode() + source.read())
        return Answer(None)

    monkeypatch.setattr(child, "run", run)


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Files]:
    made = Files(World(tmp_path))
    yield made
    made.close()


def begun(files: Files) -> Any:
    """A wall with an event that waits for its file."""
    wall = files.wall()
    wall.process(files.world.batch(ENROLMENT, [{"subject_id": SAMPLE}]))
    wall.process(files.claim(files.put()))
    return wall


def left_behind(files: Files, key: str = "7Z0Q3K9M2PXAB4/" + "ab" * 32 + ".vcf.gz", age_days: int = 9) -> str:
    path = files.checked.folder / key
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"left")
    then = dt.datetime.now(dt.UTC).timestamp() - age_days * 86_400
    os.utime(path, (then, then))
    return key


def tidy(files: Files, wall: Any, before: dt.datetime = LATER, *, delete: bool = True) -> Tidied:
    return tidy_files(wall._vault, files.checked, before, delete=delete)


def test_what_no_event_names_is_counted_and_deleted_if_asked_and_what_one_names_stays(files: Files) -> None:
    wall = begun(files)
    files.check(wall)
    (named,) = files.checked.keys()
    left = left_behind(files)
    assert tidy(files, wall, delete=False) == Tidied(files=1, size=4)
    assert sorted(files.checked.keys()) == sorted([named, left])
    assert tidy(files, wall) == Tidied(files=1, size=4, deleted=1)
    assert files.checked.keys() == [named]
    assert tidy(files, wall) == Tidied()


def test_what_is_younger_than_asked_for_is_left_alone(files: Files) -> None:
    wall = files.wall()
    left_behind(files, age_days=2)
    before = dt.datetime.now(dt.UTC) - dt.timedelta(days=3)
    assert tidy(files, wall, before) == Tidied()
    assert len(files.checked.keys()) == 1


def test_what_is_older_than_an_accepted_older_vault_is_left_alone(files: Files) -> None:
    wall = files.wall()
    left_behind(files)
    wall._vault.accept({})
    assert tidy(files, wall) == Tidied(kept=1)
    assert len(files.checked.keys()) == 1


@pytest.mark.parametrize("died", [False, True])
def test_a_file_that_is_deleted_before_its_verdict_is_written_again(
    files: Files, monkeypatch: pytest.MonkeyPatch, died: bool
) -> None:
    """The worst moment: a checker has found its file there, and somebody takes it for left behind."""
    wall = begun(files)
    put = FolderBucket.put_file_new
    times = 0

    def put_and_tidied(self: FolderBucket, key: str, *rest: Any) -> bool:
        nonlocal times
        new, times = put(self, key, *rest), times + 1
        if times == 1 and died:
            assert wall._vault.condemn_file(key)
        elif times == 1:
            assert tidy(files, wall).deleted == 1
        return new

    monkeypatch.setattr(FolderBucket, "put_file_new", put_and_tidied)
    with pytest.raises(VaultError):
        files.check(wall)
    if died:
        with pytest.raises(VaultError, match="tidy-files"):
            files.check(wall)
        assert tidy(files, wall).deleted == 1
    (verdict,) = files.check(wall)
    assert files.checked.keys() == [verdict.key]
    assert tidy(files, wall) == Tidied()
    assert len(files.release(wall)) == 1


def test_dying_at_any_statement_deletes_no_file_that_an_event_names_and_leaves_none_that_none_does(
    tmp_path: Path, stride: int
) -> None:
    start = Files(World(tmp_path / "start"))
    begun(start)
    left_behind(start)
    start.world.close()

    def act(files: Files, wall: Any, _emit: object) -> None:
        tidy(files, wall)
        files.check(wall)
        tidy(files, wall)

    def state(files: Files) -> list[object]:
        wall = files.wall()
        named, _ = wall._vault.named_files()
        assert named == set(files.checked.keys()), "what is named is there, and nothing else"
        return [sorted(named), wall._vault.condemned_files()]

    steps, _ = every_death(tmp_path, stride, lambda folder: Files(World(folder)), act, act, state, lambda _: None)
    assert steps >= 5
