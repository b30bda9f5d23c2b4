"""What identity rests on is opened once, and what becomes of keys is counted and told."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.errors import Refusal
from gateway.identities import Identities, Revoked
from gateway.metrics import Metrics
from gateway.proof import Proof
from gateway.secret import Secret
from gateway.trust import Trust, teller
from tests.journeys.token_clients import Key


async def test_what_becomes_of_fetches_is_counted_and_only_changes_are_told(tmp_path: Path):
    metrics, lines = Metrics(), []
    told = teller(metrics.tokens, lines.append)
    for result, line in (("failed", "down"), ("failed", ""), ("ok", "up again")):
        told("ci", result, line)
    text = metrics.text().decode()
    assert lines == ["down", "up again"]
    assert 'portreeve_key_fetches_total{issuer="ci",result="failed"} 2.0' in text and 'result="ok"} 1.0' in text


async def test_what_one_process_revokes_enrols_or_uses_up_another_knows(tmp_path: Path):
    one, other = (Trust.open(tmp_path, lambda *_: None, shared=True) for _ in range(2))
    for trust in (one, other):
        await trust.begin(Identities({}, {}, Revoked(), "sha256:0"))
    try:
        key = Key("")
        text = key.proof("GET", "https://gw.example.com/x", "token")
        assert await one.proofs.check(Proof(Secret(text), "GET", "https://gw.example.com/x"), b"token") == key.thumbprint
        with pytest.raises(Refusal, match="used before"):
            await other.proofs.check(Proof(Secret(text), "GET", "https://gw.example.com/x"), b"token")
        await one.revocations.revoke("a-token", 2**33)
        await one.enrolments.enrol(one.enrolments.new_code("bot"), key.jwk | {"kid": key.thumbprint})
        async with asyncio.timeout(10):
            while not (other.revocations.is_revoked("a-token") and other.enrolments.keys("bot")):
                await asyncio.sleep(0.01)
    finally:
        await one.close()
        await other.close()


async def test_it_is_opened_and_closed_without_leavings(tmp_path: Path):
    for _ in range(2):
        trust = Trust.open(tmp_path, lambda *_: None)
        assert await trust.once.take("a", 9e9) is (_ == 0)
        await trust.close()
