"""One call on its way to its upstream: its attempts, and what it owes to breaker and bulkhead."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

from gateway.call import Answer, Grant
from gateway.config.model import ToolSettings
from gateway.errors import Attempt, OutcomeStatus, Refusal
from gateway.forward.answer import Ending, Sieve
from gateway.forward.breaker import Breaker, Vote
from gateway.forward.bulkhead import Bulkhead
from gateway.forward.certified import Certified
from gateway.forward.exchange import Failed, Incoming, Outgoing, Transport
from gateway.forward.pool import Origin
from gateway.forward.retry import RETRY_STATUSES, Budget, Plan, Tried, may_repeat
from gateway.leave import Leave

_CODES = {
    "unreachable": "upstream_unreachable",
    "timeout": "upstream_timeout",
    "broken": "upstream_broken",
    "invalid": "upstream_invalid",
    "overloaded": "overloaded",
}
_FAILING = frozenset({502, 503, 504})

Sleep = Callable[[float], Awaitable[None]]


class Upstream(Protocol):
    """What a call needs of its tool's upstream."""

    tool: ToolSettings
    origin: Origin
    transport: Transport
    certified: Certified
    breaker: Breaker
    bulkhead: Bulkhead
    budget: Budget
    sieve: Sieve


class Forwarding:
    """Takes one grant to its answer. `deadline_s` is on the event loop's clock. Used once."""

    __slots__ = ("_attempts", "_deadline_s", "_grant", "_leave", "_loop", "_outgoing", "_ticket", "_upstream")

    def __init__(self, upstream: Upstream, grant: Grant, outgoing: Outgoing, deadline_s: float, leave: Leave) -> None:
        self._upstream = upstream
        self._grant = grant
        self._outgoing = outgoing
        self._deadline_s = deadline_s
        self._leave = leave
        self._loop = asyncio.get_running_loop()
        self._attempts: list[Attempt] = []
        self._ticket = 0

    async def run(self, sleep: Sleep) -> Answer:
        """Raises Refusal with the attempts made and the outcome."""
        self._upstream.budget.deposit()
        try:
            async with asyncio.timeout_at(self._deadline_s) as scope:
                self._leave.stopped_by(partial(_expire, scope))
                tried = await self._attempt()
                if (isinstance(tried, Failed) or tried.status in RETRY_STATUSES) and self._may_repeat(tried):
                    tried = await self._plan().again(tried, self._another, sleep)
        except TimeoutError:
            if self._leave.is_taken:
                raise self._stopped() from None
            raise self._refusal(Failed("timeout", "the call's deadline passed", sent=self._outgoing.sent)) from None
        except Refusal as refusal:  # of the breaker, the bulkhead, the request's body or the leave
            if self._leave.is_taken:
                raise self._stopped() from None
            refusal.attempts = tuple(self._attempts)
            if self._outgoing.sent:
                refusal.outcome = self._outcome("error")
            raise
        finally:
            self._leave.stopped_by(None)
        if isinstance(tried, Failed):
            raise self._refusal(tried) from None
        return await self._answer(tried)

    async def _another(self, last: Tried) -> Tried:
        """A further attempt; the last result stands when breaker or bulkhead let none through."""
        try:
            return await self._attempt()
        except Refusal as refusal:
            if refusal.code not in ("circuit_open", "overloaded"):
                raise
            return last

    async def _attempt(self) -> Tried:
        """Send it once. The breaker gets its vote and the bulkhead its place back, whatever happens; a stream keeps its place."""
        breaker, bulkhead, began_s = self._upstream.breaker, self._upstream.bulkhead, self._loop.time()
        agent, slow = self._grant.permit.identity.agent, self._outgoing.expects_stream
        ticket = self._ticket = breaker.enter(began_s, slow=slow)
        vote: Vote | None = None
        held, result = False, ""
        try:
            if not bulkhead.try_acquire(agent):
                await bulkhead.acquire(agent)
            held = True
            incoming = await self._send()
            vote, result = "failure" if incoming.status in _FAILING else "success", str(incoming.status)
            if not isinstance(incoming.body, bytes):
                held = False  # the stream's end gives the place back
        except Failed as failed:
            blameless = failed.kind == "overloaded" or (failed.kind == "timeout" and not failed.sent)
            vote, result = None if blameless else "failure", failed.kind
            return failed
        except asyncio.CancelledError:
            if held and self._outgoing.body_sent and self._loop.time() >= self._deadline_s:
                vote, result = "failure", "timeout"  # otherwise the client left, or was too slow itself: that is no vote
            raise
        finally:
            now_s = self._loop.time()
            if result:
                self._attempts.append(Attempt(self._upstream.origin.authority, result, round((now_s - began_s) * 1000)))
            breaker.leave(ticket, vote, now_s, slow=slow)
            if held:
                bulkhead.release(agent)
        return incoming

    async def _send(self) -> Incoming:
        """One exchange; once more at once when a kept connection had been closed by its peer, which says nothing about its health."""
        outgoing, certificate = self._outgoing, self._grant.certificate
        transport = self._upstream.transport if certificate is None else await self._upstream.certified.of(certificate)
        self._leave.check()
        if self._loop.time() >= self._deadline_s:
            raise Failed("timeout", "the deadline passed before it was sent", sent=False)
        try:
            return await transport.send(outgoing)
        except Failed as failed:
            if not failed.stale or outgoing.body_started or (failed.sent and not outgoing.repeatable):
                raise
        self._leave.check()
        return await transport.send(outgoing)

    def _may_repeat(self, tried: Tried) -> bool:
        return may_repeat(tried, self._outgoing, body_bytes_max=self._upstream.tool.retry_body_bytes_max)

    def _plan(self) -> Plan:
        return Plan(
            self._upstream.tool.retries_max,
            self._may_repeat,
            left_s=lambda: self._deadline_s - self._loop.time(),
            pay=lambda: self._upstream.budget.withdraw(self._loop.time()),
        )

    async def _answer(self, incoming: Incoming) -> Answer:
        bulkhead, agent = self._upstream.bulkhead, self._grant.permit.identity.agent
        try:
            ending = Ending(over=partial(bulkhead.release, agent), broke=self._broke, refusal=self._refusal)
            return self._upstream.sieve.answer(incoming, self._grant, tuple(self._attempts), ending)
        except Failed as failed:
            if not isinstance(incoming.body, bytes):
                bulkhead.release(agent)
                await incoming.body.aclose()
            raise self._refusal(failed) from None

    def _broke(self) -> None:
        self._upstream.breaker.break_later(self._ticket, self._loop.time())

    def _refusal(self, failed: Failed) -> Refusal:
        """Say a failure in the words of the refusal table, with what is known of the upstream."""
        sent = failed.sent or self._outgoing.sent
        kind = "broken" if failed.kind == "unreachable" and sent else failed.kind  # an earlier attempt may have acted
        return Refusal(
            _CODES[kind],
            reason=failed.reason,
            retry_after_s=1 if kind == "overloaded" else None,
            outcome=self._outcome("timeout" if kind == "timeout" else "error") if sent else "refused",
            attempts=tuple(self._attempts),
        )

    def _stopped(self) -> Refusal:
        """The leave was taken back. What was sent before that may have been done."""
        refusal = self._leave.refusal()
        refusal.attempts = tuple(self._attempts)
        refusal.outcome = self._outcome("cancelled") if self._outgoing.sent else "refused"
        return refusal

    def _outcome(self, of_read: OutcomeStatus) -> OutcomeStatus:
        """What became of a request that was sent: of a read we know all that matters, of a write nothing."""
        return of_read if self._grant.permit.invocation.operation.effect == "read" else "unknown"


def _expire(scope: asyncio.Timeout) -> None:
    """End the scope now, unless it has ended already."""
    if not scope.expired():
        scope.reschedule(0)
