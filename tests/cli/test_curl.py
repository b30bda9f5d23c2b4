"""One call as an agent from the command line, with the proof that its file wants."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.cli.curl import EXIT_TOOL_ERROR
from gateway.client import AgentKey
from tests.cli.test_agent_tokens import portreeve
from tests.cli.test_identity import ROOT
from tests.journeys.place import Place, records, running, write_place
from tests.journeys.token_clients import URL, write_agent
from tests.simulators.upstreams import Seen, answer, upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")
KEY = AgentKey.make()


class Tool:
    """Answers with what it was asked; streams below /slow, the second half when the gate is opened; fails below /ill."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()

    async def __call__(self, seen: Seen, writer: asyncio.StreamWriter) -> None:
        if "ill" in seen.target:
            writer.write(answer(409, b'{"type":"urn:tool","detail":"its own"}', "Content-Type: application/problem+json"))
        elif "slow" in seen.target:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
            await self.gate.wait()
            writer.write(b"4\r\nlast\r\n0\r\n\r\n")
        else:
            told = {"method": seen.method, "target": seen.target, "type": seen.header("content-type"), "body": seen.body.decode()}
            writer.write(answer(200, json.dumps(told).encode()))


TOOL = Tool()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    folder = tmp_path_factory.mktemp("place")
    inner = ", ".join(f'{name} = "{value}"' for name, value in KEY.public.items())
    async with upstream(TOOL) as up:
        write_place(folder, up.port)
        for name, pop in (("strict", "required"), ("plain", "none")):
            key = f'[[credential]]\nkind = "key"\nkid = "{name}-1"\njwk = {{ {inner} }}\n' if name == "strict" else ""
            write_agent(folder, name, f'[token]\npop = "{pop}"\n{key}')
        KEY.write(folder / "strict.jwk", kid="strict-1", agent="strict", url=URL)
        async with running(folder) as found:
            yield found


async def elsewhere(place: Place, *words: str, **more: str) -> tuple[int, str, str]:
    """The command on a machine without the deployment."""
    key = place.folder / "strict.jwk"
    return await portreeve(place, place.folder / "log", *words, **{"PORTREEVE_KEY_FILE": str(key), **more})


async def here(place: Place, *words: str) -> tuple[int, str, str]:
    """The command in the deployment's folder, whose gateway is reached at another URL than its own."""
    return await portreeve(place, place.folder, *words)


@pytest.mark.parametrize("command", [elsewhere, here])
async def test_a_call_is_made_with_the_proof_that_the_agents_file_wants(place: Place, command):
    code, out, error = await command(place, "curl", "--as", "strict", "/tools/notes/notes/7?")
    assert (code, error) == (0, "")
    assert json.loads(out)["target"].startswith("/api/notes/7")
    code, out, error = await command(place, "curl", "--as", "strict", "/tools/notes/notes", "-d", '{"text": "hello"}')
    assert (code, error) == (0, "")
    told = json.loads(out)
    assert (told["method"], told["type"], json.loads(told["body"])) == ("POST", "application/json", {"text": "hello"})
    assert records(place.folder, "call")[-1]["who"]["agent"] == "strict"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (elsewhere, ["token", "strict"]),
        (elsewhere, ["run", "--as", "strict", "--", "true"]),
        (here, ["headers", "strict"]),
        (here, ["env", "strict"]),
    ],
)
async def test_a_token_that_could_not_be_used_is_not_given_out_and_the_way_is_said(place: Place, command, words):
    code, out, error = await command(place, *words)
    assert (code, out) == (1, "")
    assert "key_needed" in error and "portreeve curl --as strict" in error and "dpop=True" in error


async def test_a_body_comes_from_a_file_or_from_standard_input_and_headers_are_the_callers(place: Place, tmp_path: Path):
    (tmp_path / "body.json").write_text('{"text": "from a file"}')
    words = ("curl", "--as", "strict", "-X", "POST", "-H", "content-type: application/json; charset=utf-8", "/tools/notes/notes")
    code, out, error = await here(place, *words, "-d", f"@{tmp_path / 'body.json'}")
    assert (code, error) == (0, "") and json.loads(json.loads(out)["body"]) == {"text": "from a file"}
    code, _, error = await here(place, *words, "-d", "@nowhere.json")
    assert code == 1 and "unreadable_file" in error


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('{"text": "x", "stars": 9}', ("403: At most five stars. ", "[denied, journey.test/log#")),
        ('{"stars": 1}', ("422: /text: ", "[contract_violation, journey.test/log#")),
    ],
)
async def test_a_refusal_is_told_on_standard_error_with_its_argument_its_hint_and_its_record(place: Place, body: str, said: tuple[str, ...]):
    code, out, error = await elsewhere(place, "curl", "--as", "strict", "/tools/notes/notes", "-d", body)
    assert (code, out, len(error.splitlines())) == (1, "", 1)
    assert all(f in error for f in said), error


async def test_an_error_of_the_tool_is_printed_as_it_is_and_its_exit_code_is_curls(place: Place):
    code, out, error = await elsewhere(place, "curl", "--as", "strict", "/tools/notes/notes/ill")
    assert (code, error, json.loads(out)["detail"]) == (EXIT_TOOL_ERROR, "", "its own")


async def test_an_answer_is_printed_as_it_comes(place: Place):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PORTREEVE_", "SPIFFE_", "PYTHON"))}
    environment |= {"PORTREEVE_URL": place.gateway.addresses["agents"], "PYTHONPATH": str(ROOT)}
    words = (sys.executable, "-m", "gateway", "curl", "--as", "strict", "/tools/notes/notes/slow")
    process = await asyncio.create_subprocess_exec(*words, env=environment, cwd=place.folder, stdout=asyncio.subprocess.PIPE)
    assert process.stdout
    async with asyncio.timeout(60):
        assert await process.stdout.readexactly(5) == b"first"
        TOOL.gate.set()
        assert await process.stdout.read() == b"last"
        assert await process.wait() == 0


async def test_an_agent_of_bearer_tokens_is_called_for_without_a_proof(place: Place):
    code, _, error = await here(place, "curl", "--as", "plain", "/tools/notes/notes/7")
    assert code == 1 and "no_key_wanted" in error and "--bearer" in error
    code, out, error = await here(place, "curl", "--as", "plain", "--bearer", "/tools/notes/notes/7")
    assert (code, error) == (0, "") and json.loads(out)["method"] == "GET"


async def test_it_calls_nobody_but_the_gateway(place: Place):
    async with upstream(Tool()) as other:
        code, out, error = await elsewhere(place, "curl", "--as", "strict", f"{other.url}/tools/notes/notes/7")
        assert (code, out, other.seen) == (1, "", []) and "foreign_origin" in error
    code, _, error = await elsewhere(place, "curl", "--as", "strict", "/v1/tools", PORTREEVE_URL="http://127.0.0.1:1")
    assert code == 1 and "gateway_unreachable" in error


async def test_what_is_no_header_is_wrong_usage(place: Place):
    code, _, error = await here(place, "curl", "--as", "strict", "-H", "nothing", "/v1/tools")
    assert code == 2 and "NAME:VALUE" in error
