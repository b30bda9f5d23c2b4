"""What the demo plays, in order. Each scene makes real calls and says of every answer whether it is the one that was expected."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.cli.demo.agents import Agents, Answer
from gateway.cli.demo.records import call_record, result_record
from gateway.cli.demo.show import Line
from gateway.cli.demo.stage import Stage

SUPPORT, INTERN, SECURITY = "support-bot", "intern-bot", "security"
BREAKER_CALLS_MAX = 8
RELOAD_S_MAX = 8.0

FREEZE = """
// Written by the demo while the gateway was running.
@id("refunds-frozen")
@owner("security")
@message("Refunds for this ticket are frozen while fraud is looked into.")
forbid (principal, action == Action::"tickets/create_refund", resource)
when { context.input.ticket_id == "T-1002" };
"""
LIMIT, FAR_TOO_MUCH = 'decimal("50.00")', 'decimal("5000.00")'


class Play:
    """What every scene needs: the stage, the agents, and the records of the log."""

    def __init__(self, stage: Stage, agents: Agents) -> None:
        self.stage, self.agents = stage, agents
        self.log_folder = stage.deployment / "var" / "log"
        self.refused_refund = 0
        """The number of the decision that the log scenes explain."""

    def allowed(self, who: str, tried: str, answer: Answer, status: int, said: str) -> Line:
        """An answer that should have come from the upstream; why: the policies that permitted it."""
        differed = "" if answer.status == status and not answer.code else f"{answer.status} {answer.code} {answer.detail}, not {status}"
        why = "" if answer.n is None else "policy " + ", ".join(call_record(self.log_folder, answer.n)["authz"]["reasons"])
        return Line(who, tried, f"{answer.status} {said}" if not differed else str(answer.status), why, "allowed", differed)

    def refused(self, who: str, tried: str, answer: Answer, status: int, code: str) -> Line:
        """An answer that should be the gateway's refusal; why: what it tells the agent."""
        as_expected = (answer.status, answer.code) == (status, code)
        return Line(
            who,
            tried,
            f"{answer.status} {answer.code}",
            answer.detail or answer.body[:120].decode("utf-8", "replace"),
            "refused",
            "" if as_expected else f"{answer.status} {answer.code}, not {status} {code}",
        )


Scene = Callable[[Play], AsyncGenerator[Line, None]]
"""Yields its lines as they happen."""


async def without_the_gateway(play: Play) -> AsyncGenerator[Line, None]:
    answer = await play.agents.straight("tickets")
    differed = "" if answer.status == 401 else f"{answer.status}, not 401"
    yield Line(
        SUPPORT, "GET /tickets, straight to the service", str(answer.status), "the service wants its API key; no agent has it", "refused", differed
    )


async def what_an_agent_may(play: Play) -> AsyncGenerator[Line, None]:
    token = play.agents.token(SUPPORT)
    answer = await play.agents.call(token, "GET", "tickets/tickets?status=open")
    count = len(answer.json()["tickets"]) if answer.status == 200 else 0
    yield play.allowed(SUPPORT, "GET /tickets?status=open", answer, 200, f"{count} tickets")
    answer = await play.agents.call(token, "POST", "tickets/tickets/T-1001/comments", {"text": "We are looking into it."})
    yield play.allowed(SUPPORT, "POST /tickets/T-1001/comments", answer, 201, "comment added")


async def what_the_arguments_decide(play: Play) -> AsyncGenerator[Line, None]:
    token = play.agents.token(SUPPORT)
    before = await play.agents.seen()
    answer = await play.agents.call(token, "POST", "tickets/refunds", refund(900))
    play.refused_refund = answer.n or 0
    line = play.refused(SUPPORT, "POST /refunds, amount 900", answer, 403, "denied")
    yield nothing_arrived(line, await play.agents.seen() - before)
    answer = await play.agents.call(token, "POST", "tickets/refunds", refund(30))
    yield play.allowed(SUPPORT, "POST /refunds, amount 30", answer, 201, "refund made")
    answer = await play.agents.call(play.agents.token(INTERN), "POST", "tickets/refunds", refund(30))
    yield play.refused(INTERN, "POST /refunds, amount 30", answer, 403, "denied")


async def who_is_not_believed(play: Play) -> AsyncGenerator[Line, None]:
    agents = play.agents
    answer = await agents.call(agents.token(SUPPORT, age_s=7_200), "GET", "tickets/tickets")
    yield play.refused(SUPPORT, "GET /tickets, token expired", answer, 401, "invalid_token")
    answer = await agents.call(agents.forged(INTERN, SUPPORT), "GET", "tickets/tickets")
    yield play.refused(INTERN, f"GET /tickets, own token edited to say {SUPPORT}", answer, 401, "invalid_token")


async def what_cannot_be_smuggled(play: Play) -> AsyncGenerator[Line, None]:
    token = play.agents.token(SUPPORT)
    before = await play.agents.seen()
    answer = await play.agents.raw(token, "GET", "tickets/tickets/..%2fexport")
    yield play.refused(SUPPORT, "GET /tickets/..%2fexport", answer, 400, "path_refused")
    body = b'{"ticket_id":"T-1001","amount":30,"amount":900,"currency":"EUR","reason":"twice"}'
    answer = await play.agents.raw(token, "POST", "tickets/refunds", body)
    line = play.refused(SUPPORT, "POST /refunds, amount 30 and amount 900 in one body", answer, 400, "malformed_json")
    yield nothing_arrived(line, await play.agents.seen() - before)


async def when_the_service_is_in_trouble(play: Play) -> AsyncGenerator[Line, None]:
    token = play.agents.token(SUPPORT)
    answer = await play.agents.call(token, "GET", "flaky/tickets")
    line = play.allowed(SUPPORT, "GET /tickets of a service that fails twice", answer, 200, "at the third try")
    yield with_tries(line, play.log_folder, answer.n)
    answer = await play.agents.call(token, "GET", "dead/tickets")
    yield play.refused(SUPPORT, "GET /tickets of a dead service", answer, 502, "upstream_unreachable")
    calls = 1
    while calls < BREAKER_CALLS_MAX and answer.code == "upstream_unreachable":
        answer = await play.agents.call(token, "GET", "dead/tickets")
        calls += 1
    yield play.refused(SUPPORT, f"the same again, call {calls}", answer, 503, "circuit_open")


async def when_the_rules_change(play: Play) -> AsyncGenerator[Line, None]:
    token, folder = play.agents.token(SUPPORT), play.stage.deployment / "policies"
    answer = await play.agents.call(token, "POST", "tickets/refunds", refund(30, "T-1002"))
    yield play.allowed(SUPPORT, "POST /refunds for T-1002", answer, 201, "refund made")
    before = (await play.agents.readiness())["state"]["policies"]
    file = folder / "30-refunds.cedar"
    text = file.read_text()
    save(file, text + FREEZE)
    waited, _ = await until(play.agents, lambda state: state["state"]["policies"] != before)
    yield Line(
        SECURITY, f"adds a forbid to {file.name}", f"live in {waited:.1f} s", "a saved file is checked, then in force", "found", too_long(waited)
    )
    answer = await play.agents.call(token, "POST", "tickets/refunds", refund(30, "T-1002"))
    yield play.refused(SUPPORT, "POST /refunds for T-1002 again", answer, 403, "denied")
    save(file, text.replace(LIMIT, FAR_TOO_MUCH))
    waited, state = await until(play.agents, lambda state: bool(state["reload"]["failing"]))
    why = f"it breaks {len(state['reload']['problems'])} of the team's own cases; the last good rules stay in force"
    yield Line(SECURITY, f"saves {file.name} with a limit of 5000.00", f"not loaded, {waited:.1f} s", why, "refused", too_long(waited))
    answer = await play.agents.call(token, "POST", "tickets/refunds", refund(900))
    yield play.refused(SUPPORT, "POST /refunds, amount 900 again", answer, 403, "denied")
    save(file, text + FREEZE)


def refund(amount: int, ticket_id: str = "T-1001") -> dict[str, object]:
    return {"ticket_id": ticket_id, "amount": amount, "currency": "EUR", "reason": "charged twice"}


def save(file: Path, text: str) -> None:
    """Write a file the way an editor saves: the whole new text at once."""
    draft = file.with_name(f".{file.name}.draft")
    draft.write_text(text)
    draft.replace(file)


async def until(agents: Agents, reached: Callable[[dict[str, Any]], bool]) -> tuple[float, dict[str, Any]]:
    """Seconds until the gateway says so of itself, and what it says then; RELOAD_S_MAX when it never does."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while True:
        state = await agents.readiness()
        waited = loop.time() - began
        if reached(state) or waited > RELOAD_S_MAX:
            return min(waited, RELOAD_S_MAX), state
        await asyncio.sleep(0.02)


def too_long(waited: float) -> str:
    return "" if waited < RELOAD_S_MAX else f"nothing changed within {RELOAD_S_MAX:.0f} s"


def nothing_arrived(line: Line, arrived: int) -> Line:
    """The same line, but not as expected when a refused call reached the upstream."""
    if not arrived:
        return line
    return replace(line, differed=f"{line.differed}; {arrived} calls reached the service".lstrip("; "))


def with_tries(line: Line, log_folder: Path, n: int | None) -> Line:
    """The same line with the tries that the log holds as its reason."""
    tries = [] if n is None else result_record(log_folder, n)["tries"]
    differed = line.differed or ("" if len(tries) == 3 else f"{len(tries)} tries in the log, not 3")
    why = "a read may be repeated: " + ", ".join(f"{one['s']} in {one['ms']} ms" for one in tries)
    return replace(line, why=why, differed=differed)


SCENES: list[tuple[str, Scene]] = [
    ("Without the gateway", without_the_gateway),
    ("What an agent may do", what_an_agent_may),
    ("What the arguments decide", what_the_arguments_decide),
    ("Who is not believed", who_is_not_believed),
    ("What cannot be smuggled", what_cannot_be_smuggled),
    ("When a service is in trouble", when_the_service_is_in_trouble),
    ("When the rules change", when_the_rules_change),
]
