"""The decision log over HTTP, for auditors and for peers, on the admin listener: its newest checkpoint, records, proofs of them, and calls by query.

What is read is small and found by an index, in a thread of its own, one request at a time: auditors wait, calls do not.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, fields
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.call import Refused
from gateway.canonical import Json, dumps_in_order
from gateway.doors.problem import problem
from gateway.errors import Problem, Refusal
from gateway.record import BadNote, BrokenLine, NotAsSigned, Prover, Query, find_calls

WAITING_MAX = 16
REST_RATIO = 4
REST_S_MAX = 0.05
CALLS_MAX = 1_000
TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
_NUMBER = re.compile(r"0|[1-9][0-9]{0,17}", re.ASCII)
_NUMBERS = frozenset({"since_t", "until_t", "before", "limit"})
_MEMBERS = frozenset(field.name for field in fields(Query))
T = TypeVar("T")


class Rest:
    """Called between pieces of a long look, which takes long only once: sleeps four times as long as was worked. Calls keep the processor."""

    def __init__(self) -> None:
        self._worked_s = 0.0

    def __call__(self, _: int) -> None:
        worked_s = time.thread_time()
        time.sleep(min(REST_S_MAX, max(0.0, worked_s - self._worked_s) * REST_RATIO))
        self._worked_s = worked_s


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
            Route("/log/checkpoint", self._route(_nothing, lambda prover, _: prover.checkpoint().note, TEXT)),
            Route("/log/proof/{n}", self._route(_number, lambda prover, n: bytes(prover.inclusion(n)), TEXT)),
            Route("/log/records/{n}", self._route(_number, lambda prover, n: prover.record(n).line + b"\n", JSON)),
            Route("/log/query", self._route(_query, _found, JSON)),
        ]

    async def close(self) -> None:
        async with self._turn:
            if self._prover is not None:
                self._prover.close()
                self._prover = None

    def _route(self, parse: Callable[[Request], T], read: Callable[[Prover, T], bytes], kind: str) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            try:
                self._admit(request)
                wanted = parse(request)
                body = await self._ask(lambda prover: read(prover, wanted))
            except Refusal as refusal:
                status, headers, said = problem(Refused(refusal, ""))
                answer = Response(said, status)
                answer.raw_headers = headers
                return answer
            return Response(body, headers={"content-type": kind, "cache-control": "no-store"})

        return endpoint

    def _admit(self, request: Request) -> None:
        """A web page can reach a listener on this machine by a name of its own: only known hosts are answered."""
        host = request.headers.get("host", "").lower()
        if host not in self._hosts and host.rpartition(":")[0] not in self._hosts:
            raise Refusal("misdirected_request")

    async def _ask(self, read: Callable[[Prover], T]) -> T:
        if self._waiting >= WAITING_MAX:
            raise Refusal("overloaded", "Too many questions to the log at once", retry_after_s=1)
        self._waiting += 1
        try:
            async with self._turn:
                return await asyncio.to_thread(self._read, read)
        except Problem as found:
            code = "unknown_record" if found.code in {"log_not_signed", "log_pruned"} else "log_unavailable"
            raise Refusal(code, f"{found.message[:1].upper()}{found.message[1:]}") from found
        except BadNote as error:
            raise Refusal("log_unavailable", f"The log has no checkpoint that can be given out: {error}", retry_after_s=1) from error
        except NotAsSigned as error:
            raise Refusal("internal_error", "The log is not as it was signed; verify it") from error
        except BrokenLine as error:
            raise Refusal("internal_error", "The log is broken; verify it") from error
        except OSError as error:
            raise Refusal("log_unavailable", "The log cannot be read by this process", reason=str(error)) from error
        finally:
            self._waiting -= 1

    def _read(self, read: Callable[[Prover], T]) -> T:
        if self._prover is None:
            self._prover = self._open()
        return read(self._prover)


def _nothing(request: Request) -> None:
    if request.url.query:
        raise Refusal("malformed_query", "There are no parameters here")


def _number(request: Request) -> int:
    """The record that is asked for."""
    _nothing(request)
    text = request.path_params["n"]
    if not _NUMBER.fullmatch(text):
        raise Refusal("unknown_record", "A record is named by its number, and nothing else")
    return int(text)


def _query(request: Request) -> Query:
    """The filters of `portreeve log query`; times in microseconds since the epoch, as records have them. Each stands once and holds something."""
    given: dict[str, Json] = {}
    for name, value in request.query_params.multi_items():
        if name not in _MEMBERS or name in given or not value:
            raise Refusal("malformed_query", f"Each parameter stands once, with a value, and is one of {', '.join(sorted(_MEMBERS))}")
        if name in _NUMBERS and not _NUMBER.fullmatch(value):
            raise Refusal("malformed_query", f"{name} is a whole number")
        given[name] = int(value) if name in _NUMBERS else value
    wanted = Query(**given)
    if not 1 <= wanted.limit <= CALLS_MAX:
        raise Refusal("malformed_query", f"limit is from 1 to {CALLS_MAX}")
    return wanted


def _found(prover: Prover, wanted: Query) -> bytes:
    """The calls, newest first, and what to give as `before` to have the next ones."""
    calls = [{k: v for k, v in asdict(call).items() if k not in {"segment", "offset"}} for call in find_calls(prover.reader, wanted, Rest())]
    return dumps_in_order({"calls": calls, "before": calls[-1]["n"] if len(calls) == wanted.limit else None})
