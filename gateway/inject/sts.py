"""`[credential.NAME.sts]`: a session of a role of AWS, for one agent and for what the session policy leaves of the role's rights (AssumeRoleWithWebIdentity).

The gateway states under its own signature who the agent is, and AWS trusts its keys: no secret of AWS is stored anywhere. A session cannot be ended
early, so it is as short as AWS makes them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from urllib.parse import urlencode

from gateway.config.sources import StsSettings
from gateway.errors import Refusal
from gateway.fetch import Fetched as Answer
from gateway.fetch import Fetcher, FetchError
from gateway.inject.session_policy import filled
from gateway.inject.source import Fetched, Need, Unleased, Unreachable, Unreadable, scope_hash, secret_of
from gateway.inject.vouching import Vouch
from gateway.inject.xml_answer import XmlError, read_xml
from gateway.secret import Secret

ANSWER_BYTES_MAX = 64 * 1024
SESSION_S = 900
NAME_CHARACTERS_MAX = 64
_RESULT = "AssumeRoleWithWebIdentityResponse/AssumeRoleWithWebIdentityResult"
_KEYS = f"{_RESULT}/Credentials"
_ERROR = "ErrorResponse/Error/Code"

# What AWS says, whether it is about this agent or call alone, and what helps.
_ERRORS: Mapping[str, tuple[type[Unreadable], str]] = {
    "AccessDenied": (Unreadable, "the role's trust policy must let this agent (as :sub) and the audience (as :aud) assume it by web identity"),
    "IDPRejectedClaim": (Unreadable, "compare audience and agent with what AWS has at the identity provider of the gateway"),
    "MalformedPolicyDocument": (Unreadable, "correct the session policy: AWS does not read what came out of it for this call"),
    "PackedPolicyTooLarge": (Unreadable, "shorten the session policy: AWS packs it, and it came out too large"),
    "ValidationError": (Unreadable, "compare role, policy and session with what AWS takes"),
    "ExpiredTokenException": (Unreachable, "compare the gateway's clock with the time: its statement was over when it came"),
    "ExpiredToken": (Unreachable, "compare the gateway's clock with the time: its statement was over when it came"),
    "InvalidIdentityToken": (Unreachable, "make the gateway's URL an identity provider of IAM, with the audience that the table names"),
    "IDPCommunicationError": (Unreachable, "AWS must reach /.well-known/openid-configuration and /oauth2/jwks at the gateway's URL, by https"),
    "RegionDisabledException": (Unreachable, "let the account use STS in this region, or name another region"),
    "Throttling": (Unreachable, "ask less often, or have the account's limit raised"),
}


class StsSource(Unleased):
    """Sessions of one role. `now` in seconds since the epoch."""

    kind = "sts"

    def __init__(self, settings: StsSettings, fetcher: Fetcher, vouch: Vouch, now: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._fetcher = fetcher
        self._vouch = vouch
        self._now = now

    def check(self) -> None:
        """The policy was looked at with the settings; what AWS has is not known here."""

    def scope(self, need: Need) -> str:
        """The session policy, as it is sent."""
        return filled(self._settings.policy, need.arguments)

    async def fetch(self, need: Need) -> Fetched:
        settings, policy = self._settings, self.scope(need)
        name = session_name(need.identity.agent, policy)
        try:
            statement = await self._vouch(f"agent:{need.identity.agent}", settings.audience, {})
            form = {
                "Action": "AssumeRoleWithWebIdentity",
                "Version": "2011-06-15",
                "RoleArn": settings.role_arn,
                "RoleSessionName": name,
                "DurationSeconds": str(SESSION_S),
                "Policy": policy,
                "WebIdentityToken": statement.reveal(),
            }
            headers = {"content-type": "application/x-www-form-urlencoded", "accept": "text/xml"}
            answer = await self._fetcher.post(settings.url, urlencode(form).encode(), bytes_max=ANSWER_BYTES_MAX, headers=headers)
        except FetchError as error:
            raise Unreachable(f"STS: {error}", "look at the endpoint and the way to it") from None
        except Refusal as refusal:
            raise Unreachable(refusal.reason, "look at what signs the gateway's tokens") from None
        return self._session(answer, name)

    def _session(self, answer: Answer, name: str) -> Fetched:
        """The session of an answer. What the answer says is quoted only where it is one of the known words."""
        remedy = "look at what answers at the endpoint"
        try:
            told = read_xml(answer.body)
        except XmlError as error:
            raise Unreachable(f"STS answered with status {answer.status}, and {error}", remedy) from None
        if answer.status != 200:
            code = told.get(_ERROR, "")
            kind, remedy = _ERRORS.get(code, (Unreachable, "look at the state of STS, and at its answers in CloudTrail"))
            raise kind(f"STS refused: {code if code in _ERRORS else f'status {answer.status}'}", remedy)
        key_id, key, token = (_secret(told, field) for field in ("AccessKeyId", "SecretAccessKey", "SessionToken"))
        if not told.get(f"{_RESULT}/AssumedRoleUser/Arn", "").endswith(f"/{name}"):
            raise Unreachable("STS gave a session of another name than was asked for", remedy)
        try:
            life_s = min(datetime.fromisoformat(told.get(f"{_KEYS}/Expiration", "")).timestamp() - self._now(), float(SESSION_S))
        except ValueError:
            raise Unreachable("STS gave a session without an end", remedy) from None
        if life_s <= 0:
            raise Unreachable("STS gave a session that is over already", "compare the clocks")
        return Fetched(token, life_s, key_id.reveal(), user=key_id, key=key)


def _secret(told: Mapping[str, str], field: str) -> Secret:
    where = f"STS's {field}"
    found = secret_of(told.get(f"{_KEYS}/{field}", "").encode(), where)
    text = found.reveal()
    if not text.isascii() or " " in text or (field == "AccessKeyId" and not (text.isalnum() and 16 <= len(text) <= 128)):
        raise Unreachable(f"{where} is not one", "look at what answers at the endpoint")
    return found


def session_name(agent: str, policy: str) -> str:
    """What CloudTrail shows of each call: the agent, and the digest by which the decision log names what the session was narrowed to."""
    digest = scope_hash(policy)
    return f"{agent[: NAME_CHARACTERS_MAX - len(digest) - 1]}@{digest}"
