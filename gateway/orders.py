"""What a running gateway does when an operator, another process of the same gateway, or the time changes what may go: commands, the broken glass,
reloads, registrations that lapse.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Mapping

from gateway.announce import announce
from gateway.call import Receipt
from gateway.canonical import Json
from gateway.errors import Problems, Refusal
from gateway.identities.narrowing import is_narrower, rights_of
from gateway.loading import with_keys
from gateway.pipeline import Pipeline
from gateway.state import State
from gateway.stores.halts import GLASS
from gateway.trust import Trust
from gateway.watch import Print, print_of

LOOK_S = 60.0
"""How often calls on their way are looked at when nothing happens: a clock may be set, and a call may get leave in the second in which its agent lapses."""


class Orders:
    """Puts changes in force at once. `speaks`: of several workers one writes the records of what all of them see."""

    def __init__(self, trust: Trust, pipeline: Pipeline, report: Callable[[str], None], *, lock: asyncio.Lock, speaks: bool) -> None:
        self._trust = trust
        self._pipeline = pipeline
        self._report = report
        self._lock = lock
        self._speaks = speaks
        self._seen = self._print()
        self._keys_trouble = ""
        self._rekeying: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._glass_broken = False
        self._trouble = ""
        self._writing: set[asyncio.Future[Receipt]] = set()
        trust.changed = self.changed
        self.changed()
        self._timing = self._begin_timing()

    async def noticed(self, kind: str) -> None:
        """A command has changed the state and wants it recorded: it is in force here before the record is written and the command is answered.

        Raises Refusal where it cannot be; then there is no record.
        """
        if kind in {"kill", "revoke", "keys.change"}:
            await self._trust.look(closely=True)
            if self._rekeying is not None:
                await asyncio.wait([self._rekeying])  # who gives up waiting does not stop it
            if kind == "keys.change" and self._print() != self._seen:
                raise Refusal("state_unavailable", reason=self._keys_trouble or "the signing keys that are on disk now are not in force yet")
        else:
            self._pipeline.redactor.look()

    def changed(self) -> None:
        """Stop what may not go any more, and say so."""
        board = self._trust.halts.board
        self._sweep()
        self._news.set()
        if board.trouble != self._trouble:
            self._trouble = board.trouble
            self._report(f"no call is served: {board.trouble}" if board.trouble else "the state can be read again; calls are served")
        if board.glass_broken != self._glass_broken:
            self._glass_broken = board.glass_broken
            self._report(f"the file {GLASS} {'halts every call' if board.glass_broken else 'is gone'}")
            if self._speaks:
                self._record("kill", {"what": "all", "on": board.glass_broken, "why": f"the file {GLASS}", "by": "file"})
        self._look_at_keys()

    def _look_at_keys(self) -> None:
        if self._print() != self._seen and (self._rekeying is None or self._rekeying.done()):
            self._rekeying = asyncio.create_task(self._rekey())

    def _sweep(self) -> None:
        """Stop the calls that may not go any more, and end what was fetched for agents and users that are halted or may not call."""
        verifier, credentials = self._pipeline.state.identifier.verifier, self._pipeline.state.credentials
        stopped = self._pipeline.halting.sweep(verifier.against)
        if stopped:
            self._report(f"stopped {stopped} calls on their way")
        for kind, name in self._trust.halts.board.halts:
            credentials.revoke(kind, name)
        for agent in credentials.holders():
            if verifier.standing(agent):
                credentials.revoke("agent", agent)

    def _begin_timing(self) -> asyncio.Task[None]:
        timing = asyncio.create_task(self._keep_time())
        timing.add_done_callback(self._timing_ended)
        return timing

    def _timing_ended(self, timing: asyncio.Task[None]) -> None:
        """It never ends by itself, so something broke that nobody foresaw: it is told, and begun anew."""
        if not timing.cancelled():
            self._report(f"looking at the clock broke, and begins anew: {type(timing.exception()).__name__}")
            self._timing = self._begin_timing()

    async def _keep_time(self) -> None:
        """Stop what may not go any more because a registration has lapsed, in the second in which it does."""
        while True:
            now = self._trust.now()
            ends_at = self._pipeline.state.identifier.identities.next_end(now)
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S if ends_at is None else min(ends_at - now, LOOK_S)):
                    await self._news.wait()
            self._sweep()
            self._look_at_keys()  # also those that could not be taken into force, and those of a command that died before it could tell

    def _print(self) -> Print:
        return print_of([self._pipeline.state.settings.keys])

    async def _rekey(self) -> None:
        """Take other signing keys into force, and nothing else: a command has changed them, maybe again meanwhile. A reload under way ends first."""
        async with self._lock:
            while (seen := self._print()) != self._seen:
                before = self._pipeline.state
                try:
                    state = await asyncio.to_thread(with_keys, before, self._trust)
                    if state.digest != before.digest:
                        await announce(self._pipeline.log, state, before)
                except (Problems, Refusal) as error:
                    trouble = f"the signing keys that are on disk now do not go into force: {error}"
                    if trouble != self._keys_trouble:
                        self._report(trouble)
                    self._keys_trouble = trouble
                    return
                self._seen, self._keys_trouble = seen, ""
                if state.digest != before.digest:
                    self._pipeline.state = state
                    self._report(f"signing with key {state.keys.kid}; {len(state.keys.public)} keys verify")
        self._pipeline.halting.sweep(self._pipeline.state.identifier.verifier.against)

    async def close(self) -> None:
        """Stop looking at the clock; a change of keys under way ends first."""
        self._timing.cancel()
        await asyncio.wait([self._timing])
        if self._rekeying is not None:
            await asyncio.wait([self._rekeying])

    async def narrow(self, state: State) -> None:
        """Before a state goes into force: end the tokens of agents that may have less in it than before. Raises Refusal; then nothing was ended."""
        rights = {name: rights_of(agent) for name, agent in state.identifier.identities.agents.items()}
        try:
            narrowed = await self._trust.halts.note_rights(rights, is_narrower)
        except sqlite3.Error as error:
            raise Refusal("state_unavailable", reason=f"the tokens of changed agents cannot be ended: {type(error).__name__}") from error
        for agent in narrowed:
            self._report(f"ended the tokens of {agent}: it may have less than before")
            self._record("revoke", {"what": f"agent {agent}", "why": "its file allows less than before", "by": "files"})

    def _record(self, kind: str, body: Mapping[str, Json]) -> None:
        written = self._pipeline.log.append(kind, body)
        self._writing.add(written)
        written.add_done_callback(self._written)

    def _written(self, written: asyncio.Future[Receipt]) -> None:
        self._writing.discard(written)
        if not written.cancelled() and written.exception() is not None:
            self._report(f"a record could not be written: {written.exception()}")

    def readiness(self) -> Mapping[str, Json]:
        """What is halted, for `/readyz`. A halt is an order that is kept, so the gateway is ready all the same."""
        board = self._trust.halts.board
        halts = [{"what": str(halt), "since": int(halt.since), "why": halt.why} for halt in board.halts.values()]
        return {"halts": [*halts, *([{"what": "all", "since": None, "why": f"the file {GLASS}"}] if board.glass_broken else [])]}
