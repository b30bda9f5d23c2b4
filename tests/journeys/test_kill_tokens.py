"""What a kill means for tokens: for those that are asked for, for those that were exchanged, and for those of other issuers."""

from __future__ import annotations

import asyncio

import pytest

from gateway.cli.kill import What, kill, revoke, unkill
from tests.identify.forge import ABSENT
from tests.journeys.place import Place, records
from tests.journeys.test_kill import eventually
from tests.journeys.test_tokens import BOT, CHILD, bot_token, foreign, own_place  # noqa: F401 - the fixture
from tests.journeys.token_clients import ACCESS_TOKEN, EXCHANGE, call, claims_of, client, post, token

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def killed(place: Place, what: str, name: str = "") -> None:
    await asyncio.to_thread(kill, What(what), name, why="a test", folder=place.folder)


async def lifted(place: Place, what: str, name: str = "") -> None:
    await asyncio.to_thread(unkill, What(what), name, why="a test", folder=place.folder)
    await eventually(lambda: not place.gateway.trust.halts.board.halts)


def exchange(parent: str) -> dict[str, str]:
    return {"grant_type": EXCHANGE, "subject_token": parent, "subject_token_type": ACCESS_TOKEN, **client(CHILD.assertion("child"))}


async def test_a_killed_agent_gets_no_token_and_later_one_of_the_new_epoch(own_place: Place):  # noqa: F811
    await killed(own_place, "agent", "bot")
    refused = await post(own_place, "/oauth2/token", {"grant_type": "client_credentials", **client(BOT.assertion("bot"))})
    assert (refused.status_code, refused.json()["error"]) == (400, "unauthorized_client")
    assert "agent bot" in refused.json()["error_description"]
    assert records(own_place.folder, "token")[-1]["code"] == "unauthorized_client"
    await lifted(own_place, "agent", "bot")
    text = await bot_token(own_place)
    assert claims_of(text)["gw"]["epoch"] == own_place.gateway.trust.halts.board.epoch > 0
    assert (await call(own_place, text)).status_code == 200


async def test_what_was_exchanged_from_a_killed_agents_token_stays_dead_and_cannot_be_exchanged_further(own_place: Place):  # noqa: F811
    parent = await bot_token(own_place)
    delegated = (await token(own_place, exchange(parent)))["access_token"]
    assert (await call(own_place, delegated)).status_code == 200
    await killed(own_place, "agent", "bot")
    assert (await call(own_place, delegated)).json()["code"] == "halted"
    assert (await post(own_place, "/oauth2/token", exchange(parent))).json()["error"] == "invalid_grant", "dead already, not just halted"
    await lifted(own_place, "agent", "bot")
    assert (await call(own_place, delegated)).status_code == 401
    assert (await post(own_place, "/oauth2/token", exchange(parent))).json()["error"] == "invalid_grant"


async def test_a_dead_token_proves_no_actor_and_is_not_called_active_while_its_agent_is_halted(own_place: Place):  # noqa: F811
    child = (await token(own_place, {"grant_type": "client_credentials", **client(CHILD.assertion("child"))}))["access_token"]
    form = {"grant_type": EXCHANGE, "subject_token": await bot_token(own_place), "subject_token_type": ACCESS_TOKEN}
    form |= {"actor_token": child, "actor_token_type": ACCESS_TOKEN}
    await killed(own_place, "agent", "child")
    assert (await post(own_place, "/oauth2/token", form)).json()["error"] == "invalid_client"
    assert (await post(own_place, "/oauth2/introspect", {"token": child, **client(CHILD.assertion("child"))})).json() == {"active": False}


async def test_a_killed_child_does_not_end_its_parents_token_which_may_be_exchanged_again_later(own_place: Place):  # noqa: F811
    parent = await bot_token(own_place)
    delegated = (await token(own_place, exchange(parent)))["access_token"]
    await killed(own_place, "agent", "child")
    assert (await call(own_place, parent)).status_code == 200
    await lifted(own_place, "agent", "child")
    assert (await call(own_place, delegated)).status_code == 401
    again = (await token(own_place, exchange(parent)))["access_token"]
    assert (await call(own_place, again)).status_code == 200


async def test_a_token_of_another_issuer_from_before_a_kill_is_dead_and_a_later_one_is_not(own_place: Place):  # noqa: F811
    svid = foreign("", iss=ABSENT, sub="spiffe://example.org/bot", jti=ABSENT)
    assert (await call(own_place, svid)).status_code == 200
    await killed(own_place, "agent", "bot")
    assert (await call(own_place, svid)).json()["code"] == "halted"
    await lifted(own_place, "agent", "bot")
    assert (await call(own_place, svid)).status_code == 401
    await asyncio.sleep(1.1)  # an `iat` is in whole seconds
    later = foreign("", iss=ABSENT, sub="spiffe://example.org/bot", jti=ABSENT)
    assert (await call(own_place, later)).status_code == 200
    unsaid = foreign("", iss=ABSENT, sub="spiffe://example.org/bot", jti=ABSENT, iat=ABSENT)
    assert (await call(own_place, unsaid)).status_code == 401, "it does not say that it is from after the kill"


async def test_a_revoked_token_is_refused_with_its_children_when_the_command_returns(own_place: Place):  # noqa: F811
    parent = await bot_token(own_place)
    delegated = (await token(own_place, exchange(parent)))["access_token"]
    other = await bot_token(own_place)
    assert [(await call(own_place, text)).status_code for text in (parent, delegated)] == [200, 200]
    await asyncio.to_thread(revoke, claims_of(parent)["jti"], why="a test", folder=own_place.folder)
    assert [(await call(own_place, text)).status_code for text in (parent, delegated, other)] == [401, 401, 200]
