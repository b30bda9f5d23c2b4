"""Which of the agent's request headers may go up: an allow-list, the header parameters of the contract, and a never-list above both.

Order (RFC 9110 section 7.6.1): fields that `Connection` names and the hop-by-hop ones go first, so that no agent can name the credential
there and have it stripped on the way; then the allow-list; the credential is added last, by the caller.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.call import Headers
from gateway.tools.fields import HOP_BY_HOP, is_never

__all__ = ["ALLOWED", "HOP_BY_HOP", "RANGES", "accepts_gzip", "is_field_name", "is_never", "passed_up"]

ALLOWED = frozenset(
    {
        "accept",
        "accept-language",
        "content-encoding",
        "content-language",
        "content-type",
        "idempotency-key",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "prefer",
        "range",
        "traceparent",
        "tracestate",
        "user-agent",
    }
)

RANGES = frozenset({"range", "if-range"})
"""Asked for in pieces, an echo of the credential is never whole in one answer: with a credential these go up for tools that name them only."""

TOKEN = frozenset("!#$%&'*+-.^`|~0123456789abcdefghijklmnopqrstuvwxyz")  # RFC 9110 5.6.2 in lower case, without the underscore


def is_field_name(name: str) -> bool:
    return bool(name) and TOKEN.issuperset(name)


def passed_up(headers: Headers, allowed: Iterable[str]) -> list[tuple[str, str]]:
    """The agent's headers that go up, in order. `allowed` holds names in lower case, none of which is a never-name."""
    nominated: set[str] = set()
    for name, value in headers:
        if name == "connection":
            nominated.update(part.strip().lower() for part in value.split(","))
    kept = [field for field in headers if field[0] in allowed]
    return [field for field in kept if field[0] not in nominated] if nominated else kept


def accepts_gzip(headers: Headers) -> bool:
    """Whether the agent asked for gzip by name: `*` is no wish, and `q=0` is the opposite of one (RFC 9110 12.5.3)."""
    for name, value in headers:
        if name != "accept-encoding":
            continue
        for coding in value.lower().split(","):
            word, _, weight = coding.partition(";")
            if word.strip() == "gzip" and weight.replace(" ", "").rstrip("0.") != "q=":
                return True
    return False
