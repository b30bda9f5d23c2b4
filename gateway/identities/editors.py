"""A JSON Schema of an agent's file, for editors: they complete its keys and show what is wrong while it is written.

The loader is the judge (it also looks across files); a test holds the two to the same keys.
"""

from __future__ import annotations

from gateway.canonical import Json
from gateway.identities.issuer import TTL_S_MAX
from gateway.identities.model import AGENT_ID, CHAIN_MAX, GROUP, ISSUER_NAME, SCOPE

SCHEMA_FILE = ".agent.schema.json"
"""With a dot, because everything else in the folder is read by the gateway."""
DIRECTIVE = f"#:schema ../{SCHEMA_FILE}"
"""The first line of an agent's file, by which editors (Taplo, Even Better TOML) find the schema."""


def agent_schema() -> dict[str, Json]:
    """JSON Schema 2020-12 of `identities/agents/ID.toml`. Dates of TOML are texts to a schema."""
    day: Json = {"description": "The last day (UTC), without quotes: 2027-03-31."}
    agent: Json = {
        "id": _text("Equals the file's name; becomes sub = agent:ID and Agent::ID in policies.", AGENT_ID.pattern),
        "owner": _text("Who answers for it, like team:support."),
        "description": _text("What it is for."),
        "status": {"enum": ["active", "suspended", "retired"], "description": "Suspended: every token of it is dead."},
        "expires": {**day, "description": f"When the registration lapses unless it is reviewed. {day['description']}"},
        "groups": _texts("Groups of policies: AgentGroup::NAME.", GROUP.pattern),
        "attributes": {
            "type": "object",
            "description": "What policies see as principal.NAME.",
            "additionalProperties": {"anyOf": [{"type": ["string", "boolean", "integer"]}, {"type": "array", "items": {"type": "string"}}]},
        },
    }
    token: Json = {
        "ttl": _text(f"The longest life of its tokens, at most {TTL_S_MAX} s: 90s, 5m, 1h.", "[1-9][0-9]{0,5}(s|m|h)"),
        "audiences": _texts("For which gateways; absent: for this one."),
        "scopes": _texts("The most that its tokens may have; policies still decide each call.", SCOPE.pattern),
        "pop": {"enum": ["none", "optional", "required"], "description": "Whether tokens are bound to a key that each call proves (DPoP)."},
    }
    delegation: Json = {
        "may_act_for_users": {"type": "boolean", "description": "Whether it may act for users."},
        "user_issuers": _texts("Issuers of users it may act for, as issuers.toml names them.", ISSUER_NAME.pattern),
        "may_delegate_to": _texts("Agents that may act with a part of its scopes.", AGENT_ID.pattern),
        "max_depth": {"type": "integer", "minimum": 0, "maximum": CHAIN_MAX - 1, "description": "How many agents may act one behind the other."},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "An agent of Portreeve",
        **_table(
            {
                "schema": {"const": 1},
                "agent": _table(agent, "id", "owner"),
                "token": _table(token),
                "delegation": _table(delegation),
                "credential": {"type": "array", "items": {"oneOf": _credentials(day)}, "description": "Ways to prove who it is; one is enough."},
            },
            "schema",
            "agent",
        ),
    }


def _credentials(day: Json) -> list[Json]:
    match: Json = {"type": "object", "minProperties": 1, "additionalProperties": {"type": "string"}}
    key: Json = {"type": "object", "required": ["kty"], "not": {"required": ["d"]}, "description": "The public key, a JWK."}
    return [
        _table({"kind": {"const": "key"}, "kid": _text("The key's name."), "jwk": key, "not_after": day}, "kind", "kid", "jwk"),
        _table({"kind": {"const": "enrolled"}, "not_after": day}, "kind"),
        _table(
            {"kind": {"const": "federated"}, "issuer": _text("As issuers.toml names it.", ISSUER_NAME.pattern), "match": match},
            "kind",
            "issuer",
            "match",
        ),
    ]


def _table(properties: Json, *required: str) -> dict[str, Json]:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def _text(description: str, pattern: str = "") -> dict[str, Json]:
    return {"type": "string", "description": description, "minLength": 1, "maxLength": 500, **({"pattern": f"^(?:{pattern})$"} if pattern else {})}


def _texts(description: str, pattern: str = "") -> dict[str, Json]:
    items: Json = {"type": "string", **({"pattern": f"^(?:{pattern})$"} if pattern else {})}
    return {"type": "array", "items": items, "uniqueItems": True, "description": description}
