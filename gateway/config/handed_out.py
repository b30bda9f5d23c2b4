"""Settings of what hands out credentials that are right by themselves but not together."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from gateway.config.agreement import Finding
from gateway.config.kinds import Fault, is_loopback
from gateway.config.model import CredentialSettings, Settings
from gateway.config.session_policy import of_policy
from gateway.config.signed import of_hmac
from gateway.config.sources import (
    MADE_USER,
    GithubAppSettings,
    HmacSettings,
    LeaseSettings,
    OAuth2Settings,
    SourceSettings,
    StsSettings,
    UseSettings,
)


def of_table(source: SourceSettings | UseSettings, written: frozenset[str]) -> Iterator[Finding]:
    """`written` are the keys of its table."""
    if isinstance(source, HmacSettings):
        yield from of_hmac(source)
    elif isinstance(source, OAuth2Settings):
        yield from _of_oauth2(source, written)
    elif isinstance(source, StsSettings):
        yield from encrypted("endpoint", source.url)
        yield from of_policy(source.policy)
    elif isinstance(source, GithubAppSettings):
        yield from encrypted("api", source.api)
        if not source.permissions:
            yield (
                "permissions",
                Fault("missing_key", "names none, and a token without a list may do all that the App may", 'write for example issues = "read"'),
            )


def of_user(credential: CredentialSettings) -> Iterator[Finding]:
    """A user name that is made with the secret needs somebody who makes it."""
    made = isinstance(credential.source, LeaseSettings) and credential.source.user_field is not None
    if made != (credential.basic_user == MADE_USER):
        message = "is made with the secret, but not used" if made else "stands for a name that nobody makes"
        yield "basic_user", Fault("contradiction", message, 'write basic_user = "{user}" together with user_field in the vault table, or neither')


def of_vault(settings: Settings, written: bool) -> Iterator[Finding]:  # noqa: FBT001 - `written`: whether there is a [vault], right or wrong
    """The vault, and what needs one. Keys are written from the top."""
    if settings.vault is not None:
        yield from encrypted("vault.url", settings.vault.url)
    needing = [credential.name for credential in settings.credentials.values() if _needs_vault(credential)]
    if needing and not written:
        yield (
            "vault",
            Fault("missing_key", f"is missing, and {', '.join(needing)} needs it", 'write [vault] with url = "https://HOST" and role = "NAME"'),
        )


def _needs_vault(credential: CredentialSettings) -> bool:
    source = credential.source
    references = [credential.secret, source.client_secret if isinstance(source, OAuth2Settings) else None]
    if credential.mtls is not None:
        references += [credential.mtls.certificate, credential.mtls.key]
    return isinstance(source, LeaseSettings) or any(reference is not None and reference.startswith("vault:") for reference in references)


def _of_oauth2(source: OAuth2Settings, written: frozenset[str]) -> Iterator[Finding]:
    yield from encrypted("token_url", source.token_url)
    if source.revocation_url is not None:
        yield from encrypted("revocation_url", source.revocation_url)
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
