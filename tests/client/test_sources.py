"""Where tokens come from: the order, and what each source does when its world changes."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.client.key import AgentKey
from gateway.client.settings import Settings
from gateway.client.sources import Enrolled, Given, Platform, Spiffe, TokenFile, choose
from gateway.errors import Problem
from gateway.secret import Secret


def test_the_sources_have_one_order(tmp_path: Path):
    AgentKey.make().write(tmp_path / "key", kid="k1", agent="bot", url="https://gate.example")
    found = Settings("", "", tmp_path / "token", tmp_path / "key", tmp_path / "platform", "unix:/nowhere", Secret("t"))
    order = []
    for member in ("token_file", "key_file", "platform_token", "spiffe", "token"):
        order.append(type(choose(found)))
        found = replace(found, **{member: "" if member == "spiffe" else None})
    assert order == [TokenFile, Enrolled, Platform, Spiffe, Given]
    with pytest.raises(Problem) as caught:
        choose(found)
    assert caught.value.code == "no_token_source" and "portreeve run" in caught.value.remedy


def test_a_token_file_is_read_again_when_it_was_replaced(tmp_path: Path):
    path = tmp_path / "token"
    path.write_text("one\n")
    source = TokenFile(path)
    assert source.token() == Secret("one") and not source.changed()
    (tmp_path / "new").write_text("two\n")
    (tmp_path / "new").replace(path)
    assert source.changed() and source.token() == Secret("two") and not source.changed()
    path.unlink()
    assert not source.changed()


@pytest.mark.parametrize("text", ["", "two words", "line\nline", "umläut", "x" * 20_000])
def test_a_file_that_does_not_hold_one_token_is_a_problem(tmp_path: Path, text: str):
    (tmp_path / "token").write_text(text)
    with pytest.raises(Problem) as caught:
        TokenFile(tmp_path / "token").token()
    assert caught.value.code == "token_malformed"
    assert not text or text not in str(caught.value)


def test_a_platforms_token_is_read_for_each_request(tmp_path: Path):
    source = Platform(tmp_path / "token")
    with pytest.raises(Problem):
        source.form("https://gate.example")
    for text in ("one", "two"):
        (tmp_path / "token").write_text(text)
        assert source.form("https://gate.example")["assertion"] == text


def test_spiffe_without_its_library_says_what_to_install(tmp_path: Path):
    """In an interpreter where the import fails, as on a machine without the extra."""
    (tmp_path / "spiffe.py").write_text("raise ImportError('not here')")
    program = "from gateway.client.sources import Spiffe\ntry:\n    Spiffe('unix:/x').form('')\nexcept Exception as error:\n    print(error)"
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=True, timeout=60
    )
    assert "extra_missing" in done.stdout and "pip install 'portreeve[spiffe]'" in done.stdout


def test_a_workload_api_that_is_not_there_is_a_problem(tmp_path: Path):
    pytest.importorskip("spiffe", reason="the spiffe client is not installed")
    with pytest.raises(Problem) as caught:
        Spiffe("http://not-a-socket").form("https://gate.example")
    assert caught.value.code == "spiffe_failed"
