"""What an agent's environment says about its gateway. The one place of the client that reads it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from gateway.secret import Secret

PLATFORM_TOKEN = Path("/var/run/secrets/tokens/gateway")
"""Where a Kubernetes pod mounts the projected token for the gateway, unless PORTREEVE_PLATFORM_TOKEN_FILE names another file."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the gateway is, and by what an agent may get its tokens; what is empty or None is not there.

    `url`: the gateway as it is reached. `issuer`: its own URL, when that is another one (a port-forward, a name inside a cluster).
    `token_file`: holds a token of the gateway, and is read again when it changes. `key_file`: see AgentKey. `platform_token`: a file with what
    the platform says of this agent (a projected token of Kubernetes, an OIDC token of a CI). `spiffe`: the address of a Workload API.
    """

    url: str = ""
    issuer: str = ""
    token_file: Path | None = None
    key_file: Path | None = None
    platform_token: Path | None = None
    spiffe: str = ""
    token: Secret | None = None


def settings() -> Settings:
    """The environment as it is now."""
    found = os.environ
    token_file, key_file, platform = (found.get(f"PORTREEVE_{name}_FILE", "") for name in ("TOKEN", "KEY", "PLATFORM_TOKEN"))
    return Settings(
        url=found.get("PORTREEVE_URL", ""),
        issuer=found.get("PORTREEVE_ISSUER", ""),
        token_file=Path(token_file) if token_file else None,
        key_file=Path(key_file) if key_file else None,
        platform_token=Path(platform) if platform else PLATFORM_TOKEN if PLATFORM_TOKEN.exists() else None,
        spiffe=found.get("SPIFFE_ENDPOINT_SOCKET", ""),
        token=Secret(found["PORTREEVE_TOKEN"]) if found.get("PORTREEVE_TOKEN") else None,
    )
