"""Has the log's checkpoints witnessed, and writes down those of peers, beside the calls and never in their way.

Every witness and every peer has a task of its own: one that hangs holds up no other. Nothing here can fail a call.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from gateway.config.model import PeerSettings, Settings, WitnessSettings
from gateway.doors.audit import Rest
from gateway.errors import Problem, Refusal
from gateway.fetch import Fetcher, FetchError
from gateway.metrics import Metrics
from gateway.record import (
    PUBLIC_FILE,
    Anchors,
    BadNote,
    BadProof,
    Checkpoint,
    Log,
    LogFolder,
    LogReader,
    NotAsSigned,
    NoteKey,
    Prover,
    WitnessKey,
    conflicting_size,
    cosigned,
    open_own_checkpoint,
    parse_keys,
    submission,
)

ANSWER_BYTES_MAX = 64 * 1024
PLAIN = {"accept": "*/*", "content-type": "text/plain; charset=utf-8"}
TRIES_MAX = 3
"""A first request, one with the size that the witness named, and one more should the log have been witnessed in between."""
BACKOFF_MAX = 16
"""After failures the interval doubles up to this many times its length."""

Turn = Callable[[], Awaitable[float]]
"""One turn with a witness or a peer: the time of what it has reached, in seconds since the epoch. May raise AnchorFailed."""

REASONS = ("unreachable", "refused", "invalid", "conflict", "unreadable")


class AnchorFailed(Exception):  # noqa: N818
    """`reason` is one of REASONS. `conflict` is the one to wake somebody for: another history of a log was seen."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Cosigned:
    """What a witness has cosigned, and when (seconds since the epoch)."""

    checkpoint: Checkpoint
    at_s: int


def open_prover(settings: Settings, pause: Callable[[int], None]) -> Prover:
    """Proofs of the deployment's own log. Raises OSError, BadNote and Problem when it or its public key cannot be read."""

    def keys() -> Sequence[NoteKey]:
        return parse_keys((settings.keys / PUBLIC_FILE).read_text())

    return Prover(LogReader(settings.log.folder), keys(), pause=pause, fresh=keys)


async def submit(fetcher: Fetcher, prover: Prover, anchors: Anchors, witness: WitnessSettings) -> Cosigned:
    """Have the newest checkpoint cosigned, and keep it. Raises AnchorFailed."""
    key = WitnessKey.parse(witness.key)
    try:
        newest = await asyncio.to_thread(prover.checkpoint)
        kept = await asyncio.to_thread(anchors.kept, "witness", witness.name, prover.keys)
        old = min(kept.size, newest.size) if kept else 0
        for _ in range(TRIES_MAX):
            prefix = await asyncio.to_thread(prover.prefix, old, newest)
            body = submission(old, prefix.path, newest.note)
            answer = await fetcher.post(f"{witness.url}/add-checkpoint", body, bytes_max=ANSWER_BYTES_MAX, headers=PLAIN)
            if answer.status == 200:
                note, at_s = cosigned(newest.note, answer.body, key)
                await asyncio.to_thread(anchors.keep, "witness", witness.name, note)
                return Cosigned(newest, at_s)
            if answer.status != 409:
                raise AnchorFailed("conflict" if answer.status == 422 else "refused", f"the witness answers with {answer.status}")
            old = conflicting_size(answer.body)
            if old > newest.size:
                newest = await asyncio.to_thread(prover.checkpoint)  # another process may have had a later one witnessed
            if old > newest.size:
                raise AnchorFailed("conflict", f"the witness has cosigned {old} records, and {newest.size} are signed here: this log was set back")
        raise AnchorFailed("refused", "the witness names another size each time")
    except FetchError as error:
        raise AnchorFailed("unreachable", str(error)) from error
    except (BadNote, BadProof) as error:
        raise AnchorFailed("invalid", str(error)) from error
    except (NotAsSigned, Problem, OSError) as error:
        raise AnchorFailed("unreadable", str(error)) from error


async def look_at(fetcher: Fetcher, log: Log, anchors: Anchors, peer: PeerSettings) -> Checkpoint:
    """Fetch a peer's newest checkpoint, and record it when it is another one than the last. Raises AnchorFailed."""
    key = NoteKey.parse(peer.key)
    try:
        answer = await fetcher.get(peer.url, bytes_max=ANSWER_BYTES_MAX, headers={"accept": "*/*"})
        if answer.status != 200:
            raise AnchorFailed("refused", f"the peer answers with {answer.status}")
        found = open_own_checkpoint(answer.body, [key])
        seen = await asyncio.to_thread(anchors.kept, "peer", peer.name, [key])
        if seen is not None and (seen.size, seen.root) == (found.size, found.root):
            return found
        told = {"peer": peer.name, "origin": found.origin, "size": found.size, "root": found.root.hex(), "note": found.note.decode()}
        await log.append("anchor", told)
        await asyncio.to_thread(anchors.keep, "peer", peer.name, found.note)
    except FetchError as error:
        raise AnchorFailed("unreachable", str(error)) from error
    except BadNote as error:
        raise AnchorFailed("invalid", str(error)) from error
    except (Refusal, OSError) as error:
        raise AnchorFailed("unreadable", f"what was seen cannot be kept: {error}") from error
    if seen is not None and found.size <= seen.size:
        raise AnchorFailed("conflict", f"{found.origin} showed {seen.size} records and now {found.size} of another history; both are recorded")
    return found


class Anchoring:
    """The tasks of one process. Without witnesses and peers there are none."""

    def __init__(self, settings: Settings, log: Log, metrics: Metrics, report: Callable[[str], None]) -> None:
        self._settings = settings
        self._log = log
        self._metrics = metrics
        self._report = report
        self._prover: Prover | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        settings = self._settings
        if not settings.witnesses and not settings.peers:
            return
        anchors = Anchors(LogFolder(settings.log.folder))
        turns = [
            *(("witness", w.name, w.interval_s, self._witnessed(Fetcher(timeout_s=w.timeout_s), anchors, w)) for w in settings.witnesses.values()),
            *(("peer", p.name, p.interval_s, self._looked_at(Fetcher(timeout_s=p.timeout_s), anchors, p)) for p in settings.peers.values()),
        ]
        self._tasks = [asyncio.create_task(self._repeat(*turn)) for turn in turns]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._prover is not None:
            self._prover.close()

    def _witnessed(self, fetcher: Fetcher, anchors: Anchors, witness: WitnessSettings) -> Turn:
        async def turn() -> float:
            try:
                if self._prover is None:
                    self._prover = await asyncio.to_thread(open_prover, self._settings, Rest())
                prover = self._prover
            except (OSError, BadNote, Problem) as error:
                raise AnchorFailed("unreadable", str(error)) from error
            return (await submit(fetcher, prover, anchors, witness)).at_s

        return turn

    def _looked_at(self, fetcher: Fetcher, anchors: Anchors, peer: PeerSettings) -> Turn:
        async def turn() -> float:
            await look_at(fetcher, self._log, anchors, peer)
            return time.time()

        return turn

    async def _repeat(self, kind: str, name: str, interval_s: float, turn: Turn) -> None:
        failures = 0
        while True:
            try:
                self._metrics.anchored(kind, name, await turn())
                failures = 0
            except AnchorFailed as failed:
                self._metrics.anchor_failed(kind, name, failed.reason)
                if not failures or failed.reason == "conflict":
                    self._report(f"{kind} {name}: {failed}")
                failures += 1
            wait_s = interval_s * min(1 << failures, BACKOFF_MAX)
            await asyncio.sleep(wait_s * random.uniform(0.9, 1.1))  # noqa: S311 - so that a fleet does not ask all at once
