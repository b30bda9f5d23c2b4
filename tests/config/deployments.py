"""Small deployments for tests: a folder with a gateway.toml that is right, and ways to break it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.load import load
from gateway.errors import Problem, Problems

GOOD = """\
schema = 1

[gateway]
name = "test"
url = "http://127.0.0.1:8080"

[log]
folder = "var/log"
origin = "test.example/log"

[tool.crm]
url = "https://crm.example.com/v1"
credential = "crm-key"

[credential.crm-key]
secret = "env:CRM_KEY"
hosts = ["crm.example.com"]
header = "Authorization"
format = "Bearer {secret}"
"""


def write(folder: Path, text: str = GOOD, **files: str) -> Path:
    """A deployment folder with this gateway.toml. Further files are named by keyword: `tools_a` is tools/a.toml."""
    for name in ("policies", "identities", "tools"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "gateway.toml").write_text(text)
    for name, content in files.items():
        (folder / f"{name.replace('_', '/', 1)}.toml").write_text(content)
    return folder


def problems_of(folder: Path) -> tuple[Problem, ...]:
    with pytest.raises(Problems) as caught:
        load(folder)
    return caught.value.problems


def replaced(old: str, new: str) -> str:
    """GOOD with one piece replaced."""
    assert GOOD.count(old) == 1, old
    return GOOD.replace(old, new)


def line_of(text: str, piece: str) -> int:
    """The line on which a piece stands, counted from 1."""
    return text[: text.index(piece)].count("\n") + 1
