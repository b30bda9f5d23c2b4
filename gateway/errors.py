"""Refusals: what the gateway says when it does not pass a call on.

A refusal has a stable `code` (the contract with agents), an HTTP status, a text that is safe for a stranger, and a private `reason`
that goes to the log only. The table below is the whole vocabulary; README lists it and a test holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Literal

OutcomeStatus = Literal["ok", "error", "timeout", "refused", "cancelled", "unknown"]
"""What happened upstream. `refused`: nothing was sent. `unknown`: it was sent, and nobody knows what came of it."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One row of the table of refusals: HTTP status, title (RFC 9457) and what the caller can do about it."""

    status: int
    title: str
    hint: str


REFUSALS: dict[str, Kind] = {
    # the request itself
    "malformed_request": Kind(
        400,
        "The request is not well-formed HTTP",
        "Send it with a standard HTTP/1.1 client; ambiguous framing and headers are refused, not repaired.",
    ),
    "path_refused": Kind(
        400,
        "The path is not canonical",
        "Send the plain path: no encoded slash, dot segment, backslash, semicolon, double slash or control character.",
    ),
    "malformed_json": Kind(400, "The body is not unambiguous JSON", "Send UTF-8 JSON without duplicate keys, NaN, lone surrogates or deep nesting."),
    "malformed_question": Kind(
        400,
        "The body is not a question that can be decided",
        "Send subject, action, resource and context as OpenID AuthZEN 1.0 has them; `pointer` names the member that is wrong.",
    ),
    "malformed_query": Kind(
        400, "The parameters are not a query that the log answers", "Use the filters of portreeve log query, each once and with a value."
    ),
    "ambiguous_token": Kind(400, "More than one token was presented", "Send the token once, in one header."),
    "invalid_token": Kind(
        401,
        "A valid token is needed",
        "Get a fresh token (portreeve token AGENT, gateway.client, or POST /oauth2/token), for this gateway, and compare the clocks.",
    ),
    "denied": Kind(403, "Policy does not allow this call", "Change the arguments, or ask the owner of the policy."),
    "halted": Kind(
        403, "An operator halted this agent, tool, user or run", "Stop, and ask the operator; a halt ends when they lift it, not by trying."
    ),
    "policy_error": Kind(403, "Policy could not be evaluated, so the call is denied", "Report the decision number to the security team."),
    "unrepresentable": Kind(
        403,
        "An argument has a value that policy cannot express exactly",
        "Use integers within 64 bits, decimals with at most 4 places, and valid Unicode.",
    ),
    "approval_required": Kind(
        403, "A person must approve this call", "Ask the approvers named in the policy; approvals are not yet answered by this gateway."
    ),
    "unknown_tool": Kind(404, "No such tool", "Check the first path segment after /tools/."),
    "unknown_record": Kind(404, "The log has no such record", "Name a record by its number; those under a signed checkpoint are given out."),
    "not_found": Kind(404, "Nothing is served at this path", "Tools are served below /tools/NAME/."),
    "request_timeout": Kind(408, "The request did not arrive in time", "Send headers and body without long pauses."),
    "body_too_large": Kind(413, "The body is larger than this operation takes", "Send a smaller body."),
    "uri_too_long": Kind(414, "The request target is too long", "Move data from the query into the body."),
    "unsupported_media_type": Kind(415, "The body's content type is not one the contract knows", "Send application/json, without a content coding."),
    "misdirected_request": Kind(
        421, "This gateway does not serve that host", "Use the gateway's own host name, or have it added to listen.agents.hosts."
    ),
    "contract_violation": Kind(422, "The arguments break the tool's contract", "Correct the argument that `pointer` names."),
    "rate_limited": Kind(429, "Too many calls", "Wait for the seconds in Retry-After."),
    "headers_too_large": Kind(431, "The headers are too large or too many", "Send fewer or shorter headers."),
    "internal_error": Kind(500, "The gateway failed", "Report the call id to the platform team."),
    "upstream_unreachable": Kind(502, "The tool cannot be reached; nothing was sent", "Try again later."),
    "upstream_invalid": Kind(502, "The tool answered with something that is not valid HTTP", "Report the decision number to the tool's owner."),
    "upstream_broken": Kind(
        502, "The connection to the tool broke; whether it acted is not known", "Check the tool's state before you repeat a write."
    ),
    "circuit_open": Kind(503, "The tool is failing, so calls to it are paused; nothing was sent", "Wait for the seconds in Retry-After."),
    "overloaded": Kind(503, "The gateway is busy; nothing was sent", "Wait for the seconds in Retry-After."),
    "log_unavailable": Kind(
        503, "The decision log cannot be written, so no call leaves", "Try again later; the platform team must free the log's disk."
    ),
    "state_unavailable": Kind(
        503, "Nobody can tell what is halted, so no call leaves", "Try again later; the platform team must make the gateway's state readable."
    ),
    "credential_unavailable": Kind(503, "The tool's credential cannot be read; nothing was sent", "Report the decision number to the platform team."),
    "upstream_timeout": Kind(
        504, "The tool did not answer in time; whether it acted is not known", "Check the tool's state before you repeat a write."
    ),
}


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at an upstream: which host, the status or failure it ended in, and how long it took in milliseconds."""

    upstream: str
    result: str
    elapsed_ms: int


class Refusal(Exception):  # noqa: N818 - it is a refusal, not an error of ours
    """A call is not passed on, or its answer cannot be.

    `code` is a key of REFUSALS. `detail` is safe for a stranger. `reason` is for the log only. `outcome` says what is known of the upstream.
    """

    __slots__ = ("attempts", "code", "detail", "outcome", "pointer", "reason", "retry_after_s")

    def __init__(
        self,
        code: str,
        detail: str = "",
        *,
        reason: str = "",
        pointer: str = "",
        retry_after_s: int | None = None,
        outcome: OutcomeStatus = "refused",
        attempts: tuple[Attempt, ...] = (),
    ) -> None:
        super().__init__(code)
        if code not in REFUSALS:
            raise ValueError(f"no such refusal code: {code}")
        self.code = code
        self.detail = detail or REFUSALS[code].title
        self.reason = reason or detail or code
        self.pointer = pointer
        self.retry_after_s = retry_after_s
        self.outcome: OutcomeStatus = outcome
        self.attempts = attempts

    @property
    def status(self) -> int:
        return REFUSALS[self.code].status

    def __str__(self) -> str:
        return f"{self.code}: {self.reason}"


class Problem(Exception):  # noqa: N818 - one finding of a check, shown to a person
    """A fault in a deployment (settings, policies, identities, contracts), with where it is and what to write instead.

    `code` is stable; `file`, `line` and `column` (both 1-based, 0 when unknown) and `key` say where; `remedy` says what to do.
    """

    def __init__(self, code: str, message: str, *, file: str = "", line: int = 0, column: int = 0, key: str = "", remedy: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.file = file
        self.line = line
        self.column = column
        self.key = key
        self.remedy = remedy

    @property
    def place(self) -> str:
        return ":".join(str(p) for p in (self.file, self.line or "", self.column or "") if p)

    def moved(self, file: str) -> Problem:
        """The same problem in a file of another name."""
        return Problem(self.code, self.message, file=file, line=self.line, column=self.column, key=self.key, remedy=self.remedy)

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place else ""
        key = f"{self.key}: " if self.key else ""
        then = f" ({self.remedy})" if self.remedy else ""
        return f"{where}{key}{self.message} [{self.code}]{then}"


class Problems(Exception):  # noqa: N818
    """Every fault that one look found; the caller shows them all, not just the first. Never empty."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = tuple(problems)


def place_of(traceback: TracebackType | None) -> str:
    """The innermost file and line, without values."""
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return f"{traceback.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{traceback.tb_lineno}" if traceback else "?"
