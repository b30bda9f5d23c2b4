"""Secrets that must be found nowhere: the shapes in which one could hide, the pieces of a key, the kinds that there are, and the look through all places."""

from __future__ import annotations

import base64
import importlib
import json
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from inspect import signature
from pathlib import Path
from types import ModuleType
from typing import Literal, get_args, get_origin, get_type_hints
from urllib.parse import quote

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gateway import inject
from gateway.config.model import Settings
from gateway.config.sources import SOURCES, USES
from gateway.inject.credentials import Credentials

LENGTH_MIN = 8
"""What is shorter would be found by chance."""


def forms(secret: str | bytes) -> list[bytes]:
    """The shapes in which a secret could hide: plain, URL-encoded, hex, base64 at each alignment and in both alphabets, JSON-escaped."""
    raw = secret if isinstance(secret, bytes) else secret.encode()
    found = [raw, quote(raw, safe="").encode(), raw.hex().encode(), raw.hex().upper().encode()]
    if isinstance(secret, str):
        found.append(json.dumps(secret)[1:-1].encode())
    for shift in range(3):
        coded = base64.b64encode(b"x" * shift + raw)
        found.append(coded[4 if shift else 0 : -4])
        found.append(coded[4 if shift else 0 : -4].replace(b"+", b"-").replace(b"/", b"_"))
    return found


def pieces_of_key(pem: bytes) -> list[str | bytes]:
    """A private key whole, each of its lines, and the number that it is, by which a JWK or a dump would hold it."""
    begin = pem.index(b"-----BEGIN PRIVATE KEY")  # a certificate may stand in the same file
    pem = pem[begin : pem.index(b"-----END PRIVATE KEY", begin) + 26]
    found: list[str | bytes] = [pem.decode(), *(line.decode() for line in pem.splitlines()[1:-1])]
    key = load_pem_private_key(pem, None)
    if isinstance(key, EllipticCurvePrivateKey):
        return [*found, key.private_numbers().private_value.to_bytes(32, "big")]
    assert isinstance(key, RSAPrivateKey)
    return [*found, key.private_numbers().p.to_bytes(128, "big"), key.private_numbers().d.to_bytes(256, "big")]


def pieces_of_token(token: str) -> list[str]:
    """A JWT whole, and without its header, which is no secret: claims, and the signature by which it counts."""
    return [token, *token.split(".")[1:]]


def leaks(secrets: Iterable[str | bytes], places: Mapping[str, bytes]) -> list[tuple[str | bytes, bytes, list[str]]]:
    """What was found: the secret, the form, and where."""
    everything = b"\x00".join(places.values())
    found = []
    for secret in set(secrets):
        assert len(secret) >= LENGTH_MIN, "too short to be told from chance"
        found += [(secret, form, [name for name, text in places.items() if form in text]) for form in set(forms(secret)) if form in everything]
    return found


def files_of(folder: Path, belongs: Callable[[Path], bool]) -> dict[str, bytes]:
    """Every file below the folder, databases and their journals included, but those where a secret belongs."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file() and not belongs(file)}


def classes_of(package: ModuleType, *methods: str) -> set[type]:
    """The classes of a package's modules that have these attributes, but for protocols."""
    modules = [importlib.import_module(f"{package.__name__}.{found.name}") for found in pkgutil.iter_modules(package.__path__)]
    classes = {each for module in modules for each in vars(module).values() if isinstance(each, type) and each.__module__ == module.__name__}
    return {each for each in classes if all(hasattr(each, name) for name in methods) and not getattr(each, "_is_protocol", False)}


def every_kind() -> set[str]:
    """All that a credential can be: each source and each signer that the code has, each table of the settings, and each way that those of sources leave to choose."""
    sources = classes_of(inject, "kind", "fetch", "give_back")
    signers = {each for each in classes_of(inject, "sign", "check") if "fetched" in signature(each.sign).parameters}  # type: ignore[attr-defined]
    kinds = {each.__name__ for each in (*sources, *signers)} | set(SOURCES) | set(USES)
    for name, table in SOURCES.items():
        for key, hint in get_type_hints(table).items():
            if get_origin(hint) is Literal:
                kinds |= {f"{name}.{key}={value}" for value in get_args(hint)}
    return kinds


def kinds_in(settings: Settings, credentials: Credentials) -> set[str]:
    """The same of a deployment that runs."""
    kinds = set[str]()
    for held in credentials.credentials.values():
        kinds |= {type(part).__name__ for part in (held.source, held.signer) if part is not None}
    for credential in settings.credentials.values():
        kinds |= {name for name in USES if getattr(credential, name) is not None}
        for name, table in SOURCES.items():
            if isinstance(credential.source, table):
                kinds |= {name, *_chosen(name, credential.source)}
    return kinds


def _chosen(name: str, table: object) -> Iterator[str]:
    for key, hint in get_type_hints(type(table)).items():
        has_effect = key != "subject" or getattr(table, "grant", "") == "token_exchange"
        if get_origin(hint) is Literal and has_effect:
            yield f"{name}.{key}={getattr(table, key)}"
