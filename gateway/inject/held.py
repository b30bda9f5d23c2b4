"""What is held of each credential: its secret and the certificate that it shows, each with its source, opened anew or taken over at a reload."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gateway.config.model import CredentialSettings, Settings
from gateway.credential import CredentialUse
from gateway.errors import Problem
from gateway.inject.certificate import CertificateSource
from gateway.inject.environment import EnvironmentSource
from gateway.inject.faults import faults_of, problem_of
from gateway.inject.file import FileSource
from gateway.inject.kept import Kept
from gateway.inject.opening import Services, open_certificate, open_signer, open_source
from gateway.inject.placing import place
from gateway.inject.signing import RequestSigner
from gateway.inject.source import CredentialSource, Fetched, LocalSource, Unreadable
from gateway.inject.vault import Vault
from gateway.secret import Secret

CERTIFICATE = ".mtls"
"""What stands behind a credential's name, which has no dot, for the certificate that it shows."""


@dataclass(slots=True)
class Held:
    """A credential, its source, and what was derived from the value it has now: kept until the source hands out another Secret.

    `kept` holds what the source hands out for a time; None for a source that is looked at anew for each call. `signer` signs with it where it does not
    go along itself. `placed` is None then, and for a certificate.
    """

    settings: CredentialSettings
    source: CredentialSource
    kept: Kept | None = None
    signer: RequestSigner | None = None
    value: Secret | None = None
    placed: Secret | None = None
    use: CredentialUse | None = None

    def place(self, fetched: Fetched) -> Secret | None:
        """The secret as it stands in the request, if it does. Raises Unreadable for one that can neither stand there nor sign."""
        if fetched.certificate is not None:
            return None
        if self.signer is None:
            return place(self.settings, fetched.secret, fetched.user)
        self.signer.check(fetched)
        return None

    def fault(self) -> Problem | None:
        """Why it cannot be had or placed now, as far as that is known on this machine."""
        try:
            self.source.check()
            if isinstance(self.source, EnvironmentSource | FileSource):
                self.place(self.source.take())
        except Unreadable as unreadable:
            key = "mtls" if isinstance(self.source, CertificateSource) else "secret"
            return problem_of(self.settings, "credential_unreadable", unreadable.reason, unreadable.remedy, key)
        return None


def open_all(settings: Settings, services: Services, vault: Vault | None, before: Mapping[str, Held]) -> tuple[dict[str, Held], list[Problem]]:
    """What the credentials need, by name, and what is wrong with them. One whose settings are those of `before` keeps what was fetched for it."""
    found: dict[str, Held] = {}
    problems = [problem for credential in settings.credentials.values() for problem in faults_of(credential)]
    for name, credential in _names(settings):
        old = before.get(name)
        if old is not None and old.kept is not None and old.settings == credential:
            found[name] = Held(credential, old.source, old.kept, old.signer)
            continue
        is_secret = name == credential.name
        source = (open_source if is_secret else open_certificate)(credential, settings.folder, services, vault)
        if source is None:
            problems.append(problem_of(credential, "unknown_scheme", "secret is neither env:NAME nor file:PATH", 'write secret = "env:NAME"'))
            continue
        is_local = source.is_local if isinstance(source, CertificateSource) else isinstance(source, LocalSource)
        kept = None if is_local else Kept(name, source, services.told, services.given_back)
        found[name] = Held(credential, source, kept, open_signer(credential) if is_secret else None)
        if isinstance(source, CertificateSource):
            found[name].fault()  # so that its end is known before a call is made; that it cannot be had is told then, and by `check`
    return found, problems


def _names(settings: Settings) -> Iterator[tuple[str, CredentialSettings]]:
    for name, credential in settings.credentials.items():
        if not credential.is_bare:
            yield name, credential
        if credential.mtls is not None:
            yield name + CERTIFICATE, credential
