"""Sessions of a role of AWS: narrowed to the call, for one agent, asked for with the gateway's own signature; what AWS refuses, and how that is told."""

from __future__ import annotations

import json

import pytest

from gateway.config.sources import StsSettings
from gateway.errors import Refusal
from gateway.fetch import Fetcher
from gateway.inject.kept import Kept
from gateway.inject.source import Fetched, Unreachable, Unreadable, scope_hash
from gateway.inject.sts import NAME_CHARACTERS_MAX, StsSource, session_name
from tests.inject.world import GATEWAY, need, voucher
from tests.simulators.aws import REGION, ROLE, Aws, Sts, refusal, session
from tests.simulators.upstreams import answer, raw, upstream

POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::acme-reports/{args.key}"}]}


def source_at(url: str, vouch, **more) -> StsSource:
    return StsSource(StsSettings(ROLE, REGION, "s3", POLICY, endpoint=url, **more), Fetcher(), vouch)


def about(key: str = "plain.txt", agent: str = "a", **more):
    return need(agent, arguments={"key": key}, **more)


@pytest.fixture
def signs(tmp_path):
    return voucher(tmp_path)


async def ask(behaviour, signs, wanted=None, **more) -> Fetched:
    async with upstream(behaviour) as up:
        return await source_at(up.url, signs[0], **more).fetch(wanted or about())


async def test_a_session_is_of_the_agent_for_the_policy_of_the_call_and_as_short_as_can_be(cloud: Aws, signs):
    sts = Sts(cloud, signs[1], GATEWAY)
    fetched = await ask(sts, signs, about("q3.csv", "support-bot"))
    [asked], [gave] = sts.asked, sts.gave
    policy = {"Version": "2012-10-17", "Statement": [{**POLICY["Statement"][0], "Resource": "arn:aws:s3:::acme-reports/q3.csv"}]}
    assert json.loads(asked["Policy"]) == policy
    assert (asked["RoleArn"], asked["DurationSeconds"], asked["sub"]) == (ROLE, "900", "agent:support-bot")
    assert asked["RoleSessionName"] == f"support-bot@{scope_hash(asked['Policy'])}"
    assert {"AccessKeyId": fetched.user.reveal(), "SecretAccessKey": fetched.key.reveal(), "SessionToken": fetched.secret.reveal()} == gave
    assert fetched.version == gave["AccessKeyId"] and 890 < fetched.life_s <= 900
    assert not any(gave[name] in repr(fetched) for name in ("SecretAccessKey", "SessionToken"))


async def test_what_is_fetched_for_one_agent_user_or_policy_is_never_used_for_another(cloud: Aws, signs):
    sts = Sts(cloud, signs[1], GATEWAY)
    async with upstream(sts) as up:
        source = source_at(up.url, signs[0])
        kept = Kept("aws", source)
        wanted = [about(), about(agent="b"), need("a", "u", arguments={"key": "plain.txt"}), about("q3.csv"), about(actors=("c",)), about()]
        found = [(await kept.fetch(one, source.scope(one))).user.reveal() for one in wanted]
        assert len(set(found)) == 5 and found[0] == found[5]
        await kept.close()


async def test_an_argument_that_could_widen_the_policy_fetches_nothing(cloud: Aws, signs):
    sts = Sts(cloud, signs[1], GATEWAY)
    async with upstream(sts) as up:
        source = source_at(up.url, signs[0])
        for key in ("*", "../x", "${aws:userid}", 'a","Action":"s3:*'):
            with pytest.raises(Unreadable):
                await source.fetch(about(key))
    assert sts.asked == []


async def test_a_gateway_that_aws_does_not_know_gets_no_session(cloud: Aws, signs, tmp_path):
    other = voucher(tmp_path / "other")
    with pytest.raises(Unreachable, match="InvalidIdentityToken"):
        await ask(Sts(cloud, other[1], GATEWAY), signs)
    with pytest.raises(Unreachable, match="InvalidIdentityToken"):
        await ask(Sts(cloud, signs[1], GATEWAY), signs, audience="https://elsewhere.example")


@pytest.mark.parametrize(
    ("status", "code", "kind", "helps"),
    [
        (403, "AccessDenied", Unreadable, "trust policy"),
        (403, "IDPRejectedClaim", Unreadable, "identity provider"),
        (400, "MalformedPolicyDocument", Unreadable, "session policy"),
        (400, "PackedPolicyTooLarge", Unreadable, "shorten"),
        (400, "ValidationError", Unreadable, "role"),
        (400, "ExpiredTokenException", Unreachable, "clock"),
        (400, "InvalidIdentityToken", Unreachable, "identity provider of IAM"),
        (400, "IDPCommunicationError", Unreachable, "openid-configuration"),
        (403, "RegionDisabledException", Unreachable, "region"),
        (400, "Throttling", Unreachable, "limit"),
    ],
)
async def test_what_aws_refuses_is_told_by_its_word_with_what_helps_and_without_its_text(cloud: Aws, signs, status, code, kind, helps):
    with pytest.raises(Unreadable, match=code) as caught:
        await ask(Sts(cloud, signs[1], GATEWAY, fails=(status, code)), signs)
    assert type(caught.value) is kind and helps in caught.value.remedy and "CANARY" not in caught.value.reason


NAME = session_name("a", json.dumps(POLICY, separators=(",", ":"), sort_keys=True).replace("{args.key}", "plain.txt"))


@pytest.mark.parametrize(
    "told",
    [
        answer(200, session("b@0123456789abcdef")),
        answer(200, session(NAME, Expiration="2020-01-01T00:00:00Z")),
        answer(200, session(NAME, Expiration="CANARY")),
        answer(200, session(NAME, AccessKeyId="CANARY/../x")),
        answer(200, session(NAME, AccessKeyId="")),
        answer(200, session(NAME, SecretAccessKey="")),
        answer(200, session(NAME, SessionToken="CANARY token")),
        answer(200, session(NAME, SessionToken="CANARY&#10;x: y")),
        answer(200, session(NAME, SessionToken="CANARY-é")),
        answer(200, session(NAME).replace(b"</Credentials>", b"<SessionToken>CANARY-2</SessionToken></Credentials>")),
        answer(200, b'<!DOCTYPE a [<!ENTITY x "CANARY">]>' + session(NAME)),
        answer(200, b'{"CANARY": 1}'),
        answer(200, refusal(200, "AccessDenied").partition(b"\r\n\r\n")[2]),
        refusal(503, "CANARY"),
        answer(502, b"<html>CANARY"),
        answer(301, session(NAME), "Location: http://127.0.0.1:1/"),
        answer(200, session(NAME) + b" " * 70_000),
    ],
)
async def test_an_answer_that_is_not_the_session_that_was_asked_for_is_refused_and_not_quoted(signs, told):
    assert (await ask(raw(answer(200, session(NAME))), signs)).secret.reveal() == "CANARY-token"
    with pytest.raises(Unreadable) as caught:
        await ask(raw(told), signs)
    assert "CANARY" not in caught.value.reason + caught.value.remedy


async def test_a_session_lives_no_longer_than_it_was_asked_for_whatever_the_answer_says(signs):
    assert (await ask(raw(answer(200, session(NAME))), signs)).life_s == 900


async def test_a_gateway_that_cannot_sign_and_an_sts_that_cannot_be_reached_are_told_apart(signs):
    async def nothing(_subject, _audience, _more):
        raise Refusal("overloaded", reason="nothing signs here")

    with pytest.raises(Unreachable, match="nothing signs here"):
        await source_at("http://127.0.0.1:1", nothing).fetch(about())
    with pytest.raises(Unreachable, match="STS: the request failed"):
        await source_at("http://127.0.0.1:1", signs[0]).fetch(about())


def test_a_session_is_named_for_its_agent_within_what_aws_takes():
    assert session_name("x" * 64, "p") == f"{'x' * 47}@{scope_hash('p')}" and len(session_name("x" * 64, "p")) == NAME_CHARACTERS_MAX
    assert session_name("a", "p") != session_name("a", "q")


def test_sessions_are_asked_for_in_the_region_of_the_service():
    urls = [StsSettings(ROLE, region, "s3", POLICY).url for region in ("eu-central-1", "cn-north-1", "us-gov-west-1")]
    assert urls == [f"https://sts.{where}/" for where in ("eu-central-1.amazonaws.com", "cn-north-1.amazonaws.com.cn", "us-gov-west-1.amazonaws.com")]
