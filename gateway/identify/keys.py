"""The gateway's own signing keys: a folder of ES256 private keys, their ids, and the public set that verifies.

A file's name is the key's state: `active.pem` signs; `next-NAME.pem` is already published, so that verifiers know it before it signs;
`retired-NAME.pem` is still published until the last token it signed is dead. Rotation is renaming files. The key id is the RFC 7638
thumbprint of the public key, so it cannot name another key than the one it stands for.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, EllipticCurvePublicKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from gateway import canonical
from gateway.canonical import Json
from gateway.errors import Problem, Problems
from gateway.identify.signing import FileSigner, Signer

State = Literal["active", "next", "retired"]

KEYS_MAX = 16
_FILE_BYTES_MAX = 8_192


@dataclass(frozen=True, slots=True)
class PublicKey:
    """What verifies one key's tokens. The one algorithm is bound to the key: a token's header never chooses it (RFC 8725 section 3.1)."""

    kid: str
    alg: Literal["ES256"]
    key: EllipticCurvePublicKey
    state: State


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """The keys as they were when they were read. `public` is by key id, `signer` has the active key, whose id is `kid`."""

    kid: str
    signer: Signer = field(repr=False)
    public: Mapping[str, PublicKey]

    @classmethod
    def open(cls, folder: Path) -> SigningKeys:
        """Read the folder; create it (0700) and its first key (0600) when there is none.

        Raises Problems when a file is open to others, is no ES256 private key, or cannot be read or made.
        """
        active = folder / "active.pem"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if folder.stat().st_mode & 0o022:
                remedy = f"run: chmod 700 {folder}"
                raise _fault("key_folder_open", folder, "others may write here, so anyone could add a key", remedy)
            if not active.exists():
                create_key(active)
            paths = sorted(folder.glob("*.pem"))
            if len(paths) > KEYS_MAX:
                raise _fault("too_many_keys", folder, f"holds more than {KEYS_MAX} keys", "remove retired keys")
            loaded = {path: _load(path) for path in paths}
        except OSError as error:
            remedy = "let the gateway's account read and write this folder"
            raise _fault("key_unreadable", folder, f"the signing keys cannot be read or made: {error.strerror}", remedy) from error
        public: dict[str, PublicKey] = {}
        for path, key in loaded.items():  # `active` comes first
            kid, state = thumbprint(key.public_key()), _state(path)
            if kid not in public:
                public[kid] = PublicKey(kid, "ES256", key.public_key(), state)
            elif (public[kid].state, state) != ("active", "retired"):  # else a rotation is under way, or ended in the middle
                raise _fault("duplicate_key", folder, "two files hold the same key", "remove one of them")
        return cls(thumbprint(loaded[active].public_key()), FileSigner(loaded[active]), MappingProxyType(public))

    def jwks(self) -> dict[str, Json]:
        """The public keys as a JWK Set (RFC 7517): no private member, one algorithm per key."""
        return {"keys": [{**_jwk(entry.key), "use": "sig", "alg": entry.alg, "kid": entry.kid} for entry in self.public.values()]}


def thumbprint(key: EllipticCurvePublicKey) -> str:
    """RFC 7638: SHA-256 over the required members in lexical order, without white space."""
    return _base64url(hashlib.sha256(canonical.dumps(_jwk(key))).digest())


def _jwk(key: EllipticCurvePublicKey) -> dict[str, Json]:
    numbers = key.public_numbers()
    return {"crv": "P-256", "kty": "EC", "x": _base64url(numbers.x.to_bytes(32, "big")), "y": _base64url(numbers.y.to_bytes(32, "big"))}


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def create_key(path: Path) -> Path:
    """Make a key so that it is never readable by others, never half-written, and never replaces one that another process just made."""
    pem = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    draft = path.with_name(f".{secrets.token_hex(8)}")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123 - a descriptor, not a path
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)  # unlike rename, fails when the name is taken
    except FileExistsError:
        pass
    finally:
        draft.unlink(missing_ok=True)
    return path


def key_files(folder: Path) -> list[tuple[Path, str, State]]:
    """Each key of a folder: file, key id, state. Of a key with two names the first counts."""
    found: dict[str, tuple[Path, str, State]] = {}
    for path in sorted(folder.glob("*.pem")):
        kid = thumbprint(_load(path).public_key())
        found.setdefault(kid, (path, kid, _state(path)))
    return list(found.values())


def _state(path: Path) -> State:
    stem = path.stem.split("-", 1)
    if path.stem == "active":
        return "active"
    if len(stem) == 2 and stem[1] and stem[0] in {"next", "retired"}:
        return "next" if stem[0] == "next" else "retired"
    raise _fault("unknown_key_state", path, "the file's name is no state of a key", "name it active.pem, next-NAME.pem or retired-NAME.pem")


def _load(path: Path) -> EllipticCurvePrivateKey:
    with path.open("rb") as file:
        facts = os.fstat(file.fileno())  # of the file that is read, not of the name: it cannot be swapped in between
        if stat.S_IMODE(facts.st_mode) & 0o077:
            raise _fault(
                "key_file_open", path, "others may read or write this private key", f"run: chmod 600 {path} (and replace the key if others had it)"
            )
        if facts.st_uid not in {os.geteuid(), 0}:
            raise _fault("key_file_owner", path, "belongs to another account", f"run: chown {os.geteuid()} {path}")
        pem = file.read(_FILE_BYTES_MAX)
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise _fault("not_a_key", path, "is not an unencrypted PEM private key", "remove the file; a new key is made at the next start") from error
    if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
        raise _fault(
            "not_a_key", path, "is not a key for ES256 (curve P-256)", "make one with: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256"
        )
    return key


def _fault(code: str, path: Path, message: str, remedy: str) -> Problems:
    return Problems([Problem(code, message, file=str(path), remedy=remedy)])
