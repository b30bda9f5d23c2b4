"""What agents do to get tokens: sign assertions and proofs with keys of their own, and ask the token endpoints of a running gateway."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from cryptography.hazmat.primitives.asymmetric import ec
from jwt import get_algorithm_by_name

from gateway.identities.jwk import read_jwk
from tests.identify.forge import changed, encoded, segment
from tests.journeys.place import Place

URL = "http://gateway.test"
CLIENT_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
JWT = "urn:ietf:params:oauth:token-type:jwt"
ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"


@dataclass
class Key:
    """An agent's P-256 key, named `kid`."""

    kid: str
    private: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    @property
    def jwk(self) -> dict[str, Any]:
        return {
            n: v for n, v in json.loads(get_algorithm_by_name("ES256").to_jwk(self.private.public_key())).items() if n in {"kty", "crv", "x", "y"}
        }

    @property
    def thumbprint(self) -> str:
        return read_jwk(self.jwk).thumbprint

    @property
    def toml(self) -> str:
        inner = ", ".join(f'{name} = "{value}"' for name, value in self.jwk.items())
        return f'[[credential]]\nkind = "key"\nkid = "{self.kid}"\njwk = {{ {inner} }}\n'

    def signed(self, header: dict[str, Any], claims: dict[str, Any]) -> str:
        text = f"{segment(encoded(header))}.{segment(encoded(claims))}".encode()
        return f"{text.decode()}.{segment(get_algorithm_by_name('ES256').sign(text, self.private))}"

    def assertion(self, agent: str, *, header: dict[str, Any] | None = None, **changes: Any) -> str:
        now = int(time.time())
        claims = {"iss": agent, "sub": agent, "aud": URL, "iat": now, "exp": now + 60, "jti": secrets.token_urlsafe(16)}
        return self.signed(changed({"alg": "ES256", "kid": self.kid}, header or {}), changed(claims, changes))

    def proof(self, method: str, url: str, token: str | None = None, *, header: dict[str, Any] | None = None, **changes: Any) -> str:
        claims: dict[str, Any] = {"htm": method, "htu": url, "iat": int(time.time()), "jti": secrets.token_urlsafe(16)}
        if token is not None:
            claims["ath"] = base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()
        return self.signed(changed({"typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk}, header or {}), changed(claims, changes))


def client(assertion: str) -> dict[str, str]:
    return {"client_assertion_type": CLIENT_ASSERTION, "client_assertion": assertion}


def write_agent(folder: Path, name: str, more: str) -> None:
    """Register an agent whose tokens may read and write, in the group that policy permits."""
    text = f'schema = 1\n[agent]\nid = "{name}"\nowner = "team:test"\ngroups = ["writers"]\n{more}'
    (folder / "identities" / "agents" / f"{name}.toml").write_text(text)


async def post(place: Place, path: str, form: dict[str, str], **headers: str) -> httpx2.Response:
    async with httpx2.AsyncClient(base_url=place.gateway.addresses["agents"], trust_env=False, timeout=20, verify=False) as http:
        return await http.post(path, data=form, headers=headers)


async def token(place: Place, form: dict[str, str], **headers: str) -> dict[str, Any]:
    """A token that must be had."""
    answer = await post(place, "/oauth2/token", form, **headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def claims_of(text: str) -> dict[str, Any]:
    body = text.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return found


async def call(place: Place, text: str, *, scheme: str = "Bearer", proof: str | None = None, path: str = "/tools/notes/notes/7") -> httpx2.Response:
    headers = {"authorization": f"{scheme} {text}"} | ({"dpop": proof} if proof else {})
    async with httpx2.AsyncClient(base_url=place.gateway.addresses["agents"], trust_env=False, timeout=20, verify=False) as http:
        return await http.get(path, headers=headers)
