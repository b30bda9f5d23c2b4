"""The decision log over HTTP, for auditors and for peers, on the admin listener: its newest checkpoint, records, and proofs of them.

What is read is small and found by an index, in a thread of its own, one request at a time: auditors wait, calls do not.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.call import Refused
from gateway.doors.problem import problem
from gateway.errors import Problem, Refusal
from gateway.record import BadNote, NotAsSigned, Prover

WAITING_MAX = 16
PAUSE_S = 0.004
"""Rest after each few hundred records that are indexed, which take about 1 ms: calls keep four fifths of the processor meanwhile."""
TEXT = "text/plain; charset=utf-8"
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
T = TypeVar("T")


def rest(_: int) -> None:
    """For a Prover that works beside calls."""
    time.sleep(PAUSE_S)


class Audit:
    """Reads the log for those who ask. `open_prover` is called at the first question, and again after one that it could not answer."""

    def __init__(self, open_prover: Callable[[], Prover], hosts: frozenset[str]) -> None:
        self._open = open_prover
        self._hosts = hosts
        self._prover: Prover | None = None
        self._turn = asyncio.Lock()
        self._waiting = 0

    def routes(self) -> list[Route]:
        return [
            Route("/log/checkpoint", self._route(lambda prover, _: prover.checkpoint().note, TEXT)),
            Route("/log/proof/{n}", self._route(lambda prover, n: bytes(prover.inclusion(n)), TEXT)),
            Route("/log/records/{n}", self._route(lambda prover, n: prover.record(n).line + b"\n", "application/json")),
        ]

    async def close(self) -> None:
        async with self._turn:
            if self._prover is not None:
                self._prover.close()
                self._prover = None

    def _route(self, read: Callable[[Prover, int], bytes], kind: str) -> Callable[[Request], object]:
        async def endpoint(request: Request) -> Response:
            try:
                n = self._number(request)
                body = await self._ask(lambda prover: read(prover, n))
            except Refusal as refusal:
                status, headers, said = problem(Refused(refusal, ""))
                answer = Response(said, status)
                answer.raw_headers = headers
                return answer
            return Response(body, headers={"content-type": kind, "cache-control": "no-store"})

        return endpoint

    def _number(self, request: Request) -> int:
        """The record that is asked for. A web page can reach a listener on this machine by a name of its own: only known hosts are answered."""
        host = request.headers.get("host", "").lower()
        if host not in self._hosts and host.rpartition(":")[0] not in self._hosts:
            raise Refusal("misdirected_request")
        text = request.path_params.get("n", "0")
        if request.url.query or not _NUMBER.fullmatch(text):
            raise Refusal("not_found", "A record is named by its number, and nothing else")
        return int(text)

    async def _ask(self, read: Callable[[Prover], T]) -> T:
        if self._waiting >= WAITING_MAX:
            raise Refusal("overloaded", "Too many questions to the log at once", retry_after_s=1)
        self._waiting += 1
        try:
            async with self._turn:
                return await asyncio.to_thread(self._read, read)
        except Problem as found:
            raise Refusal("not_found", f"{found.message[:1].upper()}{found.message[1:]}") from found
        except BadNote as error:
            raise Refusal("log_unavailable", f"The log has no checkpoint that can be given out: {error}", retry_after_s=1) from error
        except NotAsSigned as error:
            raise Refusal("internal_error", "The log is not as it was signed; verify it") from error
        except OSError as error:
            raise Refusal("log_unavailable", "The log cannot be read by this process", reason=str(error)) from error
        finally:
            self._waiting -= 1

    def _read(self, read: Callable[[Prover], T]) -> T:
        if self._prover is None:
            self._prover = self._open()
        return read(self._prover)
