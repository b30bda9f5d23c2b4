"""The journey of a call: the only place that knows the order of the steps.

identify -> admit and gather facts -> bind to the contract -> authorize -> record -> inject -> forward -> record what came of it.

Rules of this file:
1. Nothing leaves before its `call` record is durable; `forward` takes a Grant, a Grant is made from a Permit, a Permit comes from `decide`.
2. Every identified call leaves a record of its own, unless its client left before it was decided. Refusals without identity, and those of admission, are counted and summarised.
3. Every `call` record that allows gets one `result` record, whatever happens to the client, the upstream or this code.
4. A call sees one state of the deployment from its first step to its last; a reload swaps the state for the calls that follow.
"""

from __future__ import annotations

import asyncio
from time import perf_counter

from gateway.authorize import decide
from gateway.call import (
    Answer,
    Basis,
    ClientGone,
    Facts,
    Identity,
    Invocation,
    Operation,
    Outcome,
    Permit,
    Receipt,
    Refused,
    Reply,
    ToolCall,
)
from gateway.credential import CredentialUse
from gateway.errors import OutcomeStatus, Refusal, place_of
from gateway.forward import Upstreams
from gateway.gather import Gatherer
from gateway.leave import Leave
from gateway.metrics import Metrics
from gateway.record import Log, Redactor
from gateway.record.bodies import call_body, result_body
from gateway.refusals import RefusalSummary
from gateway.renewal import UNAUTHORIZED, again, may_renew
from gateway.shadowing import Shadowing
from gateway.state import State
from gateway.streaming import RecordedStream
from gateway.verdicts import refusal_of


class Pipeline:
    """Serves calls with the state in force. `state` is replaced whole by the owner; nothing else here changes."""

    def __init__(
        self,
        state: State,
        *,
        log: Log,
        redactor: Redactor,
        upstreams: Upstreams,
        metrics: Metrics,
        gatherer: Gatherer,
        summary: RefusalSummary,
    ) -> None:
        self.state = state
        self.log = log
        self.redactor = redactor
        self.upstreams = upstreams
        self.metrics = metrics
        self.gatherer = gatherer
        self.halting = gatherer.halting
        self.summary = summary
        self.shadowing = Shadowing(log, metrics)

    async def handle(self, call: ToolCall) -> Reply | Refused:
        """Take one call through all its steps. Raises nothing but CancelledError, when the door gives the call up."""
        journey = _Journey(self, call)
        try:
            return await self._run(journey)
        except BaseException:  # given up at any await, that of a refusal's record too; or a compiled part that panicked, which is no Exception
            journey.abandoned()
            raise

    async def _run(self, journey: _Journey) -> Reply | Refused:
        try:
            return await journey.run()
        except Refusal as refusal:
            return await journey.refused(refusal)
        except ClientGone:
            journey.abandoned()
            return Refused(Refusal("request_timeout", reason="the client left"), journey.call.id)
        except Exception as error:  # noqa: BLE001 - the one broad except: whatever breaks becomes a refusal with a record
            return await journey.refused(
                Refusal("internal_error", reason=f"{type(error).__name__} at {place_of(error.__traceback__)}", outcome="unknown")
            )

    async def refuse(self, refusal: Refusal, peer: str) -> Refused:
        """Count a refusal of a door: what it could not make a call of."""
        self.metrics.refused(refusal.code)
        self.summary.add(refusal, peer=peer)
        return Refused(refusal, "")


class _Journey:
    """One call under way: what is known of it so far, and what its records still owe."""

    __slots__ = (
        "basis",
        "began",
        "call",
        "credential",
        "facts",
        "identity",
        "invocation",
        "leave",
        "marks",
        "over",
        "pipeline",
        "receipt",
        "sent",
        "state",
        "writing",
    )

    def __init__(self, pipeline: Pipeline, call: ToolCall) -> None:
        self.pipeline = pipeline
        self.state = pipeline.state
        self.call = call
        self.began = perf_counter()
        self.marks: list[float] = []  # when each step ended, in the order of metrics.STEPS
        self.identity: Identity | None = None
        self.facts: Facts | None = None
        self.invocation: Invocation | None = None
        self.basis: Basis | None = None
        self.credential: CredentialUse | None = None
        self.leave: Leave | None = None
        self.writing: asyncio.Future[Receipt] | None = None
        self.receipt: Receipt | None = None
        self.sent = False
        self.over = False

    async def run(self) -> Reply | Refused:
        call, state, pipeline, marks = self.call, self.state, self.pipeline, self.marks
        identity = self.identity = await state.identifier.identify(call.token, call.scheme, call.proof)
        marks.append(perf_counter())
        facts = self.facts = pipeline.gatherer.enter(identity, call.tool)
        marks.append(perf_counter())
        tool = state.catalogue.tool(call.tool)
        if tool is None:
            raise Refusal("unknown_tool", reason=f"no tool {call.tool!r}")
        invocation = self.invocation = await tool.bind(call, body_bytes_max=state.settings.limits.json_body_bytes_max)
        marks.append(perf_counter())
        verdict = decide(state.bundle, invocation, identity, facts)
        self.basis = verdict.basis
        if verdict.basis.shadow:
            pipeline.metrics.shadow_flipped(verdict.basis.shadow)
        marks.append(perf_counter())
        if not isinstance(verdict, Permit):
            return await self.refused(refusal_of(verdict))
        await self._record("")
        marks.append(perf_counter())
        leave = self.leave = pipeline.halting.leave(identity, call.tool)
        deadline = asyncio.get_running_loop().time() + tool.settings.total_timeout_s
        grant = await state.credentials.inject(verdict, tool.settings, deadline)
        self.credential = grant.credential
        marks.append(perf_counter())
        body = call.body if invocation.body is None and call.body.length != 0 else None
        self.sent = True
        answer = await pipeline.upstreams.forward(grant, body=body, deadline=deadline, leave=leave)
        if answer.status == UNAUTHORIZED and may_renew(grant, body):
            renewed = await state.credentials.renewed(grant, tool.settings, deadline)
            if renewed is not None:
                self.credential = renewed.credential
                answer = await again(answer, pipeline.upstreams.forward(renewed, deadline=deadline, leave=leave))
        marks.append(perf_counter())
        return self._reply(answer, leave)

    async def _record(self, code: str) -> Receipt:
        """Make the decision durable. A call given up meanwhile may still be recorded; the log, or `abandoned`, then closes it as not sent."""
        assert self.identity
        assert self.facts
        basis = self.basis
        body = call_body(self.call, self.identity, self.facts, invocation=self.invocation, basis=basis, code=code, state=self.state.digest)
        blobs = (basis.policies, basis.schema, basis.entities) if basis else ()
        payload = await self.pipeline.redactor.apply(body, self.call, self.identity, self._operation, basis)
        self.writing = self.pipeline.log.append("call", body, blobs=blobs, payload=payload)
        try:
            self.receipt = await self.writing
        except Refusal as refusal:
            if refusal.code == "body_too_large":  # the arguments do not fit into one record: the refusal itself still gets one
                self.writing = self.basis = None
            raise
        self.pipeline.shadowing.add(self.state.candidate, basis, self.receipt.n)
        return self.receipt

    @property
    def _operation(self) -> Operation | None:
        """What the call is one of, also where it did not keep to the contract; None where the tool is unknown."""
        if self.invocation is not None:
            return self.invocation.operation
        tool = self.state.catalogue.tool(self.call.tool)
        return None if tool is None else tool.operation_at(self.call.method, self.call.path)

    def _reply(self, answer: Answer, leave: Leave) -> Reply:
        assert self.receipt
        if isinstance(answer.body, bytes):
            self._finish(_status_of(answer), answer, len(answer.body))
            return Reply(answer.status, answer.headers, answer.body, self.receipt)

        def ended(bytes_down: int, refusal: Refusal | None, whole: bool) -> None:  # noqa: FBT001 - the shape of Ended
            status = _status_of(answer) if whole else refusal.outcome if refusal and refusal.outcome != "refused" else self._given_up
            self._finish(status, answer, bytes_down, refusal=refusal, code="" if whole else "client_gone")

        stream = RecordedStream(answer.body, ended)
        leave.stopped_by(lambda: stream.stop(leave.refusal()))
        return Reply(answer.status, answer.headers, stream, self.receipt)

    async def refused(self, refusal: Refusal) -> Refused:
        """End the call with a refusal: by its own record when the caller is known, in the summary when not."""
        self.pipeline.metrics.refused(refusal.code)
        if self.facts is not None and self.writing is None:
            try:
                await self._record(refusal.code)
            except Refusal as broken:  # the log did not take the decision, so nothing left
                refusal = broken
            else:
                self._over("deny" if self.basis else "none", refusal.code)
        if self.receipt is not None:
            self._finish(refusal.outcome, None, 0, refusal=refusal)
        else:
            self.pipeline.summary.add(refusal, call=self.call)
            self._over("none", refusal.code)
        return Refused(refusal, self.call.id, self.receipt)

    def abandoned(self) -> None:
        """The client left before there was an answer. A write that was sent may have been done: that is `unknown`."""
        if self.facts is None or self.over:
            return
        if self.writing is None or self.basis is None or self.basis.verdict != "allow":
            self._over("none", "client_gone")
        elif self.receipt is None:
            self.writing.add_done_callback(self._abandoned_after_write)
        else:
            self._finish(self._given_up, None, 0, code="client_gone")

    @property
    def _given_up(self) -> OutcomeStatus:
        """What is known of a call whose client left: of a write that was sent, nothing."""
        read = self.invocation is not None and self.invocation.operation.effect == "read"
        return "cancelled" if read or not self.sent else "unknown"

    def _abandoned_after_write(self, written: asyncio.Future[Receipt]) -> None:
        if not written.cancelled() and written.exception() is None:
            self.receipt = written.result()
            self._finish("refused", None, 0, code="client_gone")
        else:
            self._over("none", "client_gone")

    def _finish(self, status: OutcomeStatus, answer: Answer | None, bytes_down: int, *, refusal: Refusal | None = None, code: str = "") -> None:
        """Write the one `result` record of an allowed call. It is not waited for: a lost one reads as `unknown` after a crash."""
        if self.over:
            return
        assert self.receipt
        attempts = answer.attempts if answer else refusal.attempts if refusal else ()
        outcome = Outcome(
            status=status,
            http_status=answer.status if answer else None,
            attempts=attempts,
            bytes_down=bytes_down,
            elapsed_ms=round((perf_counter() - self.began) * 1000),
            code=refusal.code if refusal else code,
        )
        written = self.pipeline.log.append("result", result_body(self.call, self.receipt, outcome, self.credential), lazily=True)
        written.add_done_callback(self._result_written)
        self._over("allow", status)

    def _result_written(self, written: asyncio.Future[Receipt]) -> None:
        if written.cancelled() or written.exception() is not None:
            self.pipeline.metrics.results_lost.inc()

    def _over(self, decision: str, outcome: str) -> None:
        """Leave: give the place back and count the call, once. A call that was never admitted has no place."""
        if self.over or self.identity is None or self.facts is None:
            return
        self.over = True
        metrics = self.pipeline.metrics
        self.pipeline.halting.release(self.leave)
        self.pipeline.gatherer.leave(self.identity)
        known = self.state.catalogue.tool(self.call.tool) is not None
        operation = self.invocation.operation.name if self.invocation else ""
        if self.basis is not None and decision == "deny":
            decision = self.basis.verdict
        metrics.call(self.call.tool if known else "", operation, decision, outcome)
        metrics.took(self.began, self.marks, perf_counter())


def _status_of(answer: Answer) -> OutcomeStatus:
    return "ok" if answer.status < 400 else "error"
