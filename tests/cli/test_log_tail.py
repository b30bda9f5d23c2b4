"""`portreeve log tail`: what is shown of some agent alone, and what follows."""

import json
import os
import signal
import subprocess
import sys

import pytest

from tests.cli.test_log import AUTHZ, HALTED, WHAT, WHO, at, run
from tests.record.world import ENTITIES, POLICIES, SCHEMA, files, keys, opened, result

BLOBS = (POLICIES, SCHEMA, ENTITIES)
CALL = {"id": "c", "who": WHO, "what": WHAT, "authz": AUTHZ, "code": ""}


@pytest.fixture
async def log(tmp_path):
    """1 billing, 2 other, 3 result of 2, 4 result of 1, 5 billing halted, 6 close."""
    async with opened(tmp_path) as log:
        await log.append("call", CALL, blobs=BLOBS)
        await log.append("call", CALL | {"who": WHO | {"agent": "other"}})
        await log.append("result", result(2, 2))
        await log.append("result", result(1, 1))
        await log.append("call", CALL | {"authz": HALTED, "code": "denied"})
    (tmp_path / "key").write_text(f"{keys(tmp_path)[0]}\n")
    return tmp_path


def numbers(folder, *words) -> list[int]:
    return [json.loads(line)["n"] for line in run("tail", *at(folder, key=False), "--json", *words).stdout.splitlines()]


def test_the_calls_of_an_agent_are_shown_with_what_came_of_them(log):
    assert numbers(log, "--agent", "billing") == [1, 4, 5]
    assert numbers(log, "--agent", "other") == [2, 3]
    assert numbers(log, "--tool", "tickets") == [1, 2, 3, 4, 5]
    assert numbers(log, "--decision", "deny") == [5]
    assert numbers(log, "--agent", "billing", "-n", 1) == [5]
    assert numbers(log, "--agent", "nobody") == []
    assert numbers(log, "-n", 0) == []


async def test_following_goes_on_over_the_end_of_a_segment_with_the_same_selection(log):
    words = ["log", "tail", "-f", *map(str, at(log)), "--agent", "billing", "--json", "-n", "1"]
    with subprocess.Popen([sys.executable, "-m", "gateway", *words], stdout=subprocess.PIPE, text=True, env=os.environ | {"NO_COLOR": "1"}) as tail:
        assert json.loads(tail.stdout.readline())["n"] == 5
        async with opened(log, segment_bytes_max=500, checkpoint_records=1) as writer:
            for number in range(6):
                who = WHO | {"agent": ("billing", "other")[number % 2]}
                receipt = await writer.append("call", CALL | {"who": who}, blobs=BLOBS)
                await writer.append("result", result(receipt.n, number))
        assert len(files(log)) > 3
        seen = [json.loads(tail.stdout.readline()) for _ in range(6)]
        tail.send_signal(signal.SIGINT)
        tail.communicate(timeout=20)
    assert [record["k"] for record in seen] == ["call", "result"] * 3
    assert all(later["call"] == call["n"] for call, later in zip(seen[::2], seen[1::2], strict=True))
