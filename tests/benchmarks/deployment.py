"""The gateway as the benchmark runs it: a deployment in a folder, the real `serve` command on one core, a token, and its own account of its steps."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.config.load import load
from gateway.identify import SigningKeys
from gateway.identify.mint import mint
from gateway.identities import load_identities
from gateway.loading import audience
from tests.benchmarks.peers import envoy
from tests.benchmarks.peers.processes import child, free_port, wait_for

AGENT = "bench-agent"

# Limits that a benchmark must not run into: one agent makes all the calls there are.
SETTINGS = """
schema = 1

[gateway]
name = "bench"
url = "http://127.0.0.1:{port}"
policies = "policies"
identities = "identities"
keys = "keys"

[listen.agents]
address = "127.0.0.1:{port}"

[listen.admin]
address = "127.0.0.1:{admin}"

[log]
folder = "log"
origin = "bench.invalid/gateway"

[limits]
connections_max = 2000
in_flight_max = 1024
in_flight_per_agent_max = 1024
calls_per_minute_per_agent = 100000000

[tool.tickets]
url = "http://127.0.0.1:{upstream}"
credential = "tickets"
connections_max = 256
in_flight_max = 1024

[tool.tickets.operation.read_ticket]
method = "GET"
path = "/tickets/{{ticket_id}}"
effect = "read"

[tool.tickets.operation.read_ticket.parameters]
ticket_id = {{ type = "string", maxLength = 32 }}
expand = {{ type = "string", maxLength = 32 }}

[tool.tickets.operation.create_ticket]
method = "POST"
path = "/tickets"
effect = "write"

[tool.tickets.operation.create_ticket.body]
type = "object"
required = ["subject", "customer", "priority"]
additionalProperties = false

[tool.tickets.operation.create_ticket.body.properties]
subject = {{ type = "string", maxLength = 200 }}
customer = {{ type = "string", maxLength = 200 }}
priority = {{ type = "integer", minimum = 1, maximum = 5 }}
tags = {{ type = "array", items = {{ type = "string", maxLength = 32 }}, maxItems = 10 }}

[credential.tickets]
secret = "file:upstream.key"
hosts = ["127.0.0.1:{upstream}"]
header = "x-api-key"
"""

IDENTITY = """
schema = 1

[agent]
id = "bench-agent"
description = "Makes all the calls of the benchmark"
owner = "team:bench"
groups = ["bench"]

[agent.attributes]
priority_max = 3

[token]
ttl = "1h"
"""

# The decision rests on the arguments, on an attribute of the agent and on a forbid that does not match; ten policies in all are in force.
POLICIES = """
@id("bench-reads")
permit (principal in AgentGroup::"bench", action == Action::"tickets/read_ticket", resource)
when { context.input.ticket_id like "T-*" };

@id("bench-creates")
permit (principal in AgentGroup::"bench", action == Action::"tickets/create_ticket", resource)
when { principal has priority_max && context.input.priority <= principal.priority_max && context.input.customer like "*@example.com" };

@id("bench-no-vips")
forbid (principal, action == Action::"tickets/create_ticket", resource)
when { context.input.customer == "vip@example.com" || context.input.subject like "*password*" };
"""
FILLER = """
@id("bench-filler-{n}")
forbid (principal in AgentGroup::"bench", action in [Action::"tickets/read_ticket", Action::"tickets/create_ticket"], resource)
when {{ principal has priority_max && principal.priority_max == {n} }};
"""
FILLERS = range(101, 108)


@dataclass(frozen=True, slots=True)
class Gateway:
    port: int
    admin: int
    token: str
    process: subprocess.Popen[str]


@contextlib.contextmanager
def running_gateway(folder: Path, upstream: int, core: set[int] | None) -> Iterator[Gateway]:
    """Serve the deployment from a folder on one core for the length of the block."""
    port, admin = free_port(), free_port()
    deployment = folder / "deployment"
    write(deployment, port, admin, upstream)
    log = folder / "gateway.log"
    with child([sys.executable, "-m", "gateway", "serve", "--folder", str(deployment)], core=core, log=log) as process:
        wait_for(f"http://127.0.0.1:{admin}/readyz", process, log)
        yield Gateway(port, admin, gateway_token(deployment), process)


def write(deployment: Path, port: int, admin: int, upstream: int) -> None:
    policies = POLICIES + "".join(FILLER.format(n=n) for n in FILLERS)
    files = {
        "gateway.toml": SETTINGS.format(port=port, admin=admin, upstream=upstream),
        "identities/issuers.toml": 'schema = 1\n\n[issuer.gateway]\nkind = "self"\n',
        f"identities/agents/{AGENT}.toml": IDENTITY,
        "policies/bench.cedar": policies,
        "upstream.key": "bench-upstream-key",
    }
    for name, text in files.items():
        file = deployment / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(0o600 if name == "upstream.key" else 0o644)
        file.write_text(text)


def gateway_token(deployment: Path) -> str:
    """A token of the agent that lasts for the whole run."""
    settings = load(deployment)
    agent = load_identities(settings.identities).agents[AGENT]
    return mint(SigningKeys.open(settings.keys), agent, issuer=settings.url, audience=audience(settings), now=time.time()).reveal()


def envoy_token() -> tuple[str, str]:
    """An ES256 token and the key set that verifies it, as Envoy takes them."""
    key = ec.generate_private_key(ec.SECP256R1())
    point = key.public_key().public_numbers()
    x, y = (base64.urlsafe_b64encode(n.to_bytes(32, "big")).rstrip(b"=").decode() for n in (point.x, point.y))
    now = int(time.time())
    claims = {"iss": envoy.ISSUER, "aud": envoy.AUDIENCE, "sub": "agent:bench", "iat": now, "exp": now + 3_600, "jti": "bench"}
    token = jwt.encode(claims, key, algorithm="ES256", headers={"kid": "bench", "typ": "at+jwt"})
    return token, json.dumps({"keys": [{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "bench", "x": x, "y": y}]})


def steps(admin: int) -> dict[str, tuple[float, float]]:
    """Seconds spent and calls counted per step, from /metrics."""
    with urlopen(f"http://127.0.0.1:{admin}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    found: dict[str, dict[str, float]] = {}
    for what, step, value in re.findall(r'^portreeve_step_seconds_(sum|count)\{step="([a-z]+)"\} (\S+)$', text, re.MULTILINE):
        found.setdefault(step, {})[what] = float(value)
    return {step: (both["sum"], both["count"]) for step, both in found.items()}
