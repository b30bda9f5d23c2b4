"""Settings of what hands out credentials: one class for each table that may stand below `[credential.NAME]` in place of `secret`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class OAuth2Settings:
    """`[credential.NAME.oauth2]`: an access token (RFC 6749) in place of a stored key, fetched by the gateway as a client of its issuer.

    The client proves itself with `client_secret` (a reference) or `client_key` (a private key in PEM). With `grant = "token_exchange"` (RFC 8693) the
    token is asked for in the name of the call's `subject`, and of the agent as its actor, vouched for by the gateway.
    """

    token_url: str
    client_id: str
    client_auth: Literal["basic", "post", "private_key_jwt"] = "basic"
    client_secret: str | None = None
    client_key: Path | None = None
    grant: Literal["client_credentials", "token_exchange"] = "client_credentials"
    subject: Literal["user", "agent"] = "user"
    scopes: tuple[str, ...] = ()
    audience: str | None = None
    resource: str | None = None
    ca_file: Path | None = None
    timeout_s: float = 3.0


SourceSettings = OAuth2Settings
SOURCES: dict[str, type[SourceSettings]] = {"oauth2": OAuth2Settings}
"""By the name of the table."""
