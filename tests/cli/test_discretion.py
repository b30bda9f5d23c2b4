"""A process that holds secrets leaves none of its memory in files, and its libraries say nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

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
