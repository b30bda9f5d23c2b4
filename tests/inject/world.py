"""What the tests of sources share: for whom something is fetched, keys, and the gateway's signature."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gateway.call import Identity
from gateway.canonical import Json
from gateway.identify import SigningKeys
from gateway.identify.vouch import Voucher
from gateway.inject.source import CredentialSource, Fetched, Need, Unreadable
from gateway.secret import Secret

GATEWAY = "https://gateway.example"


def identity(agent: str = "a", user: str | None = None, *, actors: tuple[str, ...] = (), issuer: str = "i") -> Identity:
    return Identity(agent, issuer, f"user:{user}" if user else f"agent:{agent}", "t", "k", "aud", 1, user=user, actors=actors)


def need(agent: str = "a", user: str | None = None, *, arguments: Mapping[str, Json] | None = None, **more) -> Need:
    return Need(identity(agent, user, **more), "op", arguments or {})


def write_key(file: Path, kind: str = "ES256"):
    """A private key in PEM, closed to others; gives the public half."""
    private = {
        "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
        "RS256": lambda: rsa.generate_private_key(65_537, 2_048),
        "RS-weak": lambda: rsa.generate_private_key(65_537, 1_024),
        "EdDSA": ed25519.Ed25519PrivateKey.generate,
        "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    }[kind]()
    file.touch(0o600)
    file.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return private.public_key()


def voucher(folder: Path) -> tuple[Voucher, object]:
    """The gateway's signature, and the public key that it verifies by."""
    keys = SigningKeys.open(folder / "keys")
    found = Voucher()
    found.sign_with(lambda: (keys, GATEWAY))
    return found, keys.public[keys.kid].key


@dataclass
class Counting:
    """A source that hands out a new secret each time, unless it is told to fail."""

    life_s: float = 100.0
    fails: Unreadable | None = None
    leases: bool = False
    fetched: list[Need] = field(default_factory=list)
    given_back: list[str] = field(default_factory=list)
    renews: bool = True
    renewed: list[str] = field(default_factory=list)
    ends: Unreadable | None = None
    ending: asyncio.Event | None = None
    at_once_max: int = 0
    at_once: int = 0
    kind: str = "counting"

    def check(self) -> None:
        """Nothing can be wrong."""

    def scope(self, need: Need) -> str:
        return str(need.arguments.get("scope", ""))

    async def fetch(self, need: Need) -> Fetched:
        self.fetched.append(need)
        if self.fails is not None:
            raise type(self.fails)(self.fails.reason, self.fails.remedy)
        who = f"{need.identity.agent}/{need.identity.user}/{'+'.join(need.identity.actors)}/{self.scope(need)}"
        number = len(self.fetched)
        return Fetched(Secret(f"{who}#{number}"), self.life_s, str(number), f"lease-{number}" if self.leases else "")

    async def renew(self, fetched: Fetched) -> Fetched | None:
        self.renewed.append(fetched.lease)
        return Fetched(fetched.secret, self.life_s, fetched.version, fetched.lease) if self.renews else None

    async def give_back(self, fetched: Fetched) -> None:
        self.at_once += 1
        self.at_once_max = max(self.at_once, self.at_once_max)
        try:
            if self.ending is not None:
                await self.ending.wait()
        finally:
            self.at_once -= 1
        if self.ends is not None:
            raise type(self.ends)(self.ends.reason, self.ends.remedy)
        self.given_back.append(fetched.lease)


def is_source(given: CredentialSource) -> bool:
    """For the type checker: the simulator keeps to the seam."""
    return bool(given.kind)
