"""`[credential.NAME.mtls]`: a client certificate with its key, read again when either changes.

The two are one thing in two places, and whoever replaces them replaces one after the other. In between they do not belong together: then the pair
from before is used on, for a few seconds. A key that is gone or open to others is withdrawn at once, like every secret.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from gateway.credential import ClientCertificate
from gateway.inject.file import FileSource
from gateway.inject.source import CredentialSource, Fetched, LocalSource, Need, Unleased, Unreadable
from gateway.secret import Secret

RSA_BITS_MIN = 2_048
MISMATCH_S_MAX = 10.0
CHAIN_MAX = 10
_FOR_CLIENTS = frozenset({ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE})
_FORM = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
_Private = RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey


class _Apart(Unreadable):
    """Certificate and key do not belong together."""


class CertificateSource(Unleased):
    """Pairs the certificate of one credential with its key. `now` in seconds since the epoch."""

    kind = "mtls"

    def __init__(self, credential: str, chain: CredentialSource, key: CredentialSource, now: Callable[[], float] = time.time) -> None:
        self._credential = credential
        self._chain = chain
        self._key = key
        self._now = now
        self._read: tuple[Secret, Secret] | None = None
        self._paired: Fetched | None = None
        self._apart_since_s: float | None = None

    @property
    def is_local(self) -> bool:
        """Whether both are on this machine, and looked at anew for each call."""
        return isinstance(self._chain, LocalSource) and isinstance(self._key, LocalSource)

    @property
    def certificate(self) -> ClientCertificate | None:
        """The one in use, as far as it was read already."""
        return self._paired.certificate if self._paired is not None else None

    def check(self) -> None:
        self._chain.check()
        self._key.check()
        if isinstance(self._chain, FileSource) and isinstance(self._key, FileSource):
            self._pair(self._chain.take(), self._key.take())

    def scope(self, need: Need) -> str:  # noqa: ARG002 - the same for everybody
        return ""

    async def fetch(self, need: Need) -> Fetched:
        return self._pair(await self._chain.fetch(need), await self._key.fetch(need))

    def _pair(self, chain: Fetched, key: Fetched) -> Fetched:
        paired = self._paired
        if self._read is None or self._read[0] is not chain.secret or self._read[1] is not key.secret:
            try:
                paired = self._paired = self._parsed(chain, key)
                self._read, self._apart_since_s = (chain.secret, key.secret), None
            except _Apart:
                if paired is None or not self._is_being_replaced():
                    raise
        assert paired is not None
        assert paired.certificate is not None
        if self._now() >= paired.certificate.ends_at_s:
            ended = datetime.fromtimestamp(paired.certificate.ends_at_s, UTC).isoformat(timespec="seconds")
            raise Unreadable(f"its certificate ended at {ended}", "have another one issued, and put it in the same place")
        return paired

    def _is_being_replaced(self) -> bool:
        if self._apart_since_s is None:
            self._apart_since_s = self._now()
        return 0 <= self._now() - self._apart_since_s < MISMATCH_S_MAX

    def _parsed(self, chain: Fetched, key: Fetched) -> Fetched:
        (leaf, *more), public = _certificates(chain.secret)
        private = _private(key.secret)
        if public != private.public_key().public_bytes(*_FORM):
            raise _Apart(
                "its certificate and its key do not belong together", "put both in place; the certificate of the key comes first in its file"
            )
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + b"".join(c.public_bytes(Encoding.PEM) for c in (leaf, *more))
        found = ClientCertificate(
            self._credential, leaf.fingerprint(SHA256()).hex(), leaf.not_valid_after_utc.timestamp(), Secret(pem.decode("ascii"))
        )
        lives = [life_s for life_s in (chain.life_s, key.life_s) if life_s is not None]
        return Fetched(found.pem, min(lives, default=None), key.version, certificate=found)


def _certificates(chain: Secret) -> tuple[list[x509.Certificate], bytes]:
    """The client's own and what leads from it to an authority, and the client's public key. Raises Unreadable."""
    remedy = "write the certificate in PEM, and those between it and the authority below it"
    try:
        found = x509.load_pem_x509_certificates(chain.reveal().encode())
        public = found[0].public_key().public_bytes(*_FORM)
        named = [extension.value for extension in found[0].extensions if isinstance(extension.value, x509.ExtendedKeyUsage)]
    except (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise Unreadable("there is no certificate that can be read", remedy) from None
    if len(found) > CHAIN_MAX:
        raise Unreadable(f"there are more than {CHAIN_MAX} certificates", remedy)
    if any(_FOR_CLIENTS.isdisjoint(uses) for uses in named):
        raise Unreadable("its certificate is not meant for a client (extended key usage)", "have one issued for clientAuth")
    return found, public


def _private(key: Secret) -> _Private:
    remedy = "write a private key in PEM without a passphrase: RSA of 2048 bits or more, an elliptic curve, or Ed25519"
    try:
        found = load_pem_private_key(key.reveal().encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise Unreadable("there is no private key that can be read", remedy) from None  # the cause may quote it
    if isinstance(found, EllipticCurvePrivateKey | Ed25519PrivateKey) or (isinstance(found, RSAPrivateKey) and found.key_size >= RSA_BITS_MIN):
        return found
    raise Unreadable("its private key is of a kind that is not used", remedy)
