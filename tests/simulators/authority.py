"""A certificate authority for the length of a test."""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import ipaddress
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes, CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.simulators.upstreams import Seen, answer


def make_certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS context for a name or address, and the file of the authority that vouches for it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = dt.datetime.now(dt.UTC)
    try:
        alternative: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        alternative = x509.DNSName(name)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    ca, own = folder / "ca.pem", folder / "server.pem"
    ca.write_bytes(pem)
    own.write_bytes(pem + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own)
    return context, ca


class ClientAuthority:
    """Issues certificates to clients. `trusted` makes a server that takes those and no others."""

    def __init__(self, folder: Path, name: str = "clients") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self._builder(self._subject, self._key.public_key(), dt.timedelta(hours=1))
        self._file = folder / f"{name}-ca.pem"
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        self._file.write_bytes(
            builder.add_extension(constraints, critical=True).sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        )

    def _builder(self, subject: x509.Name, key: CertificatePublicKeyTypes, life: dt.timedelta) -> x509.CertificateBuilder:
        begins = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self._subject).public_key(key)
        return builder.serial_number(x509.random_serial_number()).not_valid_before(begins).not_valid_after(begins + dt.timedelta(days=1) + life)

    def issue(
        self,
        name: str,
        life: dt.timedelta = dt.timedelta(days=30),
        *,
        key: CertificateIssuerPrivateKeyTypes | None = None,
        use: x509.ObjectIdentifier | None = ExtendedKeyUsageOID.CLIENT_AUTH,
    ) -> tuple[bytes, bytes, str]:
        """A certificate and its key in PEM, and the SHA-256 of the certificate in hex."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key.public_key(), life)
        if use is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        issued = builder.sign(self._key, hashes.SHA256())
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return issued.public_bytes(serialization.Encoding.PEM), pem, issued.fingerprint(hashes.SHA256()).hex()

    def trusted(self, server: ssl.SSLContext) -> ssl.SSLContext:
        """The server's context, which now asks every client for a certificate of this authority."""
        server.load_verify_locations(self._file)
        server.verify_mode = ssl.CERT_REQUIRED
        return server


@dataclass
class Shown:
    """A behaviour that keeps, for each request, the connection it came on, the target, and the SHA-256 of the certificate that its client showed."""

    requests: list[tuple[int, str, str]] = field(default_factory=list)

    async def __call__(self, seen: Seen, writer: asyncio.StreamWriter) -> None:
        certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        shown = hashlib.sha256(certificate).hexdigest() if certificate else ""
        self.requests.append((writer.get_extra_info("peername")[1], seen.target, shown))
        writer.write(answer(200, shown.encode()))

    def by_connection(self) -> dict[int, set[str]]:
        """The certificates that were shown on each connection."""
        found: dict[int, set[str]] = {}
        for connection, _, shown in self.requests:
            found.setdefault(connection, set()).add(shown)
        return found
