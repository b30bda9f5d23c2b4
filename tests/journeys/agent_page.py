"""The page for agent developers (gateway/client/README.md), and the deployment it describes, with a gateway that serves it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.client import AgentKey, GatewayAuth
from tests.journeys.test_policy_page import BLOCK, Reader
from tests.simulators.vendors import VENDOR_TOKEN, Vendors

PAGE = Path(__file__).resolve().parents[2] / "gateway" / "client" / "README.md"
NAMED_FILE = re.compile(r"[Nn]ew file, `([^`]+)`")
README = (PAGE.parents[2] / "README.md").read_text().split("## For agent developers\n", 1)[1].split("\n## ", 1)[0]
OUTSIDE = "http://127.0.0.1:8080"
IN_FLIGHT_MAX = 4
OTHER_AGENTS = ("busy", "stopped", "helper")
AGENT = """
schema = 1
[agent]
id = "{id}"
owner = "team:test"
description = "Calls with vendors' own libraries"
groups = ["support"]
[[credential]]
kind = "key"
kid = "{id}-1"
jwk = {{ {jwk} }}
"""


@dataclass(frozen=True, slots=True)
class Block:
    """One block of the page: its language, its text, and the file that the words before it name last."""

    kind: str
    text: str
    file: str


def blocks(section: str = "") -> list[Block]:
    """Those of the whole page, or below one heading up to the next."""
    page = PAGE.read_text()
    if section:
        page = page.split(f"## {section}\n", 1)[1].split("\n## ", 1)[0]
    return [Block(block[1], block[2], (NAMED_FILE.findall(page[: block.start()]) or [""])[-1]) for block in BLOCK.finditer(page)]


def shortest_way(name: str) -> str:
    """What README's table has for a library: the first piece of code in its row."""
    (row,) = (line for line in README.splitlines() if line.startswith(f"| {name} |"))
    return row.split("`")[1]


def commands(text: str) -> str:
    return "\n".join(line.removeprefix("$ ") for line in text.splitlines())


@dataclass(frozen=True, slots=True)
class World:
    """What a test asks of the running deployment."""

    reader: Reader
    vendors: Vendors
    url: str

    def auth(self, agent: str) -> GatewayAuth:
        """As an agent with a key of its own."""
        return GatewayAuth(self.url, key_file=self.reader.folder / f"{agent}.jwk")


def write_deployment(reader: Reader, vendors: Vendors, library: int) -> None:
    """Follow the page's part for operators; its vendors are the simulators. Agents of the tests are added."""
    host = f"127.0.0.1:{vendors.port}"
    stand_ins = {f"https://api.{name}.com": f"http://{host}/{name}" for name in ("openai", "anthropic")}
    stand_ins |= {f"api.{name}.com": host for name in ("openai", "anthropic")} | {"127.0.0.1:8765": f"127.0.0.1:{library}", "127.0.0.1:9801": host}

    def here(text: str) -> str:
        for outside, stand_in in stand_ins.items():
            text = text.replace(outside, stand_in)
        return text

    for block in blocks("The gateway of this page"):
        if block.kind == "console":
            reader.run(commands(block.text))
            reader.folder /= "my-gateway"
        else:
            (reader.folder / block.file).write_text(here(block.text))
    settings = reader.folder / "gateway.toml"
    limit = "calls_per_minute_per_agent = 6000"
    settings.write_text(here(settings.read_text()).replace(limit, f"{limit}\nin_flight_per_agent_max = {IN_FLIGHT_MAX}"))
    (reader.folder / "var/secrets/tickets.key").write_text(VENDOR_TOKEN)
    for agent in OTHER_AGENTS:
        key = AgentKey.make()
        jwk = ", ".join(f'{name} = "{value}"' for name, value in key.public.items())
        (reader.folder / f"identities/agents/{agent}.toml").write_text(AGENT.format(id=agent, jwk=jwk))
        key.write(reader.folder / f"{agent}.jwk", kid=f"{agent}-1", agent=agent, url=OUTSIDE)


@contextlib.contextmanager
def serving(reader: Reader) -> Iterator[str]:
    """A gateway on a port of its own choice, which is in its URL as well: the programs take it from there. Another process may take the port first; then another one will do."""
    settings = reader.folder / "gateway.toml"
    text = settings.read_text().replace("127.0.0.1:9090", "127.0.0.1:0")
    for _ in range(3):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        settings.write_text(text.replace("127.0.0.1:8080", address))
        words = [sys.executable, "-m", "gateway", "serve", "--json"]
        with subprocess.Popen(words, cwd=reader.folder, env=reader.environment, stdout=subprocess.PIPE) as process:
            assert process.stdout
            try:
                if process.stdout.readline():
                    reader.address = f"http://{address}"
                    yield reader.address
                    return
            finally:
                process.terminate()
                process.wait(30)
    raise AssertionError("the gateway did not start")


@contextlib.contextmanager
def page_world(folder: Path, vendors: Vendors, library: int) -> Iterator[World]:
    reader = Reader(folder)
    python = folder / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("PORTREEVE_", "SPIFFE_"))}
    reader.environment = {**bare, **{name: reader.environment[name] for name in ("PATH", "PYTHONPATH", "NO_PROXY")}}
    reader.environment |= {"OPENAI_API_KEY": VENDOR_TOKEN, "ANTHROPIC_API_KEY": VENDOR_TOKEN}
    write_deployment(reader, vendors, library)
    with serving(reader) as url:
        reader.run("portreeve kill agent stopped --why 'a test'")
        yield World(reader, vendors, url)


def same_everywhere(text: str) -> str:
    """Without the numbers of decisions, which no page can know."""
    return re.sub(r"#\d+\]", "#12]", text)


def mcp_settings(world: World) -> dict[str, str]:
    (block,) = (block for block in blocks() if block.file == "mcp.json" and block.kind == "json")
    found: dict[str, str] = json.loads(block.text.replace(OUTSIDE, world.url))["mcpServers"]["library"]
    return found
