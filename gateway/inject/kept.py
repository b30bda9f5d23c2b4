"""Keeps what a service handed out for as long as it is good: for the one for whom it was fetched, and for nobody else.

The key is the credential, everybody in the chain of delegation, and what the secret was narrowed to; a part less, and one agent would act with what
another one was given. Whoever asks while a fetch is under way waits for that one. What is kept is fetched anew in good time, while it still serves.
A service that fails is left alone for a while, so that calls are refused at once and neither it nor other tools suffer from those that wait.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from gateway.inject.source import CredentialSource, Fetched, Need, Unreachable, Unreadable
from gateway.secret import Secret

REFRESH_AT = 0.8
"""The part of its life after which a secret is fetched anew."""
RENEW_AT = 2 / 3
"""The same for one with a lease, which is asked for more time first. One that is replaced ends by itself: calls may still be using it."""
MARGIN_S = 10.0
"""It is not used in the last seconds of its life (a tenth of it, if that is less): a call takes time."""
RENEW_INTERVAL_S = 10.0
"""A tool that says 401 to everything does not make us fetch for every call."""
HOLD_OFF_S, HOLD_OFF_S_MAX = 1.0, 30.0
ENTRIES_MAX = 10_000
WAITING_MAX = 256
"""Calls that may wait for one credential: fewer than the gateway has room for, so that others get through."""
FETCH_S_MAX = 10.0
ENDING_AT_ONCE_MAX = 16
CLOSE_S_MAX = 5.0
"""How long the end waits for what is given back; what was not by then ends by itself."""

TOLD_S = 60.0
"""How long after one line about a failure there is no other: which failures there are, agents may have a hand in."""

Told = Callable[[str, str, str], None]
"""What hears of each fetch: the credential's name, `ok` or `failed`, and a line for people when failures begin, change or end, else empty."""
GivenBack = Callable[[str, str, str], None]
"""What hears of each secret that was ended before its time: the credential's name, `ok` or `failed`, and a line when that changes, else empty."""
Result = TypeVar("Result")
_Key = tuple[str, ...]


@dataclass(slots=True)
class _Entry:
    """What is kept for one key, and what it replaced, which calls may still be using. Times are of the owner's clock."""

    fetched: Fetched | None = None
    refresh_at_s: float = 0.0
    ends_at_s: float = 0.0
    renewed_at_s: float = float("-inf")
    earlier: Fetched | None = None
    earlier_ends_at_s: float = 0.0
    flight: asyncio.Task[Fetched | Unreadable] | None = None
    trouble: Unreadable | None = None
    trouble_until_s: float = 0.0
    is_forgotten: bool = False


class Kept:
    """The secrets of one credential, by whom they are for. `now` is a monotonic clock in seconds."""

    def __init__(
        self,
        name: str,
        source: CredentialSource,
        told: Told = lambda _name, _result, _line: None,
        given_back: GivenBack = lambda _name, _result, _line: None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._source = source
        self._told = told
        self._given_back = given_back
        self._now = now
        self._entries: dict[_Key, _Entry] = {}
        self._waiting = 0
        self._failures = 0
        self._held_off_until_s = 0.0
        self._said, self._said_at_s = "", float("-inf")
        self._tasks: set[asyncio.Task[Any]] = set()
        self._ending = asyncio.Semaphore(ENDING_AT_ONCE_MAX)
        self._cannot_end = False
        self.is_closed = False

    async def fetch(self, need: Need, scope: str, deadline_s: float | None = None) -> Fetched:
        """A secret that is good now. `deadline_s` is on the event loop's clock. Raises Unreadable."""
        if self.is_closed:
            raise Unreachable("its settings were replaced while the call was on its way", "call again")
        entry, now_s = self._entry(need, scope), self._now()
        if entry.fetched is not None and now_s < entry.ends_at_s:
            if now_s >= entry.refresh_at_s and entry.flight is None and not self._is_held_off(entry, now_s):
                self._start(entry, need)
            return entry.fetched
        if entry.flight is None:
            if self._is_held_off(entry, now_s):
                raise (
                    _again(entry.trouble)
                    if entry.trouble
                    else Unreachable("its service failed a moment ago and is left alone", "look at the service")
                )
            self._start(entry, need)
        assert entry.flight is not None
        return await self._wait(entry.flight, deadline_s)

    def _entry(self, need: Need, scope: str) -> _Entry:
        key = (self._name, scope, *need.whose)
        found = self._entries.get(key)
        if found is None:
            if len(self._entries) >= ENTRIES_MAX:
                self._make_room()
            found = self._entries[key] = _Entry()
        return found

    def _make_room(self) -> None:
        """Forget what has ended; if nothing has, what was fetched first and is not being fetched now."""
        now_s = self._now()
        idle = [key for key, entry in self._entries.items() if entry.flight is None] or [next(iter(self._entries))]
        over = [key for key in idle if self._entries[key].ends_at_s <= now_s] or idle[:1]
        for key in over:
            self._forget(key)

    def _is_held_off(self, entry: _Entry, now_s: float) -> bool:
        return now_s < self._held_off_until_s or now_s < entry.trouble_until_s

    async def _wait(self, flight: asyncio.Task[Fetched | Unreadable], deadline_s: float | None) -> Fetched:
        if self._waiting >= WAITING_MAX:
            raise Unreachable(f"{WAITING_MAX} calls wait for it already", "look at the service that hands it out")
        self._waiting += 1
        try:
            async with asyncio.timeout_at(deadline_s):
                found = await asyncio.shield(flight)  # a caller that leaves does not take the others' fetch along
        except TimeoutError:
            raise Unreachable("it did not come before the call's deadline", "look at the service that hands it out") from None
        finally:
            self._waiting -= 1
        if isinstance(found, Unreadable):
            raise _again(found)
        return found

    def _start(self, entry: _Entry, need: Need) -> None:
        entry.flight = self._run(self._get(entry, need))

    def _run(self, work: Coroutine[None, None, Result]) -> asyncio.Task[Result]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _get(self, entry: _Entry, need: Need) -> Fetched | Unreadable:
        """One fetch, and what follows from it. Its failure is a value: nobody may be waiting for it."""
        try:
            async with asyncio.timeout(FETCH_S_MAX):
                held = entry.fetched
                renewed = await self._source.renew(held) if held is not None and held.lease else None
                fetched = renewed or await self._source.fetch(need)
        except TimeoutError:
            return self._failed(entry, Unreachable(f"its service did not answer within {FETCH_S_MAX:g} s", "look at the service"))
        except Unreadable as unreadable:
            return self._failed(entry, unreadable)
        finally:
            entry.flight = None
        now_s = self._now()
        if held is not None and renewed is None:
            entry.earlier, entry.earlier_ends_at_s = held, entry.ends_at_s
        life_s = fetched.life_s or 0.0
        entry.fetched, entry.trouble, entry.trouble_until_s = fetched, None, 0.0
        entry.refresh_at_s = now_s + life_s * (RENEW_AT if fetched.lease else REFRESH_AT)
        entry.ends_at_s = now_s + life_s - min(MARGIN_S, life_s / 10)
        self._failures, self._held_off_until_s = 0, 0.0
        self._told(self._name, "ok", self._line(None))
        if entry.is_forgotten:  # meanwhile: whoever waits for it is stopped before it is sent
            self._end(entry)
        return fetched

    def _failed(self, entry: _Entry, unreadable: Unreadable) -> Unreadable:
        now_s = self._now()
        entry.trouble, entry.trouble_until_s = unreadable, now_s + HOLD_OFF_S
        if isinstance(unreadable, Unreachable):
            self._held_off_until_s = now_s + min(HOLD_OFF_S * 2**self._failures, HOLD_OFF_S_MAX)
            self._failures = min(self._failures + 1, 10)
        self._told(self._name, "failed", self._line(unreadable))
        return unreadable

    def _line(self, unreadable: Unreadable | None) -> str:
        now_s = self._now()
        if unreadable is None:
            was, self._said = self._said, ""
            return f"credential {self._name} can be had again" if was else ""
        if unreadable.reason == self._said or now_s < self._said_at_s + TOLD_S:
            return ""
        self._said, self._said_at_s = unreadable.reason, now_s
        return f"credential {self._name} cannot be had: {unreadable.reason}; {unreadable.remedy}"

    def drop(self, need: Need, scope: str, secret: Secret) -> bool:
        """The tool would not take `secret`. Whether the next fetch brings another one: not when that was tried a moment ago."""
        entry, now_s = self._entries.get((self._name, scope, *need.whose)), self._now()
        if entry is None or entry.fetched is None or entry.fetched.secret is not secret:
            return True  # another call has seen to it
        if now_s - entry.renewed_at_s < RENEW_INTERVAL_S:
            return False
        self._end(entry)
        entry.renewed_at_s = now_s
        return True

    def revoke(self, kind: str, name: str) -> int:
        """Forget, and begin to give back, all that was fetched for a `user`, or for an `agent` or a chain that it is part of. Returns how many."""
        gone = [key for key in self._entries if (kind == "user" and name == key[5]) or (kind == "agent" and name in (key[2], *key[6:]))]
        for key in gone:
            self._forget(key)
        return len(gone)

    def _forget(self, key: _Key) -> None:
        """What a fetch under way brings for it is given back, too."""
        entry = self._entries.pop(key)
        entry.is_forgotten = True
        self._end(entry)

    def holders(self) -> set[str]:
        """The agents for whom, or for whose chain of delegation, something is kept."""
        return {agent for key in self._entries for agent in (key[2], *key[6:])}

    def _end(self, entry: _Entry) -> None:
        """Forget what is kept, and begin to give it back, together with what it replaced if that is not over by itself."""
        earlier = entry.earlier if self._now() < entry.earlier_ends_at_s + MARGIN_S else None
        for fetched in (entry.fetched, earlier):
            if fetched is not None and fetched.lease:
                self._run(self._give_back(fetched))
        entry.fetched = entry.earlier = None

    async def _give_back(self, fetched: Fetched) -> None:
        try:
            async with self._ending, asyncio.timeout(FETCH_S_MAX):
                await self._source.give_back(fetched)
        except Unreadable as unreadable:
            self._not_given_back(unreadable.reason)
        except TimeoutError:
            self._not_given_back(f"its service did not answer within {FETCH_S_MAX:g} s")
        except asyncio.CancelledError:
            self._not_given_back("there was no time left")
            raise
        else:
            self._given_back(self._name, "ok", f"what credential {self._name} handed out can be ended again" if self._cannot_end else "")
            self._cannot_end = False

    def _not_given_back(self, why: str) -> None:
        line = f"what credential {self._name} handed out could not be ended, and counts until it ends by itself: {why}"
        self._given_back(self._name, "failed", "" if self._cannot_end else line)
        self._cannot_end = True

    async def close(self, within_s: float = CLOSE_S_MAX) -> None:
        """Fetch nothing more. Let fetches under way end, for calls wait for them; then give back what can be `within_s`."""
        self.is_closed = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=FETCH_S_MAX)
        for entry in self._entries.values():
            self._end(entry)
        self._entries.clear()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=within_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)


def _again(unreadable: Unreadable) -> Unreadable:
    """The same finding for another call: an exception that is raised twice would collect both tracebacks."""
    return type(unreadable)(unreadable.reason, unreadable.remedy)
