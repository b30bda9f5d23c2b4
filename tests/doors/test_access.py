"""The decision API: the answers are those that calls would get, and nothing that could not be a call is answered with yes."""

from __future__ import annotations

import json

import httpx2
import pytest

from tests.authorize.world import identity as identity_of
from tests.journeys.place import client_of, records, running, token_of, write_place
from tests.simulators.upstreams import echo, upstream

ONE, MANY = "/access/v1/evaluation", "/access/v1/evaluations"
MORE_POLICY = """
@id("plain-by-path")
permit (principal in AgentGroup::"writers", action == Action::"plain/destructive", resource) when { context.request.path == "/bin/1" };
@id("asked-for")
@require_approval("leads")
permit (principal in AgentGroup::"writers", action == Action::"open/destructive", resource);
@id("only-own-notes")
permit (principal == Agent::"stranger", action == Action::"notes/read_note", resource)
when { context.request.path == "/notes/a%20b" && context.run.calls_last_minute < 2 };
@id("for-users")
permit (principal == Agent::"stranger", action == Action::"open/read", resource) when { context has user && context.user == User::"ann" };
"""


@pytest.fixture
async def place(tmp_path):
    write_place(tmp_path, 1)
    (tmp_path / "policies/more.cedar").write_text(MORE_POLICY)
    async with running(tmp_path) as found:
        yield found


def question(action="notes/write_note", agent="writer", **context):
    return {
        "subject": {"type": "agent", "id": agent},
        "action": {"name": action},
        "resource": {"type": "tool", "id": action.split("/")[0]},
        "context": context,
    }


async def ask(place, body, path=ONE, **headers):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with client_of(place.admin, None) as client:
        return await client.post(path, content=raw, headers={"content-type": "application/json", **headers})


async def decided(place, *args, **context):
    reply = await ask(place, question(*args, **context))
    assert reply.status_code == 200, reply.text
    return reply.json()


async def test_a_permit_and_a_forbid_are_answered_with_their_policies(place):
    yes = await decided(place, input={"text": "hi", "stars": 5})
    assert yes["decision"] is True
    assert yes["context"]["reasons"] == ["writers-write"]
    assert yes["context"]["state"] == place.gateway.pipeline.state.digest
    no = await decided(place, input={"text": "hi", "stars": 6})
    assert no["decision"] is False
    assert no["context"]["reason_user"] == {"en": "At most five stars"}
    assert no["context"]["reason_admin"] == {"en": "deny because of few-stars"}
    default = await decided(place, "notes/read_note", "stranger", input={"id": "1"})
    assert (default["decision"], default["context"]["reason_admin"]) == (False, {"en": "deny because of no policy"})


async def test_the_same_arguments_get_the_same_answer_as_the_call(tmp_path):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port)
        async with running(tmp_path) as place:
            for arguments in (
                {"text": "hi"},
                {"text": "hi", "stars": 5},
                {"text": "hi", "stars": 6},
                {"text": 1},
                {"stars": 1},
                {"text": "a", "x": 1},
            ):
                call = await place.client.post("/tools/notes/notes", json=arguments)
                answer = await ask(place, question(input=arguments))
                if call.status_code == 422:
                    assert answer.status_code == 422
                    assert answer.json()["pointer"] == "/context/input" + call.json()["pointer"]
                else:
                    assert answer.json()["decision"] is (call.status_code == 200)


async def test_a_question_leaves_no_record_and_no_count(place):
    await decided(place, input={"text": "hi"})
    assert records(place.folder, "call") == []
    assert place.gateway.pipeline.gatherer.look(identity_of("writer"), "notes").calls_last_minute == 0


async def test_the_path_is_the_one_that_the_call_would_have(place):
    assert (await decided(place, "notes/read_note", "stranger", input={"id": "a b"}))["decision"] is True
    refused = await ask(place, question("notes/read_note", "stranger", input={"id": "../x"}))
    assert (refused.status_code, refused.json()["code"]) == (400, "path_refused")
    assert (await decided(place, "plain/destructive", path="/bin/1", method="DELETE"))["decision"] is True
    assert (await decided(place, "plain/destructive", path="/bin/2"))["decision"] is False


async def test_counters_are_those_of_the_agent(place):
    stranger = token_of(place.folder, "stranger")
    async with client_of(place.gateway.addresses["agents"], stranger) as client:
        for _ in range(2):
            await client.get("/tools/plain/x")
    assert (await decided(place, "notes/read_note", "stranger", input={"id": "a b"}))["decision"] is False


async def test_what_needs_a_person_is_no(place):
    found = await decided(place, "open/destructive")
    assert (found["decision"], found["context"]["code"]) == (False, "approval_required")


@pytest.mark.parametrize(
    ("action", "agent", "said"),
    [
        ("notes/read_note", "nobody", "not registered"),
        ("notes/no_such", "writer", "no operation"),
        ("nothing/read", "writer", "no tool"),
    ],
)
async def test_what_does_not_exist_is_no_with_the_reason_for_the_admin(place, action, agent, said):
    found = await decided(place, action, agent, input={"id": "1"})
    assert found["decision"] is False
    assert said in found["context"]["reason_admin"]["en"]


async def test_an_agent_whose_tokens_do_not_count_is_no(place):
    file = place.folder / "identities/agents/writer.toml"
    file.write_text(file.read_text() + 'status = "suspended"\n')
    assert await place.gateway.reload()
    found = await decided(place, input={"text": "hi"})
    assert (found["decision"], found["context"]["reason_admin"]) == (False, {"en": "the agent writer is suspended"})


async def test_a_user_counts_only_where_the_agent_may_act_for_users(place):
    assert "may not act for users" in (await decided(place, "open/read", "stranger", user="ann"))["context"]["reason_admin"]["en"]
    file = place.folder / "identities/agents/stranger.toml"
    file.write_text(file.read_text() + "[delegation]\nmay_act_for_users = true\n")
    assert await place.gateway.reload()
    assert (await decided(place, "open/read", "stranger", user="ann"))["decision"] is True
    assert (await decided(place, "open/read", "stranger", user="bob"))["decision"] is False


def without(name):
    return {key: value for key, value in question().items() if key != name}


REFUSED = (
    (b"{", 400, "malformed_json", None),
    (b"", 400, "malformed_json", None),
    (b'{"subject":1,"subject":2}', 400, "malformed_json", None),
    ([], 400, "malformed_question", None),
    (without("subject"), 400, "malformed_question", "/subject"),
    (without("action"), 400, "malformed_question", "/action"),
    (without("resource"), 400, "malformed_question", "/resource"),
    ({**question(), "subject": {"type": "user", "id": "x"}}, 400, "malformed_question", "/subject/type"),
    ({**question(), "subject": {"type": "agent"}}, 400, "malformed_question", "/subject/id"),
    ({**question(), "subject": {"type": "agent", "id": "writer", "level": 9}}, 400, "malformed_question", "/subject/level"),
    ({**question(), "resource": {"type": "tool", "id": "plain"}}, 400, "malformed_question", "/action/name"),
    ({**question(), "action": {"name": "notes"}}, 400, "malformed_question", "/action/name"),
    ({**question(), "contxt": {}}, 400, "malformed_question", "/contxt"),
    (question(arguments={}), 400, "malformed_question", "/context/arguments"),
    (question(input=[]), 400, "malformed_question", "/context/input"),
    (question(user=7), 400, "malformed_question", "/context/user"),
    (question(input={"text": "x"}, path="/other"), 400, "malformed_question", "/context/path"),
    (question("plain/destructive", method="D E"), 400, "malformed_question", "/context/method"),
    (question("plain/read", path="/a/../b"), 400, "path_refused", None),
    (question("plain/read", path="/é"), 400, "path_refused", "/context/path"),
    (question("plain/read", input={"x": 1}), 422, "contract_violation", "/context/input"),
    (question(input={}), 422, "contract_violation", "/context/input/text"),
    (question(input={"text": "x", "__entity": {}}), 422, "contract_violation", "/context/input/__entity"),
)


async def test_a_question_that_is_none_is_refused_with_the_place(place):
    for body, status, code, pointer in REFUSED:
        reply = await ask(place, body)
        assert (reply.status_code, reply.json()["code"], reply.json().get("pointer")) == (status, code, pointer), body
        assert reply.headers["content-type"] == "application/problem+json"


async def test_a_web_page_cannot_ask(place):
    """A page can post a form to this machine, and can give this machine a name of its own (DNS rebinding)."""
    assert (await ask(place, question(), **{"content-type": "text/plain"})).status_code == 415
    assert (await ask(place, question(), host="evil.example:80")).status_code == 421


async def test_a_body_beyond_the_limit_is_refused(place):
    reply = await ask(place, question(input={"text": "x" * 300_000}))
    assert (reply.status_code, reply.json()["code"]) == (413, "body_too_large")
    items = iter([b" " * 65_536] * 5)

    async def chunks():
        for item in items:
            yield item

    async with httpx2.AsyncClient(base_url=place.admin, trust_env=False) as client:
        assert (await client.post(ONE, content=chunks(), headers={"content-type": "application/json"})).status_code == 413


async def test_the_asker_s_request_id_comes_back(place):
    for body in (question(input={"text": "x"}), {}):
        assert (await ask(place, body, **{"x-request-id": "r-1"})).headers["x-request-id"] == "r-1"


async def test_a_batch_fills_in_defaults_and_keeps_the_order(place):
    body = {
        **question(input={"text": "a"}),
        "evaluations": [{}, {"context": {"input": {"text": "a", "stars": 9}}}, {"subject": {"type": "agent", "id": "stranger"}}],
    }
    found = (await ask(place, body, MANY)).json()
    assert [one["decision"] for one in found["evaluations"]] == [True, False, False]
    assert found.keys() == {"evaluations"}


async def test_a_fault_in_one_question_of_a_batch_is_its_own(place):
    wrong = [{"context": {"input": {}}}, 7, {"action": {"name": "notes"}}, {}]
    found = (await ask(place, {**question(input={"text": "a"}), "evaluations": wrong}, MANY)).json()["evaluations"]
    assert [one["decision"] for one in found] == [False, False, False, True]
    assert [one["context"].get("error", {}).get("status") for one in found] == [422, 400, 400, None]
    assert found[0]["context"]["error"]["pointer"] == "/context/input/text"


@pytest.mark.parametrize(
    ("semantic", "decisions"),
    [
        ("execute_all", [True, False, True]),
        ("deny_on_first_deny", [True, False]),
        ("permit_on_first_permit", [True]),
    ],
)
async def test_a_batch_ends_as_its_semantic_says(place, semantic, decisions):
    few, many = {"context": {"input": {"text": "a"}}}, {"context": {"input": {"text": "a", "stars": 9}}}
    body = {**question(), "options": {"evaluations_semantic": semantic}, "evaluations": [few, many, few]}
    found = (await ask(place, body, MANY)).json()["evaluations"]
    assert [one["decision"] for one in found] == decisions


async def test_a_batch_without_questions_is_one_question(place):
    for extra in ({}, {"evaluations": []}):
        found = (await ask(place, {**question(input={"text": "a"}), **extra}, MANY)).json()
        assert found["decision"] is True


WHOLE = (
    ({"evaluations": {}}, "/evaluations"),
    ({"evaluations": [{}] * 101}, "/evaluations"),
    ({"evaluations": [{}], "options": {"evaluations_semantic": "any"}}, "/options/evaluations_semantic"),
    ({"evaluations": [{}], "options": {"evaluations_semantic": []}}, "/options/evaluations_semantic"),
    ({"evaluations": [{}], "options": 1}, "/options/evaluations_semantic"),
    ({"evaluations": [{}], "evalutions": 1}, "/evalutions"),
)


async def test_a_batch_that_is_none_is_refused_as_a_whole(place):
    for extra, pointer in WHOLE:
        reply = await ask(place, {**question(), **extra}, MANY)
        assert (reply.status_code, reply.json()["pointer"]) == (400, pointer), extra


async def test_the_agents_listener_does_not_answer_questions(place):
    reply = await place.client.post(ONE, json=question(input={"text": "a"}))
    assert reply.status_code == 404
