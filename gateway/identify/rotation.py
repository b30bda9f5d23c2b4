"""Moves signing keys on: next, active, retired, gone. Every step is one change of a name, and between any two of them the folder is in order.

A key is published as `next` for longer than others keep a key set, so that whoever verifies our tokens knows it before it signs; it stays as
`retired` for longer than its last token lives. The time of a key's file says since when it has its state.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.errors import Problem
from gateway.identify.keys import SigningKeys, State, create_key, key_files
from gateway.identities.issuer import TTL_S_MAX

PUBLISHED_S = 600
"""How long a key is published before it signs: the 300 s for which others may keep the set, and as much again."""
RETIRED_S = TTL_S_MAX + 300
Now = Callable[[], float]


@dataclass(frozen=True, slots=True)
class KeyFile:
    """One key: its state, since when (seconds since the epoch), and until when nothing more needs to be done with it."""

    kid: str
    state: State
    since: float
    path: Path

    @property
    def ripe_at(self) -> float:
        """When a `next` key may sign, or a `retired` one may go."""
        return self.since + (PUBLISHED_S if self.state == "next" else RETIRED_S)


@dataclass(frozen=True, slots=True)
class Moved:
    """What a rotation did: the key that signs now, the one that will be next, and those that are gone. `retired` is empty when none was."""

    active: str
    next: str
    retired: str
    gone: tuple[str, ...]
    wait_s: int = 0


def list_keys(folder: Path) -> tuple[KeyFile, ...]:
    """Every key, the active one first. Raises Problems as SigningKeys.open does."""
    SigningKeys.open(folder)
    found = [KeyFile(kid, state, path.stat().st_mtime, path) for path, kid, state in key_files(folder)]
    return tuple(sorted(found, key=lambda key: (("active", "next", "retired").index(key.state), -key.since)))


def rotate(folder: Path, *, at_once: bool = False, now: Now = time.time) -> Moved:
    """Let the next key sign if it was published long enough (or `at_once`), publish another, and remove keys whose last token is dead.

    When the next key is not ripe, it is only published, and `wait_s` says how long it takes. Raises Problem or Problems.
    """
    with _alone(folder):
        keys = list_keys(folder)
        (active,) = (key for key in keys if key.state == "active")
        gone = tuple(key.kid for key in keys if key.state == "retired" and key.ripe_at <= now())
        for key in keys:
            if key.kid in gone:
                key.path.unlink()
        waiting = [key for key in keys if key.state == "next"]
        ripe = [key for key in waiting if at_once or key.ripe_at <= now()]
        if not ripe:
            next_kid = waiting[0].kid if waiting else _publish(folder)
            wait_s = max(1, int(waiting[0].ripe_at - now())) if waiting else PUBLISHED_S
            return Moved(active.kid, next_kid, "", gone, wait_s)
        chosen = ripe[-1]  # the one published longest
        _retire(active, now())
        os.utime(chosen.path, (now(), now()))
        chosen.path.replace(active.path)
        others = [key.kid for key in waiting if key is not chosen]
        return Moved(chosen.kid, others[0] if others else _publish(folder), active.kid, gone)


def compromise(folder: Path, kid: str) -> Moved:
    """Take a key away for good. When it signed, the next one signs from now on, or a new one. Raises Problem when there is no such key."""
    with _alone(folder):
        keys = list_keys(folder)
        named = [key for key in keys if key.kid == kid]
        if not named:
            known = ", ".join(key.kid for key in keys)
            raise Problem("unknown_key", f"there is no key {kid[:80]!r}", file=str(folder), remedy=f"known keys: {known}")
        (key,) = named
        second = folder / _retired_name(kid)  # of the key that signs, where a rotation ended in the middle
        waiting = [other for other in keys if other.state == "next" and other is not key]
        if key.state != "active":
            key.path.unlink()
        elif waiting:
            waiting[-1].path.replace(key.path)
        else:
            fresh = create_key(folder / ".fresh")
            fresh.replace(key.path)
        second.unlink(missing_ok=True)
        left = list_keys(folder)
        return Moved(left[0].kid, next((other.kid for other in left if other.state == "next"), ""), "", (kid,))


def _retire(active: KeyFile, now: float) -> None:
    """A second name for the key that signs, before it loses its first one: there is never a moment in which its tokens do not verify."""
    os.utime(active.path, (now, now))
    with contextlib.suppress(FileExistsError):  # an earlier rotation ended here
        os.link(active.path, active.path.with_name(_retired_name(active.kid)))


def _retired_name(kid: str) -> str:
    return f"retired-{kid[:16]}.pem"


def _publish(folder: Path) -> str:
    create_key(folder / "next-new.pem")
    (fresh,) = (key for key in list_keys(folder) if key.path.name == "next-new.pem")
    fresh.path.replace(folder / f"next-{fresh.kid[:16]}.pem")
    return fresh.kid


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One rotation at a time; what it did is on disk when this ends."""
    SigningKeys.open(folder)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
