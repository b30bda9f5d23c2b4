import asyncio
import fcntl
import os

import pytest

from gateway.call import Blob
from gateway.config.model import LogSettings
from gateway.errors import Problem, Refusal
from gateway.record import NoteSigner, open_log
from gateway.record.line import record_of
from tests.record.disks import HangingDisk
from tests.record.world import (
    ENTITIES,
    ORIGIN,
    POLICIES,
    SCHEMA,
    call,
    files,
    lines,
    opened,
    plain,
    result,
    settings,
    small_log,
    verified,
    write_call,
)


async def test_a_receipt_names_the_records_place_and_leaf(tmp_path):
    async with opened(tmp_path) as log:
        receipt = await log.append("call", plain(1))
        assert (receipt.origin, receipt.n) == (ORIGIN, 1)
        assert log.size == 2
    record = record_of(lines(tmp_path)[1])
    assert record.leaf == receipt.leaf
    assert record.body["id"] == "call-1"


async def test_fifty_tasks_that_append_at_once_make_one_chain(tmp_path):
    async with opened(tmp_path, segment_bytes_max=20_000, checkpoint_records=16) as log:

        async def work(number: int) -> list[int]:
            return [await write_call(log, number * 100 + i) for i in range(4)]

        places = [n for found in await asyncio.gather(*map(work, range(50))) for n in found]
    assert len(set(places)) == 200
    report = verified(tmp_path)
    assert report.ok, report
    assert report.segments > 1
    for n in places:
        assert record_of(lines(tmp_path)[n]).kind == "call"


async def test_the_log_goes_on_after_a_clean_stop(tmp_path):
    await small_log(tmp_path)
    before = len(lines(tmp_path))
    await small_log(tmp_path)
    assert verified(tmp_path).ok
    kinds = [record_of(line).kind for line in lines(tmp_path)]
    assert kinds.count("log.open") == 1
    assert kinds.count("log.close") == 2
    assert "recover" not in kinds
    assert len(kinds) > before


async def test_line_separators_of_unicode_stay_inside_their_record(tmp_path):
    text = "a\u2028b\u2029c\u0085d\x0b\x0c\x1c\r\ne\U0001f600"
    async with opened(tmp_path) as log:
        receipt = await log.append("call", {"id": text})
    assert record_of(lines(tmp_path)[receipt.n]).body["id"] == text
    assert verified(tmp_path).ok


async def test_a_record_that_does_not_fit_in_a_line_is_refused_and_harms_nobody(tmp_path):
    async with opened(tmp_path) as log:
        with pytest.raises(Refusal) as refused:
            await log.append("call", {"id": "x" * 65_535})
        assert refused.value.code == "body_too_large"
        with pytest.raises(Refusal) as refused:
            await log.append("call", {"id": "\ud800"})
        assert refused.value.code == "log_unavailable"
        await write_call(log, 1)
    assert verified(tmp_path).ok


async def test_objects_are_stored_before_the_record_that_names_them(tmp_path):
    await small_log(tmp_path)
    report = verified(tmp_path)
    assert report.ok
    assert report.objects == 3


async def test_a_blob_that_is_not_what_its_digest_says_is_never_stored(tmp_path):
    async with opened(tmp_path) as log:
        with pytest.raises(Refusal):
            await log.append("call", call(1), blobs=(Blob("sha256:" + "0" * 64, b"other"),))
        with pytest.raises(Refusal):
            await log.append("call", call(1), blobs=(Blob("sha256:../../../x", b"other"),))
        await write_call(log, 2)
    assert verified(tmp_path).ok


async def test_a_second_writer_is_refused_while_the_first_lives(tmp_path):
    async with opened(tmp_path) as log:
        with pytest.raises(Problem, match="another gateway") as found:
            await open_log(settings(tmp_path), NoteSigner.open(tmp_path / "keys"))
        assert found.value.code == "log_locked"
        await write_call(log, 1)
    async with opened(tmp_path) as log:
        await write_call(log, 2)
    assert verified(tmp_path).ok


async def test_the_folder_is_let_go_when_opening_fails(tmp_path):
    await small_log(tmp_path)
    files(tmp_path)[-1].write_bytes(b"")
    with pytest.raises(Problem):
        await open_log(settings(tmp_path), NoteSigner.open(tmp_path / "keys"))
    descriptor = os.open(tmp_path / "log" / "lock", os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(descriptor)


async def test_a_folder_keeps_its_origin_for_ever(tmp_path):
    await small_log(tmp_path)
    with pytest.raises(Problem) as found:
        await open_log(settings(tmp_path, origin="gw.example/other"), NoteSigner.open(tmp_path / "keys"))
    assert found.value.code == "log_origin"


@pytest.mark.parametrize("origin", ["", "two words", "a+b", "a\nb", "a" * 256])
async def test_an_origin_that_cannot_stand_in_a_checkpoint_is_refused(tmp_path, origin):
    with pytest.raises(Problem) as found:
        await open_log(settings(tmp_path, origin=origin), NoteSigner.open(tmp_path / "keys"))
    assert found.value.code == "log_origin"


async def test_appends_on_their_way_are_answered_before_the_log_closes(tmp_path):
    async with opened(tmp_path) as log:
        waiting = [log.append("call", plain(i)) for i in range(100)]
    assert {w.result().n for w in waiting} == set(range(1, 101))
    assert log.state == "closed"
    with pytest.raises(Refusal):
        await log.append("call", call(1))
    assert record_of(lines(tmp_path)[-1]).kind == "log.close"
    assert verified(tmp_path).unsigned == 0


async def test_calls_beyond_the_queues_limit_are_refused_and_outcomes_still_fit(tmp_path):
    disk = HangingDisk()
    async with opened(tmp_path, disk=disk, queue_records_max=8) as log:
        disk.release.clear()
        waiting = [log.append("call", plain(i)) for i in range(8)]
        with pytest.raises(Refusal) as refused:
            await log.append("call", call(9))
        assert "queue" in refused.value.reason
        outcome = log.append("result", result(1, 1))
        disk.release.set()
        await asyncio.gather(outcome, *waiting)
    assert verified(tmp_path).size == 11


async def test_a_disk_that_hangs_does_not_hang_its_callers(tmp_path):
    disk = HangingDisk()
    async with opened(tmp_path, disk=disk, append_timeout_s=0.2) as log:
        disk.release.clear()
        with pytest.raises(Refusal) as refused:
            await log.append("call", call(1))
        assert "does not answer" in refused.value.reason
        disk.release.set()
        await log.append("call", plain(2))
        while log.open_calls:  # the call that was given up did reach the log; it is closed there as not sent
            await asyncio.sleep(0.001)
    closing = [record_of(line).body for line in lines(tmp_path) if record_of(line).kind == "result"]
    assert [(c["call"], c["id"], c["status"]) for c in closing] == [(1, "call-1", "refused")]


async def test_a_caller_that_leaves_disturbs_nobody_and_its_call_reads_cancelled(tmp_path):
    disk = HangingDisk()
    async with opened(tmp_path, disk=disk) as log:
        disk.release.clear()
        leaving = log.append("call", call(1), blobs=(POLICIES, SCHEMA, ENTITIES))
        staying = [log.append("call", plain(i)) for i in (2, 3)]
        leaving.cancel()
        disk.release.set()
        assert [(await s).n for s in staying] == [2, 3]
        while log.open_calls:
            await asyncio.sleep(0.001)
    closing = [record_of(line).body for line in lines(tmp_path) if record_of(line).kind == "result"]
    assert [(c["call"], c["status"]) for c in closing] == [(1, "cancelled")]
    assert verified(tmp_path).ok


async def test_the_log_signs_by_itself_when_nothing_more_comes(tmp_path):
    async with opened(tmp_path, checkpoint_interval_s=0.05) as log:
        await write_call(log, 1)
        while log.signed_size < 3:
            await asyncio.sleep(0.005)
        report = verified(tmp_path)
        assert report.ok
        assert report.unsigned == 0


async def test_an_idle_log_repeats_its_checkpoint(tmp_path):
    async with opened(tmp_path, heartbeat_interval_s=0.01):
        while (tmp_path / "log" / "checkpoints").read_bytes().count(b"\n1\n") < 3:
            await asyncio.sleep(0.005)
    assert verified(tmp_path).ok


async def test_a_running_log_can_be_verified_at_any_moment(tmp_path):
    async with opened(tmp_path, segment_bytes_max=30_000, checkpoint_records=8) as log:

        async def work() -> None:
            for number in range(60):
                await write_call(log, number)

        workers = [asyncio.create_task(work()) for _ in range(8)]
        while not all(w.done() for w in workers):
            report = await asyncio.to_thread(verified, tmp_path)
            assert report.ok, report
        await asyncio.gather(*workers)
    assert verified(tmp_path).size > 900


def test_settings_of_the_log_have_safe_defaults(tmp_path):
    given = LogSettings(tmp_path, ORIGIN)
    assert given.checkpoint_interval_s <= 1.0
    assert given.checkpoint_records <= 256
