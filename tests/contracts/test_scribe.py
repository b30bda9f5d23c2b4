"""What the gateway expects of its log, whoever writes it: a thread of the same process, or a writer process behind a socket."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from gateway.call import Blob
from gateway.errors import Refusal
from gateway.record.folder import LogFolder
from gateway.record.line import LINE_BYTES_MAX, record_of
from gateway.record.payload import PayloadReader, payload_line
from gateway.record.remote import connect_log
from tests.record import world
from tests.record.disks import BrokenDisk, FailingLate, HangingDisk, SmallDisk, StutteringDisk
from tests.record.world import ENTITIES, ORIGIN, POLICIES, SCHEMA, call, lines, plain, result, settings, verified, write_call


@contextlib.asynccontextmanager
async def by_socket(folder: Path, *, disk=None, on_fatal=None, **changes):
    """The log through the real service, which runs in a thread here."""
    with contextlib.ExitStack() as stack:
        service = stack.enter_context(world.service(folder, disk=disk, **changes))
        log = await connect_log(settings(folder, **changes), service.path, on_fatal=on_fatal)
        try:
            yield log
        finally:
            await log.close()
            await asyncio.to_thread(stack.close)


@pytest.fixture(params=["thread", "socket"])
def opened(request):
    return world.opened if request.param == "thread" else by_socket


def of_kind(folder: Path, kind: str):
    return [record for record in map(record_of, lines(folder)) if record.kind == kind]


async def test_a_receipt_names_the_records_place_and_leaf(opened, tmp_path):
    async with opened(tmp_path) as log:
        receipt = await log.append("call", plain(1))
        assert receipt.origin == ORIGIN
        assert log.size == receipt.n + 1
    record = record_of(lines(tmp_path)[receipt.n])
    assert record.leaf == receipt.leaf
    assert record.body["id"] == "call-1"


async def test_fifty_tasks_that_append_at_once_make_one_chain(opened, tmp_path):
    async with opened(tmp_path, segment_bytes_max=20_000, checkpoint_records=16) as log:

        async def work(number: int) -> list[int]:
            return [await write_call(log, number * 100 + i) for i in range(4)]

        places = [n for found in await asyncio.gather(*map(work, range(50))) for n in found]
    assert len(set(places)) == 200
    report = verified(tmp_path)
    assert report.ok, report
    assert report.segments > 1
    assert {record_of(lines(tmp_path)[n]).kind for n in places} == {"call"}


async def test_the_order_of_records_is_the_order_of_appends(opened, tmp_path):
    async with opened(tmp_path) as log:
        waiting = [log.append("call", plain(i), lazily=i % 3 == 0) for i in range(300)]
        places = [(await w).n for w in waiting]
    assert places == sorted(places)
    assert [r.body["id"] for r in of_kind(tmp_path, "call")] == [f"call-{i}" for i in range(300)]


async def test_line_separators_of_unicode_stay_inside_their_record(opened, tmp_path):
    text = "a\u2028b\u2029c\u0085d\x0b\x0c\x1c\r\ne\U0001f600"
    async with opened(tmp_path) as log:
        receipt = await log.append("call", {"id": text, text: 1})
    body = record_of(lines(tmp_path)[receipt.n]).body
    assert (body["id"], body[text]) == (text, 1)
    assert verified(tmp_path).ok


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63), 2**53 + 1, 0, -1])
async def test_every_integer_of_64_bits_comes_back_exactly(opened, tmp_path, number):
    async with opened(tmp_path) as log:
        receipt = await log.append("call", {"id": "edge", "number": number})
    assert record_of(lines(tmp_path)[receipt.n]).body["number"] == number
    assert verified(tmp_path).ok


@pytest.mark.parametrize("value", ["\ud800", "a\udfff", 2**64, -(2**63) - 1, {1: 2}, object()])
async def test_what_has_no_exact_json_form_is_refused_and_harms_nobody(opened, tmp_path, value):
    async with opened(tmp_path) as log:
        with pytest.raises(Refusal) as refused:
            await log.append("call", {"id": value})
        assert refused.value.code == "log_unavailable"
        await write_call(log, 1)
    assert verified(tmp_path).ok


async def test_a_record_may_fill_its_line_to_the_limit_and_not_beyond(opened, tmp_path):
    async with opened(tmp_path) as log:
        fits = refused = 0
        for length in range(LINE_BYTES_MAX - 220, LINE_BYTES_MAX + 1):
            try:
                await log.append("call", {"id": "x" * length})
                fits = length
                assert not refused, "what is longer than a refused record does not fit"
            except Refusal as refusal:
                assert refusal.code == "body_too_large"
                refused = refused or length
        assert fits + 1 == refused
        await write_call(log, 1)
    assert max(map(len, lines(tmp_path))) <= LINE_BYTES_MAX
    assert verified(tmp_path).ok


async def test_objects_are_stored_before_the_record_that_names_them(opened, tmp_path):
    async with opened(tmp_path) as log:
        for number in range(3):
            await write_call(log, number)
            assert verified(tmp_path).objects == 3
    assert verified(tmp_path).ok


async def test_a_blob_that_is_not_what_its_digest_says_is_never_stored(opened, tmp_path):
    async with opened(tmp_path) as log:
        with pytest.raises(Refusal):
            await log.append("call", call(1), blobs=(Blob("sha256:" + "0" * 64, b"other"),))
        with pytest.raises(Refusal):
            await log.append("call", call(1), blobs=(Blob("sha256:../../../x", b"other"),))
        await write_call(log, 2)
    assert verified(tmp_path).ok


async def test_appends_on_their_way_are_answered_before_the_log_closes(opened, tmp_path):
    async with opened(tmp_path) as log:
        waiting = [log.append("call", plain(i)) for i in range(100)]
    assert len({w.result().n for w in waiting}) == 100
    assert log.state == "closed"
    with pytest.raises(Refusal):
        await log.append("call", call(1))
    assert record_of(lines(tmp_path)[-1]).kind == "log.close"
    assert verified(tmp_path).unsigned == 0


async def test_calls_beyond_the_queues_limit_are_refused_and_outcomes_still_fit(opened, tmp_path):
    disk = HangingDisk()
    async with opened(tmp_path, disk=disk, queue_records_max=8) as log:
        allowed = await log.append("call", call(0), blobs=(POLICIES, SCHEMA, ENTITIES))
        disk.release.clear()
        waiting = [log.append("call", plain(i)) for i in range(8)]
        with pytest.raises(Refusal) as refused:
            await log.append("call", call(9))
        assert "queue" in refused.value.reason
        outcome = log.append("result", result(allowed.n, 0))
        disk.release.set()
        await asyncio.gather(outcome, *waiting)
    assert verified(tmp_path).ok
    assert len(of_kind(tmp_path, "call")) == 9


async def test_a_disk_that_hangs_does_not_hang_its_callers(opened, tmp_path):
    disk = HangingDisk()
    async with opened(tmp_path, disk=disk, append_timeout_s=0.2) as log:
        disk.release.clear()
        with pytest.raises(Refusal) as refused:
            await log.append("call", call(1))
        assert "does not answer" in refused.value.reason
        disk.release.set()
        await log.append("call", plain(2))
        while log.open_calls:  # the call that was given up did reach the log; it is closed there as not sent
            await log.append("call", plain(3))
    (given_up,) = [r.n for r in of_kind(tmp_path, "call") if r.body["authz"]]
    assert [(r.body["call"], r.body["id"], r.body["status"]) for r in of_kind(tmp_path, "result")] == [(given_up, "call-1", "refused")]


async def test_a_caller_that_leaves_disturbs_nobody_and_its_call_reads_cancelled(opened, tmp_path):
    disk = HangingDisk()
    async with opened(tmp_path, disk=disk) as log:
        disk.release.clear()
        leaving = log.append("call", call(1), blobs=(POLICIES, SCHEMA, ENTITIES))
        staying = [log.append("call", plain(i)) for i in (2, 3)]
        leaving.cancel()
        disk.release.set()
        first, second = [(await s).n for s in staying]
        assert second == first + 1
        while log.open_calls:
            await log.append("call", plain(4))
    assert [(r.body["call"], r.body["status"]) for r in of_kind(tmp_path, "result")] == [(first - 1, "cancelled")]
    assert verified(tmp_path).ok


async def test_short_writes_are_finished(opened, tmp_path):
    async with opened(tmp_path, disk=StutteringDisk()) as log:
        await write_call(log, 1)
    assert verified(tmp_path).ok


async def test_on_a_full_disk_outcomes_use_the_reserve_and_calls_do_not(opened, tmp_path):
    disk = SmallDisk(3_000, ballast=4_000)
    async with opened(tmp_path, disk=disk) as log:
        allowed = await write_call_only(log)
        acknowledged = 0
        with pytest.raises(Refusal) as refused:
            while True:
                await log.append("call", plain(acknowledged))
                acknowledged += 1
        assert refused.value.code == "log_unavailable"
        assert log.state == "full"
        await log.append("result", result(allowed, 0))
        with pytest.raises(Refusal):
            await log.append("refusals", {"total": 1})
        disk.left = 1 << 30
        while log.state != "ok":  # looked at once a second, without any append
            await asyncio.sleep(0.01)
        await log.append("call", plain(0))
    assert verified(tmp_path).ok
    assert len(of_kind(tmp_path, "call")) == acknowledged + 2


async def write_call_only(log) -> int:
    return (await log.append("call", call(0), blobs=(POLICIES, SCHEMA, ENTITIES))).n


@pytest.mark.parametrize("at", ["sync", "write"])
async def test_after_an_io_error_nothing_is_written_ever_again(opened, tmp_path, at):
    disk, told = BrokenDisk(at=at), []
    async with opened(tmp_path, disk=disk, on_fatal=lambda: told.append("fatal")) as log:
        await write_call(log, 1)
        disk.broken = True
        both = await asyncio.gather(log.append("call", plain(2)), log.append("refusals", {"total": 1}), return_exceptions=True)
        assert all(isinstance(answer, Refusal) and answer.code == "log_unavailable" for answer in both)
        while log.state != "failed":
            await asyncio.sleep(0.001)
        disk.broken = False  # a retry would succeed, and would lie: the kernel has dropped the pages it could not write
        syncs = disk.syncs
        for kind in ("call", "result", "policy.load"):
            with pytest.raises(Refusal):
                await log.append(kind, plain(3))
        assert disk.syncs == syncs
    assert told == ["fatal"]
    assert log.state == "failed"
    async with world.opened(tmp_path) as log:  # only a new start reads what is really there
        await write_call(log, 4)
    assert verified(tmp_path).ok


async def test_what_waited_behind_a_failed_commit_is_refused_and_not_tried(opened, tmp_path):
    disk = FailingLate()
    async with opened(tmp_path, disk=disk) as log:
        disk.armed = True
        first = log.append("call", plain(1))
        await asyncio.to_thread(disk.reached.wait, 30)
        behind = [log.append("call", plain(2)), log.append("result", result(1, 1))]
        disk.release.set()
        for answer in (first, *behind):
            with pytest.raises(Refusal):
                await answer
    assert disk.failed == 1


async def test_more_calls_without_an_outcome_than_a_head_can_name_are_refused(opened, tmp_path):
    async with opened(tmp_path, queue_records_max=10_000) as log:
        waiting = [log.append("call", {"id": "", "authz": {"decision": "allow"}, "code": ""}) for _ in range(4_200)]
        done = await asyncio.gather(*waiting, return_exceptions=True)
        assert sum(not isinstance(answer, Refusal) for answer in done) == 4_096
        with pytest.raises(Refusal, match="no outcome"):
            await write_call_only(log)
    assert verified(tmp_path, level="root").ok


async def test_a_log_that_stands_still_is_signed_by_itself(opened, tmp_path):
    async with opened(tmp_path, checkpoint_interval_s=0.05) as log:
        n = await write_call(log, 1)
        while log.signed_size < n + 2:
            await asyncio.sleep(0.005)
        report = verified(tmp_path)
        assert report.ok
        assert report.unsigned == 0
        assert log.head == (log.size, world.root(tmp_path, log.size))


async def test_sealed_arguments_come_to_the_disk_with_their_record(opened, tmp_path):
    async with opened(tmp_path) as log:
        await asyncio.gather(*[log.append("call", plain(n), payload=payload_line(f"call-{n}", "a" * 16, {"/x": b"sealed"})) for n in range(30)])
        reader = PayloadReader(LogFolder(tmp_path / "log"))
        assert all(reader.find(0, f"call-{n}") for n in range(30))
