"""Settings of what hands out credentials that are right by themselves but not together."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from gateway.config.agreement import Finding
from gateway.config.kinds import Fault, is_loopback
from gateway.config.sources import OAuth2Settings, SourceSettings


def of_source(source: SourceSettings, written: frozenset[str]) -> Iterator[Finding]:
    """`written` are the keys of its table."""
    yield from _of_oauth2(source, written)


def _of_oauth2(source: OAuth2Settings, written: frozenset[str]) -> Iterator[Finding]:
    yield from encrypted("token_url", source.token_url)
    needed, other = ("client_key", "client_secret") if source.client_auth == "private_key_jwt" else ("client_secret", "client_key")
    if needed not in written:
        example = "clients/crm.pem" if needed == "client_key" else "env:NAME"
        yield "client_auth", Fault("missing_key", f'"{source.client_auth}" needs {needed}', f'write {needed} = "{example}"')
    if other in written:
        yield other, Fault("contradiction", f'does nothing beside client_auth = "{source.client_auth}"', "take it out")
    if "subject" in written and source.grant != "token_exchange":
        yield "subject", Fault("contradiction", "does nothing without an exchange", 'write grant = "token_exchange", or take it out')


def encrypted(key: str, url: str) -> Iterator[Finding]:
    """What is handed out, and what it is asked for with, never travels in clear to another machine."""
    parts = urlsplit(url)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        yield key, Fault("plain_http_credential", "would send secrets unencrypted", "write https://")
