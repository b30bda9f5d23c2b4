"""The page for agent developers, and README's part for them, do what they say: programs, commands and lines of code are run as they stand, with the vendors' own libraries, through a gateway.

Then, for each library, what its user sees of a denial, a token that has ended, a stopped agent, a limit, and a tool that broke.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import runpy
import shlex
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import anthropic
import httpx
import httpx2
import mcp
import openai
import pytest
import requests
from langchain_openai import ChatOpenAI
from mcp.client.streamable_http import streamable_http_client

from gateway.client import GatewayAuth, async_client, client
from gateway.client.tokens import Held
from gateway.errors import Problem
from gateway.secret import Secret
from tests.journeys.agent_page import IN_FLIGHT_MAX, PAGE, README, World, blocks, commands, mcp_settings, page_world, same_everywhere, shortest_way
from tests.journeys.place import token_of
from tests.journeys.test_policy_page import BLOCK
from tests.simulators.library import Library
from tests.simulators.vendors import Vendors

pytestmark = pytest.mark.slow

PROGRAMS = [block.file for block in blocks() if block.kind == "python"]


@pytest.fixture(scope="module")
def library() -> Iterator[Library]:
    with Library() as found:
        yield found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, library: Library) -> Iterator[World]:
    with Vendors() as vendors, page_world(tmp_path_factory.mktemp("page"), vendors, library.port) as found:
        yield found


@pytest.fixture(scope="module")
def exports(world: World) -> dict[str, str]:
    """What `portreeve env support-bot` exports."""
    return dict(shlex.split(line)[1].split("=", 1) for line in world.reader.run("portreeve env support-bot").splitlines())


@pytest.fixture
def as_support_bot(exports: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**exports, "NO_PROXY": "*"}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_of_the_page_shows_what_the_page_says(world: World, as_support_bot: None, capsys: pytest.CaptureFixture[str], name: str):
    program, shown = (next(block.text for block in blocks() if (block.kind, block.file) == (kind, name)) for kind in ("python", "text"))
    (world.reader.folder / name).write_text(program)
    runpy.run_path(str(world.reader.folder / name), run_name="__main__")
    found = same_everywhere(capsys.readouterr().out)
    assert [line for line in shown.splitlines() if line not in found] == [], found


def test_the_page_has_a_program_for_each_library_that_its_table_names():
    table = PAGE.read_text().split("## ", 1)[0]
    assert len(PROGRAMS) == len(set(PROGRAMS)) == len(re.findall(r"^\| .*\]\(#", table, re.MULTILINE)) - 2  # curl and settings are no programs


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed on this machine")
def test_the_commands_of_the_page_are_run_as_they_stand(world: World):
    (program,) = (block.text for block in blocks("httpx2") if block.kind == "python")
    (world.reader.folder / "with_httpx2.py").write_text(program)
    shown = world.reader.run("\n".join(commands(block.text) for section in ("The token", "curl") for block in blocks(section)))
    ran, found, refused = re.fullmatch(r"200\n403 (Refunds over 50.00 need a person.*)\n(\{.*\})(\{.*\})\n*", shown).groups()
    assert json.loads(found)["tickets"][0]["id"] == "T-1001"
    assert same_everywhere(json.loads(refused)["message"]) == same_everywhere(ran)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed on this machine")
def test_the_commands_of_the_readme_are_run_as_they_stand(world: World):
    (world.reader.folder / "agent.py").write_text("import os; print(open(os.environ['PORTREEVE_TOKEN_FILE']).read().count('.'))")
    (block,) = (block[2] for block in BLOCK.finditer(README) if block[1] == "console")
    quiet = re.sub(r"(?<!portreeve )\bcurl ", "curl -s ", f"{commands(block)}\n{shortest_way('curl')}")
    shown = world.reader.run(quiet)
    assert '"agent":"support-bot"' in shown and shown.count('"id": "T-1001"') == 2 and '}2\n{"ticket": "T-1002"' in shown


def test_the_python_of_the_readme_is_run_as_it_stands(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PORTREEVE_KEY_FILE", str(world.reader.folder / "helper.jwk"))
    (block,) = (block[2] for block in BLOCK.finditer(README) if block[1] == "python")
    names: dict[str, Any] = {}
    exec(block.replace("https://gateway.example.com", world.url), names)
    assert names["http"].is_closed


WAYS: dict[str, Callable[[Any, str], str]] = {
    "httpx2": lambda made, _: made.json()["tickets"][0]["id"],
    "httpx": lambda made, url: made.get(url + "/tickets").json()["tickets"][0]["id"],
    "requests": lambda made, _: made.json()["tickets"][0]["id"],
    "OpenAI": lambda made, _: made.chat.completions.create(model="mini", messages=[{"role": "user", "content": "T-1001"}]).choices[0].message.content,
    "Anthropic": lambda made, _: made.messages.create(model="haiku", max_tokens=9, messages=[{"role": "user", "content": "T-1001"}]).content[0].text,
    "LangChain": lambda made, _: made.invoke("T-1001").content,
}
NAMES = {
    "openai": openai,
    "anthropic": anthropic,
    "httpx": httpx,
    "requests": requests,
    "mcp": mcp,
    "ChatOpenAI": ChatOpenAI,
    "GatewayAuth": GatewayAuth,
    "streamable_http_client": streamable_http_client,
}
TOOLS = {"OpenAI": "openai", "LangChain": "openai", "Anthropic": "anthropic"}


@pytest.mark.parametrize("name", WAYS)
def test_the_shortest_way_of_the_readme_is_enough(world: World, as_support_bot: None, name: str):
    class Auth(GatewayAuth, httpx.Auth):
        pass

    url = f"{world.url}/tools/{TOOLS.get(name, 'tickets')}"
    with contextlib.ExitStack() as stack:
        own = {"client": lambda: stack.enter_context(client()), "url": url, "Auth": Auth}
        made = eval(shortest_way(name), {**NAMES, **own})
        stack.callback(getattr(made, "close", int))
        assert WAYS[name](made, url) == "T-1001"


async def test_so_it_is_for_mcp(world: World, as_support_bot: None):
    async with contextlib.AsyncExitStack() as stack:

        def opened(**options: Any) -> httpx2.AsyncClient:
            http = async_client(**options)
            stack.push_async_callback(http.aclose)
            return http

        own = {"async_client": opened, "url": f"{world.url}/tools/library"}
        found = await stack.enter_async_context(eval(shortest_way("MCP SDK"), {**NAMES, **own}))
        assert (await found.call_tool("find", {"title": "Emma"})).content[0].text == "Emma: shelf 7"
    assert shortest_way("MCP servers in settings").strip('"') == 'headersHelper": "' + mcp_settings(world)["headersHelper"]


async def test_a_program_that_asks_a_command_for_its_headers_reaches_the_server_in_both_eras_of_the_protocol(world: World):
    settings = mcp_settings(world)
    headers = json.loads(await asyncio.to_thread(world.reader.run, settings["headersHelper"]))
    for mode in ("auto", "legacy"):  # without sessions, and with one
        async with httpx2.AsyncClient(headers=headers, trust_env=False) as http:
            async with mcp.Client(streamable_http_client(settings["url"], http_client=http), mode=mode) as found:
                assert [tool.name for tool in (await found.list_tools()).tools] == ["find", "lend"]
                with pytest.raises(mcp.MCPError, match="Books are lent by people"):
                    await found.call_tool("lend", {"title": "Emma"})
                assert (await found.call_tool("find", {"title": "Emma"})).content[0].text == "Emma: shelf 7"


def test_programs_that_cannot_be_changed_take_url_and_token_from_their_environment(
    world: World, exports: dict[str, str], as_support_bot: None, monkeypatch: pytest.MonkeyPatch
):
    told = PAGE.read_text()
    for name, below in (("OPENAI", "/v1"), ("ANTHROPIC", "")):
        assert f"`{name}_BASE_URL`" in told and f'`{name}_API_KEY="$PORTREEVE_TOKEN"`' in told
        monkeypatch.setenv(f"{name}_BASE_URL", exports[f"PORTREEVE_TOOL_{name}_URL"] + below)
        monkeypatch.setenv(f"{name}_API_KEY", exports["PORTREEVE_TOKEN"])
    hello: Any = [{"role": "user", "content": "hello"}]
    with openai.OpenAI() as one, anthropic.Anthropic() as two:
        assert one.chat.completions.create(model="mini", messages=hello).choices[0].message.content == "HELLO"
        assert two.messages.create(model="haiku", max_tokens=9, messages=hello).content[0].text == "HELLO"


async def test_a_model_of_langchain_is_asked_from_tasks_with_the_other_client(world: World):
    auth = world.auth("helper")
    async with async_client(auth=auth) as tasks:
        with client(auth=auth) as http:
            url = f"{world.url}/tools/openai/v1"
            model = ChatOpenAI(model="mini", base_url=url, api_key="unused", http_client=http, http_async_client=tasks)
            assert (await model.ainvoke("hello")).content == "HELLO"


# what each library's user sees


def by_openai(world: World, auth: GatewayAuth, model: str, content: str = "hello", **options: Any) -> str:
    with client(auth=auth, **options) as http:
        sdk = openai.OpenAI(base_url=f"{world.url}/tools/openai/v1", api_key="unused", http_client=http)
        return str(sdk.chat.completions.create(model=model, messages=[{"role": "user", "content": content}]).choices[0].message.content)


def by_anthropic(world: World, auth: GatewayAuth, model: str, content: str = "hello", **options: Any) -> str:
    with client(auth=auth, **options) as http:
        sdk = anthropic.Anthropic(base_url=f"{world.url}/tools/anthropic", auth_token="unused", http_client=http)
        return sdk.messages.create(model=model, max_tokens=9, messages=[{"role": "user", "content": content}]).content[0].text


def by_langchain(world: World, auth: GatewayAuth, model: str, content: str = "hello", **options: Any) -> str:
    with client(auth=auth, **options) as http:
        return str(ChatOpenAI(model=model, base_url=f"{world.url}/tools/openai/v1", api_key="unused", http_client=http).invoke(content).content)


def by_mcp(world: World, auth: GatewayAuth, model: str, content: str = "hello", **options: Any) -> str:
    """What it raises while it connects, or in the block, comes in groups of exceptions."""

    async def call() -> str:
        async with async_client(auth=auth, timeout=30, **options) as http:
            async with mcp.Client(streamable_http_client(f"{world.url}/tools/library/mcp", http_client=http)) as found:
                answer = await found.call_tool("lend" if model == DENIED else "find", {"title": content})
                return str(answer.content[0].text)

    try:
        return asyncio.run(call())
    except ExceptionGroup as group:
        error: Exception = group
        while isinstance(error, ExceptionGroup):
            (error,) = error.exceptions
        raise error from None


ALLOWED, DENIED = "mini", "large"


@dataclass(frozen=True, slots=True)
class Sdk:
    """How it calls, what it is answered, and its errors for 401, 403, 429 and 502."""

    call: Callable[..., str]
    answer: str
    errors: dict[int, type[Exception]]


OF_OPENAI: dict[int, type[Exception]] = {
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    429: openai.RateLimitError,
    502: openai.InternalServerError,
}
OF_ANTHROPIC: dict[int, type[Exception]] = {
    401: anthropic.AuthenticationError,
    403: anthropic.PermissionDeniedError,
    429: anthropic.RateLimitError,
    502: anthropic.InternalServerError,
}
HTTP_SDKS = {
    "openai": Sdk(by_openai, "HELLO", OF_OPENAI),
    "anthropic": Sdk(by_anthropic, "HELLO", OF_ANTHROPIC),
    "langchain": Sdk(by_langchain, "HELLO", OF_OPENAI),
}
SDKS = {**HTTP_SDKS, "mcp": Sdk(by_mcp, "hello: shelf 7", dict.fromkeys((401, 403, 429), mcp.MCPError))}


def reached(world: World, library: Library) -> int:
    """How many calls got to a vendor or to the library."""
    return len(world.vendors.seen) + len(library.calls)


@pytest.mark.parametrize("name", SDKS)
def test_what_policy_denies_is_said_in_the_error_of_the_library_with_what_to_do(world: World, library: Library, name: str):
    sdk, auth = SDKS[name], world.auth("helper")
    assert sdk.call(world, auth, ALLOWED) == sdk.answer
    before = reached(world, library)
    with pytest.raises(sdk.errors[403]) as caught:
        sdk.call(world, auth, DENIED)
    why = "Books are lent by people" if name == "mcp" else "Only models with mini or haiku"
    for part in (why, "ask the owner of the policy.", "[denied, sample.localhost/decisions#"):
        assert part in str(caught.value)
    assert reached(world, library) == before


@pytest.mark.parametrize("name", SDKS)
def test_a_token_that_has_ended_is_renewed_and_the_library_does_not_notice(world: World, name: str):
    """The agent's clock is slow, or its machine slept: only the gateway knows that the token is over."""
    auth = world.auth("helper")
    ended = Secret(token_of(world.reader.folder, "helper", age_s=3600))
    auth.tokens._held = Held(ended)
    assert SDKS[name].call(world, auth, ALLOWED) == SDKS[name].answer
    now = auth.tokens.fresh()
    assert now is not None and now.token != ended


@pytest.mark.parametrize("name", SDKS)
def test_a_fixed_token_that_has_ended_is_an_error_that_says_where_to_get_another(world: World, name: str):
    fixed = GatewayAuth(world.url, token=token_of(world.reader.folder, "helper", age_s=3600))
    with pytest.raises(SDKS[name].errors[401]) as caught:
        SDKS[name].call(world, fixed, ALLOWED)
    assert "Get a fresh token (portreeve token AGENT" in str(caught.value)


@pytest.mark.parametrize("name", SDKS)
def test_a_stopped_agent_hears_that_trying_again_is_no_use_and_no_library_does(
    world: World, library: Library, name: str, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    before = reached(world, library)
    with pytest.raises(SDKS[name].errors[403]) as caught:
        SDKS[name].call(world, GatewayAuth(world.url, token=token_of(world.reader.folder, "stopped")), ALLOWED)
    assert "Stop, and ask the operator" in str(caught.value) and "[halted, " in str(caught.value)
    assert reached(world, library) == before and "Retrying" not in caplog.text


@pytest.mark.parametrize("name", SDKS)
def test_why_there_is_no_token_is_what_a_library_raises_or_its_cause(world: World, name: str):
    """A stopped agent gets none, so its call is not even sent."""
    with pytest.raises((Problem, anthropic.APIConnectionError)) as caught:
        SDKS[name].call(world, world.auth("stopped"), ALLOWED)
    why = caught.value.__cause__ if name == "anthropic" else caught.value
    assert isinstance(why, Problem) and why.code == "unauthorized_client" and "ask the gateway's operator" in str(why)


@contextlib.contextmanager
def calls_under_way(world: World) -> Iterator[Callable[[], None]]:
    """As many calls of the agent `busy` as it may have at once, until the block ends or calls what it is given."""
    world.vendors.released.clear()
    auth = world.auth("busy")
    threads = [threading.Thread(target=by_openai, args=(world, auth, ALLOWED, "hold")) for _ in range(IN_FLIGHT_MAX)]
    for thread in threads:
        thread.start()

    def end() -> None:
        world.vendors.released.set()
        for thread in threads:
            thread.join()

    try:
        assert all(world.vendors.held.acquire(timeout=60) for _ in threads)
        yield end
    finally:
        end()


@pytest.mark.parametrize("name", HTTP_SDKS)
def test_a_limit_is_waited_for_as_long_as_the_gateway_says_and_the_call_is_made(world: World, name: str, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    with calls_under_way(world) as end:

        def heard(response: httpx2.Response) -> None:
            if response.status_code == 429:
                end()

        assert HTTP_SDKS[name].call(world, world.auth("busy"), ALLOWED, event_hooks={"response": [heard]}) == "HELLO"
    assert "in 1.000000 seconds" in caplog.text  # of its own accord it would wait half a second


def test_an_mcp_client_is_told_how_long_to_wait(world: World):
    with calls_under_way(world), pytest.raises(mcp.MCPError) as caught:
        by_mcp(world, world.auth("busy"), ALLOWED)
    assert (caught.value.code, caught.value.data["retry_after_s"]) == (-31_429, 1) and "again in 1 s" in str(caught.value)


@pytest.mark.parametrize("name", HTTP_SDKS)
def test_a_call_that_may_have_acted_is_not_sent_again_by_a_library(world: World, name: str):
    before = len(world.vendors.seen)
    with pytest.raises(HTTP_SDKS[name].errors[502]) as caught:
        HTTP_SDKS[name].call(world, world.auth("helper"), ALLOWED, "break")
    assert "Check the tool's state before you repeat a write." in str(caught.value)
    assert len(world.vendors.seen) == before + 1


def test_the_table_of_refusals_names_the_errors_that_were_seen():
    rows = [line for line in PAGE.read_text().split("## What a refusal looks like\n", 1)[1].splitlines() if line.startswith("| ")][1:]
    for row, status in zip(rows, (403, 403, 401, 429, 502), strict=True):
        assert f"{status} `" in row and f"`{OF_OPENAI[status].__name__}`" in row
        assert OF_OPENAI[status].__name__ == OF_ANTHROPIC[status].__name__
        assert f"{-31_000 - status}" in row
