"""Calls to services of AWS, through the whole gateway: signed with a session that AWS gave for this agent and these arguments alone."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass

from gateway.config.load import load
from gateway.identify import SigningKeys
from tests.journeys.canaries import forms
from tests.journeys.place import Place, client_of, running, token_of, write_place
from tests.journeys.test_canary import misbehaving
from tests.simulators.authority import make_certificate
from tests.simulators.aws import BUCKET, REGION, ROLE, Aws, Sts
from tests.simulators.upstreams import Upstream, upstream

RULES = '@id("all") permit (principal in AgentGroup::"writers", action, resource);\n'
AGENT = '\nschema = 1\n[agent]\nid = "other"\nowner = "team:test"\ndescription = "plays in a test"\ngroups = ["writers"]\n'
ROLE_OF = """
[credential.{name}.sts]
role_arn = "{role}"
region = "{region}"
service = "{service}"
endpoint = "{sts}"
[credential.{name}.sts.policy]
Version = "2012-10-17"
"""
MORE = (
    """
[tool.store]
url = "{aws}/{bucket}"
credential = "reports"
[tool.store.operation.read_report]
method = "GET"
path = "/{{year}}/{{name}}"
effect = "read"
parameters = {{ year = {{ type = "integer" }}, name = {{ type = "string" }} }}
[tool.store.operation.list_reports]
method = "GET"
path = "/"
effect = "read"
parameters = {{ list-type = {{ in = "query", type = "integer" }}, prefix = {{ in = "query", type = "string" }} }}
[tool.store.operation.write_note]
method = "PUT"
path = "/notes/{{name}}"
effect = "idempotent_write"
parameters = {{ name = {{ type = "string" }} }}
body = {{ type = "object", properties = {{ text = {{ type = "string" }} }} }}
[tool.bare]
url = "{aws}/{bucket}"
credential = "all"
[tool.echo]
url = "http://127.0.0.1:{echo}"
credential = "all"
[tool.tls]
url = "https://127.0.0.1:{tls}"
credential = "all"
ca_file = "ca.pem"
[tool.things]
url = "{aws}/things"
credential = "things"
[tool.queue]
url = "{aws}"
credential = "queue"
contract = "queue.json"
[credential.reports]
hosts = ["127.0.0.1"]
"""
    + ROLE_OF.replace("{name}", "reports").replace("{service}", "s3")
    + """
[[credential.reports.sts.policy.Statement]]
Effect = "Allow"
Action = ["s3:GetObject"]
Resource = "arn:aws:s3:::{bucket}/{{args.year}}/{{args.name}}"
[[credential.reports.sts.policy.Statement]]
Effect = "Allow"
Action = "s3:ListBucket"
Resource = "arn:aws:s3:::{bucket}"
Condition = {{ StringEquals = {{ "s3:prefix" = "{{args.prefix:path}}" }} }}
[[credential.reports.sts.policy.Statement]]
Effect = "Allow"
Action = "s3:PutObject"
Resource = "arn:aws:s3:::{bucket}/notes/{{args.name}}"
[credential.all]
hosts = ["127.0.0.1"]
"""
    + ROLE_OF.replace("{name}", "all").replace("{service}", "s3")
    + """
[[credential.all.sts.policy.Statement]]
Effect = "Allow"
Action = "s3:*"
Resource = "*"
[credential.things]
hosts = ["127.0.0.1"]
"""
    + ROLE_OF.replace("{name}", "things").replace("{service}", "iot")
    + """
[[credential.things.sts.policy.Statement]]
Effect = "Allow"
Action = "iot:*"
Resource = "*"
[credential.queue]
hosts = ["127.0.0.1"]
"""
    + ROLE_OF.replace("{name}", "queue").replace('"{service}"', '"sqs"\ntarget = "AmazonSQS"')
    + """
[[credential.queue.sts.policy.Statement]]
Effect = "Allow"
Action = "sqs:CreateQueue"
Resource = "arn:aws:sqs:{region}:123456789012:{{args.QueueName}}"
"""
)


QUEUE = {
    "openapi": "3.1.0",
    "info": {"title": "q", "version": "1"},
    "paths": {
        "/": {
            "post": {
                "operationId": "CreateQueue",
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/x-amz-json-1.0": {
                            "schema": {"type": "object", "required": ["QueueName"], "properties": {"QueueName": {"type": "string"}}}
                        }
                    },
                },
                "responses": {"200": {"description": "ok"}},
            }
        }
    },
}


@dataclass
class World:
    place: Place
    sts: Sts
    echo: Upstream
    tls: Upstream

    async def get(self, path: str, **more):
        return await self.place.client.get(f"/tools/{path}", **more)


@contextlib.asynccontextmanager
async def world(folder, cloud: Aws, **more) -> AsyncIterator[World]:
    """A gateway whose signature this AWS believes."""
    write_place(folder, 1)
    (folder / "policies" / "all.cedar").write_text(RULES)
    (folder / "queue.json").write_text(json.dumps(QUEUE))
    (folder / "identities" / "agents" / "other.toml").write_text(AGENT)
    keys = SigningKeys.open(load(folder).keys)
    sts = Sts(cloud, keys.public[keys.kid].key, "http://gateway.test", **more)
    context, _ = make_certificate(folder, "127.0.0.1")
    async with upstream(sts) as door, upstream(misbehaving) as echo, upstream(misbehaving, tls=context) as tls:
        values = {"aws": cloud.url, "bucket": BUCKET, "sts": door.url, "role": ROLE, "region": REGION, "echo": echo.port, "tls": tls.port}
        (folder / "gateway.toml").write_text((folder / "gateway.toml").read_text() + MORE.format(**values))
        async with running(folder) as place:
            yield World(place, sts, echo, tls)


def allowed(asked: dict[str, str]) -> list[tuple[object, object]]:
    return [(statement["Action"], statement["Resource"]) for statement in json.loads(asked["Policy"])["Statement"]]


async def test_a_call_has_a_session_for_its_agent_and_arguments_alone_that_leads_back_to_its_decision(tmp_path, cloud):
    async with world(tmp_path, cloud) as it, client_of(it.place.gateway.addresses["agents"], token_of(tmp_path, "other")) as other:
        first, again, second = await it.get("store/2026/q3.csv"), await it.get("store/2026/q3.csv"), await it.get("store/2026/q4%20%281%29%3D.csv")
        listed = await it.get("store/", params={"list-type": 2, "prefix": "2026/"})
        records = await it.place.settled("result", 4)
        for path in ("store/2026/*", "store/2026/%2A", "store/2026/a,b", "store/2026/$%7Baws:userid%7D", "store/2026/%22"):
            refused = await it.get(path)
            assert (refused.status_code, refused.json()["code"], len(it.sts.asked)) == (503, "credential_unavailable", 3)
        shared = await asyncio.gather(*(client.get("/tools/store/2026/q3.csv") for client in (it.place.client, other) for _ in range(5)))
        later = (await it.place.settled("result", 19))[9:]
    assert (first.status_code, first.text, again.text, second.text) == (200, "text of 2026/q3.csv", first.text, "text of 2026/q4%20%281%29%3D.csv")
    assert listed.status_code == 200 and "<Key>2026/q3.csv</Key>" in listed.text and "plain.txt" not in listed.text
    place = f"arn:aws:s3:::{BUCKET}"
    assert [allowed(asked) for asked in it.sts.asked[:3]] == [
        [(["s3:GetObject"], f"{place}/2026/q3.csv"), ("s3:PutObject", f"{place}/notes/q3.csv")],
        [(["s3:GetObject"], f"{place}/2026/q4 (1)=.csv"), ("s3:PutObject", f"{place}/notes/q4 (1)=.csv")],
        [("s3:ListBucket", place)],
    ]
    gave, used = [keys["AccessKeyId"] for keys in it.sts.gave], [record["cred"] for record in records]
    assert [one["version"] for one in used] == [gave[number] for number in (0, 0, 1, 2)]
    assert {asked["RoleSessionName"] for asked in it.sts.asked[:3]} == {f"writer@{one['scope']}" for one in used}
    assert {reply.text for reply in shared} == {"text of 2026/q3.csv"}
    assert [asked["sub"] for asked in it.sts.asked] == ["agent:writer"] * 3 + ["agent:other"]
    versions = [record["cred"]["version"] for record in later]
    assert (versions.count(gave[0]), versions.count(gave[3])) == (5, 5)


async def test_what_is_signed_is_the_call_and_nothing_with_which_an_agent_would_sign_or_steer(tmp_path, cloud):
    mine = {"x-amz-date": "20000101T000000Z", "x-amz-acl": "public-read", "x-amz-security-token": "mine", "x-amz-copy-source": "/other/key"}
    async with world(tmp_path, cloud) as it:
        wrote = await it.place.client.put("/tools/store/notes/a.json", json={"text": "é"})
        assert (wrote.status_code, (await it.get("bare/notes/a.json")).json()) == (200, {"text": "é"})
        streamed = await it.place.client.put("/tools/bare/b", content=b"x")
        assert (streamed.status_code, streamed.json()["code"], (await it.get("bare/b")).status_code) == (503, "credential_unavailable", 404)
        assert (await it.place.client.put("/tools/tls/b", content=b"x")).status_code == 200
        assert (it.tls.seen[0].header("x-amz-content-sha256"), it.tls.seen[0].body) == ("UNSIGNED-PAYLOAD", b"x")
        elsewhere = await it.get("things/no%3Asuch%2Bthing?b=x%20y&a=%2B")  # a service that encodes the path once more
        assert elsewhere.status_code == 404 and "ResourceNotFound" in elsewhere.text
        media = {"content-type": "application/x-amz-json-1.0", "x-amz-target": "AmazonSQS.DeleteQueue"}
        made = await it.place.client.post("/tools/queue/", content=b'{"QueueName":"orders"}', headers=media)
        assert made.status_code == 200 and made.json()["QueueUrl"].endswith("/orders")
        assert allowed(it.sts.asked[-1]) == [("sqs:CreateQueue", f"arn:aws:sqs:{REGION}:123456789012:orders")]
        assert (await it.get("bare/plain.txt", headers=mine)).text == "text of plain.txt"
        assert (await it.get("echo/a", headers=mine)).status_code == 200
        for query in ("X-Amz-Signature=0", "x-amz-acl=public-read", "AWSAccessKeyId=AKIA", "prefix=a&prefix=b"):
            refused = await it.get(f"echo/a?{query}")
            assert (refused.status_code, refused.json()["code"]) == (400, "malformed_request")
        plus = await it.get("echo/a+b")
        assert (plus.status_code, plus.json()["code"]) == (400, "path_refused")
    [seen] = it.echo.seen
    sent = [name for name, _ in seen.headers if name.startswith(("x-amz", "authorization"))]
    assert sorted(sent) == ["authorization", "x-amz-content-sha256", "x-amz-date", "x-amz-security-token"]
    assert not set(mine.values()) & {value for _, value in seen.headers}


async def test_a_key_that_does_not_count_is_refused_by_the_service_so_that_the_tests_above_mean_something(tmp_path, cloud):
    async with world(tmp_path, cloud, spoils=True) as it:
        for path in ("store/2026/q3.csv", "things/a"):
            answered = await it.get(path)
            assert answered.status_code == 403 and "SignatureDoesNotMatch" in answered.text


async def test_no_key_and_no_token_of_a_session_appears_in_any_answer_log_metric_file_or_output(tmp_path, cloud, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    received = []
    async with world(tmp_path, cloud) as it, client_of(it.place.admin, None) as operator:
        for path in ("ok", "redirect", "garbage", "broken", "stream", "fails", "a?x=1", "a+b"):
            with contextlib.suppress(Exception):
                reply = await it.get(f"echo/{path}")
                received.append(str(reply.headers.raw) + reply.text)
        received += [(await it.get(path)).text for path in ("bare/plain.txt", "bare/none", "store/2026/*", "store/2026/q3.csv")]
        it.sts.fails = (403, "AccessDenied")
        received.append((await it.get("store/2026/q5.csv")).text)
        received += [(await operator.get(page)).text for page in ("/metrics", "/readyz", "/healthz")]
        await it.place.settled("result", 10)
        said = "\n".join(it.place.said)
    sent = str([seen.headers for seen in it.echo.seen])
    out, err = capfd.readouterr()
    places = {"answers": "".join(received).encode(), "said": said.encode(), "out": out.encode(), "err": err.encode(), "log": caplog.text.encode()}
    places |= {str(file): file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    assert len(it.sts.gave) == 2 and any(name.endswith(".jsonl") for name in places)
    assert it.sts.gave[0]["SessionToken"] in sent and it.sts.gave[0]["SecretAccessKey"] not in sent
    assert b"****" in places["answers"], "the echo must really have come"
    for gave in it.sts.gave:
        for secret in (gave["SecretAccessKey"], gave["SessionToken"]):
            for form in forms(secret):
                assert [name for name, content in places.items() if form in content] == []
    statement = next(asked["WebIdentityToken"] for asked in it.sts.asked)
    assert not [name for name, content in places.items() if statement[-40:].encode() in content]
