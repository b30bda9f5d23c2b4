import asyncio
import fcntl
import os

import pytest

from gateway.config.model import LogSettings
from gateway.errors import Problem
from gateway.record import NoteSigner, open_log
from gateway.record.line import record_of
from tests.record.world import (
    ORIGIN,
    files,
    lines,
    opened,
    settings,
    small_log,
    verified,
    write_call,
)


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
