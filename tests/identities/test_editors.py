"""The schema for editors and the loader know the same keys."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from gateway.errors import Problems
from gateway.identities import load_identities
from gateway.identities.editors import agent_schema

ROOT = Path(__file__).resolve().parents[2]
ISSUERS = 'schema = 1\n[issuer.gateway]\nkind = "self"\n'
TABLES = {"agent": '[agent]\nid = "bot"\nowner = "team:x"\n', "token": "[token]\n", "delegation": "[delegation]\n"}
CREDENTIALS = {
    "key": 'kind = "key"\nkid = "a"\njwk = { kty = "EC" }\n',
    "enrolled": 'kind = "enrolled"\n',
    "federated": 'kind = "federated"\nissuer = "ci"\nmatch = { sub = "x" }\n',
}


def fails(schema: dict[str, Any], text: str) -> bool:
    found = tomllib.loads(text)
    return not jsonschema_rs.validator_for(schema).is_valid(_plain(found))


def _plain(value: Any) -> Any:
    """Dates are texts to a JSON Schema."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float) else str(value)


def known_to_loader(folder: Path, text: str) -> set[str]:
    """The keys that the loader names when it meets one that it does not know."""
    (folder / "agents").mkdir(parents=True)
    (folder / "issuers.toml").write_text(ISSUERS)
    (folder / "agents" / "bot.toml").write_text(text)
    with pytest.raises(Problems) as caught:
        load_identities(folder)
    (problem,) = (problem for problem in caught.value.problems if problem.code == "unknown_key" and problem.key.endswith("zzzzzzzzzz"))
    return set(problem.remedy.removeprefix("known here: ").split(", "))


@pytest.mark.parametrize("table", TABLES)
def test_each_table_has_the_keys_that_the_loader_knows(tmp_path: Path, table: str):
    others = "".join(text for name, text in TABLES.items() if name != table)
    text = f"schema = 1\n{others}{TABLES[table]}zzzzzzzzzz = 1\n"
    assert set(agent_schema()["properties"][table]["properties"]) == known_to_loader(tmp_path, text)


@pytest.mark.parametrize("kind", CREDENTIALS)
def test_each_kind_of_credential_has_the_keys_that_the_loader_knows(tmp_path: Path, kind: str):
    text = f"schema = 1\n{TABLES['agent']}[[credential]]\n{CREDENTIALS[kind]}zzzzzzzzzz = 1\n"
    (schema,) = (one for one in agent_schema()["properties"]["credential"]["items"]["oneOf"] if one["properties"]["kind"]["const"] == kind)
    assert set(schema["properties"]) == known_to_loader(tmp_path, text)


@pytest.mark.parametrize("path", sorted((ROOT / "identities" / "agents").glob("*.toml")), ids=lambda path: path.stem)
def test_our_own_agents_are_valid(path: Path):
    assert not fails(agent_schema(), path.read_text())


@pytest.mark.parametrize(
    "line",
    ['statu = "active"', 'status = "on"', "groups = [1]", 'groups = ["a", "a"]', "attributes = { a = 1.5 }", 'id = "Bot"'],
)
def test_what_the_loader_refuses_an_editor_marks(line: str):
    text = f'schema = 1\n[agent]\nowner = "team:x"\n{line}\n' + ("" if line.startswith("id") else 'id = "bot"\n')
    assert fails(agent_schema(), text)


def test_a_private_key_is_marked():
    text = f'schema = 1\n{TABLES["agent"]}[[credential]]\nkind = "key"\nkid = "a"\njwk = {{ kty = "EC", d = "x" }}\n'
    assert fails(agent_schema(), text)
