"""Key files: private ones only, never overwritten, and what is wrong with one is said without quoting it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.client.key import AgentKey
from gateway.errors import Problem
from gateway.identities.jwk import read_jwk


def written(folder: Path) -> Path:
    path = folder / "agent.jwk"
    AgentKey.make().write(path, kid="k1", agent="bot", url="https://gate.example")
    return path


def test_a_key_comes_back_from_its_file_as_it_went_in(tmp_path: Path):
    key = AgentKey.make()
    key.write(tmp_path / "agent.jwk", kid="k1", agent="bot", url="https://gate.example")
    found = AgentKey.read(tmp_path / "agent.jwk")
    assert (found.kid, found.agent, found.url, found.public) == ("k1", "bot", "https://gate.example", key.public)
    assert (tmp_path / "agent.jwk").stat().st_mode & 0o777 == 0o600
    assert read_jwk(found.public).alg == "ES256"


def test_a_key_that_others_may_read_is_refused(tmp_path: Path):
    path = written(tmp_path)
    path.chmod(0o640)
    with pytest.raises(Problem) as caught:
        AgentKey.read(path)
    assert (caught.value.code, caught.value.remedy) == ("key_not_private", f"chmod 600 {path}")


def test_a_key_is_never_overwritten(tmp_path: Path):
    path = written(tmp_path)
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        AgentKey.make().write(path, kid="k2", agent="bot", url="https://gate.example")
    assert path.read_bytes() == before


@pytest.mark.parametrize("change", [{"d": "%%%"}, {"d": "AQ"}, {"crv": "P-384"}, {"kid": ""}, {"agent": 7}, {"x": None}])
def test_what_is_no_key_file_is_said_without_quoting_it(tmp_path: Path, change: dict[str, object]):
    path = written(tmp_path)
    jwk = json.loads(path.read_text())
    path.write_text(json.dumps({**jwk, **change}))
    with pytest.raises(Problem) as caught:
        AgentKey.read(path)
    assert caught.value.code == "key_malformed"
    assert jwk["d"] not in str(caught.value) and caught.value.__cause__ is None


def test_neither_the_key_nor_its_file_shows_in_a_text_of_it(tmp_path: Path):
    path = written(tmp_path)
    assert json.loads(path.read_text())["d"] not in repr(AgentKey.read(path))
