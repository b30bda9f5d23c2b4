import asyncio
import errno
from pathlib import Path

import pytest

from gateway.errors import Refusal
from gateway.record.disk import SystemDisk
from gateway.record.folder import LogFolder
from gateway.record.payload import PayloadReader, Payloads, count_rows, erase_rows, payload_line, row_of
from tests.record.disks import BrokenDisk
from tests.record.world import files, opened, plain, verified

KEY, OTHER = "a" * 16, "b" * 16


def line(number: int, key: str = KEY) -> bytes:
    return payload_line(f"call-{number}", key, {"/ctx/input/x": b"nonce and ciphertext %d" % number})


@pytest.fixture
def folder(tmp_path):
    found = LogFolder(tmp_path)
    payloads = Payloads(found, SystemDisk())
    for first, numbers in ((0, (0, 1)), (7, (7, 8))):
        for number in numbers:
            payloads.write(first, line(number, OTHER if number == 8 else KEY))
            payloads.sync().result()
            payloads.settle()
    payloads.close()
    return found


def test_lines_are_found_by_segment_and_call_and_those_that_come_later_too(folder):
    reader = PayloadReader(folder)
    assert reader.find(7, "call-8")[0] == OTHER
    assert reader.find(0, "call-0")[1].keys() == {"/ctx/input/x"}
    assert reader.find(0, "call-7") is None
    with folder.payload_of(0).open("ab") as stream:
        stream.write(line(2))
    assert reader.find(0, "call-2")
    assert reader.find(3, "call-2") is None


def test_a_torn_end_is_closed_and_what_follows_is_whole(folder):
    with folder.payload_of(7).open("ab") as stream:
        stream.write(line(9)[:20])
    payloads = Payloads(folder, SystemDisk())
    payloads.write(7, line(10))
    payloads.sync().result()
    payloads.settle()
    payloads.close()
    reader = PayloadReader(folder)
    assert [bool(reader.find(7, f"call-{n}")) for n in (8, 9, 10)] == [True, False, True]


def test_what_is_cut_is_gone_and_what_has_settled_stays(folder):
    payloads = Payloads(folder, SystemDisk())
    before = folder.payload_of(7).read_bytes()
    payloads.write(7, line(9))
    payloads.cut()
    payloads.close()
    assert folder.payload_of(7).read_bytes() == before


def test_erased_lines_keep_their_length_and_nothing_else(folder):
    before = {path: path.read_bytes() for path in folder.payload.iterdir()}
    assert count_rows(folder, frozenset({KEY})) == 3
    assert erase_rows(folder, frozenset({KEY})) == 3
    assert count_rows(folder, frozenset({KEY})) == erase_rows(folder, frozenset({KEY})) == 0
    for path, content in before.items():
        assert path.stat().st_size == len(content)
        assert path.read_bytes().count(b"\n") == content.count(b"\n")
    assert [row_of(text) is None for text in folder.payload_of(7).read_bytes().splitlines()] == [True, False]


async def test_a_record_is_acknowledged_only_when_its_payload_is_durable(tmp_path):
    disk = BrokenDisk()
    async with opened(tmp_path, disk=disk) as log:
        await log.append("call", plain(0), payload=line(0))
        disk.broken = True
        with pytest.raises(Refusal):
            await log.append("call", plain(1), payload=line(1))
        assert log.state == "failed"


class DeafToPayload(SystemDisk):
    """Makes everything durable but payload."""

    def sync(self, descriptor):
        if Path(f"/proc/self/fd/{descriptor}").readlink().suffix == ".seal":
            raise OSError(errno.EIO, "input/output error")
        super().sync(descriptor)


async def test_a_payload_that_did_not_become_durable_fails_the_log(tmp_path):
    async with opened(tmp_path, disk=DeafToPayload()) as log:
        with pytest.raises(Refusal):
            await log.append("call", plain(0), payload=line(0))
        assert log.state == "failed"


class NoRoomForPayload(SystemDisk):
    """Takes log lines, and nothing that looks like a payload."""

    def write(self, descriptor, data):
        if bytes(data).startswith(b'{"id"'):
            super().write(descriptor, data[:5])
            raise OSError(errno.ENOSPC, "no room")
        return super().write(descriptor, data)


async def test_without_room_for_its_payload_there_is_no_record(tmp_path):
    async with opened(tmp_path, disk=NoRoomForPayload()) as log:
        size = log.size
        with pytest.raises(Refusal):
            await log.append("call", plain(0), payload=line(0))
        assert log.size == size
    assert verified(tmp_path).ok
    assert LogFolder(tmp_path / "log").payload_of(0).read_bytes() == b""


async def test_a_segment_and_its_payload_go_by_the_same_number(tmp_path):
    async with opened(tmp_path, segment_bytes_max=600) as log:
        receipts = [await log.append("call", plain(number), payload=line(number)) for number in range(8)]
    folder = LogFolder(tmp_path / "log")
    assert len(files(tmp_path)) > 2
    reader = PayloadReader(folder)
    firsts = [first for first, _ in folder.segment_list()]
    for number, receipt in enumerate(receipts):
        assert reader.find(max(first for first in firsts if first <= receipt.n), f"call-{number}")


async def test_many_payloads_share_a_commit(tmp_path):
    async with opened(tmp_path) as log:
        await asyncio.gather(*[log.append("call", plain(number), payload=line(number)) for number in range(200)])
    assert count_rows(LogFolder(tmp_path / "log"), frozenset({KEY})) == 200
