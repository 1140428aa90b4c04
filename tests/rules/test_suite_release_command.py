"""By commands: what is released from quarantine or moved there, in numbers first, and only when it is ordered."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner, Result

from biokeel.cli import build
from biokeel.contracts.ids import encode_id
from biokeel.land.lake import Lake
from biokeel.rules.keys import StewardKey
from tests.engine.book_world import AUTHOR, OTHER, TEN, Stewards
from tests.engine.curate_world import PRESSURE, assign, block, feed, land, landed, made_worker

EVENT = str(PRESSURE)
RULE = "bp.systolic.limit"


class Desk:
    """A lake with six quarantined rows that pass by now, and its commands."""

    def __init__(self, lake: Lake, folder: Path) -> None:
        self.lake = lake
        self.folder = folder
        asyncio.run(self._made())
        self.keys = {each.name: self._key_file(each) for each in (AUTHOR, OTHER)}

    async def _started(self, fed: int) -> Any:
        worker = made_worker(self.lake)
        (again,) = (await assign(worker)).values()
        worker._book.events()
        for offset in range(again, fed):
            await feed(worker, block(offset, TEN))
        return worker

    async def _made(self) -> None:
        worker = await self._started(0)
        stewards = Stewards(self.lake)
        stewards.publish(125)
        worker._book.look()
        for offset in range(2):
            await feed(worker, block(offset, TEN))
        await land(worker)
        stewards.publish(300)

    def _key_file(self, steward: StewardKey) -> str:
        path = self.folder / f"{steward.name}.key"
        path.write_text(json.dumps({"steward": steward.name, "key": steward.key.private_bytes_raw().hex()}))
        path.chmod(0o600)
        return str(path)

    def run(self, *arguments: str, by: str = "author") -> Result:
        return CliRunner().invoke(build(), ["suite", *arguments], env={"BIOKEEL_STEWARD_KEY_FILE": self.keys[by]})

    def said(self, *arguments: str, by: str = "author") -> str:
        result = self.run(*arguments, by=by)
        assert result.exit_code == 0, (result.output, result.exception)
        return result.output

    def without(self, *people: int) -> str:
        path = self.folder / "stopped.txt"
        path.write_text("".join(f"{encode_id(each)}\n" for each in people))
        return str(path)

    def carry_out(self) -> None:
        async def all_that_is_due() -> None:
            worker = await self._started(2)
            worker._book.look()
            for _ in range(20):
                await worker._operate()
            assert not worker._operator.due()

        asyncio.run(all_that_is_due())


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    lake = Lake.local(tmp_path / "lake")
    monkeypatch.setattr(Lake, "of", lambda _settings: lake)
    monkeypatch.setattr("biokeel.observe.reach.require_store", lambda _settings: None)
    return Desk(lake, tmp_path)


def test_a_preview_orders_nothing_and_an_order_is_carried_out_and_undone(desk: Desk) -> None:
    preview = desk.said("release", EVENT, "--rule", RULE)
    assert "6 rows would land" in preview
    assert f"failed  {RULE}" in preview
    assert "Nothing is ordered yet" in preview
    assert "nothing was released" in desk.said("operations", EVENT)
    order = ("release", EVENT, "--without", desk.without(4), "--yes", "--reason", "it was wrong")
    assert "left where they are, stopped in the vault: 2" in desk.said(*order)
    assert "release 1 of author, alone" in desk.said("operations", EVENT)
    desk.carry_out()
    assert "4 of 4 rows moved, done; by version 3+" in desk.said("operations", EVENT)
    assert landed(desk.lake)[0].filter(pl.col("operation") == 1).height == 4
    assert "4 rows would go to quarantine, as before operation 1" in desk.said("undo", EVENT, "1")
    desk.said("undo", EVENT, "1", "--yes", "--reason", "a rehearsal")
    desk.carry_out()
    first, second = json.loads(desk.said("operations", EVENT, "--json"))["operations"]
    assert (first["moved"], first["undone_by"], second["moved"], second["undoes"]) == (4, [2], 4, 1)
    assert landed(desk.lake)[0].height == 14


def test_nothing_lands_without_the_list_of_people_whom_the_vault_has_stopped(desk: Desk) -> None:
    refused = desk.run("release", EVENT, "--yes", "--reason", "it was wrong")
    assert refused.exit_code == 2
    assert "biokeel vault stopped" in refused.output.replace("\n", " ")


@pytest.mark.usefixtures("desk")
def test_many_rows_wait_for_a_second_person_who_finds_them_in_the_review(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("biokeel.rules.reverdict.MOST_ALONE", 5)
    order = ("release", EVENT, "--without", desk.without(), "--yes", "--reason", "it was wrong", "--json")
    digest = json.loads(desk.said(*order))["waits_as"]
    assert f"biokeel suite approve {EVENT} {digest[:12]}" in desk.said("review", EVENT)
    assert "another steward approves" in str(desk.run("approve", EVENT, digest[:12]).exception)
    assert "operation 1 is ordered" in desk.said("approve", EVENT, digest[:12], by="other")
    assert "Nothing waits" in desk.said("review", EVENT)


def test_a_request_that_was_rejected_is_not_carried_out(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("biokeel.rules.reverdict.MOST_ALONE", 5)
    order = ("release", EVENT, "--without", desk.without(), "--yes", "--reason", "it was wrong", "--json")
    digest = json.loads(desk.said(*order))["waits_as"][:12]
    desk.said("reject", EVENT, digest, "--reason", "not yet", by="other")
    assert "It was rejected" in str(desk.run("approve", EVENT, digest, by="other").exception)


def test_landed_rows_that_fail_are_listed_and_moved(desk: Desk) -> None:
    stewards = Stewards(desk.lake)
    stewards.publish(121)
    preview = json.loads(desk.said("withdraw", EVENT, "--json"))
    assert (preview["rows"], preview["by_rule"], preview["operation"]) == (8, {RULE: 8}, None)
    desk.said("withdraw", EVENT, "--yes", "--reason", "too high")
    desk.carry_out()
    assert landed(desk.lake)[0]["systolic"].max() == 121


def test_what_cannot_be_is_said(desk: Desk) -> None:
    for arguments, said in (
        (("release", EVENT, "--rule", "no.such"), "has a rule no.such"),
        (("undo", EVENT, "7"), "There is no operation 7"),
        (("withdraw", EVENT, "--yes", "--reason", "x"), "There is nothing to move"),
        (("release", EVENT, "--without", desk.without(), "--yes"), "There is no reason"),
    ):
        assert said in str(desk.run(*arguments).exception)
