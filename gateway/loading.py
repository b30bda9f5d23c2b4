"""Loads a deployment beside the one in force, so that the calls in flight do not feel it.

Loading is seconds of work: files, contracts, a child process that compiles and tests the policies, and then the policies themselves. It runs in a
thread, which takes the interpreter in short turns; what the first calls after the swap would have to parse is parsed before it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from gateway.authorize import load_bundle
from gateway.call import Blob
from gateway.canonical import Json, dumps
from gateway.config.model import Settings
from gateway.config.stored import settings_object
from gateway.identify import SigningKeys, Verifier
from gateway.identify.federation import Federation
from gateway.identify.identifier import Identifier
from gateway.identify.transit import open_keys
from gateway.identities import Identities, load_identities
from gateway.inject import Credentials
from gateway.shadowing import load_candidate
from gateway.state import State
from gateway.tools.catalogue import Catalogue
from gateway.trust import Trust

TURN_S = 0.0005
"""How long the loading thread may keep the interpreter from a call that wants it. Python's own 5 ms would be felt at every step of a call."""

GC_YOUNG_MAX = 10_000
"""A call makes some hundred objects and no cycles: looking for cycles every 700 objects costs two percent for nothing."""


def load_state(settings: Settings, trust: Trust, hot: Iterable[tuple[str, str]] = (), before: Credentials | None = None) -> State:
    """Load everything that a reload may change. Blocking and pure but for reading files. Raises Problems with all that was found.

    `hot` are the agents and actions that were decided lately: their policies are parsed here, not at their next call. What was fetched for `before` is
    taken over.
    """
    keys = open_keys(settings)
    identities = load_identities(settings.identities)
    catalogue = Catalogue.load(settings)
    bundle = load_bundle(settings.policies, catalogue.operations(), settings.tools.values(), identities)
    candidate = load_candidate(settings, catalogue, identities)
    for some in (bundle, candidate.bundle if candidate else None):
        if some is not None:
            some.warm(hot)
    stored = settings_object(settings)
    parts: dict[str, Json] = {
        "config": settings.digest,
        "settings": stored.digest,
        "contracts": catalogue.digest,
        "identities": identities.digest,
        "keys": _digest_of(keys),
        "policies": bundle.policies.digest,
        "schema": bundle.schema.digest,
        "engine": bundle.engine,
    }
    if candidate and candidate.bundle:
        parts["candidate"] = candidate.bundle.digest
    return State(
        settings=settings,
        catalogue=catalogue,
        identifier=_identifier(settings, identities, keys, trust),
        bundle=bundle,
        credentials=Credentials.load(settings, trust.services, before),
        keys=keys,
        digest=Blob.of(dumps(parts)).digest,
        parts=parts,
        agents=len(identities.agents),
        candidate=candidate,
        stored=stored,
    )


def with_keys(state: State, trust: Trust) -> State:
    """The same state with the signing keys as they are on disk now. Blocking. Raises Problems."""
    keys = open_keys(state.settings)
    parts = {**state.parts, "keys": _digest_of(keys)}
    identifier = _identifier(state.settings, state.identifier.identities, keys, trust)
    return replace(state, keys=keys, identifier=identifier, parts=parts, digest=Blob.of(dumps(parts)).digest)


def _identifier(settings: Settings, identities: Identities, keys: SigningKeys, trust: Trust) -> Identifier:
    entries = settings.limits.token_cache_entries_max
    verifier = Verifier(identities, keys, audience(settings), settings.url, trust.now, cache_entries_max=entries, ended=trust.ended)
    return Identifier(verifier, Federation(identities, trust.sources, trust.now), trust.proofs, trust.now)


def _digest_of(keys: SigningKeys) -> str:
    return Blob.of(dumps([keys.kid, *sorted(keys.public)])).digest


def audience(settings: Settings) -> str:
    """The one audience of this gateway's tool tokens (RFC 8707 resource)."""
    return settings.url + "/tools"


async def load_beside(state: State, trust: Trust, settings: Callable[[], Settings]) -> State:
    """Load what is on disk now, read by `settings`, beside a state that is in force. Raises Problems."""
    hot = state.bundle.hot

    def work() -> State:
        return load_state(settings(), trust, hot, state.credentials)

    with _short_turns():
        return await asyncio.to_thread(work)


@contextlib.contextmanager
def _short_turns() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(TURN_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def settle() -> None:
    """Once everything is loaded: it lives as long as the process, so the collector need not walk it on every pass."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_YOUNG_MAX, 20, 20)


def faults_of(state: State) -> tuple[str, ...]:
    """Why the candidate does not load; empty where it does, or there is none."""
    return tuple(str(problem) for problem in state.candidate.problems) if state.candidate else ()
