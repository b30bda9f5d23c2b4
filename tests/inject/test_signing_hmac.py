"""HMAC signatures: the published examples of three schemes, and what a signature must not be good for."""

from __future__ import annotations

import base64
import hashlib
import hmac
import tomllib
import traceback
from dataclasses import replace

import pytest

from gateway.config.sources import HmacSettings
from gateway.inject.signing import Unsigned
from gateway.inject.signing_hmac import HmacSigner
from gateway.inject.source import Fetched, Unreadable
from gateway.secret import Secret
from tests.simulators.signed import API

KEY = "CANARY-signing-key-0123456789"
POST = Unsigned("POST", "https", "api.example", "/v1/orders", "dry=1", (("host", "api.example"), ("content-type", "application/json")), b'{"n":1}')


def sign(settings: HmacSettings, request: Unsigned = POST, key: str = KEY, now_s: float = 1_531_420_618.9, nonce: str = "n") -> dict[str, str]:
    signed = HmacSigner(settings, lambda: nonce).sign(request, Fetched(Secret(key)), now_s)
    return {name: value.reveal() if isinstance(value, Secret) else value for name, value in signed}


def api(**more: object) -> HmacSettings:
    return HmacSettings(**{**tomllib.loads(API), **more})


def test_slacks_own_example():
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA"
        b"&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554"
        b"%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    settings = HmacSettings("v0:{timestamp}:{body}", {"X-Slack-Signature": "v0={signature}", "X-Slack-Request-Timestamp": "{timestamp}"})
    assert sign(settings, replace(POST, body=body), "8f742231b10e8888abcd99yyyzzz85a5") == {
        "x-slack-signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
        "x-slack-request-timestamp": "1531420618",
    }


def test_githubs_own_example():
    settings = HmacSettings("{body}", {"X-Hub-Signature-256": "sha256={signature}"})
    signed = sign(settings, replace(POST, body=b"Hello, World!"), "It's a Secret to Everybody")
    assert signed == {"x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}


def test_the_example_of_standard_webhooks():
    headers = {"webhook-id": "{nonce}", "webhook-timestamp": "{timestamp}", "webhook-signature": "v1,{signature}"}
    settings = HmacSettings("{nonce}.{timestamp}.{body}", headers, encoding="base64", key="base64")
    request = replace(POST, body=b'{"event_type":"ping","data":{"success":true}}')
    signed = sign(settings, request, "plJ3nmyCDGBKInavdOK15jsl", 1_731_705_121, "msg_loFOjxBNrRLzqYUf")
    assert signed["webhook-signature"] == "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0="
    assert (signed["webhook-id"], signed["webhook-timestamp"]) == ("msg_loFOjxBNrRLzqYUf", "1731705121")


def test_stripes_form_has_time_and_signature_in_one_header():
    settings = HmacSettings("{timestamp}.{body}", {"Stripe-Signature": "t={timestamp},v1={signature}"})
    right = hmac.new(KEY.encode(), b'1531420618.{"n":1}', hashlib.sha256).hexdigest()
    assert sign(settings) == {"stripe-signature": f"t=1531420618,v1={right}"}


def test_every_part_of_a_string_is_what_goes_up():
    names = [
        "method",
        "scheme",
        "host",
        "path",
        "query",
        "target",
        "content_type",
        "timestamp",
        "nonce",
        "key_id",
        "body",
        "body_sha256",
        "body_sha256_base64",
    ]
    settings = HmacSettings("|".join(f"{{{name}}}" for name in names), {"x-s": "{signature}", "x-h": "sha-256=:{body_sha256_base64}:"}, key_id="k1")
    digest = hashlib.sha256(b'{"n":1}')
    coded = base64.b64encode(digest.digest()).decode()
    text = f'POST|https|api.example|/v1/orders|dry=1|/v1/orders?dry=1|application/json|1531420618|n|k1|{{"n":1}}|{digest.hexdigest()}|{coded}'
    assert sign(settings) == {"x-s": hmac.new(KEY.encode(), text.encode(), "sha256").hexdigest(), "x-h": f"sha-256=:{coded}:"}


@pytest.mark.parametrize(
    "other",
    [
        {"method": "PUT"},
        {"path": "/v1/orders/2"},
        {"query": "dry=0"},
        {"query": ""},
        {"authority": "api.example:8443"},
        {"body": b'{"n":2}'},
        {"body": b""},
    ],
)
def test_a_signature_is_good_for_one_request_alone(other):
    assert sign(api())["authorization"] != sign(api(), replace(POST, **other))["authorization"]


def test_a_signature_is_good_for_one_time_and_one_nonce_alone():
    assert len({sign(api(), **more)["authorization"] for more in ({}, {"now_s": 1_531_420_619.0}, {"nonce": "m"}, {"key": "another"})}) == 4


def test_a_nonce_is_never_the_same():
    signer = HmacSigner(api())
    values = {dict(signer.sign(POST, Fetched(Secret(KEY)), 1.0))["x-nonce"].reveal() for _ in range(50)}
    assert len(values) == 50 and all(len(value) == 32 for value in values)


@pytest.mark.parametrize(
    ("form", "written"),
    [("seconds", "1531420618"), ("milliseconds", "1531420618900"), ("iso8601", "2018-07-12T18:36:58Z"), ("http", "Thu, 12 Jul 2018 18:36:58 GMT")],
)
def test_a_timestamp_is_written_as_the_service_reads_it(form, written):
    assert sign(api(timestamp=form))["x-time"] == written


@pytest.mark.parametrize(("form", "key"), [("hex", KEY.encode().hex()), ("base64", base64.b64encode(KEY.encode()).decode())])
def test_a_key_may_be_written_as_hex_or_base64(form, key):
    assert sign(api(key=form), key=key) == sign(api())


@pytest.mark.parametrize(
    ("form", "key"), [("hex", "CANARY"), ("hex", "   "), ("hex", "abc"), ("base64", "CANARY!"), ("base64", "CANARYx"), ("base64", "é")]
)
def test_what_is_no_key_signs_nothing_and_is_not_shown(form, key):
    signer = HmacSigner(api(key=form))
    for use in (lambda: signer.check(Fetched(Secret(key))), lambda: signer.sign(POST, Fetched(Secret(key)), 1.0)):
        with pytest.raises(Unreadable, match=f"not {form}") as caught:
            use()
        assert "CANARY" not in "".join(traceback.format_exception(caught.value)) + caught.value.remedy


def test_a_body_whose_bytes_are_not_known_yet_is_never_signed():
    for settings in (api(), HmacSettings("{timestamp}{method}{target}", {"x-s": "{signature}", "x-t": "{timestamp}"})):
        with pytest.raises(Unreadable, match="streams"):
            sign(settings, replace(POST, body=None))


def test_a_body_that_the_string_leaves_out_is_never_sent():
    settings = HmacSettings("{timestamp}{method}{target}", {"x-s": "{signature}", "x-t": "{timestamp}"})
    with pytest.raises(Unreadable, match="would not cover"):
        sign(settings)
    assert sign(settings, replace(POST, body=b""))["x-s"]


def test_nothing_prints_a_signature_or_the_key():
    signer = HmacSigner(api())
    signed = signer.sign(POST, Fetched(Secret(KEY)), 1.0)
    assert "HMAC" not in repr(signed) and KEY not in repr(signer) + str(vars(signer))
    assert not any(KEY in value.reveal() for _, value in signed)
