"""The seam for credentials that never travel: they compute fields over the request as it will go up, once everything else of it is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from gateway.call import Headers
from gateway.inject.source import Fetched
from gateway.secret import Secret


@dataclass(frozen=True, slots=True)
class Unsigned:
    """The request as it will go up, but for its signature.

    `authority` is the Host field; `path` and `query` are as on the wire, the query without its question mark. `headers` are in order, with names in
    lower case. `body` is all of it, empty where there is none, and None where it streams: its bytes are not known before they leave. `operation` is its name.
    """

    method: str
    scheme: str
    authority: str
    path: str
    query: str
    headers: Headers
    body: bytes | None
    operation: str = ""


class RequestSigner(Protocol):
    """Signs requests with one credential.

    `fields` are the header fields it may set, in lower case; no agent's field of such a name goes up. `sign` MUST give only those, MUST raise
    Unreadable for a request that it cannot cover (a streamed body, where the scheme signs bodies) or a secret that is no key, and Refusal for one with
    two readings that the agent could have written with one; it MUST NOT put any part of a secret into an error, nor of the key into a field. `now_s` is
    in seconds since the epoch. `check` raises Unreadable for a secret that is no key. What was signed is sent again as it is when an attempt is
    repeated: a signature must be good for as long as one call may take.
    """

    fields: frozenset[str]

    def check(self, fetched: Fetched) -> None: ...

    def sign(self, request: Unsigned, fetched: Fetched, now_s: float) -> list[tuple[str, str | Secret]]: ...
