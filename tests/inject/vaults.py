"""A real OpenBao that lets the gateway in by its own statements."""

from __future__ import annotations

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.config.sources import VaultSettings
from tests.inject.world import GATEWAY
from tests.simulators.openbao import Bao

RULES = """
path "kv/data/*" { capabilities = ["read"] }
path "rabbitmq/creds/*" { capabilities = ["read"] }
path "sys/leases/renew" { capabilities = ["update"] }
path "sys/leases/revoke" { capabilities = ["update"] }
"""


def mount(bao: Bao) -> None:
    for path, kind in (("kv", "kv-v2"), ("rabbitmq", "rabbitmq")):
        bao.ask(f"sys/mounts/{path}", {"type": kind})
    bao.ask("sys/auth/jwt", {"type": "jwt"})
    bao.ask("sys/policies/acl/gateway", {"policy": RULES})


def let_in(bao: Bao, public, *, role: str = "gateway", issuer: str = GATEWAY, name: str = "g", ttl: str = "1h", **more) -> VaultSettings:
    """Trust the statements that this key signs, for the gateway of that name. Gives the settings of `[vault]`."""
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    bao.ask("auth/jwt/config", {"jwt_validation_pubkeys": [pem], "bound_issuer": issuer})
    rules = {"role_type": "jwt", "user_claim": "sub", "bound_audiences": [bao.url], "bound_subject": f"gateway:{name}", "token_policies": ["gateway"]}
    bao.ask(f"auth/jwt/role/{role}", {**rules, "token_ttl": ttl, **more})
    return VaultSettings(bao.url, role)


def broker_role(bao: Bao, url: str, role: str, *, ttl: str = "1h", max_ttl: str = "24h") -> None:
    """The engine makes users of a broker at `url`."""
    bao.ask("rabbitmq/config/connection", {"connection_uri": url, "username": "admin", "password": "CANARY-broker", "verify_connection": False})
    bao.ask("rabbitmq/config/lease", {"ttl": ttl, "max_ttl": max_ttl})
    bao.ask(f"rabbitmq/roles/{role}", {"tags": "monitoring"})
