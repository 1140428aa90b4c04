"""Messages of a pseudo topic that are no blocks: put aside, told, left out of every replay; the others go on."""

import asyncio
import re
from hashlib import sha256
from types import SimpleNamespace

import numpy as np
import pytest
from prometheus_client import generate_latest

from biokeel.batch import Refusal
from biokeel.contracts.blocks import HEADER_DIGEST, HEADER_FORMAT, HEADER_ROWS, HEADER_SCHEMA, HEADER_STREAM
from biokeel.contracts.signatures import HEADER_SIGNATURE, PublicKeys
from biokeel.engine.build import curate_worker
from biokeel.engine.curate import reading
from biokeel.engine.kafka.records import Records
from biokeel.errors import ContractError, PoisonBatch, SettingsError
from biokeel.land.aside import Aside, Offsets
from biokeel.land.lake import Lake
from biokeel.land.tables import EventTables
from biokeel.observe.metrics import WorkerMetrics
from biokeel.reasons import Reason
from biokeel.settings import Settings
from tests.engine.curate_world import (
    AT,
    PRESSURE,
    assign,
    block,
    by_somebody_else,
    damaged,
    feed,
    land,
    landed,
    offsets,
    run,
    scenario,
)
from tests.signing import OTHER, SIGNER, signed


def foreign(offset, value=b"850101-1234567", headers=(("who", b"else"),)):
    return SimpleNamespace(offset=offset, value=value, headers=list(headers), signer=None)


def with_header(record, name, value):
    """The headers of `record` with another `value` of one of them, or without it."""
    rest = [(other, old) for other, old in record.headers if other != name]
    return rest if value is None else [*rest, (name, value)]


def forged(offset):
    """By what is wrong with it, messages that somebody made who has seen all blocks and has no key of ours."""
    mine = by_somebody_else(block(offset, [120, 121]))
    other = SimpleNamespace(**{**vars(mine), "headers": signed(AT.topic, 0, mine.headers, OTHER)})
    moved = (signed(AT.topic, 1, mine.headers), signed("pseudo.clinical.glucose", 0, mine.headers))
    return {
        "signed with another key": other,
        "of another partition": by_somebody_else(mine, headers=moved[0]),
        "of another topic": by_somebody_else(mine, headers=moved[1]),
        "other rows named": by_somebody_else(mine, headers=with_header(mine, HEADER_ROWS, b"demo-one/0:900-901")),
        "another stream": by_somebody_else(mine, headers=with_header(mine, HEADER_STREAM, b"quarantine")),
        "another schema": by_somebody_else(mine, headers=with_header(mine, HEADER_SCHEMA, b"e" * 32)),
        "another format": by_somebody_else(mine, headers=with_header(mine, HEADER_FORMAT, b"5")),
        "another body and its digest": by_somebody_else(
            damaged(mine),
            headers=with_header(mine, HEADER_DIGEST, sha256(damaged(mine).value).hexdigest().encode()),
        ),
        "no signature": by_somebody_else(mine, headers=with_header(mine, HEADER_SIGNATURE, None)),
        "a short signature": by_somebody_else(mine, headers=with_header(mine, HEADER_SIGNATURE, b"short")),
        "no headers": by_somebody_else(mine, headers=[]),
        "nothing": foreign(offset, None, ()),
        "no block": foreign(offset),
    }


@pytest.mark.parametrize("what", forged(0))
def test_a_message_that_is_not_signed_for_its_place_lands_nothing_and_is_put_aside_and_said(tmp_path, caplog, what):
    mine = forged(1)[what]
    curated, quarantined = run(tmp_path, scenario(block(0, [120]), mine, block(2, [122])))
    assert (offsets(curated), quarantined.height) == ([0, 200], 0)
    (kept,) = Aside(Lake.local(tmp_path)).all()
    assert str(kept) == "pseudo.clinical.blood_pressure/0@1 (not from the vault zone)"
    assert kept.size == len(mine.value or b"")
    assert str(kept) in caplog.text
    assert not list((tmp_path / "aside").rglob("*.block")), "nothing says that it came through the wall"


def test_of_a_message_that_is_not_signed_neither_bytes_nor_headers_are_kept_or_told(tmp_path, caplog):
    secret = "850101-1234567"
    headers = [(HEADER_ROWS, secret.encode()), (HEADER_STREAM, secret.encode()), (secret, b"x")]
    run(tmp_path, scenario(block(0, [120]), foreign(1, secret.encode(), headers)))
    everything = b"".join(path.read_bytes() for path in (tmp_path / "aside").rglob("*") if path.is_file())
    assert everything
    assert secret not in everything.decode() + caplog.text


def test_many_messages_that_are_not_signed_do_not_end_the_worker_and_the_store_is_not_filled_with_them(
    tmp_path, caplog, monkeypatch
):
    monkeypatch.setattr(reading, "KEPT_UNSIGNED", 12)
    every = list(forged(1).values())
    rubbish = [by_somebody_else(every[number % len(every)], offset=1 + number) for number in range(40)]

    async def flooded(worker, lake):
        await assign(worker)
        await feed(worker, block(0, [120]), *rubbish[:20])
        await feed(worker, *rubbish[20:], block(41, [121], 300))
        await land(worker)
        worker.check()
        metrics = generate_latest(worker.runner.metrics.registry).decode()
        return landed(lake)[0], metrics

    for _ in range(2):  # and once more after a restart, with what lies aside by then
        curated, metrics = run(tmp_path, flooded, set_aside_blocks=2)
        assert offsets(curated) == [0, 300]
        assert len(Aside(Lake.local(tmp_path)).offsets(PRESSURE)[0].unsigned) == 12
    assert "20 more messages of pseudo.clinical.blood_pressure/0 up to offset 41 are not from" in caplog.text
    assert re.search(r"biokeel_unsigned_blocks_total\{.*} 28\.0", metrics), "those that lie aside are known by now"


def test_copies_of_a_block_in_its_own_place_are_repeats_and_spoilt_or_old_ones_do_not_end_the_worker(tmp_path):
    original = by_somebody_else(block(0, [120, 121]))

    def copy(offset, record=original):
        return by_somebody_else(record, offset=offset)

    old = by_somebody_else(original, headers=signed(AT.topic, 0, with_header(original, HEADER_FORMAT, b"2")))
    copies = [copy(1), copy(2, damaged(original)), copy(3), copy(4, damaged(original)), copy(5, old)]
    curated, _ = run(tmp_path, scenario(original, *copies, block(6, [122], 300)), set_aside_blocks=0)
    assert offsets(curated) == [0, 1, 300]
    assert curated["sequence"].to_list() == [1, 1, 2]
    aside = Aside(Lake.local(tmp_path)).offsets(PRESSURE)[0]
    assert (aside.damaged, aside.unsigned) == (set(), {2, 4, 5})


def test_while_the_vault_zone_changes_its_key_blocks_of_both_are_read_and_none_of_a_key_that_is_listed_no_more(
    tmp_path,
):
    def by(signer, offset, value):
        record = block(offset, [value])
        record.signer = signer
        return record

    both = PublicKeys([SIGNER.public, OTHER.public])
    curated, _ = run(tmp_path, scenario(by(SIGNER, 0, 120), by(OTHER, 1, 121), by(SIGNER, 2, 122)), keys=both)
    assert offsets(curated) == [0, 100, 200]
    newer = PublicKeys([OTHER.public])
    curated, _ = run(tmp_path, scenario(by(SIGNER, 3, 123), by(OTHER, 4, 124)), keys=newer)
    assert offsets(curated) == [0, 100, 200, 400]
    assert Aside(Lake.local(tmp_path)).offsets(PRESSURE)[0].unsigned == {3}


def test_what_lies_aside_is_told_with_each_damaged_block_and_the_number_of_unsigned_messages(tmp_path):
    run(tmp_path, scenario(foreign(0), damaged(block(1, [120, 121])), foreign(2), block(3, [122], 300)))
    assert Aside(Lake.local(tmp_path)).told() == (
        "pseudo.clinical.blood_pressure/0@1 (rows of raw demo-one/0:100-101)",
        "pseudo.clinical.blood_pressure/0: 2 messages that are not from the vault zone, the first @0",
    )


def test_without_a_public_key_a_worker_does_not_start_and_says_where_to_get_one():
    with pytest.raises(SettingsError, match="biokeel vault block-keys"):
        curate_worker(Settings(block_public_keys=""), WorkerMetrics("curate"))


def test_a_damaged_block_is_put_aside_with_what_it_was_to_hold_and_the_others_land(tmp_path, caplog):
    curated, _ = run(tmp_path, scenario(block(0, [120]), damaged(block(1, [121, 122])), block(2, [123])))
    assert offsets(curated) == [0, 200]
    (kept,) = Aside(Lake.local(tmp_path)).all()
    assert str(kept) == "pseudo.clinical.blood_pressure/0@1 (rows of raw demo-one/0:100-101)"
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
    headers = with_header(record, HEADER_FORMAT, b"1")
    with pytest.raises(ContractError, match="another format"):
        run(tmp_path, scenario(SimpleNamespace(**{**vars(record), "headers": headers})))
    assert Aside(Lake.local(tmp_path)).all() == []


def test_more_damage_than_the_setting_allows_ends_the_worker_also_after_a_restart(tmp_path):
    with pytest.raises(PoisonBatch, match="@2 cannot be read, and 2 blocks"):
        run(tmp_path, scenario(*(damaged(block(each, [120])) for each in range(3))), set_aside_blocks=2)
    with pytest.raises(PoisonBatch, match="@2 cannot be read"):
        run(tmp_path, scenario(*(damaged(block(each, [120])) for each in range(3))), set_aside_blocks=2)
    curated, _ = run(tmp_path, scenario(*(damaged(block(each, [120])) for each in range(3)), block(3, [121])))
    assert offsets(curated) == [300]
    assert len(Aside(Lake.local(tmp_path)).offsets(PRESSURE)[0].damaged) == 3


def test_it_is_aside_before_the_tables_pass_it(tmp_path, monkeypatch):
    async def dies(worker, lake):
        monkeypatch.setattr(EventTables, "land", lambda *_arguments: 1 / 0)
        await assign(worker)
        await feed(worker, block(0, [120]), damaged(block(1, [121])))
        await land(worker)
        return await asyncio.to_thread(Aside(lake).offsets, PRESSURE)

    assert run(tmp_path, dies) == {0: Offsets(damaged={1})}
