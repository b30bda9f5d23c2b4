"""Clients that nobody here wrote reach a tool through the gateway by changing two things: the base URL and the token."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from gateway.client import GatewayAuth, client
from tests.journeys.agent_page import shortest_way
from tests.simulators.vendors import VENDOR_TOKEN, Vendors

pytestmark = pytest.mark.slow

SETTINGS = """
schema = 1

[gateway]
name = "clients"
url = "http://127.0.0.1:8080"
policies = "policies"
identities = "identities"
keys = "keys"

[listen.agents]
address = "127.0.0.1:0"

[listen.admin]
address = "127.0.0.1:0"

[log]
folder = "log"
origin = "clients.test/decisions"

[tool.github]
url = "http://127.0.0.1:{port}/github"
credential = "vendor"

[tool.slack]
url = "http://127.0.0.1:{port}/slack"
credential = "vendor"

[tool.openai]
url = "http://127.0.0.1:{port}/openai"
credential = "vendor"

[tool.anthropic]
url = "http://127.0.0.1:{port}/anthropic"
credential = "vendor-key"
token_header = "x-api-key"

[credential.vendor-key]
secret = "file:vendor.key"
header = "X-Api-Key"
hosts = ["127.0.0.1:{port}"]

[credential.vendor]
secret = "file:vendor.key"
header = "Authorization"
format = "Bearer {{secret}}"
hosts = ["127.0.0.1:{port}"]
"""
IDENTITY = """
schema = 1

[agent]
id = "helper"
owner = "team:test"
description = "Uses the vendors' own clients"
groups = ["helpers"]
"""
POLICY = """
@id("helpers-use-vendors")
permit (
    principal in AgentGroup::"helpers",
    action in [Action::"github/read", Action::"github/write", Action::"slack/write", Action::"openai/write", Action::"anthropic/write"],
    resource
);
"""


@dataclass(frozen=True, slots=True)
class Running:
    url: str
    token: str
    vendors: Vendors

    def last(self):
        return self.vendors.seen[-1]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("clients")
    with Vendors() as vendors:
        files = {
            "gateway.toml": SETTINGS.format(port=vendors.port),
            "identities/issuers.toml": 'schema = 1\n\n[issuer.gateway]\nkind = "self"\n',
            "identities/agents/helper.toml": IDENTITY,
            "policies/clients.cedar": POLICY,
            "vendor.key": VENDOR_TOKEN,
        }
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).touch(0o600 if name == "vendor.key" else 0o644)
            (folder / name).write_text(text)
        with subprocess.Popen(
            [sys.executable, "-m", "gateway", "serve", "-C", str(folder), "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout
            assert process.stderr
            try:
                line = process.stdout.readline()
                assert line, process.stderr.read()
                yield Running(json.loads(line)["agents"], token(folder), vendors)
            finally:
                process.terminate()
                process.communicate(timeout=20)


def token(folder: Path) -> str:
    """What `TOKEN=$(portreeve token helper)` gives a shell."""
    made = subprocess.run(
        [sys.executable, "-m", "gateway", "token", "helper", "-C", str(folder)], capture_output=True, text=True, timeout=30, check=False
    )
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


def expect_credential_swapped(gateway: Running) -> None:
    """The vendor saw its own token; the agent's was in nothing that arrived."""
    seen = gateway.last()
    assert seen.headers["authorization"] == f"Bearer {VENDOR_TOKEN}"
    assert gateway.token not in repr(seen.headers) + repr(seen.body) + seen.path


def test_curl_reaches_a_tool(gateway):
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed on this machine")
    done = subprocess.run(
        [curl, "-sS", "--noproxy", "*", "-H", f"Authorization: Bearer {gateway.token}", f"{gateway.url}/tools/github/repos/acme/gate"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert json.loads(done.stdout)["full_name"] == "acme/gate", done.stderr
    expect_credential_swapped(gateway)


def test_httpx2_reaches_a_tool(gateway):
    with httpx2.Client(base_url=f"{gateway.url}/tools/github", headers={"authorization": f"Bearer {gateway.token}"}, trust_env=False) as client:
        answer = client.get("/repos/acme/gate")
    assert answer.json()["full_name"] == "acme/gate"
    assert "#" in answer.headers["portreeve-decision"]
    expect_credential_swapped(gateway)


def test_pygithub_reads_a_repository_and_opens_an_issue(gateway, monkeypatch):
    """It sends `Authorization: token ...`. A lazy repository keeps to the base URL; one that was read follows the `url` in GitHub's answer."""
    github = pytest.importorskip("github", reason="PyGithub is not installed")
    monkeypatch.setenv("NO_PROXY", "*")
    changed = {"url": f"{gateway.url}/tools/github", "token": gateway.token, "github": github}
    with github.Github(base_url=changed["url"], auth=github.Auth.Token(gateway.token), retry=None) as client:
        found = client.get_repo("acme/gate")
    with eval(shortest_way("PyGithub"), changed) as client:
        issue = client.get_repo("acme/gate").create_issue("The gate squeaks")
    assert (found.full_name, issue.number, issue.title) == ("acme/gate", 7, "The gate squeaks")
    expect_credential_swapped(gateway)


def test_slack_sdk_posts_a_message(gateway, monkeypatch):
    slack = pytest.importorskip("slack_sdk", reason="slack_sdk is not installed")
    monkeypatch.setenv("NO_PROXY", "*")
    client = eval(shortest_way("Slack"), {"url": f"{gateway.url}/tools/slack", "token": gateway.token, "slack_sdk": slack})
    answer = client.chat_postMessage(channel="C1", text="The gate is open")
    assert answer["ok"]
    assert answer["message"]["text"] == "The gate is open"
    expect_credential_swapped(gateway)


def model_client(gateway: Running) -> httpx2.Client:
    """The client of gateway.client, as an agent injects it into an SDK that is built on httpx2."""
    return client(gateway.url, auth=GatewayAuth(gateway.url, token=gateway.token))


@pytest.mark.parametrize("injected", [False, True])
def test_the_openai_sdk_completes_a_chat(gateway, injected):
    openai = pytest.importorskip("openai", reason="openai is not installed")
    with model_client(gateway) if injected else httpx2.Client(trust_env=False) as http:
        key = "not used" if injected else gateway.token
        sdk = openai.OpenAI(base_url=f"{gateway.url}/tools/openai/v1", api_key=key, http_client=http, max_retries=0)
        answer = sdk.chat.completions.create(model="m", messages=[{"role": "user", "content": "hello"}])
    assert answer.choices[0].message.content == "HELLO"
    expect_credential_swapped(gateway)


@pytest.mark.parametrize("injected", [False, True])
def test_the_anthropic_sdk_gets_a_message(gateway, injected):
    """It sends its key as `x-api-key`, which the tool names as its `token_header`; with an injected client it is given no key at all."""
    anthropic = pytest.importorskip("anthropic", reason="anthropic is not installed")
    with model_client(gateway) if injected else httpx2.Client(trust_env=False) as http:
        given = {"auth_token": "not-used"} if injected else {"api_key": gateway.token}
        sdk = anthropic.Anthropic(base_url=f"{gateway.url}/tools/anthropic", http_client=http, max_retries=0, **given)
        answer = sdk.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "hello"}])
    assert answer.content[0].text == "HELLO"
    seen = gateway.last()
    assert seen.headers["x-api-key"] == VENDOR_TOKEN
    assert gateway.token not in repr(seen.headers) + repr(seen.body) + seen.path


def test_a_vendor_client_sees_a_refusal_as_its_own_kind_of_error(gateway, monkeypatch):
    """A wrong token is a 401 to the library, not a surprise."""
    github = pytest.importorskip("github", reason="PyGithub is not installed")
    monkeypatch.setenv("NO_PROXY", "*")
    before = len(gateway.vendors.seen)
    with github.Github(base_url=f"{gateway.url}/tools/github", auth=github.Auth.Token("not-a-token"), retry=None) as client:
        with pytest.raises(github.GithubException) as caught:
            client.get_repo("acme/gate")
    assert (caught.value.status, caught.value.data["code"]) == (401, "invalid_token")
    assert len(gateway.vendors.seen) == before
