"""The journey's shape: what the type checker must refuse."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PIPELINE = ROOT / "gateway" / "pipeline.py"

DENY_CHECK = """        if not isinstance(verdict, Permit):
            return await self.refused(refusal_of(verdict))
"""
INJECT = "grant = await state.credentials.inject(verdict, tool.settings, deadline)"


def mypy_of(source: str, folder: Path) -> str:
    """What mypy says when pipeline.py reads like `source`."""
    changed = folder / "pipeline.py"
    changed.write_text(source)
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(folder / "cache"), "--shadow-file", str(PIPELINE), str(changed), str(PIPELINE)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        (DENY_CHECK, "", 'Argument 1 to "inject"'),
        (INJECT, "grant = verdict", 'Argument 1 to "forward"'),
    ],
    ids=["without the deny check", "without injection"],
)
def test_a_journey_that_skips_a_step_does_not_type_check(tmp_path, before, after, complaint):
    source = PIPELINE.read_text()
    assert before in source
    assert complaint in mypy_of(source.replace(before, after), tmp_path)
