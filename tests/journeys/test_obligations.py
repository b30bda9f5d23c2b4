"""What a permit demands happens: a call that a person must approve is refused with words, recorded, and sent nowhere."""

from tests.journeys.place import records, running, verified, write_place
from tests.simulators.upstreams import echo, upstream

HELD = """@id("held") @owner("team:test") @require_approval("leads") @approval_ttl("15m") {message}
permit (principal in AgentGroup::"writers", action == Action::"notes/write_note", resource);
"""


async def post_under(folder, *, message):
    async with upstream(echo) as up:
        write_place(folder, up.port)
        (folder / "policies" / "held.cedar").write_text(HELD.format(message=message))
        async with running(folder) as place:
            reply = await place.client.post("/tools/notes/notes", json={"text": "x"})
    assert up.seen == []
    return reply.status_code, reply.json()


async def test_a_held_call_is_refused_with_the_policys_own_words_recorded_and_not_sent(tmp_path):
    status, problem = await post_under(tmp_path, message='@message("A lead looks at this first.")')
    assert (status, problem["code"], problem["detail"]) == (403, "approval_required", "A lead looks at this first.")
    (call,) = records(tmp_path, "call")
    assert (call["code"], call["authz"]["decision"]) == ("approval_required", "hold")
    assert call["authz"]["obl"] == [["approval_ttl", "15m"], ["require_approval", "leads"]]
    assert records(tmp_path, "result") == []
    assert problem["decision"]["n"] == call["n"]
    assert verified(tmp_path).ok


async def test_without_a_message_the_agent_is_told_who_must_approve(tmp_path):
    status, problem = await post_under(tmp_path, message="")
    assert (status, problem["detail"]) == (403, "Approval by leads is needed")
