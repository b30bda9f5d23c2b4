"""The demo's last scenes: what the decision log proves. They run the real commands, each in a process of its own, as an auditor would."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

from gateway.cli.demo.scenes import SUPPORT, Play
from gateway.cli.demo.show import Line
from gateway.record import PUBLIC_FILE
from gateway.record.folder import LogFolder

COMMAND_S_MAX = 20.0
AUDITOR = "auditor"


@dataclass(frozen=True, slots=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    text: str

    @property
    def last(self) -> str:
        lines = [line.strip() for line in self.text.splitlines() if line.strip()]
        return lines[-1] if lines else "(nothing)"


async def command(*arguments: str) -> Said:
    """Run `portreeve ARGUMENTS` and wait for it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway",
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), COMMAND_S_MAX)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Said(process.returncode or 0, said.decode("utf-8", "replace"))


async def what_the_log_proves(play: Play) -> AsyncGenerator[Line, None]:
    deployment, copy = str(play.stage.deployment), play.stage.folder / "tampered"
    copied = tamper(play.log_folder, copy)
    verified, explained, replayed, found = await asyncio.gather(
        command("log", "verify", "--folder", deployment),
        command("log", "explain", str(play.refused_refund), "--folder", deployment),
        command("log", "replay", "--folder", deployment),
        command("log", "verify", "--log", str(copy), "--key", str(play.stage.deployment / "var" / "keys" / PUBLIC_FILE)),
    )
    yield line("portreeve log verify", verified, 0)
    wanted = line(f"portreeve log explain {play.refused_refund}", explained, 0)
    yield wanted if SUPPORT in explained.text else differs(wanted, f"the explanation does not name {SUPPORT}")
    yield line("portreeve log replay", replayed, 0)
    yield line(f"one bit of {copied} flipped in a copy; log verify", found, 1)


def tamper(log: Path, copy: Path) -> str:
    """Copy the log and flip one bit in the middle of its first segment; says where."""
    shutil.copytree(log, copy)
    _, segment = LogFolder(copy).segment_list()[0]
    raw = bytearray(segment.read_bytes())
    place = len(raw) // 2
    raw[place] ^= 0x01
    segment.write_bytes(raw)
    return f"{len(raw):,} bytes"


def line(tried: str, said: Said, code: int) -> Line:
    differed = "" if said.code == code else f"exit {said.code}, not {code}: {said.text.strip()[-600:]}"
    return Line(AUDITOR, tried, f"exit {said.code}", said.last, "found" if code == 0 else "refused", differed)


def differs(line: Line, how: str) -> Line:
    return Line(line.who, line.tried, line.answer, line.why, line.kind, line.differed or how)
