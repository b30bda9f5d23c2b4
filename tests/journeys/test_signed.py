"""Signed requests on whole journeys, against a service that verifies them by its own reading of three schemes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from urllib.parse import quote

import httpx2

from tests.journeys.place import Place, running, write_place
from tests.simulators.signed import API, SLACK, STRIPE, SignedService
from tests.simulators.upstreams import Seen, Upstream, upstream

KEY = "CANARY-signing/key+of=the-service"
MORE = """
[tool.{name}]
url = "http://127.0.0.1:{port}/{name}"
credential = "{name}"
request_headers = ["x-note"]
[tool.{name}.operation.read]
method = "GET"
path = "/notes/{{id}}"
effect = "read"
parameters = {{ id = {{ type = "string" }}, q = {{ in = "query", type = "string" }} }}
[tool.{name}.operation.add]
method = "POST"
path = "/notes"
effect = "write"
body = {{ type = "object", properties = {{ text = {{ type = "string" }} }} }}
[tool.{name}-bare]
url = "http://127.0.0.1:{port}/{name}"
credential = "{name}"
[credential.{name}]
secret = "file:service.key"
hosts = ["127.0.0.1:{port}"]
[credential.{name}.hmac]
"""
RULES = '@id("all") permit (principal in AgentGroup::"writers", action, resource);\n'
SCHEMES = {"slack": SLACK, "stripe": STRIPE, "api": API}


@contextlib.asynccontextmanager
async def world(folder, service: SignedService) -> AsyncIterator[tuple[Place, Upstream]]:
    async with upstream(service) as up:
        write_place(folder, up.port)
        with (folder / "gateway.toml").open("a") as file:
            for name, table in SCHEMES.items():
                file.write(MORE.format(name=name, port=up.port) + table)
        (folder / "policies" / "all.cedar").write_text(RULES)
        write_key(folder, KEY)
        async with running(folder) as place:
            yield place, up


def write_key(folder, key: str) -> None:
    (folder / "service.key").touch(0o600)
    (folder / "service.key").write_text(key)


TAMPERED: list[tuple[str, str, Callable[[Seen], Seen]]] = [
    ("slack", "signature", lambda seen: replace(seen, body=b"{}")),
    ("slack", "time", lambda seen: replaced(seen, "x-slack-request-timestamp", lambda text: str(int(text) - 600))),
    ("slack", "signature", lambda seen: replaced(seen, "x-slack-request-timestamp", lambda text: str(int(text) + 1))),
    ("stripe", "signature", lambda seen: replace(seen, body=b"{}")),
    ("stripe", "signature", lambda seen: replaced(seen, "stripe-signature", lambda text: f"t={int(text[2:12]) + 1}{text[12:]}")),
    ("api", "signature", lambda seen: replace(seen, method="PUT")),
    ("api", "signature", lambda seen: replace(seen, target="/api/notes/2")),
    ("api", "signature", lambda seen: replace(seen, target=seen.target + "?q=1")),
    ("api", "signature", lambda seen: replace(seen, body=b"{}")),
    ("api", "signature", lambda seen: replaced(seen, "x-time", lambda text: str(int(text) + 1))),
    ("api", "signature", lambda seen: replaced(seen, "x-nonce", lambda text: "0" * len(text))),
    ("api", "signature", lambda seen: replaced(seen, "host", lambda _: "other.example")),
    ("api", "nonce", lambda seen: seen),
]


def replaced(seen: Seen, name: str, change: Callable[[str], str]) -> Seen:
    return replace(seen, headers=[(n, change(v) if n == name else v) for n, v in seen.headers])


async def test_services_take_what_the_gateway_signed_and_nothing_that_was_changed_on_its_way(tmp_path):
    service = SignedService(KEY.encode(), broken=1)
    async with world(tmp_path, service) as (place, up):
        for name in SCHEMES:
            assert (await place.client.get(f"/tools/{name}/notes/1?q=a%20b")).status_code == 200
            assert (await place.client.post(f"/tools/{name}/notes", json={"text": "x"})).status_code == 200
        results = await place.settled("result", 6)
        assert {(record["cred"]["name"], record["cred"]["kind"]) for record in results} == {(name, "file") for name in SCHEMES}
        failed, again = up.seen[:2]
        assert failed.headers == again.headers, "a repeated attempt carries the signature of the first"
        captured = {seen.target.split("/")[1]: seen for seen in up.seen if seen.method == "POST"}
        assert service.verdicts == ["ok"] * 6
        assert [service.fault(change(captured[name])) for name, _, change in TAMPERED] == [verdict for _, verdict, _ in TAMPERED]

        forged = {"x-time": "1", "x-nonce": "n", "x-note": "mine", "connection": "x-nonce"}
        assert (await place.client.get("/tools/api/notes/1", headers=forged)).status_code == 200
        assert [value for name, value in up.seen[-1].headers if name in ("x-time", "x-nonce") and value in ("1", "n")] == []
        assert up.seen[-1].header("x-note") == "mine"

        assert (await place.client.get("/tools/api-bare/notes/1")).status_code == 200
        before = len(up.seen)
        for path in ("api-bare/notes", "api/elsewhere"):  # without a contract, and unmapped: what goes up would stream
            refused = await place.client.post(f"/tools/{path}", content=b"streams")
            assert (refused.status_code, refused.json()["code"]) == (503, "credential_unavailable")
        assert len(up.seen) == before
        assert [(record["status"], record["code"]) for record in (await place.settled("result", 10))[8:]] == [
            ("refused", "credential_unavailable")
        ] * 2


async def test_another_key_in_the_file_signs_without_a_restart_and_one_that_is_open_to_others_does_not(tmp_path):
    service = SignedService(KEY.encode())
    async with world(tmp_path, service) as (place, up):
        assert (await place.client.get("/tools/api/notes/1")).status_code == 200
        service.key = b"another"
        assert (await place.client.get("/tools/api/notes/1")).status_code == 401
        write_key(tmp_path, "another")
        await until(place, 200)
        fingerprints = [record["cred"]["fp"] for record in await place.settled("result", len(up.seen))]
        assert fingerprints[0] == fingerprints[1] != fingerprints[-1]
        (tmp_path / "service.key").chmod(0o644)
        reply = await until(place, 503)
        assert reply.json()["code"] == "credential_unavailable" and "service.key" not in reply.text
        assert not any("CANARY" in line for line in place.said)


async def until(place: Place, status: int) -> httpx2.Response:
    async with asyncio.timeout(10):
        while (reply := await place.client.get("/tools/api/notes/1")).status_code != status:
            await asyncio.sleep(0.05)
    return reply


async def test_a_service_that_tells_the_key_tells_it_to_nobody(tmp_path):
    service = SignedService(KEY.encode())
    async with world(tmp_path, service) as (place, up):
        for form in (KEY, quote(KEY, safe="")):
            service.tells = f"debug {form} end".encode()
            for name in SCHEMES:
                reply = await place.client.get(f"/tools/{name}/notes/1")
                assert "CANARY" not in str(reply.headers) and reply.text == f"debug {'*' * len(form)} end"
        page = await operator_page(place)
    sent = str([(seen.target, seen.headers, seen.body) for seen in up.seen])
    assert "CANARY" not in sent + page + "".join(place.said) and "portreeve_secret_echoes_total 0.0" not in page
    assert not any(b"CANARY" in file.read_bytes() for file in (tmp_path / "log").rglob("*") if file.is_file())


async def operator_page(place: Place) -> str:
    async with httpx2.AsyncClient(base_url=place.admin, trust_env=False) as client:
        return (await client.get("/metrics")).text
