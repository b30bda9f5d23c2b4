"""The token in hand: one request for many callers, renewed at 80 %, and a service that is down harms nobody who holds a good token."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.client.key import AgentKey
from gateway.client.service import TokenService
from gateway.client.sources import Enrolled, Given, TokenFile
from gateway.client.tokens import AGAIN_S, Tokens
from gateway.errors import Problem
from gateway.secret import Secret
from tests.client.gate import URL, Gate

KEY = AgentKey(AgentKey.make().private, "k1", "bot", URL)


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def tokens(gate: Gate, clock: Clock | None = None, **options) -> Tokens:
    return Tokens(Enrolled(KEY), TokenService(URL, URL, gate.transport), now=clock or Clock(), **options)


def test_a_token_is_renewed_at_eighty_percent_of_its_life():
    gate, clock = Gate(life_s=100), Clock()
    held = tokens(gate, clock)
    assert held.get().token == Secret("token-1")
    clock.now_s += 79.9
    assert held.get().token == Secret("token-1")
    clock.now_s += 0.2
    assert held.get().token == Secret("token-2")


def test_two_hundred_threads_that_start_cold_make_one_request():
    gate = Gate(slow_s=0.2)
    held = tokens(gate)
    with ThreadPoolExecutor(200) as pool:
        found = list(pool.map(lambda _: held.get().token.reveal(), range(200)))
    assert set(found) == {"token-1"} and len(gate.asked) == 1


def test_callers_that_waited_for_a_failure_share_it():
    gate = Gate(slow_s=0.5, down=True)
    held = tokens(gate)

    def attempt(_: int) -> str:
        with pytest.raises(Problem) as caught:
            held.get()
        return caught.value.code

    with ThreadPoolExecutor(20) as pool:
        assert set(pool.map(attempt, range(20))) == {"temporarily_unavailable"}
    assert len(gate.asked) < 20


def test_while_the_service_is_down_the_old_token_serves_until_it_ends():
    gate, clock = Gate(life_s=100), Clock()
    held = tokens(gate, clock)
    held.get()
    gate.down = True
    clock.now_s += 85
    assert [held.get().token.reveal() for _ in range(3)] == ["token-1"] * 3
    assert len(gate.asked) == 2, "it is not asked for each call"
    clock.now_s += AGAIN_S + 0.1
    assert held.get().token == Secret("token-1") and len(gate.asked) == 3
    clock.now_s += 20
    with pytest.raises(Problem):
        held.get()
    gate.down = False
    assert held.get().token == Secret("token-5")


def test_many_that_were_refused_with_one_token_get_the_same_new_one():
    gate = Gate()
    held = tokens(gate)
    old = held.get()
    with ThreadPoolExecutor(20) as pool:
        found = {other.token.reveal() for other in pool.map(lambda _: held.after(old), range(20)) if other}
    assert found == {"token-2"} and len(gate.asked) == 2


def test_a_token_that_was_given_has_no_other(tmp_path: Path):
    gate = Gate()
    given = Tokens(Given(Secret("mine")), TokenService(URL, URL, gate.transport))
    assert given.after(given.get()) is None
    given.revoke()
    (tmp_path / "token").write_text("one")
    file = Tokens(TokenFile(tmp_path / "token"), TokenService(URL, URL, gate.transport))
    old = file.get()
    (tmp_path / "token").write_text("another")
    other = file.after(old)
    assert other is not None and other.token == Secret("another")
    file.revoke()
    assert (gate.asked, gate.revoked) == ([], []), "who made a token ends it"


def test_a_token_that_was_asked_for_here_can_be_ended():
    gate = Gate()
    held = tokens(gate)
    held.get()
    held.revoke()
    assert gate.revoked == ["token-1"] and held.get().token == Secret("token-2")


def test_a_token_of_somebody_else_cannot_be_bound_to_a_key_of_ours():
    with pytest.raises(Problem) as caught:
        Tokens(Given(Secret("mine")), TokenService(URL, URL), key=AgentKey.make())
    assert caught.value.code == "dpop_needs_service"


def test_the_scope_is_asked_for():
    gate = Gate()
    tokens(gate, scope="tickets:read").get()
    assert gate.asked[0]["scope"] == "tickets:read" and gate.asked[0]["grant_type"] == "client_credentials"


def test_a_token_that_somebody_asked_for_with_a_key_of_ours_goes_with_its_proofs():
    held = Tokens(Given(Secret("mine")), TokenService(URL, URL), key=AgentKey.make(), are_bound=True).get()
    assert (held.token, held.bound) == (Secret("mine"), True)
