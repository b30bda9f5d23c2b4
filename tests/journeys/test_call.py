"""One call through all five steps, over real sockets: what arrives, what comes back, what is written down."""

import pytest

from gateway.authorize import recompute
from gateway.canonical import dumps
from gateway.record import LogReader
from tests.journeys.place import UPSTREAM_KEY, client_of, records, running, token_of, verified, write_place
from tests.simulators.upstreams import echo, upstream

TEXT = {"text": "hello", "stars": 3}


@pytest.fixture
async def place(tmp_path):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port)
        async with running(tmp_path) as found:
            found.up = up
            yield found


async def test_an_allowed_call_reaches_the_tool_with_the_tools_credential_and_without_the_agents_token(place):
    answer = await place.client.get("/tools/notes/notes/7")
    assert answer.status_code == 200
    assert answer.json()["target"] == "/api/notes/7"
    seen = place.up.seen[0]
    assert seen.header("x-api-key") == UPSTREAM_KEY
    assert seen.header("authorization") is None
    assert token_of(place.folder).split(".")[0] not in str(seen.headers)


async def test_the_answer_names_its_decision_and_the_log_holds_both_halves_of_it(place):
    answer = await place.client.post("/tools/notes/notes", json=TEXT)
    origin, _, rest = answer.headers["portreeve-decision"].partition("#")
    number, _, leaf = rest.partition(";")
    result = (await place.settled("result", 1))[0]
    call = records(place.folder, "call")[0]
    assert (origin, int(number)) == ("journey.test/log", call["n"])
    assert call["authz"]["decision"] == "allow"
    assert call["authz"]["reasons"] == ["writers-write"]
    assert call["who"]["agent"] == "writer"
    assert call["what"]["op"] == "write_note"
    assert (result["call"], result["status"], result["http"]) == (call["n"], "ok", 200)
    following = next(r for r in records(place.folder) if r["n"] == call["n"] + 1)
    assert following["prev"] == leaf


async def test_the_body_that_arrives_is_rebuilt_from_what_policy_saw(place):
    await place.client.post(
        "/tools/notes/notes", content=b'{ "stars" : 3,\n "text":"a\\u0062c" }', headers={"content-type": "application/json; charset=utf-8"}
    )
    assert place.up.seen[0].body == b'{"stars":3,"text":"abc"}'


async def test_arguments_decide_and_the_policys_message_reaches_the_agent(place):
    answer = await place.client.post("/tools/notes/notes", json={**TEXT, "stars": 6})
    assert answer.status_code == 403
    assert answer.json()["code"] == "denied"
    assert answer.json()["detail"] == "At most five stars"
    call = records(place.folder, "call")[0]
    assert answer.json()["decision"] == {"log": "journey.test/log", "n": call["n"]}
    assert call["authz"]["reasons"] == ["few-stars"]
    assert place.up.seen == []


async def test_another_agent_is_denied_by_default(place):
    async with client_of(place.gateway.addresses["agents"], token_of(place.folder, "stranger")) as stranger:
        answer = await stranger.get("/tools/notes/notes/7")
    assert (answer.status_code, answer.json()["code"]) == (403, "denied")
    assert place.up.seen == []


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/tools/nowhere/x", None, 404, "unknown_tool"),
        ("GET", "/tools/notes/other", None, 403, "denied"),
        ("DELETE", "/tools/plain/x", None, 403, "denied"),
        ("POST", "/tools/notes/notes", b'{"text":"a","text":"b"}', 400, "malformed_json"),
        ("POST", "/tools/notes/notes", b'{"text":7}', 422, "contract_violation"),
        ("POST", "/tools/notes/notes", b'{"text":"a","more":1}', 422, "contract_violation"),
        ("POST", "/tools/notes/notes", b"", 422, "contract_violation"),
        ("POST", "/tools/notes/notes", b'{"text":"a","stars":9223372036854775808}', 400, "malformed_json"),
        ("GET", "/tools/notes/notes/7?x=1", None, 422, "contract_violation"),
    ],
)
async def test_each_refusal_of_a_known_agent_has_its_code_and_its_own_record(place, method, path, body, status, code):
    headers = {"content-type": "application/json"} if body is not None else {}
    answer = await place.client.request(method, path, content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    recorded = records(place.folder, "call")
    assert [r["code"] for r in recorded] == [code]
    assert answer.json()["decision"]["n"] == recorded[0]["n"]
    assert place.up.seen == []


@pytest.mark.parametrize("token", [None, "", "nonsense", "a.b.c"])
async def test_without_a_valid_token_there_is_one_public_code_and_the_reason_stands_in_the_summary(place, token):
    async with client_of(place.gateway.addresses["agents"], token) as nobody:
        answer = await nobody.get("/tools/notes/notes/7")
    assert answer.status_code == 401
    assert answer.json()["code"] == "invalid_token"
    assert answer.headers["www-authenticate"].startswith("Bearer ")
    summary = (await place.settled("refusals", 1))[0]
    assert summary["total"] == 1
    assert summary["samples"][0]["id"] == answer.json()["call"]
    assert next(iter(summary["by"])).startswith("invalid_token: ")
    assert records(place.folder, "call") == []


async def test_an_expired_token_is_refused_and_the_log_says_so(place):
    async with client_of(place.gateway.addresses["agents"], token_of(place.folder, age_s=4000)) as late:
        answer = await late.get("/tools/notes/notes/7")
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")
    assert "expired" in str((await place.settled("refusals", 1))[0]["by"])


async def test_a_flood_without_identity_leaves_a_summary_and_not_a_record_each(place):
    async with client_of(place.gateway.addresses["agents"], "nonsense") as nobody:
        for _ in range(200):
            await nobody.get("/tools/notes/notes/7")
    summaries = await place.settled("refusals", 1)
    await place.gateway.pipeline.summary.close()
    summaries = records(place.folder, "refusals")
    assert sum(s["total"] for s in summaries) == 200
    assert len(summaries) < 20
    assert all(len(s["samples"]) <= 32 for s in summaries)


async def test_a_tool_without_contract_streams_its_body_untouched(place):
    answer = await place.client.post("/tools/plain/upload?a=1&a=2", content=b"\x00raw bytes\xff")
    assert answer.status_code == 200
    assert place.up.seen[0].target == "/upload?a=1&a=2"
    assert place.up.seen[0].body == b"\x00raw bytes\xff"


async def test_every_decision_is_recomputed_byte_for_byte_and_the_log_verifies(place):
    for stars in range(3, 9):
        await place.client.post("/tools/notes/notes", json={**TEXT, "stars": stars})
    await place.client.get("/tools/notes/notes/7")
    await place.client.get("/tools/notes/elsewhere")
    await place.settled("result", 4)
    reader = LogReader(place.folder / "log")
    for call in records(place.folder, "call"):
        recorded = {k: call["authz"][k] for k in ("decision", "reasons", "errors", "obl")}
        assert dumps(dict(recompute(call["authz"], reader.object))) == dumps(recorded)
    await place.gateway.stop()
    report = verified(place.folder)
    assert (report.ok, report.message) == (True, report.message)


async def test_arguments_that_do_not_fit_into_a_record_are_refused_with_one(place):
    answer = await place.client.post("/tools/notes/notes", json={"text": "x" * 100_000})
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert [r["code"] for r in records(place.folder, "call")] == ["body_too_large"]
    assert place.up.seen == []


async def test_metrics_count_the_calls_and_a_stranger_cannot_make_series(place):
    await place.client.get("/tools/notes/notes/7")
    for n in range(5):
        await place.client.get(f"/tools/made-up-{n}/x")
        await place.client.get(f"/tools/notes/made/up/{n}")
    async with client_of(place.admin, None) as admin:
        text = (await admin.get("/metrics")).text
        ready = await admin.get("/readyz")
        health = await admin.get("/healthz")
    assert 'portreeve_calls_total{decision="allow",operation="read_note",outcome="ok",tool="notes"} 1.0' in text
    assert 'portreeve_calls_total{decision="none",operation="",outcome="unknown_tool",tool=""} 5.0' in text
    assert "made-up" not in text and "made/up" not in text
    assert "portreeve_calls_in_flight 0.0" in text
    assert (ready.status_code, ready.json()["ready"], health.status_code) == (200, True, 200)
