"""Where an agent's tokens come from: one that somebody gave it, or one that it asks the gateway for with what proves who it is.

The order is: given to the constructor, PORTREEVE_TOKEN_FILE, an enrolled key, a token of the platform, a SPIFFE Workload API, PORTREEVE_TOKEN.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.client.key import AgentKey
from gateway.client.settings import Settings
from gateway.errors import Problem
from gateway.secret import Secret

TOKEN_BYTES_MAX = 16_384
SPIFFE_TIMEOUT_S = 5.0
_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


@dataclass(frozen=True, slots=True)
class Given:
    """A token as it is."""

    value: Secret

    def token(self) -> Secret:
        return self.value

    def changed(self) -> bool:
        return False


@dataclass(slots=True)
class TokenFile:
    """A file that somebody keeps fresh, like `portreeve run`."""

    path: Path
    _read: tuple[int, int, int] | None = field(default=None, init=False)

    def token(self) -> Secret:
        mark, text = _text(self.path)
        self._read = mark
        return Secret(text)

    def changed(self) -> bool:
        try:
            return _mark(self.path.stat()) != self._read
        except OSError:
            return False  # it is being replaced, or gone: the token that was read may still be good


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A key that the gateway knows (client_credentials with private_key_jwt, RFC 6749 section 4.4, RFC 7523 section 2.2)."""

    key: AgentKey

    def form(self, issuer: str) -> Mapping[str, str]:
        proven = {"client_assertion_type": _ASSERTION_TYPE, "client_assertion": self.key.assertion(issuer)}
        return {"grant_type": "client_credentials", **proven}


@dataclass(frozen=True, slots=True)
class Platform:
    """A file with what the platform says of the agent (jwt-bearer, RFC 7523 section 2.1). Read for each request, because platforms renew it."""

    path: Path

    def form(self, _issuer: str) -> Mapping[str, str]:
        return {"grant_type": _JWT_BEARER, "assertion": _text(self.path)[1]}


@dataclass(frozen=True, slots=True)
class Spiffe:
    """A SPIFFE Workload API: its JWT-SVID for the gateway is what is presented (jwt-bearer)."""

    address: str

    def form(self, issuer: str) -> Mapping[str, str]:
        library = _spiffe()
        try:
            with library.WorkloadApiClient(self.address) as workload:
                svid = workload.fetch_jwt_svid(audience={issuer}, timeout=SPIFFE_TIMEOUT_S)
        except library.errors.PySpiffeError as error:
            remedy = "is the SPIFFE agent running, and is this workload registered?"
            raise Problem("spiffe_failed", f"no SVID from {self.address}: {type(error).__name__}", remedy=remedy) from None
        return {"grant_type": _JWT_BEARER, "assertion": svid.token}


def _spiffe() -> Any:
    """The library, for who asks for it: it takes 137 ms and 48 MB to import."""
    try:
        return importlib.import_module("spiffe")
    except ImportError as error:
        remedy = "pip install 'portreeve[spiffe]'"
        raise Problem("extra_missing", "SPIFFE_ENDPOINT_SOCKET is set, and the library that speaks to it is not installed", remedy=remedy) from error


Ready = Given | TokenFile
"""Tokens that others made. `token` is fast and raises Problem; `changed` says whether it would now give another one."""
Proving = Enrolled | Platform | Spiffe
"""What proves to the token service who the agent is. `form` is asked once for each request, with the gateway's own URL; it may block, and raises
Problem, which holds nothing of what was read."""
Source = Ready | Proving


def choose(found: Settings) -> Source:
    """The first source that there is. Raises Problem when there is none, or a key file is none."""
    if found.token_file is not None:
        return TokenFile(found.token_file)
    if found.key_file is not None:
        return Enrolled(AgentKey.read(found.key_file))
    if found.platform_token is not None:
        return Platform(found.platform_token)
    if found.spiffe:
        return Spiffe(found.spiffe)
    if found.token is not None:
        return Given(found.token)
    remedy = "set PORTREEVE_KEY_FILE (portreeve enrol makes one); or start the agent where the deployment is: portreeve run --as AGENT -- COMMAND"
    raise Problem("no_token_source", "nothing here can get a token for the gateway", remedy=remedy)


def _mark(status: os.stat_result) -> tuple[int, int, int]:
    """What differs between two contents of a file that is replaced, or written in place."""
    return status.st_mtime_ns, status.st_ino, status.st_size


def _text(path: Path) -> tuple[tuple[int, int, int], str]:
    """A token file's mark and its one token. Raises Problem."""
    try:
        with path.open("rb") as file:
            mark, raw = _mark(os.fstat(file.fileno())), file.read(TOKEN_BYTES_MAX + 1)
    except OSError as error:
        raise Problem("token_unreadable", f"cannot be read: {error.strerror}", file=str(path), remedy="is what writes it still running?") from error
    text = raw.decode("ascii", "replace").strip()
    if not text or len(raw) > TOKEN_BYTES_MAX or not all("!" <= letter <= "~" for letter in text):
        raise Problem("token_malformed", "it does not hold one token", file=str(path), remedy="the file must hold the token and nothing else")
    return mark, text
