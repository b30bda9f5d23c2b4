"""Access tokens as a client of their issuer, and in exchange for what the gateway vouches for."""

from __future__ import annotations

import base64

import pytest

from gateway.config.sources import OAuth2Settings
from gateway.fetch import Fetcher
from gateway.inject.assertion import ClientKey
from gateway.inject.oauth2 import EXCHANGE, LIFE_S, OAuth2Source
from gateway.inject.source import Fetched, Unreachable, Unreadable
from gateway.secret import Secret
from tests.inject.world import GATEWAY, Counting, need, voucher, write_key
from tests.simulators.token_endpoint import CLIENT, CLIENT_SECRET, TokenEndpoint
from tests.simulators.upstreams import upstream


class Stored(Counting):
    """The client's secret."""

    async def fetch(self, need) -> Fetched:
        return Fetched(Secret(CLIENT_SECRET))


async def ask(endpoint: TokenEndpoint, tmp_path, *, client=None, whose=None, ca=None, **more) -> Fetched:
    found, public = voucher(tmp_path)
    async with upstream(endpoint) as up:
        url = endpoint.audience = f"{up.url}/token"
        endpoint.keys.setdefault(GATEWAY, public)
        settings = OAuth2Settings(url, CLIENT, **more)
        return await OAuth2Source(settings, client or Stored(), Fetcher(ca), found).fetch(whose or need())


@pytest.mark.parametrize("how", ["basic", "post"])
async def test_a_client_proves_itself_by_its_secret_in_one_place_only(tmp_path, how):
    endpoint = TokenEndpoint()
    fetched = await ask(endpoint, tmp_path, client_auth=how, scopes=("a", "b"), audience="crm", resource="https://crm.example/")
    assert fetched.secret.reveal() == "CANARY-access-token-1" and fetched.life_s == 3600
    [form] = endpoint.asked
    assert (form["grant_type"], form["scope"], form["audience"], form["resource"]) == ("client_credentials", "a b", "crm", "https://crm.example/")
    assert ("client_secret" in form) == (how == "post")


@pytest.mark.parametrize("kind", ["ES256", "RS256", "EdDSA"])
async def test_a_client_proves_itself_by_an_assertion_of_its_key_for_this_endpoint_alone(tmp_path, kind):
    endpoint = TokenEndpoint()
    endpoint.keys[CLIENT] = write_key(tmp_path / "client.pem", kind)
    await ask(endpoint, tmp_path, client=ClientKey(tmp_path / "client.pem"), client_auth="private_key_jwt")
    [told] = endpoint.told
    assert (told["sub"], told["aud"], told["exp"] - told["iat"]) == (CLIENT, endpoint.audience, 60)
    assert "client_secret" not in endpoint.asked[0]


async def test_an_exchange_says_for_whom_and_through_whom_under_the_gateways_signature(tmp_path):
    endpoint = TokenEndpoint()
    await ask(endpoint, tmp_path, grant="token_exchange", whose=need("search", "anna", actors=("planner", "root")))
    [form] = endpoint.asked
    assert form["grant_type"] == EXCHANGE
    subject, actor = endpoint.told
    assert (subject["as"], subject["sub"], subject["may_act"]) == ("subject_token", "user:anna", {"sub": "agent:search"})
    assert (actor["as"], actor["sub"]) == ("actor_token", "agent:search")
    assert actor["act"] == {"sub": "agent:planner", "act": {"sub": "agent:root"}}
    assert {subject["iss"], actor["iss"]} == {GATEWAY} and subject["exp"] - subject["iat"] == 60


async def test_an_exchange_in_the_agents_own_name_has_no_other_actor(tmp_path):
    endpoint = TokenEndpoint()
    await ask(endpoint, tmp_path, grant="token_exchange", subject="agent", whose=need("search", "anna"))
    assert [told["sub"] for told in endpoint.told] == ["agent:search"]
    assert "actor_token" not in endpoint.asked[0]


async def test_no_token_in_a_users_name_is_asked_for_a_call_in_nobodys(tmp_path):
    endpoint = TokenEndpoint()
    with pytest.raises(Unreadable, match="no user's name") as caught:
        await ask(endpoint, tmp_path, grant="token_exchange")
    assert endpoint.asked == [] and not isinstance(caught.value, Unreachable)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"token_type": "DPoP"}, "no bearer token"),
        ({"token_type": None}, "no bearer token"),
        ({"access_token": ["CANARY"]}, "no bearer token"),
        ({"scope": "crm.read crm.write"}, "scopes that were not asked for"),
        ({"expires_in": 0}, "over already"),
        ({"expires_in": "3600"}, "over already"),
        ({"expires_in": True}, "over already"),
        ({"access_token": "a\r\nb"}, "control character"),
        ({"access_token": ""}, "is empty"),
    ],
)
async def test_an_answer_with_anything_else_than_what_was_asked_for_is_refused(tmp_path, more, why):
    endpoint = TokenEndpoint()
    endpoint.more |= more
    with pytest.raises(Unreadable, match=why):
        await ask(endpoint, tmp_path, scopes=("crm.read",))


@pytest.mark.parametrize(("more", "life_s"), [({}, LIFE_S), ({"expires_in": 10**9}, 86_400.0), ({"expires_in": 7.5}, 7.5)])
async def test_a_token_lives_as_long_as_its_issuer_says_within_bounds(tmp_path, more, life_s):
    endpoint = TokenEndpoint(more={"token_type": "bearer", **more})
    assert (await ask(endpoint, tmp_path)).life_s == life_s


@pytest.mark.parametrize(("status", "error"), [(400, "invalid_scope"), (401, "invalid_client"), (403, "CANARY-of-theirs"), (500, "odd"), (503, "x")])
async def test_a_refusal_is_told_in_known_words_only(tmp_path, status, error):
    with pytest.raises(Unreachable) as caught:
        await ask(TokenEndpoint(status=status, error=error), tmp_path)
    assert "CANARY" not in caught.value.reason
    assert ("invalid" in error and error in caught.value.reason) or f"status {status}" in caught.value.reason


async def test_what_an_issuer_refuses_one_user_is_no_trouble_of_the_issuer(tmp_path):
    with pytest.raises(Unreadable) as caught:
        await ask(TokenEndpoint(status=400, error="invalid_grant"), tmp_path, grant="token_exchange", whose=need("a", "anna"))
    assert not isinstance(caught.value, Unreachable)


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>CANARY", b'{"a":1,"a":2}', b"x" * 200_000])
async def test_an_answer_that_is_no_json_object_is_trouble_of_the_issuer(tmp_path, body):
    with pytest.raises(Unreachable) as caught:
        await ask(TokenEndpoint(body=body), tmp_path)
    assert "CANARY" not in caught.value.reason


async def test_the_secret_is_escaped_in_http_basic(tmp_path):
    endpoint = TokenEndpoint()
    async with upstream(endpoint) as up:
        await OAuth2Source(OAuth2Settings(up.url, CLIENT), Stored(), Fetcher(), voucher(tmp_path)[0]).fetch(need())
        header = up.seen[0].header("authorization")
    assert base64.b64decode(header.removeprefix("Basic ")) == b"gateway:CANARY-client%2Bsecret%2F1"


@pytest.mark.parametrize("how", ["basic", "post", "private_key_jwt"])
async def test_a_token_is_ended_at_its_issuer_by_the_client_that_asked_for_it(tmp_path, how):
    endpoint, client = TokenEndpoint(), Stored()
    if how == "private_key_jwt":
        endpoint.keys[CLIENT] = write_key(tmp_path / "client.pem")
        client = ClientKey(tmp_path / "client.pem")
    async with upstream(endpoint) as up:
        endpoint.audience = f"{up.url}/token"
        settings = OAuth2Settings(endpoint.audience, CLIENT, how, revocation_url=f"{up.url}/revoke")
        source = OAuth2Source(settings, client, Fetcher(), voucher(tmp_path)[0])
        fetched = await source.fetch(need())
        assert await source.renew(fetched) is None
        await source.give_back(fetched)
    assert endpoint.revoked == ["CANARY-access-token-1"]


@pytest.mark.parametrize("status", [400, 401, 404, 503])
async def test_a_token_that_could_not_be_ended_is_told_and_not_shown(tmp_path, status):
    endpoint = TokenEndpoint(ends=status)
    async with upstream(endpoint) as up:
        settings = OAuth2Settings(f"{up.url}/token", CLIENT, revocation_url=f"{up.url}/revoke")
        source = OAuth2Source(settings, Stored(), Fetcher(), voucher(tmp_path)[0])
        fetched = await source.fetch(need())
        with pytest.raises(Unreachable, match=str(status)) as caught:
            await source.give_back(fetched)
    assert "CANARY" not in caught.value.reason
    with pytest.raises(Unreachable, match="revocation endpoint"):
        await source.give_back(fetched)  # nothing listens there any more


async def test_without_a_revocation_endpoint_a_token_has_no_lease(tmp_path):
    assert (await ask(TokenEndpoint(), tmp_path)).lease == ""


@pytest.mark.parametrize("kind", ["RS-weak", "P-384"])
def test_a_weak_or_unusual_key_is_refused_by_the_check(tmp_path, kind):
    write_key(tmp_path / "k.pem", kind)
    with pytest.raises(Unreadable, match="a kind that is not used"):
        ClientKey(tmp_path / "k.pem").check()


@pytest.mark.parametrize("text", ["CANARY", "-----BEGIN PRIVATE KEY-----\nCANARY\n-----END PRIVATE KEY-----\n"])
def test_a_file_that_is_no_key_is_refused_without_its_text(tmp_path, text):
    file = tmp_path / "k.pem"
    file.touch(0o600)
    file.write_text(text)
    with pytest.raises(Unreadable) as caught:
        ClientKey(file).check()
    assert "CANARY" not in caught.value.reason and caught.value.__suppress_context__


def test_a_key_that_others_may_read_is_refused(tmp_path):
    write_key(tmp_path / "k.pem")
    (tmp_path / "k.pem").chmod(0o644)
    with pytest.raises(Unreadable, match="others may use it"):
        ClientKey(tmp_path / "k.pem").check()
