"""Builds the shim that stands between a process and its system calls, and runs Python under it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = Path(__file__).with_name("shim.c")
COMPILER = next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)

needs_compiler = pytest.mark.skipif(
    COMPILER is None or not sys.platform.startswith("linux"), reason="no C compiler here: system calls cannot be intercepted"
)


@lru_cache(maxsize=1)
def _built(folder: Path) -> Path:
    assert COMPILER
    library = folder / "shim.so"
    subprocess.run([COMPILER, "-shared", "-fPIC", "-O1", "-o", library, SOURCE], check=True, capture_output=True, timeout=60)
    return library


def run(code: str, *words: object, shims: Path, under: Path, trace: Path | None = None, fault: str = "") -> subprocess.CompletedProcess[bytes]:
    """Run Python code in a process whose writes below `under` are written down in `trace`, or fail as `fault` says."""
    given = {"LD_PRELOAD": str(_built(shims)), "SHIM_UNDER": str(under), "SHIM_FAULT": fault} | ({"SHIM_TRACE": str(trace)} if trace else {})
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], cwd=ROOT, env={**os.environ, **given}, capture_output=True, timeout=120, check=False
    )
