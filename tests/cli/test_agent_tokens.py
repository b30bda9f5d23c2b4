"""The commands on an agent's machine, where there is no deployment: enrol a key, then get tokens from a running gateway."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from gateway.config.load import load
from gateway.stores.database import Database
from gateway.stores.enrolment import Enrolments
from tests.cli.test_identity import ROOT
from tests.journeys.place import Place, records, running, token_of, write_place
from tests.journeys.token_clients import URL, call, claims_of, write_agent
from tests.simulators.upstreams import echo, upstream


@pytest_asyncio.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    folder = tmp_path / "home"
    folder.mkdir()
    async with upstream(echo) as up:
        write_place(folder, up.port)
        write_agent(folder, "bot", '[token]\nscopes = ["notes:read", "notes:write"]\n[[credential]]\nkind = "enrolled"\n')
        async with running(folder) as found:
            yield found


async def portreeve(place: Place, elsewhere: Path, *words: str, **more: str) -> tuple[int, str, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PORTREEVE_", "SPIFFE_"))}
    environment |= {"PORTREEVE_URL": place.gateway.addresses["agents"], "PORTREEVE_ISSUER": URL, "PYTHONPATH": str(ROOT), **more}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", *words, env=environment, cwd=elsewhere, stdin=pipe, stdout=pipe, stderr=pipe
    )
    out, error = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, out.decode(), error.decode()


def new_code(folder: Path) -> str:
    """What `portreeve identity add bot --enrol` prints."""
    database = Database.open(load(folder).state)
    try:
        return Enrolments(database).new_code("bot")
    finally:
        database.close()


async def enrolled(place: Place, elsewhere: Path) -> Path:
    elsewhere.mkdir()
    code = await asyncio.to_thread(new_code, place.folder)
    done = await portreeve(place, elsewhere, "enrol", "--key", "bot.jwk", "--code", code)
    assert done[0] == 0 and "a key of bot" in done[1], done
    return elsewhere / "bot.jwk"


SHOW = """
import json, os
print(json.dumps({"token": open(os.environ["PORTREEVE_TOKEN_FILE"]).read(), "env": dict(os.environ)}))
raise SystemExit(7)
"""


async def test_an_enrolled_machine_gets_tokens_without_the_deployment(place: Place, tmp_path: Path):
    key = await enrolled(place, tmp_path / "elsewhere")
    assert key.stat().st_mode & 0o777 == 0o600
    code, out, error = await portreeve(place, key.parent, "token", "mint", "bot", "--key", str(key), "--scope", "notes:read", "--json")
    assert code == 0, error
    found = json.loads(out)
    assert (found["agent"], found["scope"], found["token_type"]) == ("bot", "notes:read", "Bearer")
    assert claims_of(found["access_token"])["gw"]["auth"] == "enrolled"
    code, out, _ = await portreeve(place, key.parent, "headers", "bot", PORTREEVE_KEY_FILE=str(key))
    assert code == 0 and json.loads(out)["Authorization"].startswith("Bearer ey")
    code, out, _ = await portreeve(place, key.parent, "env", "bot", PORTREEVE_KEY_FILE=str(key))
    assert code == 0 and f"PORTREEVE_URL={place.gateway.addresses['agents']}" in out


async def test_a_run_has_a_token_file_and_its_token_is_dead_afterwards(place: Place, tmp_path: Path):
    key = await enrolled(place, tmp_path / "elsewhere")
    code, out, error = await portreeve(place, key.parent, "run", "--as", "bot", "--", sys.executable, "-c", SHOW, PORTREEVE_KEY_FILE=str(key))
    assert (code, error) == (7, "")
    found = json.loads(out)
    assert found["token"] == found["env"]["PORTREEVE_TOKEN"] and "PORTREEVE_KEY_FILE" not in found["env"]
    assert (await call(place, found["token"])).status_code == 401
    assert claims_of(found["token"])["jti"] in json.dumps(records(place.folder))


async def test_what_cannot_be_had_elsewhere_says_why(place: Place, tmp_path: Path):
    key = await enrolled(place, tmp_path / "elsewhere")
    for words, said in (
        (["token", "mint", "other", "--key", str(key)], "another_agent"),
        (["token", "mint", "bot", "--key", str(key), "--ttl", "5m"], "deployment_needed"),
        (["enrol", "--key", str(key), "--code", "abc"], "key_exists"),
        (["enrol", "--key", str(key.parent / "new"), "--code", "abc"], "invalid_grant"),
    ):
        code, out, error = await portreeve(place, key.parent, *words)
        assert (code, out) == (1, "") and said in error, (words, error)
    assert not (key.parent / "new").exists()


async def test_a_machine_that_has_neither_a_deployment_nor_a_gateway_is_told_what_to_say(place: Place, tmp_path: Path):
    (tmp_path / "elsewhere").mkdir()
    code, out, error = await portreeve(place, tmp_path / "elsewhere", "headers", "bot", PORTREEVE_URL="")
    assert (code, out) == (1, "") and all(word in error for word in ("no_deployment", "-C FOLDER", "--url URL --key FILE"))


async def test_what_the_gateway_refuses_is_said_in_its_words(place: Place, tmp_path: Path):
    (tmp_path / "elsewhere").mkdir()
    ended = token_of(place.folder, "bot", age_s=3600)
    code, out, error = await portreeve(place, tmp_path / "elsewhere", "env", "bot", PORTREEVE_TOKEN=ended)
    assert (code, out) == (1, "") and "answered 401: A valid token is needed. Get a fresh token" in " ".join(error.split())
