"""Opens the source of a credential: by the scheme of its reference, or by the table that says who hands it out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.canonical import Json
from gateway.config.model import CredentialSettings
from gateway.config.sources import GithubAppSettings, LeaseSettings, StsSettings
from gateway.errors import Refusal
from gateway.fetch import Fetcher
from gateway.inject.assertion import ClientKey
from gateway.inject.certificate import CertificateSource
from gateway.inject.environment import EnvironmentSource
from gateway.inject.file import FileSource
from gateway.inject.github_app import GithubAppSource
from gateway.inject.kept import GivenBack, Told
from gateway.inject.oauth2 import OAuth2Source
from gateway.inject.signing import RequestSigner
from gateway.inject.signing_hmac import HmacSigner
from gateway.inject.sigv4 import SigV4Signer
from gateway.inject.source import CredentialSource, key_of
from gateway.inject.sts import StsSource
from gateway.inject.vault import Vault
from gateway.inject.vault_kv import VaultSource
from gateway.inject.vault_lease import LeaseSource
from gateway.inject.vouching import Vouch
from gateway.secret import Secret


async def _vouch_for_nobody(subject: str, audience: str, more: Mapping[str, Json]) -> Secret:
    raise Refusal("overloaded", reason=f"nothing here signs for {audience or subject or more}")


@dataclass(frozen=True, slots=True)
class Services:
    """What credentials need of the rest of the gateway: its signature, somebody who counts what is fetched and given back, the time since the epoch."""

    vouch: Vouch = _vouch_for_nobody
    told: Told = lambda _name, _result, _line: None
    given_back: GivenBack = lambda _name, _result, _line: None
    now: Callable[[], float] = time.time


NO_SERVICES = Services()


def open_source(credential: CredentialSettings, folder: Path, services: Services, vault: Vault | None) -> CredentialSource | None:
    """The source of a credential; None when no source knows the scheme of its reference, or there is no vault."""
    settings = credential.source
    if settings is None:
        return open_reference(credential.secret or "", folder, vault)
    if isinstance(settings, LeaseSettings):
        return LeaseSource(settings, vault) if vault is not None else None
    if isinstance(settings, GithubAppSettings):
        return GithubAppSource(settings, ClientKey(settings.private_key), Fetcher(settings.ca_file, timeout_s=settings.timeout_s), services.now)
    if isinstance(settings, StsSettings):
        return StsSource(settings, Fetcher(settings.ca_file, timeout_s=settings.timeout_s), services.vouch, services.now)
    secret = open_reference(settings.client_secret, folder, vault) if settings.client_secret else None
    key = ClientKey(settings.client_key) if settings.client_key else None
    return OAuth2Source(settings, secret or key, Fetcher(settings.ca_file, timeout_s=settings.timeout_s), services.vouch)


def open_signer(credential: CredentialSettings) -> RequestSigner | None:
    """What signs requests with a credential; None for one that goes along itself."""
    if isinstance(credential.source, StsSettings):
        return SigV4Signer(credential.source)
    return HmacSigner(credential.hmac) if credential.hmac is not None else None


def open_certificate(credential: CredentialSettings, folder: Path, services: Services, vault: Vault | None) -> CertificateSource | None:
    """The pair that a credential shows in the handshake; None for one that shows none, or where there is no vault to get it from."""
    settings = credential.mtls
    if settings is None:
        return None
    opened: list[CredentialSource | None] = []
    for reference, is_public in ((settings.certificate, settings.certificate != settings.key), (settings.key, False)):
        scheme, _, rest = reference.partition(":")
        if scheme == "file" and rest:
            opened.append(FileSource(folder / rest, parse=key_of, is_public=is_public))
        else:
            opened.append(VaultSource(rest, vault, key_of) if scheme == "vault" and vault is not None else None)
    chain, key = opened
    return CertificateSource(credential.name, chain, key, services.now) if chain is not None and key is not None else None


def open_reference(reference: str, folder: Path, vault: Vault | None = None) -> CredentialSource | None:
    """The source for a reference such as `env:NAME`, `file:PATH` (relative to `folder`) or `vault:MOUNT/PATH#FIELD`; None when no source knows its scheme."""
    scheme, _, rest = reference.partition(":")
    if scheme == "env" and rest:
        return EnvironmentSource(rest)
    if scheme == "file" and rest:
        return FileSource(folder / rest)
    if scheme == "vault" and "#" in rest and vault is not None:
        return VaultSource(rest, vault)
    return None
