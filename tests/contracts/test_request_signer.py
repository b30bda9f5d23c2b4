"""The contract of a request signer, on every one of them."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, replace

import pytest

from gateway.config.sources import HmacSettings, StsSettings
from gateway.inject.signing import RequestSigner, Unsigned
from gateway.inject.signing_hmac import HmacSigner
from gateway.inject.sigv4 import SigV4Signer
from gateway.inject.source import Fetched, Unreadable
from gateway.secret import Secret

KEY = "CANARY/signing+key"
REQUEST = Unsigned(
    "POST", "https", "api.example", "/v1/a%20b", "q=1&r=%2F", (("host", "api.example"), ("content-type", "application/json")), b'{"n":1}'
)


@dataclass
class Case:
    """A signer, what it signs with, and what is no key of its kind."""

    signer: RequestSigner
    right: Fetched
    wrong: Fetched


def _hmac() -> Case:
    settings = HmacSettings("{method} {host}{target} {timestamp} {body_sha256}", {"X-Sig": "{signature}", "X-Time": "{timestamp}"}, key="base64")
    return Case(HmacSigner(settings), Fetched(Secret("Q0FOQVJZLWtleQ==")), Fetched(Secret(KEY)))


def _sigv4() -> Case:
    right = Fetched(Secret("the-token-of-the-session"), 900.0, user=Secret("ASIAEXAMPLE"), key=Secret(KEY))
    settings = StsSettings("arn:aws:iam::123456789012:role/r", "eu-central-1", "execute-api", {})
    return Case(SigV4Signer(settings), right, Fetched(Secret(KEY), 900.0))


@pytest.fixture(params=[_hmac, _sigv4], ids=["hmac", "sigv4"])
def case(request: pytest.FixtureRequest) -> Case:
    return request.param()


def signed(case: Case, request: Unsigned = REQUEST, now_s: float = 1_700_000_000.0) -> dict[str, str]:
    return {name: value.reveal() if isinstance(value, Secret) else value for name, value in case.signer.sign(request, case.right, now_s)}


def test_it_sets_its_own_fields_and_each_once(case: Case):
    names = [name for name, _ in case.signer.sign(REQUEST, case.right, 1_700_000_000.0)]
    assert names and set(names) <= case.signer.fields and len(names) == len(set(names))
    assert all(name == name.lower() for name in case.signer.fields)


def test_one_request_at_one_time_has_one_signature(case: Case):
    assert signed(case) == signed(case) != signed(case, now_s=1_700_000_060.0)


@pytest.mark.parametrize(
    "other",
    [{"method": "PUT"}, {"authority": "b.example"}, {"path": "/v1/a"}, {"query": ""}, {"query": "q=1&r=x"}, {"body": b""}, {"body": b'{"n":2}'}],
)
def test_another_request_has_another_signature(case: Case, other: dict[str, object]):
    assert signed(case, replace(REQUEST, **other)) != signed(case)


def test_every_field_can_stand_in_a_head(case: Case):
    assert all(value.isascii() and value.isprintable() and value == value.strip() for value in signed(case).values())


def test_what_is_no_key_is_refused_and_nothing_of_it_is_shown(case: Case):
    case.signer.check(case.right)
    for use in (lambda: case.signer.check(case.wrong), lambda: case.signer.sign(REQUEST, case.wrong, 1.0)):
        with pytest.raises(Unreadable) as caught:
            use()
        assert caught.value.remedy and "CANARY" not in "".join(traceback.format_exception(caught.value)) + caught.value.remedy


def test_no_key_stands_in_a_field(case: Case):
    key = case.right.key or case.right.secret
    assert key.reveal() not in str(signed(case)) + repr(case.signer)
