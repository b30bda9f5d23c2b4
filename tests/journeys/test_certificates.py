"""Client certificates on a whole journey, against TLS servers that ask for them: each tool its own, replaced without a restart, and the key nowhere."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime as dt
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2

from gateway.cli.inspection import inspect
from tests.journeys.place import Place, records, running, write_place
from tests.simulators.authority import ClientAuthority, Shown, make_certificate
from tests.simulators.upstreams import upstream

MORE = """
[tool.ledger]
url = "https://127.0.0.1:{port}/ledger"
credential = "ledger"
ca_file = "ca.pem"
[tool.payroll]
url = "https://127.0.0.1:{port}/payroll"
credential = "payroll"
transport = "httpx2"
ca_file = "ca.pem"
[tool.bare]
url = "https://127.0.0.1:{port}/bare"
ca_file = "ca.pem"
[credential.ledger]
hosts = ["127.0.0.1:{port}"]
[credential.ledger.mtls]
certificate = "file:ledger.crt"
key = "file:ledger.key"
[credential.payroll]
hosts = ["127.0.0.1:{port}"]
secret = "file:notes.key"
header = "X-Key"
[credential.payroll.mtls]
certificate = "file:payroll.pem"
key = "file:payroll.pem"
"""
RULES = '@id("all") permit (principal in AgentGroup::"writers", action, resource);\n'


def put(folder: Path, name: str, content: bytes) -> None:
    (folder / name).touch(0o600)
    (folder / name).write_bytes(content)


@contextlib.asynccontextmanager
async def world(folder: Path, clients: ClientAuthority, tool: Shown) -> AsyncIterator[Place]:
    server, _ = make_certificate(folder, "127.0.0.1")
    async with upstream(tool, tls=clients.trusted(server)) as up:
        write_place(folder, up.port)
        with (folder / "gateway.toml").open("a") as settings:
            settings.write(MORE.format(port=up.port))
        (folder / "policies" / "all.cedar").write_text(RULES)
        async with running(folder) as place:
            yield place


async def metric(place: Place) -> dict[str, float]:
    """When the certificates end, by credential."""
    async with httpx2.AsyncClient(base_url=place.admin, trust_env=False) as client:
        lines = (await client.get("/metrics")).text.splitlines()
    name = "portreeve_client_certificate_end_timestamp_seconds"
    return {line.split('"')[1]: float(line.rpartition(" ")[2]) for line in lines if line.startswith(name + "{")}


async def test_each_tool_shows_its_own_certificate_and_another_one_without_a_restart(tmp_path):
    clients, tool = ClientAuthority(tmp_path), Shown()
    certificate, key, ledger = clients.issue("ledger", dt.timedelta(days=3))
    put(tmp_path, "ledger.crt", certificate)
    put(tmp_path, "ledger.key", key)
    certificate, pay_key, payroll = clients.issue("payroll")
    put(tmp_path, "payroll.pem", pay_key + certificate)
    async with world(tmp_path, clients, tool) as place:
        assert (await metric(place)).keys() == {"ledger", "payroll"}, "known before a call"

        async def shown(name: str) -> str:
            return (await place.client.get(f"/tools/{name}/x")).text

        for _ in range(2):
            assert await asyncio.gather(*[shown(name) for name in ("ledger", "payroll") * 3]) == [ledger, payroll] * 3
        refused = await place.client.get("/tools/bare/x")
        assert refused.status_code == 502 and refused.json()["code"] in ("upstream_broken", "upstream_unreachable")
        results = {record["cred"]["name"]: record["cred"] for record in await place.settled("result", 13) if record["cred"]}
        assert (results["ledger"]["kind"], results["ledger"]["cert"]) == ("mtls", ledger)
        assert (results["payroll"]["kind"], results["payroll"]["cert"]) == ("file", payroll)

        certificate, new_key, renewed = clients.issue("ledger", dt.timedelta(days=90))
        put(tmp_path, "ledger.crt", certificate)
        put(tmp_path, "ledger.key", new_key)
        async with asyncio.timeout(10):
            while (seen := await shown("ledger")) != renewed:
                assert seen == ledger, "while one of the two is replaced, and for the second until the next look, nothing is refused"
                await asyncio.sleep(0.05)
        assert (await metric(place))["ledger"] > (await metric(place))["payroll"]
        said = "".join(place.said)
    assert all(len(certificates) == 1 for certificates in tool.by_connection().values())
    assert {target.split("/")[1] for _, target, certificate in tool.requests if certificate == payroll} == {"payroll"}
    middles = [line for pem in (key, pay_key, new_key) for line in pem.splitlines()[1:-1]]
    places = [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file() and file.suffix not in (".key", ".pem")] + [said.encode()]
    assert records(tmp_path, "result") and not any(middle in text or base64.b64encode(middle) in text for middle in middles for text in places)


def test_check_tells_of_a_certificate_that_ends_soon_and_of_one_that_cannot_be_used(tmp_path):
    clients = ClientAuthority(tmp_path)
    make_certificate(tmp_path, "127.0.0.1")
    write_place(tmp_path, 1)
    with (tmp_path / "gateway.toml").open("a") as settings:
        settings.write(MORE.format(port=1))
    certificate, key, _ = clients.issue("ledger", dt.timedelta(days=3.5))
    put(tmp_path, "ledger.crt", certificate)
    put(tmp_path, "ledger.key", key)
    put(tmp_path, "payroll.pem", key + certificate)
    found = inspect(tmp_path)
    ending = [(notice.key, notice.message) for notice in found.notices if notice.code == "certificate_ends"]
    assert found.problems == ()
    assert ending == [(f"credential.{name}.mtls", "the client certificate ends in 3 days") for name in ("ledger", "payroll")]
    put(tmp_path, "payroll.pem", clients.issue("payroll")[1] + certificate)
    [problem] = inspect(tmp_path).problems
    assert (problem.code, problem.key) == ("credential_unreadable", "credential.payroll.mtls") and "do not belong together" in problem.message
