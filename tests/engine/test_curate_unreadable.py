"""Messages of a pseudo topic that are no blocks: put aside, told, left out of every replay; the others go on."""

import asyncio
from types import SimpleNamespace

import numpy as np
import pytest

from biokeel.batch import Refusal
from biokeel.contracts.blocks import HEADER_FORMAT
from biokeel.engine.records import Records
from biokeel.errors import ContractError, PoisonBatch
from biokeel.land.aside import Aside
from biokeel.land.lake import Lake
from biokeel.land.tables import EventTables
from biokeel.reasons import Reason
from tests.engine.curate_world import AT, PRESSURE, assign, block, damaged, feed, land, landed, offsets, run, scenario


def foreign(offset):
    return SimpleNamespace(offset=offset, value=b"850101-1234567", headers=[("who", b"else")], timestamp=0)


def test_a_damaged_block_is_put_aside_with_what_it_was_to_hold_and_the_others_land(tmp_path, caplog):
    curated, _ = run(tmp_path, scenario(block(0, [120]), damaged(block(1, [121, 122])), block(2, [123])))
    assert offsets(curated) == [0, 200]
    (kept,) = Aside(Lake.local(tmp_path)).all()
    assert str(kept) == "pseudo.clinical.blood_pressure/0@1 (rows of raw 0:100-101)"
    assert str(kept) in caplog.text
    assert kept.size == len(block(1, [121, 122]).value)


def test_blocks_in_one_delivery_with_a_damaged_one_land(tmp_path):
    async def together(worker, lake):
        await assign(worker)
        await feed(worker, damaged(block(0, [120])), block(1, [121]), damaged(block(2, [122])))
        await land(worker)
        worker.check()
        return landed(lake)

    curated, _ = run(tmp_path, together)
    assert offsets(curated) == [100]


@pytest.mark.parametrize("record", [foreign(1), SimpleNamespace(offset=1, value=None, headers=[], timestamp=0)])
def test_of_a_message_that_never_was_a_block_only_the_place_is_kept(tmp_path, record):
    curated, _ = run(tmp_path, scenario(block(0, [120]), record, block(2, [121])))
    assert offsets(curated) == [0, 200]
    (kept,) = Aside(Lake.local(tmp_path)).all()
    assert str(kept) == "pseudo.clinical.blood_pressure/0@1 (no block)"
    everything = b"".join(path.read_bytes() for path in (tmp_path / "aside").rglob("*") if path.is_file())
    assert b"850101" not in everything


def test_what_is_aside_stays_aside_although_it_could_be_read_by_now(tmp_path):
    """Else a replay would rebuild the linking state with rows that are in no table."""
    run(tmp_path, scenario(block(0, [120]), damaged(block(1, [121])), block(2, [122])))
    again = scenario(block(0, [120]), block(1, [121]), block(2, [122]), block(3, [123], 202))
    curated, _ = run(tmp_path, again)
    assert offsets(curated) == [0, 200, 202]
    assert curated["sequence"].to_list() == [1, 2, 3]


def test_a_batch_of_kafkas_that_was_not_unpacked_is_put_aside_and_what_stands_around_it_lands(tmp_path):
    async def refused(worker, lake):
        await assign(worker)
        await feed(worker, block(0, [120]))
        offsets, values = np.array([1, 2]), [b"a packed batch", None]
        why = Refusal(Reason.TOO_LARGE, "in a batch of 14 bytes that unpacks to more than 8")
        packed = Records(offsets, values, [[], []], 0, why)
        await worker.take([worker.ledger.deliver(AT, packed)])
        await feed(worker, block(3, [121]))
        await land(worker)
        worker.check()
        return landed(lake)

    curated, _ = run(tmp_path, refused)
    assert offsets(curated) == [0, 300]
    kept = Aside(Lake.local(tmp_path)).all()
    assert [(each.offset, each.size) for each in kept] == [(1, 14), (2, 0)]
    assert all("unpacks to more than 8" in each.why for each in kept)
    assert not list((tmp_path / "aside").rglob("*.block")), "nobody has seen that it came through the wall"


def test_another_format_is_no_damage_and_ends_the_worker(tmp_path):
    record = block(0, [120])
    headers = [(name, b"1" if name == HEADER_FORMAT else value) for name, value in record.headers]
    with pytest.raises(ContractError, match="another format"):
        run(tmp_path, scenario(SimpleNamespace(**{**vars(record), "headers": headers})))
    assert Aside(Lake.local(tmp_path)).all() == []


def test_more_damage_than_the_setting_allows_ends_the_worker_also_after_a_restart(tmp_path):
    with pytest.raises(PoisonBatch, match="@2 cannot be read, and 2 messages"):
        run(tmp_path, scenario(*(damaged(block(each, [120])) for each in range(3))), set_aside_blocks=2)
    with pytest.raises(PoisonBatch, match="@2 cannot be read"):
        run(tmp_path, scenario(*(damaged(block(each, [120])) for each in range(3))), set_aside_blocks=2)
    curated, _ = run(tmp_path, scenario(*(damaged(block(each, [120])) for each in range(3)), block(3, [121])))
    assert offsets(curated) == [300]
    assert len(Aside(Lake.local(tmp_path)).offsets(PRESSURE)[0]) == 3


def test_it_is_aside_before_the_tables_pass_it(tmp_path, monkeypatch):
    async def dies(worker, lake):
        monkeypatch.setattr(EventTables, "land", lambda *_arguments: 1 / 0)
        await assign(worker)
        await feed(worker, block(0, [120]), damaged(block(1, [121])))
        await land(worker)
        return await asyncio.to_thread(Aside(lake).offsets, PRESSURE)

    assert run(tmp_path, dies) == {0: {1}}
