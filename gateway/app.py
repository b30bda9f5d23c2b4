"""Composition: builds the gateway from a deployment folder, serves it, reloads it, and stops it.

The only place that knows every part. A reload builds a whole new state, checks it, writes a `policy.load` record and swaps it in; whatever
does not load leaves the last good state in force and says so in metrics, in `/readyz` and on standard error.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from gateway import __version__
from gateway.anchoring import Anchoring, open_prover
from gateway.announce import announce
from gateway.canonical import Json
from gateway.config.load import load
from gateway.config.model import Settings
from gateway.doors.access import access_routes
from gateway.doors.admin import admin_app
from gateway.doors.agents import agents_app
from gateway.doors.audit import Audit, Rest
from gateway.doors.http import allowed_hosts
from gateway.doors.listing import listing_routes
from gateway.doors.oauth import oauth_routes
from gateway.doors.server import Server, serve
from gateway.errors import Problem, Problems, Refusal
from gateway.forward import Upstreams
from gateway.gather import Gatherer
from gateway.halting import Halting
from gateway.issuance import TokenService
from gateway.loading import audience, faults_of, load_beside, load_state, settle
from gateway.metrics import LogHead, Metrics, ReloadResult
from gateway.orders import Orders
from gateway.pipeline import Pipeline
from gateway.record import Control, Log, Redactor, reach_log
from gateway.refusals import RefusalSummary
from gateway.state import State
from gateway.trust import Clock, Trust, services, teller
from gateway.watch import Print, changes, folders_of, print_of
from gateway.worker import Share, ask, bound, tell

Report = Callable[[str], None]
LET_GO_S = 1.0  # how long a gateway without a log goes on for the calls that were under way


def _settings(folder: Path, share: Share | None) -> Settings:
    settings = load(folder)
    return share.of(settings) if share else settings


async def _begin_log(settings: Settings, state: State, fatal: asyncio.Event) -> tuple[Log, Redactor]:
    """Open the log and record what goes into force. Raises Problem or Problems; then it is closed."""
    log = await reach_log(settings.log, settings.keys, on_fatal=fatal.set)
    try:
        redactor = Redactor.open(settings.log, settings.keys)
        await announce(log, state)
    except (Problem, Refusal) as error:
        await log.close()
        if isinstance(error, Problem):
            raise
        raise Problems([Problem("log_unavailable", str(error), key="log.folder", remedy="free space on the log's disk")]) from error
    return log, redactor


class Gateway:
    """A running gateway. Made by `start`; ended by `stop`."""

    def __init__(self, settings: Settings, pipeline: Pipeline, trust: Trust, report: Report, share: Share | None) -> None:
        self.settings = settings
        self.share = share
        self.pipeline = pipeline
        self.trust = trust
        self.failing: list[str] = []
        self.fatal = asyncio.Event()
        self._report = report
        self._stopping = False
        self._agents: Server | None = None
        self._admin: Server | None = None
        self._teller: asyncio.Server | None = None
        self._reloading = asyncio.Lock()
        self._orders = Orders(trust, pipeline, report, lock=self._reloading, speaks=share is None or share.number == 0)
        self._control = Control(pipeline.log, settings.keys, self._orders.noticed)
        self._audit = Audit(lambda: open_prover(settings, Rest()), allowed_hosts(settings.admin))
        self._anchoring = Anchoring(settings, pipeline.log, pipeline.metrics, report)
        self._watcher: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls, folder: Path, *, report: Report = lambda _: None, share: Share | None = None, now: Clock = time.time) -> Gateway:
        """Load the deployment in `folder`, open its log and its listeners, or do one worker's share. Raises Problems; then nothing was left open."""
        settings = _settings(folder, share)
        seen = print_of(folders_of(settings))
        began = time.perf_counter()
        metrics, fatal = Metrics(), asyncio.Event()
        trust = await asyncio.to_thread(Trust.open, settings.state, teller(metrics.tokens, report), shared=share is not None, now=now)
        trust.services = services(trust, metrics.tokens, report)
        try:
            state = await asyncio.to_thread(load_state, settings, trust)
            took_s = time.perf_counter() - began
            log, redactor = await _begin_log(settings, state, fatal)
        except BaseException:
            await trust.close()
            raise
        await trust.begin(state.identifier.identities)
        upstreams = Upstreams.open(settings.tools, on_echo=metrics.echoes.inc)
        pipeline = Pipeline(
            state,
            log=log,
            redactor=redactor,
            upstreams=upstreams,
            metrics=metrics,
            gatherer=Gatherer(settings.limits, Halting(trust.ended, metrics.halts.stopped)),
            summary=RefusalSummary(log, settings.limits),
        )
        trust.voucher.sign_with(lambda: (pipeline.state.keys, pipeline.state.settings.url))
        gateway = cls(settings, pipeline, trust, report, share)
        gateway.fatal = fatal
        metrics.watch(
            breakers=upstreams.breakers,
            log=lambda: LogHead(log.state, log.origin, *log.head, log.signed_size),
            in_flight=lambda: pipeline.gatherer.in_flight,
            expired=lambda: len(gateway.expired()),
        )
        metrics.tokens.ages, metrics.halts.board = trust.sources.ages, trust.halts.board
        metrics.tokens.ends = lambda: {settings.name: shown.ends_at_s for settings, shown in pipeline.state.credentials.certificates()}
        gateway._loaded(state)
        metrics.policies_reloaded("ok", at_s=time.time(), took_s=took_s)
        try:
            await gateway._orders.narrow(state)
            await gateway._listen()
        except (Problem, Refusal, OSError) as error:
            await gateway.stop()
            if isinstance(error, Problem):
                raise
            if isinstance(error, Refusal):
                raise Problems([Problem("state_unusable", str(error), key="gateway.state", remedy="make the gateway's state writable")]) from error
            raise Problems([Problem("address_in_use", f"cannot listen: {error.strerror}", key="listen", remedy="choose a free address")]) from error
        if share is None or share.number == 0:  # one of several workers is enough
            gateway._anchoring.start()
        gateway._watcher = asyncio.create_task(gateway._watch(seen))
        settle()
        return gateway

    async def _listen(self) -> None:
        if (
            self.share.number == 0 if self.share else self.settings.log.socket is None
        ):  # else the log's folder is another's, who has commands go to it
            await self._control.open(self.settings.log.folder)
        settings, pipeline, share = self.settings, self.pipeline, self.share
        service = TokenService(lambda: pipeline.state, self.trust, log=pipeline.log, metrics=pipeline.metrics.tokens, summary=pipeline.summary)
        agents = agents_app(
            settings,
            pipeline.handle,
            pipeline.refuse,
            tools=lambda: pipeline.state.settings.tools,
            jwks=lambda: pipeline.state.keys.jwks(),  # noqa: PLW0108 - the state is looked up at each request, not now
            audience=audience(settings),
            more=[*listing_routes(lambda: pipeline.state, pipeline.refuse, settings.url), *oauth_routes(service, settings.limits, settings.url)],
        )
        at, admin_at = bound(share, settings)
        self._agents = await serve(agents, at, settings.limits, on_refusal=self._door_refused)
        access = access_routes(lambda: pipeline.state, pipeline.gatherer.look, allowed_hosts(settings.admin), settings.limits)
        admin = admin_app(
            pipeline.metrics, self.readiness, [*access, *self._audit.routes()], together=(lambda: ask(share.supervisor)) if share else None
        )
        self._admin = await serve(admin, admin_at, settings.limits, on_refusal=self._door_refused)
        if share:
            self._teller = await tell(share.own_socket, lambda: (pipeline.metrics.text().decode(), self.readiness()))

    def _door_refused(self, code: str, reason: str, peer: str) -> None:
        """A request that never became a call: the server answered it, here it is counted."""
        self.pipeline.metrics.refused(code)
        self.pipeline.summary.add(Refusal(code, reason=reason), peer=peer)

    @property
    def addresses(self) -> dict[str, str]:
        """Where the listeners are, as base URLs."""
        found = (("agents", self.settings.agents.host, self._agents), ("admin", self.settings.admin.host, self._admin))
        return {name: f"http://{f'[{host}]' if ':' in host else host}:{server.port}" for name, host, server in found if server}

    def readiness(self) -> Mapping[str, Json]:
        """What `/readyz` shows: ready or not, why not, and what is in force."""
        log, state = self.pipeline.log, self.pipeline.state
        problems = []
        if self._stopping:
            problems.append("the gateway is shutting down")
        if log.state != "ok":
            problems.append(f"the decision log is {log.state}")
        if self.trust.halts.board.trouble:
            problems.append(f"nobody can tell what is halted: {self.trust.halts.board.trouble}")
        return {
            "ready": not problems,
            "problems": problems,
            "reload": {"failing": bool(self.failing), "problems": self.failing},
            "expired": list(self.expired()),
            **self._orders.readiness(),
            "candidate": {"failing": bool(faults_of(state)), "problems": list(faults_of(state))},
            "state": {"digest": state.digest, **state.parts, "tools": len(state.settings.tools), "agents": state.agents},
            "log": {"origin": log.origin, "size": log.size, "state": log.state},
            "breakers": dict(self.pipeline.upstreams.breakers()),
            "version": __version__,
        }

    def expired(self) -> tuple[str, ...]:
        """The policies in force that are past their day. They are told, not dropped."""
        return self.pipeline.state.bundle.expired(dt.datetime.now(tz=dt.UTC).date())

    async def reload(self) -> bool:
        """Load what is on disk and put it in force. False when it does not load: then nothing changed."""
        async with self._reloading:
            began = time.perf_counter()
            result = await self._reload()
            self.pipeline.metrics.policies_reloaded(result, at_s=time.time(), took_s=time.perf_counter() - began)
            return result != "failed"

    async def _reload(self) -> ReloadResult:
        before = self.pipeline.state
        try:
            state = await load_beside(before, self.trust, lambda: _settings(self.settings.folder, self.share))
            if state.digest == before.digest and faults_of(state) == faults_of(before) and not self.failing:
                return "unchanged"
            await self._orders.narrow(state)
            await announce(self.pipeline.log, state, before)
        except Problems as problems:
            return self._keep([str(p) for p in problems.problems])
        except Refusal as refusal:
            return self._keep([str(refusal)])
        settings = state.settings
        if settings.fixed != self.settings.fixed:
            self._report("changed [listen], [log], [limits], [witness.NAME] or [peer.NAME] take effect after a restart")
        await self.pipeline.upstreams.replace(settings.tools)
        await self.trust.sources.replace(state.identifier.identities.issuers)
        self.pipeline.state = state
        before.credentials.retire(state.credentials)
        self._orders.changed()
        self._loaded(state)
        self._report(f"reloaded: {state.bundle.policy_count} policies, {len(settings.tools)} tools, {state.agents} agents")
        return "unchanged" if state.bundle.digest == before.bundle.digest else "ok"

    def _keep(self, problems: list[str]) -> ReloadResult:
        self.failing = problems
        self.pipeline.metrics.reload_failed()
        self._report("reload failed, the last good state stays in force:\n" + "\n".join(f"  {p}" for p in problems))
        return "failed"

    def _loaded(self, state: State) -> None:
        self.failing = []
        faults = faults_of(state)
        self.pipeline.metrics.loaded(
            at_s=time.time(),
            policies=state.bundle.policy_count,
            tools=len(state.settings.tools),
            agents=state.agents,
            candidate_failing=bool(faults),
        )
        bundle = state.bundle
        self.pipeline.metrics.policies_replaced(
            {"policies": bundle.policies.digest, "schema": bundle.schema.digest, "engine": bundle.engine}, bundle.shadows
        )
        if faults:
            self._report("the candidate policies do not load; those in force do not depend on them:\n" + "\n".join(f"  {fault}" for fault in faults))

    async def _watch(self, seen: Print) -> None:
        async for _ in changes(lambda: self.pipeline.state.settings, seen, self._report):
            await self.reload()

    async def let_go(self) -> None:
        """The log has failed: accept nothing more, give calls in flight a moment to be answered or refused, and cut the rest."""
        self._stopping = True
        if self._agents:
            await self._agents.stop(LET_GO_S)

    async def stop(self) -> None:
        """Stop accepting, let calls finish within the drain time, write what the log is owed, close."""
        self._stopping = True
        if self._watcher:
            self._watcher.cancel()
            await asyncio.wait([self._watcher])
        limits = self.settings.limits
        if self._agents and limits.drain_delay_s:
            await asyncio.sleep(limits.drain_delay_s)
        if self._agents:
            await self._agents.stop(limits.drain_timeout_s)
        await self._anchoring.stop()
        await self.pipeline.upstreams.close()
        await self.pipeline.state.credentials.close()
        self.pipeline.shadowing.close()
        await self.pipeline.summary.close()
        await self._control.close()
        await self.pipeline.log.close()
        self.pipeline.redactor.close()
        await self.trust.close()
        await self._orders.close()
        if self._admin:
            await self._admin.stop(0)
        await self._audit.close()
        if self._teller:
            self._teller.close()
