"""The commands that change a log, given to a gateway of several workers while it serves: what works beside it does, and what cannot says what to do."""

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli.main import app
from gateway.record import LogReader
from tests.journeys.place import token_of, verified, write_place
from tests.journeys.process import process
from tests.simulators.upstreams import echo, upstream
from tests.test_supervisor import post, stopped

pytestmark = pytest.mark.slow


async def told(folder: Path, *words: str, code: int = 0) -> dict:
    """What `portreeve log` says as JSON."""
    done = await asyncio.to_thread(CliRunner().invoke, app, ["log", *words, "-C", str(folder), "--json"])
    assert done.exit_code == code, (done.output, done.exception)
    return json.loads(done.stdout)


async def test_erase_archive_and_prune_work_beside_several_workers_and_a_rotation_says_that_it_cannot(tmp_path):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port, log='arguments = "seal"\nsegment_bytes_max = 16384')
        token = token_of(tmp_path)
        async with process(tmp_path, "--workers", "2") as (run, where):

            async def calls(count: int) -> None:
                assert await asyncio.gather(*[post(where, token) for _ in range(count)]) == [200] * count

            await calls(16)
            erased = await told(tmp_path, "erase", "--subject", "agent:writer", "--why", "request 7", "--yes")
            assert (erased["keys"], erased["calls"]) == (1, 16)
            await calls(4)
            archived = await told(tmp_path, "archive")
            assert archived["segments"] >= 1
            assert verified(tmp_path).ok
            pruned = await told(tmp_path, "prune", "--before", "3", "--why", "plan 3", "--force", "--yes")
            assert pruned["segments"] == 0, "only whole segments go"
            heads = [first for first, _ in LogReader(tmp_path / "log").folder.segment_list()]
            pruned = await told(tmp_path, "prune", "--before", str(heads[1]), "--why", "plan 3", "--force", "--yes")
            (refused,) = (await told(tmp_path, "keys", "rotate", "--why", "yearly", "--yes", code=1))["problems"]
            assert (refused["code"], "another process writes this log" in refused["message"]) == ("log_refused", True)
            assert refused["remedy"].startswith("stop the gateway and the log's writer")
            await calls(4)
            assert run.returncode is None
            assert await stopped(run) == 0
        rotated = await told(tmp_path, "keys", "rotate", "--why", "yearly", "--yes")
    report = verified(tmp_path)
    assert (report.exit_code, report.unsigned) == (3, 0)
    assert f"records 0 to {pruned['before'] - 1} were pruned, as record {pruned['record']} says" in report.message
    by = [(record.n, record.kind, record.body["by"][:4]) for record in LogReader(tmp_path / "log").records() if "by" in record.body]
    assert by == [(erased["record"], "erase", "uid:"), (pruned["record"], "prune", "uid:"), (rotated["record"], "key.rotate", "uid:")]
