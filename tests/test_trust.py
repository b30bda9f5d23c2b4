"""What identity rests on is opened once, and what becomes of keys is counted and told."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from gateway.errors import Refusal
from gateway.identities import Identities, Revoked
from gateway.metrics import Metrics
from gateway.proof import Proof
from gateway.secret import Secret
from gateway.trust import Trust, services, teller
from tests.journeys.token_clients import Key


async def test_what_becomes_of_fetches_is_counted_and_only_changes_are_told(tmp_path: Path):
    metrics, lines = Metrics(), []
    told = teller(metrics.tokens, lines.append)
    for result, line in (("failed", "down"), ("failed", ""), ("ok", "up again")):
        told("ci", result, line)
    text = metrics.text().decode()
    assert lines == ["down", "up again"]
    assert 'portreeve_key_fetches_total{issuer="ci",result="failed"} 2.0' in text and 'result="ok"} 1.0' in text


async def test_sources_of_credentials_have_the_gateways_clock_and_are_counted_and_told(tmp_path: Path):
    metrics, lines = Metrics(), []
    trust = Trust.open(tmp_path, lambda *_: None, now=lambda: 1_795_238_630.0)
    given = services(trust, metrics.tokens, lines.append)
    given.told("crm", "failed", "down")
    given.given_back("crm", "ok", "")
    await trust.close()
    text = metrics.text().decode()
    assert (given.now(), lines) == (1_795_238_630.0, ["down"])
    assert 'portreeve_credential_fetches_total{credential="crm",result="failed"} 1.0' in text
    assert 'portreeve_credential_revocations_total{credential="crm",result="ok"} 1.0' in text


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


async def test_what_breaks_the_following_stops_nothing_but_itself(tmp_path: Path):
    """A halt of another process must be learnt whatever went wrong before: here, what hears of changes failed once."""
    trust, other = (Trust.open(tmp_path, lambda *_: None, shared=True) for _ in range(2))
    heard: list[str] = []

    def changed() -> None:
        heard.append(trust.halts.board.trouble)
        if len(heard) == 1:
            raise RuntimeError

    try:
        await trust.begin(Identities({}, {}, Revoked(), "sha256:0"))
        trust.changed = changed
        other.halts.end_tokens("agent one")
        async with asyncio.timeout(10):
            while not heard:
                await asyncio.sleep(0.01)
            other.halts.halt("agent", "bot", "a test", "uid:0")
            while ("agent", "bot") not in trust.halts.board.halts:
                await asyncio.sleep(0.01)
        assert trust.halts.board.trouble == ""
    finally:
        await trust.close()
        await other.close()


async def test_who_is_cancelled_while_learning_takes_the_news_from_nobody(tmp_path: Path):
    trust, other = (Trust.open(tmp_path, lambda *_: None, shared=True) for _ in range(2))
    await trust.look(closely=True)
    database, go_on = trust._databases[0], threading.Event()
    other.halts.halt("agent", "bot", "a test", "uid:0")
    version = database._version
    looking = asyncio.create_task(trust.look())
    await asyncio.sleep(0)  # it has asked whether anything changed
    blocked = asyncio.create_task(database.run(lambda _: go_on.wait()))
    try:
        async with asyncio.timeout(10):
            while database._version == version:
                await asyncio.sleep(0.001)
        looking.cancel()
        go_on.set()
        await asyncio.wait([looking, blocked])
        await trust.look()
        assert ("agent", "bot") in trust.halts.board.halts
    finally:
        go_on.set()
        await trust.close()
        await other.close()


async def test_a_state_that_cannot_be_understood_stops_everything_until_it_can(tmp_path: Path):
    trust, other = (Trust.open(tmp_path, lambda *_: None, shared=True) for _ in range(2))
    try:
        await trust.look(closely=True)
        await other._databases[0].run(lambda connection: connection.execute("insert into enrolled_key values ('x', 'bot', x'7b7d', 0)"))
        await trust.look()
        with pytest.raises(Refusal) as caught:
            trust.halts.board.check_readable()
        assert caught.value.code == "state_unavailable"
        await other._databases[0].run(lambda connection: connection.execute("delete from enrolled_key"))
        await trust.look()
        trust.halts.board.check_readable()
    finally:
        await trust.close()
        await other.close()
