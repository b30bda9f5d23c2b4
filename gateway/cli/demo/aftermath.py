"""The demo's last scenes: what the decision log proves. They run the real commands, each in a process of its own, as an auditor would."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.cli.demo.records import summed_up
from gateway.cli.demo.scenes import SUPPORT, Play
from gateway.cli.demo.show import Line
from gateway.record import PUBLIC_FILE
from gateway.record.folder import LogFolder

COMMAND_S_MAX = 20.0
SUMMARY_LOOKS_MAX = 30
AUDITOR = "auditor"


@dataclass(frozen=True, slots=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    text: str

    @property
    def first(self) -> str:
        """The first line that says something, which is the verdict."""
        return next((" ".join(line.split()) for line in self.text.splitlines() if line.strip()), "(nothing)")

    def part(self, beginning: str, end: str) -> str:
        """The lines from the one that begins so to the one before that begins so."""
        lines = self.text.splitlines()
        places = [n for n, line in enumerate(lines) if line.strip().startswith((beginning, end))]
        return "\n".join(lines[places[0] : places[-1]]).rstrip() if len(places) > 1 else ""


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
    place = tamper(play.log_folder, copy)
    verified, explained, replayed, found = await asyncio.gather(
        command("log", "verify", "--folder", deployment),
        command("log", "explain", str(play.refused_refund), "--folder", deployment),
        command("log", "replay", "--folder", deployment),
        command("log", "verify", "--log", str(copy), "--key", str(play.stage.deployment / "var" / "keys" / PUBLIC_FILE)),
    )
    reasons = await refusal_reasons(play.log_folder)
    missing = unnamed(reasons)
    differed = f"{missing} is not among {reasons}" if missing else ""
    yield Line(AUDITOR, "what the log knows of callers it could not name", f"{len(reasons)} reasons", "; ".join(reasons), "found", differed)
    yield line("portreeve log verify", verified, 0)
    wanted = line(f"portreeve log explain {play.refused_refund}", explained, 0)
    wanted = replace(wanted, more=explained.part("decided", "outcome"))
    yield wanted if SUPPORT in explained.text else replace(wanted, differed=f"the explanation does not name {SUPPORT}")
    yield line("portreeve log replay", replayed, 0)
    yield line(f"portreeve log verify, of a copy with one bit flipped at byte {place:,}", found, 1)


async def refusal_reasons(log: Path) -> list[str]:
    """Why callers without identity were refused: agents are told a code, the log keeps the reason. Summaries are written once a second."""
    for _ in range(SUMMARY_LOOKS_MAX):
        reasons = sorted({reason.partition(": ")[2] or reason for reason in summed_up(log)})
        if not unnamed(reasons):
            break
        await asyncio.sleep(0.1)
    return reasons


def unnamed(reasons: list[str]) -> list[str]:
    """What the earlier scenes did that these reasons do not tell."""
    return [word for word in ("expired", "signature", "slash") if word not in " ".join(reasons)]


def tamper(log: Path, copy: Path) -> int:
    """Copy the log and flip one bit in the middle of its first segment; says at which byte."""
    shutil.copytree(log, copy, ignore=shutil.ignore_patterns(".*", "control"))  # drafts may be gone before they are copied; a socket is no file
    _, segment = LogFolder(copy).segment_list()[0]
    raw = bytearray(segment.read_bytes())
    place = len(raw) // 2
    raw[place] ^= 0x01
    segment.write_bytes(raw)
    return place


def line(tried: str, said: Said, code: int) -> Line:
    differed = "" if said.code == code else f"exit {said.code}, not {code}: {said.text.strip()[-600:]}"
    return Line(AUDITOR, tried, f"exit {said.code}", said.first, "found" if code == 0 else "refused", differed)
