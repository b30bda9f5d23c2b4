"""Composition: builds the gateway from a deployment folder, serves it, reloads it, and stops it.

The only place that knows every part. A reload builds a whole new state, checks it, writes a `policy.load` record and swaps it in; whatever
does not load leaves the last good state in force and says so in metrics, in `/readyz` and on standard error.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import gc
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from gateway import __version__
from gateway.authorize import Bundle, load_bundle
from gateway.call import Blob
from gateway.canonical import Json, dumps
from gateway.config.load import load
from gateway.config.model import Settings
from gateway.doors.access import access_routes
from gateway.doors.admin import admin_app
from gateway.doors.agents import agents_app
from gateway.doors.http import allowed_hosts
from gateway.doors.listing import listing_routes
from gateway.doors.server import Server, serve
from gateway.errors import Problem, Problems, Refusal
from gateway.forward import Upstreams
from gateway.gather import Gatherer
from gateway.identify import SigningKeys, Verifier
from gateway.identities import load_identities
from gateway.inject import Credentials
from gateway.metrics import LogHead, Metrics
from gateway.pipeline import Pipeline, State
from gateway.record import Control, Log, Redactor, reach_log
from gateway.refusals import RefusalSummary
from gateway.shadowing import load_candidate
from gateway.tools.catalogue import Catalogue
from gateway.watch import Print, changes, folders_of, print_of
from gateway.worker import Share, ask, bound, tell

Report = Callable[[str], None]
GC_YOUNG_MAX = 10_000
"""A call makes some hundred objects and no cycles: looking for cycles every 700 objects costs two percent for nothing."""


def load_state(settings: Settings) -> State:
    """Load everything that a reload may change. Blocking and pure but for reading files. Raises Problems with all that was found."""
    keys = SigningKeys.open(settings.keys)
    identities = load_identities(settings.identities)
    catalogue = Catalogue.load(settings)
    bundle = load_bundle(settings.policies, catalogue.operations(), settings.tools.values(), identities)
    candidate = load_candidate(settings, catalogue, identities)
    parts: dict[str, Json] = {
        "config": settings.digest,
        "contracts": catalogue.digest,
        "identities": identities.digest,
        "keys": Blob.of(dumps([keys.kid, *sorted(keys.public)])).digest,
        "policies": bundle.policies.digest,
        "schema": bundle.schema.digest,
        "engine": bundle.engine,
    }
    if candidate and candidate.bundle:
        parts["candidate"] = candidate.bundle.digest
    return State(
        settings=settings,
        catalogue=catalogue,
        verifier=Verifier(
            identities, keys, issuer=settings.url, audience=audience(settings), cache_entries_max=settings.limits.token_cache_entries_max
        ),
        bundle=bundle,
        credentials=Credentials.load(settings),
        keys=keys,
        digest=Blob.of(dumps(parts)).digest,
        parts=parts,
        agents=len(identities.agents),
        candidate=candidate,
    )


def _settings(folder: Path, share: Share | None) -> Settings:
    settings = load(folder)
    return share.of(settings) if share else settings


def audience(settings: Settings) -> str:
    """The one audience of this gateway's tool tokens (RFC 8707 resource)."""
    return settings.url + "/tools"


class Gateway:
    """A running gateway. Made by `start`; ended by `stop`."""

    def __init__(self, settings: Settings, pipeline: Pipeline, report: Report, share: Share | None) -> None:
        self.settings = settings
        self.share = share
        self.pipeline = pipeline
        self.failing: list[str] = []
        self.fatal = asyncio.Event()
        self._report = report
        self._stopping = False
        self._agents: Server | None = None
        self._admin: Server | None = None
        self._teller: asyncio.Server | None = None
        self._control = Control(pipeline.log, lambda _: pipeline.redactor.look())
        self._watcher: asyncio.Task[None] | None = None
        self._reloading = asyncio.Lock()

    @classmethod
    async def start(cls, folder: Path, *, report: Report = lambda _: None, share: Share | None = None) -> Gateway:
        """Load the deployment in `folder`, open its log and its listeners, or do one worker's share. Raises Problems; then nothing was left open."""
        settings = _settings(folder, share)
        seen = print_of(folders_of(settings))
        state = await asyncio.to_thread(load_state, settings)
        fatal = asyncio.Event()
        log = await reach_log(settings.log, settings.keys, on_fatal=fatal.set)
        try:
            redactor = Redactor.open(settings.log, settings.keys)
            await _announce(log, state)
        except (Problem, Refusal) as error:
            await log.close()
            if isinstance(error, Problem):
                raise
            raise Problems([Problem("log_unavailable", str(error), key="log.folder", remedy="free space on the log's disk")]) from error
        metrics = Metrics()
        upstreams = Upstreams.open(settings.tools, on_echo=metrics.echoes.inc)
        pipeline = Pipeline(
            state,
            log=log,
            redactor=redactor,
            upstreams=upstreams,
            metrics=metrics,
            gatherer=Gatherer(settings.limits),
            summary=RefusalSummary(log, settings.limits),
        )
        gateway = cls(settings, pipeline, report, share)
        gateway.fatal = fatal
        metrics.watch(
            breakers=upstreams.breakers,
            log=lambda: LogHead(log.state, log.origin, *log.head, log.signed_size),
            in_flight=lambda: pipeline.gatherer.in_flight,
            expired=lambda: len(gateway.expired()),
        )
        gateway._loaded(state)
        try:
            await gateway._listen()
        except (Problem, OSError) as error:
            await gateway.stop()
            if isinstance(error, Problem):
                raise
            raise Problems([Problem("address_in_use", f"cannot listen: {error.strerror}", key="listen", remedy="choose a free address")]) from error
        gateway._watcher = asyncio.create_task(gateway._watch(seen))
        gc.collect()
        gc.freeze()  # what was loaded lives as long as the process: the collector need not walk it on every pass
        gc.set_threshold(GC_YOUNG_MAX, 20, 20)
        return gateway

    async def _listen(self) -> None:
        if (
            self.share.number == 0 if self.share else self.settings.log.socket is None
        ):  # else the log's folder is another's, who has commands go to it
            await self._control.open(self.settings.log.folder)
        settings, pipeline = self.settings, self.pipeline
        agents = agents_app(
            settings,
            pipeline.handle,
            pipeline.refuse,
            tools=lambda: pipeline.state.settings.tools,
            jwks=lambda: pipeline.state.keys.jwks(),  # noqa: PLW0108 - the state is looked up at each request, not now
            audience=audience(settings),
            more=listing_routes(lambda: pipeline.state, pipeline.refuse, settings.url),
        )
        at, admin_at = bound(self.share, settings)
        self._agents = await serve(agents, at, settings.limits, on_refusal=self._door_refused)
        access = access_routes(lambda: pipeline.state, pipeline.gatherer.look, allowed_hosts(settings.admin), settings.limits)
        share = self.share
        admin = admin_app(pipeline.metrics, self.readiness, access, together=(lambda: ask(share.supervisor)) if share else None)
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
        return {
            "ready": not problems,
            "problems": problems,
            "reload": {"failing": bool(self.failing), "problems": self.failing},
            "expired": list(self.expired()),
            "candidate": {"failing": bool(_faults(state)), "problems": list(_faults(state))},
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
            try:
                settings = await asyncio.to_thread(_settings, self.settings.folder, self.share)
                state = await asyncio.to_thread(load_state, settings)
                if state.digest == self.pipeline.state.digest and _faults(state) == _faults(self.pipeline.state) and not self.failing:
                    return True
                await _announce(self.pipeline.log, state)
            except Problems as problems:
                return self._keep([str(p) for p in problems.problems])
            except Refusal as refusal:
                return self._keep([str(refusal)])
            if (settings.agents, settings.admin, settings.log, settings.limits) != (
                self.settings.agents,
                self.settings.admin,
                self.settings.log,
                self.settings.limits,
            ):
                self._report("changed [listen], [log] or [limits] take effect after a restart")
            await self.pipeline.upstreams.replace(settings.tools)
            self.pipeline.state = state
            self._loaded(state)
            self._report(f"reloaded: {state.bundle.policy_count} policies, {len(settings.tools)} tools, {state.agents} agents")
            return True

    def _keep(self, problems: list[str]) -> bool:
        self.failing = problems
        self.pipeline.metrics.reload_failed()
        self._report("reload failed, the last good state stays in force:\n" + "\n".join(f"  {p}" for p in problems))
        return False

    def _loaded(self, state: State) -> None:
        self.failing = []
        faults = _faults(state)
        self.pipeline.metrics.loaded(
            at_s=time.time(),
            policies=state.bundle.policy_count,
            tools=len(state.settings.tools),
            agents=state.agents,
            candidate_failing=bool(faults),
        )
        if faults:
            self._report("the candidate policies do not load; those in force do not depend on them:\n" + "\n".join(f"  {fault}" for fault in faults))

    async def _watch(self, seen: Print) -> None:
        async for _ in changes(lambda: self.pipeline.state.settings, seen, self._report):
            await self.reload()

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
        await self.pipeline.upstreams.close()
        self.pipeline.shadowing.close()
        await self.pipeline.summary.close()
        await self._control.close()
        await self.pipeline.log.close()
        self.pipeline.redactor.close()
        if self._admin:
            await self._admin.stop(0)
        if self._teller:
            self._teller.close()


def _faults(state: State) -> tuple[str, ...]:
    """Why the candidate does not load; empty where it does, or there is none."""
    return state.candidate.problems if state.candidate else ()


async def _announce(log: Log, state: State) -> None:
    """Record what goes into force, before it does. The candidate is kept as well: `shadow` records name it."""
    bundle: Bundle = state.bundle
    candidate = state.candidate.bundle if state.candidate else None
    blobs = (bundle.policies, bundle.schema, *((candidate.policies,) if candidate else ()))
    await log.append("policy.load", {"state": state.digest, **state.parts}, blobs=blobs)
