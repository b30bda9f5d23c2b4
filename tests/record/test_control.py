import asyncio
import os
import socket

import pytest

from gateway.canonical import loads
from gateway.errors import Problem
from gateway.record import Control, LogReader, NoteSigner, append_record, open_log
from tests.record.world import opened, plain, settings, verified


async def unmoved(_kind):
    pass


async def running(log, folder, noticed=unmoved):
    control = Control(log, folder.parent / "keys", noticed)
    await control.open(folder)
    return control


def kinds(tmp_path):
    return [record.kind for record in LogReader(tmp_path / "log").records()]


async def test_a_running_log_writes_what_a_command_asks_for_and_says_who_asked(tmp_path):
    noticed = []
    async with opened(tmp_path) as log:

        async def note(kind):
            noticed.append(kind)

        control = await running(log, tmp_path / "log", note)
        receipt = await asyncio.to_thread(append_record, settings(tmp_path), tmp_path / "keys", "erase", {"subject": "user:a", "by": "somebody else"})
        await control.close()
        record = LogReader(tmp_path / "log").find(receipt.n)
    assert noticed == ["erase"]
    assert (record.body["subject"], record.body["by"][:4], receipt.leaf) == ("user:a", "uid:", record.leaf)
    assert not (tmp_path / "log" / "control").exists()


async def test_while_no_gateway_runs_a_command_writes_it_itself(tmp_path):
    async with opened(tmp_path) as log:
        await log.append("call", plain(0))
    await asyncio.to_thread(append_record, settings(tmp_path), tmp_path / "keys", "erase", {"subject": "user:a"})
    assert kinds(tmp_path) == ["log.open", "call", "log.close", "erase", "log.close"]
    assert verified(tmp_path).ok


async def test_a_writer_that_cannot_be_reached_is_not_written_past(tmp_path):
    async with opened(tmp_path):
        with pytest.raises(Problem, match="another gateway writes"):
            await asyncio.to_thread(append_record, settings(tmp_path), tmp_path / "keys", "erase", {"subject": "user:a"})


async def test_a_socket_left_behind_by_a_crash_is_replaced(tmp_path):
    async with opened(tmp_path) as log:
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(str(tmp_path / "log" / "control"))
        control = await running(log, tmp_path / "log")
        await asyncio.to_thread(append_record, settings(tmp_path), tmp_path / "keys", "erase", {})
        assert (tmp_path / "log" / "control").stat().st_mode & 0o777 == 0o600
        await control.close()


@pytest.mark.parametrize(
    "line",
    [
        b'{"append":"call","body":{}}\n',
        b'{"append":"result","body":{"call":1}}\n',
        b'{"append":"recover","body":{"calls":[1]}}\n',
        b'{"append":"erase","body":[]}\n',
        b'{"append":["erase"],"body":{}}\n',
        b'{"append":"erase","body":{"n":1}}\n',
        b"{}\n",
        b"[]\n",
        b"nonsense\n",
    ],
)
async def test_nothing_else_can_be_written_through_it(tmp_path, line):
    async with opened(tmp_path) as log:
        size = log.size
        control = await running(log, tmp_path / "log")
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "log" / "control"))
        writer.write(line)
        assert "error" in loads(await reader.readline())
        writer.close()
        assert log.size == size
        await control.close()


async def test_nobody_but_the_gateway_s_own_user_is_answered(tmp_path):
    async with opened(tmp_path) as log:
        size = log.size
        found = await Control(log, tmp_path / "keys", unmoved)._answer(b'{"append":"erase","body":{}}', os.geteuid() + 1)
        assert found == {"error": "only the gateway's own user may do this"}
        assert log.size == size


async def test_a_peer_without_a_line_end_is_let_go(tmp_path):
    async with opened(tmp_path) as log:
        control = await running(log, tmp_path / "log")
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "log" / "control"))
        writer.write(b"x" * 100_000)
        assert await reader.read() == b""
        writer.close()
        await control.close()


async def test_a_folder_with_a_long_name_has_a_socket_too(tmp_path):
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    log = await open_log(settings(folder), NoteSigner.open(folder / "keys"))
    control = await running(log, folder / "log")
    receipt = await asyncio.to_thread(append_record, settings(folder), folder / "keys", "erase", {})
    await control.close()
    await log.close()
    assert LogReader(folder / "log").find(receipt.n).kind == "erase"
