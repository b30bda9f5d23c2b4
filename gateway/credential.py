"""What goes along with a call: which credential, for the log, and the certificate that is shown in the TLS handshake."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.secret import Secret


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """`fingerprint` is the SHA-256 of the certificate in hex, as `openssl x509 -fingerprint -sha256` has it but for its colons.

    `pem` is the certificate, what leads from it to an authority, and the private key. `ends_at_s` is in seconds since the epoch.
    """

    credential: str
    fingerprint: str
    ends_at_s: float
    pem: Secret


@dataclass(frozen=True, slots=True)
class CredentialUse:
    """Which credential went with a call, for the log: by reference and keyed fingerprint, never by value.

    `version` is its source's own number for it, `scope` a digest of what it was narrowed to, `certificate` the fingerprint of the one shown; or empty.
    """

    name: str
    kind: str
    fingerprint: str
    version: str = ""
    scope: str = ""
    certificate: str = ""
