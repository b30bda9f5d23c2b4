"""What the token service says when it gives no token: the errors of OAuth (RFC 6749 section 5.2 and its extensions), each with one public text.

As with refusals of calls, what exactly was wrong stays in the log: a stranger must not learn which agents or keys exist by asking.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OAuthError:
    """HTTP status and the description that everybody gets."""

    status: int
    description: str


OAUTH_ERRORS: dict[str, OAuthError] = {
    "invalid_request": OAuthError(400, "The request is not one that this endpoint understands."),
    "invalid_client": OAuthError(401, "The client could not be authenticated."),
    "invalid_grant": OAuthError(400, "The assertion or token is not accepted."),
    "unauthorized_client": OAuthError(400, "The client may not have a token now."),
    "unsupported_grant_type": OAuthError(400, "This grant is not known here."),
    "invalid_scope": OAuthError(400, "The scope is beyond what may be had."),
    "invalid_target": OAuthError(400, "Tokens for this resource are not issued here."),
    "invalid_dpop_proof": OAuthError(400, "The proof of possession is missing, not wanted or not accepted."),
    "access_denied": OAuthError(403, "This delegation is not allowed."),
    "slow_down": OAuthError(429, "Too many requests."),
    "temporarily_unavailable": OAuthError(503, "The token service cannot answer now."),
}


class Declined(Exception):  # noqa: N818 - an answer, not an error of ours
    """No token. `code` is a key of OAUTH_ERRORS; `detail` may be shown to the caller, `reason` goes to the log only."""

    def __init__(self, code: str, detail: str = "", *, reason: str = "", retry_after_s: int | None = None) -> None:
        super().__init__(code)
        error = OAUTH_ERRORS[code]
        self.code = code
        self.status = error.status
        self.detail = detail or error.description
        self.reason = reason or detail or code
        self.retry_after_s = retry_after_s
