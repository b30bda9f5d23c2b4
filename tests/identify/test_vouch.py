"""What the gateway says to other services under its own signature."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace

import jwt
import pytest

from gateway.errors import Refusal
from gateway.identify import SigningKeys, Verifier
from gateway.identify.vouch import LIFE_S, Voucher
from gateway.identities import load_identities
from tests.journeys.place import write_place

URL = "http://gateway.test"


def speaking(keys: SigningKeys) -> Voucher:
    voucher = Voucher()
    voucher.sign_with(lambda: (keys, URL))
    return voucher


async def test_a_statement_names_one_audience_and_ends_within_a_minute(tmp_path):
    keys = SigningKeys.open(tmp_path / "keys")
    said = await speaking(keys)("user:anna", "https://idp.example/token", {"act": {"sub": "agent:a"}})
    claims = jwt.decode(said.reveal(), keys.public[keys.kid].key, algorithms=["ES256"], audience="https://idp.example/token", issuer=URL)
    assert (claims["sub"], claims["act"], claims["exp"] - claims["iat"]) == ("user:anna", {"sub": "agent:a"}, LIFE_S)
    assert abs(claims["iat"] - time.time()) < 60 and LIFE_S <= 60
    assert jwt.get_unverified_header(said.reveal()) == {"typ": "JWT", "alg": "ES256", "kid": keys.kid}


async def test_what_else_is_said_changes_none_of_what_the_gateway_says_of_itself(tmp_path):
    keys = SigningKeys.open(tmp_path / "keys")
    said = await speaking(keys)("a", "b", {"iss": "x", "sub": "x", "aud": "x", "exp": 10**12, "iat": 0, "jti": "x"})
    claims = jwt.decode(said.reveal(), keys.public[keys.kid].key, algorithms=["ES256"], audience="b")
    assert (claims["iss"], claims["sub"], claims["jti"] != "x") == (URL, "a", True)


async def test_a_statement_is_never_a_token_of_a_tool_call_even_with_its_audience_and_claims(tmp_path):
    write_place(tmp_path, 1)
    keys = SigningKeys.open(tmp_path / "keys")
    verifier = Verifier(load_identities(tmp_path / "identities"), keys, issuer=URL, audience=URL + "/tools")
    said = await speaking(keys)("agent:writer", URL + "/tools", {"client_id": "writer", "gw": {"auth": "local", "epoch": 0}})
    with pytest.raises(Refusal) as caught:
        verifier.verify(said)
    assert caught.value.code == "invalid_token" and "typ" in caught.value.reason


class Hanging:
    """A transit engine that does not answer."""

    is_remote = True

    def __init__(self) -> None:
        self.go_on = threading.Event()

    def sign(self, signed: bytes) -> bytes:
        self.go_on.wait()
        return signed


async def test_a_signer_that_hangs_does_not_take_the_threads_in_which_names_are_looked_up(tmp_path):
    signer = Hanging()
    speak = speaking(replace(SigningKeys.open(tmp_path / "keys"), signer=signer))
    asking = [asyncio.create_task(speak("a", "b", {})) for _ in range(64)]
    await asyncio.sleep(0)
    try:
        async with asyncio.timeout(10):
            assert await asyncio.to_thread(lambda: "looked up") == "looked up"
    finally:
        signer.go_on.set()
        await asyncio.gather(*asking)


async def test_before_there_are_keys_nothing_is_said():
    with pytest.raises(Refusal, match="overloaded"):
        await Voucher()("a", "b", {})
