"""A process that holds secrets leaves none of its memory in files, and its libraries say nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.journeys.place import write_place
from tests.journeys.process import process

ASKING = """
import ctypes, logging, resource
from gateway.cli.discretion import keep_discreet
logging.basicConfig(level=logging.DEBUG)
keep_discreet()
for name in ("httpx2", "httpcore2.http11", "httpcore2.connection", "asyncio"):
    logging.getLogger(name).info("CANARY of %s", name)
    logging.getLogger(name).debug("CANARY of %s", name)
logging.getLogger("httpx2").warning("trouble")
print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
"""


def test_there_is_no_core_file_nobody_else_may_look_and_libraries_are_silent():
    done = subprocess.run([sys.executable, "-c", ASKING], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "(0, 0) 0\n"
    assert "CANARY" not in done.stderr and "trouble" in done.stderr


async def test_a_gateway_that_serves_cannot_leave_a_core_file(tmp_path: Path):
    write_place(tmp_path, 1)
    async with process(tmp_path) as (run, _):
        limits = Path(f"/proc/{run.pid}/limits").read_text()
    assert re.search(r"Max core file size +0 +0 ", limits)


BREAKING = """
import asyncio, gc, threading
from gateway.cli.discretion import keep_discreet
keep_discreet()
async def breaks(text):
    int(text)
def called(text):
    int(text)
class Ends:
    def __del__(self):
        int("CANARY of an end")
async def main():
    asyncio.get_running_loop().call_soon(called, "CANARY of a callback")
    task = asyncio.create_task(breaks("CANARY of a task"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    del task
    gc.collect()
run(main())
thread = threading.Thread(target=called, args=("CANARY of a thread",), name="CANARY")
thread.start()
thread.join()
Ends()
"""


@pytest.mark.parametrize("loop", ["from asyncio import run", "from uvloop import run"])
def test_an_error_that_nobody_caught_is_told_without_the_value_that_it_broke_on(loop: str):
    done = subprocess.run([sys.executable, "-c", f"{loop}\n{BREAKING}"], capture_output=True, text=True, check=True, timeout=60)
    assert "CANARY" not in done.stderr + done.stdout
    told = done.stderr.splitlines()
    assert [line.endswith(f"ValueError at <string>:{n}") for line, n in zip(told, (9, 7, 9, 12), strict=True)] == [True] * 4, told
    assert "Exception in callback" in told[0] and "never retrieved" in told[1] and "thread" in told[2]
